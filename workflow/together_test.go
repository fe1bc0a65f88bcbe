package workflow_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/workflow"
)

// bubble runs a test in a time of its own, with a cloud in it.
func bubble(t *testing.T, test func(t *testing.T, c *cloud)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newCloud(t, newGround(t))) })
}

// all runs the requests at the same time, each by a process of its own.
func (c *cloud) all(ctx context.Context, reqs ...onevolume.Request) []error {
	var wg sync.WaitGroup
	errs := make([]error, len(reqs))
	for i, req := range reqs {
		p := c.process(fmt.Sprintf("client %d", i))
		p.engine.Limits.Lock = time.Minute
		wg.Go(func() { _, errs[i] = p.run(ctx, req) })
	}
	wg.Wait()
	return errs
}

func TestManyAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		vm := c.vm(c.hosts[0], hypervisortest.Domain{})
		other := c.vm(c.hosts[0], hypervisortest.Domain{})
		u, v, w := c.volume(1, 1), c.volume(1, 2), c.volume(2, 1)
		for i, err := range c.all(t.Context(), attachRequest(vm, u), attachRequest(vm, v), attachRequest(other, w)) {
			if err != nil {
				t.Errorf("attach %d: %v", i, err)
			}
		}
		c.settle()
		for i, err := range c.all(t.Context(), detachRequest(vm, u, ""), detachRequest(vm, v, ""), detachRequest(other, w, "")) {
			if err != nil {
				t.Errorf("detach %d: %v", i, err)
			}
		}
		c.settle()
		for _, id := range []onevolume.VolumeID{u.ID, v.ID, w.ID} {
			if got := c.read(id); got.State != onevolume.Available {
				t.Errorf("volume %d is %s", id, got.State)
			}
		}
	})
}

func TestTwoWantOneVolume(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v := c.volume(1, 1)
		here, there := c.vm(c.hosts[0], hypervisortest.Domain{}), c.vm(c.hosts[1], hypervisortest.Domain{})
		won, lostTo := 0, onevolume.Code(-1)
		for _, err := range c.all(t.Context(), attachRequest(here, v), attachRequest(there, v)) {
			if err == nil {
				won++
			} else {
				lostTo = onevolume.CodeOf(err)
			}
		}
		if won != 1 || lostTo != onevolume.Action {
			t.Errorf("%d of two have it; the other gets the code %v", won, lostTo)
		}
		c.settle()
	})
}

// Doing again what is done changes nothing.
func TestAgain(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
		c.must(attachRequest(vm, v))
		if _, err := c.process("again").run(t.Context(), attachRequest(vm, v)); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("attach again: %v", err)
		}
		c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
		if _, err := c.process("again").run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes)); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("detach again: %v", err)
		}
		c.settle()
	})
}

// A guest that does not let go keeps its disk, and the volume stays attached.
func TestGuestKeepsItsDisk(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{Guest: hypervisortest.Refuses})
		c.must(attachRequest(vm, v))
		c.write(v)
		_, err := c.process("client").run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
		if onevolume.CodeOf(err) != onevolume.Held || onevolume.HintOf(err) == "" {
			t.Errorf("%v", err)
		}
		c.settle()
		if got := c.read(v.ID); got.State != onevolume.Attached || got.Reason == "" {
			t.Errorf("the volume is %s (%q)", got.State, got.Reason)
		}
		// Ctrl-C while the guest thinks.
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := c.process("client").run(ctx, detachRequest(vm, v, onevolume.LeaveZeroes)); err == nil {
			t.Error("no error")
		}
		c.settle()
		c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Slow })
		if got := c.read(v.ID).State; got == onevolume.Attached {
			c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
		}
		c.settle()
		if got := c.read(v.ID).State; got != onevolume.Available {
			t.Errorf("the volume is %s", got)
		}
	})
}

// The lease is renewed while a guest takes its time, so nobody takes over.
func TestLeaseIsKept(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{Guest: hypervisortest.Refuses})
		c.must(attachRequest(vm, v))
		p := c.process("client")
		p.engine.Limits.Unplug = 5 * limit.Lease
		renewed := 0
		p.before = func(_ int, call string) {
			if call == "record" {
				renewed++
			}
		}
		_, err := p.run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
		if onevolume.CodeOf(err) != onevolume.Held || renewed < 12 {
			t.Errorf("renewed %d times in five leases; %v", renewed, err)
		}
		c.settle()
	})
}

// An owner whose lease is another's stops waiting for the guest.
func TestStaleOwnerStopsWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{Guest: hypervisortest.Refuses})
		c.must(attachRequest(vm, v))
		p := c.process("client")
		p.engine.Limits.Unplug = time.Hour
		start := time.Now()
		took := make(chan error, 1)
		go func() {
			time.Sleep(time.Minute + time.Second) // between two renewals
			op := c.operation(v.ID)
			_, err := c.db.TakeOver(t.Context(), op.Ref(), "daemon", limit.Lease, op.Lease)
			took <- err
		}()
		_, err := p.run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
		if took := <-took; took != nil {
			t.Fatal(took)
		}
		if onevolume.CodeOf(err) != onevolume.Stale || time.Since(start) > 2*time.Minute {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo })
		c.settle()
	})
}

// Who comes second waits for the lock on the host, and says so when it does
// not come.
func TestLockIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
		p := c.process("client")
		h, err := c.net.Dial(t.Context(), "host01")
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if _, err := h.Lock(t.Context(), p.engine.Initiator.LockName(v.Target), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := p.run(t.Context(), attachRequest(vm, v)); onevolume.CodeOf(err) != onevolume.Busy || onevolume.HintOf(err) == "" {
			t.Errorf("%v", err)
		}
		c.settle()
		if got := c.read(v.ID).State; got != onevolume.Available {
			t.Errorf("the volume is %s", got)
		}
	})
}

// What is on the host already, and in whose hands, is respected.
func TestStrangersOnTheHost(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, test := range map[string]func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code{
		"another domain has the device": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].iscsi.Login(v.Target)
			c.strangers = append(c.strangers, v.Target.IQN)
			d := hypervisortest.Domain{}
			d.Disks = append(d.Disks, hypervisortest.Disk{})
			d.Disks[0].Source, d.Disks[0].Target, d.Disks[0].Bus = "/dev/sda", "sdb", "scsi"
			c.vm(c.hosts[0], d)
			return onevolume.Held
		},
		"the host has it in use": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].iscsi.Login(v.Target)
			c.strangers = append(c.strangers, v.Target.IQN)
			c.hosts[0].iscsi.State.Holders = map[string][]string{"sda": {"holder dm-0"}}
			return onevolume.Held
		},
		"the domain is shut off": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.State = "shut off" })
			return onevolume.Action
		},
		"the domain is elsewhere": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].virt.RemoveDomain(vm.DeployID)
			return onevolume.NotFound
		},
		"another size": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.units[v.ID].Size *= 2
			return onevolume.Mismatch
		},
		"no sudo": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].iscsi.State.NoSudo = true
			return onevolume.Refused
		},
		"no virtio-scsi controller": func(c *cloud, v onevolume.Volume, vm onevolume.VM) onevolume.Code {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Controllers = []int{} })
			return onevolume.Action
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, g)
			v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
			want := test(c, v, vm)
			_, err := c.process("client").run(t.Context(), attachRequest(vm, v))
			if onevolume.CodeOf(err) != want || onevolume.HintOf(err) == "" {
				t.Errorf("code %s, want %s: %v (%s)", onevolume.CodeOf(err), want, err, onevolume.HintOf(err))
			}
			c.settle()
			if got := c.read(v.ID); got.State != onevolume.Available {
				t.Errorf("the volume is %s (%s)", got.State, got.Reason)
			}
		})
	}
}

// halfAttached is a volume whose disk is in the guest, which nobody recorded.
func (c *cloud) halfAttached() onevolume.Volume {
	c.Helper()
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	p := c.process("client")
	p.before = func(n int, call string) {
		if call == "record SUCCEEDED plug" {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dead = true
		}
	}
	if _, err := p.run(c.Context(), attachRequest(vm, v)); err == nil || len(c.plugged()[v.ID]) != 1 {
		c.Fatalf("%v, %v", err, c.plugged())
	}
	p.hangUp()
	c.clock.advance(2 * limit.Lease)
	return v
}

// A resumed attach finds that the disk in the guest is not the volume: it is
// taken out before anything is done to the device, and nothing stays.
func TestResumedAttachOfAnotherDevice(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v := c.halfAttached()
	err := c.db.Update(t.Context(), v.ID, func(v *onevolume.Volume) error {
		v.Size *= 2
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Available || len(c.plugged()[v.ID]) != 0 {
		t.Errorf("the volume is %s (%s) and in %v", got.State, got.Reason, c.plugged())
	}
}

// A resumed attach finds the session lost, so that nothing can be proven: the
// guest keeps its disk, until the session is back.
func TestResumedAttachWithoutSession(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v := c.halfAttached()
	c.hosts[0].iscsi.Lose(v.Target.IQN, "FAILED")
	for _, op := range c.expired() {
		if err := c.process("daemon").resume(op); onevolume.CodeOf(err) != onevolume.Unknown {
			t.Errorf("%v", err)
		}
	}
	if got := c.read(v.ID); got.State != onevolume.Attaching || len(c.plugged()[v.ID]) != 1 {
		t.Errorf("the volume is %s (%s), plugged %v", got.State, got.Reason, c.plugged())
	}
	c.hosts[0].iscsi.Lose(v.Target.IQN, "LOGGED_IN")
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Attached {
		t.Errorf("the volume is %s (%s)", got.State, got.Reason)
	}
}

// A dry run gives commands and changes nothing.
func TestPlan(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	p := c.process("client")
	plan, err := p.engine.PlanAttach(t.Context(), attachRequest(vm, v))
	if err != nil || len(plan.Commands) < 2 || plan.Volume.ID != v.ID {
		t.Errorf("%+v, %v", plan, err)
	}
	if got := c.read(v.ID); got.State != onevolume.Available || got.Operation != 0 || len(c.hosts[0].iscsi.Left()) != 0 {
		t.Errorf("the volume is %s; left %v", got.State, c.hosts[0].iscsi.Left())
	}
	c.must(attachRequest(vm, v))
	plan, err = p.engine.PlanDetach(t.Context(), detachRequest(vm, v, onevolume.LeaveExt4))
	if err != nil || len(plan.Commands) < 3 {
		t.Errorf("%+v, %v", plan, err)
	}
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Attached {
		t.Errorf("the volume is %s", got.State)
	}
}

// A wipe that fails leaves the volume in ERROR with the reason, out of the
// guest; detaching again ends it.
func TestWipeThatFails(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.hosts[0].iscsi.State.Wipe = "io /dev/sda: Input/output error"
	var told []workflow.Event
	p := c.process("client")
	p.engine.Report = func(e workflow.Event) { told = append(told, e) }
	_, err := p.run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
	if err == nil || onevolume.HintOf(err) == "" || len(told) == 0 {
		t.Errorf("%v, told %v", err, told)
	}
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Failed || len(c.plugged()[v.ID]) != 0 {
		t.Errorf("the volume is %s (%s)", got.State, got.Reason)
	}
	c.hosts[0].iscsi.State.Wipe = ""
	c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Available {
		t.Errorf("the volume is %s (%s)", got.State, got.Reason)
	}
}
