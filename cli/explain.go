package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
)

// explain is `onevolume explain`.
type explain struct {
	*App
	tableFlags
	format
	volume string
	all    bool
}

func (a *App) explainCommand() *cobra.Command {
	c := &explain{App: a}
	cmd := &cobra.Command{
		Use:   "explain <operation|volumeid>",
		Short: "Tell the story of an operation: each step, each command on the host, and what to do now",
		Long: "A number is the id of an operation. A volume is given by name, or by --volume as id or name: its newest\n" +
			"operation is told then, or every one with --all. Commands on hosts are shown to oneadmin's group.\n" +
			"Secrets are masked. Nothing is cut off; on a terminal long lines are folded.\n\n" +
			"With an option of tables (-l, -f, --csv ...) it prints a table instead: a row for each event of the journal and for\n" +
			"each command on a host. The columns may be laid out in onevolume-explain.yaml beside onevolume.yaml.",
		Example: "  onevolume explain 12\n  onevolume explain disk1\n  onevolume explain --volume 3 --all",
		Args:    arguments("[operation|volumeid]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(volumeNames),
	}
	f := cmd.Flags()
	f.StringVar(&c.volume, "volume", "", "id or name of a volume")
	f.BoolVar(&c.all, "all", false, "every operation of the volume that the history knows, the oldest first")
	c.layout(cmd)
	c.flags(cmd, "csv")
	a.completeFlag(cmd, "volume", volumeRefs)
	return cmd
}

// story is an operation with all that is known of it.
type story struct {
	op      onevolume.Operation
	journal []onevolume.Entry
	volume  *onevolume.Volume // nil when it cannot be read
	deeds   []onevolume.Deed  // what was asked of the operation, the oldest first
}

func (c *explain) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	t, err := rowsOf(c.App, &c.tableFlags, "explain", momentColumns(c.CSV), standardMoments())
	if err != nil {
		return err
	}
	if c.describe {
		return c.describes(t.Describe())
	}
	if len(args) == 1 && c.volume != "" || len(args) == 0 && c.volume == "" {
		return fmt.Errorf("Command explain requires an operation or a volume, and one of them. Try: onevolume explain --help")
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	ids, err := c.operations(ctx, s, args)
	if err != nil {
		return err
	}
	stories := make([]story, len(ids))
	for i, id := range ids {
		if stories[i], err = c.read(ctx, s, id); err != nil {
			return err
		}
	}
	switch {
	case c.wanted() && c.all:
		return c.value(c.App, "OPERATION_POOL", storiesJSON(stories))
	case c.wanted():
		return c.value(c.App, "OPERATION", storyJSON(&stories[0]))
	case c.asked(cmd):
		var rows []moment
		for i := range stories {
			rows = append(rows, stories[i].moments()...)
		}
		return printRows(c.App, &c.tableFlags, t, rows)
	}
	for i := range stories {
		if i > 0 {
			fmt.Fprintln(c.Out)
		}
		c.print(&stories[i])
	}
	return nil
}

// operations says which are asked for.
func (c *explain) operations(ctx context.Context, s *Session, args []string) ([]int, error) {
	ref := c.volume
	if len(args) == 1 {
		if n, err := strconv.Atoi(args[0]); err == nil && n >= 0 {
			if c.all {
				return nil, onevolume.Errorf(onevolume.Invalid, "--all is for a volume, and %d is the id of an operation", n).
					WithHint("onevolume explain --all --volume %d", n)
			}
			return []int{n}, nil
		}
		ref = args[0]
	}
	id, err := s.volume(ctx, ref)
	if err != nil {
		return nil, err
	}
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return nil, err
	}
	if v.Operation == 0 {
		return nil, onevolume.Errorf(onevolume.NotFound, "Volume %d (%s) has had no operation: nobody attached or detached it yet.", v.ID, v.Name)
	}
	if !c.all {
		return []int{v.Operation}, nil
	}
	ids := []int{v.Operation}
	deeds, err := s.deeds(ctx, onevolume.History{Volume: id, VM: onevolume.NoVM, UID: -1}, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range deeds {
		if d.Operation > 0 && !slices.Contains(ids, d.Operation) {
			ids = append(ids, d.Operation)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// maxAsks is how far back the history of a volume is read for what was asked
// of an operation: enough for one that was not forgotten for years.
const maxAsks = 500

// read gathers what is known of an operation. Only the operation itself must
// be there: the rest is said without it.
func (c *explain) read(ctx context.Context, s *Session, id int) (story, error) {
	op, journal, err := s.Daemon.Operation(ctx, id)
	if err != nil {
		return story{}, err
	}
	t := story{op: op, journal: journal, volume: s.glance(ctx, op.Volume)}
	deeds, err := s.Daemon.History(ctx, onevolume.History{Volume: op.Volume, VM: onevolume.NoVM, UID: -1, Limit: maxAsks})
	if err == nil {
		for _, d := range slices.Backward(deeds) {
			if d.Operation == id {
				t.deeds = append(t.deeds, d)
			}
		}
	}
	return t, nil
}

func (c *explain) print(t *story) {
	op := &t.op
	fmt.Fprintf(c.Out, "OPERATION %d INFORMATION\n", op.ID)
	line := func(name, format string, args ...any) {
		c.hang(fmt.Sprintf("%-15s: ", name), fmt.Sprintf(format, args...))
	}
	line("TASK", "%s", task(*op, t.volume))
	line("ASKED BY", "%s (%s)%s", op.By.User, op.By.Group, t.from())
	line("STARTED", "%s", exactly(op.Started))
	line("STATUS", "%s", op.Status)
	if op.Status == onevolume.Running {
		line("RUN BY", "%s, generation %d, who has until %s for a word", owner(op.Owner), op.Generation, lately(op.Lease, time.Now()))
	} else {
		line("ENDED", "%s, after %s", exactly(op.Ended), span(op.Ended.Sub(op.Started)))
	}
	switch op.Way {
	case onevolume.Forward:
		line("WAY", "forward: an administrator had it resumed")
	case onevolume.Back:
		line("WAY", "back: an administrator had it aborted")
	}
	if v := t.volume; v != nil {
		line("VOLUME NOW", "%s", whereabouts(v))
	}
	if op.Error != "" {
		line("ERROR", "%s", op.Error)
	}
	c.timeline(t)
	c.advise(t)
}

// from is where the ask came from, as far as the history tells.
func (t *story) from() string {
	for _, d := range t.deeds {
		if d.Action == string(t.op.Kind) && d.From != "" && d.Result == "begun" {
			return " from " + oneLine(d.From)
		}
	}
	return ""
}

// whereabouts is a volume's state and place in a few words.
func whereabouts(v *onevolume.Volume) string {
	text := string(v.State)
	if v.Attachment.VM != onevolume.NoVM {
		text += fmt.Sprintf(", on record in VM %d", v.Attachment.VM)
		if v.Attachment.Host != "" {
			text += " on host " + v.Attachment.Host
		}
		if v.Attachment.Device != "" {
			text += " as " + v.Attachment.Device
		}
	}
	return text
}

// advise says what to do about an operation that needs somebody.
func (c *explain) advise(t *story) {
	op := t.op
	switch {
	case op.Status == onevolume.Running:
		c.hang("", fmt.Sprintf("\nIt is under way. If its owner dies, onevolumed takes it over when the lease ends. See how it goes on:\nonevolume explain %d", op.ID))
		return
	case op.Status != onevolume.Parked:
		return
	case t.volume != nil && (t.volume.Operation != op.ID || t.volume.State != onevolume.Failed):
		c.hang("", fmt.Sprintf("\nNothing is to be done about it any more: the volume is %s, and operation %d came after it.", t.volume.State, t.volume.Operation))
		return
	}
	fmt.Fprintln(c.Out, "\nWHAT TO DO, FOR AN ADMINISTRATOR")
	c.hang("", "It could neither be completed nor taken back, so onevolumed left everything as it is. Put right what the error names, then one of:")
	c.ways(waysOut(op))
	c.hang("", "Each looks at the host before it acts, and ends here again when it cannot go on. Only when neither can help, and you have seen on the host what is true: "+
		fmt.Sprintf("onevolume recover --status STATUS %d", op.Volume))
}

// ways lists what to do about a parked operation, as commands to type.
func (a *App) ways(list [][2]string) {
	width := 0
	for _, w := range list {
		width = max(width, len(w[0]))
	}
	for _, w := range list {
		a.hang(fmt.Sprintf("  %-*s  ", width, w[0]), w[1])
	}
}
