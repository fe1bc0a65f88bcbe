package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// disks compares where a volume is on record with the domains that have it.
func (w *world) disks(ctx context.Context, v onevolume.Volume) []difference {
	var own, others, off []sighting
	for _, s := range w.seen[v.ID] {
		mine := v.Attachment.VM != onevolume.NoVM && s.vm == v.Attachment.VM
		switch {
		case w.scope.Host != "" && s.host.name != w.scope.Host:
		case !s.dom.Running && !mine:
			off = append(off, s)
		case !s.dom.Running:
		case mine:
			own = append(own, s)
		default:
			others = append(others, s)
		}
	}
	switch {
	case len(own)+len(others) > 1:
		return w.twoDomains(v, own, others)
	case len(others) == 1 && v.State.Free():
		return []difference{w.adoptable(v, others[0])}
	case len(others) == 1:
		return []difference{w.stray(v, others[0])}
	case len(own) == 1 && v.State == onevolume.Attached:
		return w.attached(v, own[0])
	case len(off) > 0 && v.State.Free():
		return []difference{w.described(v, off[0])}
	case len(own) == 0 && v.State == onevolume.Attached:
		return w.unplugged(ctx, v)
	}
	return nil
}

const corrupts = "two guests that write to one volume destroy each other's data, whatever is on it"

// twoDomains is the worst that can be. The domain on record keeps the disk.
func (w *world) twoDomains(v onevolume.Volume, own, others []sighting) []difference {
	var where []string
	for _, s := range append(own, others...) {
		where = append(where, s.String())
	}
	begin := func(s sighting) onevolume.Finding {
		f := about(onevolume.TwoDomains, s.host.name, v.ID)
		f.VM, f.Risk = s.vm, corrupts
		f.Cause = fmt.Sprintf("%s, is in several running domains: %s", said(v), strings.Join(where, ", "))
		return f
	}
	if len(own) != 1 || v.State == onevolume.Failed {
		f := begin(append(own, others...)[0])
		f.Cause += "; which of them is right cannot be told from here"
		if len(own) > 1 {
			f.Cause += ": the same VM runs twice"
		}
		f.Repair = append([]string{"# end all but one, or take the disk out of it:"}, w.unplugLines(append(own, others...))...)
		return []difference{{Finding: f}}
	}
	var list []difference
	for _, s := range others {
		f := begin(s)
		f.Cause += fmt.Sprintf("; on record is VM %d", v.Attachment.VM)
		list = append(list, w.takeAway(v, s, f))
	}
	return list
}

// stray is a disk in a domain other than the one on record, which has none.
func (w *world) stray(v onevolume.Volume, s sighting) difference {
	f := about(onevolume.StrayDisk, s.host.name, v.ID)
	f.VM = s.vm
	f.Cause = fmt.Sprintf("%s, is %s", said(v), s)
	f.Risk = "what that guest writes is lost when the volume is detached and wiped; in two guests it destroys both's data"
	return w.takeAway(v, s, f)
}

// takeAway completes a finding whose domain is to lose the disk.
func (w *world) takeAway(v onevolume.Volume, s sighting, f onevolume.Finding) difference {
	f.Repair = w.unplugLines([]sighting{s})
	if !s.ours || v.State == onevolume.Failed {
		if !s.ours {
			f.Cause += notOurs(s)
		}
		return difference{Finding: f}
	}
	f.Repair = append(f.Repair, w.releaseLines(s.host, v)...)
	f.Fixable = true
	return difference{f, func(ctx context.Context) error { return w.takeOut(ctx, v, s) }}
}

// adoptable is a disk of a volume that is free on record, in one domain: the
// record is what is put right, and nothing of the guest is touched.
func (w *world) adoptable(v onevolume.Volume, s sighting) difference {
	f := about(onevolume.StrayDisk, s.host.name, v.ID)
	f.VM = s.vm
	f.Cause = fmt.Sprintf("%s, is %s", said(v), s)
	f.Risk = "it may be given to another VM, or wiped, while this guest uses it"
	return w.adopting(v, s, f)
}

func (w *world) adopting(v onevolume.Volume, s sighting, f onevolume.Finding) difference {
	switch {
	case !s.ours:
		f.Cause += notOurs(s)
		f.Repair = w.unplugLines([]sighting{s})
		return difference{Finding: f}
	case s.vm == onevolume.NoVM:
		f.Cause += ", which is no domain of OpenNebula's by its name"
		f.Repair = w.unplugLines([]sighting{s})
		return difference{Finding: f}
	}
	f.Repair = []string{command.Join([]string{"onevolume", "recover", "--status", "attached", "--vm", fmt.Sprint(int(s.vm)),
		"--host", s.host.name, "--device", s.disk.Target, "--source", s.disk.Source, "--serial", s.disk.Serial, fmt.Sprint(int(v.ID))})}
	f.Fixable, f.Harmless = true, true
	return difference{f, func(ctx context.Context) error { return w.adopt(ctx, v, s) }}
}

func notOurs(s sighting) string {
	return fmt.Sprintf(" by its serial number %s, but its source %s is no device of the volume", s.disk.Serial, s.disk.Source)
}

// described is a disk that a domain gets when it is started.
func (w *world) described(v onevolume.Volume, s sighting) difference {
	f := about(onevolume.StrayDisk, s.host.name, v.ID)
	f.VM = s.vm
	f.Cause = fmt.Sprintf("%s, is %s, which is not running", said(v), s)
	f.Risk = "when that domain is started it has the volume, whoever else has it by then"
	f.Repair = w.unplugLines([]sighting{s})
	return difference{Finding: f}
}

// attached looks after a volume that is in the domain it should be in.
func (w *world) attached(v onevolume.Volume, s sighting) []difference {
	record := w.host(v.Attachment.Host)
	switch {
	case record == nil:
		return nil // it may be there too
	case record != s.host:
		f := about(onevolume.StrayDisk, s.host.name, v.ID)
		f.VM = s.vm
		f.Cause = fmt.Sprintf("%s, has moved: it is %s", said(v), s)
		f.Risk = "it is looked for on the wrong host"
		return []difference{w.adopting(v, s, f)}
	}
	session, unit := s.host.device(v.Target)
	f := about(onevolume.NoSession, s.host.name, v.ID)
	f.VM = v.Attachment.VM
	f.Risk = "the guest's reads and writes hang or fail"
	switch {
	case session != nil && !session.Working():
		f.Cause = fmt.Sprintf("session %d of %s, at %s is lost (%s); the host tries to bring it back, and the guest goes on when it does",
			session.ID, said(v), session.Portal, session.State)
		f.Repair = []string{"# see that the target answers at " + session.Portal.String(), on(s.host.name, sudo("iscsiadm", "-m", "session", "-r", fmt.Sprint(session.ID), "-R"))[0]}
		return []difference{{Finding: f}}
	case unit != nil && unit.State != "running" && unit.State != "":
		f.Cause = fmt.Sprintf("the kernel has %s of %s, in the state %q", unit.Name, said(v), unit.State)
		run := sudo("tee", "/sys/block/"+unit.Name+"/device/state")
		run.Stdin, run.Plain = command.Secret("running\n"), true
		f.Repair = on(s.host.name, run)
		return []difference{{Finding: f}}
	case unit != nil:
		return nil
	}
	f.Cause = fmt.Sprintf("%s, has no device there any more, and %s leads nowhere", said(v), s)
	f.Risk += "; what it had not written yet is lost already"
	f.Repair = slices.Concat(w.connectLines(s.host, v, session != nil), w.unplugLines([]sighting{s}), w.plugLines(s.host, v, s.dom))
	f.Fixable = w.Replug != nil
	return []difference{{f, func(ctx context.Context) error { return w.plugAnew(ctx, v, s) }}}
}

// unplugged is an attachment whose disk no domain has.
func (w *world) unplugged(ctx context.Context, v onevolume.Volume) []difference {
	record := w.host(v.Attachment.Host)
	if record == nil || w.scope.Host != "" && record.name != w.scope.Host {
		return nil
	}
	f := about(onevolume.NoDisk, record.name, v.ID)
	f.VM = v.Attachment.VM
	h, dom, found := w.domainOf(ctx, v)
	switch {
	case !found:
		f.Cause = fmt.Sprintf("%s: the VM has no domain on any host that was examined; it is off or elsewhere, and the attachment is kept", said(v))
		f.Risk = "none while the VM is off; when it starts again, it does so without the volume"
		f.Repair = []string{fmt.Sprintf("# nothing; if the VM shall not have it any more: onevolume detach %d %d", f.VM, v.ID)}
	case !dom.Running:
		f.Cause = fmt.Sprintf("%s: domain %s on host %s is not running (%s), and the attachment is kept", said(v), dom.Name, h.name, dom.State)
		f.Risk = "none while it is off; when it starts again, it may do so without the volume"
		f.Repair = []string{fmt.Sprintf("# nothing; if the VM shall not have it any more: onevolume detach %d %d", f.VM, v.ID)}
	case h != record:
		f.Cause = fmt.Sprintf("%s: domain %s runs on host %s, without the volume", said(v), dom.Name, h.name)
		f.Risk = "the guest misses its disk"
		f.Repair = []string{fmt.Sprintf("onevolume detach --no-format %d %d", f.VM, v.ID), fmt.Sprintf("onevolume attach %d --volume %d", f.VM, v.ID)}
	default:
		session, unit := h.device(v.Target)
		f.Cause = fmt.Sprintf("%s, is no disk of domain %s, which runs there", said(v), dom.Name)
		if unit == nil {
			f.Cause += fmt.Sprintf(", and host %s has no device of it", h.name)
		}
		f.Risk = "the guest misses its disk"
		f.Repair = append(w.connectLines(h, v, session != nil), w.plugLines(h, v, dom)...)
		f.Fixable = w.Replug != nil
		return []difference{{f, func(ctx context.Context) error { return w.Replug(ctx, v) }}}
	}
	return []difference{{Finding: f}}
}

// unplugLines are the commands that take disks out of domains.
func (w *world) unplugLines(list []sighting) []string {
	var lines []string
	for _, s := range list {
		lines = append(lines, on(s.host.name, s.host.driver.UnplugCommands(s.dom, s.disk)...)...)
	}
	return lines
}

// connectLines are the commands that log a host in to a volume's target.
func (w *world) connectLines(h *host, v onevolume.Volume, connected bool) []string {
	cmds := w.Initiator.ConnectCommands(v.Target)
	if connected {
		cmds = cmds[len(cmds)-1:] // the scan alone
	}
	return on(h.name, cmds...)
}

// plugLines are the commands that put a volume into a domain.
func (w *world) plugLines(h *host, v onevolume.Volume, dom hypervisor.Domain) []string {
	// Where the disk goes in the domain is chosen in the moment it is plugged.
	dom.Slots = []hypervisor.Slot{{Target: "sdiv"}}
	return on(h.name, h.driver.PlugCommands(dom, hypervisor.Disk{Source: w.Initiator.Path(v.Target), Serial: onevolume.Serial(v.ID)})...)
}
