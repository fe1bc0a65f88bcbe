package workflow_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

// limit gives the volume limits, as an administrator does.
func (c *cloud) limit(v onevolume.Volume, limits map[string]string) {
	c.Helper()
	if err := c.db.Update(c.Context(), v.ID, func(v *onevolume.Volume) error { v.Attributes = limits; return nil }); err != nil {
		c.Fatal(err)
	}
}

// The limits of a volume are in force wherever it is plugged in, at attach and
// at replug.
func TestLimits(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v := c.volume(1, 1)
	c.limit(v, map[string]string{"TYPE": "slow", "TOTAL_IOPS_SEC": "100", "READ_BYTES_SEC": "1048576"})
	vm := c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.settle()
	tuned := func(when string) {
		t.Helper()
		d, _ := c.hosts[0].virt.Domain(vm.DeployID)
		if len(d.Disks) != 1 || d.Disks[0].Tune.String() != "read_bytes_sec=1048576 total_iops_sec=100" {
			t.Errorf("%s: the domain's disks are %+v", when, d.Disks)
		}
	}
	tuned("attached")
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = nil })
	c.must(replugRequest(vm, v))
	tuned("plugged again")
	c.settle()
}

// Xen keeps no limits: a volume that has them is refused before anything is
// done on the host.
func TestXenKeepsNoLimits(t *testing.T) {
	t.Parallel()
	c := newCloud(t, xenGround(t))
	v := c.volume(1, 1)
	c.limit(v, map[string]string{"TOTAL_IOPS_SEC": "100"})
	vm := c.vm(c.hosts[0], hypervisortest.Domain{})
	_, err := c.process("good").run(t.Context(), attachRequest(vm, v))
	if onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "total_iops_sec=100") {
		t.Errorf("error %v", err)
	}
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Available {
		t.Errorf("the volume is %s", got.State)
	}
	c.limit(v, map[string]string{"TOTAL_IOPS_SEC": "0"})
	c.must(attachRequest(vm, v))
}
