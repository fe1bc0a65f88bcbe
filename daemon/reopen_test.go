package daemon_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
)

// parked is a volume whose operation was given up because the host did not
// answer. It answers again now.
func (w *world) parked(begin func(v onevolume.Volume)) (onevolume.Volume, onevolume.Operation) {
	w.Helper()
	v := w.volume()
	begin(v)
	w.net.Down("host01", command.KindTimeout)
	time.Sleep(lease + giveUp + 3*lease)
	w.net.Down("host01", "")
	return w.wants(v.ID, onevolume.Failed, onevolume.Parked)
}

// attach has a volume attached, without trouble.
func (w *world) attach(v onevolume.Volume) {
	w.Helper()
	if _, err := w.Attach(w.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: v.Name}); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
	w.wants(v.ID, onevolume.Attached, onevolume.Done)
}

// detaching opens a detach as a client would that dies at once, or, when the
// guest is to have let go, in the middle.
func (w *world) detaching(leave onevolume.Leave, letGo bool) func(v onevolume.Volume) {
	return func(v onevolume.Volume) {
		w.Helper()
		w.attach(v)
		op, _, err := w.db.Reserve(w.Context(), alice, onevolume.Request{Kind: onevolume.Detach, VM: vm, Leave: leave,
			Pick: onevolume.Pick{Volume: v.Name}, Owner: "onevolume@there pid 2", Lease: lease})
		if err != nil {
			w.Fatal(err)
		}
		if !letGo {
			return
		}
		w.virt.Edit("one-17", func(d *hypervisortest.Domain) { d.Disks = nil })
		note := onevolume.Note{}
		if leave != onevolume.LeaveData {
			note.State = onevolume.Wiping
		}
		err = w.db.Record(w.Context(), op.Ref(), []onevolume.Entry{{Step: "unplug", Event: onevolume.StepStarted},
			{Step: "unplug", Event: onevolume.StepSucceeded, Detail: "{}"}}, note)
		if err != nil {
			w.Fatal(err)
		}
	}
}

// disks are what is of ours in the guest and on the host.
func (w *world) disks() (guest, host int) {
	d, _ := w.virt.Domain("one-17")
	return len(d.Disks), len(w.host.Left())
}

func TestReopen(t *testing.T) {
	for _, c := range []struct {
		name   string
		begin  func(w *world) func(onevolume.Volume)
		way    onevolume.Way
		state  onevolume.State
		status onevolume.Status
		guest  int
		reason string
	}{
		{"resume an attach", func(w *world) func(onevolume.Volume) { return func(v onevolume.Volume) { w.orphan(v) } },
			onevolume.Forward, onevolume.Attached, onevolume.Done, 1, ""},
		{"abort an attach", func(w *world) func(onevolume.Volume) { return func(v onevolume.Volume) { w.orphan(v) } },
			onevolume.Back, onevolume.Available, onevolume.Undone, 0, ""},
		{"resume a detach", func(w *world) func(onevolume.Volume) { return w.detaching(onevolume.LeaveZeroes, false) },
			onevolume.Forward, onevolume.Available, onevolume.Done, 0, ""},
		{"abort a detach", func(w *world) func(onevolume.Volume) { return w.detaching(onevolume.LeaveZeroes, false) },
			onevolume.Back, onevolume.Attached, onevolume.Undone, 1, ""},
		{"resume a detach after the guest let go", func(w *world) func(onevolume.Volume) { return w.detaching(onevolume.LeaveZeroes, true) },
			onevolume.Forward, onevolume.Available, onevolume.Done, 0, ""},
		{"abort a detach after the guest let go", func(w *world) func(onevolume.Volume) { return w.detaching(onevolume.LeaveZeroes, true) },
			onevolume.Back, onevolume.Failed, onevolume.Parked, 0, "cannot be taken back any more. carry it on: onevolume resume"},
		{"the same with data that stays", func(w *world) func(onevolume.Volume) { return w.detaching(onevolume.LeaveData, true) },
			onevolume.Back, onevolume.Failed, onevolume.Parked, 0, "cannot be taken back any more. carry it on: onevolume resume"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.Start()
				defer w.halt()
				v, op := w.parked(c.begin(w))
				do := w.Daemon.Resume
				if c.way == onevolume.Back {
					do = w.Daemon.Abort
				}
				if err := do(t.Context(), alice, op.ID); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				got, after := w.wants(v.ID, c.state, c.status)
				if after.ID != op.ID || after.Way != c.way || after.Generation != op.Generation+1 || after.Owner != w.Name {
					t.Errorf("operation %+v", after)
				}
				if !strings.Contains(got.Reason, c.reason) {
					t.Errorf("reason %q", got.Reason)
				}
				if guest, host := w.disks(); guest != c.guest || c.state.Free() && host > 0 {
					t.Errorf("%d disks in the guest, %q on the host", guest, w.host.Left())
				}
			})
		})
	}
}

// Aborting what cannot be taken back does no harm: it can be resumed.
func TestResumeAfterAbort(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.Start()
		defer w.halt()
		v, op := w.parked(w.detaching(onevolume.LeaveZeroes, true))
		for _, do := range []func(context.Context, onevolume.Caller, int) error{w.Abort, w.Daemon.Resume} {
			if err := do(t.Context(), alice, op.ID); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		w.wants(v.ID, onevolume.Available, onevolume.Done)
	})
}

// Only what is parked can be reopened, and only once at a time.
func TestReopenRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.Start()
		v := w.volume()
		op := w.orphan(v)
		err := w.Daemon.Resume(t.Context(), alice, op.ID)
		if onevolume.CodeOf(err) != onevolume.Action || onevolume.HintOf(err) == "" ||
			!strings.Contains(err.Error(), op.Owner) || !strings.Contains(err.Error(), op.Lease.Format(time.RFC3339)) {
			t.Errorf("running: %v", err)
		}
		if err := w.Abort(t.Context(), alice, 99); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("no such operation: %v", err)
		}
		time.Sleep(2 * lease)
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
		if err := w.Abort(t.Context(), alice, op.ID); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("undone: %v", err)
		}
		w.halt()
		if err := w.Abort(t.Context(), alice, op.ID); onevolume.CodeOf(err) != onevolume.Unreachable {
			t.Errorf("stopping: %v", err)
		}
	})
}

// Of many who reopen an operation one does.
func TestReopenOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.Start()
		defer w.halt()
		v, op := w.parked(func(v onevolume.Volume) { w.orphan(v) })
		w.gate = make(chan struct{})
		var wg sync.WaitGroup
		errs := make(chan error, 10)
		for i := range 10 {
			do := w.Daemon.Resume
			if i%2 == 0 {
				do = w.Abort
			}
			wg.Go(func() { errs <- do(t.Context(), alice, op.ID) })
		}
		wg.Wait()
		close(errs)
		won := 0
		for err := range errs {
			if err == nil {
				won++
			} else if code := onevolume.CodeOf(err); code != onevolume.Action {
				t.Errorf("a loser gets %v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d reopened it", won)
		}
		close(w.gate)
		synctest.Wait()
		if v, after := w.read(v.ID); after.Generation != op.Generation+1 || v.State.Moving() {
			t.Errorf("%+v, volume %s", after, v.State)
		}
	})
}

// A host that still does not answer is tried as long as by the sweep, and the
// operation is parked again.
func TestReopenedIsParkedAgain(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.Start()
		defer w.halt()
		v, op := w.parked(func(v onevolume.Volume) { w.orphan(v) })
		w.net.Down("host01", command.KindTimeout)
		if err := w.Daemon.Resume(t.Context(), alice, op.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(giveUp / 2)
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		time.Sleep(giveUp/2 + 3*lease)
		w.wants(v.ID, onevolume.Failed, onevolume.Parked)
	})
}

// Whoever takes a reopened operation over goes the way that was chosen.
func TestWayOutlivesItsOwner(t *testing.T) {
	for way, want := range map[onevolume.Way]onevolume.State{onevolume.Forward: onevolume.Attached, onevolume.Back: onevolume.Available, onevolume.Decide: onevolume.Available} {
		t.Run(string(way), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				w.Start()
				defer w.halt()
				v, op := w.parked(func(v onevolume.Volume) { w.orphan(v) })
				if _, err := w.db.Reopen(t.Context(), op.ID, way, "onevolumed@there pid 9", lease); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2*lease + 2*sweep)
				synctest.Wait()
				_, after := w.wants(v.ID, want, map[bool]onevolume.Status{true: onevolume.Done, false: onevolume.Undone}[want == onevolume.Attached])
				if after.Owner != w.Name || after.Way != way {
					t.Errorf("%+v", after)
				}
			})
		})
	}
}
