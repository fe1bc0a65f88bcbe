package provision_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/provision"
	"onevolume/store"
)

var (
	root = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
	caps = array.Capabilities{Extend: array.ExtendOnline, Snapshots: true, Clones: true, CloneNeeds: array.NeedsOrigin,
		Granule: onevolume.MiB, MinSize: onevolume.MiB, MaxLabel: 8, PageSize: 10, Zeroed: true}
)

const (
	lease = 30 * time.Second
	total = 64 * onevolume.MiB
)

// world is an array made of memory and a real inventory. Processes work on
// both, and die.
type world struct {
	*testing.T
	db    *store.Store
	array *arraytest.Memory
	now   time.Time
	asked int
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, array: arraytest.NewMemory(caps, total), now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	var err error
	w.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef"), Clock: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	return w
}

var errDied = errors.New("the process is dead")

// process is a daemon that dies around one of its writes to the inventory.
type process struct {
	*store.Store
	writes int
	at     int  // the write; 0 for none
	after  bool // it was still done
	dead   bool
}

func (p *process) write(do func() error) error {
	if p.dead {
		return errDied
	}
	p.writes++
	if p.writes != p.at {
		return do()
	}
	p.dead = true
	if p.after {
		_ = do() // nobody hears of it
	}
	return errDied
}

func (p *process) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	return p.write(func() error { return p.Store.Record(ctx, op, entries, note) })
}

func (p *process) FinishTask(ctx context.Context, op onevolume.OperationRef, status onevolume.Status, made onevolume.Made, reason string) error {
	return p.write(func() error { return p.Store.FinishTask(ctx, op, status, made, reason) })
}

func (w *world) engine(p *process) *provision.Engine {
	p.Store = w.db
	return &provision.Engine{Ledger: p, Arrays: map[string]array.Array{"a1": w.array}, Lease: lease, Now: func() time.Time { return w.now }}
}

// begin opens an operation, as the daemon does.
func (w *world) begin(r onevolume.TaskRequest) (onevolume.Operation, error) {
	w.asked++
	r.Owner, r.Lease = fmt.Sprint("daemon request ", w.asked), lease
	if r.Kind == onevolume.SnapshotCreate {
		r.Task.SnapshotUUID = string(array.NewID())
	}
	op, _, err := w.db.BeginTask(w.Context(), root, r)
	return op, err
}

func create(name string, size onevolume.Size, from onevolume.SnapshotID, clone string) onevolume.TaskRequest {
	id := array.NewID()
	v := onevolume.Volume{Name: name, Array: "a1", ArrayID: string(id), Size: size, Owner: root.Owner, Permissions: 0o600,
		Target: arraytest.NewMemory(caps, total).Target(id)}
	return onevolume.TaskRequest{Kind: onevolume.Create, New: &v, From: from,
		Task: onevolume.Task{Array: "a1", ArrayID: string(id), Size: size, Label: "a label that is long", FromVolume: clone}}
}

func request(kind onevolume.Kind, id onevolume.VolumeID, task onevolume.Task) onevolume.TaskRequest {
	return onevolume.TaskRequest{Kind: kind, Volume: id, From: -1, Task: task}
}

// do has something done to its end, by a process that lives.
func (w *world) do(r onevolume.TaskRequest) (onevolume.Operation, error) {
	w.Helper()
	op, err := w.begin(r)
	if err == nil {
		err = w.engine(&process{}).Run(w.Context(), op)
	}
	return op, err
}

func (w *world) must(r onevolume.TaskRequest) onevolume.Operation {
	w.Helper()
	op, err := w.do(r)
	if err != nil {
		w.Fatalf("%s: %v", r.Kind, err)
	}
	return op
}

// next takes over what the dead left, and ends it.
func (w *world) next(p *process) error {
	w.Helper()
	running, err := w.db.Running(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	for _, op := range running {
		w.now = w.now.Add(2 * lease)
		mine, err := w.db.TakeOver(w.Context(), op.Ref(), fmt.Sprint("daemon after generation ", op.Generation), lease, time.Time{})
		if err != nil {
			w.Fatal(err)
		}
		journal, err := w.db.Journal(w.Context(), op.ID)
		if err != nil {
			w.Fatal(err)
		}
		if err := w.engine(p).Resume(w.Context(), mine, journal); err != nil {
			return err
		}
	}
	return nil
}

// same asks that the array has what the inventory says, and nothing else.
func (w *world) same(at string) {
	w.Helper()
	ctx := w.Context()
	known := map[array.ID]onevolume.Size{}
	list, err := w.db.Volumes(ctx, onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range list {
		if !v.State.Free() {
			w.Errorf("%s: volume %d is %s: %s", at, v.ID, v.State, v.Reason)
		}
		known[array.ID(v.ArrayID)] = v.Size
		shots, err := w.db.Snapshots(ctx, v.ID)
		if err != nil {
			w.Fatal(err)
		}
		for _, s := range shots {
			known[array.ID(s.UUID)] = s.Size
		}
	}
	there := map[array.ID]onevolume.Size{}
	volumes, err := w.array.List(ctx, "")
	if err != nil {
		w.Fatal(err)
	}
	for _, v := range volumes.Volumes {
		there[v.ID] = v.Size
	}
	shots, err := w.array.ListSnapshots(ctx, "")
	if err != nil {
		w.Fatal(err)
	}
	for _, s := range shots.Snapshots {
		there[s.ID] = s.Size
	}
	if fmt.Sprint(known) != fmt.Sprint(there) {
		w.Errorf("%s: the inventory has %v, the array %v", at, known, there)
	}
}

// act is one kind of operation, on a volume with a snapshot.
type act struct {
	name    string
	request func(v onevolume.Volume, shot onevolume.Snapshot) onevolume.TaskRequest
	done    func(w *world, v onevolume.Volume) bool // whether it is so
}

func (w *world) volumes() int {
	counts, err := w.db.CountOnArrays(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return counts["a1"]
}

func (w *world) shots(id onevolume.VolumeID) int {
	list, err := w.db.Snapshots(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return len(list)
}

var acts = []act{
	{"create", func(onevolume.Volume, onevolume.Snapshot) onevolume.TaskRequest {
		return create("new", 3*onevolume.MiB-1, -1, "")
	}, func(w *world, _ onevolume.Volume) bool { return w.volumes() == 3 }},
	{"create from a snapshot", func(_ onevolume.Volume, s onevolume.Snapshot) onevolume.TaskRequest {
		return create("new", 3*onevolume.MiB, s.ID, "")
	}, func(w *world, _ onevolume.Volume) bool { return w.volumes() == 3 }},
	{"clone", func(v onevolume.Volume, _ onevolume.Snapshot) onevolume.TaskRequest {
		return create("new", v.Size, -1, v.ArrayID)
	}, func(w *world, _ onevolume.Volume) bool { return w.volumes() == 3 }},
	{"delete", func(v onevolume.Volume, _ onevolume.Snapshot) onevolume.TaskRequest {
		return request(onevolume.Delete, v.ID+1, onevolume.Task{})
	}, func(w *world, _ onevolume.Volume) bool { return w.volumes() == 1 }},
	{"resize", func(v onevolume.Volume, _ onevolume.Snapshot) onevolume.TaskRequest {
		return request(onevolume.Resize, v.ID, onevolume.Task{Size: 5*onevolume.MiB - 1})
	}, func(w *world, v onevolume.Volume) bool { return v.Size == 5*onevolume.MiB }},
	{"snapshot", func(v onevolume.Volume, _ onevolume.Snapshot) onevolume.TaskRequest {
		return request(onevolume.SnapshotCreate, v.ID, onevolume.Task{SnapshotName: "second"})
	}, func(w *world, v onevolume.Volume) bool { return w.shots(v.ID) == 2 }},
	{"delete a snapshot", func(v onevolume.Volume, s onevolume.Snapshot) onevolume.TaskRequest {
		return request(onevolume.SnapshotDelete, v.ID, onevolume.Task{Snapshot: s.ID})
	}, func(w *world, v onevolume.Volume) bool { return w.shots(v.ID) == 0 }},
	{"revert", func(v onevolume.Volume, s onevolume.Snapshot) onevolume.TaskRequest {
		return request(onevolume.SnapshotRevert, v.ID, onevolume.Task{Snapshot: s.ID})
	}, func(w *world, v onevolume.Volume) bool {
		return v.State == onevolume.Retained && string(w.array.Read(array.ID(v.ArrayID), 6)) == "before"
	}},
}

// ground makes a volume with a snapshot and data, and another volume.
func ground(t *testing.T) (*world, onevolume.Volume, onevolume.Snapshot) {
	w := newWorld(t)
	op := w.must(create("old", 2*onevolume.MiB, -1, ""))
	w.must(create("other", 2*onevolume.MiB, -1, ""))
	v := w.volume(op.Volume)
	w.array.Write(array.ID(v.ArrayID), []byte("before"))
	op = w.must(request(onevolume.SnapshotCreate, v.ID, onevolume.Task{SnapshotName: "first"}))
	w.array.Write(array.ID(v.ArrayID), []byte("after!"))
	shot, err := w.db.Snapshot(t.Context(), op.Task.Snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return w, w.volume(v.ID), shot
}

func (w *world) volume(id onevolume.VolumeID) onevolume.Volume {
	w.Helper()
	v, err := w.db.Volume(w.Context(), id)
	if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
		w.Fatal(err)
	}
	return v
}

// TestPoints has each operation die before and after each write to the
// inventory, and whoever takes it over die at each of its own, until a third
// ends it; and has each request to the array lost, whether it took effect or
// not. In the end the inventory and the array agree, and it was done, since
// nothing spoke against it. How many points there are follows from the runs.
func TestPoints(t *testing.T) {
	for _, a := range acts {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			first := a.count(t)
			if first < 3 { // the start of a step, its end, and the operation's
				t.Fatalf("only %d writes", first)
			}
			for n := 1; n <= first; n++ {
				for _, after := range []bool{false, true} {
					second := a.crash(t, &process{at: n, after: after}, &process{})
					for m := 1; m <= second; m++ {
						a.crash(t, &process{at: n, after: after}, &process{at: m, after: m%2 == 0})
					}
				}
			}
			for n := 1; a.lose(t, n, false) && a.lose(t, n, true); n++ {
				if n > 20 {
					t.Fatal("there is no end of requests")
				}
			}
		})
	}
}

func (a act) count(t *testing.T) int {
	w, v, s := ground(t)
	p := &process{}
	op, err := w.begin(a.request(v, s))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.engine(p).Run(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	a.judge(w, v, "no crash")
	return p.writes
}

func (a act) judge(w *world, v onevolume.Volume, at string) {
	w.Helper()
	w.same(a.name + ", " + at)
	if !a.done(w, w.volume(v.ID)) {
		w.Errorf("%s, %s: it was not done", a.name, at)
	}
}

// crash gives how many writes the second made.
func (a act) crash(t *testing.T, first, second *process) int {
	t.Helper()
	w, v, s := ground(t)
	op, err := w.begin(a.request(v, s))
	if err != nil {
		t.Fatal(err)
	}
	_ = w.engine(first).Run(t.Context(), op)
	if !first.dead {
		t.Fatalf("nobody died at write %d", first.at)
	}
	_ = w.next(second)
	if second.at > 0 && !second.dead {
		t.Errorf("nobody died at write %d of the second", second.at)
	}
	if err := w.next(&process{}); err != nil {
		t.Errorf("%s: the third: %v", a.name, err)
	}
	a.judge(w, v, fmt.Sprintf("crash at %d (%t) and %d (%t)", first.at, first.after, second.at, second.after))
	return second.writes
}

// lose says whether there was such a request.
func (a act) lose(t *testing.T, n int, took bool) bool {
	t.Helper()
	w, v, s := ground(t)
	op, err := w.begin(a.request(v, s))
	if err != nil {
		t.Fatal(err)
	}
	came := w.array.Lose(n, took)
	err = w.engine(&process{}).Run(t.Context(), op)
	if !came() {
		if err != nil {
			t.Errorf("%s: nothing was lost, and %v", a.name, err)
		}
		return false
	}
	at := fmt.Sprintf("request %d lost (%t)", n, took)
	if onevolume.CodeOf(err) == onevolume.Unknown {
		// Not finished: whoever takes it over does.
		if err := w.next(&process{}); err != nil {
			t.Errorf("%s, %s: %v", a.name, at, err)
		}
		w.same(a.name + ", " + at)
		return true
	}
	w.same(a.name + ", " + at)
	if running, _ := w.db.Running(t.Context()); len(running) > 0 {
		t.Errorf("%s, %s: it runs for ever", a.name, at)
	}
	return true
}

// TestRefusals: what the array says no to leaves all as it was, and says by
// what.
func TestRefusals(t *testing.T) {
	refused := func(w *world, r onevolume.TaskRequest, code onevolume.Code, words string) {
		t.Helper()
		before := w.array.State()
		_, err := w.do(r)
		if onevolume.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v with code %s, want %s and %q", r.Kind, err, onevolume.CodeOf(err), code, words)
		}
		if now := w.array.State(); now != before {
			t.Errorf("%s left\n%sof\n%s", r.Kind, now, before)
		}
		w.same(string(r.Kind))
	}
	w, v, shot := ground(t)
	refused(w, create("huge", 2*total, -1, ""), onevolume.NoneFits, "do not fit")
	refused(w, request(onevolume.Resize, v.ID, onevolume.Task{Size: 2 * total}), onevolume.NoneFits, "do not fit")
	refused(w, request(onevolume.Resize, v.ID, onevolume.Task{Size: onevolume.MiB}), onevolume.Invalid, "it grows")
	refused(w, request(onevolume.Delete, v.ID, onevolume.Task{}), onevolume.Action, "has snapshots: 0 (first)")

	other := w.volume(v.ID + 1)
	clone := w.must(create("copy", other.Size, -1, other.ArrayID))
	refused(w, request(onevolume.Delete, other.ID, onevolume.Task{}), onevolume.Held, fmt.Sprintf("depend on it: %d", clone.Volume))
	copied := w.must(create("from", shot.Size, shot.ID, ""))
	refused(w, request(onevolume.SnapshotDelete, v.ID, onevolume.Task{Snapshot: shot.ID}), onevolume.Held, fmt.Sprintf("depend on it: %d", copied.Volume))

	squatted := create("squatted", onevolume.MiB, -1, "")
	still, remove := w.array.Squat(array.ID(squatted.Task.ArrayID))
	if _, err := w.do(squatted); onevolume.CodeOf(err) != onevolume.Allocate || !still() {
		t.Errorf("what is somebody else's: %v, there: %t", err, still())
	}
	remove()
	w.same("squatted")

	e, err := w.array.Export(t.Context(), array.ID(w.volume(clone.Volume).ArrayID),
		array.Grant{Initiator: "iqn.2026-11.org.example:host01", CHAP: array.NewCHAP(array.ID(w.volume(clone.Volume).ArrayID))})
	if err != nil {
		t.Fatal(err)
	}
	logout, err := w.array.Login(e)
	if err != nil {
		t.Fatal(err)
	}
	refused(w, request(onevolume.Delete, clone.Volume, onevolume.Task{}), onevolume.Held, "host01")
	logout()
	w.must(request(onevolume.Delete, clone.Volume, onevolume.Task{}))
	w.same("a left export")
}

// TestTrouble: an array that does not answer is asked again later, one that
// does not let us in is not.
func TestTrouble(t *testing.T) {
	w, v, _ := ground(t)
	w.array.Down(array.Errorf(array.Transient, "the array is away"))
	if _, err := w.do(create("late", onevolume.MiB, -1, "")); onevolume.CodeOf(err) != onevolume.Unknown {
		t.Fatal(err)
	}
	if err := w.next(&process{}); onevolume.CodeOf(err) != onevolume.Unknown {
		t.Fatal(err)
	}
	w.array.Down(nil)
	if err := w.next(&process{}); err == nil || !strings.Contains(err.Error(), "the array is away") {
		t.Fatalf("taken back: %v", err)
	}
	w.same("away for a while")
	if n := w.volumes(); n != 2 {
		t.Errorf("%d volumes", n)
	}

	w.array.Down(array.Errorf(array.Auth, "wrong password"))
	op, err := w.do(request(onevolume.Resize, v.ID, onevolume.Task{Size: 4 * onevolume.MiB}))
	if onevolume.CodeOf(err) != onevolume.Refused || !strings.Contains(err.Error(), "wrong password") {
		t.Fatal(err)
	}
	if got := w.volume(v.ID); got.State != onevolume.Failed || !strings.Contains(got.Reason, "wrong password") {
		t.Errorf("%s: %s", got.State, got.Reason)
	}
	w.array.Down(nil)
	mine, err := w.db.Reopen(t.Context(), op.ID, onevolume.Forward, "daemon", lease)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := w.db.Journal(t.Context(), op.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.engine(&process{}).Resume(t.Context(), mine, journal); err != nil {
		t.Fatal(err)
	}
	w.same("let in again")
	if got := w.volume(v.ID); got.Size != 4*onevolume.MiB {
		t.Errorf("it has %s", got.Size.Exact())
	}
}
