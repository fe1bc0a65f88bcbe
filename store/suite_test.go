package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// world is a store of one backend with its clock.
type world struct {
	*store.Store
	clock   *clock
	options store.Options
}

// again opens a second store on the same database.
func (w *world) again(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), w.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

// sqliteOptions name a new file.
func sqliteOptions(t testing.TB) store.Options {
	return store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one volume?.db"), Key: testKey}
}

func open(t testing.TB, o store.Options) *world {
	t.Helper()
	w := &world{clock: newClock(), options: o}
	w.options.Clock = w.clock.Now
	w.Store = w.again(t)
	return w
}

// backends runs a test on an empty inventory of each kind.
func backends(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, sqliteOptions(t))) })
	t.Run("mariadb", func(t *testing.T) { test(t, open(t, mariadbOptions(t))) })
}

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{UID: 0, GID: 0, User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 2, GID: 100, User: "alice", Group: "staff"}, Groups: []int{100, 101}}
	bob   = onevolume.Caller{Owner: onevolume.Owner{UID: 3, GID: 102, User: "bob", Group: "guests"}, Groups: []int{102}}
)

// volume is a valid one, number n of its target.
func volume(n int, size onevolume.Size) onevolume.Volume {
	return onevolume.Volume{
		Name: fmt.Sprintf("disk%d.x", n),
		Target: onevolume.Target{
			IQN: "iqn.2026-11.org.example:store", LUN: onevolume.LUN(n),
			Portals: []onevolume.Portal{{AddrPort: netip.MustParseAddrPort("10.0.0.1:3260")}, {AddrPort: netip.MustParseAddrPort("[fd00::1]:3261")}},
		},
		Size: size, Owner: root.Owner, Permissions: 0o644,
	}
}

func (w *world) allocate(t tester, v onevolume.Volume) onevolume.VolumeID {
	t.Helper()
	id, err := w.Allocate(t.Context(), v)
	if err != nil {
		t.Fatalf("Allocate(%q): %v", v.Name, err)
	}
	return id
}

// fill allocates volumes of these sizes, numbered from 0.
func (w *world) fill(t tester, sizes ...onevolume.Size) {
	t.Helper()
	for i, size := range sizes {
		w.allocate(t, volume(i, size))
	}
}

func (w *world) volume(t tester, id onevolume.VolumeID) onevolume.Volume {
	t.Helper()
	v, err := w.Volume(t.Context(), id)
	if err != nil {
		t.Fatalf("Volume(%d): %v", id, err)
	}
	return v
}

// attach is a request by size; detach one by name or id.
func attach(vm onevolume.VMID, size onevolume.Size) onevolume.Request {
	return onevolume.Request{
		Kind: onevolume.Attach, Pick: onevolume.Pick{Size: size}, Owner: fmt.Sprintf("test@host/%d", vm), Lease: time.Minute,
		VM: onevolume.VM{ID: vm, Name: "web", Host: "node1", Hypervisor: "kvm", DeployID: "one-17", Owner: alice.Owner},
	}
}

func attachNamed(vm onevolume.VMID, name string) onevolume.Request {
	r := attach(vm, 0)
	r.Pick = onevolume.Pick{Volume: name}
	return r
}

func detach(vm onevolume.VMID, name string) onevolume.Request {
	r := attachNamed(vm, name)
	r.Kind = onevolume.Detach
	return r
}

func (w *world) reserve(t tester, who onevolume.Caller, r onevolume.Request) (onevolume.Operation, onevolume.Volume) {
	t.Helper()
	op, v, err := w.Reserve(t.Context(), who, r)
	if err != nil {
		t.Fatalf("Reserve(%+v): %v", r, err)
	}
	return op, v
}

func (w *world) finish(t tester, op onevolume.Operation, e onevolume.Ending) {
	t.Helper()
	if err := w.Finish(t.Context(), op.Ref(), e); err != nil {
		t.Fatalf("Finish(%d, %+v): %v", op.ID, e, err)
	}
}

func (w *world) record(t tester, op onevolume.Operation, entries []onevolume.Entry, note onevolume.Note) {
	t.Helper()
	if err := w.Record(t.Context(), op.Ref(), entries, note); err != nil {
		t.Fatalf("Record(%d): %v", op.ID, err)
	}
}

// attached brings a volume by name into a VM.
func (w *world) attached(t tester, who onevolume.Caller, r onevolume.Request) onevolume.Volume {
	t.Helper()
	op, v := w.reserve(t, who, r)
	w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
	return w.volume(t, v.ID)
}

// wantCode fails unless err has the code, and the text when one is given.
func wantCode(t tester, err error, code onevolume.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with the code %q", code)
	}
	if got := onevolume.CodeOf(err); got != code {
		t.Fatalf("error %q has the code %q, want %q", err, got, code)
	}
	if text != "" && err.Error() != text {
		t.Fatalf("error\n got %q\nwant %q", err, text)
	}
}
