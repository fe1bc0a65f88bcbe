package events

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// Subscriber listens to oned's publisher until it is told to stop. Its memory
// is that of one message.
type Subscriber struct {
	// Address is oned's, as tcp://host:port; see Endpoint.
	Address string
	// Hear is called with each event, in the order they come, by one
	// goroutine. It must not wait: what comes meanwhile is kept by the network
	// and then lost.
	Hear func(Event)
	// Up is called when a connection stands: what was said before is lost.
	Up func()
	// Down is called when there is no connection, once until there is one
	// again.
	Down func(error)
	// Wait is the time from a failure to the next try; it doubles up to 16
	// times as long. A second when zero.
	Wait time.Duration
}

// Endpoint checks an address of a publisher, such as OpenNebula's tools read
// it from ONE_ZMQ.
func Endpoint(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "tcp" || u.Port() == "" || u.Hostname() == "" || u.Path != "" {
		return fmt.Errorf("%q is no address of the form tcp://host:port", s)
	}
	return nil
}

// Run listens until ctx ends.
func (s *Subscriber) Run(ctx context.Context) {
	const most = 16
	first := s.Wait
	if first <= 0 {
		first = time.Second
	}
	wait, down := first, false
	for ctx.Err() == nil {
		up, err := s.session(ctx)
		if up {
			wait, down = first, false
		}
		if ctx.Err() != nil {
			return
		}
		if !down && s.Down != nil {
			s.Down(err)
		}
		down = true
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, most*first)
	}
}

// handshake bounds the time until a connection stands.
const handshake = 10 * time.Second

// session is one connection, from dialling to its end, and says whether it
// stood. The library's sockets neither tell of a lost connection nor end a
// wait for one, so that its connection is used, and kept here.
func (s *Subscriber) session(ctx context.Context) (up bool, err error) {
	// What a peer sends must never end the daemon; the library trusts it.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("what %s sends is not ZeroMQ's: %v", s.Address, p)
		}
	}()
	if err := Endpoint(s.Address); err != nil {
		return false, err
	}
	u, err := url.Parse(s.Address)
	if err != nil {
		return false, err
	}
	dialer := net.Dialer{Timeout: handshake}
	raw, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	conn, err := s.open(raw)
	if err != nil {
		return false, err
	}
	if s.Up != nil {
		s.Up()
	}
	for {
		msg, err := conn.RecvMsg()
		if err != nil {
			return true, err
		}
		if len(msg.Frames) == 0 {
			continue
		}
		if e, ok := Parse(string(msg.Frames[0][:min(len(msg.Frames[0]), longestKey+1)])); ok {
			s.Hear(e)
		}
	}
}

// open makes a connection a subscriber's.
func (s *Subscriber) open(raw net.Conn) (*zmq4.Conn, error) {
	if err := raw.SetDeadline(time.Now().Add(handshake)); err != nil {
		return nil, err
	}
	conn, err := zmq4.Open(&guard{Conn: raw}, null.Security(), zmq4.Sub, nil, false, nil)
	if err != nil {
		return nil, err
	}
	for _, topic := range topics {
		if err := conn.SendMsg(zmq4.NewMsg(append([]byte{1}, topic...))); err != nil {
			return nil, err
		}
	}
	return conn, raw.SetDeadline(time.Time{})
}
