package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"onevolume"
	"onevolume/workflow"
)

// MigrateCheck says whether a VM with its volumes could migrate to a host, as
// a list of what was looked at. Each volume is prepared on the host as
// Premigrate does, which is an operation like any other, and taken back at
// once; the VM is not touched. It may be repeated. The error says that it
// could not be tried: NotFound, Forbidden, Invalid, Unreachable (of the
// inventory).
func (d *Daemon) MigrateCheck(ctx context.Context, who onevolume.Caller, session string, id onevolume.VMID, host string) ([]onevolume.Check, error) {
	if host == "" {
		return nil, onevolume.Errorf(onevolume.Invalid, "the host is missing")
	}
	volumes, err := d.Store.InVM(ctx, id)
	if err != nil {
		return nil, err
	}
	vm, err := d.Cloud.VM(ctx, session, id, onevolume.Migrate)
	if code := onevolume.CodeOf(err); err != nil && code != onevolume.Action {
		return nil, err
	}
	var list checks
	if err != nil {
		list.bad("VM", err)
		return list, nil
	}
	vm.Running = false // as when it moves
	list.good("VM", "VM %d (%s) is on host %s, with %d volumes", id, vm.Name, vm.Host, len(volumes))
	slices.SortFunc(volumes, func(a, b onevolume.Volume) int { return cmp.Compare(a.ID, b.ID) })
	if list.host(ctx, d, host) && list.hosts(ctx, d, vm, host) {
		for _, v := range volumes {
			list.volume(ctx, d, who, vm, v, host)
		}
	}
	return list, nil
}

type checks []onevolume.Check

func (l *checks) good(what, format string, args ...any) {
	*l = append(*l, onevolume.Check{What: what, OK: true, Text: fmt.Sprintf(format, args...)})
}

func (l *checks) bad(what string, err error) {
	*l = append(*l, onevolume.Check{What: what, Text: err.Error(), Hint: onevolume.HintOf(err)})
}

// host asks oned for the host.
func (l *checks) host(ctx context.Context, d *Daemon, host string) bool {
	if d.Seen == nil {
		return true
	}
	seen, err := d.Seen(ctx)
	known := err == nil
	if known {
		_, known = seen[host]
	}
	switch {
	case err != nil:
		l.bad("host", err)
	case !known:
		l.bad("host", onevolume.Errorf(onevolume.NotFound, "oned has no host %q", host).WithHint("name it as onehost list does"))
	case !seen[host]:
		l.bad("host", onevolume.Errorf(onevolume.Action, "oned has lost sight of host %s, or it is OFFLINE", host).WithHint("see onehost show %s", host))
	default:
		l.good("host", "oned has host %s in sight", host)
		return true
	}
	return false
}

// hosts asks both hosts what they say of themselves.
func (l *checks) hosts(ctx context.Context, d *Daemon, vm onevolume.VM, host string) bool {
	if host == vm.Host {
		l.bad("host", onevolume.Errorf(onevolume.Invalid, "VM %d is on host %s already", vm.ID, host).WithHint("name another host"))
		return false
	}
	var in [2]workflow.Inspection
	for i, name := range []string{vm.Host, host} {
		var err error
		e := d.Engine
		if in[i], err = e.Inspect(ctx, vm, name); err != nil {
			l.bad("connection", onevolume.Errorf(onevolume.CodeOf(err), "host %s: %w", name, err).WithHint("%s",
				cmp.Or(onevolume.HintOf(err), "see that onevolumed reaches host "+name+" over SSH")))
			return false
		}
	}
	l.good("connection", "hosts %s and %s answer, and so do their initiators and hypervisors", vm.Host, host)
	if err := workflow.SameName(vm.Host, host, in[0], in[1]); err != nil {
		l.bad("initiator", err)
		return false
	}
	l.good("initiator", "host %s is %s", host, in[1].Initiator)
	if from, to := in[0].Hypervisor, in[1].Hypervisor; from != "" && older(to, from) {
		l.bad("version", onevolume.Errorf(onevolume.Refused, "host %s runs %s, which may refuse a guest of the newer %s on host %s", host, to, from, vm.Host).
			WithHint("upgrade host %s, or migrate the VM by power-off (onevm migrate --poff)", host))
	} else if from != "" {
		l.good("version", "host %s runs %s, host %s %s", vm.Host, from, host, to)
	}
	return true
}

// older says whether a hypervisor is of an older version than another of the
// same name. What cannot be compared is not.
func older(a, b string) bool {
	nameA, a, _ := strings.Cut(a, " ")
	nameB, b, _ := strings.Cut(b, " ")
	if nameA != nameB {
		return false
	}
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(2, len(x), len(y)) { // a third number is a repair
		m, errA := strconv.Atoi(x[i])
		n, errB := strconv.Atoi(y[i])
		if errA != nil || errB != nil || m != n {
			return errA == nil && errB == nil && m < n
		}
	}
	return false
}

// volume prepares a volume on the host, and takes that back.
func (l *checks) volume(ctx context.Context, d *Daemon, who onevolume.Caller, vm onevolume.VM, v onevolume.Volume, host string) {
	what := fmt.Sprintf("volume %d", v.ID)
	if v.State == onevolume.Attached && v.Attachment.Host == "" {
		l.good(what, "%s is on no host; it is plugged where the VM runs", v.Name)
		return
	}
	p, err := d.beginMove(ctx, who, vm, v, host, false, true)
	if err == nil {
		until := time.NewTimer(prepareTime)
		defer until.Stop()
		err = d.prepared(ctx, p, until.C)
		if over := d.over(ctx, p, turnTime); err == nil {
			err = over
		}
		// What was tried and taken back is the operation's to tell, and no
		// trouble of the volume's.
		if now, rerr := d.Store.Volume(ctx, v.ID); rerr == nil && now.Operation == p.op && now.State == onevolume.Attached {
			err = errors.Join(err, d.Store.Explain(ctx, v.ID, v.Reason))
		}
	}
	if err != nil {
		l.bad(what, onevolume.Errorf(onevolume.CodeOf(err), "%s: %w", v.Name, err).WithHint("%s", onevolume.HintOf(err)))
		return
	}
	l.good(what, "%s was logged in and proven on host %s as %s, and logged out again", v.Name, host, v.Attachment.Source)
}
