// Package passthrough puts oned behind our own endpoint: calls of methods that
// are not ours go on to it as they came, and its answers come back likewise,
// byte by byte. What oned cannot bear is kept from it: idle connections, more
// clients at once than it serves, requests without a length, and clients that
// are slow.
package passthrough

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"onevolume/xmlrpc/wire"
)

// Config says where oned is and how much of it may be used.
type Config struct {
	// Endpoint is http://host:port/RPC2 or https://…
	Endpoint string
	// TLS is for https; nil means the system's certificates.
	TLS *tls.Config
	// Body is how many bytes a request may have; 32 MiB when zero. oned would
	// take 1 GiB, and several times that of memory before it knows who calls.
	Body int64
	// InFlight is how many calls may be under way at once; 8 when zero. oned
	// serves 15 connections for all its clients together.
	InFlight int
}

const (
	defaultBody     = 32 << 20
	defaultInFlight = 8
	// held is how much of a body must have come before oned is connected:
	// the whole of nearly all.
	held = 16 << 10
	// unmeasured bounds a body without a length: it is kept until its length
	// is known, as oned refuses others. At most measuring are kept at once.
	unmeasured = 1 << 20
	measuring  = 16
	// patience is how long a call waits for others before it is refused.
	patience = 30 * time.Second
	// answerTime is how long oned may take until its answer begins.
	answerTime = 5 * time.Minute
	// slowTime, and a second more for each slowRate bytes, is what a client
	// may take to send a request and to take an answer.
	slowTime = 30 * time.Second
	slowRate = 64 << 10
	// stallTime is how long a client may send nothing of its request.
	stallTime = 5 * time.Second
)

// Proxy passes calls on. It may be used by many at once.
type Proxy struct {
	endpoint string // as errors name it: without a password
	name     string // in Via, by which a loop is seen
	body     int64
	stall    time.Duration // stallTime, but in tests
	client   *http.Client
	url      *url.URL
	proxy    *httputil.ReverseProxy
	slots    *slots
	chunked  chan struct{}
	asks     chan struct{}
}

var _ wire.Beyond = (*Proxy)(nil)

// New checks the configuration; it connects to nothing.
func New(c Config) (*Proxy, error) {
	rpc, err := wire.NewClient(wire.Config{Endpoint: c.Endpoint, TLS: c.TLS})
	if err != nil {
		return nil, fmt.Errorf("oned: %w", err)
	}
	if c.Body == 0 {
		c.Body = defaultBody
	}
	if c.InFlight == 0 {
		c.InFlight = defaultInFlight
	}
	p := &Proxy{endpoint: rpc.Endpoint, name: "onevolumed-" + rand.Text()[:8], body: c.Body, stall: stallTime, client: rpc.HTTP, url: rpc.URL(),
		slots: newSlots(c.InFlight), chunked: make(chan struct{}, measuring), asks: make(chan struct{}, askAtOnce)}
	if t, ok := rpc.HTTP.Transport.(*http.Transport); ok {
		t.ResponseHeaderTimeout = answerTime
	}
	p.proxy = &httputil.ReverseProxy{
		Transport:  rpc.HTTP.Transport,
		BufferPool: &buffers{},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL, r.Out.Host = p.url, p.url.Host
			// The client has been told to go on; oned never says so, and would
			// be waited for. Nor does it change the protocol.
			for _, name := range []string{"Expect", "Upgrade", "Connection"} {
				r.Out.Header.Del(name)
			}
			r.Out.Header["Via"] = append(r.Out.Header["Via"], "1.1 "+p.name)
			r.SetXForwarded()
		},
		ErrorHandler: p.failed,
		ErrorLog:     log.New(io.Discard, "", 0), // what is lost here is in the record of the call
	}
	return p, nil
}

// Limit is how many bytes the body of a call may have.
func (p *Proxy) Limit() int64 { return p.body }

// buffers are what answers are copied through.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return *buf
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buf []byte) { b.pool.Put(&buf) }

// errBusy is the refusal of a call that waited too long for others.
var errBusy = errors.New("is busy with other calls; try again")
