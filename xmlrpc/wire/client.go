package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Config is how a Client reaches its server. Only Endpoint must be set.
type Config struct {
	// Endpoint is http://host:port/RPC2, https://… or unix:///path/to/socket.
	Endpoint string

	// KeepAlive keeps connections for later calls. It must stay off towards
	// oned, which closes each and freezes for everybody when 15 are idle.
	KeepAlive bool

	// InFlight is how many calls may be under way at once; others wait.
	// oned serves 15 at most, for all its clients. Zero means no limit.
	InFlight int

	// Response is how many bytes an answer may have; 64 MiB when zero, which
	// holds the information on 30,000 VMs or images.
	Response int64

	// TLS is for https; nil means the system's certificates.
	TLS *tls.Config
}

// Client calls the methods of one server. It may be used by many at once.
type Client struct {
	Endpoint string       // as errors name it: without a password
	HTTP     *http.Client // follows no redirection

	url      string
	slots    chan struct{}
	response int64
}

const (
	dialTime = 10 * time.Second
	// keepTime is below the server's own, so that a call is seldom written
	// to a connection that is being closed: its outcome would be unknown.
	keepTime   = idleTime / 4
	maxAnswer  = 64 << 20
	agent      = "onevolume"
	unixScheme = "unix"
)

// NewClient checks the configuration; it connects to nothing.
func NewClient(c Config) (*Client, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		// The error of url.Parse quotes what it was given, passwords included.
		return nil, errors.New("the endpoint is not a URL such as http://localhost:2633/RPC2")
	}
	dialer := &net.Dialer{Timeout: dialTime}
	dial := dialer.DialContext
	shown := u.Redacted()
	switch {
	case u.Scheme == unixScheme && u.Path != "" && u.Host == "":
		socket := u.Path
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
		u = &url.URL{Scheme: "http", Host: "localhost", Path: Path}
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return nil, fmt.Errorf("endpoint %q: not a URL such as http://localhost:2633/RPC2 or unix:///run/onevolume.sock", shown)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		TLSClientConfig:       c.TLS,
		TLSHandshakeTimeout:   dialTime,
		DisableKeepAlives:     !c.KeepAlive,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       keepTime,
		ExpectContinueTimeout: time.Second,
	}
	client := &Client{Endpoint: shown, url: u.String(), response: c.Response, HTTP: &http.Client{
		Transport: transport,
		// Whoever redirects a call gets a session that is not for him.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if client.response == 0 {
		client.response = maxAnswer
	}
	if c.InFlight > 0 {
		client.slots = make(chan struct{}, c.InFlight)
	}
	return client, nil
}

// Call calls a method and returns the value of its answer; integers come as
// int, whatever their size on the wire, and base64 as the string it was sent
// as. Parameters may be what a Call holds, and []string. Integers go out as
// <int>, the only ones that oned takes, and must fit in 32 bits.
//
// The error is *APIError when the method refused, *Fault when the call was
// none for the server, and *TransportError when there is no answer.
func (c *Client) Call(ctx context.Context, method string, params ...any) (any, error) {
	body, err := encode(method, params)
	if err != nil {
		return nil, &TransportError{Endpoint: c.Endpoint, Method: method, Err: err}
	}
	if c.slots != nil {
		select {
		case c.slots <- struct{}{}:
			defer func() { <-c.slots }()
		case <-ctx.Done():
			return nil, &TransportError{Endpoint: c.Endpoint, Method: method, Err: ctx.Err()}
		}
	}
	answer, sent, err := c.post(ctx, body)
	if err != nil {
		return nil, &TransportError{Endpoint: c.Endpoint, Method: method, Sent: sent, Err: err}
	}
	v, err := decode(answer)
	if err != nil {
		if _, ok := errors.AsType[*Fault](err); ok {
			return nil, err
		}
		return nil, &TransportError{Endpoint: c.Endpoint, Method: method, Sent: true, Err: err}
	}
	if strings.HasPrefix(method, "system.") {
		return v, nil
	}
	return result(c.Endpoint, method, v)
}

// post sends one request and reads its answer. sent says whether the server
// may have carried it out.
func (c *Client) post(ctx context.Context, body []byte) (answer []byte, sent bool, err error) {
	// Set by the transport's goroutine as soon as there is a connection to
	// write to; before that nothing can have been read by anyone.
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	// A bytes.Reader makes net/http send a Content-Length: oned refuses
	// chunked requests.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, false, errors.New("the endpoint is not a URL")
	}
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("User-Agent", agent)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the rest of its text is the endpoint again
		}
		return nil, connected.Load(), err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// Below 500 the server has not looked at the call.
		return nil, resp.StatusCode >= 500, fmt.Errorf("HTTP status %s", resp.Status)
	}
	answer, err = io.ReadAll(io.LimitReader(resp.Body, c.response+1))
	if err == nil && int64(len(answer)) > c.response {
		err = fmt.Errorf("the answer has more than %d bytes", c.response)
	}
	return answer, true, err
}

// URL is where calls go, for who brings bodies of his own; the path of a unix
// socket is not in it.
func (c *Client) URL() *url.URL {
	u, err := url.Parse(c.url)
	if err != nil {
		panic(err) // NewClient has parsed it
	}
	return u
}

// Close drops the connections that are kept.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// result takes oned's array apart: [true, value, 0] or [false, message, code,
// object, …].
func result(endpoint, method string, v any) (any, error) {
	list, _ := v.([]any)
	if len(list) < 2 {
		return nil, &TransportError{Endpoint: endpoint, Method: method, Sent: true, Err: errors.New("the answer has not OpenNebula's form")}
	}
	if ok, is := list[0].(bool); !is {
		return nil, &TransportError{Endpoint: endpoint, Method: method, Sent: true, Err: errors.New("the answer has not OpenNebula's form")}
	} else if ok {
		return list[1], nil
	}
	api := &APIError{Method: method, Code: codeInternal, ObjectID: noObject}
	api.Message, _ = list[1].(string)
	if len(list) > 2 {
		api.Code, _ = list[2].(int)
	}
	if len(list) > 3 {
		api.ObjectID, _ = list[3].(int)
	}
	return nil, api
}
