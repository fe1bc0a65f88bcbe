package cli

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"onevolume"
	"onevolume/cli/table"
)

// list is `onevolume list`.
type list struct {
	*App
	tableFlags
	format
}

func (a *App) listCommand() *cobra.Command {
	c := &list{App: a}
	cmd := &cobra.Command{
		Use:   "list [<filterflag>]",
		Short: "List volumes, the newest first",
		Long: filterHelp + "\n\nOn a terminal a long list goes to the program that ONE_PAGER names (more).\n" +
			"The columns are laid out in /etc/one/cli/onevolume.yaml, or ~/.one/cli/onevolume.yaml instead.",
		Example: "  onevolume list mine -l ID,NAME,SIZE,IQN\n  onevolume list -f 'STAT=rdy,SIZE>=64G' --csv",
		Args:    arguments("[filterflag]"),
		RunE:    c.run,

		ValidArgsFunction: a.complete(words("all", "mine", "group")),
	}
	c.add(cmd)
	c.flags(cmd, "csv")
	return cmd
}

const filterHelp = `The filterflag is
  a, all            all volumes that you may use (the default)
  m, mine           your own
  g, group          your own and those of your groups
  G, primary group  those of your primary group
  uid, user         those of that user`

// table makes the table, or describes its columns if that is asked for.
func (c *tableFlags) table(a *App) (*table.Table[onevolume.Volume], error) {
	file, err := table.ReadFile(a.ColumnFiles...)
	if err != nil {
		return nil, err
	}
	t, err := table.New(volumeColumns(c.numeric), standardColumns(), file, a.env("ONE_LISTCONF"), c.options())
	if err != nil {
		return nil, err
	}
	if c.describe {
		return t, a.describes(t.Describe())
	}
	return t, nil
}

// describes prints what --describe asks for.
func (a *App) describes(lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(a.Out, line); err != nil {
			return unlessClosed(err)
		}
	}
	return nil
}

func (c *list) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	t, err := c.table(c.App)
	if err != nil || c.describe {
		return err
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	flag, err := s.filterFlag(ctx, args)
	if err != nil {
		return err
	}
	if c.wanted() {
		pool, err := s.pool(ctx, flag, c.pageSize())
		if err != nil {
			return err
		}
		return c.print(c.App, pool, !c.noPager)
	}
	health := func() (h onevolume.Health, ok bool) { return }
	if !c.CSV {
		health = askHealth(ctx, s)
	}
	if err := c.printTable(ctx, s, t, flag); err != nil {
		return err
	}
	if h, ok := health(); ok {
		for _, line := range footer(h, time.Now()) {
			fmt.Fprintln(c.Err, line)
		}
	}
	return nil
}

// printTable prints the table: at once where nobody leafs through it, else page
// by page, and by a pager as soon as the terminal is full.
func (c *list) printTable(ctx context.Context, s *Session, t *table.Table[onevolume.Volume], flag int) error {
	screen, rows := c.screen(), c.rows()
	if rows < 3 || c.noPager || c.CSV {
		all, err := s.volumes(ctx, flag, c.pageSize())
		if err != nil {
			return err
		}
		return unlessClosed(t.Print(c.Out, screen, all, true))
	}
	next, stop := iter.Pull2(s.pages(ctx, flag, rows-1, c.pageSize()))
	defer stop()
	var first []onevolume.Volume
	for len(first) < rows-1 {
		list, err, more := next()
		if err != nil {
			return err
		}
		if !more {
			return unlessClosed(t.Print(c.Out, screen, first, true))
		}
		first = append(first, t.Keep(list)...)
	}
	screen.Terminal = false // a pager need not know colours
	return c.paged(func(w io.Writer) error {
		for list, head := first, true; ; head = false {
			if err := t.Print(w, screen, list, head); err != nil {
				return err
			}
			var err error
			var more bool
			if list, err, more = next(); err != nil || !more {
				return err
			}
		}
	})
}

// filterFlag reads oned's filter as people write it.
func (s *Session) filterFlag(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return -2, nil
	}
	switch args[0] {
	case "a", "all":
		return -2, nil
	case "m", "mine":
		return -3, nil
	case "g", "group":
		return -1, nil
	case "G", "primary group":
		return -4, nil
	}
	return s.Cloud.UserID(ctx, args[0])
}
