package workflow_test

import (
	"context"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
)

func growRequest(vm onevolume.VM, v onevolume.Volume) onevolume.Request {
	r := replugRequest(vm, v)
	r.Kind, r.Task = onevolume.Grow, &onevolume.Task{Size: grownTo}
	return r
}

// mortalGrower is the array as a process reaches it; what grows there, the
// target's unit is.
type mortalGrower struct {
	mortalLedger
	c *cloud
}

func (g mortalGrower) Extend(ctx context.Context, op onevolume.OperationRef) (size onevolume.Size, err error) {
	err = g.call(ctx, op, "extend", func() error {
		size, err = g.c.access.Extend(ctx, op)
		g.c.follow(ctx, op)
		return err
	})
	return size, err
}

func (g mortalGrower) SizeNow(ctx context.Context, op onevolume.OperationRef) (size onevolume.Size, err error) {
	err = g.call(ctx, op, "size", func() error {
		size, err = g.c.access.SizeNow(ctx, op)
		return err
	})
	return size, err
}

// follow brings the unit of an operation's volume to the array's size.
func (c *cloud) follow(ctx context.Context, ref onevolume.OperationRef) {
	op, err := c.db.Operation(ctx, ref.ID)
	if err != nil {
		return
	}
	is, err := c.memory.Lookup(ctx, array.ID(op.Task.ArrayID))
	if err == nil {
		unit := c.units[op.Volume]
		c.array.Change(c.memory.Target(is.ID).IQN, func(*iscsitest.Target) { unit.Size = is.Size })
	}
}

// seen is the volume's size in its guest.
func (c *cloud) seen(v onevolume.Volume) onevolume.Size {
	c.Helper()
	for _, m := range c.hosts {
		for _, name := range m.vms {
			d, _ := m.virt.Domain(name)
			for _, k := range d.Disks {
				if k.Serial == onevolume.Serial(v.ID) {
					return k.Capacity
				}
			}
		}
	}
	return 0
}

// growth is what has become of an ATTACHED volume that was to grow. Whatever
// its guest sees, the inventory knows.
func (pt *point) growth(v onevolume.Volume) onevolume.State {
	pt.Helper()
	seen, unit := pt.seen(v), pt.units[v.ID].Size
	op := pt.operation(v.ID)
	switch {
	case v.Size == grownTo && seen == grownTo && unit == grownTo && op.Status == onevolume.Done && v.Reason == "":
		return grown
	case op.Status == onevolume.Parked && op.Kind == onevolume.Grow && seen <= v.Size:
		return onevolume.Failed // but in name
	case v.Size != pt.v.Size || seen != pt.v.Size:
		pt.Errorf("%s at %s: it has %s, its guest sees %s; before it had %s", pt.what, pt.at, v.Size.Exact(), seen.Exact(), pt.v.Size.Exact())
	}
	if pt.tb.act.made && unit != pt.v.Size {
		pt.Errorf("%s at %s: it has %s on its array, and %s on record", pt.what, pt.at, unit.Exact(), v.Size.Exact())
	}
	return v.State
}

// TestGrowParked: what the hypervisor refuses leaves the volume attached, with
// the size that it has now; it is carried on when told to, and not taken back.
func TestGrowParked(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	c.write(v)
	f := &fault{step: "resize", err: errPermanent}
	p := c.process("client")
	faulty(f)(p, p.engine)
	_, err := p.run(t.Context(), growRequest(vm, v))
	op, now := c.operation(v.ID), c.read(v.ID)
	if onevolume.CodeOf(err) != onevolume.Refused || !strings.Contains(onevolume.HintOf(err), "onevolume resume") {
		t.Errorf("the caller was told %v (%s)", err, onevolume.HintOf(err))
	}
	if op.Status != onevolume.Parked || now.State != onevolume.Attached || now.Size != grownTo || !strings.Contains(now.Reason, "onevolume resume") {
		t.Errorf("operation %+v, volume %+v", op, now)
	}
	back, err := c.db.Reopen(t.Context(), op.ID, onevolume.Back, "daemon", limit.Lease)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := c.db.Journal(t.Context(), op.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.process("daemon").engine.Resume(t.Context(), back, c.read(v.ID), journal); onevolume.CodeOf(err) != onevolume.Action {
		t.Errorf("taking it back: %v", err)
	}
	on, err := c.db.Reopen(t.Context(), op.ID, onevolume.Forward, "daemon", limit.Lease)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.process("daemon").engine.Resume(t.Context(), on, c.read(v.ID), journal); err != nil {
		t.Error(err)
	}
	if now = c.read(v.ID); now.State != onevolume.Attached || now.Reason != "" || c.seen(v) != grownTo {
		t.Errorf("%+v, and the guest sees %s", now, c.seen(v).Exact())
	}
	c.settle()
	c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
}

// TestGrowRefused: nothing is asked of array or host for what cannot be.
func TestGrowRefused(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	smaller := growRequest(vm, v)
	smaller.Task = &onevolume.Task{Size: 32 * onevolume.MiB}
	if _, err := c.process("client").run(t.Context(), smaller); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("shrinking: %v", err)
	}
	registered := c.volume(3, 1)
	guest := c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(guest, registered))
	_, err := c.process("client").run(t.Context(), growRequest(guest, registered))
	if onevolume.CodeOf(err) != onevolume.Mismatch || !strings.Contains(onevolume.HintOf(err), "67108864B") {
		t.Errorf("a registered unit that has not grown: %v (%s)", err, onevolume.HintOf(err))
	}
	if now := c.read(registered.ID); now.Size != registered.Size || now.State != onevolume.Attached {
		t.Errorf("%+v", now)
	}
	c.memory.Down(array.Errorf(array.NoSpace, "the test: the array is full"))
	if _, err = c.process("client").run(t.Context(), growRequest(vm, v)); err == nil {
		t.Error("a full array let it grow")
	}
	c.memory.Down(nil)
	c.settle()
}

// TestGrowOnXen is refused before anything is reserved.
func TestGrowOnXen(t *testing.T) {
	g := newGround(t)
	g.xen = true
	c, vm, v := onArray(t, g)
	c.must(attachRequest(vm, v))
	_, err := c.process("client").run(t.Context(), growRequest(vm, v))
	if onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(onevolume.HintOf(err), "detach") {
		t.Errorf("%v (%s)", err, onevolume.HintOf(err))
	}
	if op := c.operation(v.ID); op.Kind != onevolume.Attach {
		t.Errorf("there is the operation %+v", op)
	}
}

// TestGrowAfterTheVMLeft: a volume that has grown is completed though there is
// no guest to tell any more.
func TestGrowAfterTheVMLeft(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	c.write(v)
	p := c.process("client")
	p.crash = crash{4, true} // extended, and about to rescan
	_, _ = p.run(t.Context(), growRequest(vm, v))
	if now := c.read(v.ID); !p.gone() || now.Size != grownTo || now.State != onevolume.Attached {
		t.Fatalf("%+v", now)
	}
	p.hangUp()
	c.hosts[0].virt.RemoveDomain(vm.DeployID)
	c.lost[v.ID] = true
	c.settle()
	if op := c.operation(v.ID); op.Status != onevolume.Done {
		t.Errorf("%+v", op)
	}
}
