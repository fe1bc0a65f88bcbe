package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/metrics"
)

type inventory struct{ err error }

func (i inventory) Count(context.Context) (map[onevolume.State]int, map[onevolume.Status]int, error) {
	return map[onevolume.State]int{onevolume.Attached: 3}, map[onevolume.Status]int{onevolume.Running: 2}, i.err
}

func (i inventory) Hold(context.Context) (string, error) { return "restored", nil }

type last struct{ c onevolume.Checkup }

func (l last) Checkup() onevolume.Checkup { return l.c }
func (l last) Took() time.Duration        { return 1500 * time.Millisecond }

func publishing() metrics.Publishing {
	return metrics.Publishing{Newest: 12, Streams: 2, Subscribers: 1, Receivers: []metrics.Receiver{
		{Name: "a.example", Up: true, Sent: 5}, {Name: "b.example", Failures: 3, Missed: 1}, {Name: "a.example", Sent: 1}}}
}

func scrape(t *testing.T, i metrics.Inventory, c onevolume.Checkup) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler(i, last{c}, nil, publishing).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetrics(t *testing.T) {
	c := onevolume.Checkup{Time: time.Unix(1000, 0), Hosts: 4, Findings: []onevolume.Finding{
		{Trouble: onevolume.StrayDisk}, {Trouble: onevolume.StrayDisk}, {Trouble: onevolume.HostSilent}}}
	text := scrape(t, inventory{}, c)
	for _, line := range []string{
		`onevolume_up 1`, `onevolume_volumes{state="ATTACHED"} 3`, `onevolume_volumes{state="ERROR"} 0`, `onevolume_hold 1`,
		`onevolume_event_newest 12`, `onevolume_event_streams 2`, `onevolume_event_subscribers 1`, `onevolume_webhook_up{receiver="a.example"} 0`,
		`onevolume_webhook_events_total{receiver="a.example"} 6`, `onevolume_webhook_failures_total{receiver="b.example"} 3`, `onevolume_webhook_missed_total{receiver="b.example"} 1`,
		`onevolume_operations{status="RUNNING"} 2`, `onevolume_differences{trouble="disk without attachment"} 2`,
		`onevolume_differences{trouble="disk in two domains"} 0`, `onevolume_checkup_time_seconds 1000`,
		`onevolume_checkup_duration_seconds 1.5`, `onevolume_checkup_hosts 4`, `onevolume_build_info{version="` + onevolume.Version + `"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("nothing of %s in\n%s", line, text)
		}
	}
	if !strings.Contains(text, "process_resident_memory_bytes") {
		t.Error("nothing of the process")
	}
}

// What cannot be counted is not zero.
func TestDown(t *testing.T) {
	text := scrape(t, inventory{errors.New("locked")}, onevolume.Checkup{})
	if !strings.Contains(text, "onevolume_up 0\n") || strings.Contains(text, "onevolume_volumes{") || !strings.Contains(text, "onevolume_checkup_time_seconds 0\n") {
		t.Error(text)
	}
}

// Every kind of difference has its place in the order in which they are told.
func TestTroubles(t *testing.T) {
	seen := map[onevolume.Trouble]bool{}
	for _, x := range onevolume.Troubles() {
		seen[x] = true
	}
	if len(seen) != 14 {
		t.Errorf("%d kinds", len(seen))
	}
}
