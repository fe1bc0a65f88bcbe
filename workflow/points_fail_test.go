package workflow_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/workflow"
)

// fault is what a step's Do or Undo meets with, once.
type fault struct {
	step  string
	undo  bool
	after bool // it is done, and says that it failed
	err   error
	twice bool // it is done two times, and does not fail
	hit   bool
}

func (f *fault) String() string {
	what := "Do"
	if f.undo {
		what = "Undo"
	}
	if f.twice {
		return what + " is repeated"
	}
	moment := "before it acts"
	if f.after {
		moment = "after it acted"
	}
	return fmt.Sprintf("%s fails (%s) %s", what, onevolume.CodeOf(f.err), moment)
}

// faulty has the faults happen in the engine's steps.
func faulty(faults ...*fault) func(*process, *workflow.Engine) {
	return func(_ *process, e *workflow.Engine) {
		e.Around(func(step string, undo bool, act func() error) error {
			i := slices.IndexFunc(faults, func(f *fault) bool { return f.step == step && f.undo == undo && !f.hit })
			if i < 0 {
				return act()
			}
			f := faults[i]
			f.hit = true
			if f.twice || f.after {
				if err := act(); err != nil && !f.twice {
					return err
				}
			}
			if f.twice {
				return act()
			}
			return f.err
		})
	}
}

// errPermanent and errTransient are of the two kinds of trouble: what stays
// until somebody does something, and what may pass.
var (
	errPermanent = onevolume.Errorf(onevolume.Refused, "the test: this does not work").WithHint("make the test let it")
	errTransient = onevolume.Errorf(onevolume.Unreachable, "the test: nobody answers")
)

// TestEachStepFails has the Do of each step fail, before and after it acted,
// of something that lasts and of something that passes.
func TestEachStepFails(t *testing.T) {
	eachTable(t, func(tb *table) {
		for i, s := range tb.act.steps() {
			for _, f := range faultsOf(s.Name, false) {
				if pt, ok := tb.point(always, f.String(), "step "+s.Name); ok {
					pt.run(faulty(f))
					pt.settle()
					pt.judge(tb.act.afterFailure(i, f))
					pt.hit(f)
				}
			}
		}
		tb.counted("steps that fail", tb.found, 4*len(tb.act.steps()))
	})
}

// faultsOf are the ways in which a Do or an Undo fails.
func faultsOf(step string, undo bool) []*fault {
	var list []*fault
	for _, after := range []bool{false, true} {
		for _, err := range []error{errPermanent, errTransient} {
			list = append(list, &fault{step: step, undo: undo, after: after, err: err})
		}
	}
	return list
}

// hit asks that all faults did happen.
func (pt *point) hit(faults ...*fault) {
	pt.Helper()
	for _, f := range faults {
		if !f.hit {
			pt.Errorf("%s at %s: it did not happen", pt.what, pt.at)
		}
	}
}

// afterFailure is the state that the volume must have after step i failed:
// taken back, unless the guest has let go; then carried on, if that can be.
func (a act) afterFailure(i int, f *fault) onevolume.State {
	switch {
	case a.kind == onevolume.Fence && f.after:
		return noDisk // of a host that is cut off, and stays on record
	case i < a.noReturn() || i == a.noReturn() && !f.after:
		return a.prior()
	case i == a.noReturn() || errors.Is(f.err, errTransient):
		return a.goal()
	}
	return onevolume.Failed
}

// TestEachUndoFails has each step fail from which there is a way back, and on
// that way each Undo.
func TestEachUndoFails(t *testing.T) {
	eachTable(t, func(tb *table) {
		want := 0
		tb.eachUndo(func(i, j int) {
			for _, after := range []bool{false, true} {
				do := &fault{step: tb.act.steps()[i].Name, err: errPermanent, after: after}
				if !tb.act.comesTo(do, tb.act.steps()[j].Name) {
					continue
				}
				want += 4
				for _, f := range faultsOf(tb.act.steps()[j].Name, true) {
					do := &fault{step: tb.act.steps()[i].Name, err: errPermanent, after: after}
					at := fmt.Sprintf("step %s, as %s %s", f.step, do.step, strings.TrimPrefix(do.String(), "Do "))
					if pt, ok := tb.point(always, f.String(), at); ok {
						pt.run(faulty(do, f))
						pt.settle()
						pt.judge(tb.act.afterUndoFailure(do, f))
						pt.hit(do, f)
					}
				}
			}
		})
		tb.counted("undos that fail", tb.found, want)
	})
}

// eachUndo calls f with each step that can fail so that things are taken
// back, and each step that then has something to undo.
func (tb *table) eachUndo(f func(i, j int)) {
	steps := tb.act.steps()
	for i := range steps {
		if i > tb.act.noReturn() {
			break
		}
		for j := range i + 1 {
			if steps[j].Undo {
				f(i, j)
			}
		}
	}
}

// comesTo says whether the way back comes to the Undo of a step. Once a VM has
// moved, that of connect sees so, and nothing before it is taken back.
func (a act) comesTo(do *fault, undo string) bool {
	return a.kind != onevolume.Migrate || do.step != "move" || !do.after || undo != "grant"
}

// afterUndoFailure is the state that the volume must have after a step failed
// and an Undo as well.
func (a act) afterUndoFailure(do, f *fault) onevolume.State {
	switch {
	case (a.kind == onevolume.Detach || a.kind == onevolume.Grow) && do.after && f.after:
		return a.goal() // the Undo saw for itself that the guest has let go, or the volume has grown
	case a.kind == onevolume.Migrate && do.step == "move" && do.after && f.after:
		return a.goal() // the Undo saw for itself that the VM has moved
	case errors.Is(f.err, errPermanent):
		return onevolume.Failed
	case a.kind == onevolume.Migrate:
		return a.goal() // likewise, and the VM moves then
	case a.kind == onevolume.Detach, a.kind == onevolume.Grow:
		return a.goal() // whoever takes one over carries it on
	case do.step == "plug" && do.after && f.step == "plug" && !f.after:
		return a.goal() // and finds the disk in the guest
	}
	return a.prior()
}

// TestEachStepRepeated does each Do twice, and each Undo.
func TestEachStepRepeated(t *testing.T) {
	eachTable(t, func(tb *table) {
		for _, s := range tb.act.steps() {
			f := &fault{step: s.Name, twice: true}
			if pt, ok := tb.point(always, f.String(), "step "+s.Name); ok {
				pt.run(faulty(f))
				pt.settle()
				pt.judge(tb.act.goal())
				pt.hit(f)
			}
		}
		want := len(tb.act.steps())
		tb.eachUndo(func(i, j int) {
			for _, after := range []bool{false, true} {
				do := &fault{step: tb.act.steps()[i].Name, err: errPermanent, after: after}
				if !tb.act.comesTo(do, tb.act.steps()[j].Name) {
					continue
				}
				want++
				f := &fault{step: tb.act.steps()[j].Name, undo: true, twice: true}
				at := fmt.Sprintf("step %s, as %s %s", f.step, do.step, strings.TrimPrefix(do.String(), "Do "))
				if pt, ok := tb.point(always, f.String(), at); ok {
					pt.run(faulty(do, f))
					pt.settle()
					pt.judge(tb.act.afterFailure(i, do))
					pt.hit(do, f)
				}
			}
		})
		tb.counted("what is repeated", tb.found, want)
	})
}
