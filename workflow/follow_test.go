package workflow_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/command"
	"onevolume/daemon/follower"
	"onevolume/follow"
	"onevolume/hypervisor/hypervisortest"
)

// These tests let everything happen to a VM that can (package follow), on
// hosts of memory, and have whoever works on its volume die around each write
// to the journal.

// drama is a VM with a volume that a follower follows.
type drama struct {
	*cloud
	happening follow.Happening
	v         onevolume.Volume
	name      string // of the domain
	follower  *follower.Follower

	mu    sync.Mutex
	vm    follower.VM
	gone  bool
	lost  bool // oned has lost sight of host a
	boots int
	saved *hypervisortest.Domain

	crash  crash // around one of all writes
	writes int   // so far
	runs   int
	died   bool
}

func (d *drama) VMs(_ context.Context, ids []onevolume.VMID) (map[onevolume.VMID]follower.VM, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(ids) != 1 || ids[0] != d.vm.ID {
		d.Errorf("asked for VMs %v", ids)
	}
	if d.gone {
		return nil, nil
	}
	return map[onevolume.VMID]follower.VM{d.vm.ID: d.vm}, nil
}

func (d *drama) Seen(context.Context) (map[string]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return map[string]bool{"a": !d.lost, "b": true}, nil
}

func (d *drama) Attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error) {
	v, err := d.db.Volume(ctx, d.v.ID) // the ground has other clouds' too
	if err != nil || v.State != onevolume.Attached {
		return nil, err
	}
	return []onevolume.Volume{v}, nil
}

func (d *drama) Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	return d.db.Volume(ctx, id)
}

func (d *drama) Explain(ctx context.Context, id onevolume.VolumeID, reason string) error {
	return d.db.Explain(ctx, id, reason)
}

func (d *drama) OnHost(ctx context.Context, host string) (list []onevolume.Volume, err error) {
	v, err := d.db.Volume(ctx, d.v.ID)
	if err == nil && v.Attachment.Host == host {
		list = []onevolume.Volume{v}
	}
	return list, err
}

func (d *drama) Fences(ctx context.Context) ([]onevolume.FenceRecord, error) {
	list, err := d.db.Fences(ctx)
	return slices.DeleteFunc(list, func(f onevolume.FenceRecord) bool { return f.Volume != d.v.ID }), err
}

func (d *drama) Clean(ctx context.Context, f onevolume.FenceRecord) error { return d.db.Clean(ctx, f) }

func (d *drama) Delete(ctx context.Context, id onevolume.VolumeID) error {
	return d.db.Delete(ctx, id, func(*onevolume.Volume) error { return nil })
}

// Do has a process of its own run the operation. The write of the given
// number, counted through all, may be its last.
func (d *drama) Do(ctx context.Context, r onevolume.Request) error {
	d.runs++
	p := d.process(fmt.Sprintf("follower %d", d.runs))
	if d.crash.at > d.writes {
		p.crash = crash{d.crash.at - d.writes, d.crash.after}
	}
	_, err := p.run(ctx, r)
	d.writes += len(p.writes)
	if p.gone() {
		d.died = true
		p.hangUp()
	}
	return err
}

func (d *drama) HasDisk(ctx context.Context, vm onevolume.VM, v onevolume.Volume) (bool, error) {
	return d.process("looker").engine.HasDisk(ctx, vm, v)
}

// play lets the happening happen, and the follower live through it.
func (d *drama) play() {
	d.Helper()
	for _, p := range d.happening.Way {
		d.enter(p)
		d.follower.Hear(d.vm.ID)
		d.rest()
		if p.Lost && d.vm.Stage == follow.Runs {
			if d.happening.Array {
				d.fenced()
			} else if v := d.read(d.v.ID); v.Reason == "" || v.Attachment.Host != "a" || d.died && v.State != onevolume.Attached {
				d.Errorf("%s, host a lost: the volume is %s with %+v, for %q", d.happening.Name, v.State, v.Attachment, v.Reason)
			}
		}
	}
}

// rest lets time pass until what is to be done has been, also after a death.
func (d *drama) rest() {
	d.Helper()
	synctest.Wait()
	for range 3 {
		time.Sleep(3 * time.Second) // a second look, and a retry
		synctest.Wait()
		if len(d.running()) > 0 {
			d.sweeps()
		}
	}
	if d.died {
		time.Sleep(31 * time.Second) // until the next look at everything
		synctest.Wait()
	}
}

// enter brings oned and the hosts to a point. What libvirt has is what
// OpenNebula's scripts leave: a domain that ends loses what was plugged, one
// that is saved keeps it.
func (d *drama) enter(p follow.Point) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a, b := d.machine("a"), d.machine("b")
	if d.lost && !p.Lost { // host a is back: it was started anew, unless the VM lives on there
		if p.Host != "a" || p.VM().Stage != follow.Runs {
			a.virt.RemoveDomain(d.name)
			a.iscsi.Reboot()
		}
	}
	d.lost, d.gone = p.Lost, p.Gone
	if d.happening.Array && d.lost {
		d.net.Down("a", command.KindTimeout) // frozen: its domain is there
	}
	d.vm.Stage, d.vm.Host = p.VM().Stage, p.Host
	at := ""
	for _, m := range []*machine{a, b} {
		if _, ok := m.virt.Domain(d.name); ok {
			at = m.name
		}
	}
	d.vm.Running = d.vm.Stage == follow.Runs
	switch d.vm.Stage {
	case follow.Off, follow.Ended, follow.Gone:
		if at != "" && !d.lost {
			d.machine(at).virt.RemoveDomain(d.name)
		}
	case follow.Saved:
		dom, _ := d.machine(at).virt.Domain(d.name)
		d.saved = &dom
		d.machine(at).virt.RemoveDomain(d.name)
	case follow.Runs:
		d.run(at, d.machine(p.Host))
	}
}

// run has the VM run on a host.
func (d *drama) run(at string, on *machine) {
	next := hypervisortest.Domain{Name: d.name}
	switch {
	case at == on.name && d.happening.Name != "poweroff and resume between two looks":
		return
	case d.saved != nil:
		next, d.saved = *d.saved, nil
	case d.happening.Name == "live migration", d.happening.Name == "cold migration":
		next, _ = d.machine(at).virt.Domain(d.name)
		on.iscsi.Login(d.v.Target)
	}
	d.boots++
	d.vm.Boot = fmt.Sprint(d.boots)
	if at != "" && !d.blind(at) {
		d.machine(at).virt.RemoveDomain(d.name)
	}
	d.domain(on, next)
}

// blind says whether a host cannot be reached by oned.
func (d *drama) blind(host string) bool { return d.lost && host == "a" }

// newDrama sets the scene.
func newDrama(t *testing.T, g *ground, h follow.Happening, attributes map[string]string) *drama {
	c := newCloud(t, g, "a", "b")
	c.forgetFences()
	vm := c.vm(c.hosts[0], hypervisortest.Domain{})
	v := onevolume.Volume{}
	if h.Array {
		v = c.made()
	} else {
		v = c.volume(1, 1)
	}
	c.plant(vm, v, 0)
	c.lost[v.ID] = true
	err := c.db.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Attributes = attributes; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if h.From == "" {
		c.hosts[0].virt.RemoveDomain(vm.DeployID)
		c.must(releaseRequest(vm, v))
	}
	d := &drama{cloud: c, happening: h, v: c.read(v.ID), name: vm.DeployID, vm: follower.VM{VM: vm, Stage: follow.Runs, Boot: "0"}}
	if h.From == "" {
		d.vm.Stage = follow.Off
	}
	d.follower = &follower.Follower{Cloud: d, Inventory: d, Operator: d, Cleaner: c.process("cleaner").engine, Log: zap.NewNop(), Every: 30 * time.Second, Again: time.Second}
	d.follower.Start()
	d.rest()
	return d
}

// end asks that the promise was kept.
func (d *drama) end(policy onevolume.Policy) {
	d.Helper()
	if d.happening.Array {
		d.thaw()
	}
	d.follower.Stop(d.Context())
	synctest.Wait()
	d.settle()
	got, in := d.read(d.v.ID), d.plugged()[d.v.ID]
	content := d.units[d.v.ID].Content
	last := d.happening.Way[len(d.happening.Way)-1]
	ok := content == "the guest's data"
	switch d.vm.Stage {
	case follow.Runs:
		ok = ok && got.State == onevolume.Attached && got.Attachment.Host == last.Host && len(in) == 1 && in[0].host == last.Host
	case follow.Off:
		ok = ok && got.State == onevolume.Attached && got.Attachment.Host == "" && got.Attachment.VM == d.vm.ID && len(in) == 0
	case follow.Saved:
		ok = ok && got.State == onevolume.Attached && got.Attachment == d.v.Attachment && d.machine("a").iscsi.UnitAt(got.Attachment.Source) != nil
	case follow.Ended, follow.Gone:
		ok = len(in) == 0 && (got.State == onevolume.Retained && ok || policy == onevolume.PolicyRelease && got.State == onevolume.Available && content == "")
	}
	if !ok {
		d.Errorf("%s, %+v: the volume is %s (%s) with %+v, in %v, and holds %q\n%s", d.happening.Name, d.crash, got.State, got.Reason,
			got.Attachment, in, content, d.past(d.v.ID))
	}
	for _, m := range d.hosts {
		if left := m.iscsi.Left(); m.name != got.Attachment.Host && len(left) > 0 {
			d.Errorf("%s, %+v: left on host %s is %q", d.happening.Name, d.crash, m.name, left)
		}
	}
}

// TestFollow has each happening happen, once without a death and then with
// one around each write to the journal.
func TestFollow(t *testing.T) {
	for _, h := range follow.Happenings() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t)
				g.clock.bubble = true
				d := newDrama(t, g, h, nil)
				d.play()
				d.end(onevolume.PolicyKeep)
				for n := 1; n <= d.writes; n++ {
					for _, after := range []bool{false, true} {
						if !g.turn(3) {
							continue
						}
						d := newDrama(t, g, h, nil)
						d.crash = crash{d.writes + n, after}
						d.play()
						if !d.died {
							t.Errorf("nobody died at write %d of %d", n, d.writes)
						}
						d.end(onevolume.PolicyKeep)
					}
				}
			})
		})
	}
}

// What becomes of a volume when its VM ends is its policy's.
func TestFollowToTheEnd(t *testing.T) {
	t.Parallel()
	for _, h := range follow.Happenings() {
		if h.Name != "terminate, also hard" && h.Name != "oned has no such VM any more" {
			continue
		}
		for _, policy := range []onevolume.Policy{onevolume.PolicyRelease, onevolume.PolicyDelete} {
			synctest.Test(t, func(t *testing.T) {
				g := newGround(t)
				g.clock.bubble = true
				d := newDrama(t, g, h, map[string]string{onevolume.PolicyKey: string(policy)})
				d.play()
				if policy != onevolume.PolicyDelete || d.gone {
					d.end(policy)
					return
				}
				d.follower.Stop(d.Context())
				if _, err := d.db.Volume(d.Context(), d.v.ID); onevolume.CodeOf(err) != onevolume.NotFound || d.units[d.v.ID].Content != "" {
					t.Errorf("the volume is there (%v), with %q", err, d.units[d.v.ID].Content)
				}
			})
		}
	}
}

// A domain that is left behind keeps the volume, whatever oned says.
func TestFollowWithADomainLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.clock.bubble = true
		d := newDrama(t, g, follow.Happening{Name: "a domain is left", From: "a"}, map[string]string{onevolume.PolicyKey: "release"})
		for _, stage := range []follow.Stage{follow.Off, follow.Ended, follow.Gone} {
			d.mu.Lock()
			d.vm.Stage, d.gone = stage, stage == follow.Gone
			d.mu.Unlock()
			d.follower.Hear(d.vm.ID)
			d.rest()
			if v, in := d.read(d.v.ID), d.plugged()[d.v.ID]; v.State != onevolume.Attached || v.Attachment.Host != "a" || len(in) != 1 || v.Reason == "" {
				t.Errorf("%s: the volume is %s (%s) with %+v, in %v", stage, v.State, v.Reason, v.Attachment, in)
			}
		}
		d.follower.Stop(t.Context())
	})
}
