package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
)

var root = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}

const session = "alice:token"

// place is a host of memory.
type place struct {
	name string
	host *iscsitest.Host
	virt *hypervisortest.Memory
}

// trip is a world with two hosts, and a VM on the first with volumes.
type trip struct {
	*world
	places  [2]place
	volumes []onevolume.Volume
	// settled is what oned says of the VM: at rest, on its way, or nothing.
	settled  atomic.Bool
	silent   atomic.Bool
	followed atomic.Int64
	seen     map[string]bool // the hosts, and whether oned has them in sight
}

func newTrip(w *world, volumes int) *trip {
	w.Helper()
	t := &trip{world: w, places: [2]place{{"host01", w.host, w.virt}, {"host02", iscsitest.NewHost("host02", w.array), hypervisortest.NewMemory(w.T)}}}
	there := t.places[1]
	there.virt.UseDevices(func(path string) (string, bool) {
		u := there.host.UnitAt(path)
		return fmt.Sprintf("%p", u), u != nil
	})
	w.net.Add(there.name, func(c command.Cmd) (command.Result, error) {
		if res, mine := there.virt.Handle(c); mine {
			return res, nil
		}
		return there.host.Handle(c)
	})
	t.wire(w)
	w.Start()
	for i := range volumes {
		v := w.unit(fmt.Sprint("data", i), fmt.Sprint("iqn.2026-11.test:data", i))
		if _, err := w.Attach(w.Context(), alice, session, vm.ID, onevolume.Pick{Volume: v.Name}); err != nil {
			w.Fatal(err)
		}
		time.Sleep(time.Second)
		v, _ = w.wants(v.ID, onevolume.Attached, onevolume.Done)
		t.volumes = append(t.volumes, v)
	}
	return t
}

// wire gives the daemon somebody to ask about the VM.
func (t *trip) wire(w *world) {
	w.Settled = func(context.Context, onevolume.VMID) (bool, error) {
		if t.silent.Load() {
			return false, errors.New("oned does not answer")
		}
		return t.settled.Load(), nil
	}
	w.Seen = func(context.Context) (map[string]bool, error) { return t.seen, nil }
	w.Follow = func(onevolume.VMID) { t.followed.Add(1) }
}

// moves has libvirt move the domain, which fails as it does where a disk is
// missing.
func (t *trip) moves(from, to int) {
	t.Helper()
	d, there := t.places[from].virt.Domain(vm.DeployID)
	if !there {
		t.Fatalf("%s has no domain", t.places[from].name)
	}
	for _, k := range d.Disks {
		if u := t.places[to].host.UnitAt(k.Source); u == nil || u != t.places[from].host.UnitAt(k.Source) {
			t.Fatalf("Cannot access storage file '%s' on %s", k.Source, t.places[to].name)
		}
	}
	t.places[from].virt.RemoveDomain(vm.DeployID)
	t.places[to].virt.AddDomain(d)
}

// on asks that all volumes are on that host, and nothing of them on the other.
func (t *trip) on(at int, status onevolume.Status) {
	t.Helper()
	for _, v := range t.volumes {
		now, _ := t.wants(v.ID, onevolume.Attached, status)
		if now.Attachment.Host != t.places[at].name || now.Attachment.Source != v.Attachment.Source || now.Attachment.Serial != v.Attachment.Serial {
			t.Errorf("volume %d has %+v, not on %s", v.ID, now.Attachment, t.places[at].name)
		}
	}
	for i, p := range t.places {
		if left := p.host.Left(); (i == at) != (len(left) > 0) {
			t.Errorf("%s has %q", p.name, left)
		}
	}
}

// ready asks that both hosts have all volumes.
func (t *trip) ready() {
	t.Helper()
	for _, v := range t.volumes {
		for _, p := range t.places {
			if p.host.UnitAt(v.Attachment.Source) == nil {
				t.Errorf("%s does not have volume %d", p.name, v.ID)
			}
		}
	}
}

func (t *trip) premigrates(to int) {
	t.Helper()
	if n, err := t.Premigrate(t.Context(), root, session, vm.ID, t.places[to].name); err != nil || n != len(t.volumes) {
		t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
	}
	t.ready()
}

func (t *trip) settles() {
	t.Helper()
	if n, err := t.Settle(t.Context(), root, vm.ID); err != nil || n != len(t.volumes) {
		t.Fatalf("%d, %v (%s)", n, err, onevolume.HintOf(err))
	}
}

// A VM moves there and back; each call may come twice, and what comes after
// the end finds nothing to do.
func TestMoveThereAndBack(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		t := newTrip(w, 2)
		defer w.halt()
		for _, way := range [][2]int{{0, 1}, {1, 0}} {
			t.premigrates(way[1])
			t.premigrates(way[1])
			t.moves(way[0], way[1])
			t.settles()
			t.on(way[1], onevolume.Done)
			if n, err := w.Settle(t.Context(), root, vm.ID); n != 0 || err != nil {
				t.Errorf("settled twice: %d, %v", n, err)
			}
		}
		if t.followed.Load() == 0 {
			t.Error("nobody looked at the VM when it had moved")
		}
	})
}

// A VM without volumes costs nobody a question.
func TestMoveWithoutVolumes(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		w.Cloud = &cloud{err: errors.New("asked")}
		w.Start()
		defer w.halt()
		for _, call := range []func(context.Context, onevolume.Caller, string, onevolume.VMID, string) (int, error){w.Premigrate, w.Prerestore, w.Predeploy} {
			if n, err := call(w.Context(), root, session, vm.ID, "host02"); n != 0 || err != nil {
				w.Errorf("%d, %v", n, err)
			}
		}
		if n, err := w.Settle(w.Context(), root, vm.ID); n != 0 || err != nil {
			w.Errorf("%d, %v", n, err)
		}
	})
}

// One of two volumes cannot be had on the host that the VM is to go to: the
// VM must not move, the error says which one and why, and nothing is left.
func TestMoveRefused(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		t := newTrip(w, 2)
		defer w.halt()
		before, _ := w.virt.Domain(vm.DeployID)
		if err := w.db.Update(t.Context(), t.volumes[1].ID, func(v *onevolume.Volume) error { v.Size *= 2; return nil }); err != nil {
			t.Fatal(err)
		}
		n, err := w.Premigrate(t.Context(), root, session, vm.ID, "host02")
		if n != 0 || onevolume.CodeOf(err) != onevolume.Mismatch || !strings.Contains(err.Error(), "volume 1 (data1)") || onevolume.HintOf(err) == "" {
			t.Errorf("%d, %v (%s)", n, err, onevolume.HintOf(err))
		}
		t.on(0, onevolume.Undone)
		if now, _ := w.virt.Domain(vm.DeployID); fmt.Sprint(now) != fmt.Sprint(before) {
			t.Errorf("the domain was %+v and is %+v", before, now)
		}
		w.net.Down("host02", command.KindTimeout)
		n, err = w.Premigrate(t.Context(), root, session, vm.ID, "host02")
		if n != 0 || onevolume.CodeOf(err) != onevolume.Unreachable {
			t.Errorf("%d, %v", n, err)
		}
	})
}
