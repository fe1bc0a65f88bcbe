package workflow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi"
	"onevolume/workflow"
)

// The tests of this file and its neighbours try every point of every
// operation, on hosts made of memory, and print a table of what became of
// each: one line that begins with "point | ". How many points there are
// follows from the steps themselves, so that a step which is added is tried
// too, or fails the test.

// act is an operation whose points are tried.
type act struct {
	name  string
	kind  onevolume.Kind
	leave onevolume.Leave
}

var acts = []act{
	{"attach", onevolume.Attach, ""},
	{"detach", onevolume.Detach, onevolume.LeaveZeroes},
	{"detach to ext4", onevolume.Detach, onevolume.LeaveExt4},
	{"detach to xfs", onevolume.Detach, onevolume.LeaveXFS},
	{"detach and keep", onevolume.Detach, onevolume.LeaveData},
}

func (a act) steps() []workflow.Step { return workflow.StepsOf(a.kind, a.leave) }

// undos is how many of the steps up to the given one have an Undo.
func (a act) undos(upTo int) int {
	n := 0
	for i, s := range a.steps() {
		if i <= upTo && s.Undo {
			n++
		}
	}
	return n
}

// noReturn is the step after which there is no way back; the number of steps
// when there is none.
func (a act) noReturn() int {
	steps := a.steps()
	if i := slices.IndexFunc(steps, func(s workflow.Step) bool { return s.NoReturn }); i >= 0 {
		return i
	}
	return len(steps)
}

// goal is the volume's state when the act has succeeded, prior the one before.
func (a act) goal() onevolume.State {
	switch {
	case a.kind != onevolume.Detach:
		return onevolume.Attached
	case a.leave == onevolume.LeaveData:
		return onevolume.Retained
	}
	return onevolume.Available
}

func (a act) prior() onevolume.State {
	if a.kind == onevolume.Attach {
		return onevolume.Available
	}
	return onevolume.Attached
}

// The two who may run an operation.
const (
	byClient = "client"
	byDaemon = "daemon"
)

// table is all points of an act run by one of the two.
type table struct {
	*testing.T
	*ground
	act   act
	by    string
	found int // points
	tried int
}

// eachTable runs a test for each act and for both who may run it, in a time
// of its own.
func eachTable(t *testing.T, test func(tb *table)) {
	for _, a := range acts {
		for _, by := range []string{byClient, byDaemon} {
			t.Run(a.name+" by "+by, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					g := newGround(t)
					g.clock.bubble = true
					tb := &table{T: t, ground: g, act: a, by: by}
					test(tb)
					tb.row("all", "", fmt.Sprintf("%d of %d points tried", tb.tried, tb.found))
				})
			})
		}
	}
}

func (tb *table) row(what, at, outcome string) {
	tb.Helper()
	tb.Logf("point | %s | %s | %s | %s | %s", tb.act.name, tb.by, what, at, outcome)
}

// counted asks that there were as many points as the steps say.
func (tb *table) counted(what string, got, want int) {
	tb.Helper()
	if got != want {
		tb.Errorf("%s: %d points were found, and by its steps %s has %d", what, got, tb.act.name, want)
	}
}

// point is one try: a cloud with a volume to which the act is done, and
// another one in the same VM that nothing of it may touch.
type point struct {
	*cloud
	tb       *table
	what, at string
	req      onevolume.Request
	v        onevolume.Volume // as it was before
	stander  onevolume.Volume
	first    *process // who runs it
	err      error    // what the caller was told
	reason   string   // is in the reason of an ERROR
	alive    *server  // who is there afterwards
	last     *process // the newest of these
	restarts int
}

// always is for points that are tried in every run.
const always = 0

// point says whether the point is to be tried now, one of so many, and
// prepares it.
func (tb *table) point(of int, what, at string) (*point, bool) {
	tb.found++
	if of != always && !tb.turn(of) {
		return nil, false
	}
	tb.tried++
	c := newCloud(tb.T, tb.ground)
	pt := &point{cloud: c, tb: tb, what: what, at: at, reason: "the test:"}
	vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), c.volume(1, 1)
	stander := c.volume(2, 1)
	c.still[stander.ID] = true
	c.plant(vm, stander, 0)
	pt.req = attachRequest(vm, v)
	if tb.act.kind == onevolume.Detach {
		c.plant(vm, v, 1)
		pt.req = detachRequest(vm, v, tb.act.leave)
	}
	pt.v, pt.stander = c.read(v.ID), c.read(stander.ID)
	return pt, true
}

// plant has a VM have a volume, as an attach would leave it, and the guest's
// data on it. The number tells the VM's disks apart.
func (c *cloud) plant(vm onevolume.VM, v onevolume.Volume, number int) {
	c.Helper()
	m := c.machine(vm.Host)
	m.iscsi.Login(v.Target)
	d := hypervisortest.Disk{Address: fmt.Sprintf("0:0:%d:0", 255-number)}
	d.Source, d.Bus, d.Serial = iscsi.New(iscsi.Options{}).Path(v.Target), "scsi", onevolume.Serial(v.ID)
	d.Target = "sdi" + string(rune('v'-number))
	m.virt.Edit(vm.DeployID, func(dom *hypervisortest.Domain) { dom.Disks = append(dom.Disks, d) })
	r := attachRequest(vm, v)
	r.Owner, r.Lease = "plant", limit.Lease
	op, _, err := c.db.Reserve(c.Context(), root, r)
	if err != nil {
		c.Fatal(err)
	}
	err = c.db.Finish(c.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{
		Host: vm.Host, Device: d.Target, Source: d.Source, Serial: d.Serial, Identity: c.units[v.ID].Identity}})
	if err != nil {
		c.Fatal(err)
	}
	c.write(v)
}

// run has the act begun by who shall run it, as prepare made them.
func (pt *point) run(prepare func(*process, *workflow.Engine)) {
	if pt.tb.by == byClient {
		pt.first = pt.process("client")
		prepare(pt.first, pt.first.engine)
		_, pt.err = pt.first.run(pt.Context(), pt.req)
		return
	}
	s := pt.serve(prepare)
	pt.first = s.process
	ctx, vm := pt.Context(), pt.req.VM.ID
	switch pt.req.Kind {
	case onevolume.Attach:
		_, pt.err = s.Attach(ctx, root, "session", vm, pt.req.Pick)
	default:
		_, pt.err = s.Detach(ctx, root, "session", vm, pt.v.ID, pt.req.Leave)
	}
	synctest.Wait()
	pt.bury()
}

// serve starts a server.
func (pt *point) serve(prepare func(*process, *workflow.Engine)) *server {
	pt.restarts++
	s := pt.server(fmt.Sprintf("pid %d", pt.restarts))
	if prepare != nil {
		prepare(s.process, &s.Engine)
	}
	s.Start()
	pt.alive, pt.last = s, s.process
	return s
}

// bury forgets a server that died.
func (pt *point) bury() {
	if pt.alive != nil && pt.alive.gone() {
		pt.alive.halt()
		pt.alive = nil
	}
}

// await lets time pass until no operation runs, or the server has died.
func (pt *point) await() {
	pt.Helper()
	for range 12 {
		synctest.Wait()
		if pt.bury(); pt.alive == nil || len(pt.running()) == 0 {
			return
		}
		time.Sleep(limit.Lease / 2)
	}
	pt.Fatalf("%s at %s: operations still run: %+v", pt.what, pt.at, pt.running())
}

// running lists what runs.
func (c *cloud) running() []onevolume.Operation {
	c.Helper()
	list, err := c.db.Expired(c.Context(), c.clock.Now().AddDate(1, 0, 0))
	if err != nil {
		c.Fatal(err)
	}
	return list
}

// settle has the server that lives, or a new one, end what is left.
func (pt *point) settle() {
	pt.Helper()
	if pt.first.gone() {
		pt.first.hangUp()
	}
	if pt.alive == nil && len(pt.running()) > 0 {
		pt.serve(nil)
	}
	if pt.alive != nil {
		pt.await()
	}
	if pt.alive != nil {
		pt.alive.halt()
		pt.alive = nil
	}
}

// judge asks that the point has one of the three outcomes, and that it is the
// one that is wanted, and prints it.
func (pt *point) judge(want onevolume.State) {
	pt.Helper()
	pt.invariants(pt.what+" at "+pt.at, true, true)
	got := pt.read(pt.v.ID)
	pt.untouched()
	outcome := string(got.State)
	switch got.State {
	case onevolume.Attached:
		pt.inGuest(got)
		outcome = "in the guest, ATTACHED"
	case onevolume.Available, onevolume.Retained:
		pt.nowhere(got)
		outcome = "nothing left, " + outcome
	case onevolume.Failed:
		if !strings.Contains(got.Reason, pt.reason) || pt.operation(got.ID).Status != onevolume.Parked {
			pt.Errorf("%s at %s: in ERROR with the reason %q", pt.what, pt.at, got.Reason)
		}
		outcome = "parked, ERROR with its reason"
	}
	pt.tb.row(pt.what, pt.at, outcome)
	if got.State != want {
		pt.Errorf("%s at %s: the volume is %s (%s), want %s; the caller was told %v", pt.what, pt.at, got.State, got.Reason, want, pt.err)
	}
}

// untouched asks that the VM's other volume is as it was.
func (pt *point) untouched() {
	pt.Helper()
	got := pt.read(pt.stander.ID)
	if got.Version != pt.stander.Version || got.Attachment != pt.stander.Attachment || pt.units[got.ID].Content != "the guest's data" {
		pt.Errorf("%s at %s: the VM's other volume was touched: %+v with %q", pt.what, pt.at, got, pt.units[got.ID].Content)
	}
}

// inGuest asks that the volume is in its VM, wholly, and has what the guest
// wrote, unless it came new.
func (pt *point) inGuest(v onevolume.Volume) {
	pt.Helper()
	m, content := pt.hosts[0], ""
	if pt.tb.act.kind != onevolume.Attach {
		content = "the guest's data"
	}
	if m.iscsi.UnitAt(v.Attachment.Source) != pt.units[v.ID] || pt.units[v.ID].Content != content {
		pt.Errorf("%s at %s: the guest finds %q on the volume, want %q", pt.what, pt.at, pt.units[v.ID].Content, content)
	}
	if left := pt.left(v); len(left) != 3 {
		pt.Errorf("%s at %s: the host has %q, want a session, a disk and a record", pt.what, pt.at, left)
	}
}

// nowhere asks that no host has anything of the volume, that no domain has
// it, and that it holds what the operation was to leave on it.
func (pt *point) nowhere(v onevolume.Volume) {
	pt.Helper()
	if left := pt.left(v); len(left) > 0 {
		pt.Errorf("%s at %s: %s, and left are %q", pt.what, pt.at, v.State, left)
	}
	want := string(pt.tb.act.leave)
	if pt.tb.act.leave == onevolume.LeaveData {
		want = "the guest's data"
	}
	if got := pt.units[v.ID].Content; got != want {
		pt.Errorf("%s at %s: the volume holds %q, want %q", pt.what, pt.at, got, want)
	}
}

// left is what hosts have of the volume's target: sessions, disks, records,
// links and the domains' disks.
func (pt *point) left(v onevolume.Volume) []string {
	var list []string
	for _, m := range pt.hosts {
		for _, l := range m.iscsi.Left() {
			if strings.Contains(l, string(v.Target.IQN)) {
				list = append(list, m.name+": "+l)
			}
		}
		if v.State.Free() && pt.v.Attachment.Source != "" && m.iscsi.UnitAt(pt.v.Attachment.Source) != nil {
			list = append(list, m.name+": link "+pt.v.Attachment.Source)
		}
	}
	if v.State.Free() {
		for _, p := range pt.plugged()[v.ID] {
			list = append(list, p.domain+": disk "+p.target)
		}
	}
	return list
}

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
	case i < a.noReturn() || i == a.noReturn() && !f.after:
		return a.prior()
	case i == a.noReturn() || f.err == errTransient:
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

// afterUndoFailure is the state that the volume must have after a step failed
// and an Undo as well.
func (a act) afterUndoFailure(do, f *fault) onevolume.State {
	switch {
	case a.kind == onevolume.Detach && do.after && f.after:
		return a.goal() // the Undo saw for itself that the guest has let go
	case f.err == errPermanent:
		return onevolume.Failed
	case a.kind == onevolume.Detach:
		return a.goal() // whoever takes a detach over carries it on
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
				want++
				do := &fault{step: tb.act.steps()[i].Name, err: errPermanent, after: after}
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
