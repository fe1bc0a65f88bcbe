package daemon

import (
	"context"
	"fmt"

	"onevolume"
)

// itself is the daemon, when nobody asked it.
var itself = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}

// Do runs an operation that the daemon wants itself, to its end. The context
// does not end it. When it could not be ended yet, the sweep goes on with it.
func (d *Daemon) Do(ctx context.Context, req onevolume.Request) error {
	return d.perform(ctx, itself, req, "operation begins, since something happened to the VM")
}

// perform runs an operation to its end, whoever asked for it.
func (d *Daemon) perform(ctx context.Context, who onevolume.Caller, req onevolume.Request, why string) error {
	ctx = context.WithoutCancel(ctx)
	req.Owner = fmt.Sprintf("%s request %d", d.Name, d.requests.Add(1))
	if !d.enter() {
		return errStopping()
	}
	defer d.jobs.Done()
	job, err := d.engine(who).Begin(ctx, req)
	if err != nil {
		return err
	}
	op := job.Operation()
	d.claim(op.ID)
	log := d.about(op)
	log.Info(why)
	_, err = job.Run(ctx)
	logEnd(log, err)
	d.unclaim(op.ID, d.outcome(ctx, op, err, d.Now(), log))
	return err
}

// Stopped looks which volumes have paused their VMs (see workflow.Engine).
func (d *Daemon) Stopped(ctx context.Context, host string, vms map[onevolume.VMID]onevolume.VM, vols []onevolume.Volume) (map[onevolume.VMID][]onevolume.VolumeID, error) {
	e := d.Engine
	return e.Stopped(ctx, host, vms, vols)
}

// Rouse lets such a VM go on (see workflow.Engine).
func (d *Daemon) Rouse(ctx context.Context, vm onevolume.VM, vols []onevolume.Volume) error {
	e := d.Engine
	return e.Rouse(ctx, vm, vols)
}

// Clean frees a fenced host (see workflow.Engine).
func (d *Daemon) Clean(ctx context.Context, f onevolume.FenceRecord) error {
	e := d.Engine
	return e.Clean(ctx, f)
}

// HasDisk looks whether a VM's domain has a volume (see workflow.Engine).
func (d *Daemon) HasDisk(ctx context.Context, vm onevolume.VM, v onevolume.Volume) (bool, error) {
	e := d.Engine
	return e.HasDisk(ctx, vm, v)
}
