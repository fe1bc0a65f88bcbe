package events

import (
	"cmp"
	"errors"
	"net"
)

// A message of oned's has two frames, of a few kB together; of a VM with much
// in its template some hundred.
const (
	largest = 16 << 20 // bytes of a message
	frames  = 16       // in a message
)

var errTooLarge = errors.New("a message is too large to be an event of oned's")

// guard reads the frames' headers of ZMTP 3 (RFC 23 of ZeroMQ) as they pass,
// and ends a connection that announces more than an event has: the library
// would make room for it first.
type guard struct {
	net.Conn
	most   uint64 // bytes of a message; largest when zero
	passed int    // bytes of the greeting
	header []byte // of the frame to come, as far as it has come
	left   uint64 // bytes to come of the frame
	frames int    // of the message, so far
	size   uint64 // of these
	err    error
}

// greeting is how many bytes each side sends first.
const greeting = 64

func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	if !g.look(p[:n]) {
		g.err = errTooLarge
		return 0, g.err
	}
	return n, err
}

// look follows the stream, and says whether it may go on.
func (g *guard) look(p []byte) bool {
	for len(p) > 0 {
		switch {
		case g.passed < greeting:
			n := min(greeting-g.passed, len(p))
			g.passed, p = g.passed+n, p[n:]
		case g.left > 0:
			n := min(g.left, uint64(len(p)))
			g.left, p = g.left-n, p[n:]
		default:
			g.header, p = append(g.header, p[0]), p[1:]
			if !g.begin() {
				return false
			}
		}
	}
	return true
}

// begin begins a frame when its header is whole: flags, and a length of one
// byte, or of eight.
func (g *guard) begin() bool {
	const more, long = 1, 2
	flags, whole := g.header[0], 2
	if flags&long != 0 {
		whole = 9
	}
	if len(g.header) < whole {
		return true
	}
	for _, b := range g.header[1:] {
		g.left = g.left<<8 | uint64(b)
	}
	g.header = g.header[:0]
	most := cmp.Or(g.most, largest)
	if g.left > most {
		return false
	}
	g.frames, g.size = g.frames+1, g.size+g.left
	if g.frames > frames || g.size > most {
		return false
	}
	if flags&more == 0 {
		g.frames, g.size = 0, 0
	}
	return true
}
