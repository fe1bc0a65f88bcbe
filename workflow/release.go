package workflow

import (
	"context"

	"onevolume"
)

// releaseSteps logs out the host that the volume is on record on, which the
// operation's VM names, after looking that the VM's domain there has ended or
// has no such disk. There is nothing to take back: a host that is logged out
// in part is so for the next try, and stays on record until that succeeds.
func (r *run) releaseSteps() []step {
	steps := []step{
		{Name: stepDomain, Do: r.domainEnded},
		{Name: stepRelease, Do: func(ctx context.Context, f *facts) error {
			defer r.leaveVM(f.Host)
			return r.logOut(ctx, f.Host)
		}},
	}
	if r.made() {
		steps = append(steps, step{Name: stepRevoke, Do: r.revoke})
	}
	return steps
}

// domainEnded asks that the VM's domain does not have the disk any more. From
// then on until the host is logged out, nobody of ours changes the domain.
func (r *run) domainEnded(ctx context.Context, f *facts) (err error) {
	f.Host = r.op.VM.Host
	defer r.leaveVMOn(&err, f.Host)
	r.tell(Event{Text: "looking that no domain of VM " + r.vmName() + " is left on host " + f.Host})
	h, err := r.onVM(ctx, f.Host)
	if err != nil {
		return err
	}
	dom, err := r.driver.Domain(ctx, h, r.op.VM)
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if _, there := dom.Find(onevolume.Serial(r.vol.ID), r.vol.Attachment.Source); there {
		return onevolume.Errorf(onevolume.Held, "domain %s on host %s still has volume %d (it is %s)", dom.Name, f.Host, r.vol.ID, dom.State).
			WithHint("it is logged out when that domain has ended")
	}
	return nil
}

// HasDisk says whether the VM's domain, on the host that vm names, has the
// volume as a disk, and runs. It only looks, and takes no lock. A domain that
// is not there has none.
func (e *Engine) HasDisk(ctx context.Context, vm onevolume.VM, vol onevolume.Volume) (bool, error) {
	has, runs, err := e.look(ctx, vm, vol)
	return has && runs, err
}

// Holds says likewise whether the domain has it, whether it runs or not.
func (e *Engine) Holds(ctx context.Context, vm onevolume.VM, vol onevolume.Volume) (bool, error) {
	has, _, err := e.look(ctx, vm, vol)
	return has, err
}

func (e *Engine) look(ctx context.Context, vm onevolume.VM, vol onevolume.Volume) (has, runs bool, err error) {
	driver, err := e.Driver(vm)
	if err != nil {
		return false, false, err
	}
	r := e.newRun(driver)
	defer r.close()
	r.op.VM, r.vol, r.unlocked = vm, vol, true
	h, err := r.on(ctx, vm.Host)
	if err != nil {
		return false, false, err
	}
	dom, err := driver.Domain(ctx, h, vm)
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return false, false, nil
	}
	if err != nil {
		return false, false, hostError(err)
	}
	_, has = dom.Find(onevolume.Serial(vol.ID), vol.Attachment.Source)
	return has, dom.Running, nil
}
