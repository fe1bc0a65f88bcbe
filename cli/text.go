package cli

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// How things look that people read: times, durations, and text that others
// wrote.

// when prints a time as OpenNebula's tables do.
func when(t time.Time) string { return t.Local().Format("01/02 15:04:05") }

// exactly prints a time with its year, for what is read long afterwards.
func exactly(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// lately is the time of day, with the date unless that is today's.
func lately(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format(time.TimeOnly)
	}
	return exactly(t)
}

// span prints a duration in the digits that matter.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms" // a clock that was set back
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 100*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	d = d.Round(time.Second)
	h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60
	if h == 0 {
		return fmt.Sprintf("%d min %02d s", m, s)
	}
	return fmt.Sprintf("%d h %02d min", h, m)
}

// plain is text of others with nothing in it that a terminal obeys. Newlines
// and tabs stay.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		if r == '\r' {
			return -1
		}
		return unicode.ReplacementChar
	}, s)
}

// oneLine is plain text without newlines, for a cell of a table.
func oneLine(s string) string { return strings.Join(strings.Fields(plain(s)), " ") }

// fold breaks text into lines of at most width characters, at blanks where
// there are any; a width of 0 breaks nothing but at newlines.
func fold(s string, width int) []string {
	var out []string
	for _, line := range strings.Split(strings.TrimRight(plain(s), "\n"), "\n") {
		line = strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), " ")
		for r := []rune(line); width > 0 && len(r) > width; r = []rune(line) {
			cut := width
			for i := width; i > width/2; i-- {
				if r[i] == ' ' {
					cut = i
					break
				}
			}
			out = append(out, strings.TrimRight(string(r[:cut]), " "))
			line = strings.TrimLeft(string(r[cut:]), " ")
		}
		out = append(out, line)
	}
	return out
}

// hang prints text behind a first column: its further lines begin below it.
func (a *App) hang(first, s string) {
	indent := len([]rune(first))
	width := 0
	if a.Width > 0 {
		width = max(a.Width-indent, 20)
	}
	for i, line := range fold(s, width) {
		if i > 0 {
			first = strings.Repeat(" ", indent)
		}
		fmt.Fprintln(a.Out, strings.TrimRight(first+line, " "))
	}
}
