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

// TestLabSpeed measures Connect and Release beside the bare commands. Both
// take turns, since the machine's load changes.
func TestLabSpeed(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	v := lu("open1", 1, 64)
	took := map[string][]time.Duration{}
	timed := func(what string, do func()) {
		start := time.Now()
		do()
		took[what] = append(took[what], time.Since(start))
	}
	hand := func(script string) {
		c := command.Cmd{Name: "by hand", Script: script, Args: []string{string(v.Target.IQN), lab.Portal, f.Path(v.Target)}}
		if _, err := command.Do(t.Context(), f.conn, c); err != nil {
			t.Fatal(err)
		}
	}
	for range 9 {
		timed("connect by hand", func() { hand(handConnect) })
		timed("release by hand", func() { hand(handRelease) })
		timed("Connect", func() { f.mustConnect(v) })
		timed("Connect again", func() { f.mustConnect(v) })
		timed("Release", func() { f.mustRelease(v) })
	}
	median := func(what string) time.Duration {
		slices.Sort(took[what])
		t.Logf("%-16s median %s, fastest %s", what, took[what][len(took[what])/2].Round(time.Millisecond), took[what][0].Round(time.Millisecond))
		return took[what][len(took[what])/2]
	}
	t.Logf("Connect takes %.2f times as long as by hand", float64(median("Connect"))/float64(median("connect by hand")))
	t.Logf("Release takes %.2f times as long as by hand", float64(median("Release"))/float64(median("release by hand")))
	median("Connect again")
}
