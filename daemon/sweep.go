package daemon

import (
	"context"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// resumers is how many operations are taken over at the same time: enough
// that one host that hangs does not hold up the others.
const resumers = 8

// sweep looks for operations without an owner, at once and then at every
// tick, and has them taken over.
func (d *Daemon) sweep() {
	slots := make(chan struct{}, resumers)
	tick := time.NewTicker(d.Sweep)
	defer tick.Stop()
	for first := true; ; first = false {
		for _, op := range d.orphans(first) {
			select {
			case slots <- struct{}{}:
			case <-d.working.Done():
				return
			}
			since := d.claim(op.ID)
			d.jobs.Go(func() {
				defer func() { <-slots }()
				d.unclaim(op.ID, d.takeOver(op, since))
			})
		}
		select {
		case <-tick.C:
		case <-d.working.Done():
			return
		}
	}
}

// orphans lists the operations to take over: those whose lease has ended, and
// at the start those of an owner that is surely dead.
func (d *Daemon) orphans(first bool) []onevolume.Operation {
	ctx, cancel := context.WithTimeout(d.working, d.Sweep+10*time.Second)
	defer cancel()
	now := d.Now()
	until := now
	if first {
		until = now.AddDate(1, 0, 0) // every running operation: none has a lease that long
	}
	list, err := d.Store.Expired(ctx, until)
	if err != nil {
		if d.working.Err() == nil {
			d.Log.Error("looking for operations without an owner", zap.Error(err))
		}
		return nil
	}
	var out []onevolume.Operation
	for _, op := range list {
		if d.busy(op.ID) || op.Lease.After(now) && !d.Orphan(op.Owner) {
			continue
		}
		out = append(out, op)
	}
	return out
}

func (d *Daemon) busy(op int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, known := d.resuming[op]
	return known && since.IsZero()
}

// takeOver ends one operation: it looks at what is true and completes or
// undoes it. What cannot be reached is tried again at a later sweep, and
// parked when that has gone on for too long since the time given. It returns
// that time when the operation is to be tried again, else zero.
func (d *Daemon) takeOver(op onevolume.Operation, since time.Time) (again time.Time) {
	log := d.about(op)
	ctx := context.WithoutCancel(d.working)
	mine, err := d.Store.TakeOver(ctx, op.Ref(), d.Name, d.Engine.Limits.Lease, op.Lease.After(d.Now()) && d.Orphan(op.Owner))
	if err != nil {
		if code := onevolume.CodeOf(err); code != onevolume.Stale && code != onevolume.Busy {
			log.Error("taking an operation over", zap.Error(err))
			return since
		}
		return time.Time{} // it has an owner who lives, or has ended
	}
	log.Warn("operation taken over: its owner is gone", zap.String("owner", op.Owner), zap.Int("generation", mine.Generation))
	return d.carryOn(ctx, mine, since, log)
}

// carryOn ends an operation that is ours, or says since when it has been
// tried in vain.
func (d *Daemon) carryOn(ctx context.Context, mine onevolume.Operation, since time.Time, log *zap.Logger) (again time.Time) {
	vol, err := d.Store.Volume(ctx, mine.Volume)
	if err != nil {
		log.Error("reading the volume", zap.Error(err))
		return since
	}
	journal, err := d.Store.Journal(ctx, mine.ID)
	if err != nil {
		log.Error("reading the journal", zap.Error(err))
		return since
	}
	_, err = d.engine(onevolume.Caller{Owner: mine.By, Groups: []int{mine.By.GID}}).Resume(ctx, mine, vol, journal)
	logEnd(log, err)
	if onevolume.CodeOf(err) != onevolume.Unknown || d.Now().Sub(since) > d.GiveUp && d.park(ctx, mine, err, log) {
		return time.Time{}
	}
	return since
}

// claim notes that the operation is being worked on, and since when it has
// been tried.
func (d *Daemon) claim(op int) (since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	since = d.resuming[op]
	if since.IsZero() {
		since = d.Now()
	}
	d.resuming[op] = time.Time{}
	return since
}

// unclaim forgets the operation, or keeps the time of the first try when it
// is to be tried again.
func (d *Daemon) unclaim(op int, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since.IsZero() {
		delete(d.resuming, op)
		return
	}
	d.resuming[op] = since
}

// park gives an operation up to the administrator, and says whether the
// inventory took that.
func (d *Daemon) park(ctx context.Context, op onevolume.Operation, cause error, log *zap.Logger) bool {
	e := onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed,
		Error: cause.Error() + ". onevolumed tried for " + d.GiveUp.String() + " and gave up"}
	if err := d.engine(onevolume.Caller{Owner: op.By}).Ledger.Finish(ctx, op.Ref(), e); err != nil {
		log.Error("parking an operation", zap.Error(err))
		return false
	}
	log.Error("operation parked; the volume is in ERROR", zap.Error(cause))
	return true
}
