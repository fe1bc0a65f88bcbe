package follower

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/follow"
)

// record is what the inventory says of a volume, as the table wants it.
func record(v *onevolume.Volume, seen map[string]bool) follow.Record {
	host := v.Attachment.Host
	return follow.Record{Host: host, Lost: host != "" && !seen[host], Cuts: v.ArrayID != ""}
}

func decide(v *onevolume.Volume, vm VM, seen map[string]bool) follow.Action {
	return follow.Decide(record(v, seen), follow.VM{Stage: vm.Stage, Host: vm.Host})
}

// boot names a life of a VM's domain on its host.
func boot(vm VM) string { return vm.Host + " " + vm.Boot }

// judge begins what is to be done about a volume, unless that is nothing, is
// being done, or failed a moment ago.
func (f *Follower) judge(ctx context.Context, v onevolume.Volume, vm VM, seen map[string]bool) {
	a := decide(&v, vm, seen)
	about := fmt.Sprintf("%s: %s, on record on %q", a, boot(vm), v.Attachment.Host)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, busy := f.busy[v.ID]; busy {
		f.busy[v.ID] = true
		return
	}
	switch bad, failed := f.failed[v.ID]; {
	case ctx.Err() != nil:
		return
	case a == follow.Nothing:
		delete(f.failed, v.ID)
		return
	case a == follow.Plug && v.Attachment.Host == vm.Host && f.whole[v.ID] == boot(vm):
		return
	case failed && bad.about == about && time.Now().Before(bad.until):
		return
	}
	host := v.Attachment.Host
	if host == "" {
		host = vm.Host
	}
	slot := f.slots[host]
	if slot == nil {
		slot = make(chan struct{}, perHost)
		f.slots[host] = slot
	}
	f.busy[v.ID] = false
	working := context.WithoutCancel(ctx)
	f.work.Go(func() {
		select {
		case slot <- struct{}{}:
			defer func() { <-slot }()
		case <-f.done:
			return
		}
		f.noted(v, about, f.follow(working, v.ID, seen))
	})
}

// noted keeps how it went.
func (f *Follower) noted(v onevolume.Volume, about string, err error) {
	f.mu.Lock()
	before, again := f.failed[v.ID]
	again = again && before.about == about
	missed := f.busy[v.ID]
	delete(f.busy, v.ID)
	if err == nil {
		delete(f.failed, v.ID)
	} else {
		wait := f.Again
		if again {
			wait = min(2*before.wait, 32*f.Again)
		}
		f.failed[v.ID] = failure{about, wait, time.Now().Add(wait)}
		time.AfterFunc(wait, func() { f.Hear(v.Attachment.VM) })
	}
	f.mu.Unlock()
	if missed {
		f.Hear(v.Attachment.VM)
	}
	if err != nil && !again {
		f.Log.Warn("a volume does not follow its VM; it is tried again", zap.Int("volume", int(v.ID)), zap.Int("vm", int(v.Attachment.VM)),
			zap.Error(err), zap.String("hint", onevolume.HintOf(err)))
	}
}

// follow does what is to be done about a volume, until there is nothing left
// to do. What was seen before may have passed, so each step looks anew.
func (f *Follower) follow(ctx context.Context, id onevolume.VolumeID, seen map[string]bool) error {
	const steps = 4 // log out, plug, and a VM that goes on moving meanwhile
	last := ""
	for range steps {
		v, err := f.Inventory.Volume(ctx, id)
		if err != nil || v.State != onevolume.Attached {
			return gone(err)
		}
		known, err := f.Cloud.VMs(ctx, []onevolume.VMID{v.Attachment.VM})
		if err != nil {
			return err
		}
		vm := stateOf(known, v.Attachment.VM)
		if vm.Stage == follow.Gone {
			vm.Host = last // oned does not say any more
		}
		last = v.Attachment.Host
		again, err := f.act(ctx, v, vm, decide(&v, vm, seen), record(&v, seen))
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// gone passes over a volume that was deleted.
func gone(err error) error {
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return nil
	}
	return err
}

// act does one thing, and says whether there may be another to do.
func (f *Follower) act(ctx context.Context, v onevolume.Volume, vm VM, a follow.Action, r follow.Record) (again bool, err error) {
	req := onevolume.Request{VM: vm.VM, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}
	switch a {
	case follow.LogOut:
		req.Kind, req.VM.Host, req.VM.Running = onevolume.Release, v.Attachment.Host, false
		return true, f.Operator.Do(ctx, req)
	case follow.Plug:
		return false, f.plug(ctx, v, vm, req)
	case follow.End, follow.Keep:
		return false, f.end(ctx, v, a, req)
	case follow.Fence:
		return true, f.fence(ctx, v, vm, false)
	case follow.Refuse:
		return false, f.refuse(ctx, v, follow.Why(r))
	}
	return false, nil
}

// refuse says on the volume why nothing is done about it.
func (f *Follower) refuse(ctx context.Context, v onevolume.Volume, why *onevolume.Error) error {
	if reason := why.Msg + ". " + why.Hint; v.Reason != reason {
		if err := f.Inventory.Explain(ctx, v.ID, reason); err != nil {
			return err
		}
	}
	return why
}

// plug puts the disk into the VM's domain, unless it has it.
func (f *Follower) plug(ctx context.Context, v onevolume.Volume, vm VM, req onevolume.Request) error {
	has := false
	if v.Attachment.Host == vm.Host {
		var err error
		if has, err = f.Operator.HasDisk(ctx, vm.VM, v); err != nil {
			return err
		}
	}
	if !has {
		req.Kind = onevolume.Replug
		if err := f.Operator.Do(ctx, req); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.whole[v.ID] = boot(vm)
	return nil
}

// end takes the volume out of a VM that has ended.
func (f *Follower) end(ctx context.Context, v onevolume.Volume, a follow.Action, req onevolume.Request) error {
	policy := v.Policy()
	if a == follow.Keep {
		policy = onevolume.PolicyKeep
	}
	req.Kind, req.Leave, req.VM.Running = onevolume.Detach, onevolume.LeaveZeroes, false
	if policy == onevolume.PolicyKeep {
		req.Leave = onevolume.LeaveData
	}
	if req.VM.Host == "" {
		return f.refuse(ctx, v, onevolume.Errorf(onevolume.Action, "oned has no VM %d any more, and no host is on record", v.Attachment.VM).
			WithHint("if no host has it, say so: onevolume recover --status retained %d", v.ID))
	}
	if err := f.Operator.Do(ctx, req); err != nil || policy != onevolume.PolicyDelete {
		return err
	}
	return gone(f.Inventory.Delete(ctx, v.ID))
}
