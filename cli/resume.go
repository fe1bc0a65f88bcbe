package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// resume is `onevolume resume`. It does what somebody asked for already, and
// so it needs no question, with one exception: whoever carries on a detach
// that wipes is seldom who agreed to the wiping, and it cannot be taken back.
type resume struct {
	*App
	yes bool
}

func (a *App) resumeCommand() *cobra.Command {
	c := &resume{App: a}
	cmd := &cobra.Command{
		Use:   "resume <operation>",
		Short: "Carry a parked operation on, once what kept it is put right",
		Long: "onevolumed looks at the host and does what is left of the operation. An attach ends with the disk in the VM;\n" +
			"a detach with the volume out of it and wiped, as was asked. A detach that wipes asks first.",
		Example: "  onevolume resume 12",
		Args:    arguments("operation"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(parkedOperations),
	}
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *resume) run(cmd *cobra.Command, args []string) error {
	ctx, start := cmd.Context(), time.Now()
	s, op, v, err := c.parked(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "Operation %d is carried on: %s.\n", op.ID, task(op, v))
	if wipes(op) && !c.yes {
		if err := c.canAsk("resume of a detach that wipes"); err != nil {
			return err
		}
		fmt.Fprintln(c.Err, "EVERYTHING ON THE VOLUME IS OVERWRITTEN. That cannot be taken back.")
		if err := c.agree("Resume it?"); err != nil {
			return err
		}
	}
	if _, err := s.Daemon.Resume(ctx, op.ID); err != nil {
		return err
	}
	return c.settled(ctx, s, op.ID, start)
}

// parked reads the operation that somebody wants to decide on, and refuses
// one that needs no decision.
func (a *App) parked(ctx context.Context, ref string) (*Session, onevolume.Operation, *onevolume.Volume, error) {
	var op onevolume.Operation
	id, err := operationID(ref)
	if err != nil {
		return nil, op, nil, err
	}
	s, err := a.open()
	if err != nil {
		return nil, op, nil, err
	}
	if op, _, err = s.Daemon.Operation(ctx, id); err != nil {
		return nil, op, nil, err
	}
	if op.Status != onevolume.Parked {
		return nil, op, nil, onevolume.Errorf(onevolume.Action, "Operation %d is %s: only a parked one is resumed or aborted.", op.ID, op.Status).
			WithHint("see what became of it: onevolume explain %d", op.ID)
	}
	return s, op, s.glance(ctx, op.Volume), nil
}

// settled waits until a decided operation has ended, and says how.
func (a *App) settled(ctx context.Context, s *Session, id int, start time.Time) error {
	op, err := a.ended(ctx, s, id)
	if err != nil {
		return err
	}
	v := s.glance(ctx, op.Volume)
	if op.Status == onevolume.Parked {
		return parkedError(op)
	}
	outcome := "It was taken back."
	if op.Status == onevolume.Done {
		outcome = "It is done."
	}
	fmt.Fprintf(a.Out, "Operation %d has ended: %s.\n", op.ID, op.Status)
	fmt.Fprint(a.Out, outcome)
	if v != nil {
		fmt.Fprintf(a.Out, " Volume %d (%s, %s) is %s.", v.ID, v.Name, v.Size, whereabouts(v))
	}
	fmt.Fprintln(a.Out)
	if op.Kind == onevolume.Attach && op.Status == onevolume.Done && v != nil {
		if path := guestPath(s, op, *v); path != "" {
			fmt.Fprintf(a.Out, "In the guest it is %s\n", path)
		}
	}
	fmt.Fprintf(a.Out, "It took %.2f s.\n", time.Since(start).Seconds())
	return nil
}

// parkedError is the error of an operation that ended in ERROR.
func parkedError(op onevolume.Operation) error {
	return onevolume.Errorf(onevolume.Action, "Operation %d is parked and volume %d is in ERROR: %s", op.ID, op.Volume, oneLine(op.Error)).
		WithHint("see each step and what to do: onevolume explain %d", op.ID)
}
