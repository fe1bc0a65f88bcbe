package workflow

import (
	"context"

	"onevolume"
	"onevolume/hypervisor"
)

// Plan is what an operation would do.
type Plan struct {
	Volume   onevolume.Volume
	VM       onevolume.VM
	Commands []Planned
}

// PlanAttach chooses the volume and looks at the VM's host as Attach would,
// and gives the commands that it would run there in the usual case. Nothing
// is reserved and nothing is changed on the host.
func (e *Engine) PlanAttach(ctx context.Context, req onevolume.Request) (Plan, error) {
	r, p, err := e.plan(ctx, req)
	if err != nil {
		return p, err
	}
	defer r.close()
	tune, err := r.tune()
	if err != nil {
		return p, err
	}
	dom, err := r.runningDomain(ctx)
	if err != nil {
		return p, err
	}
	disk := hypervisor.Disk{Source: r.Initiator.Path(p.Volume.Target), Serial: onevolume.Serial(p.Volume.ID), Tune: tune}
	if p.Volume.ID == onevolume.NoVolume {
		disk.Serial = "onevolume-<id>" // it would be made first
	}
	for _, c := range r.Initiator.ConnectCommands(p.Volume.Target) {
		p.Commands = append(p.Commands, Planned{req.VM.Host, c})
	}
	for _, c := range r.driver.PlugCommands(dom, disk) {
		p.Commands = append(p.Commands, Planned{req.VM.Host, c})
	}
	return p, nil
}

// PlanDetach does for Detach what PlanAttach does for Attach.
func (e *Engine) PlanDetach(ctx context.Context, req onevolume.Request) (Plan, error) {
	r, p, err := e.plan(ctx, req)
	if err != nil {
		return p, err
	}
	defer r.close()
	for _, host := range r.places() {
		h, err := r.on(ctx, host)
		if err != nil {
			return p, err
		}
		dom, err := r.driver.Domain(ctx, h, req.VM)
		if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
			return p, err
		}
		if disk, ok := dom.Find(onevolume.Serial(r.vol.ID), r.vol.Attachment.Source); ok {
			for _, c := range r.driver.UnplugCommands(dom, disk) {
				p.Commands = append(p.Commands, Planned{host, c})
			}
		}
	}
	if req.Leave != onevolume.LeaveData {
		for _, c := range r.Wiper.WipeCommands(p.Volume.Size, string(req.Leave)) {
			p.Commands = append(p.Commands, Planned{req.VM.Host, c})
		}
	}
	for _, host := range r.places() {
		for _, c := range r.Initiator.ReleaseCommands(p.Volume.Target) {
			p.Commands = append(p.Commands, Planned{host, c})
		}
	}
	return p, nil
}

// plan makes a run that has reserved nothing.
func (e *Engine) plan(ctx context.Context, req onevolume.Request) (*run, Plan, error) {
	driver, err := e.Driver(req.VM)
	if err != nil {
		return nil, Plan{}, err
	}
	req.DryRun = true
	_, vol, err := e.Ledger.Reserve(ctx, req)
	if err != nil {
		return nil, Plan{}, err
	}
	r := e.newRun(driver)
	r.vol, r.unlocked = vol, true
	r.op = onevolume.Operation{Kind: req.Kind, Volume: vol.ID, VM: req.VM, Leave: req.Leave}
	return r, Plan{Volume: vol, VM: req.VM}, nil
}
