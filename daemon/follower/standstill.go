package follower

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/follow"
)

// Waker looks whether VMs stand still since a volume failed them, and lets
// them go on. Package workflow documents both.
type Waker interface {
	Stopped(ctx context.Context, host string, vms map[onevolume.VMID]onevolume.VM, vols []onevolume.Volume) (map[onevolume.VMID][]onevolume.VolumeID, error)
	Rouse(ctx context.Context, vm onevolume.VM, vols []onevolume.Volume) error
}

// paused begins the reason of a volume whose errors have paused its VM. It is
// how a later daemon knows whose reason it is.
const paused = "Its VM is paused, since it cannot be read or written"

const (
	// wakeTime bounds the look at one host with all that follows.
	wakeTime = 2 * time.Minute
	// mostWait is the longest time between two tries to resume a VM, which
	// doubles from one look: what stops again at once is broken otherwise.
	mostWait = 10 * time.Minute
)

// standstill is a VM that stands still, as this daemon saw it.
type standstill struct {
	wait  time.Duration
	until time.Time // of the next try
	said  string    // why it was not resumed, as the log has it
}

// wakeAll looks at the hosts of all volumes, each in its own time: a host that
// is slow is not looked at twice at once.
func (f *Follower) wakeAll(ctx context.Context, volumes []onevolume.Volume, known map[onevolume.VMID]VM, seen map[string]bool) {
	if f.Waker == nil {
		return
	}
	vms := map[onevolume.VMID]onevolume.VM{}
	byHost := map[string][]onevolume.Volume{}
	for _, v := range volumes {
		host := v.Attachment.Host
		vm, is := known[v.Attachment.VM]
		if host == "" || !seen[host] || !is || vm.Stage == follow.Ended || vm.Stage == follow.UnderWay {
			continue
		}
		vms[v.Attachment.VM] = vm.VM
		byHost[host] = append(byHost[host], v)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for host, vols := range byHost {
		if ctx.Err() != nil || f.waking[host] {
			continue
		}
		f.waking[host] = true
		working := context.WithoutCancel(ctx)
		f.work.Go(func() {
			ctx, cancel := context.WithTimeout(working, wakeTime)
			defer cancel()
			f.wakeHost(ctx, host, vms, vols)
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.waking, host)
		})
	}
}

// wakeHost looks at one host, says what it saw, and lets those go on whose
// paths are back.
func (f *Follower) wakeHost(ctx context.Context, host string, vms map[onevolume.VMID]onevolume.VM, vols []onevolume.Volume) {
	stopped, err := f.Waker.Stopped(ctx, host, vms, vols)
	if err != nil {
		// Whether a host answers, the checkup says.
		f.Log.Debug("it is not known whether VMs stand still", zap.String("host", host), zap.Error(err))
		return
	}
	of := map[onevolume.VMID][]onevolume.Volume{}
	bad := map[onevolume.VolumeID]bool{}
	for _, v := range vols {
		of[v.Attachment.VM] = append(of[v.Attachment.VM], v)
	}
	for _, ids := range stopped {
		for _, id := range ids {
			bad[id] = true
		}
	}
	for _, v := range vols {
		f.tellPaused(ctx, v, vms[v.Attachment.VM], host, bad[v.ID])
	}
	for id, list := range of {
		if len(stopped[id]) == 0 {
			f.mu.Lock()
			delete(f.still, id)
			f.mu.Unlock()
			continue
		}
		vm := vms[id]
		vm.Host = host
		f.rouse(ctx, vm, list, bad)
	}
}

// tellPaused keeps on the volume, for people to see, that its VM is paused by
// it, and takes that off when it is so no more.
func (f *Follower) tellPaused(ctx context.Context, v onevolume.Volume, vm onevolume.VM, host string, is bool) {
	had := strings.HasPrefix(v.Reason, paused)
	if is == had {
		return
	}
	reason := ""
	if is {
		reason = fmt.Sprintf("%s: I/O error, seen on host %s at %s. It goes on by itself when the path is back.", paused, host, time.Now().UTC().Format(time.RFC3339))
		f.Log.Warn("a VM stands still: a volume cannot be read or written", zap.Int("vm", int(vm.ID)), zap.Int("volume", int(v.ID)), zap.String("host", host))
	}
	if err := f.Inventory.Explain(ctx, v.ID, reason); err != nil {
		f.Log.Warn("what a VM stands still for could not be noted", zap.Int("volume", int(v.ID)), zap.Error(err))
	}
}

// rouse lets a VM go on, if its volumes can be read again.
func (f *Follower) rouse(ctx context.Context, vm onevolume.VM, vols []onevolume.Volume, bad map[onevolume.VolumeID]bool) {
	f.mu.Lock()
	s := f.still[vm.ID]
	early := time.Now().Before(s.until)
	f.mu.Unlock()
	if early {
		return
	}
	err := f.Waker.Rouse(ctx, vm, vols)
	fields := []zap.Field{zap.Int("vm", int(vm.ID)), zap.String("host", vm.Host)}
	f.mu.Lock()
	if err == nil {
		// One that stops again is tried less and less often.
		s.wait = min(max(2*s.wait, f.Every), mostWait)
		s.until = time.Now().Add(s.wait)
		s.said = ""
	}
	again := err != nil && s.said == err.Error()
	if err != nil {
		s.said = err.Error()
	}
	f.still[vm.ID] = s
	f.mu.Unlock()
	if again {
		return
	}
	if err != nil {
		f.Log.Info("the VM is not resumed yet", append(fields, zap.Error(err), zap.String("hint", onevolume.HintOf(err)))...)
		return
	}
	f.Log.Info("the VM goes on: its volumes can be read again", fields...)
	for _, v := range vols {
		if !bad[v.ID] {
			continue
		}
		if err := f.Inventory.Explain(ctx, v.ID, ""); err != nil {
			f.Log.Warn("that a VM goes on could not be noted", zap.Int("volume", int(v.ID)), zap.Error(err))
		}
	}
}
