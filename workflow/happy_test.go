package workflow_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

func TestAttachAndDetach(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for _, leave := range []onevolume.Leave{onevolume.LeaveZeroes, onevolume.LeaveExt4, onevolume.LeaveXFS, onevolume.LeaveData} {
		t.Run(string(leave), func(t *testing.T) {
			c := newCloud(t, g)
			v := c.volume(1, 1)
			vm := c.vm(c.hosts[0], hypervisortest.Domain{})
			out := c.must(attachRequest(vm, v))
			if out.Disk.Target != "sdiv" || !strings.HasSuffix(out.GuestPath, onevolume.Serial(v.ID)) {
				t.Errorf("outcome %+v", out)
			}
			c.settle()
			if got := c.read(v.ID); got.State != onevolume.Attached || got.Attachment.VM != vm.ID {
				t.Errorf("volume %+v", got)
			}
			c.write(v)
			c.must(detachRequest(vm, v, leave))
			c.settle()
			want := map[onevolume.Leave]struct {
				state   onevolume.State
				content string
			}{
				onevolume.LeaveZeroes: {onevolume.Available, ""}, onevolume.LeaveExt4: {onevolume.Available, "ext4"},
				onevolume.LeaveXFS: {onevolume.Available, "xfs"}, onevolume.LeaveData: {onevolume.Retained, "the guest's data"},
			}[leave]
			if got := c.read(v.ID); got.State != want.state || c.units[v.ID].Content != want.content {
				t.Errorf("volume %s with %q, want %s with %q", got.State, c.units[v.ID].Content, want.state, want.content)
			}
			// What was kept can be attached again, by name.
			c.must(attachRequest(vm, v))
			c.settle()
		})
	}
}

func TestTwoUnitsOfOneTarget(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, w := c.volume(1, 1), c.volume(1, 2)
	if v.Target.IQN != w.Target.IQN {
		t.Fatalf("targets %s and %s", v.Target.IQN, w.Target.IQN)
	}
	vm := c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.must(attachRequest(vm, w))
	c.settle()
	c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
	c.settle()
	if left := c.hosts[0].iscsi.Left(); len(left) != 3 {
		t.Errorf("left %q, want session, disk and record of the other unit", left)
	}
	c.must(detachRequest(vm, w, onevolume.LeaveZeroes))
	c.settle()
}
