package iscsi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
)

// volume is a logical unit with its own target.
func volume(n int, portals ...string) onevolume.Volume {
	if len(portals) == 0 {
		portals = []string{"10.0.0.1:3260"}
	}
	list, err := onevolume.ParsePortals(strings.Join(portals, ","))
	if err != nil {
		panic(err)
	}
	return onevolume.Volume{
		Target:   onevolume.Target{IQN: onevolume.IQN(fmt.Sprintf("iqn.2026-11.test:vol%d", n)), LUN: 1, Portals: list},
		Size:     64 * onevolume.MiB,
		Identity: onevolume.Identity{Serial: fmt.Sprintf("SN%d", n), WWID: fmt.Sprintf("naa.600%d", n)},
	}
}

func want(v onevolume.Volume) iscsi.Want { return iscsi.Want{Size: v.Size, Identity: v.Identity} }

// bench is a host, an array and the connection to the host.
type bench struct {
	*testing.T
	array *iscsitest.Array
	host  *iscsitest.Host
	net   *commandtest.Net
	conn  command.Host
	*iscsi.Initiator
}

func newBench(t *testing.T) *bench {
	a := iscsitest.NewArray(t)
	b := &bench{T: t, array: a, host: iscsitest.NewHost("host01", a), net: commandtest.NewNet(t), Initiator: iscsi.New(iscsi.Options{})}
	b.net.Add("host01", b.host.Handle)
	b.dial()
	return b
}

func (b *bench) dial() {
	b.Helper()
	h, err := b.net.Dial(b.Context(), "host01")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { h.Close() })
	b.conn = h
}

func (b *bench) connect(v onevolume.Volume) (iscsi.Device, error) {
	return b.Connect(b.Context(), b.conn, v.Target, want(v))
}

func (b *bench) mustConnect(v onevolume.Volume) iscsi.Device {
	b.Helper()
	d, err := b.connect(v)
	if err != nil {
		b.Fatal(err)
	}
	return d
}

// fails asks for a failure with the code whose text has all the words, and
// which leaves exactly that on the host.
func (b *bench) fails(err error, code onevolume.Code, words []string, left ...string) {
	b.Helper()
	if err == nil {
		b.Fatal("no error")
	}
	if got := onevolume.CodeOf(err); got != code {
		b.Errorf("code %s, not %s: %v", got, code, err)
	}
	for _, w := range append(words, "host01") {
		if !strings.Contains(err.Error(), w) {
			b.Errorf("no %q in %q", w, err)
		}
	}
	if onevolume.HintOf(err) == "" && code != onevolume.Unknown && code != onevolume.Unreachable {
		b.Errorf("no hint with %v", err)
	}
	if got := b.host.Left(); !slices.Equal(got, left) {
		b.Errorf("left %q, not %q", got, left)
	}
}

func TestConnectAndRelease(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	d := b.mustConnect(v)
	if !d.Fresh || d.Name != "sda" || d.Size != v.Size || d.Identity != v.Identity || d.Portal != v.Target.Portals[0] {
		t.Errorf("%+v", d)
	}
	if want := b.Path(v.Target); d.Path != want {
		t.Errorf("path %s, not %s", d.Path, want)
	}
	if n := b.host.Count(); n != 1 {
		t.Errorf("%d scripts for a connect, not 1", n)
	}
	again := b.mustConnect(v)
	if again.Fresh || again.Path != d.Path {
		t.Errorf("again %+v", again)
	}
	if got, err := b.Prove(t.Context(), b.conn, v.Target, want(v)); err != nil || got.Path != d.Path {
		t.Error(got, err)
	}
	found, err := b.Find(t.Context(), b.conn, v.Target)
	if err != nil || len(found) != 1 || found[0].Path != d.Path {
		t.Error(found, err)
	}
	for range 2 {
		if err := b.Release(t.Context(), b.conn, v.Target); err != nil {
			t.Error(err)
		}
		if left := b.host.Left(); len(left) > 0 {
			t.Error(left)
		}
	}
}

func TestSharedSessionStays(t *testing.T) {
	b := newBench(t)
	v, w := volume(1), volume(1)
	w.Target.LUN, w.Identity.Serial = 2, "SN1b"
	b.array.Serve(v)
	b.array.Serve(w)
	b.mustConnect(v)
	if d := b.mustConnect(w); !d.Fresh || d.Session != 1 {
		t.Errorf("%+v", d)
	}
	if err := b.Release(t.Context(), b.conn, v.Target); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Prove(t.Context(), b.conn, w.Target, want(w)); err != nil {
		t.Error(err)
	}
	if err := b.Release(t.Context(), b.conn, w.Target); err != nil {
		t.Fatal(err)
	}
	if left := b.host.Left(); len(left) > 0 {
		t.Error(left)
	}
}

func TestDeadPortal(t *testing.T) {
	b := newBench(t)
	v := volume(1, "10.0.0.1", "10.0.0.2")
	b.array.Serve(v)
	b.array.Down(v.Target.Portals[0], true)
	if d := b.mustConnect(v); d.Portal != v.Target.Portals[1] {
		t.Errorf("%+v", d)
	}
	if err := b.Release(t.Context(), b.conn, v.Target); err != nil {
		t.Fatal(err)
	}
	b.array.Down(v.Target.Portals[1], true)
	_, err := b.connect(v)
	b.fails(err, onevolume.Unreachable, []string{"10.0.0.1:3260", "10.0.0.2:3260"})
}

func TestRefusals(t *testing.T) {
	chap := onevolume.CHAP{User: "u", Secret: "right-secret"}
	for _, tt := range []struct {
		name  string
		setup func(b *bench, v *onevolume.Volume)
		code  onevolume.Code
		words []string
	}{
		{"unknown target", func(b *bench, v *onevolume.Volume) {
			b.array.Remove(v.Target.IQN)
		}, onevolume.Refused, []string{"unknown", "iqn.2026-11.test:host01"}},
		{"wrong secret", func(b *bench, v *onevolume.Volume) {
			b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.CHAP = chap })
			v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "wrong-secret"}
		}, onevolume.Refused, []string{"CHAP"}},
		{"no unit", func(b *bench, v *onevolume.Volume) { v.Target.LUN = 7 }, onevolume.Refused, []string{"LUN 7", "none"}},
		{"wrong size", func(b *bench, v *onevolume.Volume) { v.Size *= 2 }, onevolume.Mismatch, []string{"67108864", "134217728"}},
		{"wrong serial", func(b *bench, v *onevolume.Volume) { v.Identity.Serial = "SN9" }, onevolume.Mismatch, []string{`"SN1"`, `"SN9"`}},
		{"wrong WWID", func(b *bench, v *onevolume.Volume) { v.Identity.WWID = "naa.9" }, onevolume.Mismatch, []string{`"naa.6001"`, `"naa.9"`}},
		{"serial gone", func(b *bench, v *onevolume.Volume) {
			b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[1].Identity = onevolume.Identity{} })
		}, onevolume.Mismatch, []string{"shows no serial number", "shows no WWID"}},
		{"never had an identity", func(b *bench, v *onevolume.Volume) {
			b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[1].Identity = onevolume.Identity{} })
			v.Identity = onevolume.Identity{}
		}, onevolume.Refused, []string{"neither"}},
		{"no sudo", func(b *bench, v *onevolume.Volume) {
			b.host.Change(func(s *iscsitest.State) { s.NoSudo = true })
		}, onevolume.Refused, []string{"sudo"}},
		{"no iscsid", func(b *bench, v *onevolume.Volume) {
			b.host.Change(func(s *iscsitest.State) { s.NoISCSId = true })
		}, onevolume.Refused, []string{"iscsid is not running"}},
		{"no udev", func(b *bench, v *onevolume.Volume) {
			b.host.Change(func(s *iscsitest.State) { s.NoUdev = true })
		}, onevolume.Refused, []string{"udev"}},
		{"not in group disk", func(b *bench, v *onevolume.Volume) {
			b.host.Change(func(s *iscsitest.State) { s.NoGroup = true })
		}, onevolume.Refused, []string{"Permission denied"}},
		{"portal down", func(b *bench, v *onevolume.Volume) {
			b.array.Down(v.Target.Portals[0], true)
		}, onevolume.Unreachable, []string{"10.0.0.1:3260"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			v := volume(1)
			b.array.Serve(v)
			tt.setup(b, &v)
			_, err := b.connect(v)
			b.fails(err, tt.code, tt.words)
			for _, secret := range []string{chap.Secret, "wrong-secret"} {
				if strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
					t.Errorf("a secret in %v", err)
				}
			}
		})
	}
}

func TestCHAPStopsAtFirstRefusal(t *testing.T) {
	b := newBench(t)
	v := volume(1, "10.0.0.1", "10.0.0.2")
	b.array.Serve(v)
	b.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.CHAP = onevolume.CHAP{User: "u", Secret: "right-secret"} })
	v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "wrong-secret"}
	_, err := b.connect(v)
	b.fails(err, onevolume.Refused, []string{"CHAP", "10.0.0.1:3260"})
	if n := b.host.Count(); n != 1 {
		t.Errorf("%d scripts, not 1: the second portal was tried", n)
	}
}

func TestSecretsOnStdinOnly(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	v.Target.CHAP = onevolume.CHAP{User: "user1", Secret: "secret-one", UserIn: "user2", SecretIn: "secret-two"}
	b.array.Serve(v)
	b.mustConnect(v)
	cmds := b.ConnectCommands(v.Target)
	for _, call := range b.net.Calls() {
		cmds = append(cmds, call.Cmd)
	}
	for _, c := range cmds {
		if text := c.String() + fmt.Sprintf("%v %+v", c.Args, c); strings.Contains(text, "secret-") {
			t.Errorf("a secret in %s", text)
		}
	}
}

// A device that libvirt left to root gets its rights again and keeps its
// name; where udev does nothing it appears anew.
func TestConnectDeviceOfRoot(t *testing.T) {
	b := newBench(t)
	v := volume(1)
	b.array.Serve(v)
	before := b.mustConnect(v)
	b.host.Root(v.Target.IQN)
	d := b.mustConnect(v)
	if d.Name != before.Name || d.Fresh {
		t.Errorf("%+v, want the device as it was", d)
	}
	b.host.Root(v.Target.IQN)
	b.host.Change(func(s *iscsitest.State) { s.Deaf = true })
	if d = b.mustConnect(v); !d.Fresh {
		t.Errorf("%+v, want a device that appeared anew", d)
	}
}
