package cli

import (
	"fmt"
	"strings"
	"time"

	"onevolume"
)

// eventWords are the journal's events as a reader wants them: what went wrong
// stands out.
var eventWords = map[onevolume.Event]string{
	onevolume.StepStarted: "started", onevolume.StepSucceeded: "done", onevolume.StepFailed: "FAILED",
	onevolume.UndoStarted: "undo started", onevolume.UndoFinished: "undone", onevolume.UndoFailed: "UNDO FAILED",
}

// clock is the times of a timeline. What is not a time is indented by it.
const clock = "15:04:05.000"

// timeline prints an operation's journal in the order in which things
// happened: commands on hosts stand above the word on what came of them.
type timeline struct {
	*App
	day        string
	steps      int // columns of the longest name of a step
	hosts      int // likewise of a host
	begun      map[string]time.Time
	generation int
	hands      string           // what the next change of owner is
	deeds      []onevolume.Deed // that are to come
}

// A change of owner comes of a lease that ended, or of an administrator.
const takenOver = "taken over by"

func (c *explain) timeline(s *story) {
	fmt.Fprintln(c.Out, "\nTIMELINE")
	t := &timeline{App: c.App, begun: map[string]time.Time{}, generation: 1, hands: takenOver, deeds: s.deeds}
	first, commands := "", 0
	for _, e := range s.journal {
		t.steps = max(t.steps, len(e.Step))
		for _, cmd := range e.Commands {
			t.hosts = max(t.hosts, len(cmd.Host))
			commands++
		}
		if first == "" && e.Generation == 1 {
			first = e.Owner
		}
	}
	if first == "" && s.op.Generation == 1 {
		first = s.op.Owner
	}
	begins := "begins"
	if first != "" {
		begins += ", run by " + owner(first)
	}
	t.at(s.op.Started, "", begins)
	for i := range s.journal {
		t.entry(&s.journal[i])
	}
	t.until(time.Time{})
	if s.op.Status != onevolume.Running && !s.ended() {
		t.at(s.op.Ended, "", "ends: "+string(s.op.Status))
	}
	if commands == 0 && len(s.journal) > 0 {
		t.hang("", "No commands on hosts are on record, or you are not in oneadmin's group, which alone sees them.")
	}
}

// ended says whether the deeds tell of the operation's end.
func (t *story) ended() bool {
	for _, d := range t.deeds {
		if _, ok := ending(d, t.op.Kind); ok {
			return true
		}
	}
	return false
}

// ending is how an operation ended, if that is what a deed tells of.
func ending(d onevolume.Deed, kind onevolume.Kind) (onevolume.Status, bool) {
	word, _, _ := strings.Cut(d.Result, ":")
	status := onevolume.Status(strings.ToUpper(word))
	return status, d.Action == string(kind) && (status == onevolume.Done || status == onevolume.Undone || status == onevolume.Parked)
}

// at prints a line of the timeline, and the day when it is another.
func (t *timeline) at(when time.Time, step, text string) {
	when = when.Local()
	if day := when.Format(time.DateOnly); day != t.day {
		t.day = day
		fmt.Fprintln(t.Out, day)
	}
	t.hang(fmt.Sprintf("%s  %-*s  ", when.Format(clock), t.steps, step), text)
}

// until prints the deeds up to a time; all that are left when it is zero.
func (t *timeline) until(when time.Time) {
	for len(t.deeds) > 0 && (when.IsZero() || !t.deeds[0].Time.After(when)) {
		d := t.deeds[0]
		t.deeds = t.deeds[1:]
		if status, ok := ending(d, onevolume.Kind(d.Action)); ok {
			t.at(d.Time, "", "ends: "+string(status))
			continue
		}
		if d.Action == "resume" || d.Action == "abort" {
			text := fmt.Sprintf("%s asked for by %s from %s", d.Action, d.By.User, oneLine(d.From))
			if d.Result != "ok" {
				text += ", refused: " + oneLine(d.Result)
			}
			t.at(d.Time, "", text)
			t.hands = map[string]string{"resume": "carried on by", "abort": "taken back by"}[d.Action]
		}
	}
}

func (t *timeline) entry(e *onevolume.Entry) {
	when := e.Time
	if len(e.Commands) > 0 && !e.Commands[0].Started.IsZero() && e.Commands[0].Started.Before(when) {
		when = e.Commands[0].Started
	}
	t.until(when)
	if e.Generation > t.generation {
		t.generation = e.Generation
		t.at(when, "", fmt.Sprintf("%s %s, generation %d", t.hands, owner(e.Owner), e.Generation))
		t.hands = takenOver
	}
	for i := range e.Commands {
		t.command(&e.Commands[i])
	}
	text, known := eventWords[e.Event]
	if !known {
		text = string(e.Event)
	}
	switch e.Event {
	case onevolume.StepStarted, onevolume.UndoStarted:
		t.begun[e.Step] = e.Time
	default:
		if since, ok := t.begun[e.Step]; ok {
			text += " after " + span(e.Time.Sub(since))
			delete(t.begun, e.Step)
		}
	}
	t.at(e.Time, e.Step, text)
	if (e.Event == onevolume.StepFailed || e.Event == onevolume.UndoFailed) && e.Detail != "" {
		t.below("error: ", e.Detail)
	}
}

// below prints what belongs to the line above.
func (t *timeline) below(first, text string) {
	t.hang(strings.Repeat(" ", len(clock)+2)+first, text)
}

// command prints what was run on a host. Its further lines, and what it said,
// stand below it.
func (t *timeline) command(c *onevolume.Command) {
	end := fmt.Sprintf("exit %d", c.Code)
	switch {
	case c.Error != "" || c.Code < 0:
		end = "no end"
	case c.Code == 0 && (c.Text == "dial" || c.Text == "close" || strings.HasPrefix(c.Text, "lock ")):
		end = "ok" // not a program: it has no exit status
	}
	t.below(fmt.Sprintf("%-*s  %-8s %8s  ", t.hosts, c.Host, end, span(c.Took)), c.Text)
	for _, said := range []string{c.Stderr, c.Error} {
		if said = strings.TrimSpace(said); said == "" {
			continue
		}
		for l := range strings.Lines(said) {
			t.below("  | ", strings.TrimRight(l, "\r\n"))
		}
	}
}
