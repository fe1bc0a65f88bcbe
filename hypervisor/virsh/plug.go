package virsh

import (
	"context"
	"slices"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// stdin is where attach-device reads the disk's XML: nothing is left on the
// host, and nothing of the XML stands in a command line.
const stdin = "/dev/stdin"

// Plug attaches the disk and looks at the live domain in one virsh process.
func (v *Driver) Plug(ctx context.Context, h command.Host, dom hypervisor.Domain, d hypervisor.Disk) (hypervisor.Disk, error) {
	if err := checkDisk(d); err != nil {
		return d, err
	}
	if !dom.Running {
		return d, onevolume.Errorf(onevolume.Action, "domain %s on host %s is not running (%s)", dom.Name, h.Name(), dom.State).
			WithHint("start the VM, then try again")
	}
	tried := map[hypervisor.Slot]bool{}
	for range maxSlots {
		if k, there, err := present(h, dom, d); there || err != nil {
			return k, err
		}
		i := slices.IndexFunc(dom.Slots, func(s hypervisor.Slot) bool { return !tried[s] })
		if i < 0 || !plain(dom.UUID) {
			break
		}
		slot := dom.Slots[i]
		tried[slot] = true
		l, why, err := v.change(ctx, h, dom, "attaching "+d.Source, v.attach(dom, d, slot))
		if err != nil {
			return d, err
		}
		k, there, err := present(h, l.Domain, d)
		switch {
		case there || err != nil:
			return k, err
		case why == nil && l.busy():
			return d, onevolume.Errorf(onevolume.Unknown, "domain %s on host %s: libvirt has not finished attaching %s", dom.Name, h.Name(), d.Source).
				WithHint("see whether the disk comes: virsh domblklist %s", command.Quote(dom.Name))
		case why == nil:
			return d, onevolume.Errorf(onevolume.Refused, "domain %s on host %s: the live domain does not show the disk %s", dom.Name, h.Name(), d.Source)
		case why.cause != slotTaken:
			return d, why
		}
		dom = l.Domain
	}
	return d, onevolume.Errorf(onevolume.Action, "domain %s on host %s has no free place on a virtio-scsi controller", dom.Name, h.Name()).
		WithHint("OpenNebula gives each KVM VM a virtio-scsi controller; power the VM off and on if this one has none")
}

// attach is the command that attaches the disk in the slot.
func (v *Driver) attach(dom hypervisor.Domain, d hypervisor.Disk, s hypervisor.Slot) command.Cmd {
	c := v.chain(append([]string{"attach-device " + dom.UUID + " " + stdin + " --live"}, look(dom.UUID)...)...)
	c.Stdin, c.Plain = render(d, s), true
	return c
}

// PlugCommands is the one command of the usual case.
func (v *Driver) PlugCommands(dom hypervisor.Domain, d hypervisor.Disk) []command.Cmd {
	if len(dom.Slots) == 0 || !plain(dom.UUID) {
		return nil
	}
	return []command.Cmd{v.attach(dom, d, dom.Slots[0])}
}

// present looks for the disk in the domain. An error says that the disk
// cannot come there: its serial or its source is another disk's.
func present(h command.Host, dom hypervisor.Domain, d hypervisor.Disk) (hypervisor.Disk, bool, error) {
	for _, k := range dom.Disks {
		switch {
		case k.Serial == d.Serial && k.Source == d.Source:
			return k, true, nil
		case k.Serial == d.Serial:
			return k, false, mismatch(h, dom, k, d)
		case k.Source == d.Source:
			return k, false, onevolume.Errorf(onevolume.Held, "domain %s on host %s: %s is its disk %s already, with the serial %q and not %q",
				dom.Name, h.Name(), k.Source, k.Target, k.Serial, d.Serial).
				WithHint("nothing was changed; find out who plugged it before taking it out: virsh dumpxml %s", command.Quote(dom.Name))
		}
	}
	return d, false, nil
}

// mismatch says that one half of a disk's identity is not what it should be.
func mismatch(h command.Host, dom hypervisor.Domain, is, want hypervisor.Disk) error {
	return onevolume.Errorf(onevolume.Mismatch, "domain %s on host %s: disk %s is %s with the serial %q; expected %s with the serial %q",
		dom.Name, h.Name(), is.Target, is.Source, is.Serial, want.Source, want.Serial).
		WithHint("nothing was changed; find out who plugged it: virsh dumpxml %s", command.Quote(dom.Name))
}

// complaint is what virsh said of a change that it may not have made.
type complaint struct {
	error
	cause cause
}

func (c *complaint) Unwrap() error { return c.error }

// change runs a chain that changes the domain and looks at it. It returns the
// domain as it is then, and virsh's complaint, if there was one; an error
// says that the domain could not be seen.
func (v *Driver) change(ctx context.Context, h command.Host, dom hypervisor.Domain, doing string, c command.Cmd) (live, *complaint, error) {
	r, err := h.Run(ctx, c)
	if err != nil {
		if notRun(err) {
			return live{}, nil, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", dom.Name, h.Name(), doing, err)
		}
		// The answer is lost, not what was done: what the domain shows is
		// as good an answer.
		l, lookErr := v.look(ctx, h, dom.UUID)
		if lookErr != nil && onevolume.CodeOf(lookErr) != onevolume.NotFound {
			return l, nil, onevolume.Errorf(onevolume.Unknown, "domain %s on host %s: %s: %w", dom.Name, h.Name(), doing, err).
				WithHint("see what the domain has: virsh domblklist %s", command.Quote(dom.Name))
		}
		return l, nil, lookErr
	}
	l, err := parseLook(r.Stdout)
	if err != nil {
		return l, nil, failure(h, dom.Name, doing, r)
	}
	if len(said(r.Stderr)) == 0 {
		return l, nil, nil
	}
	return l, &complaint{failure(h, dom.Name, doing, r), causeOf(r)}, nil
}
