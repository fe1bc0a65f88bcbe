package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume/command"
	"onevolume/command/ssh/sshtest"
)

// serve starts a server that lets the dialer's key in.
func serve(t testing.TB, s *sshtest.Server) (*sshtest.Server, Config) {
	t.Helper()
	file, public, _ := sshtest.KeyFile(t, "")
	s.Authorized = append(s.Authorized, public)
	s.Start(t)
	return s, Config{
		Home:            t.TempDir(),
		ConfigFile:      sshConfig(t, s, ""),
		KnownHostsFiles: []string{s.KnownHosts(t)},
		IdentityFiles:   []string{file},
		AgentSocket:     "none",
		LockDirs:        []string{t.TempDir()},
	}
}

// sshConfig writes a file that knows the server as "host01".
func sshConfig(t testing.TB, s *sshtest.Server, more string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(s.Addr)
	return sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host host01\n HostName %s\n Port %s\n%s", host, port, more))
}

func dial(t testing.TB, c Config) *Host {
	t.Helper()
	h, err := NewDialer(c).Dial(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h.(*Host)
}

func run(t testing.TB, h *Host, c command.Cmd) command.Result {
	t.Helper()
	r, err := h.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// shells runs a test on each POSIX shell of this machine: the login shell of
// the server makes way for it.
func shells(t *testing.T, f func(t *testing.T, h *Host)) {
	for _, name := range []string{"dash", "bash", "busybox"} {
		t.Run(name, func(t *testing.T) {
			path, err := exec.LookPath(name)
			if err != nil {
				t.Skip(err)
			}
			f(t, dialShell(t, path))
		})
	}
}

// dialShell dials a server on which the given shell stands for /bin/sh.
func dialShell(t testing.TB, path string) *Host {
	t.Helper()
	argv := path
	if strings.HasSuffix(path, "busybox") {
		argv += " sh"
	} else if strings.HasSuffix(path, "bash") {
		argv += " --posix"
	}
	_, c := serve(t, &sshtest.Server{Shell: []string{"sh", "-c", "exec " + argv + " # $0"}})
	return dial(t, c)
}

func TestOutputIsExact(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		for _, want := range []string{"", "x", "x\n", "\n", "\n\n", "a\x00b\xff\r\n\x1b", "onevolume-", h.sh.mark[:20], h.sh.mark[:len(h.sh.mark)-1]} {
			r := run(t, h, command.Cmd{Argv: []string{"cat"}, Stdin: command.Secret(want)})
			if string(r.Stdout) != want || len(r.Stderr) > 0 || r.Code != 0 {
				t.Errorf("cat of %q: %q, %q, %d", want, r.Stdout, r.Stderr, r.Code)
			}
			r = run(t, h, command.Cmd{Script: "cat >&2; exit 3", Name: "t", Stdin: command.Secret(want)})
			if string(r.Stderr) != want || len(r.Stdout) > 0 || r.Code != 3 {
				t.Errorf("cat of %q to stderr: %q, %q, %d", want, r.Stdout, r.Stderr, r.Code)
			}
		}
	})
}

func TestInputOfAllBytes(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		var all []byte
		for range 3000 {
			for c := range 256 {
				all = append(all, byte(c), byte(c*7))
			}
		}
		noNUL := bytes.ReplaceAll(all, []byte{0}, nil)
		for _, want := range [][]byte{noNUL, noNUL[1:300], all[:4096], []byte("%s\\n%%\\0101'$(id)`id`\"")} {
			r := run(t, h, command.Cmd{Argv: []string{"cat"}, Stdin: want})
			if !bytes.Equal(r.Stdout, want) || len(r.Stderr) > 0 {
				t.Errorf("%d bytes in, %d out, %.100q", len(want), len(r.Stdout), r.Stderr)
			}
		}
	})
}

func TestBigOutputs(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		r := run(t, h, command.Cmd{Name: "big", Script: `
			head -c 1048576 /dev/zero | tr '\0' x & head -c 1048577 /dev/zero | tr '\0' y >&2; wait`})
		if len(r.Stdout) != 1<<20 || len(bytes.Trim(r.Stdout, "x")) > 0 {
			t.Errorf("%d bytes of stdout", len(r.Stdout))
		}
		if len(r.Stderr) != 1<<20+1 || len(bytes.Trim(r.Stderr, "y")) > 0 {
			t.Errorf("%d bytes of stderr", len(r.Stderr))
		}
	})
}

func TestTooBigOutput(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	r, err := h.Run(t.Context(), command.Cmd{Name: "big", Script: `head -c 20000000 /dev/zero; exit 4`})
	if !errors.Is(err, command.ErrOutputTooBig) || r.Code != 4 {
		t.Fatal(r.Code, err)
	}
	if r := run(t, h, command.Cmd{Argv: []string{"echo", "on"}}); string(r.Stdout) != "on\n" {
		t.Errorf("afterwards: %q", r.Stdout)
	}
}

func TestExitCodes(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		for code := range 256 {
			r := run(t, h, command.Cmd{Argv: []string{"sh", "-c", "exit " + strconv.Itoa(code)}})
			if r.Code != code {
				t.Fatalf("%d came back as %d", code, r.Code)
			}
		}
		for want, c := range map[int]command.Cmd{
			127: {Argv: []string{"no-such-program"}},
			126: {Argv: []string{"/etc/passwd"}},
			137: {Argv: []string{"sh", "-c", "kill -9 $$"}},
			143: {Script: "sh -c 'kill $$'", Name: "t"},
			130: {Argv: []string{"sh", "-c", "kill -2 $$"}},
		} {
			if r := run(t, h, c); r.Code != want {
				t.Errorf("%s: %d, not %d; %q", c, r.Code, want, r.Stderr)
			}
		}
	})
}

func TestScript(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		r := run(t, h, command.Cmd{Name: "t", Script: `printf '<%s>' "$@"; cd /usr; x=1; PATH=; set -f`, Args: []string{"a b", "", "$(id)", "'\n", "-n", "ä\xff"}})
		if want := "<a b><><$(id)><'\n><-n><ä\xff>"; string(r.Stdout) != want {
			t.Errorf("%q, not %q", r.Stdout, want)
		}
		for _, script := range []string{"if", "'", "( ", "}", "exit 2", "exec false", "set -e; false; true", ". /no/such/file"} {
			if r := run(t, h, command.Cmd{Name: "t", Script: script}); r.Code == 0 {
				t.Errorf("%q ended with 0", script)
			}
		}
		run(t, h, command.Cmd{Name: "t", Script: "cat <<X\nno end"})
		if r := run(t, h, command.Cmd{Name: "t", Script: `pwd; echo "$#$x"; ls / >/dev/null && echo "$LC_ALL"`}); string(r.Stdout) != "/\n0\nC\n" {
			t.Errorf("a script changed the shell: %q %q", r.Stdout, r.Stderr)
		}
	})
}

func TestArgvIsLeftAlone(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		args := []string{"", " ", "a'b", `"`, "$HOME", "`id`", "\n", "*", "~", "-x", "a=b", "{a,b}", "\xff\x81\x88", "ä€", "\\", "!!", "#", "\x01\x7f"}
		r := run(t, h, command.Cmd{Argv: append([]string{"printf", `%s\0`}, args...)})
		if want := strings.Join(args, "\x00") + "\x00"; string(r.Stdout) != want {
			t.Errorf("%q, not %q", r.Stdout, want)
		}
		// A program, although the shell has a built-in of that name.
		if r := run(t, h, command.Cmd{Argv: []string{"exit", "0"}}); r.Code != 127 {
			t.Errorf("exit is no program: %d", r.Code)
		}
	})
}

func TestNoInput(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		if r := run(t, h, command.Cmd{Argv: []string{"cat"}}); len(r.Stdout) > 0 {
			t.Errorf("cat read %q", r.Stdout)
		}
		// A command that does not read its input, more than a pipe holds.
		r := run(t, h, command.Cmd{Argv: []string{"true"}, Stdin: bytes.Repeat([]byte("x"), 1<<18)})
		if r.Code != 0 || len(r.Stderr) > 0 {
			t.Errorf("true: %d %q", r.Code, r.Stderr)
		}
	})
}

func TestManyCommands(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	var users sync.WaitGroup
	for u := range 4 {
		users.Go(func() {
			for i := range 50 {
				want := fmt.Sprint(u, " ", i)
				r, err := h.Run(t.Context(), command.Cmd{Argv: []string{"echo", want}})
				if err != nil || string(r.Stdout) != want+"\n" {
					t.Errorf("%q: %q %v", want, r.Stdout, err)
					return
				}
			}
		})
	}
	users.Wait()
	if n := s.Sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestOnLine(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		var lines []string
		var first time.Time
		r := run(t, h, command.Cmd{Name: "t", Script: "echo one; sleep 0.3; echo; printf two; printf x >&2", OnLine: func(l string) {
			if first.IsZero() {
				first = time.Now()
			}
			lines = append(lines, l)
		}})
		if got := strings.Join(lines, "|"); got != "one||two" || string(r.Stdout) != "one\n\ntwo" {
			t.Errorf("%q, %q", got, r.Stdout)
		}
		if time.Since(first) < 250*time.Millisecond {
			t.Error("the first line came with the last")
		}
	})
}

func TestTimeout(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	start := time.Now()
	_, err := h.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "20"}, Timeout: 200 * time.Millisecond})
	if !errors.Is(err, command.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("after %s: %v", time.Since(start), err)
	}
	_, err = h.Run(t.Context(), command.Cmd{Argv: []string{"true"}})
	if !errors.Is(err, command.ErrNotRun) || errors.Is(err, command.ErrUnknownOutcome) {
		t.Errorf("afterwards: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

func TestCancel(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := h.Run(ctx, command.Cmd{Argv: []string{"sleep", "20"}})
	if !errors.Is(err, command.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A context that has ended before costs nothing.
	h = dial(t, c)
	if _, err := h.Run(ctx, command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
	run(t, h, command.Cmd{Argv: []string{"true"}})
}

func TestServerCutsTheConnection(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	time.AfterFunc(100*time.Millisecond, s.Cut)
	start := time.Now()
	_, err := h.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "3"}})
	if !errors.Is(err, command.ErrUnknownOutcome) || time.Since(start) > 2*time.Second {
		t.Error(err)
	}
	if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) {
		t.Error(err)
	}
}

func TestShellIsKilled(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	_, err := h.Run(t.Context(), command.Cmd{Name: "t", Script: "kill -9 $$"})
	if !errors.Is(err, command.ErrUnknownOutcome) {
		t.Error(err)
	}
}

func TestClose(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	done := make(chan error)
	go func() {
		_, err := h.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "5"}})
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	if err := errors.Join(h.Close(), h.Close()); err != nil || time.Since(start) > closeWait {
		t.Error(time.Since(start), err)
	}
	if err := <-done; !errors.Is(err, command.ErrUnknownOutcome) {
		t.Error(err)
	}
	if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); !errors.Is(err, command.ErrNotRun) || !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

func TestBadCommands(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	h := dial(t, c)
	for _, c := range []command.Cmd{
		{}, {Argv: []string{""}}, {Argv: []string{"a"}, Script: "b"}, {Script: "b", Sudo: true},
	} {
		if _, err := h.Run(t.Context(), c); !errors.Is(err, command.ErrNotRun) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
