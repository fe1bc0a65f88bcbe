package metrics

import "github.com/prometheus/client_golang/prometheus"

// Publishing is how it goes to tell others of changes.
type Publishing struct {
	Newest      int // id of the newest event
	Streams     int // of server-sent events
	Subscribers int // of ZeroMQ
	Receivers   []Receiver
}

// Receiver is one that is called with events. The counts are since the
// daemon's start.
type Receiver struct {
	Name                   string
	Up                     bool
	Sent, Failures, Missed int
}

var (
	newestEvent      = desc("event_newest", "The id of the newest event: they are counted up, one for each change.")
	eventStreams     = desc("event_streams", "Streams of server-sent events that are open.")
	eventSubscribers = desc("event_subscribers", "Subscribers of ZeroMQ that are connected.")
	receiverUp       = desc("webhook_up", "Whether the receiver took what it was sent last.", "receiver")
	receiverSent     = desc("webhook_events_total", "Events that the receiver took.", "receiver")
	receiverFailures = desc("webhook_failures_total", "Calls of the receiver that failed.", "receiver")
	receiverMissed   = desc("webhook_missed_total", "How often the receiver lost events, since it was too far behind.", "receiver")
)

// published tells of it. Several receivers of one name are one.
func published(p Publishing, ch chan<- prometheus.Metric, tell func(d *prometheus.Desc, v float64, labels ...string)) {
	tell(newestEvent, float64(p.Newest))
	tell(eventStreams, float64(p.Streams))
	tell(eventSubscribers, float64(p.Subscribers))
	all := map[string]Receiver{}
	for _, r := range p.Receivers {
		if a, ok := all[r.Name]; ok {
			r.Up, r.Sent, r.Failures, r.Missed = r.Up && a.Up, r.Sent+a.Sent, r.Failures+a.Failures, r.Missed+a.Missed
		}
		all[r.Name] = r
	}
	count := func(d *prometheus.Desc, n int, name string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), name)
	}
	for name, r := range all {
		up := 0.0
		if r.Up {
			up = 1
		}
		tell(receiverUp, up, name)
		count(receiverSent, r.Sent, name)
		count(receiverFailures, r.Failures, name)
		count(receiverMissed, r.Missed, name)
	}
}
