package cli

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"onevolume"
)

// show is `onevolume show`.
type show struct {
	*App
	xml, json bool
}

func (a *App) showCommand() *cobra.Command {
	c := &show{App: a}
	cmd := &cobra.Command{
		Use:   "show <volume_id>",
		Short: "Show a volume",
		Args:  arguments("volume_id"),
		RunE:  c.run,

		ValidArgsFunction: a.complete(volumeNames),
	}
	f := cmd.Flags()
	f.BoolVarP(&c.xml, "xml", "x", false, "print the XML document")
	f.BoolVarP(&c.json, "json", "j", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("xml", "json")
	return cmd
}

func (c *show) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	s, err := c.open()
	if err != nil {
		return err
	}
	id, err := s.volume(ctx, args[0])
	if err != nil {
		return err
	}
	if c.xml {
		text, err := s.Daemon.InfoXML(ctx, id)
		if err == nil {
			fmt.Fprintln(c.Out, text)
		}
		return err
	}
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]any{"VOLUME": volumeJSON(&v)})
	}
	c.print(&v)
	if v.Operation > 0 && (v.State.Moving() || v.State == onevolume.Failed) {
		op, _, err := s.Daemon.Operation(ctx, v.Operation)
		if err == nil {
			c.printOperation(&v, op)
		}
	}
	return nil
}

func (c *show) line(name, format string, args ...any) {
	fmt.Fprintf(c.Out, "%-15s: %s\n", name, fmt.Sprintf(format, args...))
}

func (c *show) print(v *onevolume.Volume) {
	fmt.Fprintf(c.Out, "VOLUME %d INFORMATION\n", v.ID)
	c.line("ID", "%d", v.ID)
	c.line("NAME", "%s", v.Name)
	c.line("USER", "%s", v.Owner.User)
	c.line("GROUP", "%s", v.Owner.Group)
	c.line("STATE", "%s", v.State)
	if v.Reason != "" {
		c.line("REASON", "%s", oneLine(v.Reason))
	}
	c.line("SIZE", "%s", v.Size.Exact())
	c.line("ARRAY", "%s", orDash(v.Array))
	c.line("IQN", "%s", v.Target.IQN)
	c.line("LUN", "%d", v.Target.LUN)
	c.line("PORTALS", "%s", onevolume.JoinPortals(v.Target.Portals))
	c.line("CHAP", "%s", chapText(v.Target.CHAP))
	c.line("UNIT SERIAL", "%s", orDash(v.Identity.Serial))
	c.line("WWID", "%s", orDash(v.Identity.WWID))
	c.line("REGISTER TIME", "%s", when(v.Registered))
	c.line("LAST MODIFIED", "%s", when(v.Modified))
	if v.Attachment.VM != onevolume.NoVM {
		fmt.Fprintln(c.Out, "\nATTACHMENT")
		c.line("VM", "%d", v.Attachment.VM)
		c.line("HOST", "%s", orDash(v.Attachment.Host))
		c.line("DEVICE", "%s", orDash(v.Attachment.Device))
		c.line("SERIAL", "%s", orDash(v.Attachment.Serial))
		c.line("SOURCE", "%s", orDash(v.Attachment.Source))
	}
	fmt.Fprintln(c.Out, "\nPERMISSIONS")
	p := v.Permissions.String()
	c.line("OWNER", "%s", p[0:3])
	c.line("GROUP", "%s", p[4:7])
	c.line("OTHER", "%s", p[8:11])
	if len(v.Attributes) > 0 {
		fmt.Fprintln(c.Out, "\nVOLUME TEMPLATE")
		for _, k := range slices.Sorted(maps.Keys(v.Attributes)) {
			fmt.Fprintf(c.Out, "%s=%s\n", k, quoteAttribute(v.Attributes[k]))
		}
	}
}

// printOperation says who moves the volume now, or what went wrong and what
// to do.
func (c *show) printOperation(v *onevolume.Volume, op onevolume.Operation) {
	fmt.Fprintln(c.Out, "\nOPERATION")
	c.line("ID", "%d", op.ID)
	c.line("KIND", "%s", op.Kind)
	c.line("STATUS", "%s", op.Status)
	c.line("VM", "%d", op.VM.ID)
	c.line("OWNER", "%s", owner(op.Owner))
	c.line("STARTED", "%s", when(op.Started))
	if op.Error != "" && op.Error != v.Reason {
		c.line("ERROR", "%s", oneLine(op.Error))
	}
	if op.Status != onevolume.Parked || v.State != onevolume.Failed {
		return
	}
	fmt.Fprintln(c.Out, "\nWAYS OUT, FOR AN ADMINISTRATOR")
	explain := [2]string{fmt.Sprintf("onevolume explain %d", op.ID), "shows each step, and what failed"}
	c.ways(append([][2]string{explain}, waysOut(op)...))
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func chapText(c onevolume.CHAP) string {
	switch {
	case c.User == "":
		return "none"
	case c.UserIn == "":
		return "user " + c.User
	}
	return "user " + c.User + ", mutual user " + c.UserIn
}
