package workflow_test

import (
	"fmt"
	"strings"
	"testing"

	"onevolume"
	"onevolume/workflow"
)

// trouble is what parks an act: a Do that fails, and where there is a way
// back an Undo that fails on it.
type trouble struct {
	i        int // the step whose Do fails
	do, undo fault
}

func (p trouble) String() string {
	if p.undo.step == "" {
		return fmt.Sprintf("step %s: %s", p.do.step, &p.do)
	}
	return fmt.Sprintf("step %s: %s, as %s %s", p.undo.step, &p.undo, p.do.step, strings.TrimPrefix(p.do.String(), "Do "))
}

// faults makes it happen, once.
func (p trouble) faults() (list []*fault) {
	do, undo := p.do, p.undo
	if undo.step == "" {
		return []*fault{&do}
	}
	return []*fault{&do, &undo}
}

// troubles lists all that park the act.
func (tb *table) troubles() (list []trouble) {
	steps := tb.act.steps()
	for i := tb.act.noReturn() + 1; i < len(steps); i++ {
		for _, after := range []bool{false, true} {
			list = append(list, trouble{i: i, do: fault{step: steps[i].Name, after: after, err: errPermanent}})
		}
	}
	tb.eachUndo(func(i, j int) {
		for _, do := range []bool{false, true} {
			for _, undo := range []bool{false, true} {
				p := trouble{i: i, do: fault{step: steps[i].Name, after: do, err: errPermanent},
					undo: fault{step: steps[j].Name, undo: true, after: undo, err: errPermanent}}
				if tb.act.comesTo(&p.do, p.undo.step) && tb.act.afterUndoFailure(&p.do, &p.undo) == onevolume.Failed {
					list = append(list, p)
				}
			}
		}
	})
	return list
}

// letGo says whether the guest has let go of the disk of a parked detach, or
// the volume of a parked resize has grown.
func (p trouble) letGo(a act) bool {
	return (a.kind == onevolume.Detach || a.kind == onevolume.Grow) && (p.i > a.noReturn() || p.do.after)
}

// TestParkedAtEachPoint parks the act wherever it can be parked. Then it is
// resumed; aborted; or resumed in vain and then aborted. What cannot be taken
// back stays parked, and can still be resumed.
func TestParkedAtEachPoint(t *testing.T) {
	eachTable(t, func(tb *table) {
		list := tb.troubles()
		for _, p := range list {
			tb.parked(p, "resumed", func(pt *point) { pt.reopen(onevolume.Forward, nil, tb.act.goal()) })
			tb.parked(p, "aborted", func(pt *point) { pt.abort(p) })
			tb.parked(p, "resumed in vain, then aborted", func(pt *point) {
				pt.reopen(onevolume.Forward, faulty(p.faults()...), onevolume.Failed)
				pt.abort(p)
			})
		}
		n, u := len(tb.act.steps())-1-tb.act.noReturn(), 0
		tb.eachUndo(func(int, int) { u++ })
		want := 2*max(n, 0) + 4*u
		if tb.act.kind == onevolume.Detach || tb.act.kind == onevolume.Grow {
			want -= u // where the Undo sees that there is no way back
		}
		if tb.act.kind == onevolume.Migrate {
			want-- // likewise, once the VM has moved
		}
		if tb.act.kind == onevolume.Migrate && tb.act.made {
			want -= 2 // to whose Undo it does not come then
		}
		tb.counted("what parks it", len(list), want)
	})
}

// parked parks the act and has something done about it.
func (tb *table) parked(p trouble, what string, then func(*point)) {
	tb.Helper()
	pt, ok := tb.point(tb.share(), "parked, then "+what, p.String())
	if !ok {
		return
	}
	pt.park(p)
	then(pt)
}

// park brings the act to where it is parked.
func (pt *point) park(p trouble) {
	pt.Helper()
	faults := p.faults()
	pt.run(faulty(faults...))
	pt.settle()
	pt.hit(faults...)
	if got := pt.read(pt.v.ID); got.State != pt.tb.act.kind.ParkedState() || pt.operation(pt.v.ID).Status != onevolume.Parked {
		pt.Fatalf("%s: the volume is %s (%s)", p, got.State, got.Reason)
	}
}

// reopen has a server carry the parked operation on, the way given, and
// judges that. Whatever dies meanwhile is followed by another.
func (pt *point) reopen(way onevolume.Way, prepare func(*process, *workflow.Engine), want onevolume.State) {
	pt.Helper()
	op := pt.operation(pt.v.ID)
	pt.ask(way, op, prepare)
	pt.first = pt.last
	if pt.first.gone() && pt.operation(pt.v.ID).Status == onevolume.Parked && pt.operation(pt.v.ID).Generation == op.Generation {
		pt.ask(way, op, nil) // the first never came to it, so one asks again
	}
	pt.settle()
	pt.judge(want)
}

func (pt *point) ask(way onevolume.Way, op onevolume.Operation, prepare func(*process, *workflow.Engine)) {
	pt.Helper()
	s := pt.serve(prepare)
	do := s.Daemon.Resume
	if way == onevolume.Back {
		do = s.Abort
	}
	if err := do(pt.Context(), root, op.ID); err != nil && !s.gone() {
		pt.Errorf("%s at %s: %s: %v", pt.what, pt.at, way, err)
	}
	pt.await()
}

// abort has the parked operation taken back. A detach whose guest has let go
// stays parked and says so, and can be resumed.
func (pt *point) abort(p trouble) {
	pt.Helper()
	if !p.letGo(pt.tb.act) {
		pt.reopen(onevolume.Back, nil, pt.takenBack())
		return
	}
	pt.reason = "cannot be taken back any more"
	pt.reopen(onevolume.Back, nil, onevolume.Failed)
	pt.what += ", then resumed"
	pt.reopen(onevolume.Forward, nil, pt.tb.act.goal())
}

// takenBack is the state that the volume must have when the parked act was
// taken back. A replug takes no disk from a guest that has it.
func (pt *point) takenBack() onevolume.State {
	if pt.tb.act.kind == onevolume.Replug && len(pt.plugged()[pt.v.ID]) > 0 {
		return onevolume.Attached
	}
	if in := pt.plugged()[pt.v.ID]; pt.tb.act.kind == onevolume.Migrate && len(in) == 1 && in[0].host == pt.hosts[1].name {
		return moved // where the VM is, nothing is taken from it
	}
	return pt.tb.act.prior()
}

// TestCrashWhileReopened has the server that resumes or aborts a parked act
// die before each of its writes, and after it.
func TestCrashWhileReopened(t *testing.T) {
	eachTable(t, func(tb *table) {
		for _, p := range tb.troubles() {
			if p.do.after || p.undo.after {
				continue // what differs is on the host, and tried above
			}
			for _, way := range []onevolume.Way{onevolume.Forward, onevolume.Back} {
				writes := tb.reopenWrites(p, way)
				for n := 1; n <= writes; n++ {
					tb.crashReopened(p, way, crash{n, false}, true)
					tb.crashReopened(p, way, crash{n, true}, true)
				}
				tb.crashReopened(p, way, crash{writes + 1, false}, false) // one write more does not exist
			}
		}
	})
}

// reopenWrites is how often the journal is written to by whoever reopens a
// parked act: once for that, as often as the steps or the undos need, and
// once to end it.
func (tb *table) reopenWrites(p trouble, way onevolume.Way) int {
	switch {
	case way == onevolume.Forward:
		return 1 + len(tb.act.steps()) + 1 + 1
	case p.letGo(tb.act):
		return 1 + 1
	case tb.act.kind == onevolume.Migrate && p.undo.step == "":
		return 1 + len(tb.act.steps()) + 1 + 1 // the VM has moved, so it goes on
	}
	stuck := 0 // the step whose undo failed
	for i, s := range tb.act.steps() {
		if s.Name == p.undo.step {
			stuck = i
		}
	}
	undos := tb.act.undos(stuck)
	if tb.act.kind == onevolume.Attach && p.undo.step == "plug" {
		undos++ // a guest may have written to it, so it is wiped too
	}
	return 1 + undos + 1 + 1
}

// crashReopened crashes at one of these writes. there says whether it exists.
func (tb *table) crashReopened(p trouble, way onevolume.Way, at crash, there bool) {
	tb.Helper()
	pt, ok := tb.point(tb.share(), fmt.Sprintf("parked, then %s, and a crash", way), p.String())
	if !ok {
		return
	}
	pt.park(p)
	want := tb.act.goal()
	if way == onevolume.Back {
		want = pt.takenBack()
		if p.letGo(tb.act) {
			want, pt.reason = onevolume.Failed, "cannot be taken back any more"
		}
	}
	var served *process
	step := pt.at
	pt.reopen(way, func(p *process, _ *workflow.Engine) {
		served, p.crash = p, at
		pt.at = fmt.Sprintf("%s, write %d", step, at.at)
		if at.after {
			pt.at += " is done"
		}
	}, want)
	if served.gone() != there {
		pt.Errorf("%s: died %v, want %v", pt.at, served.gone(), there)
	}
}
