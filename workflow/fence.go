package workflow

import (
	"context"

	"onevolume"
	"onevolume/command"
)

// Fencer is an Access that can take everybody's right on the operation's
// volume away and cut them off (package provision). It returns when nobody is
// let in or logged in any more, and may be repeated. Only the daemon has one.
type Fencer interface {
	Fence(ctx context.Context, op onevolume.OperationRef) error
}

// fenceSteps has the array cut the host on record off, which cannot be asked.
// There is nothing to take back: a host that was cut off by a fence which then
// failed stays on record, and nothing is plugged elsewhere.
func (r *run) fenceSteps() []step {
	return []step{{Name: stepFence, Do: func(ctx context.Context, f *facts) error {
		f.Host = r.op.VM.Host
		if !r.made() {
			// Who asks for this has been told by an administrator that the host
			// is off (see follower.Follower).
			return nil
		}
		fencer, can := r.Access.(Fencer)
		if !can {
			return onevolume.Errorf(onevolume.Action, "array %s is asked by the daemon alone", r.vol.Array)
		}
		r.tell(Event{Text: "having array " + r.vol.Array + " cut off host " + f.Host})
		return fencer.Fence(ctx, r.op.Ref())
	}}}
}

// Clean looks that no domain of a host that was fenced has the disk any more,
// and logs the host out of what it was cut off from. It may be repeated.
// Codes: Held (a domain has the disk), Unreachable, and those of the
// initiator's ReleaseForced.
func (e *Engine) Clean(ctx context.Context, f onevolume.FenceRecord) error {
	driver, err := e.Driver(f.VM)
	if err != nil {
		return err
	}
	r := e.newRun(driver)
	defer r.close()
	r.op.VM = f.VM
	r.vol = onevolume.Volume{ID: f.Volume, Target: f.Target, Attachment: onevolume.Attachment{VM: f.VM.ID, Host: f.Host, Source: f.Source}}
	h, err := r.on(ctx, f.Host)
	if err != nil {
		return hostError(err)
	}
	return hostError(r.clean(ctx, h))
}

func (r *run) clean(ctx context.Context, h command.Host) error {
	domains, err := r.driver.Domains(ctx, h)
	if err != nil {
		return err
	}
	for _, d := range domains {
		if _, has := disk(d, r.vol); has {
			return onevolume.Errorf(onevolume.Held, "domain %s on host %s (%s) has the disk of volume %d, from which the host was cut off", d.Name, h.Name(), d.State, r.vol.ID).
				WithHint("VM %d may run elsewhere: when this domain is the one left behind, end it on host %s: virsh destroy %s", r.op.VM.ID, h.Name(), d.Name)
		}
	}
	found, err := r.Initiator.Find(ctx, h, r.vol.Target)
	if err != nil {
		return err
	}
	for _, dev := range found {
		if err := r.unused(ctx, h, "", dev); err != nil {
			return err
		}
	}
	// Nothing can be flushed to a disk that is cut off, and what the guest had
	// not written was lost when it was.
	return r.Initiator.ReleaseForced(ctx, h, r.vol.Target)
}
