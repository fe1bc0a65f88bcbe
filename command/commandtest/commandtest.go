// Package commandtest has hosts made of memory, for tests of what runs
// commands: a function answers each command, everything is recorded, and
// locks exclude each other as they do on a real host.
package commandtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume/command"
)

// ErrUnknown is what a Handler gives for a command that it does not know. The
// test fails then.
var ErrUnknown = errors.New("the test's host does not know this command")

// Handler stands for a host's programs. It is called by one goroutine at a
// time for each Host, but by several for a Net. An error of its own becomes
// the *command.RunError of Run, as it is when it wraps one of command's three,
// else with command.ErrUnknownOutcome; the connection is given up then.
type Handler func(command.Cmd) (command.Result, error)

// OK is the answer of a command that went well and wrote stdout.
func OK(stdout string) (command.Result, error) {
	return command.Result{Stdout: []byte(stdout)}, nil
}

// Fail is the answer of a command that ended with the code and wrote stderr.
func Fail(code int, stderr string) (command.Result, error) {
	return command.Result{Code: code, Stderr: []byte(stderr)}, nil
}

// Call is one recorded command.
type Call struct {
	Host   string
	Cmd    command.Cmd
	Result command.Result
	Err    error
	Locks  []string // that the connection held at the time
}

// Net is a number of hosts.
type Net struct {
	t testing.TB

	mu       sync.Mutex
	handlers map[string]Handler
	down     map[string]error
	calls    []Call
	open     map[*Host]bool
	locks    map[string]*Host // by host and name
	freed    chan struct{}    // closed and made anew when a lock is given back
}

// NewNet gives a Net without hosts. When the test ends, it fails if a
// connection was left open.
func NewNet(t testing.TB) *Net {
	n := &Net{
		t:        t,
		handlers: map[string]Handler{},
		down:     map[string]error{},
		open:     map[*Host]bool{},
		locks:    map[string]*Host{},
		freed:    make(chan struct{}),
	}
	t.Cleanup(func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for h := range n.open {
			t.Errorf("the connection to %s was not closed", h.name)
		}
	})
	return n
}

// Add puts a host into the net, or another handler in place of its old one.
func (n *Net) Add(name string, handler Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handlers[name] = handler
}

// Down makes a host unreachable: connections to it break, and new ones fail
// with a *command.DialError of the kind. An empty kind brings it up again.
func (n *Net) Down(name string, kind command.Kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kind == "" {
		delete(n.down, name)
		return
	}
	n.down[name] = &command.DialError{Host: name, Addr: name + ":22", Kind: kind, Err: fmt.Errorf("the test made it so (%s)", kind)}
	for h := range n.open {
		if h.name == name {
			h.drop(errors.New("the host went down"))
		}
	}
}

// Calls gives what was run so far, on all hosts, in order.
func (n *Net) Calls() []Call {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.calls)
}

// Lines gives the commands that were run on a host, as Cmd.String does.
func (n *Net) Lines(host string) []string {
	var lines []string
	for _, c := range n.Calls() {
		if c.Host == host {
			lines = append(lines, c.Cmd.String())
		}
	}
	return lines
}

// Forget drops what was recorded.
func (n *Net) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls = nil
}

var (
	_ command.Dialer = (*Net)(nil)
	_ command.Host   = (*Host)(nil)
)

// Dial connects to a host of the net.
func (n *Net) Dial(ctx context.Context, host string) (command.Host, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, &command.DialError{Host: host, Kind: command.KindCancelled, Err: err}
	}
	if err := n.down[host]; err != nil {
		return nil, err
	}
	if n.handlers[host] == nil {
		return nil, &command.DialError{Host: host, Kind: command.KindUnresolved, Err: errors.New("no such host in the test's net")}
	}
	h := &Host{net: n, name: host, turn: make(chan struct{}, 1)}
	n.open[h] = true
	return h, nil
}

// Host is a connection to a host of a Net.
type Host struct {
	net  *Net
	name string
	turn chan struct{}
	gone error // why it runs nothing any more; guarded by net.mu
}

// NewHost gives a connection to a single host that the handler stands for.
func NewHost(t testing.TB, name string, handler Handler) *Host {
	n := NewNet(t)
	n.Add(name, handler)
	h, err := n.Dial(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h.(*Host)
}

// Net gives the net that the host is in.
func (h *Host) Net() *Net { return h.net }

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Run has the handler answer the command.
func (h *Host) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	handler, locks, err := h.begin(ctx, c)
	if err != nil {
		return h.fail(c, command.ErrNotRun, err)
	}
	defer func() { <-h.turn }()
	r, err := handler(c)
	if errors.Is(err, ErrUnknown) {
		h.net.t.Errorf("host %s does not know the command: %s", h.name, c)
	}
	switch {
	case err == nil && ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && c.OnLine != nil:
		for line := range strings.Lines(string(r.Stdout)) {
			c.OnLine(strings.TrimSuffix(line, "\n"))
		}
	}
	if err != nil {
		r, err = h.fail(c, command.ErrUnknownOutcome, err)
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.net.calls = append(h.net.calls, Call{h.name, c, r, err, locks})
	if err != nil && !errors.Is(err, command.ErrOutputTooBig) {
		h.drop(err)
	}
	return r, err
}

// begin waits for the turn.
func (h *Host) begin(ctx context.Context, c command.Cmd) (Handler, []string, error) {
	if (len(c.Argv) == 0) == (c.Script == "") || c.Script != "" && c.Sudo {
		return nil, nil, errors.New("it is neither a program with arguments nor a script without Sudo, or both")
	}
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if err := errors.Join(h.gone, ctx.Err()); err != nil {
		<-h.turn
		return nil, nil, err
	}
	var locks []string
	for key, holder := range h.net.locks {
		if name, ok := strings.CutPrefix(key, h.name+" "); ok && holder == h {
			locks = append(locks, name)
		}
	}
	slices.Sort(locks)
	return h.net.handlers[h.name], locks, nil
}

// fail wraps an error as a transport would.
func (h *Host) fail(c command.Cmd, meaning, err error) (command.Result, error) {
	for _, e := range []error{command.ErrNotRun, command.ErrUnknownOutcome, command.ErrOutputTooBig} {
		if errors.Is(err, e) {
			meaning = nil
		}
	}
	if meaning != nil {
		err = fmt.Errorf("%w: %w", meaning, err)
	}
	return command.Result{Code: -1}, &command.RunError{Host: h.name, Cmd: c.String(), Code: -1, Err: err}
}

// Lock takes a lock that excludes other connections to the host of this name
// in the net.
func (h *Host) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	c := command.Cmd{Script: "lock", Name: "lock", Args: []string{name}}
	if !command.ValidLockName(name) {
		_, err := h.fail(c, command.ErrNotRun, fmt.Errorf("the lock's name %q is not of the form [a-z0-9-]+", name))
		return nil, err
	}
	late := time.NewTimer(max(wait, 0))
	defer late.Stop()
	for over := wait <= 0; ; {
		freed, err := h.tryLock(ctx, name)
		if err != nil {
			_, err = h.fail(c, command.ErrNotRun, err)
			return nil, err
		}
		if freed == nil {
			return sync.OnceFunc(func() { h.unlock(name) }), nil
		}
		if over {
			return nil, &command.LockedError{Host: h.name, Name: name, Wait: wait}
		}
		select {
		case <-freed:
		case <-ctx.Done():
		case <-late.C:
			over = true
		}
	}
}

// tryLock takes the lock, or gives a channel that is closed when one is given
// back.
func (h *Host) tryLock(ctx context.Context, name string) (<-chan struct{}, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if err := errors.Join(h.gone, ctx.Err()); err != nil {
		return nil, err
	}
	key := h.name + " " + name
	if h.net.locks[key] != nil {
		return h.net.freed, nil
	}
	h.net.locks[key] = h
	return nil, nil
}

func (h *Host) unlock(name string) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if key := h.name + " " + name; h.net.locks[key] == h {
		delete(h.net.locks, key)
		h.net.wake()
	}
}

// wake tells those who wait for a lock. The net's mutex is the caller's.
func (n *Net) wake() {
	close(n.freed)
	n.freed = make(chan struct{})
}

// drop ends the connection and gives its locks back. The net's mutex is the
// caller's.
func (h *Host) drop(why error) {
	if h.gone != nil {
		return
	}
	h.gone = fmt.Errorf("the connection was given up before: %v", why) //nolint:errorlint // as command/ssh
	for key, holder := range h.net.locks {
		if holder == h {
			delete(h.net.locks, key)
		}
	}
	h.net.wake()
}

// Close ends the connection and gives its locks back.
func (h *Host) Close() error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	delete(h.net.open, h)
	h.drop(errors.New("it was closed"))
	return nil
}
