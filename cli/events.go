package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/table"
)

// events is `onevolume events`.
type events struct {
	*App
	tableFlags
	follow bool
	json   bool
	last   int
}

func (a *App) eventsCommand() *cobra.Command {
	c := &events{App: a}
	cmd := &cobra.Command{
		Use:   "events [<volumeid>]",
		Short: "List what changed of volumes and operations, and go on listing it",
		Long: "Oldest first: each change of a volume, or of what is done to it, once it is committed. With --follow those to come\n" +
			"are listed as they happen, until it is interrupted. The newest some thousand are kept; onevolume history has who\n" +
			"asked for what, and loses nothing. -j prints one JSON object a line, in the form of the web's events.",
		Example: "  onevolume events --follow\n  onevolume events disk1 --last 10\n  onevolume events -f STATUS=PARKED --follow",
		Args:    arguments("[volumeid]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(volumeRefs),
	}
	f := cmd.Flags()
	f.BoolVar(&c.follow, "follow", false, "go on with those to come")
	f.IntVarP(&c.last, "last", "n", 20, "so many of the past, the newest; at most 1000")
	c.layout(cmd)
	f.BoolVarP(&c.json, "json", "j", false, "print JSON, an object a line")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

func (c *events) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	t, err := rowsOf(c.App, &c.tableFlags, "events", eventColumns(c.follow), nil)
	if err != nil {
		return err
	}
	if c.describe {
		return c.describes(t.Describe())
	}
	if c.last < 0 || c.last > 1000 {
		return onevolume.Errorf(onevolume.Invalid, "--last %d: must be from 0 to 1000", c.last)
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	w := onevolume.Watch{Last: c.last, Follow: c.follow, Volume: onevolume.NoVolume}
	if len(args) > 0 {
		if w.Volume, err = s.volume(ctx, args[0]); err != nil {
			return err
		}
	}
	head := true
	show := func(list ...onevolume.Change) error {
		first := head
		head = false
		return t.Print(c.Out, c.screen(), list, first)
	}
	if c.json {
		show = c.lines
	}
	if !c.follow {
		list, err := s.changes(ctx, w)
		if err != nil {
			return err
		}
		if c.json {
			return unlessClosed(show(list...))
		}
		return printRows(c.App, &c.tableFlags, t, list)
	}
	if !c.json {
		if err := show(); err != nil { // what is to come has a header before it comes
			return unlessClosed(err)
		}
	}
	err = s.Daemon.Changes(ctx, w, func(e *onevolume.Change) error {
		if e == nil {
			fmt.Fprintln(c.Err, "Some events were lost here: onevolume list shows how things are now.")
			return nil
		}
		return show(*e)
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // interrupted, which is how it ends
	}
	return unlessClosed(err)
}

// lines prints events as JSON.
func (c *events) lines(list ...onevolume.Change) error {
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	for i := range list {
		if err := e.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// changes reads the past ones.
func (s *Session) changes(ctx context.Context, w onevolume.Watch) (list []onevolume.Change, err error) {
	w.Follow = false
	err = s.Daemon.Changes(ctx, w, func(e *onevolume.Change) error {
		if e != nil {
			list = append(list, *e)
		}
		return nil
	})
	return list, err
}

// eventColumns are those of the table. Where lines come one by one the columns
// have their place beforehand.
func eventColumns(growing bool) []table.Column[onevolume.Change] {
	type e = *onevolume.Change
	number := func(n int, none bool) string {
		if none {
			return "-"
		}
		return strconv.Itoa(n)
	}
	text := func(s string) string {
		if s == "" {
			return "-"
		}
		return oneLine(s)
	}
	all := []table.Column[onevolume.Change]{
		{Name: "ID", Desc: "Number of the event", Size: 5, Cell: func(e e) string { return strconv.Itoa(e.ID) }},
		{Name: "TIME", Desc: "When it was committed", Size: 19, Left: true, Cell: func(e e) string { return exactly(e.Time) }},
		{Name: "VOLUME", Desc: "Volume that changed", Size: 6, Cell: func(e e) string { return strconv.Itoa(int(e.Volume)) }},
		{Name: "NAME", Desc: "Its name", Size: 12, Most: 24, Left: true, Cell: func(e e) string { return oneLine(e.Name) }},
		{Name: "STATE", Desc: "Its state after that, or DELETED", Size: 9, Left: true, Cell: func(e e) string { return e.Word() }},
		{Name: "VM", Desc: "VM that it is in", Size: 5, Cell: func(e e) string { return number(int(e.VM), e.VM < 0) }},
		{Name: "HOST", Desc: "Host that it is on", Size: 12, Most: 24, Left: true, Cell: func(e e) string { return text(e.Host) }},
		{Name: "OPERATION", Desc: "Newest operation of it", Size: 9, Cell: func(e e) string { return number(e.Operation, e.Operation == 0) }},
		{Name: "KIND", Desc: "What that does", Size: 8, Most: 15, Left: true, Cell: func(e e) string { return text(string(e.Kind)) }},
		{Name: "STATUS", Desc: "How far that is", Size: 7, Left: true, Cell: func(e e) string { return text(string(e.Status)) }},
		{Name: "REASON", Desc: "Why it is in that state, or what failed", Size: 6, Left: true, Rest: true, Cell: func(e e) string { return oneLine(e.Reason) }},
	}
	for i := range all {
		all[i].Adjust = !growing
	}
	return all
}
