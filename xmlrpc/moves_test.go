package xmlrpc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

// mover notes what it is asked.
type mover struct {
	did string
	n   int
	err error
}

func (m *mover) note(what string, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	m.did = fmt.Sprint(what, " ", who.User, " ", session, " ", vm, " ", host)
	return m.n, m.err
}

func (m *mover) Premigrate(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	return m.note("premigrate", who, session, vm, host)
}

func (m *mover) Prerestore(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	return m.note("prerestore", who, session, vm, host)
}

func (m *mover) Predeploy(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	return m.note("predeploy", who, session, vm, host)
}

func (m *mover) Settle(_ context.Context, who onevolume.Caller, vm onevolume.VMID) (int, error) {
	return m.note("settle", who, "", vm, "")
}

func (m *mover) MigrateCheck(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) ([]onevolume.Check, error) {
	_, err := m.note("migratecheck", who, session, vm, host)
	return []onevolume.Check{{What: "host", OK: true, Text: "oned has host node5 in sight"},
		{What: "volume 3", Text: "disk3: <the> target does not answer", Hint: "see that node5 reaches it"}}, err
}

// What OpenNebula's scripts say of a VM is for oneadmin's group, gets where it
// should with the caller's session.
func TestMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := &mover{n: 3}
	w.Moves = m
	c := w.client(asRoot)
	for name, test := range map[string]struct {
		call func(context.Context, onevolume.VMID, string) (int, error)
		did  string
	}{
		"premigrate":  {c.Premigrate, "premigrate oneadmin " + asRoot + " 17 node5"},
		"prerestore":  {c.Prerestore, "prerestore oneadmin " + asRoot + " 17 node5"},
		"predeploy":   {c.Predeploy, "predeploy oneadmin " + asRoot + " 17 node5"},
		"postmigrate": {c.Postmigrate, "settle oneadmin  17 "},
		"failmigrate": {c.Failmigrate, "settle oneadmin  17 "},
		"migratecheck": {func(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
			list, err := c.MigrateCheck(ctx, vm, host)
			if want, _ := m.MigrateCheck(ctx, root, asRoot, vm, host); err == nil && !slices.Equal(list, want) {
				t.Errorf("%+v, want %+v", list, want)
			}
			return 3, err
		}, "migratecheck oneadmin " + asRoot + " 17 node5"},
	} {
		m.err = nil
		if n, err := test.call(t.Context(), 17, "node5"); err != nil || n != 3 || m.did != test.did {
			t.Errorf("%s: %d, %v, and it was %q", name, n, err, m.did)
		}
		m.did = ""
		if _, err := w.client(asAlice).Wire.Call(t.Context(), "one.volume."+name, asAlice, 17, "node5"); err == nil || m.did != "" {
			t.Errorf("%s: alice may: %v, %q", name, err, m.did)
		}
		m.err = onevolume.Errorf(onevolume.Unreachable, "volume 3 (data): no answer").WithHint("look at the target")
		_, err := test.call(t.Context(), 17, "node5")
		if err == nil || !strings.Contains(err.Error(), "volume 3 (data): no answer. Look at the target.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
