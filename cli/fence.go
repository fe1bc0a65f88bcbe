package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"onevolume"
)

// fence is `onevolume fence`. It takes disks from whatever still runs on a
// host, and so it asks first.
type fence struct {
	*App
	yes, off bool
}

func (a *App) fenceCommand() *cobra.Command {
	c := &fence{App: a}
	cmd := &cobra.Command{
		Use:   "fence [<host>]",
		Short: "Cut a dead host off from its volumes, so that their VMs get them elsewhere",
		Long: "Asks, and has onevolumed cut the host off from all volumes that are on record there: volumes that were made on an\n" +
			"array by that array, which takes the host's right away, cuts its sessions and shows none any more. Of registered\n" +
			"volumes nobody can prove that: with --off you say that the host is off, and that it will not write to them again.\n" +
			"oned must have lost sight of the host (ERROR, OFFLINE). What was fenced is plugged where its VM runs next.\n\n" +
			"When oned sees the host again, the daemon cleans it of what it was cut off from; until then nothing is plugged\n" +
			"there. Without a host, this lists what hosts have not been cleaned of.\n\n" +
			"The exit status is 0 when the host is cut off from all volumes, 1 when it is not from some, 255 when it could not be told.",
		Example: "  onehost offline node4\n  onevolume fence node4\n  onevolume fence --off --yes node4\n  onevolume fence",
		Args:    cobra.MaximumNArgs(1),
		RunE:    c.run,
	}
	cmd.Flags().BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&c.off, "off", false, "the host is off: give registered volumes to others as well")
	return cmd
}

func (c *fence) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	if len(args) == 0 {
		return c.list(ctx)
	}
	if !c.yes {
		if err := c.canAsk("fence"); err != nil {
			return err
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	if !c.yes {
		fmt.Fprintf(c.Err, "Host %s loses its volumes: what a domain there has not written is lost.\n", oneLine(args[0]))
		if c.off {
			fmt.Fprintln(c.Err, "If it is not off, two hosts will write to one registered volume, and destroy it.")
		}
		if err := c.agree("Fence it?"); err != nil {
			return err
		}
	}
	list, err := s.Daemon.Fence(ctx, args[0], c.off)
	if err != nil {
		return err
	}
	left := 0
	for _, f := range list {
		if f.Error == "" {
			fmt.Fprintf(c.Out, "VOLUME %d (%s) of VM %d: host %s is cut off\n", f.Volume, oneLine(f.Name), f.VM, oneLine(args[0]))
			continue
		}
		left++
		fmt.Fprintf(c.Out, "VOLUME %d (%s) of VM %d: NOT fenced: %s\n", f.Volume, oneLine(f.Name), f.VM, oneLine(f.Error))
		if f.Hint != "" {
			fmt.Fprintf(c.Err, "Volume %d: %s\n", f.Volume, oneLine(f.Hint))
		}
	}
	if len(list) == 0 {
		fmt.Fprintf(c.Out, "No volume is on record on host %s.\n", oneLine(args[0]))
	}
	if left > 0 {
		return &differError{quietError{fmt.Errorf("%d not fenced", left)}}
	}
	return nil
}

// list tells which hosts have not been cleaned.
func (c *fence) list(ctx context.Context) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	list, err := s.Daemon.Fences(ctx)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		fmt.Fprintln(c.Out, "No host is fenced.")
	}
	for _, f := range list {
		fmt.Fprintf(c.Out, "%s: %s\n", oneLine(f.Host), fencedFrom(f))
	}
	return nil
}

func fencedFrom(f onevolume.FenceRecord) string {
	return fmt.Sprintf("cut off from volume %d of VM %d since %s by operation %d, and not cleaned yet", f.Volume, f.VM.ID, exactly(f.Since), f.Operation)
}
