package events_test

import (
	"context"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"onevolume/opennebula/events"
)

// publish runs a publisher until the test ends.
func publish(t *testing.T) (*events.Publisher, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &events.Publisher{Take: 500 * time.Millisecond}
	done := make(chan struct{})
	go func() { defer close(done); p.Serve(l) }()
	t.Cleanup(func() { l.Close(); <-done; p.Close() })
	return p, l.Addr().String()
}

// subscribe listens as other programs do, by the library's own socket.
func subscribe(t *testing.T, address, topic string) <-chan zmq4.Msg {
	t.Helper()
	sub := zmq4.NewSub(context.Background())
	t.Cleanup(func() { sub.Close() })
	if err := sub.Dial("tcp://" + address); err != nil {
		t.Fatal(err)
	}
	if err := sub.SetOption(zmq4.OptionSubscribe, topic); err != nil {
		t.Fatal(err)
	}
	heard := make(chan zmq4.Msg, 10000)
	go func() {
		for {
			msg, err := sub.Recv()
			if err != nil {
				return
			}
			heard <- msg
		}
	}()
	return heard
}

// until sends until a subscriber hears: what is sent before its subscription
// has come is lost.
func until(t *testing.T, p *events.Publisher, key string, heard <-chan zmq4.Msg) zmq4.Msg {
	t.Helper()
	for range 1000 {
		p.Send(key, "<VOLUME/>")
		select {
		case msg := <-heard:
			return msg
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatal("nothing was heard")
	panic("unreachable")
}

func TestPublisher(t *testing.T) {
	p, address := publish(t)
	all, one := subscribe(t, address, "EVENT VOLUME "), subscribe(t, address, "EVENT VOLUME 4/")
	msg := until(t, p, events.ObjectKey("VOLUME", 3, "ATTACHED"), all)
	if len(msg.Frames) != 2 || string(msg.Frames[0]) != "EVENT VOLUME 3/ATTACHED " {
		t.Errorf("heard %q", msg.Frames)
	}
	if body, err := base64.StdEncoding.DecodeString(string(msg.Frames[1])); err != nil || string(body) != "<VOLUME/>" {
		t.Errorf("the document is %q, %v", body, err)
	}
	if msg = until(t, p, "EVENT VOLUME 4/ERROR ", one); string(msg.Frames[0]) != "EVENT VOLUME 4/ERROR " {
		t.Errorf("heard %q", msg.Frames)
	}
	select {
	case msg := <-one:
		if string(msg.Frames[0]) != "EVENT VOLUME 4/ERROR " {
			t.Errorf("heard %q, which was not asked for", msg.Frames)
		}
	default:
	}
}

// One that does not read is cut off; the others hear all in order.
func TestPublisherWaitsForNobody(t *testing.T) {
	p, address := publish(t)
	deaf, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	greeting := hello()
	if _, err := deaf.Write(append([]byte(strings.Replace(string(greeting), "PUB", "SUB", 1)), 0, 1, 1)); err != nil {
		t.Fatal(err)
	}
	heard := subscribe(t, address, "EVENT ")
	until(t, p, "EVENT 0", heard)
	for len(heard) > 0 {
		<-heard
	}
	big := strings.Repeat("x", 100_000)
	const n = 1000
	for i := range n {
		p.Send("EVENT N", big)
		for len(heard) > 0 {
			<-heard
		}
		if i%100 == 99 {
			until(t, p, "EVENT M", heard) // so that this one is never far behind
		}
	}
	end := time.Now().Add(30 * time.Second)
	for p.Subscribers() != 1 && time.Now().Before(end) {
		until(t, p, "EVENT M", heard)
	}
	if n := p.Subscribers(); n != 1 {
		t.Errorf("%d subscribers are left", n)
	}
}

// Whatever a peer sends ends its own connection and nothing else.
func TestPublisherStandsRubbish(t *testing.T) {
	p, address := publish(t)
	heard := subscribe(t, address, "")
	until(t, p, "EVENT 0", heard)
	for name, bytes := range map[string][]byte{
		"a web page":     []byte("GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 100)),
		"a broken word":  append(hello()[:64], 4, 9, 5, 'R', 'E', 'A', 'D', 'Y', 200, 'x', 'y'),
		"another PUB":    hello(),
		"a frame of GiB": append([]byte(strings.Replace(string(hello()), "PUB", "SUB", 1)), frame(0, 1<<30, "")...),
		"too many":       []byte(strings.Replace(string(hello()), "PUB", "SUB", 1) + manyTopics()),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = c.Write(bytes)
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			buf := make([]byte, 256)
			for {
				if _, err := c.Read(buf); err != nil {
					if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // of this connection alone
						t.Error("the connection was not ended")
					}
					break
				}
			}
			until(t, p, "EVENT 1", heard)
		})
	}
}

func manyTopics() string {
	var b strings.Builder
	for i := range 100 {
		b.WriteString("\x00\x03\x01x" + string(rune('!'+i%90)))
		if i >= 90 {
			b.WriteString("\x00\x04\x01yy" + string(rune('!'+i%90)))
		}
	}
	return b.String()
}
