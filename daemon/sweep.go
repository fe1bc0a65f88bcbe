package daemon

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/workflow"
)

// perHost is how many operations on one host are taken over at the same time.
// Those on other hosts never wait for them.
const perHost = 16

// orphan is an operation to take over. dead, unless it is zero, is the lease
// of an owner that need not be waited for.
type orphan struct {
	onevolume.Operation
	dead time.Time
}

// sweep looks for operations without an owner, at once, at every tick and
// when a lease is due, and has them taken over.
func (d *Daemon) sweep() {
	slots := map[string]chan struct{}{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for first := true; ; {
		select {
		case <-timer.C:
		case <-d.working.Done():
			return
		}
		list, due, ok := d.orphans(first)
		first = first && !ok
		for _, o := range list {
			slot := slots[o.VM.Host]
			if slot == nil {
				slot = make(chan struct{}, perHost)
				slots[o.VM.Host] = slot
			}
			since := d.claim(o.ID)
			if o.Kind == onevolume.Migrate {
				slot = nil // it waits for its VM, and keeps nobody waiting meanwhile
			}
			d.jobs.Go(func() {
				if slot == nil {
					since = d.takeOver(o, since)
					d.unclaim(o.ID, since)
					d.follow(o.VM.ID)
					return
				}
				select {
				case slot <- struct{}{}:
					defer func() { <-slot }()
					since = d.takeOver(o, since)
				case <-d.working.Done():
				}
				d.unclaim(o.ID, since)
			})
		}
		timer.Reset(due)
	}
}

// orphans lists the operations to take over, and says when to look again.
func (d *Daemon) orphans(first bool) (list []orphan, due time.Duration, ok bool) {
	ctx, cancel := context.WithTimeout(d.working, d.Sweep+10*time.Second)
	defer cancel()
	running, err := d.Store.Running(ctx)
	if err != nil {
		if d.working.Err() == nil {
			d.Log.Error("looking for operations without an owner", zap.Error(err))
		}
		return nil, d.Sweep, false
	}
	now := d.Now()
	due = d.Sweep
	for _, op := range running {
		left := d.watch.left(op, now)
		switch {
		case d.busy(op.ID):
		case first && d.Orphan(op.Owner), left <= 0:
			list = append(list, orphan{op, op.Lease})
		case first && !op.Lease.After(now):
			list = append(list, orphan{op, time.Time{}})
		default:
			due = min(due, left)
		}
	}
	d.forget(running)
	return list, max(due, shortest), true
}

// shortest is the least time between two looks.
const shortest = 10 * time.Millisecond

// takeOver ends one operation: it looks at what is true and completes or
// undoes it. What cannot be reached is tried again at a later sweep, and
// parked when that has gone on for too long since the time given. It returns
// that time when the operation is to be tried again, else zero.
func (d *Daemon) takeOver(o orphan, since time.Time) (again time.Time) {
	log := d.about(o.Operation)
	ctx := context.WithoutCancel(d.working)
	mine, err := d.Store.TakeOver(ctx, o.Ref(), d.Name, d.Engine.Limits.Lease, o.dead)
	if err != nil {
		if code := onevolume.CodeOf(err); code != onevolume.Stale && code != onevolume.Busy {
			log.Error("taking an operation over", zap.Error(err))
			return since
		}
		return time.Time{} // it has an owner who lives, or has ended
	}
	log.Warn("operation taken over: its owner is gone", zap.String("owner", o.Owner), zap.Int("generation", mine.Generation))
	return d.carryOn(ctx, mine, since, log)
}

// carryOn ends an operation that is ours, or says since when it has been
// tried in vain.
func (d *Daemon) carryOn(ctx context.Context, mine onevolume.Operation, since time.Time, log *zap.Logger) (again time.Time) {
	vol, err := d.Store.Volume(ctx, mine.Volume)
	var journal []onevolume.Entry
	if err == nil {
		journal, err = d.Store.Journal(ctx, mine.ID)
	}
	switch {
	case err != nil:
	case mine.Kind.OnArray():
		err = d.resumeTask(ctx, mine, journal)
	default:
		_, err = d.engine(onevolume.Caller{Owner: mine.By, Groups: []int{mine.By.GID}}).Resume(ctx, mine, vol, journal)
	}
	logEnd(log, err)
	return d.outcome(ctx, mine, err, since, log)
}

// outcome says since when an operation has been tried in vain, or that it has
// ended: the inventory's word counts, not ours. One that has been tried for
// too long is parked, whatever the reason; one that waits for its turn on a
// host is not being tried.
func (d *Daemon) outcome(ctx context.Context, op onevolume.Operation, err error, since time.Time, log *zap.Logger) (again time.Time) {
	if err == nil {
		return time.Time{}
	}
	if waited := d.moves.lastWait(op.ID); waited.After(since) {
		since = waited // for its VM, which may take as long as it likes
	}
	now, readErr := d.Store.Operation(ctx, op.ID)
	switch {
	case readErr != nil:
		return since
	case now.Status != onevolume.Running || now.Generation != op.Generation:
		return time.Time{}
	case workflow.Waits(err), errors.Is(err, errLeaves):
		return d.Now()
	case d.Now().Sub(since) > d.GiveUp && d.park(ctx, op, err, log):
		return time.Time{}
	}
	return since
}

// park gives an operation up to the administrator, and says whether the
// inventory took that.
func (d *Daemon) park(ctx context.Context, op onevolume.Operation, cause error, log *zap.Logger) bool {
	e := onevolume.Ending{Status: onevolume.Parked, State: op.Kind.ParkedState(),
		Error: cause.Error() + ". onevolumed tried for " + d.GiveUp.String() + " and gave up"}
	end := func() error { return d.engine(onevolume.Caller{Owner: op.By}).Ledger.Finish(ctx, op.Ref(), e) }
	if op.Kind.OnArray() {
		end = func() error { return d.parkTask(ctx, op, e.Error) }
	}
	if err := end(); err != nil {
		log.Error("parking an operation", zap.Error(err))
		return false
	}
	log.Error("operation parked", zap.String("volume state", string(e.State)), zap.Error(cause))
	return true
}
