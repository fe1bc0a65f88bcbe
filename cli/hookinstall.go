package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
)

// ourProgram is where the hooks look for it.
const ourProgram = "/usr/bin/onevolume"

// wantedHooks are on the states in which the daemon does something about
// volumes (package follow). Each state has a hook of its own at oned.
func wantedHooks(program string) (list []onevolume.Hook) {
	for _, h := range [][4]string{
		{"running", "VM", "ACTIVE", "RUNNING"}, {"poweroff", "VM", "POWEROFF", "LCM_INIT"}, {"undeployed", "VM", "UNDEPLOYED", "LCM_INIT"},
		{"done", "VM", "DONE", "LCM_INIT"}, {"error", "HOST", "ERROR", ""}, {"offline", "HOST", "OFFLINE", ""}, {"monitored", "HOST", "MONITORED", ""},
	} {
		kind := strings.ToLower(h[1])
		list = append(list, onevolume.Hook{Name: "onevolume-" + kind + "-" + h[0], Resource: h[1], State: h[2], LCMState: h[3],
			Command: program + " hook " + kind, Piped: true})
	}
	return list
}

// isOurs says whether a hook was registered by us, whatever became of it.
func isOurs(h onevolume.Hook) bool {
	return strings.HasPrefix(h.Name, "onevolume-vm-") || strings.HasPrefix(h.Name, "onevolume-host-")
}

// hooked is what the three commands about oned's hooks do.
type hooked struct {
	*App
	program string
}

func (a *App) hookedCommand(name, short, long string, run func(c *hooked, cmd *cobra.Command) error) *cobra.Command {
	c := &hooked{App: a}
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long, Example: "  onevolume hook " + name, Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(c, cmd) },
	}
	cmd.Flags().StringVar(&c.program, "program", ourProgram, "`path` of onevolume on the front-end, as the hooks call it")
	return cmd
}

func (a *App) hookInstallCommand() *cobra.Command {
	return a.hookedCommand("install", "Register hooks at oned that tell the daemon of VMs and hosts",
		"They stand in for oned's events where those cannot be heard; with both, nothing is done twice. It may be repeated: what\n"+
			"is there as it should be stays, and what is not is registered anew. It needs opennebula-hem, which runs the hooks.",
		(*hooked).install)
}

func (a *App) hookRemoveCommand() *cobra.Command {
	return a.hookedCommand("remove", "Take the hooks of onevolume away from oned", "No other hook is touched. It may be repeated.", (*hooked).remove)
}

func (a *App) hookCheckCommand() *cobra.Command {
	return a.hookedCommand("check", "Say which hooks of onevolume oned has",
		"The exit status is 0 when all are there, 1 when not, 255 when it could not be told. For the scripts that are called before\n"+
			"a VM moves see onevolume-setup check.", (*hooked).check)
}

// stand is a hook that there should be, and those of ours on its place.
type stand struct {
	wanted onevolume.Hook
	id     int              // of the one that is as it should be; -1 for none
	wrong  []onevolume.Hook // of its name, but otherwise
}

// oneHooks are oned's hooks, which it shows to administrators; to others it
// says that there are none.
func oneHooks(cmd *cobra.Command, s *Session) ([]onevolume.Hook, error) {
	who, err := s.Cloud.WhoAmI(cmd.Context())
	switch {
	case err != nil:
		return nil, err
	case !who.IsAdmin():
		return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform MANAGE HOOK.", who.UID).
			WithHint("only oneadmin's group sees oned's hooks")
	}
	return s.Cloud.Hooks(cmd.Context())
}

// stands compares oned's hooks with those that there should be. Others are of
// ours too, but of another version.
func (c *hooked) stands(cmd *cobra.Command, s *Session) (list []stand, others []onevolume.Hook, err error) {
	have, err := oneHooks(cmd, s)
	if err != nil {
		return nil, nil, err
	}
	for _, w := range wantedHooks(c.program) {
		at := stand{wanted: w, id: -1}
		for _, h := range have {
			same := w
			same.ID = h.ID
			switch {
			case h.Name != w.Name:
			case h == same:
				at.id = h.ID
			default:
				at.wrong = append(at.wrong, h)
			}
		}
		list = append(list, at)
	}
	for _, h := range have {
		known := false
		for _, at := range list {
			known = known || at.wanted.Name == h.Name
		}
		if isOurs(h) && !known {
			others = append(others, h)
		}
	}
	return list, others, nil
}

func (c *hooked) install(cmd *cobra.Command) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	list, others, err := c.stands(cmd, s)
	if err != nil {
		return err
	}
	for _, at := range list {
		others = append(others, at.wrong...)
	}
	if err := c.delete(cmd, s, others); err != nil {
		return err
	}
	for _, at := range list {
		if at.id >= 0 {
			fmt.Fprintf(c.Out, "%s: there\n", at.wanted.Name)
			continue
		}
		if err := s.Cloud.AllocateHook(cmd.Context(), at.wanted); err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "%s: registered\n", at.wanted.Name)
	}
	return nil
}

func (c *hooked) remove(cmd *cobra.Command) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	have, err := oneHooks(cmd, s)
	if err != nil {
		return err
	}
	var ours []onevolume.Hook
	for _, h := range have {
		if isOurs(h) {
			ours = append(ours, h)
		}
	}
	return c.delete(cmd, s, ours)
}

// delete takes hooks away; one that is gone already is as good.
func (c *hooked) delete(cmd *cobra.Command, s *Session, list []onevolume.Hook) error {
	for _, h := range list {
		if err := s.Cloud.DeleteHook(cmd.Context(), h.ID); err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
			return fmt.Errorf("hook %d (%s): %w", h.ID, oneLine(h.Name), err)
		}
		fmt.Fprintf(c.Out, "%s: removed\n", oneLine(h.Name))
	}
	return nil
}

func (c *hooked) check(cmd *cobra.Command) error {
	s, err := c.open()
	if err != nil {
		return err
	}
	list, others, err := c.stands(cmd, s)
	if err != nil {
		return err
	}
	bad := len(others)
	for _, at := range list {
		switch {
		case at.id >= 0:
			fmt.Fprintf(c.Out, "%s: there, hook %d runs %s\n", at.wanted.Name, at.id, at.wanted.Command)
			continue
		case len(at.wrong) > 0:
			fmt.Fprintf(c.Out, "%s: hook %d is not as it should be, it runs %s\n", at.wanted.Name, at.wrong[0].ID, oneLine(at.wrong[0].Command))
		default:
			fmt.Fprintf(c.Out, "%s: missing\n", at.wanted.Name)
		}
		bad++
	}
	for _, h := range others {
		fmt.Fprintf(c.Out, "%s: hook %d is of another version\n", oneLine(h.Name), h.ID)
	}
	if bad > 0 {
		fmt.Fprintln(c.Err, "onevolume hook install brings them in order.")
		return &differError{quietError{fmt.Errorf("%d hooks are not as they should be", bad)}}
	}
	return nil
}
