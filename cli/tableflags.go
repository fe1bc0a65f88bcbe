package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"onevolume/cli/table"
)

// tableFlags are the options of commands that print a table, as OpenNebula's
// tools have them.
type tableFlags struct {
	table.Options
	numeric, describe bool
	noPager           bool
	delay             int // for top
}

// expandAll is the value of --expand when none is given.
const expandAll = "*"

func (t *tableFlags) add(cmd *cobra.Command) {
	t.layout(cmd)
	f := cmd.Flags()
	f.IntVarP(&t.delay, "delay", "d", 1, "seconds between two lists of top (`x`)")
	f.BoolVarP(&t.numeric, "numeric", "n", false, "ids of users and groups instead of names")
}

// layout adds the options of every table.
func (t *tableFlags) layout(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&t.Conf, "listconf", "c", "", "show the columns of a list that the file of columns has under :default_conf: (`conf`)")
	f.BoolVar(&t.noPager, "no-pager", false, "do not use a pager")
	f.StringSliceVarP(&t.List, "list", "l", nil, "columns to show: `x,y,z`")
	f.StringSliceVarP(&t.Filter, "filter", "f", nil, "show what fits: `x=1,y~2`; the operators are = != < <= > >= and ~ (contains)")
	f.StringVar(&t.Operator, "operator", "", "AND (the default) or OR between filters (`operator`)")
	f.BoolVar(&t.CSV, "csv", false, "print CSV")
	f.StringVar(&t.CSVDel, "csv-del", "", "character between cells of CSV instead of a comma (`del`)")
	f.BoolVar(&t.NoHeader, "no-header", false, "print no header")
	f.StringSliceVar(&t.Adjust, "adjust", nil, "columns of which no cell is cut: `x,y,z`")
	f.StringSliceVarP(&t.Size, "size", "s", nil, "sizes of columns: `x=size,y=size`")
	f.StringSliceVar(&t.Expand, "expand", nil, "columns that fill the terminal, with their shares or without: `x=0.4,y=0.6`; all when none is named")
	f.Lookup("expand").NoOptDefVal = expandAll
	f.BoolVar(&t.NoExpand, "no-expand", false, "do not fill the terminal")
	f.BoolVar(&t.describe, "describe", false, "describe the columns there are")
}

// options are those of the table.
func (t *tableFlags) options() table.Options {
	o := t.Options
	if len(o.Expand) == 1 && o.Expand[0] == expandAll {
		o.Expand, o.ExpandAll = nil, true
	}
	return o
}

// spread joins --expand and the word behind it, which OpenNebula's tools take
// for its value when it is no option.
func spread(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		if args[i] == "--" {
			return append(out, args[i:]...)
		}
		if args[i] == "--expand" && i+1 < len(args) && args[i+1] != "" && !strings.HasPrefix(args[i+1], "-") {
			out = append(out, "--expand="+args[i+1])
			i++
			continue
		}
		out = append(out, args[i])
	}
	return out
}

// screen is what tables are printed on. Like OpenNebula's tools it looks at
// the terminal that the process belongs to when its output goes elsewhere.
func (a *App) screen() table.Screen {
	s := table.Screen{Terminal: a.OutTerminal}
	if a.Size != nil {
		s.Width, _ = a.Size()
	}
	if s.Width == 0 && a.Console != nil {
		s.Width = a.Console()
	}
	return s
}

// rows is how many lines the terminal at Out has; 0 when there is none.
func (a *App) rows() int {
	if !a.OutTerminal || a.Size == nil {
		return 0
	}
	_, rows := a.Size()
	return rows
}

// env reads the environment.
func (a *App) env(name string) string {
	if a.Getenv == nil {
		return ""
	}
	return a.Getenv(name)
}

// pageSize is how many volumes one call asks for: ONE_POOL_PAGE_SIZE, or 200
// as OpenNebula's tools have it (pool.rb).
func (a *App) pageSize() int {
	const standard = 200
	n, err := strconv.Atoi(a.env("ONE_POOL_PAGE_SIZE"))
	if err != nil || n < 2 {
		return standard
	}
	return n
}
