package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onevolume"
)

// model is the inventory as it should be: what random calls, allowed and not,
// do to a few volumes.
type model struct {
	w       *world
	base    onevolume.VolumeID // the first volume of this run
	volumes []*modelVolume
	running map[int]*modelOperation
	ended   []onevolume.OperationRef
}

type modelVolume struct {
	state onevolume.State
	vm    onevolume.VMID
	owner onevolume.Owner
	size  onevolume.Size
	op    int // the running operation, or 0
	// parked is the newest operation while it is PARKED.
	parked *modelOperation
}

type modelOperation struct {
	onevolume.Operation
	volume  *modelVolume
	entries int
	gone    bool                       // the guest has let go
	last    map[string]onevolume.Event // of each step
}

// Random sequences of calls do what the state table allows and nothing else,
// whatever the order.
func TestModel(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			m := &model{w: w, running: map[int]*modelOperation{}}
			// Each run has sizes of its own, so that it picks its own volumes.
			for i := range 3 {
				size := onevolume.Size(n+i+1) * onevolume.MiB
				id := w.allocate(t, volume(n+i, size))
				if i == 0 {
					m.base = id
				}
				m.volumes = append(m.volumes, &modelVolume{state: onevolume.Available, vm: onevolume.NoVM, owner: root.Owner, size: size})
			}
			n += 3
			t.Repeat(map[string]func(*rapid.T){
				"reserve by size": m.reserveSize,
				"reserve by id":   m.reserveID,
				"detach":          m.detach,
				"replug":          m.replug,
				"reopen":          m.reopen,
				"recover":         m.recover,
				"record":          m.record,
				"finish":          m.finish,
				"take over":       m.takeOver,
				"stale":           m.stale,
				"update":          m.update,
				"":                m.compare,
			})
			m.retire(t)
		})
	})
}

// retire takes the run's volumes out of the next runs' way.
func (m *model) retire(t *rapid.T) {
	for id, o := range m.running {
		m.end(t, id, o, onevolume.Parked, onevolume.Failed)
	}
	for i, v := range m.volumes {
		if v.state.Free() {
			m.must(t, m.w.Delete(t.Context(), m.base+onevolume.VolumeID(i), nil))
		}
	}
}

func (m *model) must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) opened(t *rapid.T, i int, op onevolume.Operation, next onevolume.State, r onevolume.Request) {
	v := m.volumes[i]
	if op.Prior != v.state || op.Generation != 1 || op.Volume != m.base+onevolume.VolumeID(i) {
		t.Fatalf("operation %+v on a volume that was %s", op, v.state)
	}
	v.state, v.vm, v.op, v.parked = next, r.VM.ID, op.ID, nil
	m.running[op.ID] = &modelOperation{Operation: op, volume: v}
}

// request draws who asks for which VM.
func (m *model) request(t *rapid.T, kind onevolume.Kind, p onevolume.Pick) onevolume.Request {
	r := attach(onevolume.VMID(rapid.IntRange(0, 2).Draw(t, "vm")), 0)
	r.Kind, r.Pick = kind, p
	r.Owner = fmt.Sprint("run ", rapid.Uint32().Draw(t, "owner"), len(m.running), len(m.ended))
	return r
}

func (m *model) reserveSize(t *rapid.T) {
	p := onevolume.Pick{Size: m.volumes[rapid.IntRange(0, 2).Draw(t, "size of")].size, Exact: rapid.Bool().Draw(t, "exact")}
	r := m.request(t, onevolume.Attach, p)
	want := -1
	for i, v := range m.volumes {
		fits := v.size == p.Size || !p.Exact && v.size > p.Size
		if v.state == onevolume.Available && fits && want < 0 {
			want = i
		}
	}
	op, _, err := m.w.Reserve(t.Context(), root, r)
	if want < 0 {
		wantCode(t, err, onevolume.NoneFits, "")
		return
	}
	m.must(t, err)
	m.opened(t, want, op, onevolume.Attaching, r)
	m.volumes[want].owner = r.VM.Owner
}

func (m *model) pick(t *rapid.T) (int, onevolume.Pick) {
	i := rapid.IntRange(0, 2).Draw(t, "volume")
	return i, onevolume.Pick{Volume: fmt.Sprint(m.base + onevolume.VolumeID(i))}
}

func (m *model) reserveID(t *rapid.T) {
	i, p := m.pick(t)
	r := m.request(t, onevolume.Attach, p)
	op, _, err := m.w.Reserve(t.Context(), root, r)
	if !m.volumes[i].state.Free() {
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	blank := m.volumes[i].state == onevolume.Available
	m.opened(t, i, op, onevolume.Attaching, r)
	if blank { // what is on a retained volume stays its owner's
		m.volumes[i].owner = r.VM.Owner
	}
}

func (m *model) detach(t *rapid.T) {
	i, p := m.pick(t)
	r := m.request(t, onevolume.Detach, p)
	op, _, err := m.w.Reserve(t.Context(), root, r)
	v := m.volumes[i]
	if v.op != 0 || v.vm != r.VM.ID || v.state != onevolume.Attached && v.state != onevolume.Failed {
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	m.opened(t, i, op, onevolume.Detaching, r)
}

func (m *model) replug(t *rapid.T) {
	i, p := m.pick(t)
	r := m.request(t, onevolume.Replug, p)
	op, _, err := m.w.Reserve(t.Context(), root, r)
	if v := m.volumes[i]; v.op != 0 || v.vm != r.VM.ID || v.state != onevolume.Attached {
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	m.opened(t, i, op, onevolume.Attaching, r)
}

// reopen resumes or aborts the newest operation of a volume, if it is parked.
func (m *model) reopen(t *rapid.T) {
	i, _ := m.pick(t)
	v := m.volumes[i]
	way := rapid.SampledFrom([]onevolume.Way{onevolume.Forward, onevolume.Back}).Draw(t, "way")
	newest := m.w.volume(t, m.base+onevolume.VolumeID(i)).Operation
	op, err := m.w.Reopen(t.Context(), newest, way, "again", time.Minute)
	o := v.parked
	switch {
	case newest == 0:
		wantCode(t, err, onevolume.NotFound, "")
		return
	case v.op != 0 && err == nil: // said again
		if now, rerr := m.w.Operation(t.Context(), v.op); rerr != nil || now != op || op.Owner != "again" || op.Way != way {
			t.Fatalf("a running operation was reopened as %+v", op)
		}
		return
	case v.op != 0:
		if c := onevolume.CodeOf(err); c != onevolume.Action && c != onevolume.Stale {
			t.Fatal(err)
		}
		return
	case o == nil, v.vm != o.VM.ID, v.state != onevolume.Failed:
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	if op.Generation != o.Generation+1 || op.Way != way || op.Status != onevolume.Running || !op.Ended.IsZero() || op.Prior != o.Prior {
		t.Fatalf("reopened as %+v, it was %+v", op, o.Operation)
	}
	v.state, v.op, v.parked = onevolume.Attaching, op.ID, nil
	if op.Kind == onevolume.Detach {
		v.state = onevolume.Detaching
		if o.gone {
			v.state = onevolume.Wiping
		}
	}
	m.ended = append(m.ended, o.Ref())
	o.Operation = op
	m.running[op.ID] = o
}

// recover says what a volume's state is, whatever it was.
func (m *model) recover(t *rapid.T) {
	i, _ := m.pick(t)
	v := m.volumes[i]
	r := onevolume.Recovery{State: modelStates.Draw(t, "state"), Reason: "why"}
	r.Attachment.VM = onevolume.VMID(rapid.IntRange(-1, 2).Draw(t, "vm"))
	err := m.w.Recover(t.Context(), m.base+onevolume.VolumeID(i), r)
	switch {
	case r.State.Moving(), r.State == onevolume.Attached && r.Attachment.VM < 0:
		wantCode(t, err, onevolume.Invalid, "")
		return
	case v.op != 0:
		wantCode(t, err, onevolume.Busy, "")
		return
	}
	m.must(t, err)
	was := v.state
	v.state = r.State
	switch {
	case r.State.Free():
		v.vm = onevolume.NoVM
	case r.State == onevolume.Attached:
		v.vm = r.Attachment.VM
	}
	if r.State == onevolume.Available && was != onevolume.Available {
		v.owner = root.Owner
	}
	if r.State != onevolume.Failed {
		v.parked = nil
	}
}

// some draws a running operation.
func (m *model) some(t *rapid.T) (int, *modelOperation) {
	if len(m.running) == 0 {
		t.Skip("nothing runs")
	}
	var ids []int
	for id := range m.running {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	id := rapid.SampledFrom(ids).Draw(t, "operation")
	return id, m.running[id]
}

var modelStates = rapid.SampledFrom(onevolume.States())

func (m *model) record(t *rapid.T) {
	id, o := m.some(t)
	next := modelStates.Draw(t, "next")
	m.w.clock.advance(time.Millisecond)
	e := []onevolume.Entry{entry(m.w, rapid.SampledFrom([]string{"unplug", "wipe"}).Draw(t, "step"),
		rapid.SampledFrom([]onevolume.Event{onevolume.StepStarted, onevolume.StepSucceeded, onevolume.UndoStarted, onevolume.UndoFinished}).Draw(t, "event"), "")}
	err := m.w.Record(t.Context(), o.Ref(), e, onevolume.Note{State: next})
	step, event := e[0].Step, e[0].Event
	if !event.MayFollow(o.last[step]) {
		wantCode(t, err, onevolume.Invalid, "")
		return
	}
	if next.Free() || next == onevolume.Failed || !o.volume.state.CanBecome(next) {
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	o.volume.state = next
	o.entries++
	if o.last == nil {
		o.last = map[string]onevolume.Event{}
	}
	o.last[step] = event
	if step == "unplug" && (event == onevolume.StepSucceeded || event == onevolume.UndoFinished) {
		o.gone = event == onevolume.StepSucceeded
	}
	if journal, err := m.w.Journal(t.Context(), id); err != nil || len(journal) != o.entries {
		t.Fatalf("%d entries, %v, want %d", len(journal), err, o.entries)
	}
}

func (m *model) finish(t *rapid.T) {
	id, o := m.some(t)
	status := rapid.SampledFrom([]onevolume.Status{onevolume.Done, onevolume.Undone, onevolume.Parked}).Draw(t, "status")
	m.end(t, id, o, status, modelStates.Draw(t, "state"))
}

func (m *model) end(t *rapid.T, id int, o *modelOperation, status onevolume.Status, state onevolume.State) {
	err := m.w.Finish(t.Context(), o.Ref(), onevolume.Ending{Status: status, State: state, Error: "why"})
	v := o.volume
	switch {
	case state.Moving(), status == onevolume.Parked && state != onevolume.Failed:
		wantCode(t, err, onevolume.Invalid, "")
		return
	case status == onevolume.Undone && state != o.Prior,
		status == onevolume.Done && (o.Kind == onevolume.Detach) != state.Free(),
		status == onevolume.Done && !state.Free() && state != onevolume.Attached:
		wantCode(t, err, onevolume.Invalid, "")
		return
	case !v.state.CanBecome(state):
		wantCode(t, err, onevolume.Action, "")
		return
	}
	m.must(t, err)
	v.state, v.op = state, 0
	if state.Free() {
		v.vm = onevolume.NoVM
	}
	if state == onevolume.Available {
		v.owner = root.Owner
	}
	if status == onevolume.Parked {
		v.parked = o
	}
	delete(m.running, id)
	m.ended = append(m.ended, o.Ref())
}

func (m *model) takeOver(t *rapid.T) {
	_, o := m.some(t)
	if now, err := m.w.Operation(t.Context(), o.ID); err != nil || now.Lease.After(m.w.clock.Now()) {
		_, err := m.w.TakeOver(t.Context(), o.Ref(), "another", time.Minute, time.Time{})
		wantCode(t, err, onevolume.Busy, "")
		m.w.clock.advance(2 * time.Minute)
	}
	op, err := m.w.TakeOver(t.Context(), o.Ref(), "another", time.Minute, time.Time{})
	m.must(t, err)
	m.ended = append(m.ended, o.Ref())
	o.Operation = op
}

// stale lets whoever lost an operation go on.
func (m *model) stale(t *rapid.T) {
	if len(m.ended) == 0 {
		t.Skip("nobody lost one")
	}
	ref := rapid.SampledFrom(m.ended).Draw(t, "ref")
	wantCode(t, m.w.Record(t.Context(), ref, nil, onevolume.Note{Host: "x"}), onevolume.Stale, "")
}

func (m *model) update(t *rapid.T) {
	i, _ := m.pick(t)
	next := modelStates.Draw(t, "next")
	v := m.volumes[i]
	err := m.w.Update(t.Context(), m.base+onevolume.VolumeID(i), func(to *onevolume.Volume) error { to.State = next; return nil })
	switch {
	case next == v.state:
		m.must(t, err)
	case !v.state.CanBecome(next), next.Moving():
		wantCode(t, err, onevolume.Action, "")
	case v.op != 0:
		wantCode(t, err, onevolume.Busy, "")
	case next.Free() && v.vm != onevolume.NoVM:
		wantCode(t, err, onevolume.Invalid, "")
	default:
		m.must(t, err)
		v.state = next
	}
}

// compare reads everything back, after every call.
func (m *model) compare(t *rapid.T) {
	for i, want := range m.volumes {
		got := m.w.volume(t, m.base+onevolume.VolumeID(i))
		if got.State != want.state || got.Attachment.VM != want.vm || got.Owner != want.owner || got.Home != root.Owner {
			t.Fatalf("volume %d is %s in VM %d of %s, want %+v", got.ID, got.State, got.Attachment.VM, got.Owner.User, want)
		}
		if got.State.Moving() && want.op == 0 {
			t.Fatalf("volume %d is %s without an operation", got.ID, got.State)
		}
	}
	for id, o := range m.running {
		if op, err := m.w.Operation(t.Context(), id); err != nil || op.Status != onevolume.Running || op.Generation != o.Generation {
			t.Fatalf("operation %+v, %v, want it to run in generation %d", op, err, o.Generation)
		}
	}
}
