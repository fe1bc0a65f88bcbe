package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"onevolume"
)

var parked = onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "neither"}

func (w *world) reopen(t tester, id int, way onevolume.Way) onevolume.Operation {
	t.Helper()
	op, err := w.Reopen(t.Context(), id, way, "daemon 2", 2*time.Minute)
	if err != nil {
		t.Fatalf("Reopen(%d): %v", id, err)
	}
	return op
}

func TestReopen(t *testing.T) {
	for _, c := range []struct {
		name    string
		request func() onevolume.Request
		journal []onevolume.Event // of the step unplug
		way     onevolume.Way
		want    onevolume.State
	}{
		{"attach forward", func() onevolume.Request { return attachNamed(17, "1") }, nil, onevolume.Forward, onevolume.Attaching},
		{"attach back", func() onevolume.Request { return attachNamed(17, "1") }, nil, onevolume.Back, onevolume.Attaching},
		{"replug", func() onevolume.Request { r := detach(17, "0"); r.Kind = onevolume.Replug; return r }, nil, onevolume.Back, onevolume.Attaching},
		{"detach", func() onevolume.Request { return detach(17, "0") }, []onevolume.Event{onevolume.StepStarted, onevolume.StepFailed},
			onevolume.Back, onevolume.Detaching},
		{"detach past the unplug", func() onevolume.Request { return detach(17, "0") }, []onevolume.Event{onevolume.StepStarted, onevolume.StepSucceeded},
			onevolume.Forward, onevolume.Wiping},
		{"detach plugged again", func() onevolume.Request { return detach(17, "0") },
			[]onevolume.Event{onevolume.StepStarted, onevolume.StepSucceeded, onevolume.UndoStarted, onevolume.UndoFinished}, onevolume.Forward, onevolume.Detaching},
		{"detach without wiping", func() onevolume.Request { r := detach(17, "0"); r.Leave = onevolume.LeaveData; return r },
			[]onevolume.Event{onevolume.StepStarted, onevolume.StepSucceeded}, onevolume.Forward, onevolume.Detaching},
	} {
		t.Run(c.name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				w.fill(t, gib, gib)
				w.attached(t, root, attachNamed(17, "0"))
				op, v := w.reserve(t, root, c.request())
				for _, e := range c.journal {
					w.clock.advance(time.Millisecond)
					w.record(t, op, []onevolume.Entry{entry(w, "unplug", e, "")}, onevolume.Note{})
				}
				w.finish(t, op, parked)
				w.clock.advance(time.Hour)
				got := w.reopen(t, op.ID, c.way)
				want := op
				want.Status, want.Way, want.Owner, want.Generation = onevolume.Running, c.way, "daemon 2", 2
				want.Lease, want.Term = w.clock.Now().Add(2*time.Minute), 2*time.Minute
				if got != want {
					t.Errorf("reopened as\n%+v, want\n%+v", got, want)
				}
				if read, err := w.Operation(t.Context(), op.ID); err != nil || read != want {
					t.Errorf("it is read as\n%+v, %v, want\n%+v", read, err, want)
				}
				if again := w.reopen(t, op.ID, c.way); again != want {
					t.Errorf("said again it is\n%+v, want\n%+v", again, want)
				}
				if now := w.volume(t, v.ID); now.State != c.want || now.Reason != "neither" || now.Attachment.VM != 17 {
					t.Errorf("the volume is %s in VM %d: %s; want %s", now.State, now.Attachment.VM, now.Reason, c.want)
				}
				// The volume is held by it, its old owner is not heard any more, and another's word comes too late.
				_, _, err := w.Reserve(t.Context(), root, detach(17, fmt.Sprint(v.ID)))
				wantCode(t, err, onevolume.Action, "")
				wantCode(t, w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}), onevolume.Stale, "")
				_, err = w.Reopen(t.Context(), op.ID, c.way, "daemon 3", time.Minute)
				wantCode(t, err, onevolume.Stale, "")
				w.clock.advance(time.Minute)
				w.record(t, got, nil, onevolume.Note{})
				if read, _ := w.Operation(t.Context(), op.ID); !read.Lease.Equal(w.clock.Now().Add(2 * time.Minute)) {
					t.Error("a renewal does not use the new owner's lease")
				}
				w.finish(t, got, parked)
				if w.reopen(t, op.ID, onevolume.Decide).Generation != 3 {
					t.Error("parked once more it is not reopened")
				}
			})
		})
	}
}

func TestReopenRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib, gib, gib)
		park := func(r onevolume.Request) onevolume.Operation {
			op, _ := w.reserve(t, root, r)
			w.finish(t, op, parked)
			return op
		}
		running, _ := w.reserve(t, root, attachNamed(17, "0"))
		w.attached(t, root, attachNamed(17, "1"))
		older := park(attachNamed(17, "2"))
		newer := park(detach(17, "2"))
		elsewhere := park(attachNamed(17, "3"))
		for _, state := range []onevolume.State{onevolume.Available, onevolume.Failed} {
			if err := w.Recover(t.Context(), 3, onevolume.Recovery{State: state, Reason: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		deleted := park(attachNamed(17, "4"))
		if err := w.Recover(t.Context(), 4, onevolume.Recovery{State: onevolume.Available}); err != nil {
			t.Fatal(err)
		}
		if err := w.Delete(t.Context(), 4, nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			id   int
			way  onevolume.Way
			code onevolume.Code
			text string
		}{
			{99, onevolume.Forward, onevolume.NotFound, "Error getting operation [99]."},
			{newer.ID, "sideways", onevolume.Invalid, ""},
			{running.ID, onevolume.Forward, onevolume.Action, "Operation 1 is RUNNING: only a parked one can be resumed or aborted."},
			{2, onevolume.Back, onevolume.Action, "Operation 2 is DONE: only a parked one can be resumed or aborted."},
			{older.ID, onevolume.Back, onevolume.Action, "Operation 3 is not the newest of volume 2: that is operation 4."},
			{elsewhere.ID, onevolume.Forward, onevolume.Action, "Operation 5 is UNDONE: only a parked one can be resumed or aborted."},
			{deleted.ID, onevolume.Back, onevolume.Action, ""},
		} {
			_, err := w.Reopen(t.Context(), c.id, c.way, "daemon", time.Minute)
			wantCode(t, err, c.code, c.text)
		}
		_, err := w.Reopen(t.Context(), newer.ID, onevolume.Back, "", time.Minute)
		wantCode(t, err, onevolume.Invalid, "")
		if v := w.volume(t, 2); v.State != onevolume.Failed {
			t.Errorf("a refused reopening left the volume %s", v.State)
		}
	})
}

func TestRecover(t *testing.T) {
	at := onevolume.Attachment{VM: 5, Host: "n2", Device: "sdz", Source: "/dev/x", Serial: "onevolume-0"}
	for _, c := range []struct {
		r     onevolume.Recovery
		want  onevolume.Volume
		ended onevolume.Status // of the attach that was parked
	}{
		{onevolume.Recovery{State: onevolume.Available, Reason: "x"},
			onevolume.Volume{Owner: root.Owner, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}, onevolume.Undone},
		{onevolume.Recovery{State: onevolume.Retained, Reason: "x"},
			onevolume.Volume{Owner: alice.Owner, Reason: "x", Attachment: onevolume.Attachment{VM: onevolume.NoVM}}, onevolume.Undone},
		{onevolume.Recovery{State: onevolume.Attached, Reason: "x", Attachment: at},
			onevolume.Volume{Owner: alice.Owner, Reason: "x", Attachment: at}, onevolume.Done},
		{onevolume.Recovery{State: onevolume.Attached, Attachment: onevolume.Attachment{VM: 17}},
			onevolume.Volume{Owner: alice.Owner, Attachment: onevolume.Attachment{VM: 17, Host: "n1"}}, onevolume.Done},
		{onevolume.Recovery{State: onevolume.Failed, Reason: "x", Attachment: at},
			onevolume.Volume{Owner: alice.Owner, Reason: "x", Attachment: onevolume.Attachment{VM: 17, Host: "n1"}}, onevolume.Parked},
	} {
		t.Run(string(c.r.State), func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				w.fill(t, gib)
				op, _ := w.reserve(t, alice, attach(17, gib))
				e := parked
				e.Note.Host = "n1"
				wantCode(t, w.Recover(t.Context(), 0, c.r), onevolume.Busy, "")
				w.finish(t, op, e)
				if err := w.Recover(t.Context(), 0, c.r); err != nil {
					t.Fatal(err)
				}
				v := w.volume(t, 0)
				if v.State != c.r.State || v.Owner != c.want.Owner || v.Reason != c.want.Reason || v.Attachment != c.want.Attachment {
					t.Errorf("volume\n got %+v\nwant %+v", v, c.want)
				}
				if op, _ = w.Operation(t.Context(), op.ID); op.Status != c.ended || op.Error != "neither" {
					t.Errorf("the operation is %s: %s, want %s", op.Status, op.Error, c.ended)
				}
				if err := w.Recover(t.Context(), 0, c.r); err != nil {
					t.Errorf("again: %v", err)
				}
				if again := w.volume(t, 0); again.Version != v.Version {
					t.Error("said again it wrote the volume")
				}
			})
		})
	}
}

func TestRecoverRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		for _, r := range []onevolume.Recovery{{}, {State: onevolume.Wiping}, {State: onevolume.Attached, Attachment: onevolume.Attachment{VM: -1}}} {
			wantCode(t, w.Recover(t.Context(), 0, r), onevolume.Invalid, "")
		}
		wantCode(t, w.Recover(t.Context(), 9, onevolume.Recovery{State: onevolume.Failed}), onevolume.NotFound, "Error getting volume [9].")
	})
}

func TestReplug(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Host: "n1", Device: "sdz"}})
		replug := func(vm onevolume.VMID, name string) onevolume.Request {
			r := detach(vm, name)
			r.Kind = onevolume.Replug
			return r
		}
		for _, c := range []struct {
			r    onevolume.Request
			code onevolume.Code
			text string
		}{
			{replug(18, "0"), onevolume.Action, "Volume 0 is not attached to VM 18 but to VM 17."},
			{replug(17, "1"), onevolume.Action, "Volume 1 is not attached to VM 17: it is AVAILABLE."},
			{replug(17, ""), onevolume.Invalid, "which volume to replug is missing"},
		} {
			_, _, err := w.Reserve(t.Context(), root, c.r)
			wantCode(t, err, c.code, c.text)
		}
		op, v := w.reserve(t, root, replug(17, "0"))
		want := onevolume.Attachment{VM: 17, Host: "n1", Device: "sdz"}
		if op.Prior != onevolume.Attached || v.State != onevolume.Attaching || v.Attachment != want || v.Owner != alice.Owner {
			t.Errorf("operation %+v on %+v", op, v)
		}
		for _, e := range []onevolume.Ending{
			{Status: onevolume.Undone, State: onevolume.Available}, {Status: onevolume.Undone, State: onevolume.Retained},
			{Status: onevolume.Done, State: onevolume.Available}, {Status: onevolume.Done, State: onevolume.Failed},
		} {
			wantCode(t, w.Finish(t.Context(), op.Ref(), e), onevolume.Invalid, "")
		}
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached, Error: "host away"})
		if v := w.volume(t, 0); v.State != onevolume.Attached || v.Attachment != want {
			t.Errorf("undone it left %+v", v)
		}
		op, _ = w.reserve(t, root, replug(17, "0"))
		w.finish(t, op, parked)
		_, _, err := w.Reserve(t.Context(), root, replug(17, "0"))
		wantCode(t, err, onevolume.Action, "Volume 0 is ERROR, in VM 17.")
	})
}

// A detach that was to keep the data does not give the volume out as blank.
func TestADetachThatKeepsDataEndsRetained(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		w.attached(t, alice, attach(17, gib))
		r := detach(17, "0")
		r.Leave = onevolume.LeaveData
		op, _ := w.reserve(t, alice, r)
		w.record(t, op, nil, onevolume.Note{State: onevolume.Wiping})
		wantCode(t, w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Available}), onevolume.Invalid,
			"Operation 2 cannot end DONE with its volume AVAILABLE: its data was to be kept.")
	})
}

func TestRunningAndHosts(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib, gib)
		if hosts, err := w.Hosts(t.Context()); err != nil || len(hosts) != 0 {
			t.Errorf("hosts %q, %v, want none", hosts, err)
		}
		late := attach(1, gib)
		late.Lease, late.VM.Host = time.Hour, "b"
		first, _ := w.reserve(t, root, late)
		w.clock.advance(time.Second)
		soon := attach(2, gib)
		soon.VM.Host = "a"
		second, _ := w.reserve(t, root, soon)
		gone := attach(3, gib)
		gone.VM.Host = "c"
		done, _ := w.reserve(t, root, gone)
		w.finish(t, done, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Host: "d"}})
		list, err := w.Running(t.Context())
		if err != nil || len(list) != 2 || list[0] != second || list[1] != first {
			t.Errorf("running %+v, %v", list, err)
		}
		if hosts, err := w.Hosts(t.Context()); err != nil || !slices.Equal(hosts, []string{"a", "b", "c", "d"}) {
			t.Errorf("hosts %q, %v", hosts, err)
		}
	})
}

// While the inventory is held nothing is given to anybody, and nothing wiped.
func TestHold(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib)
		w.attached(t, root, attachNamed(17, "0"))
		stuck, _ := w.reserve(t, root, attachNamed(17, "1"))
		w.finish(t, stuck, parked)
		if reason, err := w.Hold(t.Context()); reason != "" || err != nil {
			t.Errorf("held: %q, %v", reason, err)
		}
		exec(t, raw(t, w.options), "INSERT INTO one_volume_control (name, value, detail) VALUES ('hold', 1, 'it was restored')")
		if reason, err := w.Hold(t.Context()); reason != "it was restored" || err != nil {
			t.Errorf("held: %q, %v", reason, err)
		}
		keep := detach(17, "0")
		keep.Leave = onevolume.LeaveData
		for _, dry := range []bool{true, false} {
			for _, r := range []onevolume.Request{attach(18, gib), attachNamed(18, "2"), detach(17, "0")} {
				r.DryRun = dry
				_, _, err := w.Reserve(t.Context(), root, r)
				wantCode(t, err, onevolume.Action, "")
				if onevolume.HintOf(err) == "" {
					t.Error("no hint")
				}
			}
		}
		_, err := w.Reopen(t.Context(), stuck.ID, onevolume.Forward, "daemon", time.Minute)
		wantCode(t, err, onevolume.Action, "Nothing is attached now: the inventory is held: it was restored")
		w.finish(t, w.reopen(t, stuck.ID, onevolume.Back), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		op, _ := w.reserve(t, root, keep)
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached})
		for range 2 {
			if err := w.Lift(asks(t, root, "lift", "")); err != nil {
				t.Fatal(err)
			}
		}
		w.reserve(t, root, attach(18, gib))
		if deeds := w.history(t, all(root)); len(slices.DeleteFunc(deeds, func(d onevolume.Deed) bool { return d.Action != "lift" })) != 1 {
			t.Errorf("deeds %q, want one of the lift", lines(deeds))
		}
	})
}
