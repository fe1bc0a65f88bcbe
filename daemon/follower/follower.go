// Package follower keeps the promise that an attachment is: it looks what
// happened to the VMs that have volumes, and has done about it what package
// follow decides. A hint has one VM looked at within the second; from time to
// time all are, so that a lost hint costs time and nothing else.
package follower

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/follow"
)

// VM is what oned says of a VM.
type VM struct {
	onevolume.VM
	Stage follow.Stage
	// Boot changes whenever the VM gets another domain, or may have.
	Boot string
}

// Cloud is oned, asked with the daemon's own session.
type Cloud interface {
	// VMs gives those of the VMs asked for that oned knows.
	VMs(ctx context.Context, ids []onevolume.VMID) (map[onevolume.VMID]VM, error)
	// Seen gives the hosts that oned has in sight: neither in ERROR, nor
	// OFFLINE, nor deleted.
	Seen(ctx context.Context) (map[string]bool, error)
}

// Inventory says which volumes are in which VM.
type Inventory interface {
	// Attached lists the volumes that are ATTACHED; with VMs, only theirs.
	Attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error)
	Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	// Explain gives an ATTACHED volume a reason, for people to see.
	Explain(ctx context.Context, id onevolume.VolumeID, reason string) error
	// OnHost lists the volumes that are on record on a host, whatever their
	// state.
	OnHost(ctx context.Context, host string) ([]onevolume.Volume, error)
	// Fences lists the hosts that were cut off from volumes, and Clean says
	// that one is clean of one.
	Fences(ctx context.Context) ([]onevolume.FenceRecord, error)
	Clean(ctx context.Context, f onevolume.FenceRecord) error
	// Delete takes a free volume out of the inventory.
	Delete(ctx context.Context, id onevolume.VolumeID) error
}

// Operator does what is to be done, to its end.
type Operator interface {
	// Do runs an operation under the journal. One that is cut off is carried
	// on by the daemon.
	Do(ctx context.Context, r onevolume.Request) error
	// HasDisk looks whether the VM's domain has the volume.
	HasDisk(ctx context.Context, vm onevolume.VM, v onevolume.Volume) (bool, error)
}

// Follower follows VMs. Set all exported fields before Start.
type Follower struct {
	Cloud     Cloud
	Inventory Inventory
	Operator  Operator
	Waker     Waker   // nil where nobody looks for VMs that stand still
	Cleaner   Cleaner // nil where nobody cleans hosts
	Log       *zap.Logger
	Every     time.Duration // from one look at all VMs to the next; 0 for no work at all
	Again     time.Duration // from a failure to the next try; doubles up to 32 times as long

	mu    sync.Mutex
	hints map[onevolume.VMID]bool // VMs to look at
	all   bool                    // look at all of them
	wake  chan struct{}
	stop  context.CancelFunc
	done  <-chan struct{} // the follower stops
	ended chan struct{}   // it has
	work  sync.WaitGroup
	slots map[string]chan struct{} // by host

	// busy are the volumes that something is done about, true when their VM
	// is to be looked at again after it.
	busy map[onevolume.VolumeID]bool
	// whole are the volumes that were seen in their VM, and in which boot.
	whole map[onevolume.VolumeID]string
	// failed are those about which something failed, or is refused.
	failed map[onevolume.VolumeID]failure

	// still are VMs that were resumed after they stood still, and waking the
	// hosts that are looked at for such.
	still  map[onevolume.VMID]standstill
	waking map[string]bool

	// cleaning are the fenced hosts that are being cleaned, and unclean what
	// was in the way, as the log has it.
	cleaning map[string]bool
	unclean  map[string]string

	mute bool // oned is silent, and the log says so; the loop's own
}

// failure is what failed, and when to try again.
type failure struct {
	about string // what was to be done, in which situation
	wait  time.Duration
	until time.Time
}

const (
	// most bounds the hints that wait; with more, all VMs are looked at.
	most = 4096
	// pause is the least time between two looks, so that a thousand events a
	// second are one question.
	pause = 50 * time.Millisecond
	// second is when a VM that an event was about, and that is on its way, is
	// looked at again: oned may say so before it writes it down.
	second = time.Second
	// callTime bounds one look.
	callTime = 30 * time.Second
	// perHost is how many volumes are worked on at the same time on one host.
	perHost = 4
)

// Start looks at everything once, and goes on.
func (f *Follower) Start() {
	if f.Every <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.mu.Lock()
	f.hints, f.all, f.wake = map[onevolume.VMID]bool{}, false, make(chan struct{}, 1)
	f.slots, f.busy = map[string]chan struct{}{}, map[onevolume.VolumeID]bool{}
	f.still, f.waking = map[onevolume.VMID]standstill{}, map[string]bool{}
	f.cleaning, f.unclean = map[string]bool{}, map[string]string{}
	f.whole, f.failed = map[onevolume.VolumeID]string{}, map[onevolume.VolumeID]failure{}
	f.mu.Unlock()
	f.stop, f.done, f.ended = cancel, ctx.Done(), make(chan struct{})
	go func() {
		defer close(f.ended)
		f.loop(ctx)
		f.work.Wait()
	}()
}

// Stop ends it, and waits for what is being done until ctx is over.
func (f *Follower) Stop(ctx context.Context) {
	if f.stop == nil {
		return
	}
	f.stop()
	select {
	case <-f.ended:
	case <-ctx.Done():
	}
}

// Hear says that something happened to a VM. It never waits.
func (f *Follower) Hear(vm onevolume.VMID) {
	f.hint(func() {
		if len(f.hints) >= most {
			f.all = true
			return
		}
		f.hints[vm] = true
	})
}

// LookAtAll says that something happened to any VM. It never waits.
func (f *Follower) LookAtAll() { f.hint(func() { f.all = true }) }

func (f *Follower) hint(note func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wake == nil {
		return
	}
	note()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *Follower) loop(ctx context.Context) {
	sweep, again := time.NewTimer(0), time.NewTimer(second)
	defer sweep.Stop()
	defer again.Stop()
	later := map[onevolume.VMID]bool{}
	for {
		everything := false
		vms := map[onevolume.VMID]bool{}
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			everything = true
		case <-again.C:
			vms, later = later, map[onevolume.VMID]bool{}
		case <-f.wake:
		}
		f.mu.Lock()
		everything = everything || f.all
		heard := f.hints
		f.hints, f.all = map[onevolume.VMID]bool{}, false
		f.mu.Unlock()
		for vm := range heard {
			vms[vm] = true
		}
		var moving []onevolume.VMID
		if everything {
			f.look(ctx)
			sweep.Reset(f.Every)
		} else if len(vms) > 0 {
			list := make([]onevolume.VMID, 0, len(vms))
			for vm := range vms {
				list = append(list, vm)
			}
			moving = f.look(ctx, list...)
		}
		for _, vm := range moving {
			later[vm] = heard[vm] || later[vm]
		}
		if len(later) > 0 && len(heard) > 0 {
			again.Reset(second)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// look asks what happened to VMs, all of them when none is named, and has
// done what is to be done. It gives those that are on their way.
func (f *Follower) look(ctx context.Context, vms ...onevolume.VMID) (moving []onevolume.VMID) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	volumes, err := f.Inventory.Attached(ctx, vms...)
	if err != nil {
		f.silent(ctx, "listing the volumes that are attached", err)
		return nil
	}
	var fences []onevolume.FenceRecord
	if len(vms) == 0 {
		f.forget(volumes)
		if fences, err = f.Inventory.Fences(ctx); err != nil {
			f.silent(ctx, "listing the hosts that were fenced", err)
			return nil
		}
	}
	if len(volumes) == 0 && len(fences) == 0 {
		return nil
	}
	ids := vmsOf(volumes)
	var known map[onevolume.VMID]VM
	if len(ids) > 0 {
		known, err = f.Cloud.VMs(ctx, ids)
	}
	var seen map[string]bool
	if err == nil {
		seen, err = f.Cloud.Seen(ctx)
	}
	if err != nil {
		f.silent(ctx, "asking oned what happened to VMs; it is tried again", err)
		return nil
	}
	if f.mute {
		f.Log.Info("oned answers again")
	}
	f.mute = false
	for _, v := range volumes {
		f.judge(ctx, v, stateOf(known, v.Attachment.VM), seen)
	}
	if len(vms) == 0 {
		f.wakeAll(ctx, volumes, known, seen)
		f.cleanAll(ctx, fences, seen)
	}
	for _, id := range ids {
		if vm := stateOf(known, id); vm.Stage == follow.UnderWay {
			moving = append(moving, id)
		}
	}
	return moving
}

func vmsOf(volumes []onevolume.Volume) (ids []onevolume.VMID) {
	had := map[onevolume.VMID]bool{}
	for _, v := range volumes {
		if id := v.Attachment.VM; !had[id] {
			had[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// stateOf is what oned says of a VM, or that it has none.
func stateOf(known map[onevolume.VMID]VM, id onevolume.VMID) VM {
	if vm, ok := known[id]; ok {
		return vm
	}
	return VM{VM: onevolume.VM{ID: id}, Stage: follow.Gone}
}

// silent tells once of an authority that does not answer.
func (f *Follower) silent(ctx context.Context, what string, err error) {
	if errors.Is(ctx.Err(), context.Canceled) || f.mute {
		return
	}
	f.mute = true
	f.Log.Warn(what, zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
}

// forget drops what is known of volumes that are attached no more.
func (f *Follower) forget(volumes []onevolume.Volume) {
	attached := map[onevolume.VolumeID]bool{}
	for _, v := range volumes {
		attached[v.ID] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.whole {
		if !attached[id] {
			delete(f.whole, id)
		}
	}
	for id := range f.failed {
		if _, busy := f.busy[id]; !attached[id] && !busy {
			delete(f.failed, id)
		}
	}
}
