package workflow

import (
	"context"
	"errors"
	"slices"
	"strings"

	"onevolume"
	"onevolume/hypervisor"
)

// Stopped looks at a host whose VMs have these volumes, and gives those of
// them whose errors have paused their VMs. It changes nothing, and takes no
// lock. A hypervisor that does not pause VMs for that has none.
func (e *Engine) Stopped(ctx context.Context, host string, vms map[onevolume.VMID]onevolume.VM, vols []onevolume.Volume) (map[onevolume.VMID][]onevolume.VolumeID, error) {
	found := map[onevolume.VMID][]onevolume.VolumeID{}
	if len(vols) == 0 {
		return found, nil
	}
	driver, err := e.Driver(vms[vols[0].Attachment.VM])
	if err != nil {
		return nil, err
	}
	waker, can := driver.(hypervisor.Waker)
	if !can {
		return found, nil
	}
	r := e.newRun(driver)
	defer r.close()
	r.unlocked = true
	h, err := r.on(ctx, host)
	if err != nil {
		return nil, err
	}
	domains, err := waker.Paused(ctx, h)
	if err != nil {
		return nil, hostError(err)
	}
	asked := map[onevolume.VMID]bool{}
	for _, v := range vols {
		id := v.Attachment.VM
		if asked[id] || !slices.ContainsFunc(domains, func(d hypervisor.Domain) bool { _, has := disk(d, v); return has && d.Stopped }) {
			continue
		}
		asked[id] = true
		vm := vms[id]
		vm.Host = host
		dom, failing, err := waker.Failing(ctx, h, vm)
		if onevolume.CodeOf(err) == onevolume.NotFound {
			continue // it has moved, or ended
		}
		if err != nil {
			return nil, hostError(err)
		}
		for _, v := range vols {
			if k, has := disk(dom, v); has && v.Attachment.VM == id && slices.Contains(failing, k.Target) {
				found[id] = append(found[id], v.ID)
			}
		}
	}
	return found, nil
}

// disk finds a volume in a domain.
func disk(d hypervisor.Domain, v onevolume.Volume) (hypervisor.Disk, bool) {
	return d.Find(onevolume.Serial(v.ID), v.Attachment.Source)
}

// Rouse lets a VM go on that was paused by errors of its volumes, when the
// paths of all of these are back: each is proven to be itself, and read. vols
// are all that the VM has. A VM that is paused for any other reason, or by a
// disk that is none of ours, is left alone. Codes: Action (it is not paused by
// an error, or not of ours alone), and what Prove and Wake say.
func (e *Engine) Rouse(ctx context.Context, vm onevolume.VM, vols []onevolume.Volume) error {
	driver, err := e.Driver(vm)
	if err != nil {
		return err
	}
	waker, can := driver.(hypervisor.Waker)
	if !can || len(vols) == 0 {
		return onevolume.Errorf(onevolume.Action, "VM %d is not resumed: its hypervisor does not pause it for an error", vm.ID)
	}
	r := e.newRun(driver)
	defer r.close()
	r.op.VM = vm
	vols = slices.Clone(vols)
	// The targets' locks come first, for all in one order.
	slices.SortFunc(vols, func(a, b onevolume.Volume) int {
		return strings.Compare(e.Initiator.LockName(a.Target), e.Initiator.LockName(b.Target))
	})
	for _, v := range vols {
		r.vol = v
		h, err := r.on(ctx, vm.Host)
		if err == nil {
			err = r.prove(ctx, h)
		}
		if err != nil {
			return hostError(err)
		}
	}
	h, err := r.onVM(ctx, vm.Host)
	if err != nil {
		return err
	}
	dom, failing, err := waker.Failing(ctx, h, vm)
	if err != nil {
		return hostError(err)
	}
	if err := ours(dom, failing, vols); err != nil {
		return err
	}
	return hostError(waker.Wake(ctx, h, vm))
}

// ours says why a domain is not to be resumed, unless all disks that failed
// are among the volumes.
func ours(dom hypervisor.Domain, failing []string, vols []onevolume.Volume) error {
	if !dom.Stopped || len(failing) == 0 {
		return onevolume.Errorf(onevolume.Action, "domain %s is %s: not by an error of a volume", dom.Name, dom.State)
	}
	known := map[string]bool{}
	for _, v := range vols {
		if k, has := disk(dom, v); has {
			known[k.Target] = true
		}
	}
	var errs []error
	for _, target := range failing {
		if !known[target] {
			errs = append(errs, onevolume.Errorf(onevolume.Action, "domain %s is paused by an error of %s as well, which is no volume", dom.Name, target).
				WithHint("look after that disk, then: virsh resume %s", dom.Name))
		}
	}
	return errors.Join(errs...)
}
