package inventory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"onevolume"
)

// held makes an operation on a volume and leaves it as the ending says, with
// a command in its journal.
func (b *bench) held(volume string, e onevolume.Ending) onevolume.Operation {
	b.Helper()
	op, _, err := b.Ledger(root).Reserve(b.Context(), onevolume.Request{Kind: onevolume.Attach, Owner: fmt.Sprint("test pid ", b.next), Lease: time.Minute,
		VM: onevolume.VM{ID: 17, Host: "host01", Owner: alice.Owner}, Pick: onevolume.Pick{Volume: volume}})
	if err != nil {
		b.Fatal(err)
	}
	entry := onevolume.Entry{Step: "connect", Event: onevolume.StepStarted, Time: time.Now(),
		Commands: []onevolume.Command{{Host: "host01", Text: "iscsiadm -m session"}}}
	if err := b.db.Record(b.Context(), op.Ref(), []onevolume.Entry{entry}, onevolume.Note{Host: "host01", Device: "sdiv"}); err != nil {
		b.Fatal(err)
	}
	if e.Status == "" {
		return op
	}
	if err := b.db.Finish(b.Context(), op.Ref(), e); err != nil {
		b.Fatal(err)
	}
	return op
}

var parked = onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "step plug: no"}

func TestCareIsForAdministrators(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	b.held("disk-1", parked)
	r := onevolume.Recovery{State: onevolume.Retained, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}
	for _, who := range []onevolume.Caller{alice, bob} {
		b.wants(b.Recover(t.Context(), who, id, r), onevolume.Forbidden, "Not authorized to perform ADMIN VOLUME")
		// Whoever may not, learns nothing else: not what exists, not what is wrong with the request.
		b.wants(b.Recover(t.Context(), who, 99, onevolume.Recovery{}), onevolume.Forbidden)
		b.wants(b.Lift(t.Context(), who), onevolume.Forbidden)
		_, err := b.Running(t.Context(), who)
		b.wants(err, onevolume.Forbidden)
	}
	if v := b.read(id); v.State != onevolume.Failed {
		t.Errorf("it is %s", v.State)
	}
	for _, who := range []onevolume.Caller{root, admin} {
		if err := b.Recover(t.Context(), who, id, r); err != nil {
			t.Error(err)
		}
		if err := b.Lift(t.Context(), who); err != nil {
			t.Error(err)
		}
		if list, err := b.Running(t.Context(), who); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	}
	op := b.held("disk-1", onevolume.Ending{})
	if list, err := b.Running(t.Context(), admin); err != nil || len(list) != 1 || list[0].ID != op.ID {
		t.Errorf("%+v, %v", list, err)
	}
	b.wants(b.Recover(t.Context(), root, id, r), onevolume.Busy)
}

func TestRecover(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	b.held("disk-1", parked)
	at := func(vm int, host, device string) onevolume.Attachment {
		return onevolume.Attachment{VM: onevolume.VMID(vm), Host: host, Device: device}
	}
	for _, c := range []struct {
		r    onevolume.Recovery
		word string
	}{
		{onevolume.Recovery{State: onevolume.Wiping}, `cannot be recovered to "WIPING"`},
		{onevolume.Recovery{State: "available"}, `cannot be recovered to "available"`},
		{onevolume.Recovery{State: onevolume.Failed, Reason: " \n"}, "needs a reason"},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(-1, "host01", "")}, "needs the VM"},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(18, "", "")}, "needs the host of VM 18"},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(17, "", "sdx")}, "needs the host of VM 17"},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(18, "host 02", "")}, "HOST"},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(18, "host02", "sd\x1bx")}, "DEVICE"},
	} {
		b.wants(b.Recover(t.Context(), root, id, c.r), onevolume.Invalid, c.word)
	}
	b.wants(b.Recover(t.Context(), root, 99, onevolume.Recovery{State: onevolume.Retained}), onevolume.NotFound)
	if v := b.read(id); v.State != onevolume.Failed || v.Attachment.Device != "sdiv" {
		t.Fatalf("refusals changed it: %+v", v)
	}
	for _, c := range []struct {
		r    onevolume.Recovery
		want onevolume.Attachment
	}{
		// Of the VM on record, what is not given stays as it is.
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(17, "", "")}, onevolume.Attachment{VM: 17, Host: "host01", Device: "sdiv"}},
		{onevolume.Recovery{State: onevolume.Failed, Reason: "somebody must look"}, onevolume.Attachment{VM: 17, Host: "host01", Device: "sdiv"}},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: at(18, "host02", "")},
			onevolume.Attachment{VM: 18, Host: "host02", Serial: onevolume.Serial(id)}},
		{onevolume.Recovery{State: onevolume.Retained, Reason: "host gone", Attachment: at(18, "host02", "x")}, onevolume.Attachment{VM: onevolume.NoVM}},
		{onevolume.Recovery{State: onevolume.Available}, onevolume.Attachment{VM: onevolume.NoVM}},
	} {
		if err := b.Recover(t.Context(), root, id, c.r); err != nil {
			t.Errorf("%+v: %v", c.r, err)
		}
		if v := b.read(id); v.State != c.r.State || v.Attachment != c.want || v.Reason != c.r.Reason {
			t.Errorf("%+v: it is %s (%s), %+v", c.r, v.State, v.Reason, v.Attachment)
		}
	}
}

func TestHistoryIsForThoseWhomItConcerns(t *testing.T) {
	b := newBench(t)
	as := func(who onevolume.Caller, action string) context.Context {
		return onevolume.WithAsk(t.Context(), onevolume.Ask{By: who.Owner, From: "192.0.2.1", Action: action})
	}
	mine, theirs := b.given(alice, ""), b.given(bob, "")
	if err := b.Rename(as(alice, "rename"), alice, mine, "a"); err != nil {
		t.Fatal(err)
	}
	if err := b.Rename(as(bob, "rename"), bob, theirs, "b"); err != nil {
		t.Fatal(err)
	}
	if err := b.Rename(as(root, "rename"), root, mine, "c"); err != nil {
		t.Fatal(err)
	}
	all := onevolume.History{Viewer: root, Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1}
	for _, c := range []struct {
		who  onevolume.Caller
		want int
	}{{root, 3}, {admin, 3}, {alice, 2}, {bob, 1}} {
		// Whom they claim to be does not count.
		list, err := b.History(t.Context(), c.who, all)
		if err != nil || len(list) != c.want {
			t.Errorf("%s sees %+v, %v; want %d", c.who.User, list, err, c.want)
		}
	}
	all.Limit = -7
	if list, err := b.History(t.Context(), root, all); err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	for range 1001 {
		if err := b.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{By: alice.Owner, Action: "delete"}, Volume: onevolume.NoVolume, VM: onevolume.NoVM}); err != nil {
			t.Fatal(err)
		}
	}
	all.Limit = 1 << 30
	if list, err := b.History(t.Context(), alice, all); err != nil || len(list) != 1000 {
		t.Errorf("%d at once, %v", len(list), err)
	}
}

// A refusal names the volume and the VM of its operation.
func TestAuditKnowsTheOperation(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	op := b.held("disk-1", parked)
	for _, n := range []int{op.ID, 99} {
		d := onevolume.Deed{Ask: onevolume.Ask{By: alice.Owner, Action: "resume"}, Volume: onevolume.NoVolume, VM: onevolume.NoVM, Operation: n, Result: "no"}
		if err := b.Audit(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	list, err := b.History(t.Context(), root, onevolume.History{Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: alice.UID})
	if err != nil || len(list) != 2 || list[0].Volume != onevolume.NoVolume || list[1].Volume != id || list[1].VM != 17 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Commands on hosts tell of hosts, and so only administrators see them.
func TestCommandsAreForAdministrators(t *testing.T) {
	b := newBench(t)
	b.given(alice, "")
	op := b.held("disk-1", parked)
	for _, c := range []struct {
		who  onevolume.Caller
		sees int
	}{{root, 1}, {admin, 1}, {alice, 0}} {
		_, journal, err := b.Operation(t.Context(), c.who, op.ID)
		if err != nil || len(journal) != 1 || len(journal[0].Commands) != c.sees {
			t.Errorf("%s: %+v, %v", c.who.User, journal, err)
		}
	}
	_, _, err := b.Operation(t.Context(), bob, op.ID)
	b.wants(err, onevolume.Forbidden)
}

// An operation that puts a disk back needs the volume that it is of.
func TestReplugIsARequest(t *testing.T) {
	b := newBench(t)
	b.given(alice, "")
	b.held("disk-1", onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
	r := onevolume.Request{Kind: onevolume.Replug, VM: onevolume.VM{ID: 17, Host: "host01"}, Owner: "x", Lease: time.Minute}
	_, _, err := b.Ledger(root).Reserve(t.Context(), r)
	b.wants(err, onevolume.Invalid, "which volume to replug is missing")
	r.Pick.Volume = "disk-1"
	if op, v, err := b.Ledger(root).Reserve(t.Context(), r); err != nil || op.Prior != onevolume.Attached || v.State != onevolume.Attaching || v.Attachment.Device != "sdiv" {
		t.Errorf("%+v, %+v, %v", op, v, err)
	}
}
