package command

import (
	"context"
	"errors"
	"sync"
	"time"
)

// GuardOptions are the settings of a Guard. Zero values mean the defaults.
type GuardOptions struct {
	// Connections is how many there may be to one host at the same time: 8.
	// Wait is how long a caller waits for one of them to end: 5 minutes.
	Connections int
	Wait        time.Duration
	// CoolDown is how long a host that did not answer is left alone: 15 s,
	// then twice as long each time, up to MaxCoolDown: 8 times as long.
	CoolDown, MaxCoolDown time.Duration
}

// Guard is a Dialer that keeps a host which hangs from holding up anything
// but itself. Each host has a bounded number of connections, for which
// callers wait in line. When one does not answer, neither when it is dialled
// nor to a command in its time, those who wait and those who come are told so
// at once; after a cool-down one caller tries, and when the host answers, all
// may again.
//
// It is for processes that live long. It may be used from several goroutines.
type Guard struct {
	next Dialer
	opt  GuardOptions

	mu    sync.Mutex
	hosts map[string]*gate
}

var _ Dialer = (*Guard)(nil)

// NewGuard gives a Guard over another Dialer.
func NewGuard(next Dialer, o GuardOptions) *Guard {
	if o.Connections <= 0 {
		o.Connections = 8
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Wait, 5*time.Minute)
	def(&o.CoolDown, 15*time.Second)
	def(&o.MaxCoolDown, 8*o.CoolDown)
	return &Guard{next: next, opt: o, hosts: map[string]*gate{}}
}

// Dial connects to the host. A host that is left alone because it did not
// answer is a *DialError that wraps a *Silence; one with no connection to
// spare is a *DialError of KindBusy.
func (g *Guard) Dial(ctx context.Context, host string) (Host, error) {
	t := g.gate(host)
	probe, err := t.enter(ctx)
	if err != nil {
		return nil, err
	}
	h, err := g.next.Dial(ctx, host)
	if err != nil {
		t.judge(ctx, err, probe)
		<-t.slots
		return nil, err
	}
	t.answered()
	return &guarded{Host: h, gate: t, leave: sync.OnceFunc(func() { <-t.slots })}, nil
}

// Silent gives the hosts that do not answer, and since when and why.
func (g *Guard) Silent() map[string]*Silence {
	g.mu.Lock()
	gates := make([]*gate, 0, len(g.hosts))
	for _, t := range g.hosts {
		gates = append(gates, t)
	}
	g.mu.Unlock()
	silent := map[string]*Silence{}
	for _, t := range gates {
		if s := t.silence(); s != nil {
			silent[t.host] = s
		}
	}
	return silent
}

func (g *Guard) gate(host string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.hosts[host]
	if t == nil {
		t = &gate{host: host, opt: &g.opt, slots: make(chan struct{}, g.opt.Connections), shut: make(chan struct{})}
		g.hosts[host] = t
	}
	return t
}

// guarded is a connection that tells the gate whether its host answers.
type guarded struct {
	Host
	gate  *gate
	leave func() // gives the connection's place back
}

func (h *guarded) Run(ctx context.Context, c Cmd) (Result, error) {
	r, err := h.Host.Run(ctx, c)
	h.heard(ctx, err)
	return r, err
}

func (h *guarded) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	unlock, err := h.Host.Lock(ctx, name, wait)
	if _, held := errors.AsType[*LockedError](err); held {
		h.gate.answered()
	} else {
		h.heard(ctx, err)
	}
	return unlock, err
}

// heard judges the end of a command. A connection that broke may be the
// connection's fault; the next dial will tell. One that was given up for
// taking too long is the host's.
func (h *guarded) heard(ctx context.Context, err error) {
	switch {
	case err == nil:
		h.gate.answered()
	case errors.Is(err, ErrUnknownOutcome) && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		h.gate.silent(err, false)
	}
}

// Close gives the connection's place to the next who waits.
func (h *guarded) Close() error {
	defer h.leave()
	return h.Host.Close()
}
