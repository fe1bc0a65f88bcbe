package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// attach is `onevolume attach`.
type attach struct {
	*App
	where  where
	volume string
	array  string
	exact  bool
	dryRun bool
}

func (a *App) attachCommand() *cobra.Command {
	c := &attach{App: a}
	cmd := &cobra.Command{
		Use:   "attach <vmid> [<volume_size>]",
		Short: "Attach a volume to a running VM",
		Long: "The VM is given by id or name. Finds the smallest free volume of at least <volume_size> (64 is 64 MB; 64G, 1.5T), logs the VM's host in to its\n" +
			"iSCSI target, proves that the device is the volume, and plugs it into the VM. On failure nothing is left behind.\n" +
			"Where none is free, an array of the daemon's configuration may make one (auto_create); --dry-run tells which, and why.",
		Example: "  onevolume attach 17 64G\n  onevolume attach 17 --volume disk1",
		Args:    arguments("vmid", "[volume_size]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(vmRefs),
	}
	f := cmd.Flags()
	f.StringVar(&c.volume, "volume", "", "id or name of the volume to attach, instead of choosing one by size")
	f.BoolVar(&c.exact, "exact", false, "only a volume of exactly that size")
	f.StringVar(&c.array, "array", "", "only a volume of that array")
	f.BoolVar(&c.dryRun, "dry-run", false, "print the commands that would run on the host, and change nothing")
	c.where.flags(f)
	a.completeFlag(cmd, "volume", volumeRefs)
	return cmd
}

func (c *attach) run(cmd *cobra.Command, args []string) error {
	ctx, start := cmd.Context(), time.Now()
	req := onevolume.Request{Kind: onevolume.Attach, Pick: onevolume.Pick{Volume: c.volume, Exact: c.exact, Array: c.array}}
	switch {
	case len(args) == 2:
		var err error
		if req.Pick.Size, err = onevolume.ParseSize(args[1]); err != nil {
			return err
		}
	case c.volume == "":
		return fmt.Errorf("Command attach requires a volume_size, or --volume. Try: onevolume attach --help")
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	id, err := s.Cloud.VMID(ctx, args[0])
	if err != nil {
		return err
	}
	there, err := c.where.server(ctx, s)
	if err != nil {
		return err
	}
	if there && !c.dryRun {
		return c.onServer(ctx, s, id, req, start)
	}
	if req.VM, err = s.Cloud.VM(ctx, id, onevolume.Attach); err != nil {
		return err
	}
	req.Owner = s.Owner
	if c.dryRun {
		plan, err := s.Engine.PlanAttach(ctx, req)
		if err != nil {
			return err
		}
		return c.printPlan(plan)
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
	c.attached(&out.Volume, out.VM.ID, out.VM.Name, out.VM.Host, out.GuestPath, start)
	return nil
}

// onServer has the daemon do it, and waits.
func (c *attach) onServer(ctx context.Context, s *Session, id onevolume.VMID, req onevolume.Request, start time.Time) error {
	volume := onevolume.VolumeID(-1)
	if req.Pick.Volume != "" {
		var err error
		if volume, err = s.volume(ctx, req.Pick.Volume); err != nil {
			return err
		}
	}
	var options []string
	if size := req.Pick.Size; size%onevolume.MiB != 0 { // the parameter is in MB, as everywhere in OpenNebula's API
		options = append(options, fmt.Sprintf(`SIZE_BYTES="%d"`, int64(size)))
	}
	if req.Pick.Exact {
		options = append(options, `EXACT="YES"`)
	}
	if req.Pick.Array != "" {
		options = append(options, "ARRAY="+quoteAttribute(req.Pick.Array))
	}
	volume, err := s.Daemon.Attach(ctx, id, volume, req.Pick.Size, strings.Join(options, "\n"))
	if err != nil {
		return err
	}
	v, op, err := c.await(ctx, s, volume)
	if err != nil {
		return err
	}
	c.attached(&v, op.VM.ID, op.VM.Name, op.VM.Host, guestPath(s, op, v), start)
	return nil
}

// attached tells the user what they need to use the volume.
func (c *attach) attached(v *onevolume.Volume, id onevolume.VMID, name, host, path string, start time.Time) {
	fmt.Fprintf(c.Out, "Volume %d (%s, %s) is attached to VM %d (%s) on host %s.\n", v.ID, v.Name, v.Size, id, name, host)
	if path != "" {
		fmt.Fprintf(c.Out, "In the guest it is %s\n", path)
	}
	fmt.Fprintf(c.Out, "It took %.2f s.\n", time.Since(start).Seconds())
}
