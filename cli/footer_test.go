package cli

import (
	"slices"
	"testing"
	"time"

	"onevolume"
)

func TestFooter(t *testing.T) {
	now := time.Date(2026, 11, 25, 11, 30, 0, 0, time.Local)
	at := func(ago time.Duration, findings int) onevolume.Checkup {
		return onevolume.Checkup{Time: now.Add(-ago), Hosts: 2, Findings: make([]onevolume.Finding, findings)}
	}
	for name, c := range map[string]struct {
		h    onevolume.Health
		want []string
	}{
		"no checkup yet": {onevolume.Health{}, nil},
		"all is well":    {onevolume.Health{Checkup: at(time.Minute, 0)}, nil},
		"one difference": {onevolume.Health{Checkup: at(time.Minute, 1), Differences: 1},
			[]string{"1 difference between the inventory and its hosts (checked 11:29:00). See: onevolume doctor"}},
		"two differences": {onevolume.Health{Checkup: at(26*time.Minute-5*time.Second, 2), Differences: 2},
			[]string{"2 differences between the inventory and its hosts (checked 11:04:05). See: onevolume doctor"}},
		"to a user": {onevolume.Health{Checkup: at(time.Minute, 0), Differences: 2},
			[]string{"2 differences between the inventory and its hosts (checked 11:29:00). An administrator sees them by: onevolume doctor"}},
		"long ago": {onevolume.Health{Checkup: at(30*time.Hour, 0)},
			[]string{"The inventory was compared with its hosts at 2026-11-24 05:30:00 for the last time. See: onevolume doctor, and the log of onevolumed"}},
		"on hold": {onevolume.Health{Hold: "restored from\x1b[31m b.db\nat noon"},
			[]string{"The inventory is on hold, and no volume can be attached or wiped: restored from\uFFFD[31m b.db at noon. See: onevolume doctor"}},
	} {
		if got := footer(c.h, now); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, c.want)
		}
	}
}
