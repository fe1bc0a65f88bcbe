// Package labels has OpenNebula's users see the volumes of their VMs where
// they look at the VM: it keeps what the VM's template shows to what the
// inventory says. It runs beside the operations, which never wait for it, and
// however an operation was run, by the daemon or by a client, its end is
// heard here. A hint is looked at at once; what could not be done is tried
// again, and from time to time everything is compared.
package labels

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// Inventory says which volumes are in which VM.
type Inventory interface {
	Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	Operation(ctx context.Context, id int) (onevolume.Operation, error)
	VolumesIn(ctx context.Context, vm onevolume.VMID) ([]onevolume.Volume, error)
	// Labelled lists the VMs that have volumes or were noted by SetLabelled.
	Labelled(ctx context.Context) ([]onevolume.VMID, error)
	// SetLabelled notes that a VM may show volumes, or that it does not.
	SetLabelled(ctx context.Context, vm onevolume.VMID, may bool) error
}

// Cloud shows volumes in a VM's template.
type Cloud interface {
	// Show makes the VM show these volumes and no others. It may be repeated.
	// Codes: NotFound (the VM is gone), Unreachable, Unauthenticated, and
	// others that are about this VM alone.
	Show(ctx context.Context, vm onevolume.VMID, volumes []onevolume.Volume) error
}

// Labels keeps what VMs show. Set all exported fields before Start.
type Labels struct {
	Inventory Inventory
	Cloud     Cloud
	Log       *zap.Logger
	Retry     time.Duration // from a failure to the next try
	Every     time.Duration // from one comparison of everything to the next; 0 for no work at all

	mu         sync.Mutex
	operations map[int]bool                // that have ended
	volumes    map[onevolume.VolumeID]bool // that were changed
	wake       chan struct{}

	stop  context.CancelFunc
	ended chan struct{}

	// The loop's own.
	due  map[onevolume.VMID]int // VMs to look at, and how often that failed
	mute bool                   // oned is silent, and the log says so
}

const (
	// tries is how often a VM is tried before it is left to the next
	// comparison of everything: a locked one stays so for long.
	tries = 5
	// hints bounds those that wait; what is more is left likewise.
	hints = 4096
	// callTime bounds what is done about one VM.
	callTime = 20 * time.Second
)

// Start compares everything once, and goes on.
func (l *Labels) Start() {
	if l.Every <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.clear()
	l.wake = make(chan struct{}, 1)
	l.mu.Unlock()
	l.due, l.stop, l.ended = map[onevolume.VMID]int{}, cancel, make(chan struct{})
	go func() {
		defer close(l.ended)
		l.loop(ctx)
	}()
}

// Stop ends it, and waits for that until ctx is over. The next start goes on.
func (l *Labels) Stop(ctx context.Context) {
	if l.stop == nil {
		return
	}
	l.stop()
	select {
	case <-l.ended:
	case <-ctx.Done():
	}
}

// Ledger gives a ledger that tells of the operations which end in it.
func (l *Labels) Ledger(inner onevolume.Ledger) onevolume.Ledger { return ledger{inner, l} }

type ledger struct {
	onevolume.Ledger
	labels *Labels
}

func (w ledger) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	err := w.Ledger.Finish(ctx, op, e)
	// Whatever it answers: a lost answer may have ended the operation.
	w.labels.hint(func() { w.labels.operations[op.ID] = true })
	return err
}

// Changed tells that what is shown of a volume may have changed. It never
// waits.
func (l *Labels) Changed(id onevolume.VolumeID) {
	l.hint(func() { l.volumes[id] = true })
}

func (l *Labels) hint(note func()) {
	if !l.keep(note) {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// keep notes a hint for the next look, and says whether there is one.
func (l *Labels) keep(note func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil || len(l.operations)+len(l.volumes) >= hints {
		return false
	}
	note()
	return true
}

// clear forgets the hints; mu is held.
func (l *Labels) clear() {
	l.operations, l.volumes = map[int]bool{}, map[onevolume.VolumeID]bool{}
}

func (l *Labels) loop(ctx context.Context) {
	all := time.NewTimer(0)
	again := time.NewTimer(l.Retry)
	defer all.Stop()
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-all.C:
			if l.everything(ctx) {
				all.Reset(l.Every)
			} else {
				all.Reset(l.Retry)
			}
		case <-l.wake:
		case <-again.C:
		}
		l.heard(ctx)
		l.round(ctx)
		again.Reset(l.Retry)
	}
}

// everything makes all VMs due that have volumes, or may show some.
func (l *Labels) everything(ctx context.Context) bool {
	list, err := l.Inventory.Labelled(ctx)
	if err != nil {
		l.failed(ctx, "listing the VMs that show volumes", err)
		return false
	}
	l.due = map[onevolume.VMID]int{}
	for _, vm := range list {
		l.due[vm] = 0
	}
	return true
}

// heard makes the VMs due that hints are about. A hint that cannot be
// followed now waits for the next time.
func (l *Labels) heard(ctx context.Context) {
	l.mu.Lock()
	operations, volumes := l.operations, l.volumes
	l.clear()
	l.mu.Unlock()
	for id := range volumes {
		v, err := l.Inventory.Volume(ctx, id)
		if later(err) {
			l.failed(ctx, "reading a volume that was changed", err)
			l.keep(func() { l.volumes[id] = true })
		}
		if err != nil {
			continue
		}
		if v.Attachment.VM != onevolume.NoVM {
			l.due[v.Attachment.VM] = 0
		}
		if v.Operation > 0 { // where it was before
			operations[v.Operation] = true
		}
	}
	for id := range operations {
		op, err := l.Inventory.Operation(ctx, id)
		if later(err) {
			l.failed(ctx, "reading an operation that ended", err)
			l.keep(func() { l.operations[id] = true })
		}
		if err == nil {
			l.due[op.VM.ID] = 0
		}
	}
}

// later says whether a look into the inventory can be tried again.
func later(err error) bool { return err != nil && onevolume.CodeOf(err) != onevolume.NotFound }

// round tries all VMs that are due, until it is oned that does not answer.
func (l *Labels) round(ctx context.Context) {
	list := make([]onevolume.VMID, 0, len(l.due))
	for vm := range l.due {
		list = append(list, vm)
	}
	slices.Sort(list)
	for _, vm := range list {
		if ctx.Err() != nil {
			return
		}
		err := l.show(ctx, vm)
		switch code := onevolume.CodeOf(err); {
		case err == nil:
			l.heardOf()
			delete(l.due, vm)
		case code == onevolume.Unreachable || code == onevolume.Unauthenticated:
			if !l.mute {
				l.failed(ctx, "VMs do not show their volumes as they are now; it is tried again", err)
			}
			l.mute = true
			return
		default:
			l.heardOf()
			l.due[vm]++
			if l.due[vm] == 1 {
				l.failed(ctx, "a VM does not show its volumes as they are now; it is tried again", err, zap.Int("vm", int(vm)))
			}
			if l.due[vm] >= tries {
				delete(l.due, vm)
			}
		}
	}
}

func (l *Labels) heardOf() {
	if l.mute {
		l.Log.Info("VMs show their volumes again")
	}
	l.mute = false
}

// show has one VM show what the inventory says. The note that it may show
// something comes first and goes last.
func (l *Labels) show(ctx context.Context, vm onevolume.VMID) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	list, err := l.Inventory.VolumesIn(ctx, vm)
	if err != nil {
		return err
	}
	// Until an attach has ended there is nothing to see.
	list = slices.DeleteFunc(list, func(v onevolume.Volume) bool { return v.State == onevolume.Attaching })
	if len(list) > 0 {
		if err := l.Inventory.SetLabelled(ctx, vm, true); err != nil {
			return err
		}
	}
	err = l.Cloud.Show(ctx, vm, list)
	switch {
	case later(err):
		return err
	case err == nil && len(list) > 0:
		return nil
	}
	return l.Inventory.SetLabelled(ctx, vm, false) // it shows nothing, or is gone
}

func (l *Labels) failed(ctx context.Context, what string, err error, more ...zap.Field) {
	if ctx.Err() == nil {
		l.Log.Warn(what, append(more, zap.Error(err), zap.String("hint", onevolume.HintOf(err)))...)
	}
}
