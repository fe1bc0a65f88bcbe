package cli

import (
	"strconv"
	"time"

	"onevolume"
	"onevolume/cli/table"
)

// moment is a row of explain's table: an event of an operation's journal, or a
// command on a host, which stands before the event that came of it.
type moment struct {
	op      int
	entry   *onevolume.Entry
	command *onevolume.Command // nil for the event itself
}

// moments are the rows of an operation.
func (t *story) moments() []moment {
	var list []moment
	for i := range t.journal {
		e := &t.journal[i]
		for j := range e.Commands {
			list = append(list, moment{t.op.ID, e, &e.Commands[j]})
		}
		list = append(list, moment{t.op.ID, e, nil})
	}
	return list
}

// momentColumns are those of explain's table, which options of tables ask for;
// whole leaves the lines of a cell as they are, as CSV is to have them.
func momentColumns(whole bool) []table.Column[moment] {
	type m = *moment
	// of gives a column of commands, which events leave empty.
	of := func(cell func(*onevolume.Command) string) func(m) string {
		return func(m m) string {
			if m.command == nil {
				return ""
			}
			return cell(m.command)
		}
	}
	all := []table.Column[moment]{
		{Name: "OPERATION", Desc: "Number of the operation", Size: 9, Cell: func(m m) string { return strconv.Itoa(m.op) }},
		{Name: "TIME", Desc: "When it happened, or the command began", Size: 23, Left: true, Cell: momentTime},
		{Name: "GENERATION", Desc: "How many have run the operation so far", Size: 10, Cell: func(m m) string { return strconv.Itoa(m.entry.Generation) }},
		{Name: "OWNER", Desc: "Process that ran it", Size: 9, Left: true, Adjust: true, Cell: func(m m) string { return m.entry.Owner }},
		{Name: "STEP", Desc: "Step of the operation", Size: 8, Left: true, Adjust: true, Cell: func(m m) string { return m.entry.Step }},
		{Name: "EVENT", Desc: "What became of the step; COMMAND for one on a host", Size: 13, Left: true, Cell: func(m m) string {
			if m.command != nil {
				return "COMMAND"
			}
			return string(m.entry.Event)
		}},
		{Name: "HOST", Desc: "Host of the command", Size: 8, Left: true, Adjust: true, Cell: of(func(c *onevolume.Command) string { return c.Host })},
		{Name: "STATUS", Desc: "The command's exit status; -1 when none is known", Size: 6, Cell: of(func(c *onevolume.Command) string { return strconv.Itoa(c.Code) })},
		{Name: "TOOK", Desc: "Seconds that the command took", Size: 7, Cell: of(func(c *onevolume.Command) string {
			return strconv.FormatFloat(c.Took.Seconds(), 'f', 3, 64)
		})},
		{Name: "TEXT", Desc: "The command, or what the step knew, or the error", Size: 20, Left: true, Adjust: true, Rest: true, Cell: func(m m) string {
			if m.command != nil {
				return m.command.Text
			}
			return m.entry.Detail
		}},
		{Name: "STDERR", Desc: "End of what the command said on standard error, or why it has no exit status", Size: 20, Left: true, Adjust: true,
			Cell: of(func(c *onevolume.Command) string {
				if c.Error != "" {
					return c.Error
				}
				return c.Stderr
			})},
	}
	for i := range all {
		cell := all[i].Cell
		all[i].Cell = func(m m) string {
			if whole {
				return plain(cell(m))
			}
			return oneLine(cell(m))
		}
	}
	return all
}

// standardMoments are the columns that are shown when none are asked for.
func standardMoments() []string {
	return []string{"OPERATION", "TIME", "STEP", "EVENT", "HOST", "STATUS", "TOOK", "TEXT"}
}

func momentTime(m *moment) string {
	when := m.entry.Time
	if m.command != nil {
		when = m.command.Started
	}
	if when.IsZero() {
		return ""
	}
	return when.Local().Format(time.DateOnly + " " + clock)
}
