package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"onevolume"
)

// afterWake is when a VM is looked at once more after something was heard of
// it: oned tells of a change before it writes it down.
const afterWake = time.Second

// settledTime bounds the question to oned whether a VM has settled.
const settledTime = 10 * time.Second

// moves are the migrations that somebody waits for, or that wait for their VM.
type moves struct {
	mu sync.Mutex
	of map[int]*move // by operation
}

// move is what this process knows of one migration.
type move struct {
	vm    onevolume.VMID
	wake  chan struct{} // something happened to the VM
	ready chan struct{} // closed when the host that the VM goes to has the volume
	ended chan struct{} // closed when nobody here works on it any more
	// over says that whoever moves the VM is over with it, as was said.
	over     bool
	prepared bool
	// waited is when it was last seen to wait for its VM in good order.
	waited time.Time
	heard  bool // something, a moment ago; whoever waits for the VM has this alone
}

// get gives what is known of a migration, which begins with this.
func (m *moves) get(op int, vm onevolume.VMID) *move {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		m.of = map[int]*move{}
	}
	v := m.of[op]
	if v == nil {
		v = &move{vm: vm, wake: make(chan struct{}, 1), ready: make(chan struct{}), ended: make(chan struct{})}
		m.of[op] = v
	}
	return v
}

// end forgets a migration that nobody here works on any more.
func (m *moves) end(op int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.of[op]; v != nil {
		close(v.ended)
		delete(m.of, op)
	}
}

// isReady notes that the destination has the volume.
func (m *moves) isReady(v *move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !v.prepared {
		v.prepared = true
		close(v.ready)
	}
}

// isOver notes that whoever moves the VM is over with it, and has it looked at.
func (m *moves) isOver(v *move) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.over = true
	v.poke()
}

func (m *moves) said(v *move) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return v.over
}

func (m *moves) waits(v *move, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v.waited = now
}

// lastWait is when the migration was last seen to wait for its VM; zero for
// never.
func (m *moves) lastWait(op int) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if v := m.of[op]; v != nil {
		return v.waited
	}
	return time.Time{}
}

func (v *move) poke() {
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// Hear says that something happened to a VM: what waits for it looks where it
// is. It never waits.
func (d *Daemon) Hear(vm onevolume.VMID) {
	d.moves.mu.Lock()
	defer d.moves.mu.Unlock()
	for _, v := range d.moves.of {
		if v.vm == vm {
			v.poke()
		}
	}
}

// errLeaves is why a migration that waits for its VM is left as it is, for the
// next start.
var errLeaves = errors.New("onevolumed stops")

// await is the engine's Wait: it returns when something was heard of the VM,
// and at each sweep, and says whether oned has it settled.
func (d *Daemon) await(ctx context.Context, op onevolume.Operation) (over bool, err error) {
	v := d.moves.get(op.ID, op.VM.ID)
	d.moves.isReady(v)
	d.moves.waits(v, d.Now())
	if d.moves.said(v) {
		return true, nil
	}
	next := d.Sweep
	if v.heard {
		next = afterWake
	}
	look := time.NewTimer(next)
	defer look.Stop()
	select {
	case <-v.wake:
		v.heard = true
	case <-look.C:
		v.heard = false
	case <-ctx.Done():
		return false, ctx.Err()
	case <-d.working.Done():
		return false, errLeaves
	}
	return d.moves.said(v) || d.settled(ctx, op.VM.ID), nil
}

// settled asks oned whether the VM is at rest. One that is not known to be, is
// not.
func (d *Daemon) settled(ctx context.Context, vm onevolume.VMID) bool {
	if d.Settled == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, settledTime)
	defer cancel()
	at, err := d.Settled(ctx, vm)
	return err == nil && at
}
