package workflow_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
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
	made  bool // on an array
}

var acts = []act{
	{"attach", onevolume.Attach, "", false},
	{"detach", onevolume.Detach, onevolume.LeaveZeroes, false},
	{"detach to ext4", onevolume.Detach, onevolume.LeaveExt4, false},
	{"detach to xfs", onevolume.Detach, onevolume.LeaveXFS, false},
	{"detach and keep", onevolume.Detach, onevolume.LeaveData, false},
	{"replug", onevolume.Replug, "", false},
	{"release", onevolume.Release, "", false},
	{"migrate", onevolume.Migrate, "", false},
	{"grow", onevolume.Grow, "", false},
	{"attach on an array", onevolume.Attach, "", true},
	{"detach on an array", onevolume.Detach, onevolume.LeaveZeroes, true},
	{"replug on an array", onevolume.Replug, "", true},
	{"release on an array", onevolume.Release, "", true},
	{"migrate on an array", onevolume.Migrate, "", true},
	{"fence on an array", onevolume.Fence, "", true},
	{"grow on an array", onevolume.Grow, "", true},
}

// noDisk is the state, for the tables alone, of an ATTACHED volume whose guest
// has lost it: what a replug finds, and leaves when it fails.
const noDisk onevolume.State = "ATTACHED, and not in the guest"

// noHost is the state, for the tables alone, of an ATTACHED volume that is on
// no host: what a release leaves.
const noHost onevolume.State = "ATTACHED, on no host"

// moved is the state, for the tables alone, of an ATTACHED volume that has gone
// with its VM to the other host.
const moved onevolume.State = "ATTACHED, on the other host"

// grown is the state, for the tables alone, of an ATTACHED volume whose guest
// sees that it has grown.
const grown onevolume.State = "ATTACHED, and larger"

// grownTo is how large volumes grow here; they begin with 64 MiB.
const grownTo = 96 * onevolume.MiB

func (a act) steps() []workflow.Step { return workflow.StepsOf(a.kind, a.leave, a.made) }

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
	case a.kind == onevolume.Release || a.kind == onevolume.Fence:
		return noHost
	case a.kind == onevolume.Migrate:
		return moved
	case a.kind == onevolume.Grow:
		return grown
	case a.kind != onevolume.Detach:
		return onevolume.Attached
	case a.leave == onevolume.LeaveData:
		return onevolume.Retained
	}
	return onevolume.Available
}

func (a act) prior() onevolume.State {
	switch a.kind {
	case onevolume.Attach:
		return onevolume.Available
	case onevolume.Replug, onevolume.Release:
		return noDisk
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
// of its own. Under the race detector, which makes them ten times as slow,
// only the first is run, and not told: the table is of the other run.
func eachTable(t *testing.T, test func(tb *table)) {
	for i, a := range acts {
		for j, by := range []string{byClient, byDaemon} {
			if raceDetector && i+j > 0 {
				continue
			}
			if (a.kind == onevolume.Replug || a.kind == onevolume.Release || a.kind == onevolume.Fence || a.kind == onevolume.Migrate || a.kind == onevolume.Grow) && by == byDaemon {
				continue // no call asks for one: whoever does runs it as a client
			}
			if a.made && (a.kind == onevolume.Attach) != (by == byClient) && a.kind != onevolume.Replug && a.kind != onevolume.Release && a.kind != onevolume.Fence && a.kind != onevolume.Migrate && a.kind != onevolume.Grow {
				continue // the steps are the same: one of the two is enough
			}
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
	if raceDetector {
		return
	}
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
	c.forgetFences()
	vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), onevolume.Volume{}
	if tb.act.made {
		v = c.made()
	} else {
		v = c.volume(1, 1)
	}
	stander := c.volume(2, 1)
	c.still[stander.ID] = true
	if tb.act.kind == onevolume.Migrate {
		c.plant(c.vm(c.hosts[0], hypervisortest.Domain{}), stander, 0) // what moves with the VM is not still
	} else {
		c.plant(vm, stander, 0)
	}
	switch tb.act.kind {
	case onevolume.Attach:
		pt.req = attachRequest(vm, v)
	case onevolume.Detach:
		c.plant(vm, v, 1)
		pt.req = detachRequest(vm, v, tb.act.leave)
	case onevolume.Migrate:
		c.plant(vm, v, 1)
		pt.req = migrateRequest(vm, v, c.hosts[1].name)
		c.wait = func(onevolume.Operation) (bool, error) {
			c.migrates(vm)
			return true, nil
		}
	case onevolume.Fence:
		c.plant(vm, v, 1)
		c.lost[v.ID] = true
		c.net.Down(c.hosts[0].name, command.KindTimeout)
		pt.req = replugRequest(vm, v)
		pt.req.Kind = onevolume.Fence
	case onevolume.Grow:
		c.plant(vm, v, 1)
		if !tb.act.made {
			c.array.Change(v.Target.IQN, func(*iscsitest.Target) { c.units[v.ID].Size = grownTo })
		}
		pt.req = growRequest(vm, v)
	case onevolume.Replug, onevolume.Release:
		c.plant(vm, v, 1)
		c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = d.Disks[:1] })
		c.lost[v.ID] = true
		pt.req = replugRequest(vm, v)
		pt.req.Kind = tb.act.kind
	}
	pt.v, pt.stander = c.read(v.ID), c.read(stander.ID)
	return pt, true
}

// forgetFences takes away what is on record of hosts of other clouds on the
// same ground: hosts of the same names are new ones here.
func (c *cloud) forgetFences() {
	c.Helper()
	list, err := c.db.Fences(c.Context())
	for _, f := range list {
		err = errors.Join(err, c.db.Clean(c.Context(), f))
	}
	if err != nil {
		c.Fatal(err)
	}
}

// plant has a VM have a volume, as an attach would leave it, and the guest's
// data on it. The number tells the VM's disks apart.
func (c *cloud) plant(vm onevolume.VM, v onevolume.Volume, number int) {
	c.Helper()
	m := c.machine(vm.Host)
	d := hypervisortest.Disk{Address: fmt.Sprintf("0:0:%d:0", 255-number)}
	d.Capacity = v.Size
	d.Source, d.Bus, d.Serial = iscsi.New(iscsi.Options{}).Path(v.Target), "scsi", onevolume.Serial(v.ID)
	d.Target = "sdi" + string(rune('v'-number))
	r := attachRequest(vm, v)
	r.Owner, r.Lease = "plant", limit.Lease
	op, _, err := c.db.Reserve(c.Context(), root, r)
	if err != nil {
		c.Fatal(err)
	}
	if v.ArrayID != "" {
		a, err := c.access.Grant(c.Context(), op.Ref(), m.iscsi.Initiator())
		if err != nil {
			c.Fatal(err)
		}
		v.Target.CHAP = a.CHAP
	}
	m.iscsi.Login(v.Target)
	m.virt.Edit(vm.DeployID, func(dom *hypervisortest.Domain) { dom.Disks = append(dom.Disks, d) })
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
		_, pt.err = s.Detach(ctx, root, "session", vm, pt.v.ID, pt.req.Leave, false)
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
