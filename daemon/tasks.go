package daemon

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/array"
)

// TaskStore opens operations of arrays (package store).
type TaskStore interface {
	BeginTask(ctx context.Context, who onevolume.Caller, r onevolume.TaskRequest) (onevolume.Operation, onevolume.Volume, error)
}

// taskTime is how long a caller waits for an array. What takes longer goes on,
// and the volume's document tells how it ends.
const taskTime = 60 * time.Second

// NewOnArray chooses the UUID of a volume to be made, and says how it will be
// reached. Code: NotFound (no such array).
func (d *Daemon) NewOnArray(name string) (uuid string, at onevolume.Target, err error) {
	if d.Provision == nil {
		return "", at, errNoArray()
	}
	a, err := d.Provision.Array(name)
	if err != nil {
		return "", at, err
	}
	id := array.NewID()
	return string(id), a.Target(id), nil
}

func errNoArray() error {
	return onevolume.Errorf(onevolume.NotFound, "no array that makes volumes is configured").
		WithHint("arrays stand in the daemon's configuration, under arrays")
}

// Task has an array do what is asked, and waits for it. With the code Unknown
// it is not done yet and goes on.
func (d *Daemon) Task(ctx context.Context, who onevolume.Caller, r onevolume.TaskRequest) (onevolume.Operation, error) {
	if d.Provision == nil {
		return onevolume.Operation{}, errNoArray()
	}
	if !d.enter() {
		return onevolume.Operation{}, errStopping()
	}
	if r.Kind == onevolume.SnapshotCreate {
		r.Task.SnapshotUUID = string(array.NewID())
	}
	r.Owner = fmt.Sprintf("%s request %d", d.Name, d.requests.Add(1))
	r.Lease = d.Engine.Limits.Lease
	op, _, err := d.Tasks.BeginTask(ctx, who, r)
	if err != nil {
		d.jobs.Done()
		return op, err
	}
	d.claim(op.ID)
	ended := make(chan error, 1)
	go func() {
		defer d.jobs.Done()
		log, ctx := d.about(op), context.WithoutCancel(ctx)
		log.Info("operation begins", zap.Int("uid", who.UID))
		err := d.Provision.Run(ctx, op)
		logEnd(log, err)
		d.unclaim(op.ID, d.outcome(ctx, op, err, d.Now(), log))
		ended <- err
	}()
	patience := time.NewTimer(taskTime)
	defer patience.Stop()
	select {
	case err = <-ended:
	case <-patience.C:
		err = onevolume.Errorf(onevolume.Unknown, "operation %d (%s) on volume %d still runs", op.ID, op.Kind, op.Volume).
			WithHint("it goes on; see: onevolume show %d", op.Volume)
	case <-ctx.Done():
		err = onevolume.Errorf(onevolume.Unknown, "operation %d (%s) on volume %d still runs: %w", op.ID, op.Kind, op.Volume, ctx.Err())
	}
	return op, err
}

// resumeTask carries on an operation of an array.
func (d *Daemon) resumeTask(ctx context.Context, mine onevolume.Operation, journal []onevolume.Entry) error {
	if d.Provision == nil {
		return errNoArray()
	}
	return d.Provision.Resume(ctx, mine, journal)
}

// parkTask gives an operation of an array up to the administrator.
func (d *Daemon) parkTask(ctx context.Context, op onevolume.Operation, reason string) error {
	if d.Provision == nil {
		return errNoArray()
	}
	return d.Provision.Ledger.FinishTask(ctx, op.Ref(), onevolume.Parked, onevolume.Made{}, reason)
}
