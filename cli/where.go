package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/workflow"
)

// where says who runs a workflow: this process, with the caller's own SSH
// access to hosts, or the daemon.
type where struct{ daemon, client bool }

func (w *where) flags(f *pflag.FlagSet) {
	f.BoolVar(&w.daemon, "server", false, "leave the work to onevolumed (the default outside oneadmin's group)")
	f.BoolVar(&w.client, "client", false, "work from here, over this user's SSH (the default in oneadmin's group)")
}

// server decides. Only administrators have SSH access to hosts.
func (w *where) server(ctx context.Context, s *Session) (bool, error) {
	switch {
	case w.daemon && w.client:
		return false, fmt.Errorf("--server and --client exclude each other")
	case w.daemon || w.client:
		return w.daemon, nil
	}
	who, err := s.Cloud.WhoAmI(ctx)
	return !who.IsAdmin(), err
}

// awaitPause is how often the daemon is asked how an operation goes.
const awaitPause = 200 * time.Millisecond

// await waits until the newest operation on the volume has ended, and gives
// the volume as it is then. When ctx ends the daemon goes on all the same.
func (a *App) await(ctx context.Context, s *Session, id onevolume.VolumeID) (onevolume.Volume, onevolume.Operation, error) {
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return v, onevolume.Operation{}, err
	}
	op, err := a.ended(ctx, s, v.Operation)
	switch {
	case err != nil:
		return v, op, err
	case op.Status == onevolume.Parked:
		return v, op, parkedError(op)
	case op.Status != onevolume.Done:
		return v, op, onevolume.Errorf(onevolume.Action, "%s", op.Error).WithHint("see each step: onevolume explain %d", op.ID)
	}
	v, err = s.Daemon.Info(ctx, id)
	return v, op, err
}

// ended waits until an operation runs no more.
func (a *App) ended(ctx context.Context, s *Session, id int) (onevolume.Operation, error) {
	for step := ""; ; {
		op, journal, err := s.Daemon.Operation(ctx, id)
		if ctx.Err() != nil {
			return op, onevolume.Errorf(onevolume.Unknown, "operation %d goes on in onevolumed", id).
				WithHint("see how it ends: onevolume explain %d", id)
		}
		if err != nil {
			return op, err
		}
		if n := len(journal); n > 0 && journal[n-1].Step != step {
			step = journal[n-1].Step
			a.say("%s: %s", op.Kind, step)
		}
		if op.Status != onevolume.Running {
			return op, nil
		}
		select {
		case <-time.After(awaitPause):
		case <-ctx.Done():
		}
	}
}

// guestPath is where the guest's users find a volume that the daemon
// attached.
func guestPath(s *Session, op onevolume.Operation, v onevolume.Volume) string {
	driver, err := s.Engine.Driver(op.VM)
	if err != nil {
		return ""
	}
	return driver.GuestPath(hypervisor.Disk{Source: v.Attachment.Source, Target: v.Attachment.Device, Serial: v.Attachment.Serial})
}

// printPlan prints a dry run: the commands alone on standard output, so that
// they can be kept.
func (a *App) printPlan(p workflow.Plan) error {
	if p.Volume.ID == onevolume.NoVolume {
		fmt.Fprintf(a.Err, "None of at least %s is free: one would be made on array %s. %s\n", p.Volume.Size, p.Volume.Array, p.Volume.Reason)
	}
	fmt.Fprintf(a.Err, "Volume %d (%s, %s), VM %d on host %s. Nothing is changed; these commands would run:\n",
		p.Volume.ID, p.Volume.Name, p.Volume.Size, p.VM.ID, p.VM.Host)
	for _, c := range p.Commands {
		fmt.Fprintf(a.Out, "%s: %s\n", c.Host, c.Cmd)
		in := c.Cmd.Stdin.String()
		if c.Cmd.Plain {
			in = string(c.Cmd.Stdin)
		}
		for line := range strings.Lines(in) {
			fmt.Fprintf(a.Out, "%s:   < %s\n", c.Host, strings.TrimRight(line, "\n"))
		}
	}
	return nil
}

// quoteAttribute writes a value as OpenNebula's template text has it.
func quoteAttribute(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
