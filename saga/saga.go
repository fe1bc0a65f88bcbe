// Package saga runs a list of steps so that whatever happens in the middle,
// someone can tell what was done and finish or undo it. Each step has a Do
// and an Undo, both of which may be repeated; what happens is journaled
// before and after. A process that dies leaves the journal behind, and
// Resume carries on in another one. The package knows no volume: what a step
// does is its own affair.
package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"onevolume"
)

// Step is one action of a workflow whose state is S. Do and Undo look before
// they act: each may run again after having run to any point before.
type Step[S any] struct {
	Name string
	// Do is nil for a step that only taking back has.
	Do func(ctx context.Context, s *S) error
	// Undo takes back whatever Do did, wholly or in part, or nothing. Nil
	// when Do changes nothing.
	Undo func(ctx context.Context, s *S) error
	// NoReturn says that once this step has succeeded there is no way
	// back: when a later step fails, nothing is undone.
	NoReturn bool
}

// Journal keeps what happens. Write must be durable when it returns; its
// error stops the run there and then, since nothing may happen unrecorded.
type Journal interface {
	Write(ctx context.Context, entries []onevolume.Entry) error
}

// undoTime bounds the undoing of one run, which goes on after the caller's
// context has ended.
const undoTime = 5 * time.Minute

// Undone says that a step failed and that everything has been taken back.
type Undone struct{ Cause error }

func (e *Undone) Error() string { return e.Cause.Error() }
func (e *Undone) Unwrap() error { return e.Cause }

// Stuck says that a step failed and that the run can neither go on nor back:
// UndoErr is why, nil when the step came after a point of no return.
type Stuck struct {
	Step    string
	Cause   error
	UndoErr error
}

func (e *Stuck) Error() string {
	if e.UndoErr == nil {
		return fmt.Sprintf("step %s: %v", e.Step, e.Cause)
	}
	return fmt.Sprintf("step %s: %v; taking it back failed as well: %v", e.Step, e.Cause, e.UndoErr)
}

func (e *Stuck) Unwrap() []error {
	if e.UndoErr == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.UndoErr}
}

// Lost says that the journal could not be written. Nothing was done since;
// whoever resumes the run decides what becomes of it.
type Lost struct{ Err error }

func (e *Lost) Error() string { return fmt.Sprintf("the journal could not be written: %v", e.Err) }
func (e *Lost) Unwrap() error { return e.Err }

// Left says that a step was left as it is, to be carried on by whoever takes
// the run over: nothing is taken back. A step's Do returns it when only time
// can tell what is to be done.
type Left struct{ Err error }

func (e *Left) Error() string { return e.Err.Error() }
func (e *Left) Unwrap() error { return e.Err }

// Saga is a list of steps and where their story is kept.
type Saga[S any] struct {
	Steps   []Step[S]
	Journal Journal
	Now     func() time.Time
}

// Run does all steps in order. A nil error says that all of them succeeded;
// else it is an *Undone, a *Stuck, a *Lost or a *Left.
func (g *Saga[S]) Run(ctx context.Context, s *S) error {
	return g.forward(ctx, s, -1, false)
}

// forward does all steps. The success of a step and the start of the next are
// written together: one trip instead of two. reached is the newest step that
// an earlier run of them started, from which a failure must take back, -1
// when there was none; committed says that a point of no return lies behind
// them already.
func (g *Saga[S]) forward(ctx context.Context, s *S, reached int, committed bool) error {
	var done []onevolume.Entry
	for i, step := range g.Steps {
		if step.Do == nil {
			continue
		}
		if err := g.write(ctx, append(done, g.entry(step.Name, onevolume.StepStarted, ""))...); err != nil {
			return err
		}
		if err := step.Do(ctx, s); err != nil {
			if left, ok := errors.AsType[*Left](err); ok {
				return left
			}
			return g.fail(ctx, s, i, max(i, reached), committed, err)
		}
		state, err := json.Marshal(s)
		if err != nil {
			return g.fail(ctx, s, i, max(i, reached), committed, fmt.Errorf("state after step %s: %w", step.Name, err))
		}
		done = []onevolume.Entry{g.entry(step.Name, onevolume.StepSucceeded, string(state))}
		committed = committed || step.NoReturn
	}
	return g.write(ctx, done...)
}

// fail records that step i failed and takes everything back from step reached
// on, if it can be. The caller's context may have ended; what is half done
// must not stay so.
func (g *Saga[S]) fail(ctx context.Context, s *S, i, reached int, committed bool, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	failed := g.entry(g.Steps[i].Name, onevolume.StepFailed, cause.Error())
	if !committed {
		return g.back(ctx, s, reached, cause, failed)
	}
	if err := g.write(ctx, failed); err != nil {
		return errors.Join(cause, err)
	}
	return &Stuck{Step: g.Steps[i].Name, Cause: cause}
}

// back undoes step i and all before it, newest first.
func (g *Saga[S]) back(ctx context.Context, s *S, i int, cause error, done ...onevolume.Entry) error {
	for ; i >= 0; i-- {
		step := g.Steps[i]
		if step.Undo == nil {
			continue
		}
		if err := g.write(ctx, append(done, g.entry(step.Name, onevolume.UndoStarted, ""))...); err != nil {
			return errors.Join(cause, err)
		}
		if undoErr := step.Undo(ctx, s); undoErr != nil {
			if err := g.write(ctx, g.entry(step.Name, onevolume.UndoFailed, undoErr.Error())); err != nil {
				return errors.Join(cause, undoErr, err)
			}
			return &Stuck{Step: step.Name, Cause: cause, UndoErr: undoErr}
		}
		done = []onevolume.Entry{g.entry(step.Name, onevolume.UndoFinished, "")}
	}
	if err := g.write(ctx, done...); err != nil {
		return errors.Join(cause, err)
	}
	return &Undone{Cause: cause}
}

func (g *Saga[S]) entry(step string, event onevolume.Event, detail string) onevolume.Entry {
	return onevolume.Entry{Step: step, Event: event, Time: g.Now(), Detail: detail}
}

func (g *Saga[S]) write(ctx context.Context, entries ...onevolume.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := g.Journal.Write(ctx, entries); err != nil {
		return &Lost{Err: err}
	}
	return nil
}
