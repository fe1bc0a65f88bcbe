// Package workflow attaches volumes to virtual machines and detaches them: a
// list of steps for each, run by package saga under the inventory's journal.
// It is the same wherever it runs, in a client with the caller's own SSH
// access or in the daemon. It knows the contracts of initiators, hypervisors
// and hosts, and none of their technologies.
package workflow

import (
	"context"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
	"onevolume/saga"
)

// Initiator is the iSCSI initiator of a host (see package iscsi, which
// documents what each method promises). The caller holds the lock LockName
// on the host.
type Initiator interface {
	LockName(t onevolume.Target) string
	Connect(ctx context.Context, h command.Host, t onevolume.Target, w iscsi.Want) (iscsi.Device, error)
	// Prove checks the device the host has as Connect does, and changes
	// nothing.
	Prove(ctx context.Context, h command.Host, t onevolume.Target, w iscsi.Want) (iscsi.Device, error)
	// Find gives the devices the host has of the volume, any number.
	Find(ctx context.Context, h command.Host, t onevolume.Target) ([]iscsi.Device, error)
	// Survey tells the host's own name and its sessions.
	Survey(ctx context.Context, h command.Host) (iscsi.HostFacts, error)
	// Rescan has the kernel look at the size of the devices that the host has
	// of the volume, and checks them as Prove does.
	Rescan(ctx context.Context, h command.Host, t onevolume.Target, w iscsi.Want) (iscsi.Device, error)
	Release(ctx context.Context, h command.Host, t onevolume.Target) error
	ReleaseForced(ctx context.Context, h command.Host, t onevolume.Target) error
	// Path is the link the device will most likely have, for a dry run.
	Path(t onevolume.Target) string
	ConnectCommands(t onevolume.Target) []command.Cmd
	ReleaseCommands(t onevolume.Target) []command.Cmd
}

// Access lets hosts in to volumes that were made on arrays, whose credentials
// only the daemon has (package provision, which documents the methods; a
// client asks the daemon). Both may be repeated.
type Access interface {
	Grant(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) (onevolume.Access, error)
	Revoke(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) error
}

// Wiper overwrites block devices on a host.
type Wiper interface {
	Wipe(ctx context.Context, h command.Host, d iscsi.Device, progress func(phase string, done, total onevolume.Size)) error
	Format(ctx context.Context, h command.Host, d iscsi.Device, fs string) error
	WipeCommands(size onevolume.Size, fs string) []command.Cmd
}

// Engine runs workflows. All fields but Report, Wait and Grower must be set.
type Engine struct {
	Ledger onevolume.Ledger
	Access Access
	// Grower lets volumes grow on arrays; nil in clients, and where no array
	// makes volumes.
	Grower    Grower
	Hosts     command.Dialer
	Initiator Initiator
	Wiper     Wiper
	// Driver gives the hypervisor's driver of a VM.
	Driver func(vm onevolume.VM) (hypervisor.Driver, error)
	// Report, when set, is told what happens, for people to see.
	Report func(Event)
	// Wait waits for a VM that migrates, and says whether that is over as far
	// as anybody knows; where the VM is then, the hosts tell. It returns now
	// and then before, so that they are looked at. Its error leaves the
	// operation to whoever takes it over. Nil says that it is over at once.
	Wait   func(ctx context.Context, op onevolume.Operation) (over bool, err error)
	Now    func() time.Time
	Limits Limits

	around func([]step) []step // stands around the steps in tests, else nil
}

// Limits bounds how long a workflow waits for others.
type Limits struct {
	Lease  time.Duration // how long an operation lives without a word from its owner
	Lock   time.Duration // for another operation on the same target and host
	Unplug time.Duration // for the guest to let go of a disk
}

// DefaultLimits are the limits unless configured otherwise. A guest gets the
// time that OpenStack's nova gives it (8 tries of 20 s) at the most.
func DefaultLimits() Limits {
	return Limits{Lease: 30 * time.Second, Lock: time.Minute, Unplug: 60 * time.Second}
}

// Event is something worth telling whoever waits. Total is zero unless the
// event counts bytes.
type Event struct {
	Text        string
	Done, Total onevolume.Size
}

// Outcome is what a finished operation brought about.
type Outcome struct {
	Operation int
	Volume    onevolume.Volume
	VM        onevolume.VM
	Disk      hypervisor.Disk
	// GuestPath is where the guest's users find the disk; empty after
	// detach and where the hypervisor cannot tell.
	GuestPath string
}

// Planned is a command that a dry run would have run, and where.
type Planned struct {
	Host string
	Cmd  command.Cmd
}

// Job is an operation that has been reserved and is about to run.
type Job struct{ run *run }

// Begin reserves the volume for what is asked. The host is dialled at the
// same time: neither needs the other, and both take their time. The context
// serves for the dialling too, so it must live as long as the job. Each job
// that Begin returns must be Run.
func (e *Engine) Begin(ctx context.Context, req onevolume.Request) (*Job, error) {
	driver, err := e.Driver(req.VM)
	if err != nil {
		return nil, err
	}
	req.Lease = e.Limits.Lease
	r := e.newRun(driver)
	r.op.Kind, r.force = req.Kind, req.Force
	if _, err := r.steps(); err != nil {
		return nil, err
	}
	if req.Force {
		if _, err := forcer(driver); err != nil {
			return nil, err
		}
	}
	if req.Kind == onevolume.Grow {
		if _, err := resizer(driver); err != nil {
			return nil, err
		}
	}
	if req.Kind != onevolume.Fence { // whose host is dead
		r.dial(ctx, req.VM.Host)
	}
	r.op, r.vol, err = e.Ledger.Reserve(ctx, req)
	if err != nil {
		r.close()
		return nil, err
	}
	return &Job{r}, nil
}

// Operation is what Begin reserved.
func (j *Job) Operation() onevolume.Operation { return j.run.op }

// Volume is the volume that Begin chose, as it was then.
func (j *Job) Volume() onevolume.Volume { return j.run.vol }

// Run does the work. On an error nothing is left behind, unless the error
// says what is: with the codes Unknown and Stale the daemon goes on, and a
// volume in ERROR carries its reason.
func (j *Job) Run(ctx context.Context) (Outcome, error) {
	r := j.run
	defer r.close()
	steps, err := r.steps()
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "begin", Cause: err})
	}
	return r.underLease(ctx, func(ctx context.Context) error {
		return r.saga(steps).Run(ctx, &r.facts)
	})
}

// steps are those of the run's kind of operation.
func (r *run) steps() ([]step, error) {
	switch r.op.Kind {
	case onevolume.Attach, onevolume.Replug:
		return r.attachSteps(), nil
	case onevolume.Detach:
		return r.detachSteps(), nil
	case onevolume.Release:
		return r.releaseSteps(), nil
	case onevolume.Fence:
		return r.fenceSteps(), nil
	case onevolume.Migrate:
		return r.migrateSteps(), nil
	case onevolume.Grow:
		return r.growSteps(), nil
	}
	return nil, onevolume.Errorf(onevolume.Invalid, "no such kind of operation: %q", r.op.Kind).
		WithHint("a newer onevolume began it: let that one end it")
}

func (e *Engine) tell(ev Event) {
	if e.Report != nil {
		e.Report(ev)
	}
}
