//go:build lab

package iscsi_test

import (
	"context"
	"os"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/iscsi"
	"onevolume/lab"
)

// host connects to host01 as the user. Every command is logged to the test.
func host(t *testing.T, l *lab.Lab, user string) command.Host {
	t.Helper()
	d := ssh.NewDialer(ssh.Config{User: user, ConfigFile: l.SSHConfig(), AgentSocket: "none"})
	h, err := d.Dial(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return command.Logged(h, func(e command.Event) {
		t.Logf("%4d ms %d %s %s", e.Took.Milliseconds(), e.Code, e.Cmd, e.Stderr)
	})
}

func target(t *testing.T, name string, lun int, portals ...string) onevolume.Target {
	t.Helper()
	if len(portals) == 0 {
		portals = []string{lab.Portal}
	}
	tg := onevolume.Target{IQN: onevolume.IQN(lab.IQNPrefix + name), LUN: onevolume.LUN(lun)}
	for _, p := range portals {
		portal, err := onevolume.ParsePortal(p)
		if err != nil {
			t.Fatal(err)
		}
		tg.Portals = append(tg.Portals, portal)
	}
	return tg
}

func TestLab(t *testing.T) {
	l := lab.Open(t)
	h := host(t, l, "oneadmin")
	i := iscsi.New(iscsi.Options{})
	tg := target(t, "open1", 1)
	for range 3 {
		start := time.Now()
		dev, err := i.Connect(context.Background(), h, tg, iscsi.Want{Size: 64 * onevolume.MiB})
		t.Log(time.Since(start), dev, err)
		dev, err = i.Connect(context.Background(), h, tg, iscsi.Want{Size: 64 * onevolume.MiB, Identity: dev.Identity})
		t.Log(time.Since(start), dev, err)
		dev, err = i.Prove(context.Background(), h, tg, iscsi.Want{Size: 64 * onevolume.MiB, Identity: dev.Identity})
		t.Log(time.Since(start), dev, err)
		start = time.Now()
		t.Log(i.Release(context.Background(), h, tg), time.Since(start))
		l.Clean(t)
	}
	_ = os.Args
}
