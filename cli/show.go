package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/document"
	"onevolume/cli/table"
)

// show is `onevolume show`.
type show struct {
	*App
	format
}

func (a *App) showCommand() *cobra.Command {
	c := &show{App: a}
	cmd := &cobra.Command{
		Use:   "show <volumeid>",
		Short: "Show a volume",
		Args:  arguments(oneVolume),
		RunE:  c.run,

		ValidArgsFunction: a.complete(volumeRefs),
	}
	c.flags(cmd)
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
	if c.wanted() {
		text, err := s.Daemon.InfoXML(ctx, id)
		if err != nil {
			return err
		}
		volume, err := document.Parse(text)
		if err != nil {
			return err
		}
		return c.format.print(c.App, volume, false)
	}
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return err
	}
	c.describe(&v)
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

func (c *show) describe(v *onevolume.Volume) {
	c.head(fmt.Sprintf("VOLUME %d INFORMATION", v.ID), true)
	c.line("ID", "%d", v.ID)
	c.line("NAME", "%s", v.Name)
	c.line("USER", "%s", v.Owner.User)
	c.line("GROUP", "%s", v.Owner.Group)
	c.line("LOCK", "%s", v.Lock.Level)
	c.line("STATE", "%s", v.State)
	if v.Disabled {
		c.line("ENABLED", "No")
	}
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
		c.section("ATTACHMENT")
		c.line("VM", "%d", v.Attachment.VM)
		c.line("HOST", "%s", orDash(v.Attachment.Host))
		c.line("DEVICE", "%s", orDash(v.Attachment.Device))
		c.line("SERIAL", "%s", orDash(v.Attachment.Serial))
		c.line("SOURCE", "%s", orDash(v.Attachment.Source))
	}
	c.section("PERMISSIONS")
	p := v.Permissions.String()
	c.line("OWNER", "%s", p[0:3])
	c.line("GROUP", "%s", p[4:7])
	c.line("OTHER", "%s", p[8:11])
	if len(v.Attributes) > 0 {
		c.section("VOLUME TEMPLATE")
		for _, line := range attributeLines(v) {
			fmt.Fprint(c.Out, line)
		}
	}
}

// attributeLines are a volume's attributes as a template has them.
func attributeLines(v *onevolume.Volume) []string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(v.Attributes)) {
		lines = append(lines, k+"="+quoteAttribute(v.Attributes[k])+"\n")
	}
	return lines
}

// headWidth is how far a header is underlined on a terminal.
const headWidth = 80

// head prints the header of a document, as tables have theirs.
func (a *App) head(text string, under bool) {
	s := a.screen()
	if s.Terminal {
		text += strings.Repeat(" ", max(headWidth-len(text), 0))
	}
	fmt.Fprintln(a.Out, table.Head(s, text, under))
}

func (c *show) section(text string) {
	fmt.Fprintln(c.Out)
	c.head(text, false)
}

// printOperation says who moves the volume now, or what went wrong and what
// to do.
func (c *show) printOperation(v *onevolume.Volume, op onevolume.Operation) {
	c.section("OPERATION")
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
	c.section("WAYS OUT, FOR AN ADMINISTRATOR")
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
