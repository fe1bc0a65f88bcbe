package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// detach is `onevolume detach`.
type detach struct {
	*App
	where    where
	yes      bool
	format   string
	noFormat bool
	dryRun   bool
	force    bool
}

func (a *App) detachCommand() *cobra.Command {
	c := &detach{App: a}
	cmd := &cobra.Command{
		Use:   "detach <vmid> <volumeid>",
		Short: "Detach a volume from a VM and wipe it",
		Long: "Asks, unplugs the volume and waits until the guest has let go of it, overwrites it with zeroes and reads them\n" +
			"back, logs the host out, and frees the volume for others. With --no-format the data stays, and so does the owner.",
		Example: "  onevolume detach 17 3\n  onevolume detach 17 disk1 --no-format --yes",
		Args:    arguments("vmid", oneVolume),
		RunE:    c.run,

		ValidArgsFunction: a.complete(vmRefs, volumesIn),
	}
	f := cmd.Flags()
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	f.StringVar(&c.format, "format", "zero", "what to leave on the volume: zero, ext4 or xfs")
	f.BoolVar(&c.noFormat, "no-format", false, "leave the data on the volume, and the volume with its owner")
	f.BoolVar(&c.dryRun, "dry-run", false, "print the commands that would run on the host, and change nothing")
	f.BoolVar(&c.force, "force", false, "take it from a guest that does not let go, with what the guest has not written (Xen)")
	c.where.flags(f)
	cmd.MarkFlagsMutuallyExclusive("format", "no-format")
	return cmd
}

func (c *detach) run(cmd *cobra.Command, args []string) error {
	ctx, start := cmd.Context(), time.Now()
	if c.noFormat {
		c.format = "none"
	}
	leave, err := onevolume.ParseLeave(c.format)
	if err != nil {
		return err
	}
	if !c.yes && !c.dryRun {
		if err := c.canAsk("detach"); err != nil {
			return err
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	id, err := s.Cloud.VMID(ctx, args[0])
	if err != nil {
		return err
	}
	volume, err := s.volume(ctx, args[1])
	if err != nil {
		return err
	}
	there, err := c.where.server(ctx, s)
	if err != nil {
		return err
	}
	if there && !c.dryRun {
		return c.onServer(ctx, s, id, volume, leave, start)
	}
	return c.here(ctx, s, id, volume, leave, start)
}

// here runs the workflow in this process.
func (c *detach) here(ctx context.Context, s *Session, id onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, start time.Time) error {
	vm, err := s.Cloud.VM(ctx, id, onevolume.Detach)
	if err != nil {
		return err
	}
	req := onevolume.Request{Kind: onevolume.Detach, VM: vm, Leave: leave, Force: c.force, Owner: s.Owner,
		Pick: onevolume.Pick{Volume: fmt.Sprint(int(volume))}}
	if c.dryRun {
		plan, err := s.Engine.PlanDetach(ctx, req)
		if err != nil {
			return err
		}
		return c.printPlan(plan)
	}
	if err := c.ask(ctx, s, id, volume, leave); err != nil {
		return err
	}
	stop := c.follow(s.Engine)
	defer stop()
	job, err := s.Engine.Begin(ctx, req)
	if err != nil {
		return err
	}
	out, err := job.Run(ctx)
	stop()
	c.timing(s, start)
	if err != nil {
		return err
	}
	c.detached(&out.Volume, id, leave, start)
	return nil
}

// onServer has the daemon do it, and waits.
func (c *detach) onServer(ctx context.Context, s *Session, id onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, start time.Time) error {
	if err := c.ask(ctx, s, id, volume, leave); err != nil {
		return err
	}
	options := "FORMAT=" + quoteAttribute(c.format)
	if c.force {
		options += "\nFORCE=YES"
	}
	if err := s.Daemon.Detach(ctx, id, volume, options); err != nil {
		return err
	}
	v, _, err := c.await(ctx, s, volume)
	if err != nil {
		return err
	}
	c.detached(&v, id, leave, start)
	return nil
}

// ask explains what will happen and wants a yes.
func (c *detach) ask(ctx context.Context, s *Session, id onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave) error {
	if c.yes {
		return nil
	}
	v, err := s.Daemon.Info(ctx, volume)
	if err != nil {
		return err
	}
	if v.Attachment.VM != id {
		return onevolume.Errorf(onevolume.Action, "Volume %d is not attached to VM %d.", volume, id).
			WithHint("see where it is: onevolume show %d", volume)
	}
	fmt.Fprintf(c.Err, "VM %d will lose volume %d (%s, %s).\n", id, v.ID, v.Name, v.Size)
	fmt.Fprintln(c.Err, "Unmount it in the guest first: what the guest has not written yet is lost.")
	if c.force {
		fmt.Fprintln(c.Err, "A guest that does not let go of it is made to: what it has open there fails.")
	}
	switch leave {
	case onevolume.LeaveData:
		fmt.Fprintf(c.Err, "Its data stays, and the volume stays with %s.\n", v.Owner.User)
	case onevolume.LeaveZeroes:
		fmt.Fprintln(c.Err, "EVERYTHING ON IT IS OVERWRITTEN WITH ZEROES, and the volume is free for others.")
	default:
		fmt.Fprintf(c.Err, "EVERYTHING ON IT IS OVERWRITTEN, an empty %s is made, and the volume is free for others.\n", leave)
	}
	return c.agree("Detach it?")
}

func (c *detach) detached(v *onevolume.Volume, id onevolume.VMID, leave onevolume.Leave, start time.Time) {
	fmt.Fprintf(c.Out, "Volume %d (%s, %s) is detached from VM %d.\n", v.ID, v.Name, v.Size, id)
	switch leave {
	case onevolume.LeaveData:
		fmt.Fprintln(c.Out, "Its data is still on it; attach it again by --volume.")
	case onevolume.LeaveZeroes:
		fmt.Fprintln(c.Out, "It was overwritten with zeroes, read back, and is unallocated.")
	default:
		fmt.Fprintf(c.Out, "It was overwritten with zeroes, read back, holds an empty %s, and is unallocated.\n", leave)
	}
	fmt.Fprintf(c.Out, "It took %.2f s.\n", time.Since(start).Seconds())
}
