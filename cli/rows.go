package cli

import (
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"onevolume/cli/table"
)

// tableOptions are the names of the options by which a command that tells its
// story in sentences is asked for a table instead.
var tableOptions = []string{"list", "listconf", "filter", "operator", "csv", "csv-del", "no-header", "adjust", "size", "expand", "no-expand", "describe"}

// asked says whether any option of a table was given.
func (t *tableFlags) asked(cmd *cobra.Command) bool {
	for _, name := range tableOptions {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return true
		}
	}
	return false
}

// rowsOf makes the table of a command other than list and top. Its file of
// columns stands beside theirs and has the command's name behind onevolume.
func rowsOf[T any](a *App, t *tableFlags, command string, all []table.Column[T], standard []string) (*table.Table[T], error) {
	files := make([]string, len(a.ColumnFiles))
	for i, path := range a.ColumnFiles {
		ext := filepath.Ext(path)
		files[i] = strings.TrimSuffix(path, ext) + "-" + command + ext
	}
	file, err := table.ReadFile(files...)
	if err != nil {
		return nil, err
	}
	return table.New(all, standard, file, a.env("ONE_LISTCONF"), t.options())
}

// printRows prints a table that is there as a whole: by a pager if a terminal
// has less room.
func printRows[T any](a *App, f *tableFlags, t *table.Table[T], rows []T) error {
	screen, room := a.screen(), a.rows()
	if room == 0 || f.noPager || f.CSV || len(t.Keep(rows)) < room-1 {
		return unlessClosed(t.Print(a.Out, screen, rows, true))
	}
	screen.Terminal = false // a pager need not know colours
	return a.paged(func(w io.Writer) error { return t.Print(w, screen, rows, true) })
}
