package listen

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Gate bounds how many connections there are, in all and from one address.
// Where there are too many, the one that has been idle for longest makes room:
// its client connects again. One whose request has not come yet is idle too.
// Only when none is, a new one is refused.
type Gate struct {
	// Total and PerAddress are the bounds. Trusted networks and unix sockets
	// are bound by Total alone.
	Total, PerAddress int
	Trusted           Networks
	// Refused hears of a connection that was refused, by address; at most
	// once a minute for all.
	Refused func(peer string)

	mu   sync.Mutex
	open int
	by   map[netip.Addr]*party // the zero Addr for those without
	told time.Time
}

// party are the connections of one address.
type party struct {
	open int
	idle list.List // of *conn, the one that has been idle for longest first
}

// conn is a connection that the gate counts.
type conn struct {
	net.Conn
	gate    *Gate
	peer    net.Addr
	addr    netip.Addr
	idle    *list.Element // guarded by the gate
	evicted bool
	once    sync.Once
}

func (c *conn) RemoteAddr() net.Addr { return c.peer }

func (c *conn) Close() error {
	c.once.Do(func() { c.gate.leave(c) })
	return c.Conn.Close()
}

// CloseWrite is for net/http, which says so that nothing follows an answer
// before it stops reading what the client still sends.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

type gated struct {
	net.Listener
	gate *Gate
}

func (g *Gate) wrap(l net.Listener) net.Listener { return &gated{Listener: l, gate: g} }

func (l *gated) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, gate: l.gate, peer: peerOf(raw)}
		if l.gate.enter(c) {
			return c, nil
		}
		// What is written into a new connection waits for nobody. With TLS
		// it is no answer, but nobody who speaks it reads it either.
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = raw.Write([]byte(tooMany))
		_ = raw.Close()
	}
}

const tooMany = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 1\r\nConnection: close\r\n" +
	"Content-Length: 52\r\n\r\nToo many connections. Close some before you go on.\r\n"

// enter counts a new connection, and closes an idle one for it if need be.
func (g *Gate) enter(c *conn) bool {
	addr, known := origin(c.peer.String())
	free := !known || g.Trusted.hold(addr)
	if known {
		c.addr = counted(addr)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == nil {
		g.by = map[netip.Addr]*party{}
	}
	p := g.by[c.addr]
	if p == nil {
		p = &party{}
	}
	switch {
	case !free && p.open >= g.PerAddress:
		if !g.evict(p) {
			g.refuse(c)
			return false
		}
	case g.open >= g.Total:
		if !g.evict(g.largest()) {
			g.refuse(c)
			return false
		}
	}
	g.by[c.addr] = p // evict may have dropped it
	p.open++
	g.open++
	c.idle = p.idle.PushBack(c)
	return true
}

// largest is the party with the most connections of which one is idle.
func (g *Gate) largest() *party {
	var most *party
	for _, p := range g.by {
		if p.idle.Len() > 0 && (most == nil || p.open > most.open) {
			most = p
		}
	}
	return most
}

// evict closes the connection that has been idle for longest.
func (g *Gate) evict(p *party) bool {
	if p == nil || p.idle.Len() == 0 {
		return false
	}
	c := p.idle.Front().Value.(*conn)
	g.forget(c)
	c.evicted = true
	_ = c.Conn.Close() // the server sees its end and calls Close again
	return true
}

func (g *Gate) refuse(c *conn) {
	if now := time.Now(); g.Refused != nil && now.Sub(g.told) >= time.Minute {
		g.told = now
		go g.Refused(c.peer.String())
	}
}

func (g *Gate) leave(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.evicted {
		g.forget(c)
	}
}

// forget stops counting a connection. The lock is held.
func (g *Gate) forget(c *conn) {
	p := g.by[c.addr]
	if c.idle != nil {
		p.idle.Remove(c.idle)
		c.idle = nil
	}
	g.open--
	if p.open--; p.open == 0 {
		delete(g.by, c.addr)
	}
}

// State is for http.Server's ConnState: it tells which connections are idle.
func (g *Gate) State(nc net.Conn, s http.ConnState) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	c, ok := nc.(*conn)
	if !ok || s != http.StateActive && s != http.StateIdle {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.by[c.addr]
	switch {
	case c.evicted || p == nil:
	case s == http.StateActive && c.idle != nil:
		p.idle.Remove(c.idle)
		c.idle = nil
	case s == http.StateIdle && c.idle == nil:
		c.idle = p.idle.PushBack(c)
	}
}
