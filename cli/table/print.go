package table

import (
	"encoding/csv"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Screen is what a table is printed on.
type Screen struct {
	// Width is how many columns the terminal has at which somebody will read
	// it; 0 when there is none.
	Width int
	// Terminal says that it is printed there directly, where colours show.
	Terminal bool
}

// Print prints rows that pass the filters, below a header when head is true
// and the options allow one. It may be called again with more rows.
func (t *Table[T]) Print(w io.Writer, s Screen, rows []T, head bool) error {
	var lines [][]string
	for i := range rows {
		if !t.keeps(&rows[i]) {
			continue
		}
		line := make([]string, len(t.shown))
		for j, c := range t.shown {
			line[j] = t.cells[c.name](&rows[i])
		}
		lines = append(lines, line)
	}
	head = head && !t.o.NoHeader
	if t.o.CSV {
		return t.csv(w, lines, head)
	}
	t.layOut(s, lines)
	var out strings.Builder
	if head {
		out.WriteString(t.header(s) + "\n")
	}
	for _, line := range lines {
		out.WriteString(t.line(s, line) + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// oneDelimiter says whether encoding/csv takes it.
func oneDelimiter(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n == len(s) && r != utf8.RuneError && !strings.ContainsRune("\"\r\n", r)
}

func (t *Table[T]) csv(w io.Writer, lines [][]string, head bool) error {
	out := csv.NewWriter(w)
	if t.o.CSVDel != "" {
		out.Comma, _ = utf8.DecodeRuneInString(t.o.CSVDel)
	}
	if head {
		names := make([]string, len(t.shown))
		for i, c := range t.shown {
			names[i] = c.name
		}
		if err := out.Write(names); err != nil {
			return err
		}
	}
	for _, line := range lines {
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// layOut gives each column its size: one that adjusts grows to its longest
// cell; then those that expand share what the terminal's line has left.
func (t *Table[T]) layOut(s Screen, lines [][]string) {
	for i := range t.shown {
		c := &t.shown[i]
		if !c.adjust || t.o.ExpandAll {
			continue
		}
		for _, line := range lines {
			c.size = max(c.size, uniseg.StringWidth(line[i]))
		}
		if c.most > 0 {
			c.size = min(c.size, c.most)
		}
	}
	if !t.laidOut && !t.o.NoExpand {
		t.expand(s.Width)
	}
	if !t.laidOut && s.Width > 0 {
		t.rest(s.Width)
	}
	t.laidOut = true
}

// leastRest is what a column that has the rest of a line has in any case.
const leastRest = 16

// rest gives the columns that have the rest of a line just that.
func (t *Table[T]) rest(width int) {
	left := width - (len(t.shown) - 1)
	for _, c := range t.shown {
		if !c.rest {
			left -= c.size
		}
	}
	for i := range t.shown {
		if c := &t.shown[i]; c.rest {
			c.size, c.adjust = max(left, leastRest), false
		}
	}
}

func (t *Table[T]) expand(width int) {
	share, total, sum := t.sharers(), 0, 0
	for _, c := range t.shown {
		total += c.size
	}
	for _, c := range share {
		sum += c.size
	}
	left := width - (len(t.shown) - 1) - total
	if len(share) == 0 || left <= 0 {
		return
	}
	rest := left
	for _, c := range share {
		part := c.share
		if part == 0 || t.o.ExpandAll {
			part = float64(c.size) / float64(sum)
		}
		more := min(int(math.Round(float64(left)*part)), rest)
		c.size, c.adjust = c.size+more, false
		rest -= more
	}
	share[len(share)-1].size += rest // no line is shorter than the terminal, or longer
}

// sharers are the columns that expand: all, or those that the command line
// names in its order and then those of the file. What shares leave over is
// the last one's.
func (t *Table[T]) sharers() []*column {
	var named, others []*column
	for _, text := range t.o.Expand {
		name, _, _ := strings.Cut(text, "=")
		if c, _ := t.named(name); c != nil && !slices.Contains(named, c) {
			named = append(named, c)
		}
	}
	for i := range t.shown {
		if c := &t.shown[i]; (c.expand || t.o.ExpandAll) && !slices.Contains(named, c) {
			others = append(others, c)
		}
	}
	return append(named, others...)
}

// Escape sequences of ECMA-48: select graphic rendition.
const (
	bold      = "\x1b[1m"
	underline = "\x1b[4m"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
	plain     = "\x1b[0m"
)

// colours are those of OpenNebula's words for states that can be ours.
var colours = map[string]string{"rdy": green, "on": green, "err": red, "fail": red}

// Head is a header as a terminal shows it: bold, and underlined if it heads a
// table or a document.
func Head(s Screen, text string, under bool) string {
	if !s.Terminal {
		return text
	}
	if under {
		return bold + underline + text + plain
	}
	return bold + text + plain
}

func (t *Table[T]) header(s Screen) string {
	words := make([]string, len(t.shown))
	for i, c := range t.shown {
		words[i] = c.fit(c.name)
	}
	return Head(s, strings.Join(words, " "), true)
}

func (t *Table[T]) line(s Screen, cells []string) string {
	words := make([]string, len(t.shown))
	for i, c := range t.shown {
		words[i] = c.fit(cells[i])
		if colour, ok := colours[cells[i]]; ok && s.Terminal && c.name == "STAT" {
			words[i] = colour + words[i] + plain
		}
	}
	return strings.TrimRight(strings.Join(words, " "), " ")
}

// fit pads a cell to the column's size and cuts it there, unless the column
// adjusts. What counts is the room it takes on a terminal, so that lines stay
// straight with characters that take two columns, or none.
func (c *column) fit(s string) string {
	width := uniseg.StringWidth(s)
	switch {
	case width <= c.size || c.adjust && c.most == 0:
	case c.rest || c.adjust:
		s, width = cut(s, c.size-1)
		s, width = s+"…", width+1
	default:
		s, width = cut(s, c.size)
	}
	pad := strings.Repeat(" ", max(c.size-width, 0))
	if c.left {
		return s + pad
	}
	return pad + s
}

// cut gives as much of a text as has room, and the room that it takes.
func cut(s string, room int) (string, int) {
	width, state, rest := 0, -1, s
	for rest != "" {
		_, after, w, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if width+w > room {
			break
		}
		width, rest, state = width+w, after, next
	}
	return s[:len(s)-len(rest)], width
}
