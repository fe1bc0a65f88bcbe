package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// target compares what a host has of a target with what belongs there: its
// sessions, node records and links. No volume of it was touched meanwhile.
func (w *world) target(h *host, iqn onevolume.IQN) []difference {
	volumes := w.targets[iqn]
	needed := slices.ContainsFunc(volumes, func(v onevolume.Volume) bool { return w.needs(v, h) })
	var sessions []iscsi.Session
	strangers := 0 // disks that are not in the inventory
	for _, s := range h.iscsi.Sessions {
		if s.IQN != iqn {
			continue
		}
		sessions = append(sessions, s)
		for _, u := range s.Units {
			if _, ours := w.unit(iqn, u.LUN); !ours && u.Name != "" {
				strangers++
			}
		}
	}
	list := w.records(h, iqn, needed || len(sessions) > 0, strangers > 0)
	switch {
	case len(sessions) == 0:
	case needed || strangers > 0:
		list = append(list, w.orphans(h, volumes, sessions)...)
	default:
		list = append(list, w.idle(h, volumes, sessions))
	}
	return append(list, w.links(h, iqn)...)
}

// idle is a target with sessions on a host that has no business with it.
func (w *world) idle(h *host, volumes []onevolume.Volume, sessions []iscsi.Session) difference {
	v := volumes[0]
	harmless := true
	var names, holders []string
	for _, s := range sessions {
		name := fmt.Sprintf("session %d at %s", s.ID, s.Portal)
		if !s.Working() {
			name += ", " + s.State
		}
		for _, u := range s.Units {
			if u.Name == "" {
				continue
			}
			if id, ok := w.unit(s.IQN, u.LUN); ok {
				v = w.known[id]
			}
			name += ", disk " + u.Name
			holders = append(holders, u.Holders...)
		}
		names = append(names, name)
	}
	for _, o := range volumes {
		harmless = harmless && o.State.Free()
	}
	f := about(onevolume.IdleSession, h.name, v.ID)
	f.Cause = fmt.Sprintf("the host is logged in to %s (%s), but has no business with %s", v.Target.IQN, strings.Join(names, "; "), said(v))
	f.Risk = "the next attach finds a device that nobody has looked after; an old login may keep the array busy or the volume from being deleted"
	f.Repair = w.releaseLines(h, volumes...)
	return w.releasable(h, volumes, holders, harmless, f)
}

// releasable completes a finding whose device is to go, unless the host
// itself has it in use.
func (w *world) releasable(h *host, volumes []onevolume.Volume, holders []string, harmless bool, f onevolume.Finding) difference {
	if len(holders) > 0 {
		f.Cause += "; the host has it in use itself: " + strings.Join(holders, ", ")
		f.Risk = "the host writes to a volume that may be given to a guest"
		f.Repair = append([]string{"# unmount it on host " + h.name + " first, or whatever gives it back; then:"}, f.Repair...)
		return difference{Finding: f}
	}
	f.Fixable, f.Harmless = true, harmless
	return difference{f, func(ctx context.Context) error { return w.release(ctx, h, volumes) }}
}

// orphans are devices of volumes that do not belong on the host, in sessions
// that others need.
func (w *world) orphans(h *host, volumes []onevolume.Volume, sessions []iscsi.Session) []difference {
	var list []difference
	for _, v := range volumes {
		if w.needs(v, h) || !w.scope.has(v) {
			continue
		}
		for _, s := range sessions {
			for _, u := range s.Units {
				if u.LUN != v.Target.LUN || u.Name == "" {
					continue
				}
				f := about(onevolume.OrphanDevice, h.name, v.ID)
				f.Cause = fmt.Sprintf("the host has the device %s of %s (session %d, which others use)", u.Name, said(v), s.ID)
				f.Risk = "the next attach finds a device that nobody has looked after"
				f.Repair = w.releaseLines(h, v)
				list = append(list, w.releasable(h, []onevolume.Volume{v}, u.Holders, v.State.Free(), f))
			}
		}
	}
	return list
}

// records finds node records by which the host would log in by itself, and
// those that nobody needs.
func (w *world) records(h *host, iqn onevolume.IQN, used, shared bool) []difference {
	var list []difference
	v := w.targets[iqn][0]
	for i, r := range h.iscsi.Records {
		if r.IQN != iqn || slices.Contains(h.iscsi.Records[:i], r) {
			continue
		}
		forget := func(ctx context.Context) error {
			return w.withLock(ctx, h, v.Target, func(conn command.Host) error { return w.Initiator.Forget(ctx, conn, r) })
		}
		switch {
		case r.Automatic():
			f := about(onevolume.AutomaticRecord, h.name, v.ID)
			f.Cause = fmt.Sprintf("the node record of %s at %s is %s", r.Name, r.At, r.Startup)
			f.Risk = "the host logs in by itself when it boots, also when the volume is a guest's on another host by then"
			f.Repair = on(h.name, iscsi.ManualCommands(r)...)
			// A disk of somebody else's on the same target may be wanted at boot.
			f.Fixable, f.Harmless = true, !shared
			fix := func(ctx context.Context) error {
				return w.withLock(ctx, h, v.Target, func(conn command.Host) error { return w.Initiator.SetManual(ctx, conn, r) })
			}
			if !used {
				f.Cause += ", and nothing there uses it"
				f.Repair, fix = on(h.name, iscsi.ForgetCommands(r)...), forget
			}
			list = append(list, difference{f, fix})
		case !used:
			f := about(onevolume.OrphanRecord, h.name, v.ID)
			f.Cause = fmt.Sprintf("the host has a node record of %s at %s, and nothing there uses it", r.Name, r.At)
			f.Risk = "whoever logs the host in to all its targets by hand logs it in to this one too"
			f.Repair = on(h.name, iscsi.ForgetCommands(r)...)
			f.Fixable, f.Harmless = true, true
			list = append(list, difference{f, forget})
		}
	}
	return list
}

// links finds names of the volumes' devices that lead to none.
func (w *world) links(h *host, iqn onevolume.IQN) []difference {
	var list []difference
	for _, l := range h.iscsi.Links {
		id, ours := w.unit(l.IQN, l.LUN)
		if !ours || l.IQN != iqn || w.needs(w.known[id], h) || !w.scope.has(w.known[id]) {
			continue
		}
		f := about(onevolume.StaleLink, h.name, id)
		f.Repair = on(h.name, iscsi.LinkCommands(l)...)
		if l.File {
			f.Cause = l.Path + " is a file, where there should be a link to a device or nothing"
			f.Risk = "somebody wrote to it for the disk, and may want what is in it; the next attach fails"
			f.Repair = []string{"# look at it and keep what is in it: ssh " + command.Quote(h.name) + " ls -l " + command.Quote(l.Path)}
			list = append(list, difference{Finding: f})
			continue
		}
		f.Cause = l.Path + " leads to no device"
		f.Risk = "whoever writes to it makes a file that looks like the volume"
		f.Fixable, f.Harmless = true, true
		list = append(list, difference{f, func(ctx context.Context) error {
			return w.withLock(ctx, h, w.known[id].Target, func(conn command.Host) error { return w.Initiator.RemoveLink(ctx, conn, l) })
		}})
	}
	return list
}

// releaseLines are the commands that take volumes' devices off a host.
func (w *world) releaseLines(h *host, volumes ...onevolume.Volume) []string {
	var cmds, logouts []command.Cmd
	kept := false
	for _, s := range h.iscsi.Sessions {
		if s.IQN != volumes[0].Target.IQN {
			continue
		}
		others := false
		for _, u := range s.Units {
			ours := slices.ContainsFunc(volumes, func(v onevolume.Volume) bool { return v.Target.LUN == u.LUN })
			others = others || u.Name != "" && !ours
			if u.Name == "" || !ours {
				continue
			}
			drop := sudo("tee", "/sys/block/"+u.Name+"/device/delete")
			drop.Stdin, drop.Plain = command.Secret("1\n"), true
			cmds = append(cmds, sudo("blockdev", "--flushbufs", "/dev/"+u.Name), drop)
		}
		kept = kept || others
		if !others {
			logouts = append(logouts, sudo("iscsiadm", "-m", "session", "-r", fmt.Sprint(s.ID), "-u"))
		}
	}
	cmds = append(cmds, logouts...)
	for _, r := range h.iscsi.Records {
		if !kept && r.IQN == volumes[0].Target.IQN {
			cmds = append(cmds, iscsi.ForgetCommands(r)...)
		}
	}
	return on(h.name, cmds...)
}
