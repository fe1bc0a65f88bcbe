package commandtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume/command"
)

func handler(c command.Cmd) (command.Result, error) {
	switch c.String() {
	case "true":
		return OK("")
	case "false":
		return Fail(1, "no\n")
	case "lines":
		return OK("a\n\nb")
	case "hang":
		return command.Result{}, context.DeadlineExceeded
	}
	return command.Result{}, ErrUnknown
}

func TestRun(t *testing.T) {
	h := NewHost(t, "a", handler)
	var lines []string
	for _, argv := range []string{"true", "false", "lines"} {
		if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{argv}, OnLine: func(l string) { lines = append(lines, l) }}); err != nil {
			t.Error(err)
		}
	}
	if got := strings.Join(lines, "|"); got != "a||b" {
		t.Error(got)
	}
	if got := h.Net().Lines("a"); !slices.Equal(got, []string{"true", "false", "lines"}) {
		t.Error(got)
	}
	_, err := command.Do(t.Context(), h, command.Cmd{Argv: []string{"false"}})
	if want := "host a: false: exit status 1: no"; err == nil || err.Error() != want {
		t.Errorf("%v, not %v", err, want)
	}
	if _, err := command.Do(t.Context(), h, command.Cmd{Argv: []string{"false"}}, 1); err != nil {
		t.Error(err)
	}
	_, err = h.Run(t.Context(), command.Cmd{Argv: []string{"hang"}})
	if !errors.Is(err, command.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	_, err = h.Run(t.Context(), command.Cmd{Argv: []string{"true"}})
	if !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
}

// failing takes the failure that is expected of a test.
type failing struct {
	testing.TB
	said []string
}

func (f *failing) Errorf(format string, args ...any) {
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func TestUnknownCommandFailsTheTest(t *testing.T) {
	f := &failing{TB: t}
	h := NewHost(f, "a", handler)
	if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"rm", "-r f"}}); err == nil {
		t.Error("it ran")
	}
	if got := strings.Join(f.said, ""); !strings.Contains(got, "rm '-r f'") {
		t.Errorf("said %q", got)
	}
}

func TestLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewNet(t)
		n.Add("a", handler)
		n.Add("b", handler)
		dial := func(name string) *Host {
			h, err := n.Dial(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return h.(*Host)
		}
		a1, a2, b := dial("a"), dial("a"), dial("b")
		defer b.Close()
		defer a2.Close()
		unlock, err := a1.Lock(t.Context(), "x", 0)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := b.Lock(t.Context(), "x", 0); err != nil {
			t.Error("another host's lock excludes:", err)
		} else {
			defer u()
		}
		var locked *command.LockedError
		start := time.Now()
		if _, err := a2.Lock(t.Context(), "x", time.Second); !errors.As(err, &locked) || time.Since(start) != time.Second {
			t.Error(time.Since(start), err)
		}
		time.AfterFunc(time.Second, unlock)
		u2, err := a2.Lock(t.Context(), "x", time.Minute)
		if err != nil || time.Since(start) != 2*time.Second {
			t.Error(time.Since(start), err)
		}
		unlock() // does not take a2's
		if _, err := a1.Lock(t.Context(), "x", 0); !errors.As(err, &locked) {
			t.Error(err)
		}
		u2()
		if _, err := a1.Lock(t.Context(), "x", 0); err != nil {
			t.Error(err)
		}
		if _, err := a1.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); err != nil {
			t.Error(err)
		}
		if calls := n.Calls(); !slices.Equal(calls[0].Locks, []string{"x"}) {
			t.Error(calls)
		}
		a1.Close()
		if _, err := a2.Lock(t.Context(), "x", 0); err != nil {
			t.Error("Close keeps the lock:", err)
		}
		if _, err := a2.Lock(t.Context(), "No", 0); !errors.Is(err, command.ErrNotRun) {
			t.Error(err)
		}
	})
}

func TestDown(t *testing.T) {
	n := NewNet(t)
	n.Add("a", handler)
	h, err := n.Dial(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	n.Down("a", command.KindTimeout)
	if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
	var dial *command.DialError
	if _, err := n.Dial(t.Context(), "a"); !errors.As(err, &dial) || dial.Kind != command.KindTimeout {
		t.Error(err)
	}
	if _, err := n.Dial(t.Context(), "c"); !errors.As(err, &dial) || dial.Kind != command.KindUnresolved {
		t.Error(err)
	}
	n.Down("a", "")
	again, err := n.Dial(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
