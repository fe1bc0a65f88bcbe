//go:build lab

package iscsi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/iscsi"
	"onevolume/lab"
)

// field is a lab with a connection to host01 as oneadmin.
type field struct {
	testing.TB
	lab  *lab.Lab
	conn command.Host
	*iscsi.Initiator
}

func newField(t testing.TB, l *lab.Lab, user string) *field {
	t.Helper()
	f := &field{TB: t, lab: l, Initiator: iscsi.New(iscsi.Options{})}
	f.conn = f.dial(user)
	return f
}

func (f *field) dial(user string) command.Host {
	f.Helper()
	d := ssh.NewDialer(ssh.Config{User: user, ConfigFile: f.lab.SSHConfig(), AgentSocket: "none"})
	h, err := d.Dial(f.Context(), "host01")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { h.Close() })
	return command.Logged(h, func(e command.Event) {
		name, _, _ := strings.Cut(e.Cmd, " iqn.")
		f.Logf("%4d ms, status %d: %s %s", e.Took.Milliseconds(), e.Code, name, e.Stderr)
	})
}

// lu is a volume of the lab: its serial number is LAB-<name>-<lun>.
func lu(name string, lun int, size onevolume.Size, portals ...string) onevolume.Volume {
	if len(portals) == 0 {
		portals = []string{lab.Portal}
	}
	list, err := onevolume.ParsePortals(strings.Join(portals, ","))
	if err != nil {
		panic(err)
	}
	return onevolume.Volume{
		Target:   onevolume.Target{IQN: onevolume.IQN(lab.IQNPrefix + name), LUN: onevolume.LUN(lun), Portals: list},
		Size:     size * onevolume.MiB,
		Identity: onevolume.Identity{Serial: fmt.Sprintf("LAB-%s-%d", name, lun)},
	}
}

func (f *field) connect(v onevolume.Volume) (iscsi.Device, error) {
	start := time.Now()
	d, err := f.Connect(f.Context(), f.conn, v.Target, want(v))
	f.Logf("connect took %s: %+v %v", time.Since(start).Round(time.Millisecond), d, err)
	return d, err
}

func (f *field) mustConnect(v onevolume.Volume) iscsi.Device {
	f.Helper()
	d, err := f.connect(v)
	if err != nil {
		f.Fatal(err)
	}
	return d
}

func (f *field) mustRelease(v onevolume.Volume) {
	f.Helper()
	start := time.Now()
	if err := f.Release(context.WithoutCancel(f.Context()), f.conn, v.Target); err != nil {
		f.Error(err)
	}
	f.Logf("release took %s", time.Since(start).Round(time.Millisecond))
}

func (f *field) fails(v onevolume.Volume, code onevolume.Code, words ...string) {
	f.Helper()
	_, err := f.connect(v)
	f.isError(err, code, words...)
}

func (f *field) isError(err error, code onevolume.Code, words ...string) {
	f.Helper()
	if err == nil {
		f.Fatal("no error")
	}
	f.Logf("%s: %v\nhint: %s", onevolume.CodeOf(err), err, onevolume.HintOf(err))
	if got := onevolume.CodeOf(err); got != code {
		f.Errorf("code %s, not %s", got, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			f.Errorf("no %q in %q", w, err)
		}
	}
}

// asRoot runs a line on host01.
func (f *field) asRoot(line string) string {
	f.Helper()
	return f.lab.Must(f.lab.Exec("host01", line))
}

func chap(v onevolume.Volume, c onevolume.CHAP) onevolume.Volume {
	v.Target.CHAP = c
	return v
}

var (
	oneWay = onevolume.CHAP{User: "chapuser", Secret: "chapsecret1234"}
	mutual = onevolume.CHAP{User: "chapuser2", Secret: "chapsecret5678", UserIn: "mutualuser", SecretIn: "mutualsecret99"}
)

func TestLabConnect(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	for name, v := range map[string]onevolume.Volume{
		"open":         lu("open1", 1, 64),
		"CHAP":         chap(lu("chap", 1, 64), oneWay),
		"mutual CHAP":  chap(lu("mutual", 1, 64), mutual),
		"first closed": lu("open1", 1, 64, lab.ClosedPortal, lab.OtherPortal),
		"first gone":   lu("open1", 1, 64, lab.MissingPortal, lab.Portal),
		"second unit":  lu("shared", 2, 80),
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, l, "oneadmin")
			defer l.Clean(t)
			d := f.mustConnect(v)
			if last := v.Target.Portals[len(v.Target.Portals)-1]; !d.Fresh || d.Portal != last || d.Identity.WWID == "" {
				t.Errorf("%+v", d)
			}
			if again := f.mustConnect(v); again.Fresh || again.Path != d.Path {
				t.Errorf("%+v", again)
			}
			v.Identity = d.Identity
			if _, err := f.Prove(t.Context(), f.conn, v.Target, want(v)); err != nil {
				t.Error(err)
			}
			if got := f.asRoot("ls -d /sys/class/iscsi_session/session*/device/target*/*:*:*:* | wc -l"); got != "1\n" {
				t.Errorf("%s logical units, only one was asked for", got)
			}
			f.mustRelease(v)
			l.Clean(t)
			f.mustRelease(v)
		})
	}
}

func TestLabSharedSession(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	v, w := lu("shared", 1, 64), lu("shared", 2, 80)
	d, e := f.mustConnect(v), f.mustConnect(w)
	if d.Session != e.Session {
		t.Error("two sessions")
	}
	f.mustRelease(v)
	if _, err := f.Prove(t.Context(), f.conn, w.Target, want(w)); err != nil {
		t.Error(err)
	}
	if found, err := f.Find(t.Context(), f.conn, v.Target); err != nil || len(found) > 0 {
		t.Error(found, err)
	}
	f.mustRelease(w)
}

func TestLabRefusals(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	wrong := lu("open1", 1, 64)
	wrong.Identity.Serial = "SOMEBODY-ELSE"
	for name, tt := range map[string]struct {
		v     onevolume.Volume
		code  onevolume.Code
		words []string
	}{
		"wrong secret":   {chap(lu("chap", 1, 64), onevolume.CHAP{User: "chapuser", Secret: "not-the-secret"}), onevolume.Refused, []string{"CHAP"}},
		"no secret":      {lu("chap", 1, 64), onevolume.Refused, []string{"CHAP"}},
		"unknown target": {lu("nope", 1, 64), onevolume.Refused, []string{"unknown", "iqn."}},
		"no such LUN":    {lu("open1", 7, 64), onevolume.Refused, []string{"LUN 7"}},
		"controller":     {lu("open1", 0, 64), onevolume.Refused, []string{"0 (no disk)"}},
		"wrong size":     {lu("open1", 1, 65), onevolume.Mismatch, []string{"67108864", "68157440"}},
		"wrong serial":   {wrong, onevolume.Mismatch, []string{"LAB-open1-1", "SOMEBODY-ELSE"}},
		"portals closed": {lu("open1", 1, 64, lab.ClosedPortal, lab.MissingPortal), onevolume.Unreachable, []string{"3999", "10.77.0.99"}},
		"portal closed":  {lu("open1", 1, 64, lab.ClosedPortal), onevolume.Unreachable, []string{"3999"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, l, "oneadmin")
			defer l.Clean(t)
			f.Initiator = iscsi.New(iscsi.Options{ScanBudget: 2 * time.Second, LoginTimeout: 3 * time.Second})
			f.fails(tt.v, tt.code, tt.words...)
		})
	}
}

func TestLabNoSudo(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "plain")
	defer l.Clean(t)
	f.fails(lu("open1", 1, 64), onevolume.Refused, "sudo")
	state, err := f.HostCheck(t.Context(), f.conn)
	t.Logf("%+v %v", state, err)
	if err != nil || len(state.Findings) == 0 {
		t.Error(state, err)
	}
}

func TestLabHostCheck(t *testing.T) {
	f := newField(t, lab.Open(t), "oneadmin")
	state, err := f.HostCheck(t.Context(), f.conn)
	t.Logf("%+v %v", state, err)
	if err != nil || len(state.Findings) > 0 || !strings.HasPrefix(state.Initiator, "iqn.") {
		t.Error(state, err)
	}
}

func TestLabNoISCSId(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	f.asRoot("pkill -9 -x iscsid; sleep 0.2")
	defer l.Reset()
	f.fails(lu("open1", 1, 64), onevolume.Refused, "iscsid is not running")
	if state, err := f.HostCheck(t.Context(), f.conn); err != nil || len(state.Findings) != 1 {
		t.Error(state, err)
	}
}
