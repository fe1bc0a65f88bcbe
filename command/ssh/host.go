package ssh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"onevolume/command"
)

// closeWait bounds Close: half of it for the shell to end, which gives the
// locks back while we watch, half for the connection.
const closeWait = 2 * time.Second

// Host is a connection to one host. It is made by Dialer.Dial.
type Host struct {
	name    string
	client  *client
	session *ssh.Session
	sh      *shell
	ended   chan struct{} // closed when the session has ended
	turn    chan struct{} // holds a token while the shell is in use
	locks   [lastLock + 1]bool

	closing sync.Once
}

var _ command.Host = (*Host)(nil)

// errClosed is why a Host that was closed runs nothing.
var errClosed = errors.New("the connection was closed")

// open starts the shell on a connection.
func open(ctx context.Context, name string, c *client) (*Host, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	session, err := c.NewSession()
	if err != nil {
		return nil, err
	}
	h := &Host{
		name: name, client: c, session: session,
		ended: make(chan struct{}),
		turn:  make(chan struct{}, 1),
	}
	if err := h.start(ctx); err != nil {
		session.Close()
		return nil, err
	}
	return h, nil
}

// start runs the shell and greets it.
func (h *Host) start(ctx context.Context) error {
	stdin, err := h.session.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := h.session.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := h.session.StderrPipe()
	if err != nil {
		return err
	}
	// The user's own shell, whatever it is, makes way for a POSIX one.
	if err := h.session.Start("exec /bin/sh"); err != nil {
		return err
	}
	go func() {
		_ = h.session.Wait() // whatever it says, the shell has ended
		close(h.ended)
	}()
	h.sh = newShell(stdin, stdout, stderr, func() { go h.client.Close() })
	a, err := h.sh.exchange(ctx, fmt.Sprintf(hello, h.sh.mark), 0, nil)
	switch {
	case err != nil:
		return withNoise(err, h.sh)
	case a.code != 0:
		return errors.New("its /bin/sh has no printf of its own")
	case len(a.rest) != 1:
		return errors.New("its /bin/sh does not know who it runs as (id -u)")
	}
	h.sh.root = a.rest[0] == "0"
	return nil
}

// noiseTime bounds the wait for the rest of what a shell said that was given
// up. Its connection is being cut, so there is not much of it.
const noiseTime = time.Second

// withNoise adds what the login shell said before it ended. One stream may
// have ended, or a text not have gone through, before the other was read.
func withNoise(err error, s *shell) error {
	var said string
	limit, cancel := context.WithTimeout(context.Background(), noiseTime)
	defer cancel()
	for _, st := range []*stream{s.err, s.out} {
		select {
		case <-st.ended:
		case <-limit.Done():
		}
		st.mu.Lock()
		said += string(st.cut.data[:min(len(st.cut.data), 200)])
		st.mu.Unlock()
	}
	if said == "" {
		return err
	}
	return fmt.Errorf("%w; it said %q", err, said)
}

// Name is the host's name as the cloud knows it.
func (h *Host) Name() string { return h.name }

// Run runs one command in the host's shell. What it writes after it has
// ended, from the background, may end up in the next command's output.
func (h *Host) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	notRun := func(err error) (command.Result, error) {
		return command.Result{Code: -1}, &command.RunError{
			Host: h.name, Cmd: c.String(), Code: -1,
			Err: fmt.Errorf("%w: %w", command.ErrNotRun, err),
		}
	}
	if err := h.take(ctx); err != nil {
		return notRun(err)
	}
	defer h.release()
	words, err := text(c, h.sh.root, h.held())
	if err != nil {
		return notRun(err)
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = command.DefaultTimeout
	}
	a, err := h.exchange(ctx, words, timeout, c.OnLine)
	if err != nil {
		return command.Result{Code: -1}, &command.RunError{
			Host: h.name, Cmd: c.String(), Code: -1,
			Err: fmt.Errorf("%w: %w", command.ErrUnknownOutcome, err),
		}
	}
	r := command.Result{Stdout: a.out.data, Stderr: a.err.data, Code: a.code}
	if a.out.over || a.err.over {
		return r, &command.RunError{
			Host: h.name, Cmd: c.String(), Code: r.Code,
			Err: fmt.Errorf("%w: more than %d MiB", command.ErrOutputTooBig, maxOutput>>20),
		}
	}
	return r, nil
}

// exchange runs words and their trailer. The turn is the caller's.
func (h *Host) exchange(ctx context.Context, words string, timeout time.Duration, line func(string)) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("it did not end within %s (%w)", timeout, context.DeadlineExceeded))
	defer cancel()
	h.sh.n++
	return h.sh.exchange(ctx, words+trailer(h.sh.mark, h.sh.n), h.sh.n, line)
}

// take waits for the turn to use the shell.
func (h *Host) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-h.sh.dead:
		return h.dead()
	}
	if h.sh.gone() != nil {
		h.release()
		return h.dead()
	}
	return nil
}

func (h *Host) release() { <-h.turn }

// dead says why the connection cannot be used any more.
func (h *Host) dead() error {
	cause := h.sh.gone()
	if errors.Is(cause, errClosed) {
		return cause
	}
	return fmt.Errorf("the connection was given up before and must be dialled again: %v", cause) //nolint:errorlint // what became of an earlier command says nothing of this one
}

// Close ends the shell and the connection.
func (h *Host) Close() error {
	h.closing.Do(func() {
		if h.sh.gone() == nil {
			h.sh.eof()
			// A command that still runs is not waited for long, and the
			// shell is given up all the same.
			wait(h.ended, closeWait/2)
			h.sh.giveUp(errClosed)
		}
		closed := make(chan struct{})
		go func() {
			h.client.Close()
			close(closed)
		}()
		wait(closed, closeWait/2)
	})
	return nil
}

// wait waits for c to be closed, but not longer than d.
func wait(c <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c:
	case <-t.C:
	}
}

// keepAlive asks the server for a sign of life at each interval and gives the
// connection up when misses intervals went by without one. Without it, a host
// that lost its power would look like a command that takes long.
func (h *Host) keepAlive(interval time.Duration, misses int) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-h.sh.dead:
			return
		case <-tick.C:
		}
		alive := make(chan struct{})
		go func() {
			// The answer may be a refusal: it is a sign of life as well.
			if _, _, err := h.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
				close(alive)
			}
		}()
		t := time.NewTimer(interval * time.Duration(misses))
		select {
		case <-alive:
		case <-h.sh.dead:
		case <-t.C:
			h.sh.giveUp(fmt.Errorf("the host gave no sign of life for %s", interval*time.Duration(misses)))
		}
		t.Stop()
	}
}
