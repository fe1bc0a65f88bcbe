package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// list is `onevolume list`.
type list struct {
	*App
	xml, json, csv bool
}

// column is one of the table: a cell is padded to the width and cut at it,
// unless it grows with its longest value.
type column struct {
	name  string
	width int
	left  bool
	grows bool
	cell  func(v *onevolume.Volume) string
}

// columns are laid out as oneimage's.
func columns() []column {
	return []column{
		{"ID", 4, false, true, func(v *onevolume.Volume) string { return strconv.Itoa(int(v.ID)) }},
		{"USER", 8, true, false, func(v *onevolume.Volume) string { return v.Owner.User }},
		{"GROUP", 8, true, false, func(v *onevolume.Volume) string { return v.Owner.Group }},
		{"NAME", 15, true, true, func(v *onevolume.Volume) string { return v.Name }},
		{"ARRAY", 8, true, false, func(v *onevolume.Volume) string { return v.Array }},
		{"SIZE", 7, false, false, func(v *onevolume.Volume) string { return v.Size.String() }},
		{"STAT", 4, true, false, func(v *onevolume.Volume) string { return v.State.Short() }},
		{"VM", 5, false, true, func(v *onevolume.Volume) string { return vmText(v.Attachment.VM) }},
		{"HOST", 10, true, true, func(v *onevolume.Volume) string { return v.Attachment.Host }},
	}
}

func vmText(id onevolume.VMID) string {
	if id == onevolume.NoVM {
		return "-"
	}
	return strconv.Itoa(int(id))
}

func (a *App) listCommand() *cobra.Command {
	c := &list{App: a}
	cmd := &cobra.Command{
		Use:   "list [<filter>]",
		Short: "List volumes, newest first",
		Long:  "The filter is a (all that you may use, the default), m (mine), g (my group's), or the id of a user.",
		Args:  cobra.MaximumNArgs(1),
		RunE:  c.run,
	}
	f := cmd.Flags()
	f.BoolVarP(&c.xml, "xml", "x", false, "print the pool's XML document")
	f.BoolVarP(&c.json, "json", "j", false, "print JSON")
	f.BoolVar(&c.csv, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("xml", "json", "csv")
	return cmd
}

func (c *list) run(cmd *cobra.Command, args []string) error {
	flag := -2
	if len(args) == 1 {
		var err error
		if flag, err = filterFlag(args[0]); err != nil {
			return err
		}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	if c.xml {
		text, err := s.Daemon.PoolXML(cmd.Context(), flag, -1, -1)
		if err == nil {
			fmt.Fprintln(c.Out, text)
		}
		return err
	}
	health := func() (h onevolume.Health, ok bool) { return }
	if !c.json && !c.csv {
		health = askHealth(cmd.Context(), s)
	}
	volumes, err := s.Daemon.Pool(cmd.Context(), flag, -1, -1)
	if err != nil {
		return err
	}
	switch {
	case c.json:
		return c.printJSON(poolJSON(volumes))
	case c.csv:
		return c.printCSV(volumes)
	}
	c.printTable(volumes)
	if h, ok := health(); ok {
		for _, line := range footer(h, time.Now()) {
			fmt.Fprintln(c.Err, line)
		}
	}
	return nil
}

// filterFlag reads oned's filter as people write it.
func filterFlag(s string) (int, error) {
	switch s {
	case "a", "all":
		return -2, nil
	case "m", "mine":
		return -3, nil
	case "g", "group":
		return -1, nil
	case "G":
		return -4, nil
	}
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n, nil
	}
	return 0, onevolume.Errorf(onevolume.Invalid, "filter %q: must be a, m, g, G or the id of a user", s)
}

func (c *list) printTable(volumes []onevolume.Volume) {
	cols := columns()
	for i := range cols {
		for j := range volumes {
			if n := len([]rune(cols[i].cell(&volumes[j]))); cols[i].grows && n > cols[i].width {
				cols[i].width = n
			}
		}
	}
	row := func(cell func(column) string) string {
		words := make([]string, len(cols))
		for i, col := range cols {
			align := ""
			if col.left {
				align = "-"
			}
			words[i] = fmt.Sprintf("%"+align+"*.*s", col.width, col.width, cell(col))
		}
		return strings.Join(words, " ")
	}
	fmt.Fprintln(c.Out, row(func(col column) string { return col.name }))
	for i := range volumes {
		fmt.Fprintln(c.Out, strings.TrimRight(row(func(col column) string { return col.cell(&volumes[i]) }), " "))
	}
}

func (c *list) printCSV(volumes []onevolume.Volume) error {
	w, cols := csv.NewWriter(c.Out), columns()
	record := make([]string, len(cols))
	for i, col := range cols {
		record[i] = col.name
	}
	if err := w.Write(record); err != nil {
		return err
	}
	for j := range volumes {
		for i, col := range cols {
			record[i] = col.cell(&volumes[j])
		}
		if err := w.Write(record); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// volumeJSON is a volume in JSON: every value a string, named as in the XML
// document, as OpenNebula's tools print.
func volumeJSON(v *onevolume.Volume) map[string]any {
	return map[string]any{
		"ID": strconv.Itoa(int(v.ID)), "NAME": v.Name, "UID": strconv.Itoa(v.Owner.UID), "GID": strconv.Itoa(v.Owner.GID),
		"UNAME": v.Owner.User, "GNAME": v.Owner.Group, "STATUS": string(v.State), "REASON": v.Reason,
		"SIZE": strconv.FormatInt(v.Size.MB(), 10), "SIZE_BYTES": strconv.FormatInt(int64(v.Size), 10),
		"IQN": string(v.Target.IQN), "LUN": strconv.Itoa(int(v.Target.LUN)), "PORTALS": onevolume.JoinPortals(v.Target.Portals),
		"ARRAY": v.Array, "UNIT_SERIAL": v.Identity.Serial, "WWID": v.Identity.WWID, "VM_ID": strconv.Itoa(int(v.Attachment.VM)),
		"HOST": v.Attachment.Host, "DEVICE": v.Attachment.Device, "SERIAL": v.Attachment.Serial,
		"REGTIME": strconv.FormatInt(v.Registered.Unix(), 10), "OPERATION": strconv.Itoa(v.Operation), "TEMPLATE": v.Attributes,
	}
}

func poolJSON(volumes []onevolume.Volume) any {
	all := make([]any, len(volumes))
	for i := range volumes {
		all[i] = volumeJSON(&volumes[i])
	}
	return map[string]any{"VOLUME_POOL": map[string]any{"VOLUME": all}}
}

func (a *App) printJSON(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
