package ssh

import (
	"bytes"
	"fmt"
	"strings"
)

// maxTrailer bounds what stands between a marker and the end of its line.
const maxTrailer = 256

// maxLine is the length at which a line without an end is given to OnLine in
// pieces.
const maxLine = 1 << 20

// frame is what one command wrote to one stream.
type frame struct {
	data  []byte
	over  bool     // there was more than the limit, which is lost
	words []string // what the shell wrote behind the marker
}

// cutter cuts a stream of the shell's output at the markers. A marker is 128
// random bits and a line of words behind it; all that stands before it, be it
// text or not, with a final newline or without, is the command's own.
type cutter struct {
	mark  []byte
	limit int
	line  func(string) // may be nil

	data   []byte // of the frame that is under way
	over   bool
	pend   []byte // not yet known to be data: it may begin a marker
	marked bool   // pend is what follows a marker
	part   []byte // of a line, for line
}

// write takes what arrived and gives each frame that it completes to done.
func (c *cutter) write(p []byte, done func(frame)) error {
	c.pend = append(c.pend, p...)
	for {
		if c.marked {
			i := bytes.IndexByte(c.pend, '\n')
			if i < 0 {
				if len(c.pend) > maxTrailer {
					return fmt.Errorf("the shell's own words are garbled: %.80q", c.pend)
				}
				return nil
			}
			done(c.take(strings.Fields(string(c.pend[:i]))))
			c.pend = c.pend[i+1:]
		}
		i := bytes.Index(c.pend, c.mark)
		if i < 0 {
			keep := overlap(c.pend, c.mark)
			c.emit(c.pend[:len(c.pend)-keep])
			c.pend = append(c.pend[:0], c.pend[len(c.pend)-keep:]...)
			return nil
		}
		c.emit(c.pend[:i])
		c.pend = c.pend[i+len(c.mark):]
		c.marked = true
	}
}

// take ends the frame.
func (c *cutter) take(words []string) frame {
	if c.line != nil && len(c.part) > 0 {
		c.line(string(c.part))
	}
	f := frame{data: c.data, over: c.over, words: words}
	c.data, c.over, c.part, c.marked = nil, false, nil, false
	return f
}

// emit adds data to the frame.
func (c *cutter) emit(p []byte) {
	room := c.limit - len(c.data)
	if len(p) > room {
		c.over = true
	}
	c.data = append(c.data, p[:min(len(p), room)]...)
	if c.line == nil {
		return
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.part = append(c.part, p...)
			if len(c.part) < maxLine {
				return
			}
			p = nil
		} else {
			c.part = append(c.part, p[:i]...)
			p = p[i+1:]
		}
		c.line(string(c.part))
		c.part = c.part[:0]
	}
}

// overlap is the length of the longest end of p that begins mark.
func overlap(p, mark []byte) int {
	for n := min(len(p), len(mark)-1); n > 0; n-- {
		if bytes.HasSuffix(p, mark[:n]) {
			return n
		}
	}
	return 0
}
