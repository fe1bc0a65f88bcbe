package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
)

// hanging is the net of a world in which dialling a host takes its time and
// comes to nothing, as long as it hangs.
type hanging struct {
	command.Dialer
	host  string
	hangs atomic.Bool
	dials atomic.Int64
}

func (h *hanging) Dial(ctx context.Context, host string) (command.Host, error) {
	if host == h.host && h.hangs.Load() {
		h.dials.Add(1)
		time.Sleep(10 * time.Second)
		return nil, &command.DialError{Host: host, Addr: host + ":22", Kind: command.KindTimeout, Err: errors.New("no answer within 10s")}
	}
	return h.Dialer.Dial(ctx, host)
}

// hundred makes host02 with a guest, and volumes for both hosts.
func (w *world) hundred(n int) (list []onevolume.Volume, other onevolume.VM) {
	w.Helper()
	host := iscsitest.NewHost("host02", w.array)
	virt := hypervisortest.NewMemory(w.T)
	virt.UseDevices(func(path string) (string, bool) {
		u := host.UnitAt(path)
		return fmt.Sprintf("%p", u), u != nil
	})
	virt.AddDomain(hypervisortest.Domain{Name: "one-18"})
	w.net.Add("host02", func(c command.Cmd) (command.Result, error) {
		if res, mine := virt.Handle(c); mine {
			return res, nil
		}
		return host.Handle(c)
	})
	for i := range n {
		list = append(list, w.unit(fmt.Sprint("disk", i), fmt.Sprint("iqn.2026-11.test:", i)))
	}
	other = vm
	other.ID, other.Host, other.DeployID = 18, "host02", "one-18"
	return list, other
}

// die opens an attach of the volume for a client that dies at once.
func (w *world) die(v onevolume.Volume, vm onevolume.VM) {
	w.Helper()
	_, _, err := w.db.Reserve(w.Context(), alice, onevolume.Request{Kind: onevolume.Attach, VM: vm,
		Pick: onevolume.Pick{Volume: v.Name}, Owner: "onevolume@there pid " + v.Name, Lease: lease})
	if err != nil {
		w.Fatal(err)
	}
}

// A host hangs with 50 operations on it that need a new owner. Those on
// another host have theirs ended at once, and new work there is as quick as
// ever. When the host answers again, so are the 50.
func TestHungHostBlocksOnlyItself(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		const n = 50
		vols, other := w.hundred(n + 20)
		net := &hanging{Dialer: w.net, host: "host01"}
		net.hangs.Store(true)
		w.Engine.Hosts = command.NewGuard(net, command.GuardOptions{})
		w.Cloud = &cloud{also: other}
		for _, v := range vols[:n] {
			w.die(v, vm)
		}
		w.Start()
		defer w.halt()
		time.Sleep(lease - sweep/2) // the 50 are due before these
		for _, v := range vols[n : n+10] {
			w.die(v, other)
		}
		time.Sleep(lease + sweep)
		synctest.Wait()
		for _, v := range vols[n : n+10] {
			w.wants(v.ID, onevolume.Available, onevolume.Undone)
		}
		for _, v := range vols[n+10:] {
			start := time.Now()
			if _, err := w.Attach(t.Context(), alice, "alice:token", other.ID, onevolume.Pick{Volume: v.Name}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			w.wants(v.ID, onevolume.Attached, onevolume.Done)
			if took := time.Since(start); took > time.Second {
				t.Errorf("attaching on host02 took %s", took)
			}
		}
		if n := net.dials.Load(); n > 16 {
			t.Errorf("host01 was dialled %d times", n)
		}
		for _, v := range vols[:n] {
			w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		}
		net.hangs.Store(false)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		for _, v := range vols[:n] {
			w.wants(v.ID, onevolume.Available, onevolume.Undone)
		}
	})
}

// Work that waits for others on its host is not given up for that.
func TestWaitingForATurnIsNotGivingUp(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		v := w.volume()
		guard := command.NewGuard(w.net, command.GuardOptions{Connections: 1, Wait: time.Minute})
		w.Engine.Hosts = guard
		h, err := guard.Dial(t.Context(), "host01") // which somebody keeps
		if err != nil {
			t.Fatal(err)
		}
		w.orphan(v)
		w.Start()
		defer w.halt()
		time.Sleep(3 * giveUp)
		w.wants(v.ID, onevolume.Attaching, onevolume.Running)
		h.Close()
		time.Sleep(2 * lease)
		synctest.Wait()
		w.wants(v.ID, onevolume.Available, onevolume.Undone)
	})
}

// failing is a store of which some calls fail.
type failing struct {
	counting
	takeOver, volume, journal, running atomic.Bool
}

func fails(b *atomic.Bool) error {
	if b.Load() {
		return onevolume.Errorf(onevolume.Internal, "the test: the database does not answer")
	}
	return nil
}

func (f *failing) Running(ctx context.Context) ([]onevolume.Operation, error) {
	if err := fails(&f.running); err != nil {
		return nil, err
	}
	return f.counting.Running(ctx)
}

func (f *failing) TakeOver(ctx context.Context, op onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (onevolume.Operation, error) {
	if err := fails(&f.takeOver); err != nil {
		return onevolume.Operation{}, err
	}
	return f.counting.TakeOver(ctx, op, owner, lease, dead)
}

func (f *failing) Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	if err := fails(&f.volume); err != nil {
		return onevolume.Volume{}, err
	}
	return f.counting.Volume(ctx, id)
}

func (f *failing) Journal(ctx context.Context, id int) ([]onevolume.Entry, error) {
	if err := fails(&f.journal); err != nil {
		return nil, err
	}
	return f.counting.Journal(ctx, id)
}

// Whichever call of the database's fails for a while, the operation ends when
// it does not fail any more.
func TestDatabaseFailsForAWhile(t *testing.T) {
	for name, which := range map[string]func(f *failing) *atomic.Bool{
		"running":   func(f *failing) *atomic.Bool { return &f.running },
		"take over": func(f *failing) *atomic.Bool { return &f.takeOver },
		"volume":    func(f *failing) *atomic.Bool { return &f.volume },
		"journal":   func(f *failing) *atomic.Bool { return &f.journal },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				v := w.volume()
				w.orphan(v)
				store := &failing{counting: counting{w.db, w}}
				w.Store = store
				which(store).Store(true)
				w.Start()
				defer w.halt()
				time.Sleep(giveUp / 2)
				w.wants(v.ID, onevolume.Attaching, onevolume.Running)
				which(store).Store(false)
				time.Sleep(2*lease + 2*sweep)
				synctest.Wait()
				w.wants(v.ID, onevolume.Available, onevolume.Undone)
			})
		})
	}
}

// What cannot be carried on, ever, is parked with the reason: at once when
// that is certain, else in the end.
func TestNothingIsTriedForEver(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(w *world, op onevolume.Operation)
		after  time.Duration
		reason string
	}{
		"journal of another workflow": {func(w *world, op onevolume.Operation) {
			if err := w.db.Record(w.Context(), op.Ref(), []onevolume.Entry{{Step: "teleport", Event: onevolume.StepStarted}}, onevolume.Note{}); err != nil {
				w.Fatal(err)
			}
		}, lease + sweep, "teleport"},
		"unknown hypervisor": {func(w *world, _ onevolume.Operation) {
			w.Engine.Driver = func(onevolume.VM) (hypervisor.Driver, error) {
				return nil, onevolume.Errorf(onevolume.Invalid, "no driver for vcenter")
			}
		}, lease + sweep, "vcenter"},
		"journal that cannot be read": {func(w *world, _ onevolume.Operation) {
			store := &failing{counting: counting{w.db, w}}
			store.journal.Store(true)
			w.Store = store
		}, giveUp + 3*lease, "gave up"},
		"ending that is refused": {func(w *world, _ onevolume.Operation) {
			ledger := w.Ledger
			w.Ledger = func(who onevolume.Caller) onevolume.Ledger { return stubborn{ledger(who)} }
		}, giveUp + 3*lease, "gave up"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				v := w.volume()
				c.spoil(w, w.orphan(v))
				w.Start()
				defer w.halt()
				time.Sleep(c.after)
				synctest.Wait()
				if got, _ := w.wants(v.ID, onevolume.Failed, onevolume.Parked); !strings.Contains(got.Reason, c.reason) {
					t.Errorf("reason %q", got.Reason)
				}
			})
		})
	}
}

// stubborn lets nothing be undone.
type stubborn struct{ onevolume.Ledger }

func (l stubborn) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	if e.Status == onevolume.Undone {
		return onevolume.Errorf(onevolume.Invalid, "the test: it cannot end so")
	}
	return l.Ledger.Finish(ctx, op, e)
}
