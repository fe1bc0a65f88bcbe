package cli

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/document"
	"onevolume/cli/table"
)

// history is `onevolume history`.
type history struct {
	*App
	tableFlags
	format
	volume, vm, by string
	last           int
}

func (a *App) historyCommand() *cobra.Command {
	c := &history{App: a}
	cmd := &cobra.Command{
		Use:   "history [<volumeid> | volume <volumeid> | vm <vmid> | user <userid>]",
		Short: "List who asked for what, when, from where, and what came of it",
		Long: "Newest first: every change that was asked for, those that were refused too, and what onevolumed did by itself.\n" +
			"Administrators see everything, others what they asked for and what was done to volumes they may manage.\n" +
			"Nothing is ever taken off the list. FROM is the address that the call came from (a proxy's, behind one) or the\n" +
			"process that acted by itself. The table shortens long texts; --csv, -j and -x have them whole.",
		Example: "  onevolume history\n  onevolume history disk1\n  onevolume history vm 17 --last 10\n  onevolume history user alice --csv",
		Args:    arguments("[volumeid|volume|vm|user]", "[id]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(volumeRefs),
	}
	f := cmd.Flags()
	f.StringVar(&c.volume, "volume", "", "of the volume with this id or name")
	f.StringVar(&c.vm, "vm", "", "of the VM with this id or name")
	f.StringVar(&c.by, "by", "", "asked by the user with this id or name (--user says who you are)")
	f.IntVarP(&c.last, "last", "n", 50, "so many, the newest; 0 for all")
	c.layout(cmd)
	c.flags(cmd, "csv")
	a.completeFlag(cmd, "volume", volumeRefs)
	return cmd
}

// take reads the arguments into the flags that they stand for.
func (c *history) take(args []string) error {
	kind, ref := "volume", ""
	switch len(args) {
	case 0:
		return nil
	case 1:
		ref = args[0]
	case 2:
		kind, ref = args[0], args[1]
	}
	twice := onevolume.Errorf(onevolume.Invalid, "the %s is given twice", kind)
	switch kind {
	case "volume":
		if c.volume != "" {
			return twice
		}
		c.volume = ref
	case "vm":
		if c.vm != "" {
			return twice
		}
		c.vm = ref
	case "user":
		if c.by != "" {
			return twice
		}
		c.by = ref
	default:
		return onevolume.Errorf(onevolume.Invalid, "history of what? %q is none of volume, vm and user", kind)
	}
	return nil
}

func (c *history) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	t, err := rowsOf(c.App, &c.tableFlags, "history", deedColumns(c.CSV), nil)
	if err != nil {
		return err
	}
	if c.describe {
		return c.describes(t.Describe())
	}
	if err := c.take(args); err != nil {
		return err
	}
	if c.last < 0 {
		return onevolume.Errorf(onevolume.Invalid, "--last %d: must be 0 or more", c.last)
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	h := onevolume.History{Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1}
	if c.volume != "" {
		if h.Volume, err = s.volume(ctx, c.volume); err != nil {
			return err
		}
	}
	if c.vm != "" {
		if h.VM, err = s.Cloud.VMID(ctx, c.vm); err != nil {
			return err
		}
	}
	if c.by != "" {
		if h.UID, err = s.uid(ctx, c.by); err != nil {
			return err
		}
	}
	if c.xml {
		h.Limit = c.last
		text, err := s.Daemon.HistoryXML(ctx, h)
		if err != nil {
			return err
		}
		deeds, err := document.Parse(text)
		if err != nil {
			return err
		}
		return unlessClosed(deeds.XML(c.Out))
	}
	deeds, err := s.deeds(ctx, h, c.last)
	if err != nil {
		return err
	}
	if c.json || c.yaml {
		all := make([]any, len(deeds))
		for i := range deeds {
			all[i] = deedJSON(&deeds[i])
		}
		return c.printValue(map[string]any{"DEED_POOL": map[string]any{"DEED": all}}, c.yaml)
	}
	return printRows(c.App, &c.tableFlags, t, deeds)
}

// page is how many deeds are asked for at once, as many as the daemon gives.
const page = 1000

// deeds reads the newest so many deeds, page by page; all with 0.
func (s *Session) deeds(ctx context.Context, h onevolume.History, most int) ([]onevolume.Deed, error) {
	var all []onevolume.Deed
	for {
		h.Limit = page
		if most > 0 {
			h.Limit = min(page, most-len(all))
		}
		list, err := s.Daemon.History(ctx, h)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if len(list) < h.Limit || most > 0 && len(all) >= most {
			return all, nil
		}
		h.Before = list[len(list)-1].ID
	}
}

// uid finds the user of a name among those who asked for something, since
// the history knows users whom oned has forgotten.
func (s *Session) uid(ctx context.Context, ref string) (int, error) {
	if n, err := strconv.Atoi(ref); err == nil && n >= 0 {
		return n, nil
	}
	h := onevolume.History{Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1, Limit: page}
	for {
		list, err := s.Daemon.History(ctx, h)
		if err != nil {
			return 0, err
		}
		for _, d := range list {
			if d.By.User == ref {
				return d.By.UID, nil
			}
		}
		if len(list) < page {
			return 0, onevolume.Errorf(onevolume.NotFound, "No USER named %s has asked for anything.", ref)
		}
		h.Before = list[len(list)-1].ID
	}
}

// deedColumns are those of the table; whole has every cell as it is, as CSV is
// to have it.
func deedColumns(whole bool) []table.Column[onevolume.Deed] {
	type d = *onevolume.Deed
	number := func(n int, none bool) string {
		if none {
			return "-"
		}
		return strconv.Itoa(n)
	}
	all := []table.Column[onevolume.Deed]{
		{Name: "ID", Desc: "Number of the line", Size: 4, Cell: func(d d) string { return strconv.Itoa(d.ID) }},
		{Name: "TIME", Desc: "When it was asked for", Size: 19, Left: true, Cell: func(d d) string { return exactly(d.Time) }},
		{Name: "USER", Desc: "Who asked", Size: 8, Most: 16, Left: true, Cell: func(d d) string { return d.By.User }},
		{Name: "FROM", Desc: "Address of the call, or the process that acted by itself", Size: 9, Most: 39, Left: true, Cell: func(d d) string { return d.From }},
		{Name: "ACTION", Desc: "What was asked for", Size: 9, Left: true, Cell: func(d d) string { return d.Action }},
		{Name: "VOLUME", Desc: "Volume that is meant", Size: 6, Cell: func(d d) string { return number(int(d.Volume), d.Volume < 0) }},
		{Name: "VM", Desc: "VM that is meant", Size: 4, Cell: func(d d) string { return number(int(d.VM), d.VM < 0) }},
		{Name: "OPERATION", Desc: "Operation that came of it", Size: 9, Cell: func(d d) string { return number(d.Operation, d.Operation == 0) }},
		{Name: "REQUEST", Desc: "The rest of the request", Size: 7, Most: 48, Left: true, Cell: func(d d) string { return d.Text }},
		{Name: "RESULT", Desc: "What came of it", Size: 6, Left: true, Rest: true, Cell: func(d d) string { return d.Result }},
	}
	for i := range all {
		c, cell := &all[i], all[i].Cell
		c.Adjust = true
		c.Cell = func(d d) string {
			if whole {
				return plain(cell(d))
			}
			text := oneLine(cell(d))
			if c.Name == "FROM" { // of a process the program and its host alone
				text, _, _ = strings.Cut(text, " ")
			}
			return text
		}
	}
	return all
}
