package command_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onevolume/command"
)

// How long the test's hosts take.
const (
	quick   = 20 * time.Millisecond // to dial, and to run a command
	connect = 10 * time.Second      // to give up dialling
	timeout = time.Minute           // to give up a command
)

// fleet is hosts that answer, hang or refuse.
type fleet struct {
	mu    sync.Mutex
	how   map[string]string // "" answers, "hangs", "frozen" (takes connections and hangs then), or a command.Kind
	dials map[string]int
	open  map[string]int
	most  map[string]int // open at once
}

func newFleet() *fleet {
	return &fleet{how: map[string]string{}, dials: map[string]int{}, open: map[string]int{}, most: map[string]int{}}
}

func (f *fleet) set(host, how string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.how[host] = how
}

func (f *fleet) is(host string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.how[host]
}

func (f *fleet) dialled(host string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials[host]
}

func (f *fleet) Dial(ctx context.Context, host string) (command.Host, error) {
	f.mu.Lock()
	f.dials[host]++
	f.open[host]++
	f.most[host] = max(f.most[host], f.open[host])
	f.mu.Unlock()
	gone := sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open[host]--
	})
	how, wait := f.is(host), quick
	if how == "hangs" {
		how, wait = string(command.KindTimeout), connect
	}
	fail := func(kind command.Kind, err error) (command.Host, error) {
		gone()
		return nil, &command.DialError{Host: host, Addr: host + ":22", Kind: kind, Err: err, Hint: "do something"}
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return fail(command.KindCancelled, ctx.Err())
	}
	if how != "" && how != "frozen" {
		return fail(command.Kind(how), errors.New("the test made it so"))
	}
	return &ship{fleet: f, name: host, gone: gone}, nil
}

type ship struct {
	fleet *fleet
	name  string
	gone  func()
}

func (s *ship) Name() string { return s.name }

func (s *ship) Close() error {
	s.gone()
	return nil
}

func (s *ship) Lock(ctx context.Context, name string, _ time.Duration) (func(), error) {
	_, err := s.Run(ctx, command.Cmd{Argv: []string{"lock", name}})
	return func() {}, err
}

func (s *ship) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	wait := quick
	var end error
	switch s.fleet.is(s.name) {
	case "":
	case "breaks":
		end = errors.New("the connection ended")
	default:
		wait, end = timeout, fmt.Errorf("it did not end within %s (%w)", timeout, context.DeadlineExceeded)
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		end = ctx.Err()
	}
	if end != nil {
		return command.Result{Code: -1}, &command.RunError{Host: s.name, Cmd: c.String(), Code: -1,
			Err: fmt.Errorf("%w: %w", command.ErrUnknownOutcome, end)}
	}
	return command.Result{}, nil
}

// work is one operation: it dials, runs a few commands, and closes.
func work(ctx context.Context, d command.Dialer, host string) error {
	h, err := d.Dial(ctx, host)
	if err != nil {
		return err
	}
	defer h.Close()
	for range 5 {
		if _, err := h.Run(ctx, command.Cmd{Argv: []string{"true"}}); err != nil {
			return err
		}
	}
	return nil
}

const took = 6 * quick // of work on a host that answers, when nobody is in the way

// silence gives the Silence of a dial that was refused at once.
func silence(t *testing.T, g *command.Guard, host string) *command.Silence {
	t.Helper()
	start := time.Now()
	_, err := g.Dial(t.Context(), host)
	s, ok := errors.AsType[*command.Silence](err)
	if !ok || time.Since(start) != 0 {
		t.Fatalf("after %s: %v", time.Since(start), err)
	}
	return s
}

// One host hangs with 50 operations on it. Those on another are as quick as
// ever, and the 50 are told within the time that one dial takes.
func TestGuardHungHostBlocksOnlyItself(t *testing.T) {
	for _, how := range []string{"hangs", "frozen"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet()
				g := command.NewGuard(f, command.GuardOptions{Connections: 4})
				f.set("host01", how)
				limit := map[string]time.Duration{"hangs": connect, "frozen": timeout + quick}[how]
				var wg sync.WaitGroup
				var hung atomic.Int64
				for range 50 {
					wg.Go(func() {
						start := time.Now()
						if err := work(t.Context(), g, "host01"); err == nil || time.Since(start) > limit {
							t.Errorf("after %s: %v", time.Since(start), err)
						}
						hung.Add(1)
					})
				}
				for range 20 {
					start := time.Now()
					if err := work(t.Context(), g, "host02"); err != nil || time.Since(start) != took {
						t.Errorf("host02 took %s: %v", time.Since(start), err)
					}
				}
				wg.Wait()
				if n := hung.Load(); n != 50 || f.dialled("host01") != 4 {
					t.Errorf("%d ended, %d dialled", n, f.dialled("host01"))
				}
			})
		})
	}
}

// The breaker opens, lets one try after each cool-down, which grows, and
// closes when the host answers.
func TestGuardBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		g := command.NewGuard(f, command.GuardOptions{CoolDown: 15 * time.Second, MaxCoolDown: 50 * time.Second})
		f.set("host01", string(command.KindNoRoute))
		if err := work(t.Context(), g, "host01"); err == nil || errors.As(err, new(*command.Silence)) {
			t.Fatal(err)
		}
		since := time.Now()
		for n, pause := range []time.Duration{15 * time.Second, 30 * time.Second, 50 * time.Second, 50 * time.Second} {
			s := silence(t, g, "host01")
			if s.Again != pause || !s.Since.Equal(since) {
				t.Errorf("cool-down %d is %s since %s", n, s.Again, s.Since)
			}
			time.Sleep(pause - 3*time.Second)
			_, err := g.Dial(t.Context(), "host01")
			var dial *command.DialError
			want := "host host01 has not answered since " + since.Format(time.TimeOnly) + " (host01:22: the test made it so); tried again in 3s"
			if !errors.As(err, &dial) || dial.Kind != command.KindNoRoute || dial.Hint == "" || err.Error() != want {
				t.Errorf("%v; want %s", err, want)
			}
			time.Sleep(3 * time.Second)
			probes(t, g, f, "host01")
		}
		if list := g.Silent(); len(list) != 1 || !list["host01"].Since.Equal(since) {
			t.Errorf("silent are %v", list)
		}
		f.set("host01", "")
		time.Sleep(50 * time.Second)
		if err := work(t.Context(), g, "host01"); err != nil {
			t.Fatal(err)
		}
		if list := g.Silent(); len(list) != 0 {
			t.Errorf("silent are %v", list)
		}
		// From now on it counts from the beginning.
		f.set("host01", string(command.KindRefused))
		_ = work(t.Context(), g, "host01")
		if s := silence(t, g, "host01"); s.Again != 15*time.Second {
			t.Errorf("cool-down %s", s.Again)
		}
	})
}

// probes asks that of many callers one tries.
func probes(t *testing.T, g *command.Guard, f *fleet, host string) {
	t.Helper()
	before := f.dialled(host)
	var wg sync.WaitGroup
	var told atomic.Int64
	for range 20 {
		wg.Go(func() {
			_, err := g.Dial(t.Context(), host)
			if s, ok := errors.AsType[*command.Silence](err); ok && s.Again == 0 && strings.Contains(err.Error(), "being tried again now") {
				told.Add(1)
			}
		})
	}
	wg.Wait()
	if n := f.dialled(host) - before; n != 1 || told.Load() != 19 {
		t.Errorf("%d dialled and %d were told to wait", n, told.Load())
	}
}

// A command whose end was not seen in time opens it, and a command that ends
// well on another connection closes it.
func TestGuardHearsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		g := command.NewGuard(f, command.GuardOptions{})
		one, err := g.Dial(t.Context(), "host01")
		two, err2 := g.Dial(t.Context(), "host01")
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		defer one.Close()
		defer two.Close()
		f.set("host01", "frozen")
		if _, err := one.Run(t.Context(), command.Cmd{Argv: []string{"virsh", "list"}}); err == nil {
			t.Fatal("it ran")
		}
		s := silence(t, g, "host01")
		if text := s.Error(); !strings.Contains(text, "virsh list: it is not known what the command did: it did not end within 1m0s") {
			t.Error(text)
		}
		f.set("host01", "")
		if _, err := two.Lock(t.Context(), "x", 0); err != nil {
			t.Fatal(err)
		}
		if err := work(t.Context(), g, "host01"); err != nil {
			t.Error(err)
		}
	})
}

// What says nothing of the host's being there does not open it.
func TestGuardIgnoresOtherTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		g := command.NewGuard(f, command.GuardOptions{Connections: 1})
		for _, kind := range []command.Kind{command.KindConfig, command.KindUnresolved, command.KindHostKeyUnknown, command.KindHostKeyChanged,
			command.KindNoKey, command.KindKeyRefused, command.KindTooManyKeys, command.KindShell, command.KindProtocol} {
			f.set("host01", string(kind))
			for range 3 {
				if _, err := g.Dial(t.Context(), "host01"); err == nil || errors.As(err, new(*command.Silence)) {
					t.Errorf("%s: %v", kind, err)
				}
			}
		}
		// Nor does a caller who does not wait, or a connection that breaks.
		for _, how := range []string{"hangs", "frozen"} {
			f.set("host01", how)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := work(ctx, g, "host01"); err == nil {
				t.Error("no error")
			}
			cancel()
		}
		f.set("host01", "")
		h, err := g.Dial(t.Context(), "host01")
		if err != nil {
			t.Fatal(err)
		}
		f.set("host01", "breaks")
		if _, err := h.Run(t.Context(), command.Cmd{Argv: []string{"true"}}); err == nil {
			t.Error("no error")
		}
		f.set("host01", "")
		h.Close()
		h.Close() // which gives its place back once
		if err := work(t.Context(), g, "host01"); err != nil {
			t.Error(err)
		}
	})
}

// A probe that comes to nothing, because its caller went or the trouble is
// another now, leaves the next try to others.
func TestGuardProbeThatComesToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		g := command.NewGuard(f, command.GuardOptions{Connections: 1})
		f.set("host01", "hangs")
		_ = work(t.Context(), g, "host01")
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := work(ctx, g, "host01"); err == nil || errors.As(err, new(*command.Silence)) {
			t.Errorf("probe: %v", err)
		}
		f.set("host01", string(command.KindUnresolved))
		if err := work(t.Context(), g, "host01"); err == nil || errors.As(err, new(*command.Silence)) {
			t.Errorf("second probe: %v", err)
		}
		f.set("host01", string(command.KindKeyRefused)) // there it is
		for range 2 {
			if err := work(t.Context(), g, "host01"); err == nil || errors.As(err, new(*command.Silence)) {
				t.Errorf("third probe: %v", err)
			}
		}
	})
}

// Callers wait in line for a connection, as long as they want to but not for
// ever.
func TestGuardBoundsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		g := command.NewGuard(f, command.GuardOptions{Connections: 3, Wait: 5 * time.Minute})
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if err := work(t.Context(), g, "host01"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if f.most["host01"] != 3 || f.dialled("host01") != 40 {
			t.Errorf("%d of %d at once", f.most["host01"], f.dialled("host01"))
		}
		var held []command.Host
		for range 3 {
			h, err := g.Dial(t.Context(), "host01")
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, h)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			kind command.Kind
			took time.Duration
		}{{ctx, command.KindCancelled, time.Minute}, {t.Context(), command.KindBusy, 5 * time.Minute}} {
			start := time.Now()
			_, err := g.Dial(c.ctx, "host01")
			var dial *command.DialError
			if !errors.As(err, &dial) || dial.Kind != c.kind || time.Since(start) != c.took {
				t.Errorf("after %s: %v; want %s after %s", time.Since(start), err, c.kind, c.took)
			}
		}
		for _, h := range held {
			h.Close()
		}
		if err := work(t.Context(), g, "host01"); err != nil {
			t.Error(err)
		}
	})
}
