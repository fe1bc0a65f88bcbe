package xen

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// Plug attaches the disk and looks at what came of it.
func (x *Driver) Plug(ctx context.Context, h command.Host, dom hypervisor.Domain, d hypervisor.Disk) (hypervisor.Disk, error) {
	if err := checkDisk(d); err != nil {
		return d, err
	}
	if !dom.Running {
		return d, onevolume.Errorf(onevolume.Action, "domain %s on host %s is not running (%s)", dom.Name, h.Name(), dom.State).
			WithHint("start the VM, then try again")
	}
	if !plain(dom.Name) {
		return d, onevolume.Errorf(onevolume.Action, "domain %q on host %s: Xen's tools take its name for something else", dom.Name, h.Name()).
			WithHint("rename the domain: xl rename")
	}
	tried := map[string]bool{}
	if _, there := dom.Find("", d.Source); there {
		// Whether the host has it too, only a look tells.
		now, err := x.again(ctx, h, dom, "looking for "+d.Source)
		if err != nil {
			return d, err
		}
		if k, there := now.whole(d.Source); there {
			return k, nil
		}
		if dom = now.Domain; !dom.Running {
			return x.Plug(ctx, h, dom, d)
		}
		if _, there := dom.Find("", d.Source); there {
			if dom, err = x.clear(ctx, h, now, d.Source); err != nil {
				return d, err
			}
		}
	}
	for range maxSlots {
		i := slices.IndexFunc(dom.Slots, func(s hypervisor.Slot) bool { return !tried[s.Target] })
		if i < 0 {
			break
		}
		slot := dom.Slots[i]
		tried[slot.Target] = true
		now, why, err := x.change(ctx, h, dom, "attaching "+d.Source, x.attach(dom, d, slot))
		if err != nil {
			return d, err
		}
		k, whole := now.whole(d.Source)
		_, there := now.Find("", d.Source)
		switch {
		case whole && now.Running:
			return k, nil
		case there && now.Running: // by half
			if _, err := x.clear(ctx, h, now, d.Source); err != nil {
				return d, err
			}
			if why == nil {
				why = &complaint{onevolume.Errorf(onevolume.Refused, "domain %s on host %s: its disk %s (%s) was plugged by half and is taken out again", dom.Name, h.Name(), k.Target, k.Source).
					WithHint("try again"), unclear}
			}
			return d, why
		case !now.Running: // it ended meanwhile
			if there {
				if _, _, err := x.change(ctx, h, now.Domain, "detaching "+d.Source, x.detach(dom, k, true)); err != nil {
					return d, err
				}
			}
			return d, onevolume.Errorf(onevolume.Action, "domain %s on host %s is not running (%s)", now.Name, h.Name(), now.State).
				WithHint("start the VM, then try again")
		case why == nil:
			return d, onevolume.Errorf(onevolume.Refused, "domain %s on host %s: %s says that %s is attached, and xenstore does not have it", dom.Name, h.Name(), slot.Address, d.Source).
				WithHint("see what the host's log says: /var/log/xen")
		case why.cause != slotTaken:
			return d, why
		}
		dom = now.Domain
	}
	return d, onevolume.Errorf(onevolume.Action, "domain %s on host %s has no free name for a disk from xvda to xvdz", dom.Name, h.Name()).
		WithHint("detach a volume from the VM first")
}

// whole finds a disk whose source the host's kernel has for the guest.
func (d *domain) whole(source string) (hypervisor.Disk, bool) {
	for _, k := range d.disks {
		if k.Source == source {
			return k.Disk, k.device != "" && k.state != stateClosing && k.state != stateClosed
		}
	}
	return hypervisor.Disk{}, false
}

// clear takes out of a domain what it has of a source and no guest uses: what
// a tool that died left in xenstore, or a disk that the guest let go of when no
// tool waited for it any more. It gives the domain as it is then. A disk that
// the guest has not let go of is Held.
func (x *Driver) clear(ctx context.Context, h command.Host, dom *domain, source string) (hypervisor.Domain, error) {
	k, _ := dom.disk(source)
	if k.device != "" && k.state != stateClosed {
		return dom.Domain, onevolume.Errorf(onevolume.Held, "domain %s on host %s: its disk %s (%s) is being taken out, and the guest has not let go", dom.Name, h.Name(), k.Target, k.Source).
			WithHint("in the guest, unmount what is on %s, then try again", x.GuestPath(k.Disk))
	}
	now, why, err := x.change(ctx, h, dom.Domain, "taking out what is left of "+k.Target, x.detach(dom.Domain, k.Disk, true))
	if err != nil {
		return dom.Domain, err
	}
	if _, there := now.disk(source); there {
		if why == nil {
			why = &complaint{error: onevolume.Errorf(onevolume.Refused, "domain %s on host %s: what is left of its disk %s (%s) stays", dom.Name, h.Name(), k.Target, k.Source)}
		}
		return now.Domain, why
	}
	return now.Domain, nil
}

// attach is the command that attaches the disk. Both tools know it in this
// form (xl-disk-configuration(5), positional; xm(1), block-attach).
func (x *Driver) attach(dom hypervisor.Domain, d hypervisor.Disk, s hypervisor.Slot) command.Cmd {
	mode := "w"
	if d.ReadOnly {
		mode = "r"
	}
	return x.argv(s.Address, "block-attach", dom.Name, "phy:"+d.Source, s.Target, mode)
}

// detach is the command that detaches the disk. xl takes the option before the
// words alone, and does as if it were not there when it comes after them (seen
// with Xen 4.17); xm takes it as its third word (tools/python/xen/xm/main.py).
func (x *Driver) detach(dom hypervisor.Domain, k hypervisor.Disk, force bool) command.Cmd {
	tool := cmp.Or(x.o.Tool, "xl")
	if len(dom.Slots) > 0 {
		tool = cmp.Or(dom.Slots[0].Address, tool)
	}
	switch {
	case force && tool == "xm":
		return x.argv(tool, "block-detach", dom.Name, k.Target, "--force")
	case force:
		return x.argv(tool, "block-detach", "--force", dom.Name, k.Target)
	}
	return x.argv(tool, "block-detach", dom.Name, k.Target)
}

// PlugCommands is the one command of the usual case.
func (x *Driver) PlugCommands(dom hypervisor.Domain, d hypervisor.Disk) []command.Cmd {
	if len(dom.Slots) == 0 || !plain(dom.Name) {
		return nil
	}
	s := dom.Slots[0]
	if s.Address == "" {
		s.Address = cmp.Or(x.o.Tool, "xl")
	}
	if free := slots(dom.Disks, s.Address); index(s.Target) < 0 && len(free) > 0 {
		s = free[0] // the caller did not know what names Xen has
	}
	return []command.Cmd{x.attach(dom, d, s)}
}

// UnplugCommands is the one command of the usual case; d is as the domain
// shows it.
func (x *Driver) UnplugCommands(dom hypervisor.Domain, d hypervisor.Disk) []command.Cmd {
	if !plain(dom.Name) {
		return nil
	}
	return []command.Cmd{x.detach(dom, d, false)}
}

// complaint is what a tool said of a change that it may not have made.
type complaint struct {
	error
	cause cause
}

func (c *complaint) Unwrap() error { return c.error }

// change runs a command that changes the domain and looks at it. It returns
// the domain as it is then, and the tool's complaint, if there was one; an
// error says that the domain could not be seen.
func (x *Driver) change(ctx context.Context, h command.Host, dom hypervisor.Domain, doing string, c command.Cmd) (*domain, *complaint, error) {
	r, runErr := h.Run(ctx, c)
	if errors.Is(runErr, command.ErrNotRun) {
		return nil, nil, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", dom.Name, h.Name(), doing, runErr)
	}
	// Also when the answer is lost: what the host shows is as good.
	now, err := x.again(ctx, h, dom, doing)
	switch {
	case err != nil && runErr != nil && onevolume.CodeOf(err) != onevolume.NotFound:
		return nil, nil, onevolume.Errorf(onevolume.Unknown, "domain %s on host %s: %s: %w", dom.Name, h.Name(), doing, runErr).
			WithHint("see what the domain has: xl block-list %s", command.Quote(dom.Name))
	case err != nil && runErr == nil && r.Code != 0 && onevolume.CodeOf(err) != onevolume.NotFound:
		return nil, nil, failure(h, dom.Name, doing, r)
	case err != nil && runErr == nil && onevolume.CodeOf(err) == onevolume.Unreachable:
		return nil, nil, onevolume.Errorf(onevolume.Unknown, "%w", err).WithHint("see what the domain has: xl block-list %s", command.Quote(dom.Name))
	case err != nil:
		return nil, nil, err
	case runErr == nil && r.Code != 0:
		return now, &complaint{failure(h, dom.Name, doing, r), causeOf(r)}, nil
	}
	return now, nil, nil
}

// again looks at a domain that was there a moment ago.
func (x *Driver) again(ctx context.Context, h command.Host, dom hypervisor.Domain, doing string) (*domain, error) {
	v, err := x.look(ctx, h, dom.Name, doing)
	if err != nil {
		return nil, err
	}
	// A domain that was started again has the same name and UUID.
	d := v.domain(dom.UUID)
	if d == nil {
		return nil, missing(h, dom.Name, v.tool)
	}
	return d, nil
}
