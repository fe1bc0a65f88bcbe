package events

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

const (
	// kept is how many messages a subscriber may be behind; one that is
	// further is cut off, and comes back.
	kept = 512
	// mostSubscribers, mostTopics and topicSize bound what strangers cost.
	mostSubscribers = 64
	mostTopics      = 64
	topicSize       = 4 << 10 // bytes of a message of a subscriber's
	// takeTime is how long a subscriber may take for a message by default.
	takeTime = 10 * time.Second
)

// Publisher publishes as oned does: a PUB socket of ZeroMQ, messages of two
// frames, the key and a document in base64. Nothing is replayed, and nobody is
// waited for: the library's own socket, which waits for each of its
// subscribers and keeps any number of messages meanwhile, is not used.
type Publisher struct {
	// Take is how long a subscriber may take for a message; 10 s when zero.
	Take time.Duration

	mu       sync.Mutex
	messages []zmq4.Msg // the newest, the oldest first
	sent     int        // of all there ever were
	more     chan struct{}
	conns    map[net.Conn]bool
	closed   bool
	work     sync.WaitGroup
}

// ObjectKey is the key of an event about an object of ours, with oned's
// space at its end.
func ObjectKey(object string, id int, state string) string {
	return fmt.Sprintf("EVENT %s %d/%s ", object, id, state)
}

// Serve takes subscribers until the listener or the publisher is closed.
func (p *Publisher) Serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond) // out of descriptors, say
			continue
		}
		if !p.enter(c) {
			_ = c.Close()
			continue
		}
		go func() {
			defer p.leave(c)
			p.session(c)
		}()
	}
}

func (p *Publisher) enter(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.conns) >= mostSubscribers {
		return false
	}
	if p.conns == nil {
		p.conns = map[net.Conn]bool{}
	}
	p.conns[c] = true
	p.work.Add(1)
	return true
}

func (p *Publisher) leave(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	p.work.Done()
}

// Close cuts all subscribers off.
func (p *Publisher) Close() {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.wake()
	p.mu.Unlock()
	p.work.Wait()
}

// Subscribers is how many there are.
func (p *Publisher) Subscribers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Send publishes a document. It never waits.
func (p *Publisher) Send(key, document string) {
	msg := zmq4.NewMsgFrom([]byte(key), []byte(base64.StdEncoding.EncodeToString([]byte(document))))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.messages) >= 2*kept {
		p.messages = append(make([]zmq4.Msg, 0, 2*kept), p.messages[kept:]...)
	}
	p.messages = append(p.messages, msg)
	p.sent++
	p.wake()
}

// wake wakes who waits; the lock is held.
func (p *Publisher) wake() {
	if p.more != nil {
		close(p.more)
		p.more = nil
	}
}

// next gives the message at a place; ok is false when it is kept no more. With
// none yet it gives what to wait for.
func (p *Publisher) next(place int) (msg zmq4.Msg, more <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.messages) - (p.sent - place)
	switch {
	case p.closed || p.sent-place > kept || i < 0:
		return msg, nil, false
	case i == len(p.messages):
		if p.more == nil {
			p.more = make(chan struct{})
		}
		return msg, p.more, true
	}
	return p.messages[i], nil, true
}

// taker is one subscriber.
type taker struct {
	raw  net.Conn
	conn *zmq4.Conn
	gone chan struct{} // closed when it is

	mu     sync.Mutex
	topics map[string]int
}

// session serves one subscriber until it is gone. What it sends must never end
// the daemon, although the library trusts it.
func (p *Publisher) session(raw net.Conn) {
	defer func() { _ = recover() }() // the connection is closed, which is all there is to do
	if raw.SetDeadline(time.Now().Add(handshake)) != nil {
		return
	}
	out := &buffered{Conn: &guard{Conn: raw, most: topicSize}, buffer: bufio.NewWriter(raw)}
	conn, err := zmq4.Open(out, null.Security(), zmq4.Pub, nil, true, nil)
	if err != nil || raw.SetDeadline(time.Time{}) != nil {
		return
	}
	out.hold()
	t := &taker{raw: raw, conn: conn, gone: make(chan struct{}), topics: map[string]int{}}
	p.mu.Lock()
	place := p.sent
	p.mu.Unlock()
	go t.listen()
	for {
		msg, more, ok := p.next(place)
		if !ok {
			return
		}
		if more != nil {
			if out.flush() != nil {
				return
			}
			select {
			case <-more:
			case <-t.gone:
				return
			}
			continue
		}
		place++
		if !t.wants(string(msg.Frames[0])) {
			continue
		}
		if raw.SetWriteDeadline(time.Now().Add(cmp.Or(p.Take, takeTime))) != nil || conn.SendMsg(msg) != nil {
			return
		}
	}
}

// listen reads what the subscriber subscribes to, and from.
func (t *taker) listen() {
	defer func() {
		_ = recover()
		_ = t.raw.Close()
		close(t.gone)
	}()
	for {
		msg, err := t.conn.RecvMsg()
		if err != nil {
			return
		}
		if len(msg.Frames) != 1 || len(msg.Frames[0]) == 0 {
			continue
		}
		topic := string(msg.Frames[0][1:])
		t.mu.Lock()
		switch msg.Frames[0][0] {
		case 1:
			t.topics[topic]++
		case 0:
			if t.topics[topic]--; t.topics[topic] <= 0 {
				delete(t.topics, topic)
			}
		}
		many := len(t.topics) > mostTopics
		t.mu.Unlock()
		if many {
			return
		}
	}
}

func (t *taker) wants(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic := range t.topics {
		if strings.HasPrefix(key, topic) {
			return true
		}
	}
	return false
}

// buffered sends what is written in one piece: the library writes each
// frame's header by itself. It does so once hold was called; until then, at
// once.
type buffered struct {
	net.Conn
	mu     sync.Mutex
	buffer *bufio.Writer
	held   bool
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.buffer.Write(p)
	if err == nil && !b.held {
		err = b.buffer.Flush()
	}
	return n, err
}

func (b *buffered) hold() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held = true
}

func (b *buffered) flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Flush()
}
