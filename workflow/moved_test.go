package workflow_test

import (
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

// A running VM whose domain is not on its host has moved, and the disk with
// it: nothing is wiped and nobody is logged out. Of a VM that is off, a
// missing domain holds nothing.
func TestDetachFromADomainThatIsNotThere(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v := c.volume(1, 1)
	vm := c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	_, err := c.process("good").run(c.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
	if onevolume.CodeOf(err) != onevolume.Action || onevolume.HintOf(err) == "" {
		t.Errorf("got %v, want Action with a hint", err)
	}
	if got := c.read(v.ID); got.State != onevolume.Attached || c.units[v.ID].Content != "the guest's data" {
		t.Errorf("the volume is %s with %q", got.State, c.units[v.ID].Content)
	}
	if op := c.operation(v.ID); op.Status != onevolume.Undone {
		t.Errorf("the operation is %s", op.Status)
	}
	vm.Running = false
	c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Available || c.units[v.ID].Content != "" {
		t.Errorf("the volume is %s with %q", got.State, c.units[v.ID].Content)
	}
}
