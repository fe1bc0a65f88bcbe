// Package metrics tells Prometheus how the inventory stands: what its
// database counts and what the last comparison with the hosts found, each
// time it is asked. It keeps no numbers of its own, so none can be wrong.
package metrics

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"onevolume"
)

// Inventory counts.
type Inventory interface {
	// Count gives how many volumes are in each state, and operations in each
	// status.
	Count(ctx context.Context) (map[onevolume.State]int, map[onevolume.Status]int, error)
	// Hold says why the inventory is held, or nothing.
	Hold(ctx context.Context) (reason string, err error)
}

// Checkups knows what the last comparison found, and how long it took.
type Checkups interface {
	Checkup() onevolume.Checkup
	Took() time.Duration
}

// Arrays knows how much room arrays have, and asks none of them.
type Arrays interface {
	Spaces(ctx context.Context) ([]onevolume.Space, error)
}

// patience is how long the database may take to count.
const patience = 5 * time.Second

// Handler answers GET with the numbers. p may be nil.
func Handler(i Inventory, c Checkups, a Arrays, p func() Publishing) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(&collector{i, c, a, p}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 2})
}

// collector asks when it is asked.
type collector struct {
	inventory Inventory
	checkups  Checkups
	arrays    Arrays
	publish   func() Publishing
}

var (
	up          = desc("up", "Whether the inventory's database could be asked.")
	build       = desc("build_info", "Always 1; the version is a label.", "version")
	volumes     = desc("volumes", "Volumes in the inventory, by state.", "state")
	operations  = desc("operations", "Operations in the inventory, by status; those that run have the status RUNNING.", "status")
	hold        = desc("hold", "1 while no volume may be attached because the inventory came from a backup.")
	differences = desc("differences", "Differences between the inventory and its hosts that the last checkup left, by trouble.", "trouble")
	checkupTime = desc("checkup_time_seconds", "When the last checkup ended, in seconds since 1970; 0 when there was none yet.")
	checkupTook = desc("checkup_duration_seconds", "How long the last checkup took.")
	arraySpace  = desc("array_bytes", "Room on an array that makes volumes: total, free, used, provisioned, limit. What it does not tell is not here.", "array", "what")
	arrayUp     = desc("array_up", "Whether an array that makes volumes answered when it was asked last.", "array")
	arrayTime   = desc("array_time_seconds", "When it last answered, in seconds since 1970.", "array")
	hosts       = desc("checkup_hosts", "Hosts that answered the last checkup.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("onevolume_"+name, help, labels, nil)
}

// Describe names no metric beforehand: which states there are is the
// inventory's to say.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, build, volumes, operations, hold, differences, checkupTime, checkupTook, hosts, arraySpace, arrayUp, arrayTime,
		newestEvent, eventStreams, eventSubscribers, receiverUp, receiverSent, receiverFailures, receiverMissed} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	tell(build, 1, onevolume.Version)
	c.counts(tell)
	last := c.checkups.Checkup()
	found := map[onevolume.Trouble]int{}
	for _, t := range onevolume.Troubles() {
		found[t] = 0
	}
	for _, f := range last.Findings {
		found[f.Trouble]++
	}
	for t, n := range found {
		tell(differences, float64(n), string(t))
	}
	at := 0.0
	if !last.Time.IsZero() {
		at = float64(last.Time.UnixMilli()) / 1000
	}
	tell(checkupTime, at)
	tell(checkupTook, c.checkups.Took().Seconds())
	tell(hosts, float64(last.Hosts))
	c.spaces(tell)
	if c.publish != nil {
		published(c.publish(), ch, tell)
	}
}

// spaces tells what arrays said last. What is unknown is left out.
func (c *collector) spaces(tell func(d *prometheus.Desc, v float64, labels ...string)) {
	if c.arrays == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := c.arrays.Spaces(ctx)
	if err != nil {
		return // the database: up says so
	}
	for _, s := range list {
		answered := 0.0
		if s.Error == "" && !s.Time.IsZero() {
			answered = 1
		}
		tell(arrayUp, answered, s.Array)
		if s.Time.IsZero() {
			continue
		}
		tell(arrayTime, float64(s.Time.UnixMilli())/1000, s.Array)
		for what, n := range map[string]onevolume.Size{"total": s.Total, "free": s.Free, "used": s.Used, "provisioned": s.Provisioned, "limit": s.Limit} {
			if n != onevolume.UnknownSize {
				tell(arraySpace, float64(n), s.Array, what)
			}
		}
	}
}

// counts tells what the database counts. One that does not answer shows as
// up 0 and nothing else: a zero would be wrong.
func (c *collector) counts(tell func(d *prometheus.Desc, v float64, labels ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	states, statuses, err := c.inventory.Count(ctx)
	reason := ""
	if err == nil {
		reason, err = c.inventory.Hold(ctx)
	}
	if err != nil {
		tell(up, 0)
		return
	}
	tell(up, 1)
	for _, s := range onevolume.States() {
		tell(volumes, float64(states[s]), string(s))
	}
	for _, s := range []onevolume.Status{onevolume.Running, onevolume.Done, onevolume.Undone, onevolume.Parked} {
		tell(operations, float64(statuses[s]), string(s))
	}
	held := 0.0
	if reason != "" {
		held = 1
	}
	tell(hold, held)
}
