package xmlrpc_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// What succeeds is written down with the change itself, by the inventory;
// here the ask must have reached those who write it.
func TestAskReachesTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	asked := &asking{operator: w.op}
	w.Operator = asked
	w.api = &wire.Server{}
	w.Register(w.api)
	op := (&scene{world: w, free: w.given("disk")}).reserve("disk")
	w.raw(call("one.volume.attach", str(asAlice), num(17), num(-1), num(64)))
	w.raw(call("one.volume.detach", str(asAlice), num(17), num(3)))
	w.raw(call("one.volume.resume", str(asRoot), num(op.ID)))
	w.raw(call("one.volume.abort", str(asRoot), num(op.ID)))
	var got []string
	for _, a := range asked.asks {
		got = append(got, fmt.Sprintf("%s %s %q from %s", a.By.User, a.Action, a.Text, a.From))
	}
	want := []string{`alice attach "of at least 64M" from 192.0.2.1`, `alice detach "" from 192.0.2.1`,
		`oneadmin resume "" from 192.0.2.1`, `oneadmin abort "" from 192.0.2.1`}
	if !slices.Equal(got, want) {
		t.Errorf("asks:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if list := w.deeds(); len(list) != 0 {
		t.Errorf("the methods wrote %+v themselves", list)
	}
}

// asking notes the asks that reach it.
type asking struct {
	*operator
	asks []onevolume.Ask
}

func (a *asking) note(ctx context.Context) {
	ask, ok := onevolume.AskOf(ctx)
	if !ok {
		ask.Action = "nobody asked"
	}
	a.asks = append(a.asks, ask)
}

func (a *asking) Attach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, pick onevolume.Pick) (onevolume.VolumeID, error) {
	a.note(ctx)
	return a.operator.Attach(ctx, who, session, vm, pick)
}

func (a *asking) Detach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, force bool) (onevolume.VolumeID, error) {
	a.note(ctx)
	return a.operator.Detach(ctx, who, session, vm, volume, leave, force)
}

func (a *asking) Resume(ctx context.Context, who onevolume.Caller, op int) error {
	a.note(ctx)
	return a.operator.Resume(ctx, who, op)
}

func (a *asking) Abort(ctx context.Context, who onevolume.Caller, op int) error {
	a.note(ctx)
	return a.operator.Abort(ctx, who, op)
}

// broken is an inventory whose audit cannot be written, or whose methods
// panic.
type broken struct {
	xmlrpc.Inventory
	noAudit, panics bool
}

func (b broken) Audit(ctx context.Context, d onevolume.Deed) error {
	if b.noAudit {
		return errors.New("the disk is full")
	}
	return b.Inventory.Audit(ctx, d)
}

func (b broken) Delete(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) error {
	if b.panics {
		panic("a bug")
	}
	return b.Inventory.Delete(ctx, who, id)
}

// An audit that cannot be written changes no answer, and somebody hears of it.
func TestAuditThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := int(w.given("disk"))
	w.Inventory = broken{Inventory: w.Inventory, noAudit: true}
	w.api = &wire.Server{}
	w.Register(w.api)
	want := failed("one.volume.delete", "User [6] : Not authorized to perform MANAGE VOLUME [0].", 0x0200, -1)
	if got := w.raw(call("one.volume.delete", str(asBob), num(id))); normal(got) != normal(want) {
		t.Errorf("answer %s", got)
	}
	if len(w.lost) != 1 || w.lost[0].By.User != "bob" || w.lost[0].Action != "delete" {
		t.Errorf("lost: %+v", w.lost)
	}
	if got := w.raw(call("one.volume.delete", str(asAlice), num(id))); normal(got) != normal(done(id)) || len(w.lost) != 1 {
		t.Errorf("answer %s, lost %+v", got, w.lost)
	}
}

// A method that panics leaves a line too.
func TestAuditOfAPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inventory = broken{Inventory: w.Inventory, panics: true}
	w.api = &wire.Server{}
	w.Register(w.api)
	if got := w.raw(call("one.volume.delete", str(asRoot), num(0))); !strings.Contains(got, "Internal error") {
		t.Errorf("answer %s", got)
	}
	if list := w.deeds(); len(list) != 1 || list[0].Result != "it came to no end: see the log of onevolumed" {
		t.Errorf("%+v", list)
	}
}

// Nobody fills the disk with one call, or writes to an administrator's
// terminal.
func TestAuditOfLongAndDirtyText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.given("disk")
	c := w.client(asAlice)
	w.wants(c.Rename(t.Context(), id, strings.Repeat("ü", 100_000)), onevolume.Action)
	w.wants(c.Rename(t.Context(), id, "a\u009b31mred\u202e\n\x7fb"), onevolume.Action)
	list := w.deeds()
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	for _, d := range list {
		for _, text := range []string{d.Text, d.Result} {
			if len(text) > 1024 || strings.ContainsAny(text, "\n\x1b\u009b\u202e\x7f") || !strings.Contains(strings.ToValidUTF8(text, "\x00"), text) {
				t.Errorf("%d bytes: %q", len(text), text)
			}
		}
		if d.From != "127.0.0.1" {
			t.Errorf("from %q", d.From)
		}
	}
	if !strings.HasSuffix(list[0].Text, "…") {
		t.Errorf("what was cut does not show it: %q", list[0].Text[900:])
	}
}
