package cli

import (
	"context"
	"fmt"
	"time"

	"onevolume"
)

// The footer of list says what else whoever looks at volumes should know. It
// may cost the list nothing: it is asked for at the same time, and left out
// when the answer is not there soon after the list.
const (
	footerTime  = 5 * time.Second        // for the question itself
	footerGrace = 300 * time.Millisecond // that list waits longer for it
	// stale is when a checkup is too old to be relied on.
	stale = 24 * time.Hour
)

// askHealth asks the daemon how things stand. The function it returns gives
// the answer, if there is one in time.
func askHealth(ctx context.Context, s *Session) func() (onevolume.Health, bool) {
	ctx, cancel := context.WithTimeout(ctx, footerTime)
	answer := make(chan onevolume.Health, 1)
	go func() {
		if h, err := s.Daemon.Health(ctx); err == nil {
			answer <- h
		}
		close(answer)
	}()
	return func() (onevolume.Health, bool) {
		defer cancel()
		select {
		case h, ok := <-answer:
			return h, ok
		case <-time.After(footerGrace):
			return onevolume.Health{}, false
		}
	}
}

// footer is what to say of the daemon's health; nothing when all is well.
func footer(h onevolume.Health, now time.Time) []string {
	var lines []string
	if h.Hold != "" {
		lines = append(lines, fmt.Sprintf("The inventory is on hold, and no volume can be attached or wiped: %s. See: onevolume doctor", oneLine(h.Hold)))
	}
	if h.Checkup.Time.IsZero() {
		return lines // the daemon has just started, or does not compare
	}
	checked := lately(h.Checkup.Time, now)
	if n := h.Differences; n > 0 {
		what := "differences"
		if n == 1 {
			what = "difference"
		}
		see := "See: onevolume doctor"
		if len(h.Checkup.Findings) == 0 { // they are shown to administrators alone
			see = "An administrator sees them by: onevolume doctor"
		}
		lines = append(lines, fmt.Sprintf("%d %s between the inventory and its hosts (checked %s). %s", n, what, checked, see))
	}
	if now.Sub(h.Checkup.Time) > stale {
		lines = append(lines, fmt.Sprintf("The inventory was compared with its hosts at %s for the last time. See: onevolume doctor, and the log of onevolumed", checked))
	}
	return lines
}
