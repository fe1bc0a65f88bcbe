package cli

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/document"
)

// history is `onevolume history`.
type history struct {
	*App
	volume, vm, by string
	last           int
	csv, json, xml bool
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
	f.BoolVar(&c.csv, "csv", false, "print CSV")
	f.BoolVarP(&c.json, "json", "j", false, "print JSON")
	f.BoolVarP(&c.xml, "xml", "x", false, "print the pool's XML document, of 1000 at most")
	cmd.MarkFlagsMutuallyExclusive("csv", "json", "xml")
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
	switch {
	case c.json:
		all := make([]any, len(deeds))
		for i := range deeds {
			all[i] = deedJSON(&deeds[i])
		}
		return c.printJSON(map[string]any{"DEED_POOL": map[string]any{"DEED": all}})
	case c.csv:
		return c.printCSV(deeds)
	}
	c.printTable(deeds)
	return nil
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

// deedColumn is one of the table, laid out as list's are. A cell is cut at
// most, when that is set; the last is cut where the terminal ends, if there is
// one.
type deedColumn struct {
	name  string
	width int
	left  bool
	most  int
	cell  func(d *onevolume.Deed) string
}

func deedColumns() []deedColumn {
	number := func(n int, none bool) string {
		if none {
			return "-"
		}
		return strconv.Itoa(n)
	}
	return []deedColumn{
		{"ID", 4, false, 0, func(d *onevolume.Deed) string { return strconv.Itoa(d.ID) }},
		{"TIME", 19, true, 0, func(d *onevolume.Deed) string { return exactly(d.Time) }},
		{"USER", 8, true, 16, func(d *onevolume.Deed) string { return d.By.User }},
		{"FROM", 9, true, 39, func(d *onevolume.Deed) string { return d.From }},
		{"ACTION", 9, true, 0, func(d *onevolume.Deed) string { return d.Action }},
		{"VOLUME", 6, false, 0, func(d *onevolume.Deed) string { return number(int(d.Volume), d.Volume < 0) }},
		{"VM", 4, false, 0, func(d *onevolume.Deed) string { return number(int(d.VM), d.VM < 0) }},
		{"OPERATION", 9, false, 0, func(d *onevolume.Deed) string { return number(d.Operation, d.Operation == 0) }},
		{"REQUEST", 7, true, 48, func(d *onevolume.Deed) string { return d.Text }},
		{"RESULT", 0, true, 0, func(d *onevolume.Deed) string { return d.Result }},
	}
}

func (c *history) printTable(deeds []onevolume.Deed) {
	cols := deedColumns()
	rows := make([][]string, len(deeds))
	for i := range deeds {
		for j := range cols {
			cell := oneLine(cols[j].cell(&deeds[i]))
			if cols[j].name == "FROM" {
				cell, _, _ = strings.Cut(cell, " ") // of a process the program and host alone
			}
			cell = cut(cell, cols[j].most)
			cols[j].width = max(cols[j].width, len([]rune(cell)))
			rows[i] = append(rows[i], cell)
		}
	}
	last := len(cols) - 1
	if c.Width > 0 {
		left := c.Width
		for _, col := range cols[:last] {
			left -= col.width + 1
		}
		for i := range rows {
			rows[i][last] = cut(rows[i][last], max(left, 16))
		}
	}
	head := make([]string, len(cols))
	for i := range cols {
		head[i] = cols[i].name
	}
	for _, row := range append([][]string{head}, rows...) {
		words := make([]string, len(cols))
		for i, col := range cols {
			switch {
			case i == last:
				words[i] = row[i]
			case col.left:
				words[i] = fmt.Sprintf("%-*s", col.width, row[i])
			default:
				words[i] = fmt.Sprintf("%*s", col.width, row[i])
			}
		}
		fmt.Fprintln(c.Out, strings.TrimRight(strings.Join(words, " "), " "))
	}
}

// cut shortens text to at most so many characters, and shows that it did; 0
// leaves it.
func cut(s string, most int) string {
	if r := []rune(s); most > 0 && len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func (c *history) printCSV(deeds []onevolume.Deed) error {
	w, cols := csv.NewWriter(c.Out), deedColumns()
	record := make([]string, len(cols))
	for i := range cols {
		record[i] = cols[i].name
	}
	if err := w.Write(record); err != nil {
		return err
	}
	for i := range deeds {
		for j := range cols {
			record[j] = plain(cols[j].cell(&deeds[i]))
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
