// Package daemon is what onevolumed does besides answering: it runs the
// operations that callers leave to it, takes over those whose owner died, and
// ends in good order.
package daemon

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/provision"
	"onevolume/workflow"
)

// Store is what the daemon asks of the inventory's database beyond what
// callers may.
type Store interface {
	Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	// InVM lists the volumes that are in a VM on record.
	InVM(ctx context.Context, vm onevolume.VMID) ([]onevolume.Volume, error)
	// Explain gives an ATTACHED volume a reason, for people to see.
	Explain(ctx context.Context, id onevolume.VolumeID, reason string) error
	Operation(ctx context.Context, id int) (onevolume.Operation, error)
	Journal(ctx context.Context, id int) ([]onevolume.Entry, error)
	// Running lists the running operations.
	Running(ctx context.Context) ([]onevolume.Operation, error)
	// TakeOver makes owner the operation's owner when its lease has ended by
	// the time of the day, or still is that of an owner known to be dead.
	// Codes: Stale (someone else was quicker), Busy (the owner lives).
	TakeOver(ctx context.Context, op onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (onevolume.Operation, error)
	// Reopen makes a parked operation run again, the given way. Codes:
	// NotFound, Action (not parked, or the volume has gone other ways).
	Reopen(ctx context.Context, id int, way onevolume.Way, owner string, lease time.Duration) (onevolume.Operation, error)
}

// Cloud is oned, asked with a caller's own session.
type Cloud interface {
	// VM gives the VM if it is in a state that allows the operation and the
	// session's holder may MANAGE it. Codes: NotFound, Forbidden, Action.
	VM(ctx context.Context, session string, id onevolume.VMID, kind onevolume.Kind) (onevolume.VM, error)
}

// Daemon runs operations. Set all fields before Start.
type Daemon struct {
	Store  Store
	Cloud  Cloud
	Ledger func(who onevolume.Caller) onevolume.Ledger
	// Engine is copied for each operation, with its own ledger.
	Engine workflow.Engine
	Log    *zap.Logger
	// Now must give a monotonic reading with the time, as time.Now does.
	Now func() time.Time
	// Provision runs the operations of arrays, which Tasks opens. Both are nil
	// where no array makes volumes.
	Provision *provision.Engine
	Tasks     TaskStore
	// Name tells this process from every other: program, user, host, pid.
	Name string
	// Orphan says whether an operation's owner is surely dead, so that its
	// lease need not be waited for.
	Orphan func(owner string) bool

	// Settled asks oned whether a VM is at rest, on no way from one host to
	// another. Nil says that nobody can be asked.
	Settled func(ctx context.Context, vm onevolume.VMID) (bool, error)
	// Seen gives the hosts that oned knows, and whether it has them in sight.
	// It may be nil.
	Seen func(ctx context.Context) (map[string]bool, error)
	// Follow has a VM looked at by whoever follows VMs. It may be nil.
	Follow func(vm onevolume.VMID)

	Sweep  time.Duration // how often to look for operations without an owner
	GiveUp time.Duration // how long to try to end one before parking it

	jobs     sync.WaitGroup
	working  context.Context
	stop     context.CancelFunc
	requests atomic.Int64
	mu       sync.Mutex
	resuming map[int]time.Time // since when operations have been tried in vain; zero while they are worked on
	closed   bool
	watch    watch // the sweep's alone
	moves    moves
}

// Start begins the sweep. Operations of an owner that is surely dead are
// taken over at once.
func (d *Daemon) Start() {
	d.working, d.stop = context.WithCancel(context.Background())
	d.resuming, d.watch = map[int]time.Time{}, watch{}
	d.jobs.Go(d.sweep)
}

// Stop takes no more work and waits until what runs has ended or ctx is over.
// The journals of what has not ended are whole, and the next start goes on
// with it.
func (d *Daemon) Stop(ctx context.Context) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	ended := make(chan struct{})
	go func() {
		d.jobs.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		d.Log.Warn("operations are still running; the next start goes on with them")
	}
}

// Attach is one.volume.attach: it reserves a volume for the VM and goes on
// in the background.
func (d *Daemon) Attach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, pick onevolume.Pick) (onevolume.VolumeID, error) {
	return d.begin(ctx, who, session, vm, onevolume.Request{Kind: onevolume.Attach, Pick: pick})
}

// Detach is one.volume.detach, likewise.
func (d *Daemon) Detach(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, force bool) (onevolume.VolumeID, error) {
	return d.begin(ctx, who, session, vm, onevolume.Request{Kind: onevolume.Detach,
		Pick: onevolume.Pick{Volume: fmt.Sprint(int(volume))}, Leave: leave, Force: force})
}

func (d *Daemon) begin(ctx context.Context, who onevolume.Caller, session string, id onevolume.VMID, req onevolume.Request) (onevolume.VolumeID, error) {
	vm, err := d.Cloud.VM(ctx, session, id, req.Kind)
	if err != nil {
		return 0, err
	}
	req.VM = vm
	req.Owner = fmt.Sprintf("%s request %d", d.Name, d.requests.Add(1))
	if !d.enter() {
		return 0, errStopping()
	}
	// The work outlives the call that began it.
	job, err := d.engine(who).Begin(context.WithoutCancel(ctx), req)
	if err != nil {
		d.jobs.Done()
		return 0, err
	}
	op := job.Operation()
	d.claim(op.ID)
	go func() {
		defer d.jobs.Done()
		log, ctx := d.about(op), context.WithoutCancel(ctx)
		log.Info("operation begins", zap.Int("uid", who.UID))
		_, err := job.Run(ctx)
		logEnd(log, err)
		d.unclaim(op.ID, d.outcome(ctx, op, err, d.Now(), log))
	}()
	return job.Volume().ID, nil
}

// enter counts one more job, unless the daemon is stopping.
func (d *Daemon) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.jobs.Add(1)
	return true
}

func (d *Daemon) engine(who onevolume.Caller) *workflow.Engine {
	e := d.Engine
	e.Ledger, e.Wait = d.Ledger(who), d.await
	return &e
}

func (d *Daemon) about(op onevolume.Operation) *zap.Logger {
	return d.Log.With(zap.Int("operation", op.ID), zap.String("kind", string(op.Kind)), zap.Int("volume", int(op.Volume)),
		zap.Int("vm", int(op.VM.ID)), zap.String("host", op.VM.Host))
}

func logEnd(log *zap.Logger, err error) {
	if err != nil {
		log.Error("operation failed", zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
		return
	}
	log.Info("operation is done")
}

// OwnerAt says whether an owner's name says that it is a program on a host.
func OwnerAt(owner, program, host string) (rest string, ok bool) {
	return strings.CutPrefix(owner, program+"@"+host+" ")
}
