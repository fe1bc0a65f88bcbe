package xmlrpc_test

import (
	"context"
	"testing"

	"onevolume"
)

// lending is an array that answers as it is told, and notes what it was asked.
type lending struct {
	op        onevolume.OperationRef
	initiator onevolume.IQN
	gives     onevolume.Access
	err       error
}

func (l *lending) Grant(_ context.Context, op onevolume.OperationRef, initiator onevolume.IQN) (onevolume.Access, error) {
	l.op, l.initiator = op, initiator
	return l.gives, l.err
}

func (l *lending) Revoke(_ context.Context, op onevolume.OperationRef, initiator onevolume.IQN) error {
	l.op, l.initiator = op, initiator
	return l.err
}

func (l *lending) Compare(context.Context, string) ([]string, error) {
	return []string{"volume 3 ]]> differs"}, l.err
}

// A client has the daemon let hosts in, and leaves an operation to it when the
// array does not answer.
func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(asRoot)
	ref := onevolume.OperationRef{ID: 7, Generation: 3}
	const name = onevolume.IQN("iqn.2026-11.org.example:host01")
	_, err := c.Grant(t.Context(), ref, name)
	w.wants(err, onevolume.NotFound, "no array")
	l := &lending{gives: onevolume.Access{CHAP: onevolume.CHAP{User: "u ]]>", Secret: "a-secret-]]>"}, Identity: onevolume.Identity{Serial: "S", WWID: "naa.1"}}}
	w.Access = l
	if got, err := c.Grant(t.Context(), ref, name); err != nil || got != l.gives || l.op != ref || l.initiator != name {
		t.Errorf("%v %v, asked of %+v for %s", got, err, l.op, l.initiator)
	}
	_, err = c.Grant(t.Context(), ref, "host01")
	w.wants(err, onevolume.Invalid)
	for code, want := range map[onevolume.Code]onevolume.Code{onevolume.Unreachable: onevolume.Unknown, onevolume.Unknown: onevolume.Unknown,
		onevolume.Stale: onevolume.Stale, onevolume.Held: onevolume.Action, onevolume.Refused: onevolume.Action} {
		l.err = onevolume.Errorf(code, "the array says so")
		_, err := c.Grant(t.Context(), ref, name)
		w.wants(err, want, "the array says so")
		w.wants(c.Revoke(t.Context(), ref, name), want, "the array says so")
	}
	for _, session := range []string{asAlice, asBob} {
		c := w.client(session)
		_, err := c.Grant(t.Context(), ref, name)
		w.wants(err, onevolume.Forbidden)
		w.wants(c.Revoke(t.Context(), ref, ""), onevolume.Forbidden)
	}
	l.err = nil
	for _, who := range []onevolume.IQN{name, ""} {
		if err := c.Revoke(t.Context(), ref, who); err != nil || l.initiator != who {
			t.Errorf("revoked from %q: %v", l.initiator, err)
		}
	}
}
