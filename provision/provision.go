// Package provision has arrays do what is asked of their volumes: make them,
// let them grow, copy them, keep and bring back what was on them, and delete
// them. Each is an operation of the inventory with a journal, so that whoever
// dies in the middle leaves nothing on an array that nobody knows of: the
// journal is written first, then the array is asked, then the inventory says
// that it is so. An answer that was lost is found out by asking again under
// the same UUID.
package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/saga"
)

// Ledger is the inventory as an operation of an array needs it (package
// store, which documents what each method promises).
type Ledger interface {
	Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error
	FinishTask(ctx context.Context, op onevolume.OperationRef, status onevolume.Status, made onevolume.Made, reason string) error
	// OnArray gives the ids of the volumes that an array knows by these UUIDs.
	OnArray(ctx context.Context, array string, uuids []string) (map[string]onevolume.VolumeID, error)
}

// Engine runs operations on arrays. All fields must be set.
type Engine struct {
	Ledger Ledger
	Arrays map[string]array.Array // by their names in the inventory
	Lease  time.Duration          // of an operation; it is renewed three times in it
	Now    func() time.Time
}

// Array gives the array of a name. Code: NotFound.
func (e *Engine) Array(name string) (array.Array, error) {
	if a, ok := e.Arrays[name]; ok {
		return a, nil
	}
	known := "none is"
	if len(e.Arrays) > 0 {
		known = "known are " + strings.Join(slices.Sorted(maps.Keys(e.Arrays)), ", ")
	}
	return nil, onevolume.Errorf(onevolume.NotFound, "no array %q that makes volumes is configured; %s", name, known).
		WithHint("arrays stand in the daemon's configuration, under arrays")
}

// Run does what the operation's task says; the operation has been begun. When
// it fails, all is as before, unless the error's code is Unknown: then the
// operation goes on as soon as whatever did not answer does, by Resume. A
// volume of an operation that can go neither on nor back is in ERROR.
func (e *Engine) Run(ctx context.Context, op onevolume.Operation) error {
	r, err := e.newRun(op)
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "begin", Cause: err})
	}
	return r.underLease(ctx, func(ctx context.Context) error { return r.saga().Run(ctx, &r.made) })
}

// Resume carries on an operation whose owner died, or that an administrator
// has reopened; op has the caller's generation. It goes on unless taking back
// had begun of what can be, or op.Way says back: every step may be done again.
func (e *Engine) Resume(ctx context.Context, op onevolume.Operation, journal []onevolume.Entry) error {
	r, err := e.newRun(op)
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "resume", Cause: err})
	}
	return r.underLease(ctx, func(ctx context.Context) error {
		g := r.saga()
		story, err := g.Read(journal)
		if err != nil {
			return &saga.Stuck{Step: "resume", Cause: err}
		}
		r.made = story.State
		if op.Way == onevolume.Back || story.Undoing && op.Way == onevolume.Decide && r.takenBack() {
			// What the journal does not say was begun may have been: the entry
			// is written before the array is asked, but by whom died then.
			story.Reached = len(g.Steps) - 1
			return g.Back(ctx, &story, errors.New("it was taken back"))
		}
		return g.Forward(ctx, &story, &r.made)
	})
}

// takenBack says whether what the operation does can be undone once it is so.
// What is deleted, grown or reverted cannot: it is done again instead.
func (r *run) takenBack() bool {
	return r.op.Kind == onevolume.Create || r.op.Kind == onevolume.SnapshotCreate
}

// run is one operation under way.
type run struct {
	*Engine
	op    onevolume.Operation
	task  onevolume.Task
	array array.Array
	made  onevolume.Made
}

func (e *Engine) newRun(op onevolume.Operation) (*run, error) {
	r := &run{Engine: e, op: op}
	if op.Task == nil {
		return r, onevolume.Errorf(onevolume.Internal, "operation %d (%s) has no task for an array", op.ID, op.Kind)
	}
	r.task = *op.Task
	var err error
	r.array, err = e.Array(r.task.Array)
	return r, err
}

func (r *run) saga() *saga.Saga[onevolume.Made] {
	return &saga.Saga[onevolume.Made]{Steps: r.steps(), Journal: r, Now: r.Now}
}

// Write is the journal of the run's saga.
func (r *run) Write(ctx context.Context, entries []onevolume.Entry) error {
	return r.Ledger.Record(ctx, r.op.Ref(), entries, onevolume.Note{})
}

// underLease calls f while the operation's lease is kept alive, and closes the
// operation as f ended.
func (r *run) underLease(ctx context.Context, f func(context.Context) error) error {
	working, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		tick := time.NewTicker(r.Lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-working.Done():
				return
			case <-tick.C:
			}
			// One renewal that fails does no harm; one that is refused ends the
			// work, for it is another's now.
			if err := r.Ledger.Record(working, r.op.Ref(), nil, onevolume.Note{}); onevolume.CodeOf(err) == onevolume.Stale {
				cancel(err)
				return
			}
		}
	}()
	err := f(working)
	cause := context.Cause(working)
	cancel(nil)
	<-kept
	if onevolume.CodeOf(cause) == onevolume.Stale {
		return cause
	}
	return r.end(context.WithoutCancel(ctx), err)
}

// finishTime bounds the closing of an operation.
const finishTime = 30 * time.Second

// end closes the operation in the inventory according to how its steps ended.
func (r *run) end(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	if err == nil {
		return r.finish(ctx, onevolume.Done, nil)
	}
	if lost, ok := errors.AsType[*saga.Lost](err); ok {
		return r.unsure(lost)
	}
	if undone, ok := errors.AsType[*saga.Undone](err); ok {
		return r.finish(ctx, onevolume.Undone, r.named(ctx, undone.Cause))
	}
	if stuck, ok := errors.AsType[*saga.Stuck](err); ok && transient(stuck) {
		return r.unsure(stuck)
	}
	hint := fmt.Sprintf("put right what is named, then carry it on (onevolume resume %d) or take it back (onevolume abort %d)", r.op.ID, r.op.ID)
	parked := onevolume.Errorf(onevolume.CodeOf(err), "volume %d is in ERROR: %w", r.op.Volume, err).WithHint("%s", hint)
	return r.finish(ctx, onevolume.Parked, parked)
}

// finish writes the operation's end, and gives the error for its caller.
func (r *run) finish(ctx context.Context, status onevolume.Status, cause error) error {
	reason := ""
	if cause != nil {
		reason = cause.Error()
		if hint := onevolume.HintOf(cause); hint != "" && status == onevolume.Parked {
			reason += ". " + hint
		}
	}
	if err := r.Ledger.FinishTask(ctx, r.op.Ref(), status, r.made, reason); err != nil {
		if onevolume.CodeOf(err) == onevolume.Stale {
			return err
		}
		return errors.Join(cause, r.unsure(err))
	}
	return cause
}

// unsure is the error of an operation that has not ended.
func (r *run) unsure(err error) error {
	return onevolume.Errorf(onevolume.Unknown, "operation %d (%s) on volume %d is not finished: %w", r.op.ID, r.op.Kind, r.op.Volume, err).
		WithHint("onevolumed goes on with it as soon as it can; see: onevolume explain %d", r.op.Volume)
}

// transient says whether what keeps a run from going on or back may pass by
// itself: somebody did not answer. Credentials do not become right by trying,
// and an array that counts failures must not be asked again and again.
func transient(stuck *saga.Stuck) bool {
	err := stuck.UndoErr
	if err == nil {
		err = stuck.Cause
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	code := onevolume.CodeOf(err)
	return code == onevolume.Unreachable || code == onevolume.Unknown || code == onevolume.Busy
}

// named puts the inventory's names to what keeps an array from doing what was
// asked.
func (r *run) named(ctx context.Context, err error) error {
	busy, ok := errors.AsType[*array.Error](err)
	if !ok || busy.Kind != array.Busy || len(busy.By.Clones) == 0 {
		return err
	}
	uuids := make([]string, len(busy.By.Clones))
	for i, id := range busy.By.Clones {
		uuids[i] = string(id)
	}
	ids, lookErr := r.Ledger.OnArray(ctx, r.task.Array, uuids)
	if lookErr != nil || len(ids) == 0 {
		return err
	}
	var words []string
	for _, id := range slices.Sorted(maps.Values(ids)) {
		words = append(words, fmt.Sprint(int(id)))
	}
	return onevolume.Errorf(onevolume.Held, "volumes made from it depend on it: %s: %w", strings.Join(words, ", "), err).
		WithHint("delete those first: onevolume delete %s", words[0])
}
