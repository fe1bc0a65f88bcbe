package table

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"

	"onevolume"
)

// filter is a condition on a cell.
type filter struct {
	column   string
	operator string
	value    string
}

// expression is a column, an operator, and a value. Of two operators that fit
// the longer counts: <= is not < and a value that begins with =.
var expression = regexp.MustCompile(`^(.*?)(!=|<=|>=|=|<|>|~)(.*)$`)

func (t *Table[T]) parseFilters() error {
	switch strings.ToUpper(t.o.Operator) {
	case "", "AND":
	case "OR":
		t.any = true
	default:
		return onevolume.Errorf(onevolume.Invalid, "option operator: %q is neither AND nor OR", t.o.Operator)
	}
	for _, text := range t.o.Filter {
		m := expression.FindStringSubmatch(text)
		if m == nil {
			return onevolume.Errorf(onevolume.Invalid, "Expression '%s' incorrect", text).WithHint("write COLUMN=value, with = != < <= > >= or ~ (contains)")
		}
		i := t.find(m[1])
		if i < 0 {
			return onevolume.Errorf(onevolume.Invalid, "Column '%s' not found", m[1]).WithHint("--describe lists the columns there are")
		}
		t.filters = append(t.filters, filter{column: t.known[i].name, operator: m[2], value: m[3]})
	}
	return nil
}

// Keep gives the rows that pass the filters.
func (t *Table[T]) Keep(rows []T) []T {
	var kept []T
	for i := range rows {
		if t.keeps(&rows[i]) {
			kept = append(kept, rows[i])
		}
	}
	return kept
}

// keeps says whether a row passes the filters. They look at the whole cell,
// not at what of it has room.
func (t *Table[T]) keeps(row *T) bool {
	for _, f := range t.filters {
		if f.holds(t.cells[f.column](row)) == t.any {
			return t.any
		}
	}
	return !t.any || len(t.filters) == 0
}

func (f filter) holds(cell string) bool {
	switch f.operator {
	case "=":
		return cell == f.value
	case "!=":
		return cell != f.value
	case "~":
		return strings.Contains(cell, f.value)
	}
	order := compare(cell, f.value)
	switch f.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

// compare orders numbers and sizes by what they stand for, and all else as
// text.
func compare(a, b string) int {
	x, ok := number(a)
	y, also := number(b)
	if ok && also {
		return cmp.Compare(x, y)
	}
	return strings.Compare(a, b)
}

// units are the letters behind a size.
var units = map[byte]float64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40, 'P': 1 << 50}

func number(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	unit, ok := units[s[len(s)-1]]
	if ok {
		s = s[:len(s)-1]
	} else {
		unit = 1
	}
	if strings.Trim(s, "0123456789.") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(s, 64)
	return n * unit, err == nil
}
