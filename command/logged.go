package command

import (
	"context"
	"errors"
	"time"
)

// Event tells of one command, lock or connection after its end. It holds no
// secret.
type Event struct {
	Host  string
	Cmd   string // Cmd.String, "lock NAME", "dial" or "close"
	Start time.Time
	Took  time.Duration
	// Code is the exit status; -1 when none is known.
	Code   int
	Stderr string // its end, with the command's input masked
	Err    error  // nil for a command that ran, however it ended
}

// Logged gives a Host that tells f of everything done with it. f is called in
// the goroutine of the caller and must not block.
func Logged(h Host, f func(Event)) Host { return &logged{h, f} }

// LoggedDialer gives a Dialer that tells f of each connection and all that is
// done with it.
func LoggedDialer(d Dialer, f func(Event)) Dialer { return &loggedDialer{d, f} }

type loggedDialer struct {
	next Dialer
	tell func(Event)
}

func (d *loggedDialer) Dial(ctx context.Context, host string) (Host, error) {
	start := time.Now()
	h, err := d.next.Dial(ctx, host)
	d.tell(ended(Event{Host: host, Cmd: "dial", Start: start, Err: err}))
	if err != nil {
		return nil, err
	}
	return Logged(h, d.tell), nil
}

type logged struct {
	Host
	tell func(Event)
}

func (l *logged) Run(ctx context.Context, c Cmd) (Result, error) {
	start := time.Now()
	r, err := l.Host.Run(ctx, c)
	l.tell(ended(Event{
		Host: l.Name(), Cmd: c.String(), Start: start,
		Code: r.Code, Stderr: c.mask(r.Stderr), Err: err,
	}))
	return r, err
}

func (l *logged) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	start := time.Now()
	unlock, err := l.Host.Lock(ctx, name, wait)
	l.tell(ended(Event{Host: l.Name(), Cmd: "lock " + name, Start: start, Err: err}))
	return unlock, err
}

func (l *logged) Close() error {
	start := time.Now()
	err := l.Host.Close()
	l.tell(ended(Event{Host: l.Name(), Cmd: "close", Start: start, Err: err}))
	return err
}

// ended fills in what follows from the rest.
func ended(e Event) Event {
	e.Took = time.Since(e.Start)
	if e.Err == nil {
		return e
	}
	e.Code = -1
	if run := (*RunError)(nil); errors.As(e.Err, &run) {
		e.Code = run.Code
		if e.Stderr == "" {
			e.Stderr = run.Stderr
		}
	}
	return e
}
