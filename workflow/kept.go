package workflow

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"onevolume"
	"onevolume/command"
)

// What of a run's commands goes into the journal. A write must stay far below
// the 1 MiB that the daemon takes in one call, also when every character of it
// is escaped twice; what is cut off is in the daemon's log.
const (
	maxText   = 4 << 10  // of a command; its beginning
	maxStderr = 2 << 10  // of what it said; its end
	maxDetail = 16 << 10 // of an error
	maxKept   = 200      // commands between two entries: the first and the last ones
	maxFirst  = 20
	maxBytes  = 64 << 10 // of all of them
)

// kept collects the commands that a run gives to hosts, for the next entry of
// its journal. It belongs to one run: many share an engine.
type kept struct {
	mu      sync.Mutex
	list    []onevolume.Command
	dropped int // from behind the first ones
}

// hear takes a command down.
func (k *kept) hear(e command.Event) {
	if e.Cmd == "close" {
		return // the run has ended
	}
	c := onevolume.Command{Host: e.Host, Text: head(e.Cmd, maxText), Started: e.Start, Took: e.Took, Code: e.Code,
		Stderr: tail(e.Stderr, maxStderr)}
	if e.Err != nil {
		// Host and command are told already.
		err := e.Err
		if run, ok := errors.AsType[*command.RunError](err); ok && run.Err != nil {
			err = run.Err
		}
		c.Error = head(err.Error(), maxStderr)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = append(k.list, c)
	for len(k.list) > maxKept || size(k.list) > maxBytes {
		k.drop()
	}
}

// drop leaves a command out: the oldest but for the first ones, so that how
// it began and how it ended stay.
func (k *kept) drop() {
	i := min(maxFirst, len(k.list)-2)
	k.list = append(k.list[:i], k.list[i+1:]...)
	k.dropped++
}

// take gives what was kept, with a line where something is left out.
func (k *kept) take() []onevolume.Command {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.list
	if k.dropped > 0 {
		i := min(maxFirst, len(list)-1)
		gap := onevolume.Command{Host: list[i].Host, Text: fmt.Sprintf("(%d commands are left out here)", k.dropped), Started: list[i].Started}
		list = append(list[:i:i], append([]onevolume.Command{gap}, list[i:]...)...)
	}
	k.list, k.dropped = nil, 0
	return list
}

func size(list []onevolume.Command) (n int) {
	for _, c := range list {
		n += len(c.Host) + len(c.Text) + len(c.Stderr) + len(c.Error)
	}
	return n
}

// head gives the beginning of a text, clean.
func head(s string, n int) string {
	if s = clean(s); len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// tail gives the end of a text, clean.
func tail(s string, n int) string {
	if s = clean(s); len(s) <= n {
		return s
	}
	i := len(s) - n
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	return "…" + s[i:]
}

// clean leaves the characters that every database takes and that XML can
// carry (XML 1.0, section 2.2): what programs on hosts say may be anything.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xD7FF, r >= 0xE000 && r <= 0xFFFD, r >= 0x10000:
			return r
		}
		return '?'
	}, s)
}
