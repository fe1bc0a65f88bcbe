package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

// recovery is `onevolume recover`.
type recovery struct {
	*App
	status, reason string
	at             onevolume.Attachment
	vm             int
	yes            bool
}

func (a *App) recoverCommand() *cobra.Command {
	c := &recovery{App: a}
	cmd := &cobra.Command{
		Use:   "recover --status available|retained|attached|error <volumeid>",
		Short: "Write into the inventory what is true of a volume: the last resort",
		Long: "Changes the inventory alone. It touches no host and no array: it plugs and unplugs nothing, logs nobody in or\n" +
			"out, and wipes nothing. It is for a volume whose state nothing else puts right, by somebody who has seen on the\n" +
			"host what is true. Try onevolume explain, resume, abort and doctor first. It asks, and the history keeps who did it.\n\n" +
			"  available  in no VM, blank, free for everybody: only if it was wiped\n" +
			"  retained   in no VM, with its owner's data\n" +
			"  attached   in the VM of --vm on --host; what is on record of that VM need not be said again\n" +
			"  error      nobody gets it until somebody has looked at it; needs --reason",
		Example: "  onevolume recover --status retained disk1 --reason 'host01 was reinstalled'\n" +
			"  onevolume recover --status attached --vm 17 --host host01 --device sdiv disk1",
		Args: arguments(oneVolume),
		RunE: c.run,

		ValidArgsFunction: a.complete(volumeRefs),
	}
	f := cmd.Flags()
	f.StringVar(&c.status, "status", "", "what is true: available, retained, attached or error")
	f.StringVar(&c.reason, "reason", "", "why; kept with the volume and in the history")
	f.IntVar(&c.vm, "vm", int(onevolume.NoVM), "the VM that the volume is in, with --status attached")
	f.StringVar(&c.at.Host, "host", "", "that VM's host, as OpenNebula names it")
	f.StringVar(&c.at.Device, "device", "", "the disk's target in the domain, such as sdiv")
	f.StringVar(&c.at.Source, "source", "", "the disk's path on the host")
	f.StringVar(&c.at.Serial, "serial", "", "the serial number that the guest sees, if it is not onevolume-ID")
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	_ = cmd.MarkFlagRequired("status") // fails for a flag that does not exist alone
	a.completeFlag(cmd, "status", words("available", "retained", "attached", "error"))
	return cmd
}

func (c *recovery) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	state, err := recoverable(c.status)
	if err != nil {
		return err
	}
	c.at.VM = onevolume.VMID(c.vm)
	if state != onevolume.Attached && c.at != (onevolume.Attachment{VM: onevolume.NoVM}) {
		return onevolume.Errorf(onevolume.Invalid, "--vm, --host, --device, --source and --serial go with --status attached alone")
	}
	if !c.yes {
		if err := c.canAsk("recover"); err != nil {
			return err
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	id, err := s.volume(ctx, args[0])
	if err != nil {
		return err
	}
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return err
	}
	if state == onevolume.Attached && c.at.VM == onevolume.NoVM {
		if v.Attachment.VM == onevolume.NoVM {
			return onevolume.Errorf(onevolume.Invalid, "Volume %d is on record in no VM.", id).WithHint("say which VM it is in: --vm and --host")
		}
		c.at.VM = v.Attachment.VM
	}
	c.warn(&v, state)
	if !c.yes && c.answer(fmt.Sprintf("Type the volume's name (%s) to go on: ", v.Name)) != v.Name {
		return unchanged()
	}
	if err := s.Daemon.Recover(ctx, id, onevolume.Recovery{State: state, Attachment: c.at, Reason: c.reason}); err != nil {
		return err
	}
	if v, err = s.Daemon.Info(ctx, id); err != nil {
		return err
	}
	fmt.Fprintf(c.Out, "Volume %d (%s, %s) is now %s.\n", v.ID, v.Name, v.Size, whereabouts(&v))
	fmt.Fprintln(c.Err, "Compare it with its host now: onevolume doctor --volume", v.ID)
	return nil
}

// recoverable reads a status that can be said of a volume.
func recoverable(s string) (onevolume.State, error) {
	switch state := onevolume.State(strings.ToUpper(s)); state {
	case onevolume.Available, onevolume.Retained, onevolume.Attached, onevolume.Failed:
		return state, nil
	}
	return "", onevolume.Errorf(onevolume.Invalid, "no status %q can be said of a volume", s).
		WithHint("available, retained, attached and error can")
}

// warn says where the volume is on record, what this does not do, and what
// may come of it.
func (c *recovery) warn(v *onevolume.Volume, state onevolume.State) {
	say := func(format string, args ...any) {
		for _, l := range fold(fmt.Sprintf(format, args...), c.Width) {
			fmt.Fprintln(c.Err, l)
		}
	}
	say("Volume %d (%s, %s) of %s is %s.", v.ID, v.Name, v.Size, v.Owner.User, whereabouts(v))
	if v.Reason != "" {
		say("Reason: %s", v.Reason)
	}
	say("It will be %s in the inventory. THE INVENTORY ALONE IS CHANGED: no host and no array is touched, nothing is plugged or "+
		"unplugged, nobody is logged in or out, nothing is wiped.", state)
	plugged := "Make sure first that no host is logged in to it and that no VM has its disk"
	if v.Attachment.VM != onevolume.NoVM {
		plugged = fmt.Sprintf("Make sure first that VM %d does not have its disk any more", v.Attachment.VM)
		if v.Attachment.Host != "" {
			list := "virsh domblklist"
			if strings.HasPrefix(v.Attachment.Device, "xvd") {
				list = "xl block-list"
			}
			plugged += fmt.Sprintf(" (on host %s: %s one-%d) and that the host is logged out", v.Attachment.Host, list, v.Attachment.VM)
		}
	}
	switch state {
	case onevolume.Available:
		say("It becomes free for everybody. WHOEVER GETS IT NEXT SEES WHAT IS ON IT NOW, unless it has been wiped. If you are not " +
			"certain that it was, say --status retained, and detach it later.")
		say("%s: two VMs that write to one disk destroy its data.", plugged)
	case onevolume.Retained:
		say("It stays with %s, with its data. %s: it can be attached elsewhere then, and two VMs that write to one disk destroy its data.",
			v.Owner.User, plugged)
	case onevolume.Attached:
		say("It counts as in VM %d%s. Make sure that this VM has its disk, and no other VM does. It is not looked at here; onevolume "+
			"doctor reports it when it is not so.", c.at.VM, onHost(c.at.Host))
	case onevolume.Failed:
		say("Nobody can attach it or be given it until somebody has put it right.")
	}
}

func onHost(host string) string {
	if host == "" {
		return ""
	}
	return " on host " + host
}
