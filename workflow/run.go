package workflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
	"onevolume/saga"
)

// step is a step of ours, and facts is what a run knows and journals, so that
// another process can carry on.
type step = saga.Step[facts]

type facts struct {
	Host string          // where the newest step worked
	Disk hypervisor.Disk // as the live domain showed it
	Size onevolume.Size  `json:",omitempty"` // that the volume has grown to
}

// run is one operation under way.
type run struct {
	*Engine
	driver hypervisor.Driver
	op     onevolume.Operation
	vol    onevolume.Volume
	hosts  map[string]*link
	note   onevolume.Note // goes with the next journal entry
	kept   *kept          // so do these
	facts  facts
	// resumed says that another process had the operation before: what is on
	// the host may be that one's work.
	resumed bool
	// committed says that an earlier owner saw the guest let go.
	committed bool
	// proven is the device of a disk that a guest has already: nothing may be
	// done to it.
	proven *iscsi.Device
	// keep says that the guest had the disk before a replug began: whatever
	// comes, it is not taken out.
	keep bool
	// plugged says that the disk of a resumed attach or replug was in the
	// guest, done and begun that by its journal it was once, or may have been,
	// undone that somebody has begun to take it out.
	plugged, done, begun, undone bool
	// soiled says that a guest may have written to a blank volume, so that
	// taking back wipes it.
	soiled bool
	// force says that a guest that does not let go is made to.
	force bool
	// asked says that a guest may have been asked to let go.
	asked bool
	// absent says that a volume has grown and its VM is on the host no more.
	absent bool
	// unlocked leaves out the lock on the host: a plan changes nothing.
	unlocked bool
}

// newRun makes a run with a copy of the engine: what is done on hosts goes
// into this run's journal.
func (e *Engine) newRun(d hypervisor.Driver) *run {
	own, k := *e, &kept{}
	own.Hosts = command.LoggedDialer(e.Hosts, k.hear)
	return &run{Engine: &own, driver: d, hosts: map[string]*link{}, kept: k}
}

// Write is the journal of the run's saga. The commands since the entry before
// belong to the first of the entries: the end of what they did.
func (r *run) Write(ctx context.Context, entries []onevolume.Entry) error {
	for i := range entries {
		switch entries[i].Event {
		case onevolume.StepFailed, onevolume.UndoFailed:
			entries[i].Detail = head(entries[i].Detail, maxDetail)
		}
	}
	entries[0].Commands = r.kept.take()
	err := r.Ledger.Record(ctx, r.op.Ref(), entries, r.note)
	if code := onevolume.CodeOf(err); err != nil && len(entries[0].Commands) > 0 && (code == onevolume.Invalid || code == onevolume.Internal) {
		// What was run is good to know; that it was done must be known.
		entries[0].Commands = nil
		err = r.Ledger.Record(ctx, r.op.Ref(), entries, r.note)
	}
	if err != nil {
		return err
	}
	r.note = onevolume.Note{}
	return nil
}

func (r *run) saga(steps []step) *saga.Saga[facts] {
	if r.around != nil {
		steps = r.around(steps)
	}
	return &saga.Saga[facts]{Steps: steps, Journal: r, Now: r.Now}
}

// underLease calls f while the operation's lease is kept alive, and closes
// the operation as f ended.
func (r *run) underLease(ctx context.Context, f func(context.Context) error) (Outcome, error) {
	working, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		r.keepLease(working, cancel)
	}()
	err := f(working)
	cancel(nil)
	<-kept
	if cause := context.Cause(working); cause != nil && onevolume.CodeOf(cause) == onevolume.Stale {
		return Outcome{}, r.lost(cause)
	}
	return r.end(context.WithoutCancel(ctx), err)
}

// keepLease renews the lease until ctx ends. A renewal that fails for once
// does no harm; one that is refused ends the work, for it is another's now.
func (r *run) keepLease(ctx context.Context, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(r.Limits.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return // of two that are ready, select takes any
		}
		err := r.Ledger.Record(ctx, r.op.Ref(), nil, onevolume.Note{})
		if onevolume.CodeOf(err) == onevolume.Stale {
			cancel(err)
			return
		}
	}
}

// end closes the operation in the inventory according to how its steps ended.
func (r *run) end(ctx context.Context, err error) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	var (
		undone *saga.Undone
		stuck  *saga.Stuck
		lost   *saga.Lost
		left   *saga.Left
	)
	switch {
	case err == nil:
		return r.finished(ctx)
	case errors.As(err, &lost):
		return Outcome{}, r.lost(lost) // and not what failed before: that the next owner sees for himself
	case errors.As(err, &left):
		return Outcome{}, r.later(left)
	case errors.As(err, &undone):
		e := onevolume.Ending{Status: onevolume.Undone, State: r.op.Prior, Error: head(undone.Error(), maxDetail)}
		if ferr := r.Ledger.Finish(ctx, r.op.Ref(), e); ferr != nil {
			return Outcome{}, errors.Join(undone.Cause, r.lost(ferr))
		}
		return Outcome{}, settled(undone.Cause)
	case errors.As(err, &stuck) && transient(stuck):
		return Outcome{}, r.later(stuck)
	case errors.As(err, &stuck):
		return Outcome{}, r.park(ctx, stuck)
	}
	return Outcome{}, err
}

// settled is the error of an operation that was taken back. One whose command
// had no answer is of the code Unknown no more: what came of it was looked at.
func settled(cause error) error {
	if onevolume.CodeOf(cause) != onevolume.Unknown {
		return cause
	}
	return onevolume.Errorf(onevolume.Unreachable, "%w; everything was taken back", cause)
}

// finishTime bounds the closing of an operation.
const finishTime = 30 * time.Second

// finished records that everything asked for is so.
func (r *run) finished(ctx context.Context) (Outcome, error) {
	e := onevolume.Ending{Status: onevolume.Done, State: r.goal(), Note: r.note}
	if err := r.Ledger.Finish(ctx, r.op.Ref(), e); err != nil {
		return Outcome{}, r.lost(err)
	}
	out := Outcome{Operation: r.op.ID, Volume: r.vol, VM: r.op.VM}
	if r.op.Kind == onevolume.Attach || r.op.Kind == onevolume.Replug {
		out.Disk = r.facts.Disk
		out.GuestPath = r.driver.GuestPath(r.facts.Disk)
	}
	return out, nil
}

func (r *run) goal() onevolume.State {
	switch {
	case r.op.Kind != onevolume.Detach: // attached, though a release leaves it on no host
		return onevolume.Attached
	case r.op.Leave == onevolume.LeaveData:
		return onevolume.Retained
	}
	return onevolume.Available
}

// lost is the error when the inventory did not take our word: nothing more
// was done, and the daemon decides by what is true on the host.
func (r *run) lost(err error) error {
	if onevolume.CodeOf(err) == onevolume.Stale {
		return onevolume.Errorf(onevolume.Stale, "operation %d was taken over by another owner: %w", r.op.ID, err).
			WithHint("see how it ended: onevolume show %d", r.vol.ID)
	}
	return onevolume.Errorf(onevolume.Unknown, "operation %d on volume %d: the daemon did not answer: %w", r.op.ID, r.vol.ID, err).
		WithHint("onevolumed finishes or undoes the operation when it is back; then see: onevolume show %d", r.vol.ID)
}

// later leaves the operation to the daemon, which goes on when its lease has
// ended and whoever did not answer does so again.
func (r *run) later(stuck error) error {
	return onevolume.Errorf(onevolume.Unknown, "operation %d on volume %d is not finished: %w", r.op.ID, r.vol.ID, stuck).
		WithHint("onevolumed goes on with it as soon as it can; see: onevolume show %d", r.vol.ID)
}

// park puts the volume into ERROR with all that is known.
func (r *run) park(ctx context.Context, stuck *saga.Stuck) error {
	is := "in ERROR"
	if r.op.Kind.ParkedState() == onevolume.Attached {
		is = "attached, and has not grown for its guest"
	}
	err := onevolume.Errorf(onevolume.CodeOf(stuck.Cause), "volume %d is %s: %w", r.vol.ID, is, stuck).
		WithHint("%s", parkedHint(r, stuck))
	e := onevolume.Ending{Status: onevolume.Parked, State: r.op.Kind.ParkedState(), Note: r.note,
		Error: fmt.Sprintf("%s. %s", head(stuck.Error(), maxDetail), err.Hint)}
	if ferr := r.Ledger.Finish(ctx, r.op.Ref(), e); ferr != nil {
		return errors.Join(err, r.lost(ferr))
	}
	return err
}

func parkedHint(r *run, stuck *saga.Stuck) string {
	again := fmt.Sprintf("then carry it on (onevolume resume %d) or take it back (onevolume abort %d)", r.op.ID, r.op.ID)
	if (r.op.Kind == onevolume.Detach || r.op.Kind == onevolume.Grow) && stuck.UndoErr == nil {
		again = fmt.Sprintf("then carry it on: onevolume resume %d", r.op.ID)
	}
	switch h := onevolume.HintOf(stuck.Cause); {
	case h == "" || stuck.UndoErr != nil:
		return "put right what is named, " + again
	case strings.Contains(h, "onevolume resume"):
		return h
	default:
		return h + "; " + again
	}
}

// transient says whether what keeps a run from going on or back may pass by
// itself: somebody did not answer.
func transient(stuck *saga.Stuck) bool {
	err := stuck.UndoErr
	if err == nil {
		err = stuck.Cause
	}
	code := onevolume.CodeOf(hostError(err))
	return code == onevolume.Unreachable || code == onevolume.Unknown || code == onevolume.Busy ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
