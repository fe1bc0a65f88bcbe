package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Times and sizes of HTTPServer. oned gives a client 15 s as well; what it
// lacks is a limit on how many may wait, which Go does not need.
const (
	headerTime  = 5 * time.Second
	requestTime = 15 * time.Second
	writeTime   = 30 * time.Second
	idleTime    = 2 * time.Minute
	headerSize  = 16 << 10
)

// HTTPServer is an HTTP server with limits for clients that are slow or
// talkative. It puts none on how long a method may run: an attach takes its
// time. An answer must be taken within 30 s. HTTP/2, which no client of
// XML-RPC speaks, is not offered.
func HTTPServer(addr string, h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Server{
		Addr:              addr,
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerSize,
		Protocols:         &protocols,
	}
}

// ServeHTTP is HTTP as oned has it, with these differences: a connection is
// kept, a chunked body is read, a body that is too large gets 413 and not
// 500, and HEAD gets no body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := s.Path
	if path == "" {
		path = Path
	}
	switch {
	case r.URL.Path != path:
		refuse(w, http.StatusNotFound, fmt.Sprintf("This XML-RPC server responds to only one URI path.  "+
			"It's not the one you requested: '%s'.  (Typically, it's '%s')", r.URL.Path, path))
		return
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", http.MethodPost)
		w.Header().Set("Content-Length", "0")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "POST is the only HTTP method this server understands")
		return
	}
	limits := s.Limits.orDefault()
	most := limits.Body
	if s.Beyond != nil {
		most = max(most, s.Beyond.Limit())
	}
	if r.ContentLength > most {
		tooLarge(w, r, false)
		return
	}
	in := readers.Get().(*bufio.Reader)
	in.Reset(r.Body)
	start := time.Now()
	if call, ok, err := short(r, in, limits); err != nil || ok && !s.foreign(call.Method) {
		defer giveBack(in)
		if err != nil {
			s.unreadable(w, r, start, err)
			return
		}
		s.answer(w, r, call)
		return
	}
	if s.Beyond != nil {
		if h, ok, err := readHead(in); err == nil && ok && s.foreign(h.Method) {
			// Whoever reads the body may do so beyond this call: the reader
			// is not used again.
			s.pass(w, r, in, h)
			return
		}
	}
	defer giveBack(in)
	if r.ContentLength > limits.Body {
		tooLarge(w, r, s.Beyond != nil)
		return
	}
	call, release, err := s.read(r, in, limits)
	defer release()
	if err != nil {
		s.unreadable(w, r, start, err)
		return
	}
	s.answer(w, r, call)
}

// answer serves a call and sends what comes of it.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, call Call) {
	a := s.serve(context.WithValue(r.Context(), peerKey{}, r.RemoteAddr), call)
	s.respond(w, a)
	a.recycle()
}

// tooLarge refuses a body by its length.
func tooLarge(w http.ResponseWriter, r *http.Request, begun bool) {
	w.Header().Set("Connection", "close")
	refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("XML-RPC request too large (%d bytes)", r.ContentLength))
	if begun || r.Header.Get("Expect") == "" {
		hearOut(w, r)
	}
}

// Bounds of hearOut.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 16 << 20
)

// hearOut takes what the client of a refused call still sends, for a while:
// most clients look for the answer when they have sent everything, and on a
// connection that was closed before that they find a reset in its place.
func hearOut(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.Flush() // what he looks for
	_ = control.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, r.Body, lingerBytes)
}

// unreadable answers a body that holds no call.
func (s *Server) unreadable(w http.ResponseWriter, r *http.Request, start time.Time, err error) {
	if fault, ok := errors.AsType[*Fault](err); ok {
		s.end(s.begin(r.RemoteAddr, Call{}), start, failed(fault))
		if fault.Code == FaultTooLarge {
			w.Header().Set("Connection", "close")
			defer hearOut(w, r)
		}
		s.respond(w, failed(fault))
		return
	}
	if errors.Is(err, errEmpty) {
		refuse(w, http.StatusBadRequest, "According to your content-length HTTP header, your request is empty (zero length)")
		return
	}
	w.Header().Set("Connection", "close")
	if errors.Is(err, errBusy) {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, "The server is busy with large requests. Try again.")
		return
	}
	if slow, ok := errors.AsType[net.Error](err); ok && slow.Timeout() {
		refuse(w, http.StatusRequestTimeout, "Timed out waiting for client to send its POST data")
		return
	}
	refuse(w, http.StatusBadRequest, "The request's body ended early")
}

// respond writes the answer in one piece: its length is known, and an answer
// that cannot be written as XML becomes a fault.
func (s *Server) respond(w http.ResponseWriter, a answer) {
	b := []byte(Buffer(0))
	if a.fault == nil {
		var err error
		if b, err = appendAnswer(b, a.value); err != nil {
			a.fault = faultf(FaultInternal, "The method's result has no form in XML-RPC")
		}
	}
	if a.fault != nil {
		b = appendFault(b[:0], a.fault)
	}
	w.Header()["Content-Type"] = textXML
	send(w, http.StatusOK, b)
	recycle(b)
}

var textXML = []string{"text/xml; charset=utf-8"}

// refuse answers on the level of HTTP, in oned's HTML.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	send(w, status, fmt.Appendf(nil, "<HTML><HEAD><TITLE>Error %d</TITLE></HEAD><BODY><H1>Error %[1]d</H1><P>%s</P></BODY></HTML>",
		status, html.EscapeString(why)))
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	// A recorder in a test has no deadline; nothing else fails here. net/http
	// sends what there is when the handler has returned, and then lifts the
	// deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of the server's
}
