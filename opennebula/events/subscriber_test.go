package events_test

import (
	"context"
	"encoding/binary"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume/opennebula/events"
	"onevolume/opennebula/onetest"
)

// ear collects what a subscriber hears.
type ear struct {
	mu    sync.Mutex
	heard []events.Event
	up    chan struct{}
	down  chan error
	wake  chan struct{}
}

// listen runs a subscriber until the test ends.
func listen(t *testing.T, address string) *ear {
	t.Helper()
	e := &ear{up: make(chan struct{}, 100), down: make(chan error, 100), wake: make(chan struct{}, 1)}
	s := &events.Subscriber{Address: address, Wait: 5 * time.Millisecond,
		Up: func() { e.up <- struct{}{} }, Down: func(err error) { e.down <- err },
		Hear: func(ev events.Event) {
			e.mu.Lock()
			e.heard = append(e.heard, ev)
			e.mu.Unlock()
			select {
			case e.wake <- struct{}{}:
			default:
			}
		}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return e
}

// within waits for something, with a deadline.
func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// hears has something said until it is heard: what is said before the
// publisher has noted the subscription is lost.
func (e *ear) hears(t *testing.T, want events.Event, say func()) {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		say()
		select {
		case <-e.wake:
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("%+v was not heard", want)
		}
		e.mu.Lock()
		for _, ev := range e.heard {
			if ev == want {
				e.mu.Unlock()
				return
			}
		}
		e.mu.Unlock()
	}
}

func TestSubscriber(t *testing.T) {
	one := onetest.Start(t, onetest.Small())
	e := listen(t, one.StartEvents(t))
	within(t, e.up, "the connection")
	e.hears(t, events.Event{Object: events.VM, ID: 0, State: "POWEROFF", LCM: "LCM_INIT"}, func() { one.SetVMState(0, 8, 0) })
	e.hears(t, events.Event{Object: events.Host, ID: 1, State: "ERROR"}, func() { one.SetHostState("host02", 3) })
	// What is not asked for, and what is rubbish, is not heard.
	for _, key := range []string{"EVENT API one.vm.rename 0", "RETRY", "", "EVENT STATE VM/\x00", "EVENT STATE VM/ACTIVE/RUNNING/x "} {
		one.Announce(key, "<x>&")
	}
	e.hears(t, events.Event{Object: events.VM, ID: 0, State: "ACTIVE", LCM: "RUNNING"}, func() { one.SetVMState(0, 3, 3) })
	for _, ev := range e.heard {
		if ev.Object != events.VM && ev.Object != events.Host || ev.ID > 1 {
			t.Errorf("heard %+v", ev)
		}
	}
}

func TestSubscriberComesBack(t *testing.T) {
	one := onetest.Start(t, onetest.Small())
	address := one.StartEvents(t)
	e := listen(t, address)
	within(t, e.up, "the connection")
	one.StopEvents()
	if err := within(t, e.down, "the end of the connection"); err == nil {
		t.Error("no reason is given")
	}
	one.StartEventsAt(t, address)
	within(t, e.up, "a new connection")
	e.hears(t, events.Event{Object: events.VM, ID: 1, State: "DONE", LCM: "LCM_INIT"}, func() { one.SetVMState(1, 6, 0) })
}

// serve speaks to each who connects.
func serve(t testing.TB, say func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); say(c) }()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// hello is how a publisher of ZMTP 3 without security begins.
func hello() []byte {
	b := make([]byte, 64)
	b[0], b[9], b[10] = 0xff, 0x7f, 3
	copy(b[12:], "NULL")
	ready := "\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB"
	return append(append(b, 4, byte(len(ready))), ready...)
}

func frame(flags byte, size uint64, body string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{flags | 2}, size), body...)
}

// Whatever a peer sends, the subscriber says that there is no connection, and
// tries again.
func TestSubscriberStandsRubbish(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"nothing":                []byte{},
		"a web page":             []byte("HTTP/1.1 400 Bad Request\r\n\r\n" + strings.Repeat("x", 1000)),
		"a cut greeting":         hello()[:40],
		"a broken property":      append(hello()[:64], 4, 9, 5, 'R', 'E', 'A', 'D', 'Y', 200, 'x', 'y'),
		"a frame of 2^63":        append(hello(), frame(0, 1<<63, "")...),
		"a frame of 2^62":        append(hello(), frame(0, 1<<62, "")...),
		"a frame of 1 GiB":       append(hello(), frame(0, 1<<30, "")...),
		"a message without end":  append(hello(), []byte(strings.Repeat("\x01\x01x", 1000))...),
		"a command that is none": append(hello(), 4, 3, 200, 'x', 'y'),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := listen(t, serve(t, func(c net.Conn) {
				_, _ = c.Write(bytes)
				buf := make([]byte, 256)
				_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
				}
			}))
			if err := within(t, e.down, "the end of the connection"); err == nil {
				t.Error("no reason is given")
			}
			if len(e.heard) > 0 {
				t.Errorf("heard %+v", e.heard)
			}
		})
	}
}

// FuzzSession asks that no bytes of a peer end the process.
func FuzzSession(f *testing.F) {
	f.Add([]byte{})
	f.Add(hello()[64:])
	f.Add(append(hello()[64:], 1, 3, 'a', 'b', 'c', 0, 0))
	f.Fuzz(func(t *testing.T, after []byte) {
		address := serve(t, func(c net.Conn) { _, _ = c.Write(append(hello()[:64], after...)) })
		down := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := &events.Subscriber{Address: address, Wait: time.Hour, Hear: func(events.Event) {}, Down: func(err error) { down <- err }}
		go s.Run(ctx)
		within(t, down, "the end")
	})
}

// A flood is heard, and leaves nothing behind.
func TestSubscriberInAFlood(t *testing.T) {
	const n = 20000
	one := onetest.Start(t, onetest.Small())
	address := one.StartEvents(t)
	var mu sync.Mutex
	heard, last := 0, make(chan struct{}, 1)
	up := make(chan struct{}, 1)
	s := &events.Subscriber{Address: address, Up: func() { up <- struct{}{} }, Hear: func(e events.Event) {
		mu.Lock()
		heard++
		mu.Unlock()
		if e.State == "DONE" {
			select {
			case last <- struct{}{}:
			default:
			}
		}
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	within(t, up, "the connection")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	body := strings.Repeat("x", 3000)
	for i := range n {
		one.Announce(events.Event{Object: events.VM, ID: i, State: "ACTIVE", LCM: "RUNNING"}.Key(), body)
	}
	end := time.After(60 * time.Second)
	for ended := false; !ended; {
		one.Announce("EVENT STATE VM/DONE/LCM_INIT/1 ", body)
		select {
		case <-last:
			ended = true
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatal("the flood has no end")
		}
	}
	cancel()
	<-done
	one.StopEvents()
	runtime.GC()
	runtime.ReadMemStats(&after)
	mu.Lock()
	defer mu.Unlock()
	if heard < n/2 {
		t.Errorf("%d of %d events were heard", heard, n)
	}
	if after.HeapAlloc > before.HeapAlloc+8<<20 {
		t.Errorf("the heap has grown from %d to %d bytes", before.HeapAlloc, after.HeapAlloc)
	}
}
