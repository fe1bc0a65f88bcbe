package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// abort is `onevolume abort`. It takes back what somebody asked for, and so it
// asks first.
type abort struct {
	*App
	yes bool
}

func (a *App) abortCommand() *cobra.Command {
	c := &abort{App: a}
	cmd := &cobra.Command{
		Use:   "abort <operation>",
		Short: "Take a parked operation back",
		Long: "Asks, and has onevolumed take back what was done of the operation. Of an attach nothing is left on the host,\n" +
			"and the volume is what it was before. A detach leaves the volume in its VM, unless the guest has let go of it\n" +
			"already: then there is no way back, and it can only be resumed.",
		Example: "  onevolume abort 12\n  onevolume abort 12 --yes",
		Args:    arguments("operation"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(parkedOperations),
	}
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (c *abort) run(cmd *cobra.Command, args []string) error {
	ctx, start := cmd.Context(), time.Now()
	if !c.yes {
		if err := c.canAsk("abort"); err != nil {
			return err
		}
	}
	s, op, v, err := c.parked(ctx, args[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "Operation %d is taken back. It was to %s.\n", op.ID, task(op, v))
	fmt.Fprintln(c.Err, consequence(op))
	if !c.yes {
		if err := c.agree("Abort it?"); err != nil {
			return err
		}
	}
	if _, err := s.Daemon.Abort(ctx, op.ID); err != nil {
		return err
	}
	return c.settled(ctx, s, op.ID, start)
}

// consequence is what aborting means to those who use the volume.
func consequence(op onevolume.Operation) string {
	switch op.Kind {
	case onevolume.Detach:
		return fmt.Sprintf("The volume stays in %s with its data, if the guest has not let go of it yet.", guest(op.VM))
	case onevolume.Release:
		return fmt.Sprintf("Host %s stays logged in; the volume stays on record in %s.", op.VM.Host, guest(op.VM))
	case onevolume.Fence:
		return fmt.Sprintf("The volume stays on record on host %s, which may be cut off from it; no other host gets it.", op.VM.Host)
	case onevolume.Migrate:
		return fmt.Sprintf("The volume stays where %s is, and the other host is logged out.", guest(op.VM))
	case onevolume.Grow:
		return fmt.Sprintf("The volume stays in %s as it is, unless it has grown: that cannot be taken back.", guest(op.VM))
	case onevolume.Replug:
		return fmt.Sprintf("The disk is not put into %s; the volume stays on record there.", guest(op.VM))
	}
	return fmt.Sprintf("If the disk is in %s it is taken out, whoever uses it there; the host is logged out, and the volume is %s again.",
		guest(op.VM), op.Prior)
}
