package workflow_test

import (
	"slices"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

func releaseRequest(vm onevolume.VM, v onevolume.Volume) onevolume.Request {
	r := replugRequest(vm, v)
	r.Kind, r.VM.Running = onevolume.Release, false
	return r
}

// poweredOff is a volume whose VM had it and was powered off.
func (c *cloud) poweredOff() (onevolume.VM, onevolume.Volume) {
	c.Helper()
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.lost[v.ID] = true
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	return vm, c.read(v.ID)
}

// boot starts the VM on a host, without our disks.
func (c *cloud) boot(vm onevolume.VM, m *machine) onevolume.VM {
	c.domain(m, hypervisortest.Domain{Name: vm.DeployID})
	vm.Host = m.name
	return vm
}

// domain starts a domain on a host.
func (c *cloud) domain(m *machine, d hypervisortest.Domain) {
	m.virt.AddDomain(d)
	if !slices.Contains(m.vms, d.Name) {
		m.vms = append(m.vms, d.Name)
	}
}

// A VM that is powered off and started again, on whatever host, has its
// volume again, with what it wrote, as the disk it was.
func TestReleaseAndReplug(t *testing.T) {
	t.Parallel()
	for _, host := range []int{0, 1} {
		c := newCloud(t, newGround(t))
		vm, v := c.poweredOff()
		c.must(releaseRequest(vm, v))
		c.settle()
		off := c.read(v.ID)
		if off.State != onevolume.Attached || off.Attachment.Host != "" || off.Attachment.VM != vm.ID || len(c.hosts[0].iscsi.Left()) != 0 {
			t.Errorf("the volume is %s with %+v, and the host has %q", off.State, off.Attachment, c.hosts[0].iscsi.Left())
		}
		c.must(releaseRequest(vm, v)) // again
		vm = c.boot(vm, c.hosts[host])
		out := c.must(replugRequest(vm, v))
		c.settle()
		got := c.read(v.ID)
		if out.Disk.Serial != onevolume.Serial(v.ID) || got.Attachment != (onevolume.Attachment{VM: vm.ID, Host: vm.Host,
			Device: v.Attachment.Device, Source: v.Attachment.Source, Serial: v.Attachment.Serial}) {
			t.Errorf("it was %+v and is %+v", v.Attachment, got.Attachment)
		}
		if c.units[v.ID].Content != "the guest's data" || len(c.plugged()[v.ID]) != 1 {
			t.Errorf("it holds %q, in %v", c.units[v.ID].Content, c.plugged())
		}
	}
}

// A domain that still has the disk keeps its host logged in.
func TestReleaseOfADiskInUse(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	v = c.read(v.ID)
	_, err := c.process("client").run(t.Context(), releaseRequest(vm, v))
	if onevolume.CodeOf(err) != onevolume.Held || onevolume.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment != v.Attachment {
		t.Errorf("the volume is %s with %+v", got.State, got.Attachment)
	}
	// Another domain may have it as well, as nobody knows why.
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	d := hypervisortest.Domain{}
	d.Disks = append(d.Disks, hypervisortest.Disk{})
	d.Disks[0].Source, d.Disks[0].Target, d.Disks[0].Bus = v.Attachment.Source, "sdb", "scsi"
	c.vm(c.hosts[0], d)
	_, err = c.process("client").run(t.Context(), releaseRequest(vm, v))
	if onevolume.CodeOf(err) != onevolume.Held || c.read(v.ID).Attachment != v.Attachment || c.hosts[0].iscsi.UnitAt(v.Attachment.Source) == nil {
		t.Errorf("%v", err)
	}
}

// Detach of a volume that is on no host wipes it where the VM was.
func TestDetachOfWhatIsOnNoHost(t *testing.T) {
	t.Parallel()
	for _, leave := range []onevolume.Leave{onevolume.LeaveZeroes, onevolume.LeaveData} {
		c := newCloud(t, newGround(t))
		vm, v := c.poweredOff()
		c.must(releaseRequest(vm, v))
		vm.Running = false
		c.must(detachRequest(vm, v, leave))
		c.settle()
		got, content := c.read(v.ID), c.units[v.ID].Content
		if leave == onevolume.LeaveData && (got.State != onevolume.Retained || content == "") || leave != onevolume.LeaveData && (got.State != onevolume.Available || content != "") {
			t.Errorf("the volume is %s and holds %q", got.State, content)
		}
	}
}

func TestHasDisk(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	look := func(want bool) {
		t.Helper()
		p := c.process("client")
		if has, err := p.engine.HasDisk(t.Context(), vm, c.read(v.ID)); err != nil || has != want {
			t.Errorf("%v, %v", has, err)
		}
	}
	look(false)
	c.must(attachRequest(vm, v))
	look(true)
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	look(false)
}
