package daemon_test

import (
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/daemon"
	"onevolume/hypervisor/hypervisortest"
)

// begins another daemon after this one, which is stopped in whatever it does.
func (t *trip) restarts() {
	t.Helper()
	before := time.Now()
	t.halt()
	if took := time.Since(before); took > time.Second {
		t.Errorf("it took %s to stop", took)
	}
	old := t.Daemon
	t.Daemon = &daemon.Daemon{Store: old.Store, Cloud: old.Cloud, Ledger: old.Ledger, Engine: old.Engine, Log: old.Log, Now: old.Now,
		Name: "onevolumed@here pid 9", Orphan: func(owner string) bool { return owner != "onevolumed@here pid 9" }, Sweep: old.Sweep, GiveUp: old.GiveUp}
	t.wire(t.world)
	t.Start()
}

// The daemon is stopped while volumes wait for their VM, for longer than it
// tries anything else. The next one goes on, by looking where the VM is: it
// moved meanwhile, it moves later, or it stays.
func TestMoveOverRestart(t *testing.T) {
	for _, what := range []string{"moved meanwhile", "moves later", "stays"} {
		t.Run(what, func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				t := newTrip(w, 2)
				defer t.halt()
				t.premigrates(1)
				t.restarts()
				time.Sleep(2 * giveUp)
				if what == "moved meanwhile" {
					t.moves(0, 1)
				}
				t.restarts()
				// As a script whose answer was lost does: it waits for what runs. Of volumes that have moved already,
				// nothing runs.
				if n, err := t.Premigrate(t.Context(), root, session, vm.ID, "host02"); n != 2 && what != "moved meanwhile" || err != nil {
					t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
				}
				if what == "moves later" {
					t.moves(0, 1)
				}
				if what == "moved meanwhile" {
					time.Sleep(2 * sweep)
				} else {
					t.settles()
				}
				if what == "stays" {
					t.on(0, onevolume.Undone)
				} else {
					t.on(1, onevolume.Done)
				}
			})
		})
	}
}

// Nobody says that the VM is over with moving. That is seen on the hosts as
// soon as it is there; oned is believed only when it answers, and is asked at
// once when there was an event.
func TestMoveThatNobodyTellsOf(t *testing.T) {
	t.Run("moved, oned is silent", func(t *testing.T) {
		bubble(t, func(_ *testing.T, w *world) {
			t := newTrip(w, 1)
			defer w.halt()
			t.silent.Store(true)
			t.premigrates(1)
			t.moves(0, 1)
			time.Sleep(2 * sweep)
			t.on(1, onevolume.Done)
		})
	})
	t.Run("stays", func(t *testing.T) {
		bubble(t, func(_ *testing.T, w *world) {
			t := newTrip(w, 1)
			defer w.halt()
			t.premigrates(1)
			t.settled.Store(true)
			t.silent.Store(true)
			time.Sleep(10 * sweep)
			w.wants(t.volumes[0].ID, onevolume.Attached, onevolume.Running)
			t.ready()
			t.silent.Store(false)
			time.Sleep(2 * sweep)
			t.on(0, onevolume.Undone)
		})
	})
	t.Run("an event", func(t *testing.T) {
		bubble(t, func(_ *testing.T, w *world) {
			t := newTrip(w, 1)
			defer w.halt()
			t.premigrates(1)
			time.Sleep(time.Millisecond)
			w.Hear(vm.ID)
			time.Sleep(time.Millisecond)
			t.settled.Store(true) // oned publishes first, and writes it down then
			time.Sleep(2 * time.Second)
			t.on(0, onevolume.Undone)
		})
	})
}

// A VM that migrates cold is saved, and has its volumes where it is restored,
// before it is. One that was saved and is restored where it was has them
// there; nobody gets one that a domain still has.
func TestRestore(t *testing.T) {
	for to, host := range []string{"host01", "host02"} {
		t.Run(host, func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) { restore(newTrip(w, 2), to) })
		})
	}
}

func restore(t *trip, to int) {
	w, host := t.world, t.places[to].name
	defer w.halt()
	if n, err := w.Prerestore(t.Context(), root, session, vm.ID, host); n != 0 || onevolume.CodeOf(err) != onevolume.Held {
		t.Errorf("with its domain there: %d, %v", n, err)
	}
	saved, _ := w.virt.Domain(vm.DeployID)
	w.virt.RemoveDomain(vm.DeployID)
	for range 2 {
		if n, err := w.Prerestore(t.Context(), root, session, vm.ID, host); n != 2 || err != nil {
			t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
		}
	}
	t.places[to].virt.AddDomain(saved)
	t.settled.Store(true)
	w.Hear(vm.ID)
	time.Sleep(2 * time.Second)
	t.on(to, onevolume.Done)
}

// A VM that was prepared for one host is restored on another: the first is
// left.
func TestRestoreElsewhereAfterAll(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		t := newTrip(w, 1)
		defer w.halt()
		saved, _ := w.virt.Domain(vm.DeployID)
		w.virt.RemoveDomain(vm.DeployID)
		for _, p := range []int{1, 0} {
			if n, err := w.Prerestore(t.Context(), root, session, vm.ID, t.places[p].name); n != 1 || err != nil {
				t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
			}
		}
		w.virt.AddDomain(saved)
		t.settles()
		t.on(0, onevolume.Done)
	})
}

// Before a VM is started anew, the host that it was on is logged out, unless a
// domain there has the volume, or it does not answer.
func TestPredeploy(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		t := newTrip(w, 1)
		defer w.halt()
		id := t.volumes[0].ID
		deploys := func(host string, n int, code onevolume.Code, on string) {
			t.Helper()
			got, err := w.Predeploy(t.Context(), root, session, vm.ID, host)
			if got != n || err == nil && code != 0 || err != nil && onevolume.CodeOf(err) != code {
				t.Errorf("%d, %v", got, err)
			}
			if v, _ := w.wants(id, onevolume.Attached, onevolume.Undone); v.Attachment.Host != on {
				t.Errorf("it is on %q", v.Attachment.Host)
			}
		}
		deploys("host02", 0, onevolume.Held, "host01")
		w.virt.RemoveDomain(vm.DeployID)
		w.net.Down("host01", command.KindTimeout)
		deploys("host02", 0, 0, "host01")
		w.net.Down("host01", "")
		deploys("host01", 0, 0, "host01")
		for _, n := range []int{1, 0} {
			if got, err := w.Predeploy(t.Context(), root, session, vm.ID, "host02"); got != n || err != nil {
				t.Errorf("%d, %v", got, err)
			}
		}
		if v, _ := w.wants(id, onevolume.Attached, onevolume.Done); v.Attachment.Host != "" || len(w.host.Left()) > 0 {
			t.Errorf("it is on %q, and host01 has %q", v.Attachment.Host, w.host.Left())
		}
		// And one on no host is prepared for a restore all the same.
		if n, err := w.Prerestore(t.Context(), root, session, vm.ID, "host02"); n != 1 || err != nil {
			t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
		}
		t.places[1].virt.AddDomain(hypervisortest.Domain{Name: vm.DeployID})
		t.settles()
		if v, _ := w.wants(id, onevolume.Attached, onevolume.Undone); v.Attachment.Host != "" || len(t.places[1].host.Left()) > 0 {
			t.Errorf("it is on %q, and host02 has %q", v.Attachment.Host, t.places[1].host.Left())
		}
	})
}
