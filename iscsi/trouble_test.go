package iscsi_test

import (
	"context"
	"testing"

	"onevolume"
	"onevolume/iscsi/iscsitest"
)

// A disk that the host itself has in use is neither handed out nor removed.
func TestHeld(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.mustConnect(v)
	all := b.host.Left()
	for line, word := range map[string]string{
		"36 25 8:0 / /mnt/my\\040data rw - ext4 /dev/sda rw": "mounted on /mnt/my data",
		"/dev/sda1 partition 1 0 -2":                         "swap on /dev/sda1",
		"/dev/sda":                                           "loop device",
		"holder vg0-lv1":                                     "device-mapper vg0-lv1",
	} {
		b.host.Change(func(s *iscsitest.State) { s.Holders = map[string][]string{"sda": {line}} })
		_, err := b.connect(v)
		b.fails(err, onevolume.Held, []string{word}, all...)
		b.fails(b.Release(t.Context(), b.conn, v.Target), onevolume.Held, []string{word}, all...)
	}
}

func TestBlockedFlush(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.mustConnect(v)
	all := b.host.Left()
	b.host.Change(func(s *iscsitest.State) { s.Stuck = true })
	b.fails(b.Release(t.Context(), b.conn, v.Target), onevolume.Unreachable, []string{"it stays"}, all...)
	if err := b.ReleaseForced(t.Context(), b.conn, v.Target); err != nil {
		t.Error(err)
	}
	if left := b.host.Left(); len(left) > 0 {
		t.Error(left)
	}
}

// What the kernel remembers of a unit may be of another one that had its
// number before.
func TestStaleDevice(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.host.Login(v.Target)
	b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[1].Identity.Serial = "SN2" })
	_, err := b.connect(v)
	b.fails(err, onevolume.Mismatch, []string{`"SN1"`, `"SN2"`}, "session iqn.2026-11.test:vol1 at 10.0.0.1:3260", "record iqn.2026-11.test:vol1 10.0.0.1:3260")
	v.Identity.Serial = "SN2"
	b.mustConnect(v)
}

func TestSessionOfOthers(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.host.Login(v.Target)
	if d := b.mustConnect(v); d.Fresh {
		t.Error("taken for our own")
	}
}

func TestLostSession(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.mustConnect(v)
	all := b.host.Left()
	b.host.Lose(v.Target.IQN, "FAILED")
	_, err := b.connect(v)
	b.fails(err, onevolume.Unreachable, []string{"FAILED"}, all...)
}

func TestReboot(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	b.mustConnect(v)
	b.host.Reboot()
	if d := b.mustConnect(v); !d.Fresh {
		t.Error("not fresh")
	}
	b.host.Reboot()
	if err := b.Release(t.Context(), b.conn, v.Target); err != nil {
		t.Fatal(err)
	}
	if left := b.host.Left(); len(left) > 0 {
		t.Error(left)
	}
}

// Whichever command's answer is lost, a Release afterwards leaves nothing.
func TestLostAnswers(t *testing.T) {
	for _, fault := range []iscsitest.Fault{iscsitest.NotRun, iscsitest.Lost} {
		for n := 1; n <= 3; n++ {
			b := newBench(t)
			v := volume(1)
			b.array.Serve(v)
			b.host.Fault(n, fault)
			_, err := b.connect(v)
			if err == nil {
				err = b.Release(t.Context(), b.conn, v.Target)
			}
			wanted := onevolume.Unknown
			if fault == iscsitest.NotRun {
				wanted = onevolume.Unreachable
			}
			if onevolume.CodeOf(err) != wanted {
				t.Errorf("fault %d at %d: %v", fault, n, err)
			}
			b.dial()
			if err := b.Release(t.Context(), b.conn, v.Target); err != nil {
				t.Error(err)
			}
			if left := b.host.Left(); len(left) > 0 {
				t.Errorf("fault %d at %d: left %q", fault, n, left)
			}
		}
	}
}

func TestInvalidTargets(t *testing.T) {
	b := newBench(t)
	for name, change := range map[string]func(*onevolume.Target){
		"no portal":        func(t *onevolume.Target) { t.Portals = nil },
		"no IQN":           func(t *onevolume.Target) { t.IQN = "" },
		"path in the IQN":  func(t *onevolume.Target) { t.IQN = "iqn.2026-11.test:../../x" },
		"newline":          func(t *onevolume.Target) { t.CHAP = onevolume.CHAP{User: "u", Secret: "a\nb"} },
		"blank at the end": func(t *onevolume.Target) { t.CHAP = onevolume.CHAP{User: "u", Secret: "a "} },
		"user only":        func(t *onevolume.Target) { t.CHAP = onevolume.CHAP{User: "u"} },
		"mutual only":      func(t *onevolume.Target) { t.CHAP = onevolume.CHAP{UserIn: "u", SecretIn: "s"} },
	} {
		v := volume(1)
		change(&v.Target)
		if _, err := b.Connect(context.Background(), b.conn, v.Target, want(v)); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.host.Count() != 0 {
		t.Error("something was run")
	}
}
