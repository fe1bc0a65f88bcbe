package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"onevolume/command"
	"onevolume/command/ssh/sshtest"
)

// dialError dials and wants an error of the kind whose text and hint hold all
// the words.
func dialError(t *testing.T, c Config, kind command.Kind, words ...string) {
	t.Helper()
	start := time.Now()
	h, err := NewDialer(c).Dial(t.Context(), "host01")
	if err == nil {
		h.Close()
		t.Fatal("no error")
	}
	var e *command.DialError
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Kind != kind || e.Host != "host01" || time.Since(start) > 5*time.Second {
		t.Errorf("%s after %s: %v", e.Kind, time.Since(start), err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error()+"\n"+e.Hint, w) {
			t.Errorf("%v (%s)\ndoes not say %q", err, e.Hint, w)
		}
	}
	t.Logf("%v\n  hint: %s", err, e.Hint)
}

func TestNoConnection(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	c.ConnectTimeout = 300 * time.Millisecond
	with := func(f func(ctx context.Context, network, address string) (net.Conn, error)) Config {
		c := c
		c.Dial = f
		return c
	}
	failing := func(err error) Config {
		return with(func(context.Context, string, string) (net.Conn, error) { return nil, err })
	}
	op := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	dialError(t, failing(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "host01", IsNotFound: true}}),
		command.KindUnresolved, "host01", "no such host", "HostName")
	dialError(t, failing(op(syscall.EHOSTUNREACH)), command.KindNoRoute, s.Addr, "no route to host")
	dialError(t, failing(op(syscall.ENETUNREACH)), command.KindNoRoute, s.Addr, "unreachable")
	dialError(t, failing(op(syscall.ETIMEDOUT)), command.KindTimeout, s.Addr)
	dialError(t, with(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}), command.KindTimeout, s.Addr, "connecting")

	// Somebody who takes the connection and says nothing, or nonsense.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := with(func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", silent.Addr().String())
	})
	dialError(t, to, command.KindTimeout, s.Addr, "logging in")
	go func() {
		conn, _ := silent.Accept() // of the dial above
		conn.Close()
		conn, _ = silent.Accept()
		conn.Write([]byte("220 mail.example.com\r\n"))
		conn.Close()
	}()
	dialError(t, to, command.KindProtocol, s.Addr, "MaxStartups")
	silent.Close()
	dialError(t, to, command.KindRefused, s.Addr, "connection refused")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var e *command.DialError
	if _, err := NewDialer(c).Dial(ctx, "host01"); !errors.As(err, &e) || e.Kind != command.KindCancelled {
		t.Error(err)
	}
}

func TestBadConfiguration(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	for _, more := range []string{"ProxyCommand nc %h %p\n", "ProxyJump host02\nHost host02\n Port x\n"} {
		c.ConfigFile = sshConfig(t, s, more)
		dialError(t, c, command.KindConfig)
	}
	c.ConfigFile = sshtest.WriteFile(t, "config", []byte("Host \"x\n"))
	dialError(t, c, command.KindConfig, "line 1")
	if _, err := NewDialer(c).Dial(t.Context(), "root@x"); err == nil {
		t.Error("took root@x for a name")
	}
}

func TestShellTrouble(t *testing.T) {
	login := func(script string) *sshtest.Server {
		return &sshtest.Server{Shell: []string{"sh", "-c", script}}
	}
	_, c := serve(t, login("echo This account is not available.; exit 1"))
	dialError(t, c, command.KindShell, "This account is not available.", "login shell")
	_, c = serve(t, login("sleep 3"))
	c.ConnectTimeout = 300 * time.Millisecond
	dialError(t, c, command.KindTimeout, "starting /bin/sh")

	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	// A shell without printf of its own would show input in its arguments.
	_, c = serve(t, &sshtest.Server{
		Shell: []string{bash, "-c", "exec bash # $0"},
		Env:   []string{"BASH_FUNC_printf%%=() { return 127; }"},
	})
	dialError(t, c, command.KindShell, "printf")
}

// TestLastWords: a shell that ends is heard out, whichever of its streams ends
// first, and one that never ends is not waited for.
func TestLastWords(t *testing.T) {
	out, outWriter := io.Pipe()
	errs, errsWriter := io.Pipe()
	_, stdin := io.Pipe()
	s := newShell(stdin, out, errs, func() {})
	errsWriter.Close()
	<-s.dead
	go func() {
		io.WriteString(outWriter, "This account is not available.\n")
		outWriter.Close()
	}()
	if err := withNoise(s.gone(), s); !strings.Contains(err.Error(), "This account is not available.") {
		t.Error(err)
	}

	s = newShell(stdin, neverEnds{t.Context()}, neverEnds{t.Context()}, func() {})
	cause := errors.New("given up")
	s.giveUp(cause)
	if err := withNoise(cause, s); !errors.Is(err, cause) {
		t.Error(err)
	}
}

// neverEnds is a stream on which nothing comes until the test is over.
type neverEnds struct{ test context.Context }

func (n neverEnds) Read([]byte) (int, error) {
	<-n.test.Done()
	return 0, io.EOF
}

func TestNoisyLoginShell(t *testing.T) {
	_, c := serve(t, &sshtest.Server{Shell: []string{"sh", "-c",
		`echo Welcome; echo careful >&2; printf 'no end onevolume-'; printf 'nor here' >&2; exec sh -c "$0"`}})
	h := dial(t, c)
	for range 3 {
		r := run(t, h, command.Cmd{Name: "t", Script: "echo a; echo b >&2"})
		if string(r.Stdout) != "a\n" || string(r.Stderr) != "b\n" {
			t.Errorf("%q %q", r.Stdout, r.Stderr)
		}
	}
}

func TestSudo(t *testing.T) {
	for root, want := range map[bool]string{true: "( exec lvs )", false: "( exec sudo -n lvs )"} {
		if got, err := text(command.Cmd{Argv: []string{"lvs"}, Sudo: true}, root, nil); err != nil || !strings.HasPrefix(got, want+" ") {
			t.Errorf("%s %v", got, err)
		}
	}
	shells(t, func(t *testing.T, h *Host) {
		root, want := os.Getuid() == 0, "sudo -n|"
		if root {
			want = "|"
		}
		if h.sh.root != root {
			t.Fatalf("root: %v", h.sh.root)
		}
		if r := run(t, h, command.Cmd{Name: "t", Script: `printf '%s|' "$SUDO"`}); string(r.Stdout) != want {
			t.Errorf("SUDO is %q", r.Stdout)
		}
	})
}

// frozenConn takes everything and answers nothing once it is frozen.
type frozenConn struct {
	net.Conn
	frozen *atomic.Bool
}

func (f frozenConn) Write(p []byte) (int, error) {
	if f.frozen.Load() {
		return len(p), nil
	}
	return f.Conn.Write(p)
}

func TestKeepAlive(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	var frozen atomic.Bool
	c.KeepAlive = 50 * time.Millisecond
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return frozenConn{conn, &frozen}, err
	}
	h := dial(t, c)
	run(t, h, command.Cmd{Argv: []string{"sleep", "0.4"}}) // answers are signs of life
	frozen.Store(true)
	start := time.Now()
	_, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}})
	if !errors.Is(err, command.ErrUnknownOutcome) || !strings.Contains(err.Error(), "no sign of life") || time.Since(start) > 2*time.Second {
		t.Error(time.Since(start), err)
	}
	start = time.Now()
	h.Close()
	if time.Since(start) > closeWait {
		t.Error("Close took", time.Since(start))
	}
}

func BenchmarkDial(b *testing.B) {
	_, c := serve(b, &sshtest.Server{})
	d := NewDialer(c)
	for b.Loop() {
		h, err := d.Dial(b.Context(), "host01")
		if err != nil {
			b.Fatal(err)
		}
		h.Close()
	}
}

func BenchmarkRun(b *testing.B) {
	_, c := serve(b, &sshtest.Server{})
	h := dial(b, c)
	for name, c := range map[string]command.Cmd{
		"true":    {Argv: []string{"true"}},
		"builtin": {Name: "t", Script: ":"},
		"stdin":   {Argv: []string{"true"}, Stdin: command.Secret("x")},
		"1MiB":    {Argv: []string{"head", "-c", "1048576", "/dev/zero"}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				run(b, h, c)
			}
		})
	}
}
