package workflow

import (
	"context"

	"onevolume"
	"onevolume/saga"
)

// Step is what tests may know of a step.
type Step struct {
	Name           string
	Undo, NoReturn bool
}

// StepsOf lists the steps of an operation on a registered volume, or on one
// that was made on an array.
func StepsOf(kind onevolume.Kind, leave onevolume.Leave, made bool) []Step {
	r := &run{Engine: &Engine{}, op: onevolume.Operation{Kind: kind, Leave: leave}}
	if made {
		r.vol.ArrayID = "made"
	}
	steps, err := r.steps()
	if err != nil {
		panic(err) // a test asks for what there is not
	}
	var list []Step
	for _, s := range steps {
		list = append(list, Step{s.Name, s.Undo != nil, s.NoReturn})
	}
	return list
}

// Around has f called in place of every Do and Undo of the engine's steps;
// act is what it stands for, which may be called any number of times.
func (e *Engine) Around(f func(step string, undo bool, act func() error) error) {
	e.around = func(steps []step) []step {
		around := func(name string, undo bool, act func(context.Context, *facts) error) func(context.Context, *facts) error {
			if act == nil {
				return nil
			}
			return func(ctx context.Context, s *facts) error {
				return f(name, undo, func() error { return act(ctx, s) })
			}
		}
		var list []saga.Step[facts]
		for _, s := range steps {
			s.Do, s.Undo = around(s.Name, false, s.Do), around(s.Name, true, s.Undo)
			list = append(list, s)
		}
		return list
	}
}
