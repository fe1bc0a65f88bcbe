package local

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume/command"
)

func dial(t *testing.T, d *Dialer) command.Host {
	t.Helper()
	if d.LockDirs == nil {
		d.LockDirs = []string{"/nonexistent", t.TempDir()}
	}
	h, err := d.Dial(t.Context(), "here")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestRun(t *testing.T) {
	h := dial(t, &Dialer{Env: []string{"GREETING=hello"}})
	var lines []string
	for _, c := range []struct {
		name string
		cmd  command.Cmd
		want command.Result
	}{
		{"argv", command.Cmd{Argv: []string{"printf", "%s|", "a b", "$(id)", "'"}}, command.Result{Stdout: []byte("a b|$(id)|'|")}},
		{"script", command.Cmd{Name: "greet", Script: `printf '%s|' "$GREETING" "$@" "$LC_ALL"`, Args: []string{"a b", "'"}}, command.Result{Stdout: []byte("hello|a b|'|C|")}},
		{"input", command.Cmd{Argv: []string{"cat"}, Stdin: command.Secret("a\x00b\n")}, command.Result{Stdout: []byte("a\x00b\n")}},
		{"no input", command.Cmd{Argv: []string{"cat"}}, command.Result{}},
		{"exit status", command.Cmd{Name: "x", Script: "echo no >&2; exit 7"}, command.Result{Stderr: []byte("no\n"), Code: 7}},
		{"signal", command.Cmd{Name: "x", Script: "kill -9 $$"}, command.Result{Code: 137}},
		{"no such program", command.Cmd{Argv: []string{"onevolume-no-such-program"}}, command.Result{Stderr: []byte("onevolume-no-such-program: not found\n"), Code: 127}},
		{"lines", command.Cmd{Argv: []string{"printf", `a\nb`}, OnLine: func(s string) { lines = append(lines, s) }}, command.Result{Stdout: []byte("a\nb")}},
	} {
		r, err := h.Run(t.Context(), c.cmd)
		if err != nil || string(r.Stdout) != string(c.want.Stdout) || string(r.Stderr) != string(c.want.Stderr) || r.Code != c.want.Code {
			t.Errorf("%s: %q %q %d, %v", c.name, r.Stdout, r.Stderr, r.Code, err)
		}
	}
	if !slices.Equal(lines, []string{"a", "b"}) {
		t.Error(lines)
	}
	if os.Geteuid() == 0 {
		r, err := h.Run(t.Context(), command.Cmd{Name: "x", Script: `$SUDO id -u; exec $SUDO sh -c 'echo "$1"' name "$@"`, Args: []string{"a b"}})
		if err != nil || string(r.Stdout) != "0\na b\n" {
			t.Errorf("%q %q, %v", r.Stdout, r.Stderr, err)
		}
	}
}

func TestRunFails(t *testing.T) {
	h := dial(t, &Dialer{})
	for _, c := range []command.Cmd{{}, {Argv: []string{"a"}, Script: "b"}, {Script: "a", Sudo: true}} {
		if _, err := h.Run(t.Context(), c); !errors.Is(err, command.ErrNotRun) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	// What it started goes with it.
	start := time.Now()
	_, err := h.Run(t.Context(), command.Cmd{Name: "x", Script: "sleep 60 & sleep 60", Timeout: 100 * time.Millisecond})
	if !errors.Is(err, command.ErrUnknownOutcome) || !strings.Contains(err.Error(), "did not end within 100ms") || time.Since(start) > 30*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Run(ctx, command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
	r, err := h.Run(t.Context(), command.Cmd{Argv: []string{"head", "-c", "17000000", "/dev/zero"}})
	if !errors.Is(err, command.ErrOutputTooBig) || len(r.Stdout) != 0 {
		t.Error(err)
	}
	h.Close()
	if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) || !strings.Contains(err.Error(), "was closed") {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	d := &Dialer{LockDirs: []string{t.TempDir()}}
	one, two := dial(t, d), dial(t, d)
	unlock, err := one.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	var locked *command.LockedError
	if _, err := two.Lock(t.Context(), "a", 50*time.Millisecond); !errors.As(err, &locked) || locked.Name != "a" {
		t.Error(err)
	}
	if _, err := two.Lock(t.Context(), "b", 0); err != nil {
		t.Error(err)
	}
	unlock()
	unlock()
	if _, err := two.Lock(t.Context(), "a", 0); err != nil {
		t.Error(err)
	}
	two.Close() // gives it back
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		h := dial(t, d)
		wg.Go(func() {
			unlock, err := h.Lock(t.Context(), "a", 10*time.Second)
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), inside.Add(1)))
			inside.Add(-1)
			unlock()
		})
	}
	wg.Wait()
	if most.Load() != 1 {
		t.Errorf("%d had it at once", most.Load())
	}
	for _, name := range []string{"", "../a", "A"} {
		if _, err := one.Lock(t.Context(), name, 0); !errors.Is(err, command.ErrNotRun) {
			t.Errorf("%q: %v", name, err)
		}
	}
	none, _ := (&Dialer{LockDirs: []string{"/nonexistent"}}).Dial(t.Context(), "here")
	if _, err := none.Lock(t.Context(), "a", 0); !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
}
