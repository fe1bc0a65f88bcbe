package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/daemon"
)

// Attach and Detach answer when the volume is reserved and go on when the
// caller has gone.
func TestWorkGoesOnWithoutTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.Start()
		defer w.halt()
		for _, do := range []struct {
			call  func(ctx context.Context) (onevolume.VolumeID, error)
			then  onevolume.State
			after onevolume.State
		}{
			{func(ctx context.Context) (onevolume.VolumeID, error) {
				return w.Attach(ctx, alice, "alice:token", vm.ID, onevolume.Pick{Size: onevolume.MiB})
			}, onevolume.Attaching, onevolume.Attached},
			{func(ctx context.Context) (onevolume.VolumeID, error) {
				return w.Detach(ctx, alice, "alice:token", vm.ID, v.ID, onevolume.LeaveData, false)
			}, onevolume.Detaching, onevolume.Retained},
		} {
			w.gate = make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			id, err := do.call(ctx)
			if err != nil || id != v.ID {
				t.Fatal(id, err)
			}
			cancel()
			w.wants(v.ID, do.then, onevolume.Running)
			time.Sleep(5 * lease) // the lease is kept meanwhile
			w.wants(v.ID, do.then, onevolume.Running)
			close(w.gate)
			synctest.Wait()
			_, op := w.wants(v.ID, do.after, onevolume.Done)
			if op.By != alice.Owner || op.Generation != 1 || !strings.HasPrefix(op.Owner, w.Name+" ") {
				t.Errorf("operation %+v", op)
			}
			w.gate = nil
		}
		if n := w.taken.Load(); n != 0 {
			t.Errorf("%d operations were taken over", n)
		}
	})
}

// What oned or the inventory refuses begins nothing.
func TestRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.Start()
		defer w.halt()
		w.Cloud = &cloud{err: onevolume.Missing("virtual machine", 99)}
		if _, err := w.Attach(t.Context(), alice, "alice:token", 99, onevolume.Pick{Volume: "disk"}); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("no such VM: %v", err)
		}
		w.Cloud = &cloud{}
		if _, err := w.Attach(t.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Size: onevolume.TiB}); onevolume.CodeOf(err) != onevolume.NoneFits {
			t.Errorf("too large: %v", err)
		}
		if _, err := w.Detach(t.Context(), alice, "alice:token", vm.ID, v.ID, onevolume.LeaveZeroes, false); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("not attached: %v", err)
		}
		if got, err := w.db.Volume(t.Context(), v.ID); err != nil || got.State != onevolume.Available || got.Operation != 0 {
			t.Errorf("volume %+v, %v", got, err)
		}
	})
}

func TestStopWaitsForWork(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.Start()
		w.gate = make(chan struct{})
		if _, err := w.Attach(t.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: "disk"}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Minute, func() { close(w.gate) })
		start := time.Now()
		w.halt()
		if took := time.Since(start); took != time.Minute {
			t.Errorf("stopping took %s, want the minute that the work takes", took)
		}
		w.wants(v.ID, onevolume.Attached, onevolume.Done)
	})
}

func TestStopWaitsNotForEver(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.Start()
		w.gate = make(chan struct{})
		if _, err := w.Attach(t.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: "disk"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		w.Stop(ctx)
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("stopping took %s", took)
		}
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		_, err := w.Attach(t.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: "disk"})
		if onevolume.CodeOf(err) != onevolume.Unreachable || onevolume.HintOf(err) == "" {
			t.Errorf("new work is answered with %v", err)
		}
		close(w.gate) // the process would be gone now; the bubble wants an end
		w.halt()
	})
}

// The lease of an owner who is not known to be dead is waited for.
func TestSweepWaitsForTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		op := w.orphan(v)
		w.Start()
		defer w.halt()
		time.Sleep(lease - time.Second)
		if _, op := w.wants(v.ID, onevolume.Attaching, onevolume.Running); op.Generation != 1 {
			t.Errorf("taken over before its time: %+v", op)
		}
		time.Sleep(sweep + 2*time.Second)
		synctest.Wait()
		_, got := w.wants(v.ID, onevolume.Available, onevolume.Undone)
		if got.Generation != 2 || got.Owner != w.Name || got.ID != op.ID {
			t.Errorf("operation %+v", got)
		}
	})
}

// At the start nobody waits for the lease of an owner who is dead.
func TestStartTakesOverFromTheDead(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		op := w.orphan(v)
		w.Orphan = func(owner string) bool { return owner == op.Owner }
		w.Start()
		defer w.halt()
		synctest.Wait()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// An owner who renews its lease keeps the operation.
func TestSweepLeavesTheLiving(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		op := w.orphan(v)
		w.Start()
		defer w.halt()
		for range 10 {
			time.Sleep(lease / 2)
			if err := w.db.Record(t.Context(), op.Ref(), nil, onevolume.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
	})
}

// A host that does not answer is tried again, until that has gone on for too
// long.
func TestParkedAfterGiveUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		w.net.Down("host01", command.KindTimeout)
		w.Start()
		defer w.halt()
		time.Sleep(lease + giveUp - 2*sweep)
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		if n := w.taken.Load(); n < 5 {
			t.Errorf("tried %d times in %s", n, giveUp)
		}
		time.Sleep(3 * lease)
		got, _ := w.wants(v.ID, onevolume.Failed, onevolume.Parked)
		if !strings.Contains(got.Reason, "gave up") || !strings.Contains(got.Reason, "host01") {
			t.Errorf("reason %q", got.Reason)
		}
		n := w.taken.Load()
		time.Sleep(giveUp)
		if now := w.taken.Load(); now != n {
			t.Errorf("taken over %d times more after it was parked", now-n)
		}
		if w.log.FilterMessageSnippet("parked").Len() != 1 {
			t.Errorf("the log says %v", w.log.All())
		}
	})
}

// A host that answers again before that has its operation ended.
func TestHostComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		w.net.Down("host01", command.KindTimeout)
		w.Start()
		defer w.halt()
		time.Sleep(giveUp / 2)
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		w.net.Down("host01", "")
		time.Sleep(2 * lease)
		synctest.Wait()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// The time to give up counts anew for an owner who lived in between.
func TestGiveUpCountsFromTheOwnersDeath(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		op := w.orphan(v)
		w.Store = &busyOnce{counting: counting{w.db, w}, op: op}
		w.net.Down("host01", command.KindTimeout)
		w.Start()
		defer w.halt()
		for range 60 {
			time.Sleep(lease / 2)
			if err := w.db.Record(t.Context(), op.Ref(), nil, onevolume.Note{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(giveUp / 2) // it is dead now; the host has been tried for less than GiveUp
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
	})
}

// busyOnce lists an operation whose owner renews the lease in the same
// moment.
type busyOnce struct {
	counting
	op   onevolume.Operation
	told bool
}

func (b *busyOnce) Running(ctx context.Context) ([]onevolume.Operation, error) {
	if !b.told {
		b.told = true
		op := b.op
		op.Lease = time.Now()
		return []onevolume.Operation{op}, nil
	}
	return b.counting.Running(ctx)
}

// An operation that is being resumed is not taken over a second time, however
// long that lasts.
func TestResumeIsNotTakenTwice(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		w.gate = make(chan struct{})
		w.Start()
		time.Sleep(10 * lease)
		if n := w.taken.Load(); n != 1 {
			t.Errorf("taken over %d times", n)
		}
		close(w.gate)
		w.halt()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// The same holds when its lease could not be renewed.
func TestResumeIsNotTakenTwiceWithoutLease(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		service := w.Ledger
		w.Ledger = func(who onevolume.Caller) onevolume.Ledger { return mute{service(who)} }
		w.gate = make(chan struct{})
		w.Start()
		time.Sleep(10 * lease)
		if n := w.taken.Load(); n != 1 {
			t.Errorf("taken over %d times", n)
		}
		close(w.gate)
		w.halt()
	})
}

// mute is a ledger that cannot be written.
type mute struct{ onevolume.Ledger }

func (mute) Record(context.Context, onevolume.OperationRef, []onevolume.Entry, onevolume.Note) error {
	return errors.New("the disk is full")
}

// Of two daemons one ends the operation.
func TestTwoDaemons(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		w.orphan(v)
		second := &daemon.Daemon{Store: w.Store, Cloud: w.Cloud, Ledger: w.Ledger, Engine: w.Engine, Log: w.Log, Now: w.Now,
			Name: "onevolumed@there pid 3", Orphan: w.Orphan, Sweep: w.Sweep, GiveUp: w.GiveUp}
		w.Start()
		second.Start()
		time.Sleep(lease + 3*sweep)
		w.halt()
		second.Stop(t.Context())
		if _, op := w.wants(v.ID, onevolume.Available, onevolume.Undone); op.Generation != 2 {
			t.Errorf("operation %+v", op)
		}
	})
}

func TestOwnerAt(t *testing.T) {
	for owner, want := range map[string]string{
		"onevolumed@host1 user one pid 4": "user one pid 4", "onevolumed@host10 user one pid 4": "", "onevolume@host1 user one pid 4": "",
	} {
		if rest, ok := daemon.OwnerAt(owner, "onevolumed", "host1"); rest != want && ok || ok != (want != "") {
			t.Errorf("OwnerAt(%q) = %q, %v", owner, rest, ok)
		}
	}
}
