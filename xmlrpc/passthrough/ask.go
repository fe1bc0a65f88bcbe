package passthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"onevolume/xmlrpc/wire"
)

// Answers that are read, and not only passed on, are kept in memory: these
// bound how large one may be, and how many there are.
const (
	askLimit    = 16 << 20
	askElements = 500_000
	askAtOnce   = 2
)

// Ask makes one call of oned's. The error is a *wire.Fault that oned answered,
// or says that it does not answer and whether the call may have been carried
// out.
func (p *Proxy) Ask(ctx context.Context, c wire.Call) (any, error) {
	var body bytes.Buffer
	if err := wire.WriteCall(&body, c); err != nil {
		return nil, err
	}
	if err := enter(ctx, p.asks); err != nil {
		return nil, errors.New(p.text(err, false))
	}
	defer func() { <-p.asks }()
	release, err := p.slots.take(ctx, wire.Peer(ctx))
	if err != nil {
		return nil, errors.New(p.text(err, false))
	}
	defer release()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { sent.Store(i.Err == nil) },
	})
	v, err := p.ask(ctx, &body)
	var fault *wire.Fault
	if err != nil && !errors.As(err, &fault) {
		return nil, errors.New(p.text(err, sent.Load()))
	}
	return v, err
}

func (p *Proxy) ask(ctx context.Context, body *bytes.Buffer) (any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), body)
	if err != nil {
		return nil, errors.New("the endpoint is not a URL")
	}
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("Via", "1.1 "+p.name)
	resp, err := p.client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the rest of its text is the endpoint again
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s", resp.Status)
	}
	return wire.ReadResponse(resp.Body, wire.Limits{Body: askLimit, Elements: askElements})
}
