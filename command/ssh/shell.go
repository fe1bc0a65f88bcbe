package ssh

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// maxOutput bounds what is kept of each stream of one command.
const maxOutput = 16 << 20

// shell speaks with one remote shell over its three streams. One exchange at
// a time; see Host.
type shell struct {
	mark     string
	n        int // of the exchange
	root     bool
	out, err *stream

	writing sync.Mutex // guards stdin: x/crypto's races with its own Close
	stdin   io.WriteCloser

	once  sync.Once
	dead  chan struct{} // closed when the shell is of no more use
	cause error         // why; set before dead is closed
	hang  func()        // cuts the connection
}

// stream is one of the shell's outputs with the goroutine that reads it.
type stream struct {
	mu     sync.Mutex // guards cut
	cut    cutter
	frames chan frame
	ended  chan struct{} // closed when all that came has been taken
}

// newShell takes over the streams. hang is called once, when the shell is
// given up.
func newShell(stdin io.WriteCloser, stdout, stderr io.Reader, hang func()) *shell {
	var random [16]byte
	rand.Read(random[:]) // never fails: see its documentation
	s := &shell{
		mark:  "onevolume-" + hex.EncodeToString(random[:]),
		stdin: stdin,
		dead:  make(chan struct{}),
		hang:  hang,
	}
	s.out, s.err = s.read(stdout), s.read(stderr)
	return s
}

// read starts reading one stream. Both must be read at all times: they share
// one window, and a full one stops the other.
func (s *shell) read(r io.Reader) *stream {
	st := &stream{
		cut:    cutter{mark: []byte(s.mark), limit: maxOutput},
		frames: make(chan frame, 1),
		ended:  make(chan struct{}),
	}
	go func() {
		defer close(st.ended)
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if cutErr := st.take(buf[:n]); cutErr != nil {
				s.giveUp(cutErr)
				return
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = errors.New("the connection or the remote shell ended")
				}
				s.giveUp(err)
				return
			}
		}
	}()
	return st
}

// take cuts what arrived.
func (st *stream) take(p []byte) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	var unasked error
	err := st.cut.write(p, func(f frame) {
		select {
		case st.frames <- f:
		default:
			unasked = fmt.Errorf("the shell answered unasked: %q", f.words)
		}
	})
	return errors.Join(err, unasked)
}

// onLine sets who is told of lines. After onLine(nil) nobody is.
func (st *stream) onLine(f func(string)) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.cut.line = f
}

// giveUp ends the shell's use. The first cause stays.
func (s *shell) giveUp(cause error) {
	s.once.Do(func() {
		s.cause = cause
		close(s.dead)
		s.hang()
	})
}

// eof tells the shell that nothing more comes, unless a text is just on its
// way there.
func (s *shell) eof() {
	if s.writing.TryLock() {
		defer s.writing.Unlock()
		s.stdin.Close()
	}
}

// gone says whether the shell was given up, and why.
func (s *shell) gone() error {
	select {
	case <-s.dead:
		return s.cause
	default:
		return nil
	}
}

// answer is what an exchange gave.
type answer struct {
	out, err frame
	code     int
	rest     []string // further words of the trailer
}

// exchange sends text, which ends with a trailer of number n, and waits for
// both streams' frames. When it fails, the shell has been given up.
func (s *shell) exchange(ctx context.Context, text string, n int, line func(string)) (answer, error) {
	s.out.onLine(line)
	defer s.out.onLine(nil)
	go func() {
		s.writing.Lock()
		defer s.writing.Unlock()
		if _, err := io.WriteString(s.stdin, text); err != nil {
			s.giveUp(fmt.Errorf("the connection ended: %w", err))
		}
	}()
	var a answer
	for need := 2; need > 0; need-- {
		select {
		case a.out = <-s.out.frames:
		case a.err = <-s.err.frames:
		case <-ctx.Done():
			s.giveUp(context.Cause(ctx))
			return a, s.cause
		case <-s.dead:
			// The answer may have come together with the end.
			select {
			case a.out = <-s.out.frames:
			case a.err = <-s.err.frames:
			default:
				return a, s.cause
			}
		}
	}
	if err := a.parse(n); err != nil {
		s.giveUp(err)
		return a, err
	}
	return a, nil
}

// parse reads the words of the trailers: "n code …" and "n".
func (a *answer) parse(n int) error {
	number := strconv.Itoa(n)
	if len(a.out.words) < 2 || a.out.words[0] != number || len(a.err.words) != 1 || a.err.words[0] != number {
		return fmt.Errorf("the shell answered out of turn: %q and %q, not %s",
			strings.Join(a.out.words, " "), strings.Join(a.err.words, " "), number)
	}
	code, err := strconv.Atoi(a.out.words[1])
	if err != nil || code < 0 || code > 255 {
		return fmt.Errorf("the shell gave no exit status: %q", a.out.words)
	}
	a.code, a.rest = code, a.out.words[2:]
	return nil
}
