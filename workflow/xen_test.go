package workflow_test

import (
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
)

// xenGround is a ground whose hosts run Xen: disks carry no serial numbers.
func xenGround(t *testing.T) *ground {
	g := newGround(t)
	g.xen = true
	return g
}

func TestXenAttachAndDetach(t *testing.T) {
	t.Parallel()
	g := xenGround(t)
	for _, leave := range []onevolume.Leave{onevolume.LeaveZeroes, onevolume.LeaveData} {
		c := newCloud(t, g)
		v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
		if out := c.must(attachRequest(vm, v)); out.Disk.Target != "xvdp" || out.GuestPath != "/dev/xvdp" {
			t.Errorf("outcome %+v", out)
		}
		c.settle()
		c.write(v)
		c.must(detachRequest(vm, v, leave))
		c.settle()
	}
}

// As TestDeathAtEachCallAndAgain and TestMishapsWhileResuming, with Xen: who
// takes over knows the disk by the source that was noted before it was plugged.
func TestXenDeathAtEachCall(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := xenGround(t)
			s.eachCall(t, g, 1, func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume) {
				c.death(s, req, v, n, 0)
				for second := 1; second <= 60; second++ {
					if !g.turn(14) {
						continue
					}
					c := newCloud(t, g)
					req, v := s.set(c)
					if !c.death(s, req, v, n, second) || t.Failed() {
						return
					}
				}
			})
		})
	}
}

func TestXenMishaps(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := xenGround(t)
			for _, m := range []mishap{notDone, lost, hostDown} {
				s.eachCall(t, g, 1, func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume) {
					c.mishap(s, n, m, req, v)
				})
			}
		})
	}
}

// A disk that the VM has already, plugged by somebody else, would pass for
// ours where disks carry no serial numbers: it is refused.
func TestXenForeignDisk(t *testing.T) {
	t.Parallel()
	c := newCloud(t, xenGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	source := c.read(v.ID).Attachment.Source
	// The inventory forgets it, as after a recovery by hand.
	if err := c.db.Recover(t.Context(), v.ID, onevolume.Recovery{State: onevolume.Available, Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	req := attachRequest(vm, v)
	req.Owner = "client"
	job, err := c.engine(c.service.Ledger(root), c.net).Begin(t.Context(), req) // which no invariant holds for
	if err != nil {
		t.Fatal(err)
	}
	if _, err = job.Run(t.Context()); onevolume.CodeOf(err) != onevolume.Held {
		t.Errorf("%v", err)
	}
	if d, _ := c.hosts[0].virt.Domain(vm.DeployID); len(d.Disks) != 1 || d.Disks[0].Source != source {
		t.Errorf("the domain has %+v", d.Disks)
	}
	if got := c.read(v.ID); got.State != onevolume.Available {
		t.Errorf("the volume is %s", got.State)
	}
}

// stuck is an attached volume whose guest does not let go.
func (c *cloud) stuck() (onevolume.VM, onevolume.Volume) {
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Refuses })
	return vm, v
}

// forced is a detach that does not take no for an answer.
func forced(vm onevolume.VM, v onevolume.Volume) onevolume.Request {
	req := detachRequest(vm, v, onevolume.LeaveZeroes)
	req.Force = true
	return req
}

// A guest that does not let go keeps its disk, unless it is forced; and who
// takes a forced detach over forces it too.
func TestForcedDetach(t *testing.T) {
	t.Parallel()
	g := xenGround(t)
	c := newCloud(t, g)
	vm, v := c.stuck()
	p := c.process("client")
	p.engine.Limits.Unplug = 0
	if _, err := p.run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes)); onevolume.CodeOf(err) != onevolume.Held || !strings.Contains(onevolume.HintOf(err), "--force") {
		t.Errorf("%v (%s)", err, onevolume.HintOf(err))
	}
	if got := c.read(v.ID); got.State != onevolume.Attached {
		t.Errorf("the volume is %s", got.State)
	}
	c.must(forced(vm, v))
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Available {
		t.Errorf("the volume is %s", got.State)
	}
	for n := 1; ; n++ {
		c := newCloud(t, g)
		vm, v := c.stuck()
		prior := c.read(v.ID).Operation
		p := c.process("client").with(n, dies)
		_, _ = p.run(t.Context(), forced(vm, v))
		said := slices.Clone(p.calls)
		journaled := c.read(v.ID).Operation != prior && slices.ContainsFunc(said[:min(n-1, len(said))], func(s string) bool { return strings.Contains(s, "STARTED force") })
		if !journaled {
			// It had not begun: nobody who takes over knows, and the guest
			// keeps its disk. Then it may let go.
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo })
		}
		c.settle()
		if got := c.read(v.ID); journaled && got.State != onevolume.Available {
			t.Errorf("dying at %d, %q: the volume is %s (%s)", n, said, got.State, got.Reason)
		}
		if !p.dead {
			if n < 10 {
				t.Errorf("only %d calls: %q", n, said)
			}
			return
		}
	}
}

// A hypervisor that has no such way says so before anything is reserved.
func TestForceNeedsAWay(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	prior := c.read(v.ID)
	_, err := c.process("client").run(t.Context(), forced(vm, v))
	if onevolume.CodeOf(err) != onevolume.Invalid || c.read(v.ID).Version != prior.Version {
		t.Errorf("%v", err)
	}
	if _, can := c.driver().(hypervisor.Forcer); can {
		t.Error("it has a way")
	}
}
