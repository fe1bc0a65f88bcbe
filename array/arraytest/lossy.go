package arraytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"onevolume/command"
)

// Lossy is a Dialer whose connections can break in the middle of a command,
// for drivers that run commands on the array. Its Lose is a Fixture's.
type Lossy struct {
	// ChangesOnly leaves commands alone that only look.
	ChangesOnly bool

	next command.Dialer

	mu   sync.Mutex
	lose *loss
}

// NewLossy makes one around the real Dialer.
func NewLossy(d command.Dialer) *Lossy { return &Lossy{next: d} }

// Lose loses the n-th command from now on, on whatever connection. With done
// it runs to its end; else it is never given to the array, and the driver
// knows that.
func (l *Lossy) Lose(n int, done bool) (came func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lose := &loss{left: n, done: done}
	l.lose = lose
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lose = nil
		return lose.came
	}
}

// lost says whether this command is the one.
func (l *Lossy) lost() (lost, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lose == nil || l.lose.came {
		return false, false
	}
	if l.lose.left--; l.lose.left > 0 {
		return false, false
	}
	l.lose.came = true
	return true, l.lose.done
}

// Dial gives a connection that may break.
func (l *Lossy) Dial(ctx context.Context, host string) (command.Host, error) {
	h, err := l.next.Dial(ctx, host)
	if err != nil {
		return nil, err
	}
	return &lossyHost{Host: h, from: l}, nil
}

type lossyHost struct {
	command.Host
	from *Lossy

	mu   sync.Mutex
	gone bool
}

var errBroken = errors.New("the test broke the connection")

func (h *lossyHost) broken() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.gone
}

func (h *lossyHost) fail(c command.Cmd, meaning error) (command.Result, error) {
	return command.Result{Code: -1}, &command.RunError{Host: h.Name(), Cmd: c.String(), Code: -1, Err: fmt.Errorf("%w: %w", meaning, errBroken)}
}

func (h *lossyHost) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	if h.broken() {
		return h.fail(c, command.ErrNotRun)
	}
	lost, done := false, false
	if !c.ReadOnly || !h.from.ChangesOnly {
		lost, done = h.from.lost()
	}
	if !lost {
		return h.Host.Run(ctx, c)
	}
	meaning := command.ErrNotRun
	if done {
		_, _ = h.Host.Run(ctx, c) // nobody hears of it
		meaning = command.ErrUnknownOutcome
	}
	h.mu.Lock()
	h.gone = true
	h.mu.Unlock()
	h.Host.Close()
	return h.fail(c, meaning)
}

func (h *lossyHost) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	if h.broken() {
		_, err := h.fail(command.Cmd{Argv: []string{"lock", name}}, command.ErrNotRun)
		return nil, err
	}
	return h.Host.Lock(ctx, name, wait)
}
