//go:build lab

package iscsi_test

import (
	"slices"
	"testing"
	"time"

	"onevolume/command"
	"onevolume/lab"
)

// byHand is what an administrator would type, over the same connection.
const (
	handConnect = `$SUDO iscsiadm -m node -o new -T "$1" -p "$2" >/dev/null &&
$SUDO iscsiadm -m node -T "$1" -p "$2" --login >/dev/null &&
until [ -e "$3" ]; do sleep 0.05; done`
	handRelease = `$SUDO iscsiadm -m node -T "$1" -p "$2" --logout >/dev/null &&
$SUDO iscsiadm -m node -o delete -T "$1" -p "$2"`
)

// BenchmarkLab measures Connect and Release beside the bare commands, in
// turns, since the machine's load changes: "make bench" runs it. It reports
// the medians, and how many times as long as by hand ours take.
func BenchmarkLab(b *testing.B) {
	l := lab.Open(b)
	f := newField(b, l, "oneadmin")
	v := lu("open1", 1, 64)
	took := map[string][]time.Duration{}
	timed := func(what string, do func()) {
		start := time.Now()
		do()
		took[what] = append(took[what], time.Since(start))
	}
	hand := func(script string) {
		c := command.Cmd{Name: "by hand", Script: script, Args: []string{string(v.Target.IQN), lab.Portal, f.Path(v.Target)}}
		if _, err := command.Do(b.Context(), f.conn, c); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		timed("hand-connect", func() { hand(handConnect) })
		timed("hand-release", func() { hand(handRelease) })
		timed("connect", func() { f.mustConnect(v) })
		timed("connect-again", func() { f.mustConnect(v) })
		timed("release", func() { f.mustRelease(v) })
	}
	median := map[string]float64{}
	for what, all := range took {
		slices.Sort(all)
		median[what] = float64(all[len(all)/2].Milliseconds())
		b.ReportMetric(median[what], what+"-ms")
	}
	b.ReportMetric(median["connect"]/median["hand-connect"], "connect-ratio")
	b.ReportMetric(median["release"]/median["hand-release"], "release-ratio")
	l.Clean(b)
}
