package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// Resume is one.volume.resume: it has a parked operation carried on to what
// was asked. It answers as soon as the operation is the daemon's, and works
// on in the background. Codes: NotFound, Action (not parked, or the volume
// has gone other ways since), Unreachable (the daemon is stopping).
func (d *Daemon) Resume(ctx context.Context, who onevolume.Caller, op int) error {
	return d.reopen(ctx, who, op, onevolume.Forward)
}

// Abort is one.volume.abort: it has a parked operation taken back, likewise.
func (d *Daemon) Abort(ctx context.Context, who onevolume.Caller, op int) error {
	return d.reopen(ctx, who, op, onevolume.Back)
}

func (d *Daemon) reopen(ctx context.Context, who onevolume.Caller, id int, way onevolume.Way) error {
	if !d.enter() {
		return errStopping()
	}
	op, err := d.reopened(ctx, id, way)
	if err != nil {
		d.jobs.Done()
		return err
	}
	log := d.about(op)
	log.Warn("operation reopened", zap.String("way", string(way)), zap.Int("uid", who.UID), zap.Int("generation", op.Generation))
	since := d.Now()
	go func() {
		defer d.jobs.Done()
		d.unclaim(id, d.carryOn(context.WithoutCancel(ctx), op, since, log))
	}()
	return nil
}

// reopened makes a parked operation ours. When that succeeds, it is claimed.
func (d *Daemon) reopened(ctx context.Context, id int, way onevolume.Way) (onevolume.Operation, error) {
	op, err := d.Store.Operation(ctx, id)
	if err != nil {
		return op, err
	}
	if op.Status == onevolume.Running {
		return op, onevolume.Errorf(onevolume.Action, "Operation %d is running: %s has it until %s.", id, op.Owner, op.Lease.Format(time.RFC3339)).
			WithHint("wait: if that one is dead, the daemon takes the operation over by itself when the lease has ended")
	}
	if !d.tryClaim(id) {
		return op, onevolume.Errorf(onevolume.Action, "Operation %d is being reopened by another call.", id).WithHint("see onevolume explain %d", id)
	}
	op, err = d.Store.Reopen(ctx, id, way, d.Name, d.Engine.Limits.Lease)
	if err != nil {
		d.unclaim(id, time.Time{})
	}
	return op, err
}

func errStopping() error {
	return onevolume.Errorf(onevolume.Unreachable, "onevolumed is stopping").WithHint("try again in a minute")
}
