package xen

import (
	"context"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// How Unplug waits. xl block-detach itself waits 10 s for the guest.
const (
	firstPause = 100 * time.Millisecond // between looks at the domain, growing …
	lastPause  = 2 * time.Second        // … up to this
	askAgain   = 10 * time.Second       // a guest that was booting has not heard the first request
)

// Unplug detaches the disk, and looks until neither xenstore nor the kernel
// has it for the domain. A guest that has the disk open keeps it, and works
// on; it lets go when it closes the disk.
func (x *Driver) Unplug(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk, wait time.Duration) error {
	return x.unplug(ctx, h, vm, d, wait, false)
}

// ForceUnplug takes the disk from the guest as it is: what the guest has open
// gives I/O errors from then on.
func (x *Driver) ForceUnplug(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk, wait time.Duration) error {
	return x.unplug(ctx, h, vm, d, wait, true)
}

func (x *Driver) unplug(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk, wait time.Duration, force bool) error {
	if d.Source == "" {
		return onevolume.Errorf(onevolume.Invalid, "host %s: a disk of Xen's is known by its source, and none is given", h.Name())
	}
	deadline := time.Now().Add(wait)
	asked, pause := time.Time{}, firstPause
	for {
		v, dom, err := x.find(ctx, h, vm, d.Source)
		if err != nil {
			return err
		}
		k, there := dom.disk(d.Source)
		lingers := v.lingers(dom, d.Source)
		late := !time.Now().Before(deadline)
		switch {
		case !there && lingers == "":
			return nil
		case there && (asked.IsZero() || !late && (k.state == stateClosed || time.Since(asked) >= askAgain)):
			asked = time.Now()
			// What no guest has, or one that is dead, nobody can let go of.
			force := force || k.device == "" || !dom.Running
			if err := x.ask(ctx, h, v, dom, k, force); err != nil {
				return err
			}
		case late && there:
			return x.held(h, dom, k, wait)
		case late:
			return onevolume.Errorf(onevolume.Held, "domain %s on host %s: the kernel still has the disk for it (%s)", dom.Name, h.Name(), lingers).
				WithHint("see what the host's kernel says (dmesg), then detach again")
		default:
			if err := sleep(ctx, min(pause, time.Until(deadline))); err != nil {
				return onevolume.Errorf(onevolume.Unknown, "domain %s on host %s: nobody waits any longer for disk %s to go: %w", dom.Name, h.Name(), d.Source, err)
			}
			pause = min(pause*3/2, lastPause)
		}
	}
}

// ask asks for the disk. What the tool complains of is an error only when
// waiting does not help.
func (x *Driver) ask(ctx context.Context, h command.Host, v view, dom *domain, k disk, force bool) error {
	if !plain(dom.Name) {
		return onevolume.Errorf(onevolume.Action, "domain %q on host %s: Xen's tools take its name for something else", dom.Name, h.Name()).
			WithHint("rename the domain: xl rename")
	}
	c := x.detach(hypervisor.Domain{Name: dom.Name, Slots: []hypervisor.Slot{{Address: v.tool}}}, k.Disk, force)
	now, why, err := x.change(ctx, h, dom.Domain, "detaching disk "+k.Target, c)
	if err != nil || why == nil {
		return err
	}
	if _, there := now.disk(k.Source); !there || why.cause == noDisk || why.cause == inUse {
		return nil
	}
	return why
}

// disk finds a disk by its source.
func (d *domain) disk(source string) (disk, bool) {
	for _, k := range d.disks {
		if k.Source == source {
			return k, true
		}
	}
	return disk{}, false
}

// lingers names a backend by which the kernel has the source open for the
// domain, if there is one; xenstore may have forgotten it already.
func (v view) lingers(dom *domain, source string) string {
	number := v.devices[source]
	for _, b := range v.backends {
		if number != "" && b.id == dom.id && b.device == number {
			return b.name
		}
	}
	return ""
}

// held is the error for a guest that has not let go.
func (x *Driver) held(h command.Host, dom *domain, k disk, wait time.Duration) error {
	err := onevolume.Errorf(onevolume.Held, "domain %s on host %s (%s): the guest has not let go of disk %s (%s) within %s", dom.Name, h.Name(), dom.State, k.Target, k.Source, wait)
	if dom.State == "paused" {
		return err.WithHint("a guest that does not run cannot answer: resume it (xl unpause %s), then detach again", command.Quote(dom.Name))
	}
	return err.WithHint("in the guest, unmount what is on %s and see that nothing uses it; a guest that is still booting answers later; then detach again, "+
		"or with --force, which takes it away with what the guest has not written yet", x.GuestPath(k.Disk))
}

// sleep waits, or says why it did not.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
