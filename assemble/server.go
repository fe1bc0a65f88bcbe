package assemble

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"onevolume/listen"
	"onevolume/metrics"
	"onevolume/xmlrpc/wire"
)

// metricsTime is how long who asks for metrics may take to read them.
const metricsTime = 30 * time.Second

// open puts the server's methods on all listeners, or on none.
func (d *Daemon) open(ctx context.Context, w *wire.Server) error {
	limits := d.conf.Limits
	trusted, err := listen.ParseNetworks(limits.Trusted)
	if err != nil {
		return fmt.Errorf("limits.trusted: %w", err)
	}
	if d.requests, err = openRequestLog(d.conf.Log.Requests); err != nil {
		return err
	}
	w.Log, w.Panicked = d.logCall, d.logPanic
	if d.requests != nil {
		w.Invoked = d.requests.invoked
	}
	if limits.FailedLogins > 0 {
		w.Guard = &listen.Logins{Failures: limits.FailedLogins, Window: limits.Window, Trusted: trusted, HeldOff: func(address string) {
			d.log.Warn("too many failed logins from one address, more are refused for a while", zap.String("address", address))
		}}
	}
	gate := &listen.Gate{Total: limits.Connections, PerAddress: limits.PerAddress, Trusted: trusted, Refused: func(peer string) {
		d.log.Warn("connections are refused, as there are too many", zap.String("peer", peer))
	}}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", inTime(metrics.Handler(d.store, d.checkups, d.spaces, d.publish.counts)))
	if d.publish.streams != nil {
		mux.Handle("GET /events", d.publish.streams)
	}
	mux.Handle("/", wire.Compress(w))
	d.server = wire.HTTPServer("", mux)
	d.server.ConnState = gate.State
	if d.server.ErrorLog, err = zap.NewStdLogAt(d.log, zapcore.DebugLevel); err != nil {
		d.server.ErrorLog = log.Default()
	}
	for _, l := range d.conf.Listen {
		a := listen.Address{Network: "tcp", Address: l.Address, Certificate: l.Certificate, Key: l.Key, Mode: l.FileMode()}
		if path := l.Socket(); path != "" {
			a.Network, a.Address = "unix", path
		}
		opened, err := listen.Open(ctx, a, gate, func(text string) { d.log.Warn(text) })
		if err != nil {
			d.closeListeners()
			return err
		}
		d.listeners = append(d.listeners, opened)
	}
	return nil
}

func (d *Daemon) closeListeners() {
	for _, l := range d.listeners {
		_ = l.Close()
	}
}

// Addr is the first address it listens on, for those who asked for port 0.
func (d *Daemon) Addr() net.Addr { return d.listeners[0].Addr() }

// inTime gives up a client that does not read what it asked for.
func inTime(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(metricsTime))
		h.ServeHTTP(w, r)
	})
}

// logCall writes what became of a call, without what was in it.
func (d *Daemon) logCall(r wire.Record) {
	if d.requests != nil {
		d.requests.done(r)
	}
	level := zap.DebugLevel
	if r.Result != 0 {
		level = zap.InfoLevel
	}
	line := d.log.Check(level, "call")
	if line == nil {
		return
	}
	fields := []zap.Field{zap.Uint64("request", r.ID), zap.String("method", r.Method), zap.Int("uid", r.User), zap.String("peer", r.Peer),
		zap.Duration("took", r.Duration), zap.Int("result", r.Result)}
	if r.Status != 0 {
		fields = append(fields, zap.Int("status", r.Status), zap.Int64("bytes", r.Bytes))
	}
	line.Write(fields...)
}

func (d *Daemon) logPanic(method string, value any, stack []byte) {
	d.log.Error("a method panicked", zap.String("method", method), zap.Any("value", value), zap.ByteString("stack", stack))
}
