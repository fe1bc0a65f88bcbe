package assemble

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"onevolume"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/daemon/follower"
	"onevolume/daemon/labels"
	"onevolume/inventory"
	"onevolume/opennebula"
	"onevolume/opennebula/events"
	"onevolume/provision"
	"onevolume/store"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/passthrough"
	"onevolume/xmlrpc/wire"
)

// Daemon is onevolumed, opened and ready to serve.
type Daemon struct {
	conf      config.Config
	log       *zap.Logger
	requests  *requestLog // nil for none
	store     *store.Store
	listeners []net.Listener
	server    *http.Server
	loops     *daemon.Daemon
	checkups  *daemon.Checkups
	arrays    *daemon.Arrays
	spaces    *daemon.Spaces
	access    *provision.Access
	labels    *labels.Labels
	follower  *follower.Follower
	hears     *events.Subscriber // nil for nothing
	publish   *publisher
}

// OpenDaemon opens the database and the listener. Nothing runs yet.
func OpenDaemon(ctx context.Context, conf config.Config) (*Daemon, error) {
	log, err := logger(conf.Log)
	if err != nil {
		return nil, err
	}
	db, err := openStore(ctx, conf, store.Options{Tell: func(text string) { log.Warn(text) }})
	if err != nil {
		return nil, err
	}
	d := &Daemon{conf: conf, log: log, store: db}
	if err := d.connect(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

// connect puts the methods together and listens.
func (d *Daemon) connect(ctx context.Context) error {
	endpoint, err := opennebula.SystemEnvironment().Endpoint(opennebula.Oned(), d.conf.OneXMLRPC)
	if err != nil {
		return err
	}
	tls, err := opennebula.SystemEnvironment().TLS()
	if err != nil {
		return err
	}
	one, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: endpoint, TLS: tls, Umask: d.conf.DefaultUmask, NoOthers: !d.conf.EnableOtherPermissions})
	if err != nil {
		return err
	}
	d.labels = newLabels(d.conf, d.store, one, d.log)
	service, m := shown{&inventory.Service{Store: d.store, People: opennebula.People{Client: one}, NoOthers: !d.conf.EnableOtherPermissions}, d.labels}, newMeddler()
	e := engine(d.conf, logCommands(d.log))
	e.Hosts = guarded(d.conf, e.Hosts)
	d.loops = &daemon.Daemon{
		Store: m.store(d.store), Cloud: opennebula.Cloud{Client: one},
		Ledger: func(who onevolume.Caller) onevolume.Ledger { return m.ledger(service.Ledger(who)) },
		Engine: e, Log: d.log, Now: m.now, Name: process("onevolumed"), Orphan: deadHere,
		Sweep: d.conf.Operations.Sweep, GiveUp: d.conf.Operations.GiveUp,
	}
	d.follower = newFollower(d.conf, d.store, service, d.loops, one, d.log)
	d.hears = newSubscriber(d.conf, d.follower, d.loops, d.log)
	d.checkups = &daemon.Checkups{
		Doctor: resident(d.conf, d.loops.Engine, d.store), Audit: d.store.Audit, Log: d.log, Name: d.loops.Name,
		Every: d.conf.Operations.Checkup, First: firstCheckup(d.conf.Operations.Checkup),
	}
	if d.arrays, err = arrays(d.conf, service.Service, d.log, d.loops.Name); err != nil {
		return err
	}
	if err = d.provide(service.Service); err != nil {
		return err
	}
	auth := opennebula.NewAuthenticator(one, d.conf.AuthCache)
	w := &wire.Server{Known: auth.Recall}
	api := xmlrpc.Server{Auth: auth, Inventory: service, Operator: d.loops, Moves: d.loops, Health: d.checkups, Arrays: d.arrays, Spaces: d.spaces, Access: d.access, Fencer: d.follower, Unaudited: d.logUnaudited}
	if d.conf.Operations.Follow > 0 {
		api.Hints = told{d.follower, d.loops}
	}
	api.Register(w)
	if d.conf.PassThrough {
		w.Reserved = "one.volume"
		if w.Beyond, err = passthrough.New(passthrough.Config{Endpoint: endpoint, TLS: tls,
			Body: int64(d.conf.Limits.OnedRequest) << 20, InFlight: d.conf.Limits.OnedConnections}); err != nil {
			return err
		}
	}
	if d.publish, err = newPublisher(ctx, d.conf.Publish, d.store, auth, w, d.log); err != nil {
		return err
	}
	if err = d.open(ctx, w); err != nil {
		d.publish.close()
	}
	return err
}

// Run serves until ctx ends, then stops within the configured bound.
func (d *Daemon) Run(ctx context.Context) error {
	defer func() { _ = d.log.Sync() }() // standard error cannot be synced everywhere
	d.loops.Start()
	d.arrays.Start()   //nolint:contextcheck // likewise
	d.spaces.Start()   //nolint:contextcheck // likewise
	d.labels.Start()   //nolint:contextcheck // likewise
	d.follower.Start() //nolint:contextcheck // likewise
	hearing, deaf := context.WithCancel(ctx)
	defer deaf()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if d.hears != nil {
			d.hears.Run(hearing)
		}
	}()
	d.publish.Start()  //nolint:contextcheck // likewise
	d.checkups.Start() //nolint:contextcheck // it has a life of its own, which Stop ends
	served := make(chan error, len(d.listeners))
	addresses := make([]string, len(d.listeners))
	for i, l := range d.listeners {
		addresses[i] = l.Addr().String()
		go func() { served <- d.server.Serve(l) }()
	}
	d.log.Info("onevolumed serves", zap.String("version", onevolume.Version), zap.Strings("listen", addresses))
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		d.log.Info("onevolumed stops")
	}
	// Last in, first out: no new calls, then the operations, then the database.
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.conf.Shutdown)
	defer cancel()
	if d.publish.streams != nil {
		d.publish.streams.Close() // they have no end of their own
	}
	stopped := d.server.Shutdown(bound)
	d.arrays.Stop(bound)
	d.spaces.Stop(bound)
	deaf()
	<-heard
	d.follower.Stop(bound)
	d.checkups.Stop(bound)
	d.loops.Stop(bound)
	d.labels.Stop(bound)
	d.publish.Stop()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if errors.Is(stopped, context.DeadlineExceeded) {
		d.log.Warn("calls were still being answered when the time to stop was over")
	}
	err = errors.Join(err, d.store.Close(), d.requests.Close())
	d.log.Info("onevolumed has stopped")
	return err
}

// logUnaudited keeps in the log what the audit should have kept.
func (d *Daemon) logUnaudited(deed onevolume.Deed, err error) {
	d.log.Error("a refusal could not be written into the audit", zap.String("action", deed.Action), zap.String("request", deed.Text),
		zap.Int("uid", deed.By.UID), zap.String("from", deed.From), zap.Int("volume", int(deed.Volume)), zap.Int("vm", int(deed.VM)),
		zap.Int("operation", deed.Operation), zap.String("result", deed.Result), zap.Error(err))
}

// logger makes the log as configured.
func logger(c config.Log) (*zap.Logger, error) {
	z := zap.NewProductionConfig()
	z.Sampling = nil // every line counts: they are few
	z.DisableStacktrace = true
	z.DisableCaller = true
	z.EncoderConfig.EncodeTime = func(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
		enc.AppendString(t.Format("2006-01-02T15:04:05.000Z07:00"))
	}
	if c.Format == "text" {
		z.Encoding = "console"
	}
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	z.Level, z.OutputPaths, z.ErrorOutputPaths = level, []string{c.File}, []string{"stderr"}
	log, err := z.Build()
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return log, nil
}
