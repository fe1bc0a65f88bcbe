package workflow

import (
	"cmp"
	"context"
	"errors"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

const (
	stepExtend = "extend"
	stepRescan = "rescan"
	stepResize = "resize"
)

// errGrown says that there is no way back.
var errGrown = errors.New("has grown")

// Grower lets volumes grow that were made on arrays (package provision, which
// documents the methods). Both may be repeated.
type Grower interface {
	Extend(ctx context.Context, op onevolume.OperationRef) (onevolume.Size, error)
	SizeNow(ctx context.Context, op onevolume.OperationRef) (onevolume.Size, error)
}

// growSteps let a volume grow that its guest has: on its array, in the host's
// kernel on every path, and in the guest. A volume that was registered has
// grown on its storage machine before, which the device proves. Once it has
// grown there is no way back: whoever takes the operation over completes it.
func (r *run) growSteps() []step {
	steps := []step{{Name: stepDomain, Do: r.mayGrow}}
	rescan := step{Name: stepRescan, Do: r.rescan}
	if r.made() {
		steps = append(steps, step{Name: stepExtend, Do: r.extend, Undo: r.notExtended, NoReturn: true})
	} else {
		rescan.Undo, rescan.NoReturn = r.notSeen, true
	}
	return append(steps, rescan, step{Name: stepResize, Do: r.tellGuest})
}

// resizer is the driver as one that tells a guest of a larger disk. Code:
// Action.
func resizer(d hypervisor.Driver) (hypervisor.Resizer, error) {
	if z, ok := d.(hypervisor.Resizer); ok {
		return z, nil
	}
	return nil, onevolume.Errorf(onevolume.Action, "a guest under %s cannot be told that a disk has grown", d.Name()).
		WithHint("detach the volume with --no-format, resize it, and attach it again")
}

// mayGrow asks that the VM runs with the disk. When the volume has grown
// already and the VM is gone from the host, there is nobody to tell: whoever
// connects the volume next has the kernel ask for its size.
func (r *run) mayGrow(ctx context.Context, f *facts) error {
	f.Host = r.op.VM.Host
	if _, err := resizer(r.driver); err != nil {
		return err
	}
	r.tell(Event{Text: "looking for the domain of VM " + r.vmName()})
	dom, disk, there, has, err := r.domainOn(ctx, f.Host)
	switch {
	case err != nil:
		return err
	case has && dom.Running:
		f.Disk = disk
		return nil
	case r.committed:
		r.absent = true
		return nil
	case !there, !dom.Running:
		return onevolume.Errorf(onevolume.Action, "VM %s does not run on host %s", r.vmName(), f.Host).
			WithHint("a volume grows while its VM runs, or in no VM: start the VM, or detach the volume with --no-format")
	}
	return onevolume.Errorf(onevolume.Action, "domain %s on host %s does not have volume %d, which is on record there", dom.Name, f.Host, r.vol.ID).
		WithHint("it is plugged again by itself: wait until onevolume doctor finds nothing, then try again")
}

// extend has the array make the volume larger. What it says is recorded with
// the step's success: from then on no other size is the volume's.
func (r *run) extend(ctx context.Context, f *facts) error {
	r.tell(Event{Text: "having array " + r.vol.Array + " make it larger"})
	g, err := r.grower()
	if err != nil {
		return err
	}
	size, err := g.Extend(ctx, r.op.Ref())
	if err != nil {
		return err
	}
	f.Size, r.note.Size = size, size
	return nil
}

func (r *run) grower() (Grower, error) {
	if r.Grower == nil {
		return nil, onevolume.Errorf(onevolume.NotFound, "no array that makes volumes is configured").
			WithHint("the daemon alone has arrays' credentials: arrays stand in its configuration")
	}
	return r.Grower, nil
}

// notExtended is what there is to undo when the array failed: nothing, as
// long as the volume is as large as it was.
func (r *run) notExtended(ctx context.Context, _ *facts) error {
	g, err := r.grower()
	if err != nil {
		return nil //nolint:nilerr // nobody was asked
	}
	size, err := g.SizeNow(ctx, r.op.Ref())
	if err == nil && size > r.vol.Size {
		return onevolume.Errorf(onevolume.Unknown, "volume %d %w: to %s, on array %s", r.vol.ID, errGrown, size.Exact(), r.vol.Array)
	}
	return err
}

// newSize is what the volume's device must show.
func (r *run) newSize(f *facts) onevolume.Size {
	if r.made() {
		return cmp.Or(f.Size, r.vol.Size)
	}
	return r.op.Task.Size
}

// rescan has the host's kernel see the size, on every path, and proves it.
func (r *run) rescan(ctx context.Context, f *facts) error {
	if r.absent {
		return nil
	}
	r.tell(Event{Text: "having host " + f.Host + " look at its size"})
	h, err := r.on(ctx, f.Host)
	if err != nil {
		return err
	}
	size := r.newSize(f)
	dev, err := r.Initiator.Rescan(ctx, h, r.vol.Target, iscsi.Want{Size: size, Identity: r.vol.Identity})
	if onevolume.CodeOf(err) == onevolume.Mismatch && dev.Size != size && !r.made() {
		return onevolume.Errorf(onevolume.Mismatch, "volume %d: %w", r.vol.ID, err).
			WithHint("first let the logical unit grow on its storage machine; then say what it has, to the byte: onevolume resize %d %dB", r.vol.ID, int64(dev.Size))
	}
	if err == nil {
		f.Size, r.note.Size = size, size
	}
	return err
}

// notSeen is what there is to undo when rescanning failed: nothing, unless
// the device shows the new size, which then is the volume's.
func (r *run) notSeen(ctx context.Context, f *facts) error {
	if r.op.Task.Size == r.vol.Size {
		return nil
	}
	h, err := r.on(ctx, r.op.VM.Host)
	if err != nil {
		return err
	}
	devices, err := r.Initiator.Find(ctx, h, r.vol.Target)
	for _, d := range devices {
		if d.Size == r.op.Task.Size {
			return onevolume.Errorf(onevolume.Unknown, "volume %d %w: to %s, on host %s", r.vol.ID, errGrown, d.Size.Exact(), r.op.VM.Host)
		}
	}
	return err
}

// tellGuest has the guest see the size.
func (r *run) tellGuest(ctx context.Context, f *facts) error {
	if r.absent {
		return nil
	}
	r.tell(Event{Text: "telling the guest"})
	z, err := resizer(r.driver)
	if err != nil {
		return err
	}
	h, err := r.onVM(ctx, f.Host)
	defer r.leaveVM(f.Host)
	if err != nil {
		return err
	}
	disk := hypervisor.Disk{Serial: onevolume.Serial(r.vol.ID), Source: f.Disk.Source}
	return z.Resize(ctx, h, r.op.VM, disk, r.newSize(f))
}

// growsOn says which way a resize goes that another took over: on, unless an
// administrator has it taken back and nothing has grown.
func (r *run) growsOn(ctx context.Context) (bool, error) {
	if r.op.Way != onevolume.Back {
		return true, nil
	}
	grown := r.committed
	if !grown {
		look := r.notSeen
		if r.made() {
			look = r.notExtended
		}
		err := look(ctx, &r.facts)
		if grown = errors.Is(err, errGrown); err != nil && !grown {
			return false, err
		}
	}
	if grown {
		return false, onevolume.Errorf(onevolume.Action, "volume %d has grown: that cannot be taken back any more", r.vol.ID).
			WithHint("carry it on: onevolume resume %d", r.op.ID)
	}
	return false, nil
}
