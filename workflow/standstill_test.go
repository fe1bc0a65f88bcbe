package workflow_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/daemon/follower"
	"onevolume/follow"
	"onevolume/hypervisor/hypervisortest"
)

// standing is a VM whose volume has paused it: the sessions of its host are
// lost.
func standing(t *testing.T) (c *cloud, vm onevolume.VM, v onevolume.Volume, stop func(word string)) {
	c = newCloud(t, newGround(t))
	v, vm = c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	v = c.read(v.ID)
	return c, vm, v, func(word string) {
		c.hosts[0].iscsi.Lose(v.Target.IQN, "FAILED")
		c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) {
			d.State, d.Failing = "paused (I/O error)", map[string]string{v.Attachment.Device: word}
		})
	}
}

// back lets the path be as it was.
func (c *cloud) back(vm onevolume.VM, v onevolume.Volume) {
	c.hosts[0].iscsi.Lose(v.Target.IQN, "LOGGED_IN")
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Failing = nil })
}

// state is the domain's.
func (c *cloud) state(vm onevolume.VM) string {
	d, _ := c.hosts[0].virt.Domain(vm.DeployID)
	return d.State
}

// A VM that its volume has paused goes on when the path is back, and no other
// one does.
func TestStandstill(t *testing.T) {
	t.Parallel()
	c, vm, v, stop := standing(t)
	e := c.process("daemon").engine
	vols, vms := []onevolume.Volume{v}, map[onevolume.VMID]onevolume.VM{vm.ID: vm}
	seen := func(want int) {
		t.Helper()
		found, err := e.Stopped(t.Context(), vm.Host, vms, vols)
		if err != nil || len(found[vm.ID]) != want {
			t.Errorf("stopped by %v, %v, want %d", found, err, want)
		}
	}
	refused := func(code onevolume.Code, state string) {
		t.Helper()
		if err := e.Rouse(t.Context(), vm, vols); onevolume.CodeOf(err) != code {
			t.Errorf("%v, want %s", err, code)
		}
		if got := c.state(vm); got != state {
			t.Errorf("the domain is %s, was %s", got, state)
		}
	}
	edit := func(f func(d *hypervisortest.Domain)) { c.hosts[0].virt.Edit(vm.DeployID, f) }
	seen(0)
	refused(onevolume.Action, "running (booted)")
	// An administrator's pause is his.
	edit(func(d *hypervisortest.Domain) { d.State = "paused (user)" })
	seen(0)
	refused(onevolume.Action, "paused (user)")
	stop("unspecified error")
	seen(1)
	refused(onevolume.Unreachable, "paused (I/O error)")
	c.back(vm, v)
	// The path is back, and another disk has failed as well, or alone.
	edit(func(d *hypervisortest.Domain) {
		own := hypervisortest.Disk{}
		own.Source, own.Target, own.Bus = "/var/lib/one/datastores/0/1/disk.0", "sda", "scsi"
		d.Disks, d.Failing = append(d.Disks, own), map[string]string{v.Attachment.Device: "unspecified error", "sda": "no space"}
	})
	seen(1)
	refused(onevolume.Action, "paused (I/O error)")
	edit(func(d *hypervisortest.Domain) { d.Failing = map[string]string{"sda": "no space"} })
	seen(0)
	refused(onevolume.Action, "paused (I/O error)")
	edit(func(d *hypervisortest.Domain) { d.Failing = map[string]string{v.Attachment.Device: "no space"} })
	// It stops again at once: the error is another one.
	if err := e.Rouse(t.Context(), vm, vols); onevolume.CodeOf(err) != onevolume.Refused || c.state(vm) != "paused (I/O error)" {
		t.Errorf("%v, the domain is %s", err, c.state(vm))
	}
	// libvirt forgets a disk's error when the domain goes on.
	edit(func(d *hypervisortest.Domain) { d.Recovers = true })
	if err := e.Rouse(t.Context(), vm, vols); err != nil || c.state(vm) != "running (unpaused)" {
		t.Errorf("%v, the domain is %s", err, c.state(vm))
	}
	seen(0)
}

// sleepers is a follower's world with the one volume.
type sleepers struct {
	*cloud
	vm onevolume.VM
	v  onevolume.VolumeID
}

func (s sleepers) VMs(context.Context, []onevolume.VMID) (map[onevolume.VMID]follower.VM, error) {
	return map[onevolume.VMID]follower.VM{s.vm.ID: {VM: s.vm, Stage: follow.Runs, Boot: "1"}}, nil
}

func (s sleepers) Seen(context.Context) (map[string]bool, error) {
	return map[string]bool{s.vm.Host: true}, nil
}

func (s sleepers) Attached(ctx context.Context, _ ...onevolume.VMID) ([]onevolume.Volume, error) {
	v, err := s.db.Volume(ctx, s.v)
	return []onevolume.Volume{v}, err
}

func (s sleepers) Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	return s.db.Volume(ctx, id)
}

func (s sleepers) Explain(ctx context.Context, id onevolume.VolumeID, reason string) error {
	return s.db.Explain(ctx, id, reason)
}

func (s sleepers) Delete(context.Context, onevolume.VolumeID) error { return nil }

func (s sleepers) OnHost(context.Context, string) ([]onevolume.Volume, error) { return nil, nil }

func (s sleepers) Fences(context.Context) ([]onevolume.FenceRecord, error) { return nil, nil }

func (s sleepers) Clean(context.Context, onevolume.FenceRecord) error { return nil }

func (s sleepers) Do(_ context.Context, r onevolume.Request) error {
	s.Errorf("%+v was done", r)
	return nil
}

func (s sleepers) HasDisk(ctx context.Context, vm onevolume.VM, v onevolume.Volume) (bool, error) {
	return s.process("looker").engine.HasDisk(ctx, vm, v)
}

// The daemon sees it within a sweep, says so on the volume and in an event,
// and has it go on by itself.
func TestFollowerRouses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, vm, v, stop := standing(t)
		w := sleepers{c, vm, v.ID}
		f := &follower.Follower{Cloud: w, Inventory: w, Operator: w, Waker: c.process("daemon").engine, Log: zap.NewNop(), Every: 30 * time.Second, Again: time.Second}
		f.Start()
		defer f.Stop(t.Context())
		time.Sleep(time.Minute)
		if got := c.read(v.ID); got.Reason != "" {
			t.Errorf("it says %q", got.Reason)
		}
		stop("unspecified error")
		time.Sleep(time.Minute)
		if got := c.read(v.ID); !strings.Contains(got.Reason, "I/O error, seen on host host01 at ") || c.state(vm) != "paused (I/O error)" {
			t.Errorf("it says %q, and the domain is %s", got.Reason, c.state(vm))
		}
		list, _, err := c.db.Changes(t.Context(), 0, 1000)
		if err != nil || !strings.Contains(list[len(list)-1].Reason, "I/O error") {
			t.Errorf("the newest event is %+v, %v", list[len(list)-1], err)
		}
		c.back(vm, v)
		c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) {
			d.Recovers, d.Failing = true, map[string]string{v.Attachment.Device: "unspecified error"}
		})
		time.Sleep(time.Minute)
		if got := c.read(v.ID); got.Reason != "" || c.state(vm) != "running (unpaused)" {
			t.Errorf("it says %q, and the domain is %s", got.Reason, c.state(vm))
		}
	})
}
