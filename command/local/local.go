// Package local runs commands on this machine, for what is worked from the
// machine itself: a command.Host without a network. Each command is a process
// of its own; locks are locked files, which end with this process however it
// ends.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"onevolume/command"
)

// Dialer gives connections to this machine, whatever name is dialled.
type Dialer struct {
	// LockDirs are directories for locks; the first that is there is used.
	// Nil means those of command/ssh: all that share a machine must agree.
	LockDirs []string
	// Env is put before the environment of this process.
	Env []string
}

var _ command.Dialer = (*Dialer)(nil)

// Dial gives a connection. It fails only when the context has ended.
func (d *Dialer) Dial(ctx context.Context, host string) (command.Host, error) {
	if err := ctx.Err(); err != nil {
		return nil, &command.DialError{Host: host, Kind: command.KindCancelled, Err: err}
	}
	h := &Host{name: host, dirs: d.LockDirs, env: d.Env, turn: make(chan struct{}, 1), locks: map[string]*os.File{}}
	if h.dirs == nil {
		h.dirs = []string{"/run/onevolume", "/run/lock"}
	}
	return h, nil
}

// Host is a connection to this machine. Several may use it, one after the
// other.
type Host struct {
	name string
	dirs []string
	env  []string
	turn chan struct{}

	mu     sync.Mutex
	locks  map[string]*os.File
	closed bool
}

var _ command.Host = (*Host)(nil)

// Name is the name that was dialled.
func (h *Host) Name() string { return h.name }

// maxOutput bounds what is kept of each stream of one command, as in
// command/ssh.
const maxOutput = 16 << 20

// Run runs a command. One that does not end in time is killed, with what it
// started.
func (h *Host) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	if (len(c.Argv) == 0) == (c.Script == "") || c.Script != "" && c.Sudo {
		return h.fail(c, command.ErrNotRun, errors.New("it is neither a program with arguments nor a script without Sudo, or both"))
	}
	if err := h.begin(ctx); err != nil {
		return h.fail(c, command.ErrNotRun, err)
	}
	defer func() { <-h.turn }()
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = command.DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it did not end within %s", timeout))
	defer cancel()
	var stdout, stderr bounded
	argv := h.argv(c)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = "/"
	cmd.Env = append(append(os.Environ(), h.env...), "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(c.Stdin)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	lines := &liner{tell: c.OnLine}
	if c.OnLine != nil {
		cmd.Stdout = io.MultiWriter(&stdout, lines)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return command.Result{Code: 127, Stderr: []byte(argv[0] + ": not found\n")}, nil
		}
		return h.fail(c, command.ErrNotRun, err)
	}
	err := cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return h.fail(c, command.ErrUnknownOutcome, cause)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return h.fail(c, command.ErrUnknownOutcome, err)
	}
	code := cmd.ProcessState.ExitCode()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	if stdout.over || stderr.over {
		return command.Result{Code: code}, &command.RunError{Host: h.name, Cmd: c.String(), Code: code, Err: command.ErrOutputTooBig}
	}
	lines.end()
	return command.Result{Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes(), Code: code}, nil
}

// begin waits for the turn.
func (h *Host) begin(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	err := ctx.Err()
	if h.closed {
		err = errors.New("the connection was closed")
	}
	if err != nil {
		<-h.turn
	}
	return err
}

func (h *Host) argv(c command.Cmd) []string {
	root := os.Geteuid() == 0
	if c.Script != "" {
		sudo := "sudo -n"
		if root {
			sudo = ""
		}
		return append([]string{"/bin/sh", "-c", "SUDO='" + sudo + "'\n" + c.Script, c.Name}, c.Args...)
	}
	if c.Sudo && !root {
		return append([]string{"sudo", "-n"}, c.Argv...)
	}
	return c.Argv
}

func (h *Host) fail(c command.Cmd, meaning, err error) (command.Result, error) {
	return command.Result{Code: -1}, &command.RunError{Host: h.name, Cmd: c.String(), Code: -1, Err: fmt.Errorf("%w: %w", meaning, err)}
}

// Lock takes a lock that excludes all processes of this machine, and those of
// command/ssh that log in to it.
func (h *Host) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	c := command.Cmd{Script: "lock", Name: "lock", Args: []string{name}}
	if !command.ValidLockName(name) {
		_, err := h.fail(c, command.ErrNotRun, fmt.Errorf("the lock's name %q is not of the form [a-z0-9-]+", name))
		return nil, err
	}
	if err := h.begin(ctx); err != nil {
		_, err = h.fail(c, command.ErrNotRun, err)
		return nil, err
	}
	defer func() { <-h.turn }()
	file, err := h.open(name)
	if err != nil {
		_, err = h.fail(c, command.ErrNotRun, err)
		return nil, err
	}
	for end := time.Now().Add(wait); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || ctx.Err() != nil {
			file.Close()
			_, err = h.fail(c, command.ErrNotRun, errors.Join(err, ctx.Err()))
			return nil, err
		}
		if !time.Now().Before(end) {
			file.Close()
			return nil, &command.LockedError{Host: h.name, Name: name, Wait: wait}
		}
		select {
		case <-ctx.Done():
		case <-time.After(lockPause):
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.locks[name] = file
	return sync.OnceFunc(func() { h.unlock(name) }), nil
}

// lockPause is between two tries: nobody is told when a file is unlocked.
const lockPause = 20 * time.Millisecond

// open opens the lock's file, which is that of command/ssh. One that exists is
// opened for reading only: where fs.protected_regular is set, even root may
// not open another user's file in a sticky directory with O_CREAT.
func (h *Host) open(name string) (*os.File, error) {
	for _, dir := range h.dirs {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		path := filepath.Join(dir, "onevolume-"+name+".lock")
		if file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o644); err == nil {
			return file, nil
		}
		return os.Open(path)
	}
	return nil, fmt.Errorf("there is none of the directories for locks: %s", strings.Join(h.dirs, ", "))
}

func (h *Host) unlock(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if file := h.locks[name]; file != nil {
		file.Close()
		delete(h.locks, name)
	}
}

// Close gives the locks back.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for name, file := range h.locks {
		file.Close()
		delete(h.locks, name)
	}
	return nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom would take everything
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > maxOutput {
		b.over = true
		return len(p), nil
	}
	return b.kept.Write(p)
}

// liner tells of lines.
type liner struct {
	tell func(string)
	rest []byte
}

func (l *liner) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.rest = rest
		l.tell(string(line))
	}
}

func (l *liner) end() {
	if l.tell != nil && len(l.rest) > 0 {
		l.tell(string(l.rest))
	}
}
