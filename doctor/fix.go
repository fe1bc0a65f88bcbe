package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

// Result is what became of a difference.
type Result string

// The results.
const (
	Fixed Result = "repaired"
	Gone  Result = "gone by itself"
)

// Fix puts one difference right, as its Repair says. It examines the scope
// anew before: what is not so any more is Gone, and what would take other
// commands now is an error of the code Action, since nobody has agreed to
// those. It may be repeated.
func (d *Doctor) Fix(ctx context.Context, s Scope, f onevolume.Finding) (Result, error) {
	w, err := d.look(ctx, s)
	if err != nil {
		return "", err
	}
	if err := w.silent[f.Host]; err != nil && f.Trouble != onevolume.HostSilent {
		return "", onevolume.Errorf(onevolume.Unreachable, "host %s does not answer any more: %w", f.Host, err).WithHint("examine again when it does")
	}
	changed := false
	for _, x := range w.differences(ctx) {
		if !same(x.Finding, f) {
			continue
		}
		if !slices.Equal(x.Repair, f.Repair) {
			changed = true
			continue
		}
		if !x.Fixable {
			return "", onevolume.Errorf(onevolume.Action, "this is not for onevolume to repair: %s", x.Cause)
		}
		if err := x.fix(ctx); err != nil {
			return "", err
		}
		return Fixed, nil
	}
	if changed {
		return "", onevolume.Errorf(onevolume.Action, "it has changed since it was shown, and was left alone").WithHint("examine again")
	}
	if op, ok := w.holder(f.Volume); ok {
		return "", onevolume.Errorf(onevolume.Busy, "operation %d works on volume %d now", op.ID, f.Volume).WithHint("examine again when it has ended")
	}
	return Gone, nil
}

func same(a, b onevolume.Finding) bool {
	return a.Trouble == b.Trouble && a.Host == b.Host && a.Volume == b.Volume && a.VM == b.VM && a.Operation == b.Operation
}

// holder is the operation that has a volume.
func (w *world) holder(id onevolume.VolumeID) (onevolume.Operation, bool) {
	for _, op := range w.running {
		if op.Volume == id {
			return op, true
		}
	}
	return onevolume.Operation{}, false
}

// withLock works on a target on a host under the lock that operations on the
// same target take: none is between its first and its last command there.
func (w *world) withLock(ctx context.Context, h *host, t onevolume.Target, do func(conn command.Host) error) error {
	limits := w.Limits.filled()
	conn, err := w.Hosts.Dial(ctx, h.name)
	if err != nil {
		return onevolume.Errorf(onevolume.Unreachable, "%w", err)
	}
	defer func() { _ = conn.Close() }() // which gives the lock back
	if _, err := conn.Lock(ctx, w.Initiator.LockName(t), limits.Lock); err != nil {
		return onevolume.Errorf(onevolume.Busy, "%w", err).WithHint("wait for the other operation, see onevolume list")
	}
	// Whoever reserved a volume of this target before we had the lock shows
	// in the inventory; whoever does it from now on waits for the lock.
	for _, v := range w.targets[t.IQN] {
		if err := w.unchanged(ctx, v, func() error { return nil }); err != nil {
			return err
		}
	}
	return do(conn)
}

// unchanged does something if the volume is as it was when it was examined.
func (w *world) unchanged(ctx context.Context, v onevolume.Volume, do func() error) error {
	now, err := w.Inventory.Volume(ctx, v.ID)
	if err != nil {
		return err
	}
	if now.Version != v.Version {
		return onevolume.Errorf(onevolume.Busy, "volume %d was changed meanwhile (it is %s now), and nothing was done", v.ID, now.State).WithHint("examine again")
	}
	return do()
}

// release takes devices off a host that nothing there has in use.
func (w *world) release(ctx context.Context, h *host, volumes []onevolume.Volume) error {
	return w.withLock(ctx, h, volumes[0].Target, func(conn command.Host) error { return w.releaseOn(ctx, conn, h, volumes) })
}

// releaseOn is release with the lock held. The host is asked anew for devices
// and who has them: it was examined before we had the lock.
func (w *world) releaseOn(ctx context.Context, conn command.Host, h *host, volumes []onevolume.Volume) error {
	facts, err := w.Initiator.Survey(ctx, conn)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		t := v.Target
		var paths []string
		for _, s := range facts.Sessions {
			if s.IQN != t.IQN {
				continue
			}
			if s.Portal.IsValid() && !slices.Contains(t.Portals, s.Portal) {
				t.Portals = append(slices.Clone(t.Portals), s.Portal)
			}
			for _, u := range s.Units {
				if u.LUN != t.LUN || u.Name == "" {
					continue
				}
				paths = append(paths, "/dev/"+u.Name)
				if u.Path != "" {
					paths = append(paths, u.Path)
				}
			}
		}
		users, err := h.driver.Users(ctx, conn, "", append(paths, w.Initiator.Path(t)))
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return onevolume.Errorf(onevolume.Held, "volume %d on host %s is a disk of %v now, and nothing was done", v.ID, h.name, users).WithHint("examine again")
		}
		if err := w.Initiator.Release(ctx, conn, t); err != nil {
			return err
		}
	}
	return nil
}

// adopt records a disk where it is, after the device has proven to be the
// volume. It touches neither the guest nor the device.
func (w *world) adopt(ctx context.Context, v onevolume.Volume, s sighting) error {
	return w.withLock(ctx, s.host, v.Target, func(conn command.Host) error {
		if err := w.stillThere(ctx, conn, s); err != nil {
			return err
		}
		if _, err := w.Initiator.Prove(ctx, conn, v.Target, iscsi.Want{Size: v.Size, Identity: v.Identity}); err != nil {
			return fmt.Errorf("the disk was not recorded: %w", err)
		}
		return w.Inventory.Recover(ctx, v.ID, onevolume.Recovery{
			State:  onevolume.Attached,
			Reason: fmt.Sprintf("found as %s", s),
			Attachment: onevolume.Attachment{VM: s.vm, Host: s.host.name, Device: s.disk.Target,
				Source: s.disk.Source, Serial: s.disk.Serial},
		})
	})
}

// stillThere asks that the domain has the disk as it was seen.
func (w *world) stillThere(ctx context.Context, conn command.Host, s sighting) error {
	list, err := s.host.driver.Domains(ctx, conn)
	if err != nil {
		return err
	}
	for _, dom := range list {
		if dom.UUID == s.dom.UUID && dom.Running && slices.Contains(dom.Disks, s.disk) {
			return nil
		}
	}
	return onevolume.Errorf(onevolume.Action, "%s is not there any more, and nothing was done", s).WithHint("examine again")
}

// takeOut takes the disk out of a domain that should not have it, and the
// device off its host unless the volume belongs there.
func (w *world) takeOut(ctx context.Context, v onevolume.Volume, s sighting) error {
	return w.withLock(ctx, s.host, v.Target, func(conn command.Host) error {
		if err := w.stillThere(ctx, conn, s); err != nil {
			return err
		}
		if err := w.unplug(ctx, conn, s); err != nil {
			return err
		}
		if v.State == onevolume.Attached && w.host(v.Attachment.Host) == s.host || len(w.seenOn(v, s.host)) > 1 {
			return nil
		}
		return w.releaseOn(ctx, conn, s.host, []onevolume.Volume{v})
	})
}

func (w *world) seenOn(v onevolume.Volume, h *host) (list []sighting) {
	for _, s := range w.seen[v.ID] {
		if s.host == h && s.dom.Running {
			list = append(list, s)
		}
	}
	return list
}

// unplug takes a disk out of its domain and waits until it is gone. No
// operation changes the domain meanwhile.
func (w *world) unplug(ctx context.Context, conn command.Host, s sighting) error {
	limits := w.Limits.filled()
	if s.vm != onevolume.NoVM {
		unlock, err := conn.Lock(ctx, hypervisor.LockName(s.vm), limits.Lock+limits.Unplug)
		if err != nil {
			return onevolume.Errorf(onevolume.Busy, "%w", err).WithHint("wait for the other operation, see onevolume list")
		}
		defer unlock()
	}
	vm := onevolume.VM{ID: s.vm, Host: s.host.name, DeployID: s.dom.UUID}
	return s.host.driver.Unplug(ctx, conn, vm, hypervisor.Disk{Serial: s.disk.Serial, Source: s.disk.Source}, limits.Unplug)
}

// plugAnew takes out a disk whose device is gone and plugs the volume again.
//
// The host logs in first, while QEMU still has the old device open: so the
// kernel gives the new one another name. libvirt cannot give back the old name
// in the domain's own /dev, since there is no device behind it any more, and
// refuses to plug one of that name for as long as the domain lives (9.0:
// "Setting different DAC user or group").
func (w *world) plugAnew(ctx context.Context, v onevolume.Volume, s sighting) error {
	err := w.withLock(ctx, s.host, v.Target, func(conn command.Host) error {
		if err := w.stillThere(ctx, conn, s); err != nil {
			return err
		}
		facts, err := w.Initiator.Survey(ctx, conn)
		if err != nil {
			return err
		}
		now := host{iscsi: facts}
		if _, unit := now.device(v.Target); unit != nil {
			return onevolume.Errorf(onevolume.Action, "the device is back (%s), and nothing was done", unit.Name).WithHint("examine again")
		}
		if v.ArrayID != "" {
			return onevolume.Errorf(onevolume.Action, "volume %d was made on array %s, which lets the host in by operations alone", v.ID, v.Array).
				WithHint("detach it with --no-format, and attach it again")
		}
		full, err := w.Inventory.Credentials(ctx, v.ID)
		if err != nil {
			return err
		}
		if _, err := w.Initiator.Connect(ctx, conn, full.Target, iscsi.Want{Size: v.Size, Identity: v.Identity}); err != nil {
			return err
		}
		if err := w.unplug(ctx, conn, s); err != nil {
			// With a device the dead disk would look alive.
			if undoErr := w.Initiator.Release(ctx, conn, v.Target); undoErr != nil {
				return fmt.Errorf("%w; and the host stays logged in: %w", err, undoErr)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.Replug(ctx, v)
}

// rename gives a host without sessions an initiator name of its own.
func (w *world) rename(ctx context.Context, h *host, name onevolume.IQN) error {
	conn, err := w.Hosts.Dial(ctx, h.name)
	if err != nil {
		return onevolume.Errorf(onevolume.Unreachable, "%w", err)
	}
	defer func() { _ = conn.Close() }()
	for _, op := range w.running {
		if op.VM.Host == h.name {
			return onevolume.Errorf(onevolume.Busy, "operation %d works on host %s", op.ID, h.name).WithHint("examine again when it has ended")
		}
	}
	facts, err := w.Initiator.Survey(ctx, conn)
	if err != nil {
		return err
	}
	if len(facts.Sessions) > 0 || facts.Initiator != h.iscsi.Initiator {
		return onevolume.Errorf(onevolume.Action, "host %s has sessions or another name now, and nothing was done", h.name).WithHint("examine again")
	}
	return w.Initiator.Rename(ctx, conn, name)
}

// awaitOwner waits for onevolumed, whose own sweep takes operations over: a
// second one who does that would be one too many.
func (w *world) awaitOwner(ctx context.Context, op onevolume.Operation) error {
	ctx, cancel := context.WithTimeout(ctx, w.Limits.filled().Term)
	defer cancel()
	for {
		now, err := w.Inventory.Operation(ctx, op.ID)
		if err == nil && (now.Status != onevolume.Running || now.Generation != op.Generation) {
			return nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return onevolume.Errorf(onevolume.Busy, "onevolumed does not take operation %d over", op.ID).
				WithHint("look at its log, and restart it: systemctl restart onevolumed")
		}
	}
}
