package workflow_test

import (
	"fmt"
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

func replugRequest(vm onevolume.VM, v onevolume.Volume) onevolume.Request {
	return onevolume.Request{Kind: onevolume.Replug, VM: vm, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}
}

// unplugged is a volume that is ATTACHED and whose disk the domain has lost.
func (c *cloud) unplugged() (onevolume.VM, onevolume.Volume) {
	c.Helper()
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = nil })
	return vm, c.read(v.ID)
}

func TestReplug(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, lose := range map[string]func(c *cloud, vm onevolume.VM, v onevolume.Volume){
		"the domain lost the disk": func(*cloud, onevolume.VM, onevolume.Volume) {},
		"the host lost it as well": func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].iscsi.Reboot()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, g)
			vm, v := c.unplugged()
			lose(c, vm, v)
			out := c.must(replugRequest(vm, v))
			if out.Disk.Target == "" || !strings.HasSuffix(out.GuestPath, onevolume.Serial(v.ID)) {
				t.Errorf("outcome %+v", out)
			}
			c.settle()
			if got := c.read(v.ID); got.State != onevolume.Attached || c.operation(v.ID).Status != onevolume.Done || c.units[v.ID].Content == "" {
				t.Errorf("the volume is %s", got.State)
			}
		})
	}
}

// A disk that is in the guest is proven, and nothing is done to it.
func TestReplugOfWhatIsThere(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.net.Forget()
	out := c.must(replugRequest(vm, v))
	if out.Disk.Serial != onevolume.Serial(v.ID) {
		t.Errorf("outcome %+v", out)
	}
	for _, line := range c.net.Lines("host01") {
		if strings.Contains(line, "iscsi-login") || strings.Contains(line, "iscsi-prepare") || strings.Contains(line, "attach-device") || strings.Contains(line, "iscsi-release") {
			t.Errorf("was run: %s", line)
		}
	}
	if len(c.net.Lines("host01")) < 2 {
		t.Errorf("was run: %q", c.net.Lines("host01"))
	}
	c.settle()
}

// Whatever is wrong with a disk that a guest has, a replug leaves it there,
// also when another takes it over or an administrator aborts it.
func TestReplugTakesNoDiskAway(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, test := range map[string]struct {
		spoil func(c *cloud, vm onevolume.VM, v onevolume.Volume)
		code  onevolume.Code
	}{
		"it is another unit": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			err := c.db.Update(c.Context(), v.ID, func(v *onevolume.Volume) error { v.Size *= 2; return nil })
			if err != nil {
				c.Fatal(err)
			}
		}, onevolume.Mismatch},
		"another domain has it too": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			d := hypervisortest.Domain{}
			d.Disks = append(d.Disks, hypervisortest.Disk{})
			d.Disks[0].Source, d.Disks[0].Target, d.Disks[0].Bus = v.Attachment.Source, "sdb", "scsi"
			c.vm(c.hosts[0], d)
		}, onevolume.Held},
		"it is there by another path": {func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks[0].Source = "/dev/sda" })
		}, onevolume.Mismatch},
	} {
		for _, how := range []string{"at once", "dead before each call", "aborted"} {
			t.Run(name+", "+how, func(t *testing.T) {
				for n := 1; n <= 12; n++ {
					if how == "at once" && n > 1 || n > 1 && !g.turn(3) {
						continue
					}
					c := newCloud(t, g)
					v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
					c.must(attachRequest(vm, v))
					v = c.read(v.ID)
					test.spoil(c, vm, v)
					p := c.process("client")
					if how != "at once" {
						p.with(n, dies)
					}
					_, err := p.run(t.Context(), replugRequest(vm, v))
					if how == "at once" && (onevolume.CodeOf(err) != test.code || onevolume.HintOf(err) == "") {
						t.Errorf("%v (%s)", err, onevolume.HintOf(err))
					}
					if how == "aborted" && p.dead {
						c.abort(v)
					}
					c.sweeps()
					d, _ := c.hosts[0].virt.Domain(vm.DeployID)
					if got := c.read(v.ID); got.State != onevolume.Attached || len(d.Disks) != 1 || c.hosts[0].iscsi.UnitAt(d.Disks[0].Source) == nil {
						t.Fatalf("dying at %d: the volume is %s, the guest has %v, the host %q", n, got.State, d.Disks, c.hosts[0].iscsi.Left())
					}
				}
			})
		}
	}
}

// abort parks the operation that a dead process left, and has it aborted by
// one that dies too.
func (c *cloud) abort(v onevolume.Volume) {
	c.Helper()
	op := c.operation(v.ID)
	if op.Status != onevolume.Running {
		return
	}
	e := onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "the test"}
	if err := c.db.Finish(c.Context(), op.Ref(), e); err != nil {
		c.Fatal(err)
	}
	if _, err := c.db.Reopen(c.Context(), op.ID, onevolume.Back, "dead as well", limit.Lease); err != nil {
		c.Fatal(err)
	}
}

// sweeps does what the daemon's sweep would.
func (c *cloud) sweeps() {
	c.Helper()
	for range 5 {
		c.clock.advance(2 * limit.Lease)
		for _, op := range c.expired() {
			_ = c.process("daemon").resume(op) // what comes of it is looked at by the caller
		}
	}
	if open := c.expired(); len(open) > 0 {
		c.Errorf("operation %d still runs", open[0].ID)
	}
}

// A replug that fails leaves the volume ATTACHED, as it was, with the reason.
func TestReplugThatFails(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, test := range map[string]struct {
		spoil func(c *cloud, vm onevolume.VM, v onevolume.Volume)
		code  onevolume.Code
	}{
		"the target is gone": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			c.hosts[0].iscsi.Reboot()
			c.array.Remove(v.Target.IQN)
		}, -1},
		"it is another unit": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			c.hosts[0].iscsi.Reboot()
			c.units[v.ID].Identity.Serial = "another"
		}, onevolume.Mismatch},
		"there is no place in the domain": {func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Controllers = []int{} })
		}, onevolume.Action},
		"the domain is off": {func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.State = "shut off" })
		}, onevolume.Action},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, g)
			vm, v := c.unplugged()
			test.spoil(c, vm, v)
			_, err := c.process("client").run(t.Context(), replugRequest(vm, v))
			if err == nil || test.code >= 0 && onevolume.CodeOf(err) != test.code {
				t.Errorf("%v (%s)", err, onevolume.HintOf(err))
			}
			got := c.read(v.ID)
			if got.State != onevolume.Attached || got.Reason == "" || c.operation(v.ID).Status != onevolume.Undone || got.Attachment != v.Attachment {
				t.Errorf("the volume is %s (%s) with %+v", got.State, got.Reason, got.Attachment)
			}
			if len(c.plugged()[v.ID]) != 0 || c.units[v.ID].Content == "" {
				t.Errorf("plugged %v", c.plugged())
			}
		})
	}
}

// A VM that has moved may have left a domain behind that still writes: two
// never get one disk.
func TestReplugWithADomainLeftBehind(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	moved := vm
	moved.Host = "host02"
	c.hosts[1].virt.AddDomain(hypervisortest.Domain{Name: vm.DeployID})
	c.hosts[1].vms = append(c.hosts[1].vms, vm.DeployID)
	_, err := c.process("client").run(t.Context(), replugRequest(moved, v))
	if onevolume.CodeOf(err) != onevolume.Held || !strings.Contains(onevolume.HintOf(err), "host01") {
		t.Errorf("%v (%s)", err, onevolume.HintOf(err))
	}
	if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment.Host != "host01" || len(c.hosts[1].iscsi.Left()) != 0 {
		t.Errorf("the volume is %s on %s", got.State, got.Attachment.Host)
	}
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	c.must(replugRequest(moved, v))
	if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment.Host != "host02" || len(c.plugged()[v.ID]) != 1 {
		t.Errorf("the volume is %s on %s", got.State, got.Attachment.Host)
	}
}

// A replug that dies at any call is completed when the disk is in the guest,
// else taken back; the volume is ATTACHED either way.
func TestDeadReplug(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for _, gone := range []bool{true, false} {
		for n := 1; ; n++ {
			c := newCloud(t, g)
			vm, v := c.unplugged()
			if gone {
				c.hosts[0].iscsi.Reboot()
			}
			p := c.process("client").with(n, dies)
			if _, err := p.run(t.Context(), replugRequest(vm, v)); err == nil {
				if n < 8 {
					t.Errorf("only %d calls", n)
				}
				break
			}
			if c.read(v.ID).Operation == v.Operation {
				continue // it never began
			}
			there := len(c.plugged()[v.ID]) > 0
			c.sweeps()
			got, want := c.read(v.ID), onevolume.Undone
			if there {
				want = onevolume.Done
			}
			if status := c.operation(v.ID).Status; status != want || got.State != onevolume.Attached || (len(c.plugged()[v.ID]) > 0) != there {
				t.Errorf("dying at %d: the volume is %s, the operation %s, plugged %v, before %v", n, got.State, status, c.plugged(), there)
			}
		}
	}
}
