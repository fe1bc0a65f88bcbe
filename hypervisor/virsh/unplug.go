package virsh

import (
	"context"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// How Unplug waits. virsh detach-disk itself waits 5 s for the guest.
const (
	firstPause = 100 * time.Millisecond // between looks at the domain, growing …
	lastPause  = 2 * time.Second        // … up to this
	askAgain   = 10 * time.Second       // a guest that was booting has not heard the first request
)

// Unplug detaches the disk, and looks until the live domain no longer shows
// it.
func (v *Driver) Unplug(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	asked, pause := time.Now(), firstPause
	l, done, err := v.straight(ctx, h, vm, d)
	if !done {
		asked = time.Time{}
		l, err = v.find(ctx, h, vm)
	}
	for err == nil {
		var k hypervisor.Disk
		var there bool
		k, there, err = holding(h, l, d)
		switch late := !time.Now().Before(deadline); {
		case err != nil:
			return err
		case !there && !l.busy():
			return nil
		case there && (asked.IsZero() || !late && time.Since(asked) >= askAgain):
			asked = time.Now()
			l, err = v.ask(ctx, h, l.Domain, d, k)
		case late && there:
			return v.held(h, l.Domain, k, wait)
		case late:
			return onevolume.Errorf(onevolume.Busy, "domain %s on host %s: libvirt is at work on it (%s), the disk %s may yet appear", l.Name, h.Name(), l.control, d.Serial).
				WithHint("try again when that is over; see virsh domcontrol %s", command.Quote(l.Name))
		default:
			if err := sleep(ctx, min(pause, time.Until(deadline))); err != nil {
				return onevolume.Errorf(onevolume.Unknown, "domain %s on host %s: nobody waits any longer for disk %s to go: %w", l.Name, h.Name(), d.Serial, err)
			}
			pause = min(pause*3/2, lastPause)
			l, err = v.look(ctx, h, l.UUID)
		}
	}
	return err
}

// straight asks for the disk by its source at once, where the domain's name
// can stand in a chain: a process saved of the two that looking first takes.
// It says whether it did; a domain of that name may not be there. Only names
// that libvirt cannot take for the id of another domain are used.
func (v *Driver) straight(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk) (live, bool, error) {
	name := names(vm)[0]
	if d.Source == "" || !plain(d.Source) || name != ownName(vm.ID) && !uuidForm.MatchString(name) {
		return live{}, false, nil
	}
	dom := hypervisor.Domain{Name: name, UUID: name}
	l, err := v.ask(ctx, h, dom, d, hypervisor.Disk{Source: d.Source, Target: d.Source, Serial: d.Serial})
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return live{}, false, nil
	}
	return l, true, err
}

// ask asks the guest for the disk k and returns the domain as it is
// afterwards. What virsh complained of is an error only when the disk is
// still there and waiting does not help.
func (v *Driver) ask(ctx context.Context, h command.Host, dom hypervisor.Domain, d, k hypervisor.Disk) (live, error) {
	l, why, err := v.change(ctx, h, dom, "detaching disk "+k.Target, v.detach(dom, k))
	if err != nil || why == nil {
		return l, err
	}
	switch why.cause {
	case noDisk, detaching, busy:
		return l, nil
	}
	if _, there, _ := holding(h, l, d); !there {
		return l, nil
	}
	return l, why
}

// detach is the command that detaches the disk. virsh looks for the source or
// the target among the disks of the live domain; a source is the surer name,
// for a target that became free is given to others.
func (v *Driver) detach(dom hypervisor.Domain, k hypervisor.Disk) command.Cmd {
	name, same := k.Source, 0
	for _, o := range dom.Disks {
		if o.Source == k.Source {
			same++
		}
	}
	if !plain(name) || same > 1 {
		name = k.Target
	}
	return v.chain(append([]string{"detach-disk " + dom.UUID + " " + name + " --live"}, look(dom.UUID)...)...)
}

// UnplugCommands is the one command of the usual case; d is as the domain
// shows it.
func (v *Driver) UnplugCommands(dom hypervisor.Domain, d hypervisor.Disk) []command.Cmd {
	if !plain(dom.UUID) {
		return nil
	}
	return []command.Cmd{v.detach(dom, d)}
}

// holding looks for the disk to unplug. A domain that does not run holds
// nothing. An error says that what is there is not quite the disk.
func holding(h command.Host, l live, d hypervisor.Disk) (hypervisor.Disk, bool, error) {
	if !l.Running {
		return d, false, nil
	}
	var near *hypervisor.Disk
	for _, k := range l.Disks {
		serial := d.Serial != "" && k.Serial == d.Serial
		source := d.Source != "" && k.Source == d.Source
		switch {
		case serial && (source || d.Source == ""), source && (k.Serial == "" || d.Serial == ""):
			return k, true, nil
		case serial, source:
			near = &k
		}
	}
	if near != nil {
		return *near, false, mismatch(h, l.Domain, *near, d)
	}
	return d, false, nil
}

// held is the error for a guest that has not let go.
func (v *Driver) held(h command.Host, dom hypervisor.Domain, k hypervisor.Disk, wait time.Duration) error {
	err := onevolume.Errorf(onevolume.Held, "domain %s on host %s (%s): the guest has not let go of disk %s (%s) within %s", dom.Name, h.Name(), dom.State, k.Target, k.Serial, wait)
	if strings.HasPrefix(dom.State, "paused") || strings.HasPrefix(dom.State, "pmsuspended") {
		return err.WithHint("a guest that does not run cannot answer: resume it (virsh resume %s), then detach again", command.Quote(dom.Name))
	}
	return err.WithHint("in the guest, unmount what is on %s and see that nothing uses it; a guest that is still booting answers later; then detach again", v.GuestPath(k))
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
