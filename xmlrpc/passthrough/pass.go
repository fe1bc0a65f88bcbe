package passthrough

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"onevolume/xmlrpc/wire"
)

// call is what is known of one request on its way.
type call struct {
	body   *watched
	sent   atomic.Bool // the whole request was written to oned
	answer *observed
}

type callKey struct{}

// Pass sends a request on to oned and its answer back. A client that goes
// away ends the connection to oned too.
func (p *Proxy) Pass(w http.ResponseWriter, r *http.Request, _ wire.Head) wire.Passed {
	seen := &observed{ResponseWriter: w, control: http.NewResponseController(w), start: time.Now()}
	length := time.Duration(max(r.ContentLength, 0)) * time.Second / slowRate
	if slices.ContainsFunc(r.Header.Values("Via"), func(v string) bool { return strings.Contains(v, p.name) }) {
		p.fault(seen, fmt.Sprintf("one_xmlrpc, or ONE_XMLRPC, names onevolumed itself: %s must be oned's endpoint", p.endpoint))
		return seen.passed()
	}
	c := &call{body: &watched{ReadCloser: r.Body, control: seen.control, stall: p.stall, until: seen.start.Add(slowTime + length)}, answer: seen}
	ctx := httptrace.WithClientTrace(context.WithValue(r.Context(), callKey{}, c), &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { c.sent.Store(i.Err == nil) },
	})
	r = r.WithContext(ctx)
	done, err := p.receive(r, c)
	defer done()
	if err != nil {
		p.refuse(seen, r, err)
		return seen.passed()
	}
	release, err := p.slots.take(ctx, r.RemoteAddr)
	if err != nil {
		p.fault(seen, p.text(err, false))
		return seen.passed()
	}
	defer release()
	p.proxy.ServeHTTP(seen, r)
	return seen.passed()
}

var (
	errNoLength = fmt.Errorf("oned takes no request of more than %d bytes without a Content-Length", unmeasured)
	errTooMany  = errors.New("too many requests without a Content-Length at once; try again")
)

// receive waits for the beginning of a body, so that a slow client holds no
// connection to oned, and for the whole of one whose length is not known.
func (p *Proxy) receive(r *http.Request, c *call) (done func(), err error) {
	done = func() {}
	if r.ContentLength >= 0 {
		in := bufio.NewReaderSize(c.body, int(min(max(r.ContentLength, 16), held)))
		r.Body = &whole{in, c.body}
		_, err = in.Peek(int(min(r.ContentLength, held)))
		return done, err
	}
	select {
	case p.chunked <- struct{}{}:
		done = func() { <-p.chunked }
	default:
		return done, errTooMany
	}
	body, err := io.ReadAll(io.LimitReader(c.body, unmeasured+1))
	switch {
	case err != nil:
		return done, err
	case len(body) > unmeasured:
		return done, errNoLength
	}
	r.Body, r.ContentLength, r.TransferEncoding = &whole{bytes.NewReader(body), c.body}, int64(len(body)), nil
	return done, nil
}

// refuse answers a request that did not come whole.
func (p *Proxy) refuse(w http.ResponseWriter, _ *http.Request, err error) {
	status, text := http.StatusBadRequest, "The request's body ended early"
	slow, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errNoLength):
		status, text = http.StatusLengthRequired, err.Error()
	case errors.Is(err, errTooMany):
		status, text = http.StatusServiceUnavailable, err.Error()
		w.Header().Set("Retry-After", "1")
	case isNet && slow.Timeout():
		status, text = http.StatusRequestTimeout, "Timed out waiting for client to send its POST data"
	}
	w.Header().Set("Connection", "close")
	http.Error(w, text, status)
}

// failed answers when there is no answer of oned's.
func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	c := r.Context().Value(callKey{}).(*call)
	if own := c.body.failure(); own != nil {
		p.refuse(w, r, own)
		return
	}
	p.fault(w, p.text(err, c.sent.Load()))
}

// text says that oned does not answer, and whether the call may have been
// carried out all the same.
func (p *Proxy) text(err error, sent bool) string {
	if errors.Is(err, errBusy) {
		return fmt.Sprintf("oned (%s) %v. The call was not carried out.", p.endpoint, err)
	}
	outcome := "The call was not carried out."
	if sent {
		outcome = "The call may have been carried out: look before you call again."
	}
	return fmt.Sprintf("oned (%s) does not answer: %v. %s", p.endpoint, err, outcome)
}

// fault is an answer that every client of XML-RPC shows to its user.
func (p *Proxy) fault(w http.ResponseWriter, text string) {
	if seen, ok := w.(*observed); ok {
		seen.failed = true
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_ = wire.WriteFault(w, &wire.Fault{Code: wire.FaultInternal, Message: text})
}

// whole is a body of which something was read ahead.
type whole struct {
	io.Reader
	io.Closer
}

// watched is a request's body as the client sends it. It gives up a client
// that stalls, and keeps the error with which it ended.
type watched struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	until   time.Time // when it must have come whole
	ended   bool
	err     atomic.Pointer[error]
}

func (b *watched) Read(to []byte) (int, error) {
	if !b.ended {
		deadline := time.Now().Add(b.stall)
		if deadline.After(b.until) {
			deadline = b.until
		}
		_ = b.control.SetReadDeadline(deadline) // a recorder in a test has none
	}
	n, err := b.ReadCloser.Read(to)
	if errors.Is(err, io.EOF) && !b.ended {
		// From here on net/http reads to see whether the client is there.
		b.ended = true
		_ = b.control.SetReadDeadline(time.Time{})
	} else if err != nil && !b.ended {
		b.err.Store(&err)
	}
	return n, err
}

func (b *watched) failure() error {
	if err := b.err.Load(); err != nil {
		return *err
	}
	return nil
}
