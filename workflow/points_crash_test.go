package workflow_test

import (
	"fmt"
	"slices"
	"testing"

	"onevolume"
	"onevolume/workflow"
)

// TestCrashAroundEachWrite has whoever runs the act die before each write to
// the journal and after it, and then again with whoever goes on with it
// dying before or after each of its own writes, until a third ends it. Once
// everything goes well before that, once it is being taken back.
func TestCrashAroundEachWrite(t *testing.T) {
	eachTable(t, func(tb *table) {
		straight, back := tb.act.writes()
		tb.crashes("", straight, nil)
		last := tb.act.steps()[min(tb.act.noReturn(), len(tb.act.steps())-1)]
		tb.crashes(" while it is taken back", back, func() *fault {
			return &fault{step: last.Name, err: errPermanent, after: tb.act.noReturn() == len(tb.act.steps())}
		})
	})
}

// writes is how often the journal is written to: when all goes well, and when
// the last step fails from which there is a way back. That is once to begin,
// with each start of a step (which takes the success of the one before
// along), with the last success, and with the end; on the way back with each
// start of an undo and with its last success.
func (a act) writes() (straight, back int) {
	n := len(a.steps())
	last := min(a.noReturn(), n-1)
	return 1 + n + 1 + 1, 1 + last + 1 + a.undos(last) + 1 + 1
}

// crash tries every crash of the first, and of the second for each of these.
// trouble, if any, is a fault that the first meets with.
func (tb *table) crashes(when string, writes int, trouble func() *fault) {
	tb.Helper()
	for n := 1; n <= writes; n++ {
		for _, after := range []bool{false, true} {
			first := crash{n, after}
			second := tb.crashOnce(when, first, trouble)
			for m := 1; m <= second; m++ {
				for _, after := range []bool{false, true} {
					tb.crashTwice(when, first, crash{m, after}, second, trouble)
				}
			}
		}
	}
	// One write more does not exist.
	tb.crashNever(when, writes, trouble)
}

// crashNever asks that the act without a crash writes as often as was said.
func (tb *table) crashNever(when string, writes int, trouble func() *fault) {
	tb.Helper()
	pt, ok := tb.point(1, "no crash"+when, "")
	if !ok {
		return
	}
	pt.crash(crash{}, trouble)
	pt.settle()
	tb.counted("writes"+when, len(pt.first.writes), writes)
	want := tb.act.goal()
	if trouble != nil {
		want = tb.act.takenBack()
	}
	pt.judge(want)
}

// crash has the first run the act and die.
func (pt *point) crash(at crash, trouble func() *fault) {
	pt.run(func(p *process, e *workflow.Engine) {
		p.crash = at
		if trouble != nil {
			faulty(trouble())(p, e)
		}
	})
}

// name says where a crash is, among the writes that there were.
func (c crash) name(writes []string) string {
	moment := "before"
	if c.after {
		moment = "after"
	}
	name := "?"
	if c.at <= len(writes) {
		name = writes[c.at-1]
	}
	return fmt.Sprintf("%s write %d (%s)", moment, c.at, name)
}

// crashOnce has another process resume the act undisturbed, and gives the
// number of writes that the other one needs: as many as the journal says.
func (tb *table) crashOnce(when string, first crash, trouble func() *fault) int {
	tb.Helper()
	pt, _ := tb.point(always, "crash"+when, "")
	pt.crash(first, trouble)
	pt.at = first.name(pt.first.writes)
	if !pt.first.gone() {
		pt.Fatalf("%s: there is no such write, or nobody died", pt.at)
	}
	want, resumed := pt.foresee()
	pt.settle()
	writes := 0
	if pt.last != nil && pt.last != pt.first {
		writes = len(pt.last.writes)
	}
	tb.counted("writes of the next, "+pt.at, writes, resumed)
	pt.judge(want)
	return writes
}

// crashTwice has the other process die as well.
func (tb *table) crashTwice(when string, first, second crash, writes int, trouble func() *fault) {
	tb.Helper()
	pt, ok := tb.point(tb.share(), "crash"+when+", and again", fmt.Sprintf("write %d, write %d of %d", first.at, second.at, writes))
	if !ok {
		return
	}
	pt.crash(first, trouble)
	pt.at = first.name(pt.first.writes)
	want, _ := pt.foresee()
	next := pt.serve(func(p *process, _ *workflow.Engine) { p.crash = second })
	pt.await()
	pt.at += "; the next " + second.name(next.writes)
	if !next.gone() {
		pt.Errorf("%s: nobody died", pt.at)
	}
	pt.settle()
	pt.judge(want)
}

// share is which part of the points is tried that are many: one of so many.
// The acts that differ from another one by a single command on a host get
// fewer.
func (tb *table) share() int {
	if tb.act.leave == onevolume.LeaveExt4 || tb.act.leave == onevolume.LeaveXFS || tb.act.made {
		return 11
	}
	return 4
}

// takenBack is the state of what failed in the last step from which there is a
// way back, after that step's work when there is a way back from all.
func (a act) takenBack() onevolume.State {
	if a.kind == onevolume.Fence {
		return noDisk // of a host that is cut off, and stays on record
	}
	return a.prior()
}

// foresee says, after the first has died, what the act must come to and how
// many writes whoever goes on with it needs: one to take over, those of the
// steps or of the undos, and one to end.
func (pt *point) foresee() (want onevolume.State, writes int) {
	pt.Helper()
	a := pt.tb.act
	if pt.read(pt.v.ID).Operation == pt.v.Operation {
		return a.prior(), 0 // it never began
	}
	op := pt.operation(pt.v.ID)
	switch op.Status {
	case onevolume.Done:
		return a.goal(), 0
	case onevolume.Undone:
		return a.takenBack(), 0
	}
	journal, err := pt.db.Journal(pt.Context(), op.ID)
	if err != nil {
		pt.Fatal(err)
	}
	reached, wiped := -1, 0
	for _, e := range journal {
		i := slices.IndexFunc(a.steps(), func(s workflow.Step) bool { return s.Name == e.Step })
		switch e.Event {
		case onevolume.StepStarted:
			reached = max(reached, i)
		case onevolume.UndoStarted:
			if a.kind == onevolume.Attach && e.Step == "plug" {
				wiped = 1 // a guest may have had it until then
			}
		case onevolume.UndoFinished:
			reached, wiped = i-1, 0
		}
	}
	if a.kind == onevolume.Detach || a.kind == onevolume.Fence || len(pt.plugged()[pt.v.ID]) > 0 {
		return a.goal(), 1 + len(a.steps()) + 1 + 1
	}
	undos := a.undos(reached)
	if undos > 0 {
		undos++
	}
	return a.prior(), 1 + undos + wiped + 1
}
