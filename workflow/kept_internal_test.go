package workflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"onevolume"
	"onevolume/command"
)

// However much is run between two entries, what is kept of it is bounded, and
// the beginning and the end are there.
func TestKeptIsBounded(t *testing.T) {
	for name, text := range map[string]string{"short": "look", "long": strings.Repeat("ü", maxText)} {
		k := &kept{}
		for i := range 5000 {
			k.hear(command.Event{Host: "host01", Cmd: fmt.Sprintf("%d %s", i, text), Stderr: strings.Repeat("x\x00\xff", maxStderr),
				Start: time.Unix(int64(i), 0), Code: -1, Err: errors.New(strings.Repeat("ü", maxStderr))})
		}
		list := k.take()
		if n := size(list); n > maxBytes+200 || len(list) > maxKept+1 {
			t.Errorf("%s: %d commands of %d bytes are kept", name, len(list), n)
		}
		if !strings.HasPrefix(list[0].Text, "0 ") || !strings.HasPrefix(list[len(list)-1].Text, "4999 ") {
			t.Errorf("%s: from %.10q to %.10q", name, list[0].Text, list[len(list)-1].Text)
		}
		gaps := 0
		for _, c := range list {
			if strings.Contains(c.Text, "are left out") {
				gaps++
				if want := fmt.Sprintf("(%d commands", 5000-len(list)+1); !strings.HasPrefix(c.Text, want) {
					t.Errorf("%s: %s, not %s", name, c.Text, want)
				}
			}
			if !utf8.ValidString(c.Text+c.Stderr+c.Error) || strings.ContainsRune(c.Stderr, 0) {
				t.Fatalf("%s: characters that no database takes: %q", name, c.Stderr)
			}
		}
		if gaps != 1 {
			t.Errorf("%s: %d gaps", name, gaps)
		}
		if again := k.take(); again != nil {
			t.Errorf("%s: taken twice: %d", name, len(again))
		}
	}
}

// An error in the journal says what the command and the host beside it do not.
func TestKeptErrors(t *testing.T) {
	k := &kept{}
	run := &command.RunError{Host: "host01", Cmd: "true", Code: -1, Err: fmt.Errorf("%w: it did not end", command.ErrUnknownOutcome)}
	k.hear(command.Event{Host: "host01", Cmd: "true", Code: -1, Err: run})
	k.hear(command.Event{Host: "host01", Cmd: "close"})
	k.hear(command.Event{Host: "host01", Cmd: "false", Code: 1, Stderr: "no"})
	want := []onevolume.Command{
		{Host: "host01", Text: "true", Code: -1, Error: "it is not known what the command did: it did not end"},
		{Host: "host01", Text: "false", Code: 1, Stderr: "no"},
	}
	if got := k.take(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept\n%v\nwant\n%v", got, want)
	}
}

func TestHeadAndTail(t *testing.T) {
	for _, c := range []struct{ in, head, tail string }{
		{"abc", "abc", "abc"}, {"abcdef", "abcd…", "…cdef"}, {"aüüü", "aü…", "…üü"}, {"a\x1bb", "a?b", "a?b"}, {"\xffab", "\ufffda…", "…ab"},
	} {
		if h, l := head(c.in, 4), tail(c.in, 4); h != c.head || l != c.tail {
			t.Errorf("%q: head %q, tail %q; want %q, %q", c.in, h, l, c.head, c.tail)
		}
	}
}
