package workflow

import (
	"context"
	"fmt"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// detachSteps takes the disk out of the guest, overwrites it unless its data
// shall stay, and logs the host out. Once the guest has let go there is no
// way back, only on.
func (r *run) detachSteps() []step {
	var dev iscsi.Device
	var steps []step
	if r.force {
		// For the journal: whoever carries on does so in the same way.
		steps = append(steps, step{Name: stepForce, Do: func(context.Context, *facts) error { return nil }})
	}
	steps = append(steps, step{Name: stepUnplug, NoReturn: true, Do: r.letGo, Undo: r.stillThere})
	if r.op.Leave != onevolume.LeaveData {
		steps = append(steps,
			step{Name: stepProve, Do: func(ctx context.Context, f *facts) (err error) {
				dev, err = r.proveAgain(ctx, f)
				return err
			}},
			step{Name: stepWipe, Do: func(ctx context.Context, f *facts) error {
				return r.wipe(ctx, f, dev)
			}})
	}
	steps = append(steps, step{Name: stepRelease, Do: func(ctx context.Context, f *facts) error {
		for _, host := range r.places() {
			if err := r.logOut(ctx, host); err != nil {
				return err
			}
		}
		return nil
	}})
	if r.made() {
		steps = append(steps, step{Name: stepRevoke, Do: r.revoke})
	}
	return steps
}

// logOut takes the device off a host and logs it out.
func (r *run) logOut(ctx context.Context, host string) error {
	r.tell(Event{Text: "logging host " + host + " out"})
	h, err := r.on(ctx, host)
	if err != nil {
		return err
	}
	return r.release(ctx, h)
}

// places are the hosts on which the volume may be: where the VM runs, and
// where we plugged it, should those differ.
func (r *run) places() []string {
	list := []string{r.op.VM.Host}
	if h := r.vol.Attachment.Host; h != "" && h != r.op.VM.Host {
		list = append(list, h)
	}
	return list
}

// letGo unplugs the disk wherever it may be. The volume is WIPING from the
// moment no guest has it, so that nobody takes it for attached.
func (r *run) letGo(ctx context.Context, f *facts) error {
	for _, host := range r.places() {
		r.tell(Event{Text: "unplugging it from VM " + r.vmName()})
		h, err := r.onVM(ctx, host)
		if err == nil {
			r.asked = true
			err = r.unplug(ctx, h, r.vol.Attachment.Source)
		}
		r.leaveVM(host)
		if onevolume.CodeOf(err) == onevolume.NotFound {
			err = r.domainGone(host, err)
		}
		if err != nil {
			return err
		}
	}
	f.Host = r.op.VM.Host
	if r.op.Leave != onevolume.LeaveData {
		r.note.State = onevolume.Wiping
	}
	return nil
}

// domainGone decides what a domain that is not on the host means. That of a VM
// which runs, as oned says, has moved, and with it the disk: to go on would
// overwrite a volume that a guest has on another host. Once the guest is known
// to have let go, where its domain went does not matter.
func (r *run) domainGone(host string, err error) error {
	if !r.op.VM.Running || r.committed || host != r.op.VM.Host {
		return nil
	}
	r.asked = false // nobody was
	return onevolume.Errorf(onevolume.Action, "VM %s runs on host %s, as oned says, but its domain is not there: %w", r.vmName(), host, err).
		WithHint("it may be moving: try again when onevm show %d and the host agree; power the VM off if they never do", r.op.VM.ID)
}

// stillThere is what there is to undo when unplugging failed: nothing, as long
// as the guest has the disk. When it has let go all the same, which an answer
// that was lost does not tell, the detach must go on.
func (r *run) stillThere(ctx context.Context, _ *facts) error {
	if !r.asked && !r.resumed {
		return nil
	}
	there, err := r.inGuest(ctx)
	if err != nil || there {
		return err
	}
	return onevolume.Errorf(onevolume.Unknown, "VM %s has let go of volume %d", r.vmName(), r.vol.ID)
}

// inGuest looks whether the VM's domain has the disk, wherever it may be.
func (r *run) inGuest(ctx context.Context) (bool, error) {
	for _, host := range r.places() {
		h, err := r.on(ctx, host)
		if err != nil {
			return false, err
		}
		dom, err := r.driver.Domain(ctx, h, r.op.VM)
		if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
			return false, err
		}
		if _, there := dom.Find(onevolume.Serial(r.vol.ID), r.vol.Attachment.Source); there {
			return true, nil
		}
	}
	return false, nil
}

// proveAgain proves the device again before it is overwritten: it may have
// been unplugged an hour ago, by a process that died.
func (r *run) proveAgain(ctx context.Context, f *facts) (iscsi.Device, error) {
	f.Host = r.op.VM.Host
	h, err := r.on(ctx, f.Host)
	if err != nil {
		return iscsi.Device{}, err
	}
	dev, err := r.reconnect(ctx, h)
	if err == nil && dev.ReadOnly {
		err = onevolume.Errorf(onevolume.Refused, "volume %d is read-only on host %s and cannot be wiped", r.vol.ID, f.Host).
			WithHint("make the logical unit writable on its array, or detach with --no-format")
	}
	return dev, err
}

// reconnect gives the device, proven, which no domain may have.
func (r *run) reconnect(ctx context.Context, h command.Host) (iscsi.Device, error) {
	if err := r.grant(ctx, h); err != nil {
		return iscsi.Device{}, err
	}
	dev, err := r.Initiator.Connect(ctx, h, r.vol.Target, r.want())
	if err != nil {
		return dev, err
	}
	return dev, r.unused(ctx, h, "", dev)
}

// wipe overwrites the device, reads it back and makes a file system if one
// was asked for.
func (r *run) wipe(ctx context.Context, f *facts, dev iscsi.Device) error {
	h, err := r.on(ctx, f.Host)
	if err != nil {
		return err
	}
	err = r.Wiper.Wipe(ctx, h, dev, func(phase string, done, total onevolume.Size) {
		r.tell(Event{Text: phase, Done: done, Total: total})
	})
	if err != nil || r.op.Leave == onevolume.LeaveZeroes {
		return err
	}
	r.tell(Event{Text: "making an empty " + string(r.op.Leave)})
	return r.Wiper.Format(ctx, h, dev, string(r.op.Leave))
}

func (r *run) vmName() string {
	if r.op.VM.Name == "" {
		return fmt.Sprint(int(r.op.VM.ID))
	}
	return fmt.Sprintf("%d (%s)", r.op.VM.ID, r.op.VM.Name)
}
