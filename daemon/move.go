package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// How long a call about a VM that moves waits: for its volumes to be prepared,
// for others to be over with one of them, and for all to settle.
const (
	prepareTime = 90 * time.Second
	settleTime  = 30 * time.Second
	turnTime    = 30 * time.Second
	turnPause   = 250 * time.Millisecond
)

// Premigrate gets the volumes of a VM ready on the host that it is about to
// move to while it runs, and gives their number; those that are in no domain
// need nothing. Each is proven there to be itself, under the name that it has
// in the VM. With an error nothing of this is left on that host, and the VM
// must not move. It may be repeated: a second call waits for what the first
// one began. From then on each volume waits for its VM, for as long as that
// takes (Settle). Codes: NotFound, Forbidden, Action, Busy, Refused,
// Unreachable, Mismatch, Held, Unknown (not all are prepared in time).
func (d *Daemon) Premigrate(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	return d.prepare(ctx, who, session, vm, host, false)
}

// Prerestore does the same for a VM that is saved and is about to be restored
// on a host, the same or another: the saved VM names its disks, and cannot be
// restored where they are not. Where a domain of it has a volume, it is Held.
func (d *Daemon) Prerestore(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error) {
	return d.prepare(ctx, who, session, vm, host, true)
}

// prepare does so for each volume, all at once.
func (d *Daemon) prepare(ctx context.Context, who onevolume.Caller, session string, id onevolume.VMID, host string, saved bool) (int, error) {
	volumes, vm, err := d.volumesOf(ctx, session, id, host)
	if err != nil || len(volumes) == 0 {
		return 0, err
	}
	until := time.NewTimer(prepareTime)
	defer until.Stop()
	begun, errs := make([]*preparation, len(volumes)), make([]error, len(volumes))
	var all sync.WaitGroup
	for i, v := range volumes {
		all.Go(func() { begun[i], errs[i] = d.prepareOne(ctx, who, vm, v.ID, host, saved) })
	}
	all.Wait()
	n := 0
	for i, p := range begun {
		if errs[i] == nil && p != nil {
			n++
			errs[i] = d.prepared(ctx, p, until.C)
		}
		if errs[i] != nil {
			errs[i] = ofVolume(volumes[i], errs[i])
		}
	}
	if err = errors.Join(errs...); err == nil || ctx.Err() != nil {
		return n, err
	}
	// All or none: what is prepared is taken back, by looking where the VM is.
	for _, p := range begun {
		if p != nil {
			d.moves.isOver(p.move)
		}
	}
	for _, p := range begun {
		if p != nil {
			_ = d.over(ctx, p, turnTime) // the volume's operation says why not
		}
	}
	return 0, first(errs)
}

// first is the first error, which the caller is told of.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// ofVolume says which volume an error is about.
func ofVolume(v onevolume.Volume, err error) error {
	return onevolume.Errorf(onevolume.CodeOf(err), "volume %d (%s): %w", v.ID, v.Name, err).WithHint("%s", onevolume.HintOf(err))
}

// volumesOf gives the volumes that are in a VM on record, and then what oned
// says of the VM. One without volumes costs one question to the inventory.
func (d *Daemon) volumesOf(ctx context.Context, session string, id onevolume.VMID, host string) ([]onevolume.Volume, onevolume.VM, error) {
	if host == "" {
		return nil, onevolume.VM{}, onevolume.Errorf(onevolume.Invalid, "the host is missing")
	}
	volumes, err := d.Store.InVM(ctx, id)
	if err != nil || len(volumes) == 0 {
		return nil, onevolume.VM{}, err
	}
	vm, err := d.Cloud.VM(ctx, session, id, onevolume.Migrate)
	vm.Running = false // it is on its way
	return volumes, vm, err
}

// preparation is a migration that a call began, or found.
type preparation struct {
	op int
	*move
	err error // how it ended, once it has
}

// prepareOne begins the migration of one volume, or finds the one that runs;
// nil when there is nothing to do. Others that are at the volume have their
// turn first.
func (d *Daemon) prepareOne(ctx context.Context, who onevolume.Caller, vm onevolume.VM, id onevolume.VolumeID, host string, saved bool) (*preparation, error) {
	deadline := time.NewTimer(turnTime)
	defer deadline.Stop()
	for {
		v, op, err := d.holder(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case v.Attachment.VM != vm.ID:
			return nil, nil // it was taken out of the VM meanwhile
		case v.State == onevolume.Failed:
			return nil, onevolume.Errorf(onevolume.Action, "it is in ERROR: %s", v.Reason).
				WithHint("end its operation first (onevolume explain %d, onevolume resume, onevolume abort), or say what is true of it: onevolume recover", op.ID)
		case op.Status == onevolume.Running && op.Kind == onevolume.Migrate && op.Destination == host && !d.moves.said(d.moves.get(op.ID, vm.ID)):
			return &preparation{op: op.ID, move: d.moves.get(op.ID, vm.ID)}, nil
		case op.Status == onevolume.Running && op.Kind == onevolume.Migrate:
			d.moves.isOver(d.moves.get(op.ID, vm.ID)) // whoever moves it elsewhere has given that up
		case op.Status == onevolume.Running:
		case v.State == onevolume.Attached && v.Attachment.Host == "" && !saved:
			return nil, nil // no domain has it: it is plugged when the VM runs
		default:
			p, err := d.beginMove(ctx, who, vm, v, host, saved, false)
			if code := onevolume.CodeOf(err); err == nil || code != onevolume.Busy && code != onevolume.Action {
				return p, err
			}
			if _, now, rerr := d.holder(ctx, id); rerr != nil || now.ID == op.ID {
				return nil, err // nobody came in between
			}
		}
		select {
		case <-time.After(turnPause):
		case <-deadline.C:
			return nil, onevolume.Errorf(onevolume.Busy, "operation %d (%s) is not over", op.ID, op.Kind).WithHint("see onevolume explain %d", op.ID)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// holder gives a volume and its newest operation, if it has one.
func (d *Daemon) holder(ctx context.Context, id onevolume.VolumeID) (v onevolume.Volume, op onevolume.Operation, err error) {
	if v, err = d.Store.Volume(ctx, id); err != nil || v.Operation <= 0 {
		return v, op, err
	}
	op, err = d.Store.Operation(ctx, v.Operation)
	return v, op, err
}

// beginMove begins the migration of a volume from the host on record. One that
// is tried alone is over when it is prepared.
func (d *Daemon) beginMove(ctx context.Context, who onevolume.Caller, vm onevolume.VM, v onevolume.Volume, host string, saved, alone bool) (*preparation, error) {
	if vm.Host = v.Attachment.Host; vm.Host == "" {
		vm.Host = host // it is on no host, and is to be on that one
	} else if saved {
		if err := d.heldNowhere(ctx, vm, v); err != nil {
			return nil, err
		}
	}
	if !d.enter() {
		return nil, errStopping()
	}
	req := onevolume.Request{Kind: onevolume.Migrate, VM: vm, Destination: host, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))},
		Owner: fmt.Sprintf("%s request %d", d.Name, d.requests.Add(1))}
	working := context.WithoutCancel(ctx) // the work outlives the call that began it
	job, err := d.engine(who).Begin(working, req)
	if err != nil {
		d.jobs.Done()
		return nil, err
	}
	op := job.Operation()
	d.claim(op.ID)
	p := &preparation{op: op.ID, move: d.moves.get(op.ID, vm.ID)}
	if alone {
		d.moves.isOver(p.move)
	}
	go func() {
		defer d.jobs.Done()
		log := d.about(op).With(zap.String("destination", host))
		log.Info("operation begins, since the VM is about to move")
		_, err := job.Run(working)
		logEnd(log, err)
		since := d.outcome(working, op, err, d.Now(), log)
		d.moves.mu.Lock()
		p.err = err
		d.moves.mu.Unlock()
		d.unclaim(op.ID, since)
		d.follow(vm.ID)
	}()
	return p, nil
}

// heldNowhere asks that no domain has the volume of a VM that is saved.
func (d *Daemon) heldNowhere(ctx context.Context, vm onevolume.VM, v onevolume.Volume) error {
	e := d.Engine
	has, err := e.Holds(ctx, vm, v)
	if err != nil {
		return err
	}
	if has {
		return onevolume.Errorf(onevolume.Held, "a domain of VM %d has it on host %s", vm.ID, vm.Host).
			WithHint("two domains must never have one disk: see that the one on host %s ends, then try again", vm.Host)
	}
	return nil
}

// follow has the VM looked at by whoever follows VMs.
func (d *Daemon) follow(vm onevolume.VMID) {
	if d.Follow != nil {
		d.Follow(vm)
	}
}

// prepared waits until a migration waits for its VM.
func (d *Daemon) prepared(ctx context.Context, p *preparation, until <-chan time.Time) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-p.ready:
			return nil
		case <-p.ended:
			return d.endOf(ctx, p)
		case <-tick.C: // another process may have it
			if op, err := d.Store.Operation(ctx, p.op); err == nil && op.Status != onevolume.Running {
				return d.endOf(ctx, p)
			}
		case <-until:
			return onevolume.Errorf(onevolume.Unknown, "operation %d is not prepared within %s", p.op, prepareTime).WithHint("see onevolume explain %d", p.op)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// endOf is why a migration that was to be prepared has ended. One that is
// DONE found its VM there already.
func (d *Daemon) endOf(ctx context.Context, p *preparation) error {
	d.moves.mu.Lock()
	err := p.err
	d.moves.mu.Unlock()
	if err != nil {
		return err
	}
	op, err := d.Store.Operation(ctx, p.op)
	switch {
	case err != nil:
		return err
	case op.Status == onevolume.Done:
		return nil
	case op.Status == onevolume.Running:
		return onevolume.Errorf(onevolume.Unknown, "operation %d goes on", op.ID).WithHint("see onevolume explain %d", op.ID)
	}
	return onevolume.Errorf(onevolume.Action, "%s", op.Error).WithHint("see onevolume explain %d", op.ID)
}

// over waits until a migration has ended in the inventory.
func (d *Daemon) over(ctx context.Context, p *preparation, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ended := p.ended
	for {
		op, err := d.Store.Operation(ctx, p.op)
		switch {
		case err == nil && op.Status == onevolume.Parked:
			return onevolume.Errorf(onevolume.Action, "%s", op.Error).WithHint("see onevolume explain %d", op.ID)
		case err == nil && op.Status != onevolume.Running:
			return nil
		case ctx.Err() != nil:
			return onevolume.Errorf(onevolume.Unknown, "operation %d (migrate) is not over, and goes on", p.op).WithHint("see onevolume explain %d", p.op)
		case err != nil:
			return err
		}
		select {
		case <-ended:
			ended = nil // it is carried on by another, or has ended
		case <-time.After(turnPause):
		case <-ctx.Done():
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second) // one look more
			defer cancel()
		}
	}
}

// Settle says that whoever moves a VM is over with that, well or not. Where
// the VM is, the hosts are asked: each volume is logged out where it is not.
// It gives the number of volumes that have settled. Code Unknown says that not
// all have within the time, and that this goes on.
func (d *Daemon) Settle(ctx context.Context, _ onevolume.Caller, vm onevolume.VMID) (int, error) {
	volumes, err := d.Store.InVM(ctx, vm)
	if err != nil || len(volumes) == 0 {
		return 0, err
	}
	var moving []*preparation
	var of []onevolume.Volume
	for _, v := range volumes {
		_, op, err := d.holder(ctx, v.ID)
		if err != nil {
			return 0, err
		}
		if op.Status == onevolume.Running && op.Kind == onevolume.Migrate {
			p := &preparation{op: op.ID, move: d.moves.get(op.ID, vm)}
			d.moves.isOver(p.move)
			moving, of = append(moving, p), append(of, v)
		}
	}
	d.follow(vm)
	errs, until := make([]error, len(moving)), time.Now().Add(settleTime)
	for i, p := range moving {
		if errs[i] = d.over(ctx, p, time.Until(until)); errs[i] != nil {
			errs[i] = ofVolume(of[i], errs[i])
		}
	}
	return len(moving), first(errs)
}

// Predeploy logs a host out that a volume of the VM was on before, when the VM
// is about to be started anew on another one; its disk is plugged when it
// runs. It gives the number of hosts logged out. Where a domain has the
// volume, the VM must not be started (Held). A former host that does not
// answer is left on record: the volume is plugged nowhere before it does.
func (d *Daemon) Predeploy(ctx context.Context, who onevolume.Caller, session string, id onevolume.VMID, host string) (int, error) {
	volumes, vm, err := d.volumesOf(ctx, session, id, host)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, v := range volumes {
		if v.State != onevolume.Attached || v.Attachment.Host == "" || v.Attachment.Host == host {
			continue
		}
		from := vm
		from.Host = v.Attachment.Host
		err := d.perform(ctx, who, onevolume.Request{Kind: onevolume.Release, VM: from, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}},
			"operation begins, since the VM is about to be started elsewhere")
		switch onevolume.CodeOf(err) {
		case onevolume.Held:
			return n, ofVolume(v, err)
		default:
			if err != nil {
				d.Log.Warn("a volume stays on the host that it was on", zap.Int("volume", int(v.ID)), zap.Int("vm", int(id)),
					zap.String("host", from.Host), zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
				continue
			}
			n++
		}
	}
	return n, nil
}
