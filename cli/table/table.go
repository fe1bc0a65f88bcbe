// Package table prints lists of objects as OpenNebula's own tools do: columns
// that an administrator lays out in a YAML file, cells that are padded and cut
// to a width, filters, colours and CSV. The rules are those of OpenNebula 7.4
// (src/cli/cli_helper.rb); docs/commandline.md says where they differ.
package table

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// Column is one that a table can show.
type Column[T any] struct {
	Name string // in capitals
	Desc string
	// Size is how many columns of a terminal a cell has.
	Size int
	Left bool // aligned; else right
	// Adjust lets the column grow to its longest cell, so that none is cut.
	Adjust bool
	// Expand lets it have its share of what a terminal's line has left.
	Expand bool
	// Most, when not 0, is how far it adjusts; a cell that is cut there shows it.
	Most int
	// Rest gives it all that a terminal's line has left, and no more: it is cut
	// there, and shows that it was. For the last column.
	Rest bool
	Cell func(*T) string
}

// Options are what a command line says of a table.
type Options struct {
	List     []string // the columns to show, in any case; none for the default
	Conf     string   // the name of a list in the file of columns
	Filter   []string // NAME=value …, with the operators = != < <= > >= ~
	Operator string   // AND or OR between filters
	CSV      bool
	CSVDel   string // between cells of CSV; a comma when empty
	NoHeader bool
	Adjust   []string // columns that are not cut
	Size     []string // NAME=size
	// Expand names columns that share what a line has left, each with =share
	// or without; ExpandAll is all of them; NoExpand none.
	Expand    []string
	ExpandAll bool
	NoExpand  bool
}

// column is one as it is shown.
type column struct {
	name   string
	desc   string
	size   int
	left   bool
	adjust bool
	expand bool
	share  float64 // of what is left over; 0 for one by size
	most   int
	rest   bool
}

// Table is a table to be printed, perhaps page by page: what its columns have
// grown to, they stay.
type Table[T any] struct {
	o       Options
	cells   map[string]func(*T) string
	known   []column // all that there are, in the order of their description
	shown   []column
	filters []filter
	any     bool // one filter that holds is enough
	laidOut bool
}

// New makes a table of the columns in all, of which standard (nil: all) are
// shown when neither the options nor the file say otherwise. listconf is ONE_LISTCONF:
// other than a name in Options.Conf it may name a list that the file does not
// have, since one variable serves all of OpenNebula's tools.
func New[T any](all []Column[T], standard []string, file File, listconf string, o Options) (*Table[T], error) {
	t := &Table[T]{o: o, cells: map[string]func(*T) string{}}
	for _, c := range all {
		t.cells[c.Name] = c.Cell
		t.known = append(t.known, file.lay(column{name: c.Name, desc: c.Desc, size: c.Size, left: c.Left, adjust: c.Adjust, expand: c.Expand, most: c.Most, rest: c.Rest}))
	}
	if standard == nil {
		for _, c := range all {
			standard = append(standard, c.Name)
		}
	}
	names, err := file.choose(standard, o.Conf, listconf)
	if err != nil {
		return nil, err
	}
	if len(o.List) > 0 {
		names = o.List
	}
	for _, name := range names {
		i := t.find(name)
		if i < 0 && len(o.List) > 0 {
			return nil, notDefined(name)
		}
		if i >= 0 { // a file may be of a newer version
			t.shown = append(t.shown, t.known[i])
		}
	}
	if err := t.sizes(); err != nil {
		return nil, err
	}
	if err := t.parseFilters(); err != nil {
		return nil, err
	}
	if o.CSVDel != "" && !oneDelimiter(o.CSVDel) {
		return nil, onevolume.Errorf(onevolume.Invalid, "option csv_del: %q is not one character that can stand between cells", o.CSVDel)
	}
	return t, nil
}

func notDefined(name string) error {
	return onevolume.Errorf(onevolume.Invalid, "Column %s not defined.", strings.ToUpper(name)).WithHint("--describe lists the columns there are")
}

// find gives the index of a column among all that there are; -1 for none.
func (t *Table[T]) find(name string) int {
	return slices.IndexFunc(t.known, func(c column) bool { return strings.EqualFold(c.name, strings.TrimSpace(name)) })
}

// named gives the column of that name if it is shown; nil when it is not. Its
// error says that there is none.
func (t *Table[T]) named(name string) (*column, error) {
	if t.find(name) < 0 {
		return nil, notDefined(name)
	}
	i := slices.IndexFunc(t.shown, func(c column) bool { return strings.EqualFold(c.name, strings.TrimSpace(name)) })
	if i < 0 {
		return nil, nil
	}
	return &t.shown[i], nil
}

// sizes takes what the command line says of sizes.
func (t *Table[T]) sizes() error {
	for _, name := range t.o.Adjust {
		c, err := t.named(name)
		if err != nil {
			return err
		}
		if c != nil {
			c.adjust = true
		}
	}
	for _, text := range t.o.Size {
		name, value, _ := strings.Cut(text, "=")
		c, err := t.named(name)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 1 || n > maxSize {
			return onevolume.Errorf(onevolume.Invalid, "option size: %q is not a column and its size, such as name=20", text)
		}
		if c != nil {
			c.size, c.adjust, c.expand = n, false, false
		}
	}
	for _, text := range t.o.Expand {
		name, value, given := strings.Cut(text, "=")
		c, err := t.named(name)
		if err != nil {
			return err
		}
		share := 0.0
		if given {
			if share, err = strconv.ParseFloat(strings.TrimSpace(value), 64); err != nil || !(share > 0 && share <= 1) {
				return onevolume.Errorf(onevolume.Invalid, "option expand: %q is not a column and its share, such as name=0.4", text)
			}
		}
		if c != nil {
			c.expand, c.share = true, share
		}
	}
	return nil
}

// maxSize is the widest that a column can be asked to be.
const maxSize = 10000

// Describe gives a line for each column that there is.
func (t *Table[T]) Describe() []string {
	lines := make([]string, len(t.known))
	for i, c := range t.known {
		lines[i] = strings.TrimRight(fmt.Sprintf("%-20s: %-20s", c.name, c.desc), " ")
	}
	return lines
}
