package workflow_test

import (
	"testing"
	"testing/synctest"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
)

func migrateRequest(vm onevolume.VM, v onevolume.Volume, to string) onevolume.Request {
	r := replugRequest(vm, v)
	r.Kind, r.Destination, r.VM.Running = onevolume.Migrate, to, false
	return r
}

// migrates has libvirt migrate a VM to the second host, unless it is there: as
// that refuses to when a disk is missing there.
func (c *cloud) migrates(vm onevolume.VM) {
	c.Helper()
	from, to := c.hosts[0], c.hosts[1]
	d, there := from.virt.Domain(vm.DeployID)
	if !there {
		return
	}
	for _, k := range d.Disks {
		if u := to.iscsi.UnitAt(k.Source); u == nil || u != from.iscsi.UnitAt(k.Source) {
			c.Errorf("Cannot access storage file '%s' on %s", k.Source, to.name)
			return
		}
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	from.virt.RemoveDomain(vm.DeployID)
	c.domain(to, d)
}

// running is a VM with a volume on the first of two hosts.
func (c *cloud) withVolume() (onevolume.VM, onevolume.Volume) {
	c.Helper()
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	return vm, c.read(v.ID)
}

// after asks how it ended: with the volume on a host, and nothing of it on the
// other.
func (c *cloud) endedOn(what string, v onevolume.Volume, on *machine, status onevolume.Status) {
	c.Helper()
	got := c.read(v.ID)
	if got.State != onevolume.Attached || got.Attachment.Host != on.name || got.Attachment.Source != v.Attachment.Source || c.operation(v.ID).Status != status {
		c.Errorf("%s: the volume is %s (%s) with %+v, and the operation %s", what, got.State, got.Reason, got.Attachment, c.operation(v.ID).Status)
	}
	for _, m := range c.hosts {
		if left := m.iscsi.Left(); (m == on) != (len(left) > 0) {
			c.Errorf("%s: %s has %q", what, m.name, left)
		}
	}
	if c.units[v.ID].Content != "the guest's data" {
		c.Errorf("%s: it holds %q", what, c.units[v.ID].Content)
	}
}

// While the VM moves, both hosts have the device and nobody else may touch the
// volume; then the one has it where the VM is.
func TestMigrate(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	vm, v := c.withVolume()
	waits := 0
	c.wait = func(op onevolume.Operation) (bool, error) {
		waits++
		if op.VM.Host != "host01" || op.Destination != "host02" {
			t.Errorf("%+v", op)
		}
		if waits < 3 {
			for _, m := range c.hosts {
				if m.iscsi.UnitAt(v.Attachment.Source) != c.units[v.ID] {
					t.Errorf("%s does not have the volume by its path", m.name)
				}
			}
			for _, r := range []onevolume.Request{detachRequest(vm, v, ""), replugRequest(vm, v), releaseRequest(vm, v)} {
				r.Owner, r.Lease = "another", limit.Lease
				if _, _, err := c.db.Reserve(t.Context(), root, r); onevolume.CodeOf(err) != onevolume.Busy && onevolume.CodeOf(err) != onevolume.Action {
					t.Errorf("%s: %v", r.Kind, err)
				}
			}
			if list, err := c.db.Attached(t.Context(), vm.ID); err != nil || len(list) != 0 {
				t.Errorf("to be followed: %v, %v", list, err)
			}
			return false, nil
		}
		c.migrates(vm)
		return waits > 3, nil
	}
	out := c.must(migrateRequest(vm, v, "host02"))
	if out.Volume.ID != v.ID || waits != 3 {
		t.Errorf("%+v after %d looks", out, waits)
	}
	c.settle()
	c.endedOn("moved", v, c.hosts[1], onevolume.Done)
}

// A VM that does not move, for whatever reason, has its volume where it is.
func TestMigrateThatFails(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, test := range map[string]struct {
		spoil  func(c *cloud, vm onevolume.VM, v onevolume.Volume)
		code   onevolume.Code
		waited bool // it came so far that the VM may move
	}{
		"it stays": {func(*cloud, onevolume.VM, onevolume.Volume) {}, onevolume.Action, true},
		"the target is not to be had there": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			for _, p := range v.Target.Portals {
				c.array.Down(p, true)
			}
		}, onevolume.Unreachable, false},
		"the other host does not answer": {func(c *cloud, _ onevolume.VM, _ onevolume.Volume) {
			c.net.Down("host02", command.KindTimeout)
		}, onevolume.Unreachable, false},
		"it is another unit": {func(c *cloud, _ onevolume.VM, v onevolume.Volume) {
			err := c.db.Update(c.Context(), v.ID, func(v *onevolume.Volume) error { v.Size *= 2; return nil })
			if err != nil {
				c.Fatal(err)
			}
		}, onevolume.Mismatch, false},
		"the domain has lost the disk": {func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = nil })
			c.lost[v.ID] = true
		}, onevolume.Action, false},
		"its disk has another name there": {func(c *cloud, vm onevolume.VM, v onevolume.Volume) {
			c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks[0].Source = "/dev/sda" })
			c.lost[v.ID] = true
		}, onevolume.Refused, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, g)
			vm, v := c.withVolume()
			waited := false
			c.wait = func(onevolume.Operation) (bool, error) { waited = true; return true, nil }
			test.spoil(c, vm, v)
			_, err := c.process("client").run(t.Context(), migrateRequest(vm, v, "host02"))
			if onevolume.CodeOf(err) != test.code || waited != test.waited {
				t.Errorf("%v (%s), waited %v", err, onevolume.HintOf(err), waited)
			}
			c.net.Down("host02", "")
			for _, p := range v.Target.Portals {
				c.array.Down(p, false)
			}
			if test.code == onevolume.Mismatch || test.code == onevolume.Refused {
				if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment != v.Attachment || len(c.hosts[1].iscsi.Left()) != 0 {
					t.Errorf("the volume is %s with %+v, and host02 has %q", got.State, got.Attachment, c.hosts[1].iscsi.Left())
				}
				return
			}
			c.settle()
			c.endedOn(name, v, c.hosts[0], onevolume.Undone)
		})
	}
}

// Whoever dies at any call of a migration is followed by another, who looks
// where the VM is by then: it moved meanwhile, or it stays.
func TestDeadMigrate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, deadMigrate)
}

func deadMigrate(t *testing.T) {
	g := newGround(t)
	g.clock.bubble = true
	for _, moves := range []bool{true, false} {
		for n := 1; ; n++ {
			c := newCloud(t, g)
			vm, v := c.withVolume()
			prepared := false
			c.wait = func(onevolume.Operation) (bool, error) {
				prepared = true
				return true, nil
			}
			p := c.process("client").with(n, dies)
			_, err := p.run(t.Context(), migrateRequest(vm, v, "host02"))
			if p.what = fine; !p.gone() {
				if n < 12 || err == nil {
					t.Errorf("only %d calls, %v", n, err)
				}
				break
			}
			p.hangUp()
			if moves && prepared && c.hosts[1].iscsi.UnitAt(v.Attachment.Source) != nil {
				c.migrates(vm)
			}
			if c.read(v.ID).Operation == v.Operation {
				continue // it never began
			}
			_, there := c.hosts[1].virt.Domain(vm.DeployID)
			c.settle()
			if there {
				c.endedOn("moved", v, c.hosts[1], onevolume.Done)
			} else {
				c.endedOn("stayed", v, c.hosts[0], onevolume.Undone)
			}
			if t.Failed() {
				t.Fatalf("dying at %d, moves %v:\n%s", n, moves, c.past(v.ID))
			}
		}
	}
}

// A VM that has a domain on both hosts, or a host that does not answer, is
// waited for: nothing is logged out anywhere, and nothing is believed.
func TestMigrateGuessesNothing(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"on both", "the first is silent", "the second is silent"} {
		synctest.Test(t, func(t *testing.T) {
			g := newGround(t)
			g.clock.bubble = true
			c := newCloud(t, g)
			vm, v := c.withVolume()
			ends := false
			c.wait = func(onevolume.Operation) (bool, error) {
				if ends {
					return true, nil
				}
				switch what {
				case "on both":
					if _, there := c.hosts[1].virt.Domain(vm.DeployID); !there {
						c.hosts[1].virt.AddDomain(hypervisortest.Domain{Name: vm.DeployID, State: "paused (migrating)", Disks: c.disks(vm)})
					}
				case "the first is silent":
					c.net.Down("host01", command.KindTimeout)
				default:
					c.net.Down("host02", command.KindTimeout)
				}
				return true, nil
			}
			_, err := c.process("client").run(t.Context(), migrateRequest(vm, v, "host02"))
			if onevolume.CodeOf(err) != onevolume.Unknown || onevolume.HintOf(err) == "" {
				t.Errorf("%s: %v", what, err)
			}
			for range 2 {
				c.clock.advance(2 * limit.Lease)
				for _, op := range c.expired() {
					_ = c.process("daemon").resume(op)
				}
			}
			for _, m := range c.hosts {
				if m.iscsi.UnitAt(v.Attachment.Source) == nil {
					t.Errorf("%s: %s was logged out", what, m.name)
				}
			}
			if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment != v.Attachment || c.operation(v.ID).Status != onevolume.Running {
				t.Errorf("%s: the volume is %s with %+v, and the operation %s", what, got.State, got.Attachment, c.operation(v.ID).Status)
			}
			ends = true
			c.net.Down("host01", "")
			c.net.Down("host02", "")
			if what == "on both" {
				c.hosts[1].virt.RemoveDomain(vm.DeployID)
			}
			c.migrates(vm)
			c.settle()
			c.endedOn(what, v, c.hosts[1], onevolume.Done)
		})
	}
}

// disks are those of a VM on the first host.
func (c *cloud) disks(vm onevolume.VM) []hypervisortest.Disk {
	d, _ := c.hosts[0].virt.Domain(vm.DeployID)
	return d.Disks
}

// The saved VM of a volume that is on no host any more has it where it is
// restored, and nothing stays there when it is not.
func TestRestoreFromNoHost(t *testing.T) {
	t.Parallel()
	for _, restores := range []bool{true, false} {
		c := newCloud(t, newGround(t))
		vm, v := c.withVolume()
		saved, _ := c.hosts[0].virt.Domain(vm.DeployID)
		c.hosts[0].virt.RemoveDomain(vm.DeployID)
		c.lost[v.ID] = true
		c.must(releaseRequest(vm, v))
		on := c.hosts[1]
		c.wait = func(onevolume.Operation) (bool, error) {
			if restores {
				c.domain(on, saved)
			}
			return true, nil
		}
		vm.Host = on.name
		_, err := c.process("client").run(t.Context(), migrateRequest(vm, v, on.name))
		c.settle()
		got, want := c.read(v.ID), v.Attachment
		want.Host = on.name
		if !restores {
			want.Host, want.Device = "", ""
		}
		if got.State != onevolume.Attached || got.Attachment != want || restores != (len(on.iscsi.Left()) > 0) || restores != (err == nil) {
			t.Errorf("restored %v: %v, the volume is %s with %+v, and the host has %q", restores, err, got.State, got.Attachment, on.iscsi.Left())
		}
	}
}

// A VM that was saved has its volume where it is restored, before it is: on
// another host, or where it was, also when that host was started anew.
func TestRestore(t *testing.T) {
	t.Parallel()
	for _, to := range []int{0, 1} {
		for _, restores := range []bool{true, false} {
			c := newCloud(t, newGround(t))
			vm, v := c.withVolume()
			saved, _ := c.hosts[0].virt.Domain(vm.DeployID)
			c.hosts[0].virt.RemoveDomain(vm.DeployID)
			c.hosts[0].iscsi.Reboot()
			c.lost[v.ID] = true
			on := c.hosts[to]
			c.wait = func(onevolume.Operation) (bool, error) {
				if on.iscsi.UnitAt(v.Attachment.Source) != c.units[v.ID] {
					t.Errorf("%s does not have the volume", on.name)
				}
				if restores {
					c.domain(on, saved)
				}
				return true, nil
			}
			_, err := c.process("client").run(t.Context(), migrateRequest(vm, v, on.name))
			c.settle()
			got := c.read(v.ID)
			switch {
			case restores && (err != nil || got.Attachment != (onevolume.Attachment{VM: vm.ID, Host: on.name, Device: v.Attachment.Device,
				Source: v.Attachment.Source, Serial: v.Attachment.Serial})):
				t.Errorf("to %s: %v, the volume has %+v", on.name, err, got.Attachment)
			case !restores && (onevolume.CodeOf(err) != onevolume.Action || got.Attachment != v.Attachment):
				t.Errorf("to %s: %v, the volume has %+v", on.name, err, got.Attachment)
			case !restores && to == 1 && len(on.iscsi.Left()) != 0:
				t.Errorf("%s has %q", on.name, on.iscsi.Left())
			}
		}
	}
}
