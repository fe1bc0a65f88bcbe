package passthrough

import (
	"bytes"
	"net/http"
	"time"

	"onevolume/xmlrpc/wire"
)

// observed passes an answer on, gives a slow client up, and keeps the answer's
// beginning to see whether oned knew the session.
type observed struct {
	http.ResponseWriter
	control *http.ResponseController
	start   time.Time
	status  int
	bytes   int64
	failed  bool // there was no answer of oned's
	head    []byte
}

// looked is how much of an answer is kept: it holds the code of a refusal.
const looked = 1 << 10

// Unwrap is for http.ResponseController.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

func (o *observed) WriteHeader(status int) {
	if status >= 200 {
		o.status, o.start = status, time.Now()
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.WriteHeader(http.StatusOK)
	}
	o.head = append(o.head, b[:min(len(b), looked-len(o.head))]...)
	taken := time.Duration(o.bytes+int64(len(b))) * time.Second / slowRate
	_ = o.control.SetWriteDeadline(o.start.Add(slowTime + taken))
	n, err := o.ResponseWriter.Write(b)
	o.bytes += int64(n)
	return n, err
}

func (o *observed) passed() wire.Passed {
	p := wire.Passed{Status: o.status, Bytes: o.bytes, Verdict: o.verdict()}
	if o.failed {
		p.Status = http.StatusBadGateway
	}
	return p
}

// verdict reads oned's answer: true first, or false with a text and a code. A
// text has no tags in it.
func (o *observed) verdict() wire.Verdict {
	if o.failed || o.status != http.StatusOK {
		return wire.Unsure
	}
	_, rest, ok := bytes.Cut(o.head, []byte("<boolean>"))
	switch {
	case ok && bytes.HasPrefix(rest, []byte("1")):
		return wire.Known
	case ok && bytes.Contains(rest, []byte("<i4>256</i4>")):
		return wire.Refused
	}
	return wire.Unsure
}
