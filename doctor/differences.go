package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
)

// difference is a finding, and what puts it right.
type difference struct {
	onevolume.Finding
	// fix does what Repair says. It looks again at what it is about to touch,
	// under the lock that operations take too. Nil when Fixable is not set.
	fix func(ctx context.Context) error
}

// differences lists all that differs, in a fixed order.
func (w *world) differences(ctx context.Context) []difference {
	var list []difference
	for _, name := range slices.Sorted(maps.Keys(w.silent)) {
		list = append(list, w.hostSilent(name))
	}
	for _, v := range w.volumes {
		if w.restless[v.ID] {
			continue
		}
		list = append(list, w.disks(ctx, v)...)
		list = append(list, w.identity(v)...)
	}
	for _, h := range w.hosts {
		for _, iqn := range slices.Sorted(maps.Keys(w.targets)) {
			if w.steady(iqn) && slices.ContainsFunc(w.targets[iqn], w.scope.has) {
				list = append(list, w.target(h, iqn)...)
			}
		}
	}
	if w.scope.Volume == onevolume.NoVolume && w.scope.Array == "" {
		list = append(list, w.sameInitiators()...)
	}
	list = append(list, w.ownerless()...)
	list = append(list, w.fenced()...)
	order := onevolume.Troubles()
	slices.SortStableFunc(list, func(a, b difference) int {
		return cmp.Or(slices.Index(order, a.Trouble)-slices.Index(order, b.Trouble), cmp.Compare(a.Volume, b.Volume))
	})
	return list
}

// about begins a finding on a volume on a host.
func about(t onevolume.Trouble, host string, v onevolume.VolumeID) onevolume.Finding {
	return onevolume.Finding{Trouble: t, Host: host, Volume: v, VM: onevolume.NoVM}
}

func (w *world) hostSilent(name string) difference {
	err := w.silent[name]
	f := about(onevolume.HostSilent, name, onevolume.NoVolume)
	f.Cause = "the host could not be examined: " + err.Error()
	f.Risk = "what is attached there is not known; nothing of it is taken for lost"
	f.Repair = []string{"ssh " + command.Quote(name) + " true"}
	hint := onevolume.HintOf(err)
	if dial, ok := errors.AsType[*command.DialError](err); ok && hint == "" {
		hint = dial.Hint
	}
	if hint != "" {
		f.Cause += " (" + hint + ")"
	}
	return difference{Finding: f}
}

// fenced tells of hosts on which nothing is plugged until they are clean.
func (w *world) fenced() []difference {
	var list []difference
	for _, r := range w.fences {
		v, ok := w.known[r.Volume]
		if ok && !w.scope.has(v) || !ok && w.scope != (Scope{Host: w.scope.Host, Volume: onevolume.NoVolume}) || w.scope.Host != "" && r.Host != w.scope.Host {
			continue
		}
		f := about(onevolume.HostFenced, r.Host, r.Volume)
		f.VM, f.Operation = r.VM.ID, r.Operation
		f.Cause = fmt.Sprintf("the host was cut off from the volume at %s, and has not been cleaned of it", r.Since.UTC().Format("2006-01-02 15:04:05 UTC"))
		f.Risk = "nothing is plugged there until oned has the host in sight, no domain there has the disk, and onevolumed has logged it out"
		f.Repair = []string{fmt.Sprintf("onehost show %s", command.Quote(r.Host)), fmt.Sprintf("virsh domstate one-%d", r.VM.ID)}
		list = append(list, difference{Finding: f})
	}
	return list
}

// ownerless finds operations that nobody works on any more and that the
// daemon has not taken over as it should.
func (w *world) ownerless() []difference {
	var list []difference
	for _, op := range w.running {
		v, ok := w.known[op.Volume]
		late := w.now.Sub(op.Lease)
		if late <= w.Limits.filled().Term || w.owned[op.ID] || ok && !w.scope.has(v) || w.scope.Host != "" && op.VM.Host != w.scope.Host {
			continue
		}
		f := about(onevolume.NoOwner, op.VM.Host, op.Volume)
		f.VM, f.Operation, f.Fixable = op.VM.ID, op.ID, true
		f.Cause = fmt.Sprintf("operation %d (%s) of %s has had no word from its owner since %s, and onevolumed has not taken it over",
			op.ID, op.Kind, op.Owner, op.Lease.UTC().Format("15:04:05 UTC"))
		f.Risk = "its volume stays in between, and what it began on the host stays half done"
		f.Repair = []string{"systemctl restart onevolumed", fmt.Sprintf("onevolume explain %d", op.ID)}
		list = append(list, difference{f, func(ctx context.Context) error { return w.awaitOwner(ctx, op) }})
	}
	return list
}

// on is a command as a person types it for a host.
func on(host string, cmds ...command.Cmd) []string {
	var list []string
	for _, c := range cmds {
		remote := strings.Replace(c.String(), "sudo -n ", "sudo ", 1)
		if strings.ContainsAny(remote, `'"$;&|<>()!*?\#~`+"`") {
			remote = command.Quote(remote)
		}
		line := "ssh " + command.Quote(host) + " " + remote
		switch {
		case c.Plain:
			line = "echo " + command.Quote(flat(c.Stdin)) + " | " + line
		case len(c.Stdin) > 0:
			line += " < (settings of the node record, with its secrets)"
		}
		list = append(list, line)
	}
	return list
}

// flat is an input in one line: a word for sysfs, or XML.
func flat(in command.Secret) string {
	var b strings.Builder
	for line := range strings.Lines(string(in)) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// sudo is a command that takes root.
func sudo(argv ...string) command.Cmd { return command.Cmd{Argv: argv, Sudo: true} }

// said is a volume as people know it.
func said(v onevolume.Volume) string {
	s := fmt.Sprintf("volume %d (%s)", v.ID, v.Name)
	switch v.State {
	case onevolume.Attached:
		return fmt.Sprintf("%s, which is attached to VM %d on host %s", s, v.Attachment.VM, v.Attachment.Host)
	case onevolume.Available:
		return s + ", which is free"
	case onevolume.Retained:
		return s + ", which is in no VM and keeps its owner's data"
	}
	return s + ", which is " + string(v.State)
}
