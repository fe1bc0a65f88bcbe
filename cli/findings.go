package cli

import (
	"strconv"
	"strings"

	"onevolume"
	"onevolume/cli/table"
)

// findingColumns are those of doctor's table, which options of tables ask for;
// whole is as for momentColumns.
func findingColumns(whole bool) []table.Column[onevolume.Finding] {
	type f = *onevolume.Finding
	number := func(n, none int) string {
		if n == none {
			return "-"
		}
		return strconv.Itoa(n)
	}
	all := []table.Column[onevolume.Finding]{
		{Name: "TROUBLE", Desc: "What differs", Size: 20, Left: true, Adjust: true, Cell: func(f f) string { return string(f.Trouble) }},
		{Name: "HOST", Desc: "Host on which it was found", Size: 10, Left: true, Adjust: true, Cell: func(f f) string { return f.Host }},
		{Name: "VOLUME", Desc: "Volume that it is about", Size: 6, Cell: func(f f) string { return number(int(f.Volume), int(onevolume.NoVolume)) }},
		{Name: "VM", Desc: "VM that it is about", Size: 4, Cell: func(f f) string { return number(int(f.VM), int(onevolume.NoVM)) }},
		{Name: "OPERATION", Desc: "Operation that it came of", Size: 9, Cell: func(f f) string { return number(f.Operation, 0) }},
		{Name: "FIX", Desc: "Who repairs it: onevolumed by itself (auto), doctor --fix (fix), or you (no)", Size: 4, Left: true, Cell: fixer},
		{Name: "CAUSE", Desc: "What was found", Size: 20, Left: true, Adjust: true, Rest: true, Cell: func(f f) string { return f.Cause }},
		{Name: "RISK", Desc: "What may come of it", Size: 20, Left: true, Adjust: true, Cell: func(f f) string { return f.Risk }},
		{Name: "REPAIR", Desc: "Commands that put it right", Size: 20, Left: true, Adjust: true, Cell: func(f f) string { return strings.Join(f.Repair, "; ") }},
	}
	for i := range all {
		cell := all[i].Cell
		all[i].Cell = func(f f) string {
			if whole {
				return plain(cell(f))
			}
			return oneLine(cell(f))
		}
	}
	return all
}

// standardFindings are the columns that are shown when none are asked for.
func standardFindings() []string {
	return []string{"TROUBLE", "HOST", "VOLUME", "VM", "OPERATION", "FIX", "CAUSE"}
}

func fixer(f *onevolume.Finding) string {
	switch {
	case f.Harmless:
		return "auto"
	case f.Fixable:
		return "fix"
	}
	return "no"
}
