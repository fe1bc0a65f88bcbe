package assemble

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/config"
	"onevolume/metrics"
	"onevolume/opennebula/events"
	"onevolume/publish"
	"onevolume/store"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// publisher is all that tells others of what changed.
type publisher struct {
	hub     *publish.Hub
	streams *publish.Streams // nil for none
	hooks   []*publish.Webhook
	zeromq  *events.Publisher // nil for none
	socket  net.Listener      // its
	store   *store.Store
	log     *zap.Logger

	stop context.CancelFunc
	work sync.WaitGroup
}

// newPublisher opens what is configured; nothing is told yet.
func newPublisher(ctx context.Context, conf config.Publish, db *store.Store, auth xmlrpc.Authenticator, w *wire.Server, log *zap.Logger) (*publisher, error) {
	p := &publisher{hub: &publish.Hub{Store: db, Log: log}, store: db, log: log}
	if conf.Streams > 0 {
		p.streams = &publish.Streams{Hub: p.hub, Most: conf.Streams, Authenticate: guardedLogin(auth, w)}
	}
	client := &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		// What is signed for one is not for another.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, c := range conf.Webhooks {
		secret, err := c.Secret()
		if err != nil {
			return nil, err
		}
		p.hooks = append(p.hooks, &publish.Webhook{Hub: p.hub, Log: log, URL: c.URL, Secret: secret, HTTP: client})
	}
	if conf.ZeroMQ != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", conf.ListenAddress())
		if err != nil {
			return nil, fmt.Errorf("publish.zeromq: %w", err)
		}
		p.socket, p.zeromq = l, &events.Publisher{}
	}
	return p, nil
}

// guardedLogin authenticates as the methods do, with the same bound on those
// that fail.
func guardedLogin(auth xmlrpc.Authenticator, w *wire.Server) func(ctx context.Context, peer, session string) (onevolume.Caller, error) {
	return func(ctx context.Context, peer, session string) (onevolume.Caller, error) {
		verdict, done := wire.Unsure, func(wire.Verdict) {}
		if w.Guard != nil {
			var err error
			if done, err = w.Guard.Try(peer, session); err != nil {
				return onevolume.Caller{}, onevolume.Errorf(onevolume.Busy, "%w", err)
			}
		}
		defer func() { done(verdict) }()
		who, err := auth.Authenticate(ctx, session)
		switch {
		case err == nil:
			verdict = wire.Known
		case onevolume.CodeOf(err) == onevolume.Unauthenticated:
			verdict = wire.Refused
		}
		return who, err
	}
}

// Start begins to tell.
func (p *publisher) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = cancel
	p.hub.Start()
	for _, h := range p.hooks {
		p.work.Go(func() { h.Run(ctx) })
	}
	if p.zeromq != nil {
		p.log.Info("publishing what changes by ZeroMQ", zap.Stringer("address", p.socket.Addr()))
		p.work.Go(func() { p.zeromq.Serve(p.socket) })
		p.work.Go(func() { p.announce(ctx) })
	}
}

// Stop ends it. What is being sent to a receiver is cut off.
func (p *publisher) Stop() {
	if p.streams != nil {
		p.streams.Close()
	}
	if p.stop != nil {
		p.stop()
		p.hub.Stop()
	}
	p.close()
	p.work.Wait()
}

// close closes the socket of one that may not have been started.
func (p *publisher) close() {
	if p != nil && p.socket != nil {
		_ = p.socket.Close()
		p.zeromq.Close()
	}
}

// announce publishes each change by ZeroMQ.
func (p *publisher) announce(ctx context.Context) {
	const most = 100
	place, err := p.hub.Place(ctx)
	for err == nil {
		var b publish.Batch
		b, err = p.hub.After(ctx, place, most)
		for i := range b.Changes {
			c := &b.Changes[i]
			if p.zeromq.Subscribers() > 0 {
				p.zeromq.Send(events.ObjectKey("VOLUME", int(c.Volume), c.Word()), p.document(ctx, c))
			}
		}
		place = b.Next
	}
}

// document is the volume's as it is now, which may be later than the change;
// of one that is gone, what the event says of it.
func (p *publisher) document(ctx context.Context, c *onevolume.Change) string {
	v, err := p.store.Volume(ctx, c.Volume)
	if err != nil || c.Deleted {
		return xmlrpc.ChangeDocument(c)
	}
	text, err := xmlrpc.VolumeDocument(&v)
	if err != nil {
		return xmlrpc.ChangeDocument(c)
	}
	return text
}

// counts is how it fares, for the metrics.
func (p *publisher) counts() metrics.Publishing {
	var c metrics.Publishing
	_, c.Newest = p.hub.Last(0, nil)
	if p.streams != nil {
		c.Streams = p.streams.Open()
	}
	if p.zeromq != nil {
		c.Subscribers = p.zeromq.Subscribers()
	}
	for _, h := range p.hooks {
		n := h.Counts()
		c.Receivers = append(c.Receivers, metrics.Receiver{Name: n.Receiver, Up: n.Up, Sent: n.Sent, Failures: n.Failures, Missed: n.Missed})
	}
	return c
}
