package daemon

import (
	"time"

	"onevolume"
)

// watch is what the sweep has seen of leases. Their ends are times of the day
// of whichever daemon wrote them, and such a clock may be set by an hour; how
// long a lease has stood as it is, is measured here by the monotonic clock.
// An owner that lives renews it three times in a term.
type watch map[int]sight

// sight is how a lease stood, and since when it has been seen to.
type sight struct {
	generation int
	lease      time.Time
	since      time.Time
}

// left is how long the lease may go on standing as it is before its owner is
// taken for dead.
func (w watch) left(op onevolume.Operation, now time.Time) time.Duration {
	s, known := w[op.ID]
	if !known || s.generation != op.Generation || !s.lease.Equal(op.Lease) {
		s = sight{op.Generation, op.Lease, now}
		w[op.ID] = s
	}
	return op.Term - now.Sub(s.since)
}

// forget drops what is known of operations that run no more.
func (d *Daemon) forget(running []onevolume.Operation) {
	runs := map[int]bool{}
	for _, op := range running {
		runs[op.ID] = true
	}
	for id := range d.watch {
		if !runs[id] {
			delete(d.watch, id)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, since := range d.resuming {
		if !runs[id] && !since.IsZero() {
			delete(d.resuming, id)
		}
	}
}

// busy says whether the operation is being worked on here.
func (d *Daemon) busy(op int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, known := d.resuming[op]
	return known && since.IsZero()
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

// tryClaim claims an operation unless it is being worked on.
func (d *Daemon) tryClaim(op int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since, known := d.resuming[op]; known && since.IsZero() {
		return false
	}
	d.resuming[op] = time.Time{}
	return true
}

// unclaim forgets the operation, or keeps the time of the first try when it
// is to be tried again.
func (d *Daemon) unclaim(op int, since time.Time) {
	d.moves.end(op)
	d.mu.Lock()
	defer d.mu.Unlock()
	if since.IsZero() {
		delete(d.resuming, op)
		return
	}
	d.resuming[op] = since
}
