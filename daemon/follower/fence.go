package follower

import (
	"context"
	"fmt"
	"sync"

	"go.uber.org/zap"

	"onevolume"
)

// Cleaner frees a host of what it was cut off from. Package workflow documents
// it.
type Cleaner interface {
	Clean(ctx context.Context, f onevolume.FenceRecord) error
}

// fenceAtOnce is how many volumes are fenced at the same time.
const fenceAtOnce = 4

// Fence cuts a host off from all volumes that are on record there: those that
// were made on arrays by their arrays, the others by the word alone that the
// host is off, which only an administrator can give. What was fenced follows
// its VM from then on. It may be repeated, and then does what is left. Codes:
// Action (oned has the host in sight), and those of oned and the inventory.
func (f *Follower) Fence(ctx context.Context, host string, off bool) ([]onevolume.Fenced, error) {
	seen, err := f.Cloud.Seen(ctx)
	if err != nil {
		return nil, err
	}
	if seen[host] {
		return nil, onevolume.Errorf(onevolume.Action, "oned has host %s in sight: its VMs run", host).
			WithHint("only a host in ERROR or OFFLINE is fenced; if it is dead, say so first: onehost offline %s", host)
	}
	volumes, err := f.Inventory.OnHost(ctx, host)
	if err != nil || len(volumes) == 0 {
		return nil, err
	}
	known, err := f.Cloud.VMs(ctx, vmsOf(volumes))
	if err != nil {
		return nil, err
	}
	list := make([]onevolume.Fenced, len(volumes))
	slots := make(chan struct{}, fenceAtOnce)
	var all sync.WaitGroup
	for i, v := range volumes {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			list[i] = onevolume.Fenced{Volume: v.ID, Name: v.Name, VM: v.Attachment.VM}
			if err := f.fence(ctx, v, stateOf(known, v.Attachment.VM), off); err != nil {
				list[i].Error, list[i].Hint = err.Error(), onevolume.HintOf(err)
			}
		})
	}
	all.Wait()
	f.LookAtAll()
	return list, nil
}

// fence cuts the host on record off from one volume.
func (f *Follower) fence(ctx context.Context, v onevolume.Volume, vm VM, off bool) error {
	if v.ArrayID == "" && !off {
		return onevolume.Errorf(onevolume.Held, "it was registered: nobody here can cut host %s off from it", v.Attachment.Host).
			WithHint("if the host is off for certain, say so: onevolume fence --off %s", v.Attachment.Host)
	}
	req := onevolume.Request{Kind: onevolume.Fence, VM: vm.VM, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}
	req.VM.ID, req.VM.Host, req.VM.Running = v.Attachment.VM, v.Attachment.Host, false
	err := f.Operator.Do(ctx, req)
	if err == nil {
		f.Log.Warn("a host was cut off from a volume", zap.String("host", v.Attachment.Host), zap.Int("volume", int(v.ID)),
			zap.Int("vm", int(v.Attachment.VM)), zap.Bool("by the array", v.ArrayID != ""))
	}
	return err
}

// cleanAll has fenced hosts cleaned that oned has in sight again, each in its
// own time.
func (f *Follower) cleanAll(ctx context.Context, fences []onevolume.FenceRecord, seen map[string]bool) {
	if f.Cleaner == nil {
		return
	}
	byHost := map[string][]onevolume.FenceRecord{}
	for _, r := range fences {
		if seen[r.Host] {
			byHost[r.Host] = append(byHost[r.Host], r)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for host := range f.unclean {
		if len(byHost[host]) == 0 {
			delete(f.unclean, host)
		}
	}
	for host, list := range byHost {
		if ctx.Err() != nil || f.cleaning[host] {
			continue
		}
		f.cleaning[host] = true
		working := context.WithoutCancel(ctx)
		f.work.Go(func() {
			ctx, cancel := context.WithTimeout(working, wakeTime)
			defer cancel()
			f.cleanHost(ctx, host, list)
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.cleaning, host)
		})
	}
}

// cleanHost cleans one host, and says once what is in the way.
func (f *Follower) cleanHost(ctx context.Context, host string, list []onevolume.FenceRecord) {
	left := 0
	for _, r := range list {
		err := f.Cleaner.Clean(ctx, r)
		if err == nil {
			err = f.Inventory.Clean(ctx, r)
		}
		if err == nil {
			continue
		}
		left++
		f.mu.Lock()
		again := f.unclean[host] == err.Error()
		if left == 1 {
			f.unclean[host] = err.Error()
		}
		f.mu.Unlock()
		if left == 1 && !again {
			f.Log.Warn("a host that was fenced is not clean; it is tried again", zap.String("host", host), zap.Int("volume", int(r.Volume)),
				zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
		}
	}
	if left == 0 {
		f.Log.Info("a host that was fenced is clean, and used again", zap.String("host", host))
		f.LookAtAll()
	}
}
