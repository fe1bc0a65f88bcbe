package saga_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"onevolume"
	"onevolume/saga"
)

// world is what the steps of the tests change: a set of things that exist.
type world struct {
	things  map[string]bool
	failDo  string // this step's Do fails, after having half acted
	failBck string // this step's Undo fails
	trace   []string
}

type state struct{ Made []string }

func (w *world) step(name string) saga.Step[state] {
	return saga.Step[state]{
		Name: name,
		Do: func(_ context.Context, s *state) error {
			w.trace = append(w.trace, "do "+name)
			w.things[name] = true
			if w.failDo == name {
				return fmt.Errorf("no %s today", name)
			}
			s.Made = append(s.Made, name)
			return nil
		},
		Undo: func(context.Context, *state) error {
			w.trace = append(w.trace, "undo "+name)
			if w.failBck == name {
				return fmt.Errorf("%s stays", name)
			}
			delete(w.things, name)
			return nil
		},
	}
}

// journal remembers, and dies after a number of writes when told to.
type journal struct {
	entries []onevolume.Entry
	dieAt   int // the write that fails, counted from 1; 0 for never
	writes  int
}

var errDied = errors.New("died")

func (j *journal) Write(_ context.Context, entries []onevolume.Entry) error {
	j.writes++
	if j.writes == j.dieAt {
		return errDied
	}
	for _, e := range entries {
		e.Seq = len(j.entries) + 1
		j.entries = append(j.entries, e)
	}
	return nil
}

func build(w *world, j *journal, noReturn string) *saga.Saga[state] {
	g := &saga.Saga[state]{Journal: j, Now: func() time.Time { return time.Unix(0, 0) }}
	for _, name := range []string{"a", "b", "c"} {
		s := w.step(name)
		s.NoReturn = name == noReturn
		g.Steps = append(g.Steps, s)
	}
	return g
}

func newWorld() *world { return &world{things: map[string]bool{}} }

func TestRunDoesAllStepsAndJournalsThem(t *testing.T) {
	w, j := newWorld(), &journal{}
	var s state
	if err := build(w, j, "").Run(t.Context(), &s); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c"}; !reflect.DeepEqual(s.Made, want) {
		t.Errorf("state is %v, want %v", s.Made, want)
	}
	var events []string
	for _, e := range j.entries {
		events = append(events, string(e.Event)+" "+e.Step)
	}
	want := []string{"STARTED a", "SUCCEEDED a", "STARTED b", "SUCCEEDED b", "STARTED c", "SUCCEEDED c"}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("journal is %v, want %v", events, want)
	}
}

func TestFailureAtEachStepLeavesNothing(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		w, j := newWorld(), &journal{}
		w.failDo = name
		var s state
		err := build(w, j, "").Run(t.Context(), &s)
		var undone *saga.Undone
		if !errors.As(err, &undone) {
			t.Fatalf("failing at %s gives %v, want *Undone", name, err)
		}
		if len(w.things) != 0 {
			t.Errorf("failing at %s leaves %v", name, w.things)
		}
	}
}

func TestFailedUndoStopsAndKeepsTheCause(t *testing.T) {
	w, j := newWorld(), &journal{}
	w.failDo, w.failBck = "c", "b"
	var s state
	err := build(w, j, "").Run(t.Context(), &s)
	var stuck *saga.Stuck
	if !errors.As(err, &stuck) || stuck.UndoErr == nil || stuck.Cause == nil {
		t.Fatalf("got %v, want *Stuck with both errors", err)
	}
	// What lies below a thing that cannot be removed must stay.
	if !w.things["a"] || !w.things["b"] || w.things["c"] {
		t.Errorf("left %v, want a and b", w.things)
	}
}

func TestNothingIsUndonePastThePointOfNoReturn(t *testing.T) {
	w, j := newWorld(), &journal{}
	w.failDo = "c"
	var s state
	err := build(w, j, "b").Run(t.Context(), &s)
	var stuck *saga.Stuck
	if !errors.As(err, &stuck) || stuck.UndoErr != nil {
		t.Fatalf("got %v, want *Stuck without an undo error", err)
	}
	if !w.things["a"] || !w.things["b"] {
		t.Errorf("left %v, want a and b untouched", w.things)
	}
}

func TestUndoRunsAfterTheCallerHasGone(t *testing.T) {
	w, j := newWorld(), &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	g := build(w, j, "")
	do := g.Steps[1].Do
	g.Steps[1].Do = func(ctx context.Context, s *state) error {
		_ = do(ctx, s)
		cancel()
		return ctx.Err()
	}
	undo := g.Steps[0].Undo
	g.Steps[0].Undo = func(ctx context.Context, s *state) error {
		if ctx.Err() != nil {
			t.Error("the context of Undo has ended")
		}
		return undo(ctx, s)
	}
	var s state
	err := g.Run(ctx, &s)
	if !errors.Is(err, context.Canceled) || len(w.things) != 0 {
		t.Errorf("got %v and %v left, want Canceled and nothing", err, w.things)
	}
}

// A process that dies at any write is followed by another that goes either
// way, and dies at any write as well, and by a third that ends it.
func TestDyingAtEachWriteAndResuming(t *testing.T) {
	for _, way := range []string{"forward", "back"} {
		for first := 1; first <= 8; first++ {
			for second := 1; second <= 8; second++ {
				w, j := newWorld(), &journal{dieAt: first}
				if first%2 == 0 {
					w.failDo = "c"
				}
				var s state
				err := build(w, j, "").Run(t.Context(), &s)
				w.failDo = ""
				for _, dieAt := range []int{second, 0} {
					if !errors.Is(err, errDied) {
						break
					}
					j.dieAt, j.writes = dieAt, 0
					err = resume(t, w, j, way)
				}
				name := fmt.Sprintf("%s, dying at %d and %d", way, first, second)
				var undone *saga.Undone
				switch {
				case err == nil:
					if len(w.things) != 3 {
						t.Errorf("%s: done with %v", name, w.things)
					}
				case errors.As(err, &undone):
					if len(w.things) != 0 {
						t.Errorf("%s: undone with %v left", name, w.things)
					}
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

func resume(t *testing.T, w *world, j *journal, way string) error {
	t.Helper()
	g := build(w, j, "")
	story, err := g.Read(j.entries)
	if err != nil {
		t.Fatal(err)
	}
	if story.Undoing || way == "back" {
		return g.Back(t.Context(), &story, errors.New("resumed"))
	}
	return g.Forward(t.Context(), &story, new(state))
}

func TestResumedFailurePastNoReturnUndoesNothing(t *testing.T) {
	w, j := newWorld(), &journal{dieAt: 3}
	var s state
	if err := build(w, j, "a").Run(t.Context(), &s); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	j.dieAt = 0
	w.failDo = "a" // looking again fails this time
	g := build(w, j, "a")
	story, err := g.Read(j.entries)
	if err != nil || !story.Committed {
		t.Fatalf("story %+v, error %v; want it committed", story, err)
	}
	var stuck *saga.Stuck
	if err := g.Forward(t.Context(), &story, new(state)); !errors.As(err, &stuck) {
		t.Errorf("got %v, want *Stuck", err)
	}
	if len(w.things) == 0 {
		t.Error("the run was taken back past its point of no return")
	}
}

// Going on begins at the first step; when that fails this time, what the dead
// owner did after it must be taken back all the same.
func TestResumedFailureTakesBackWhatWasReached(t *testing.T) {
	w, j := newWorld(), &journal{dieAt: 4} // all is done, the last success is not on record
	var s state
	if err := build(w, j, "").Run(t.Context(), &s); !errors.Is(err, errDied) || len(w.things) != 3 {
		t.Fatal(err, w.things)
	}
	j.dieAt = 0
	w.failDo = "a"
	err := resume(t, w, j, "forward")
	var undone *saga.Undone
	if !errors.As(err, &undone) || len(w.things) != 0 {
		t.Errorf("got %v with %v left, want *Undone and nothing", err, w.things)
	}
}

func TestReadRefusesWhatNoRunWrites(t *testing.T) {
	g := build(newWorld(), &journal{}, "")
	for name, entries := range map[string][]onevolume.Entry{
		"unknown step":       {{Step: "z", Event: onevolume.StepStarted}},
		"success of nothing": {{Step: "a", Event: onevolume.StepSucceeded, Detail: "{}"}},
		"failed after success": {{Step: "a", Event: onevolume.StepStarted},
			{Step: "a", Event: onevolume.StepSucceeded, Detail: "{}"}, {Step: "a", Event: onevolume.StepFailed}},
		"state that is no JSON": {{Step: "a", Event: onevolume.StepStarted},
			{Step: "a", Event: onevolume.StepSucceeded, Detail: "{"}},
	} {
		if _, err := g.Read(entries); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
