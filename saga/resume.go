package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"onevolume"
)

// Story is what a journal tells of a run that somebody else began.
type Story[S any] struct {
	State   S    // after the newest step that succeeded
	Reached int  // the newest step that was started; -1 when none was
	Next    int  // the first step that has not succeeded
	Undoing bool // taking back had begun
	// Committed says that a point of no return was passed.
	Committed bool
	Cause     string
}

// Read makes a story of a journal. It fails on entries that no run of these
// steps could have written.
func (g *Saga[S]) Read(entries []onevolume.Entry) (Story[S], error) {
	story := Story[S]{Reached: -1}
	last := map[string]onevolume.Event{}
	for _, e := range entries {
		i := g.index(e.Step)
		if i < 0 {
			return story, fmt.Errorf("journal entry %d: step %q is none of this workflow", e.Seq, e.Step)
		}
		if !e.Event.MayFollow(last[e.Step]) {
			return story, fmt.Errorf("journal entry %d: %s of step %s cannot follow %q", e.Seq, e.Event, e.Step, last[e.Step])
		}
		last[e.Step] = e.Event
		switch e.Event {
		case onevolume.StepStarted:
			story.Reached = max(story.Reached, i)
		case onevolume.StepSucceeded:
			story.Next = max(story.Next, i+1)
			story.Committed = story.Committed || g.Steps[i].NoReturn
			if err := json.Unmarshal([]byte(e.Detail), &story.State); err != nil {
				return story, fmt.Errorf("journal entry %d: state of step %s: %w", e.Seq, e.Step, err)
			}
		case onevolume.StepFailed:
			story.Cause = e.Detail
		case onevolume.UndoStarted, onevolume.UndoFailed:
			story.Undoing = true
		case onevolume.UndoFinished:
			story.Undoing = true
			story.Reached = i - 1
		}
	}
	return story, nil
}

func (g *Saga[S]) index(name string) int {
	for i, s := range g.Steps {
		if s.Name == name {
			return i
		}
	}
	return -1
}

// Forward carries a run on: all steps are done again from the first, each of
// which looks before it acts, so that what is true now counts and not what
// was true when the journal was written. s is the state to go on with. When a
// step fails, everything is taken back from the newest step that was ever
// started, not only from the one that failed.
func (g *Saga[S]) Forward(ctx context.Context, story *Story[S], s *S) error {
	return g.forward(ctx, s, story.Reached, story.Committed)
}

// Back takes a run back from the newest step that was started. The error is
// an *Undone when that worked.
func (g *Saga[S]) Back(ctx context.Context, story *Story[S], cause error) error {
	if story.Cause != "" {
		cause = errors.New(story.Cause)
	}
	return g.back(ctx, &story.State, story.Reached, cause)
}
