package daemon_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/daemon"
)

// jumps are what becomes of the time of the day.
var jumps = []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour}

// An owner that lives keeps its operation whatever the time of the day does.
func TestClockJumpRobsNoLivingOwner(t *testing.T) {
	for _, jump := range jumps {
		t.Run(fmt.Sprint(jump), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				v := w.volume()
				op := w.orphan(v)
				w.Start()
				defer w.halt()
				for i := range 30 {
					if i == 10 {
						w.skew.Store(int64(jump))
					}
					time.Sleep(lease / 3)
					if err := w.db.Record(t.Context(), op.Ref(), nil, onevolume.Note{}); err != nil {
						t.Fatalf("after %d words: %v", i, err)
					}
				}
				if n := w.taken.Load(); n != 0 {
					t.Errorf("taken over %d times", n)
				}
			})
		})
	}
}

// One that dies is followed in its time, whatever the time of the day does.
func TestClockJumpKeepsNoDeadOwner(t *testing.T) {
	for _, jump := range jumps {
		for _, after := range []time.Duration{time.Second, lease / 2} {
			t.Run(fmt.Sprint(jump, " after ", after), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					w.Start()
					defer w.halt()
					time.Sleep(sweep / 2)
					v := w.volume()
					w.orphan(v)
					time.Sleep(after)
					w.skew.Store(int64(jump))
					time.Sleep(lease - after - time.Second)
					w.wants(v.ID, onevolume.Attaching, onevolume.Running)
					time.Sleep(time.Second + sweep) // until it was seen first; then the lease counts to the moment
					synctest.Wait()
					w.wants(v.ID, onevolume.Available, onevolume.Undone)
				})
			})
		}
	}
}

// At the start a lease that has ended by the time of the day counts as ended.
func TestStartTakesOverWhatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		time.Sleep(lease + time.Second)
		w.Start()
		defer w.halt()
		synctest.Wait()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// Each owner's own term counts, not the daemon's.
func TestLongTerm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		const term = 5 * time.Minute
		op, _, err := w.db.Reserve(t.Context(), alice, onevolume.Request{Kind: onevolume.Attach, VM: vm,
			Pick: onevolume.Pick{Volume: v.Name}, Owner: "onevolume@there pid 2", Lease: term})
		if err != nil || op.Term != term {
			t.Fatal(op.Term, err)
		}
		w.Start()
		defer w.halt()
		for range 5 {
			time.Sleep(term - time.Second)
			w.wants(v.ID, onevolume.Attaching, onevolume.Running)
			if err := w.db.Record(t.Context(), op.Ref(), nil, onevolume.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(term + sweep)
		synctest.Wait()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// Of two daemons neither takes the other's work when the time of the day
// jumps.
func TestTwoDaemonsAndAClockThatJumps(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		second := &daemon.Daemon{Store: w.Store, Cloud: w.Cloud, Ledger: w.Ledger, Engine: w.Engine, Log: w.Log, Now: w.Now,
			Name: "onevolumed@there pid 3", Orphan: w.Orphan, Sweep: w.Sweep, GiveUp: w.GiveUp}
		w.Start()
		second.Start()
		w.gate = make(chan struct{})
		if _, err := w.Attach(t.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: v.Name}); err != nil {
			t.Fatal(err)
		}
		for _, jump := range jumps {
			w.skew.Store(int64(jump))
			time.Sleep(3 * lease)
		}
		close(w.gate)
		w.halt()
		second.Stop(t.Context())
		if _, op := w.wants(v.ID, onevolume.Attached, onevolume.Done); op.Generation != 1 || w.taken.Load() != 0 {
			t.Errorf("taken over %d times: %+v", w.taken.Load(), op)
		}
	})
}
