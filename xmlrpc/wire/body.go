package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// A body that fits into a reader's buffer, as nearly all do, costs nothing
// more. The others share this much memory until they are parsed, of which one
// address may have a part; and this many are served at once, as what a body
// becomes is several times its size.
const (
	largeBodies  = 16 << 20
	largePart    = largeBodies / 4
	largeCalls   = 4
	firstReading = 16 << 10
)

// errBusy is the answer to a large body for which there is no room now.
var errBusy = errors.New("too many large requests at once")

// readers are buffers of headSize.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headSize) }}

func giveBack(in *bufio.Reader) {
	in.Reset(nil)
	readers.Put(in)
}

// short reads a call that fits into a reader and is written as nearly all
// are. Of another one, for which ok is false, nothing is taken. The error is
// the body's own.
func short(r *http.Request, in *bufio.Reader, limits Limits) (call Call, ok bool, err error) {
	if r.ContentLength <= 0 || r.ContentLength >= headSize {
		return Call{}, false, nil
	}
	body, err := in.Peek(int(r.ContentLength))
	if err == nil {
		call, ok = scanCall(body, limits)
	}
	return call, ok, err
}

// memory counts what large bodies hold, and the calls made of them.
type memory struct {
	mu    sync.Mutex
	used  int64
	by    map[string]int64
	slots chan struct{}

	// One is parsed at a time: small calls want a processor meanwhile.
	parsing sync.Mutex
}

// take counts n bytes more for an address; false when there is no room.
func (m *memory) take(peer string, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.by == nil {
		m.by = map[string]int64{}
	}
	if m.used+n > largeBodies || m.by[peer]+n > largePart {
		return false
	}
	m.used += n
	m.by[peer] += n
	return true
}

func (m *memory) give(peer string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.used -= n
	if m.by[peer] -= n; m.by[peer] <= 0 {
		delete(m.by, peer)
	}
}

// slot waits until a large call may be parsed and served.
func (m *memory) slot(ctx context.Context) (release func(), err error) {
	m.mu.Lock()
	if m.slots == nil {
		m.slots = make(chan struct{}, largeCalls)
	}
	slots := m.slots
	m.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, errBusy
	}
}

// read reads the call in a body. release must be called when it was served,
// also with an error.
func (s *Server) read(r *http.Request, in *bufio.Reader, limits Limits) (call Call, release func(), err error) {
	nothing := func() {}
	if _, err := in.Peek(headSize); err != nil && !errors.Is(err, io.EOF) {
		return Call{}, nothing, err
	} else if err != nil {
		body, _ := in.Peek(in.Buffered())
		if call, ok := scanCall(body, limits); ok {
			return call, nothing, nil
		}
		call, err := ReadCall(in, limits)
		return call, nothing, err
	}
	peer, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		peer = r.RemoteAddr
	}
	body, err := s.large.receive(peer, in, limits.Body)
	defer func() { s.large.give(peer, int64(cap(body))) }()
	if err != nil {
		return Call{}, nothing, err
	}
	release, err = s.large.slot(r.Context())
	if err != nil {
		return Call{}, nothing, err
	}
	s.large.parsing.Lock()
	defer s.large.parsing.Unlock()
	call, err = ParseCall(body, limits)
	return call, release, err
}

// receive reads a whole body of at most so many bytes. What it returns was
// taken for the peer, by its capacity, also with an error.
func (m *memory) receive(peer string, in io.Reader, most int64) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			size := min(max(2*int64(cap(body)), firstReading), most+1)
			if !m.take(peer, size-int64(cap(body))) {
				return body, errBusy
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := in.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return body, faultf(FaultTooLarge, "XML-RPC request too large (more than %d bytes)", most)
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, err
		}
	}
}
