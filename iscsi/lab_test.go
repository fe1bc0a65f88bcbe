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
	*testing.T
	lab  *lab.Lab
	conn command.Host
	*iscsi.Initiator
}

func newField(t *testing.T, l *lab.Lab, user string) *field {
	t.Helper()
	f := &field{T: t, lab: l, Initiator: iscsi.New(iscsi.Options{})}
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

// A disk that the host has mounted, swapped on or given to LVM is left alone.
func TestLabHeld(t *testing.T) {
	l := lab.Open(t)
	for name, tt := range map[string]struct{ take, word, give string }{
		"mount":     {"mkfs.ext4 -q -F %[1]s && mkdir -p '/mnt/a b' && mount %[1]s '/mnt/a b'", "mounted on /mnt/a b", "umount '/mnt/a b'; dd if=/dev/zero of=%[1]s bs=1M count=1 2>/dev/null"},
		"partition": {`printf "\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0" | dd of=%[1]s bs=1 seek=446 2>/dev/null && printf "\125\252" | dd of=%[1]s bs=1 seek=510 2>/dev/null && blockdev --rereadpt %[1]s && udevadm settle && mkfs.ext4 -q -F %[1]s-part1 && mkdir -p /mnt/p && mount %[1]s-part1 /mnt/p`, "mounted on /mnt/p", "umount /mnt/p; dd if=/dev/zero of=%[1]s bs=1M count=4 2>/dev/null"},
		"swap":      {"mkswap %[1]s >/dev/null && swapon %[1]s", "swap", "swapoff %[1]s; dd if=/dev/zero of=%[1]s bs=1M count=1 2>/dev/null"},
		"mapper":    {"dmsetup create held --table \"0 2048 linear $(realpath %[1]s) 0\"", "device-mapper held", "dmsetup remove held # %[1]s"},
		"loop":      {"losetup -f %[1]s", "a loop device", "losetup -D # %[1]s"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, l, "oneadmin")
			defer l.Clean(t)
			v := lu("open1", 1, 64)
			d := f.mustConnect(v)
			if r := l.Exec("host01", fmt.Sprintf(tt.take, d.Path)); r.Code != 0 {
				f.mustRelease(v)
				t.Skipf("the host cannot do this: %s", r.Stderr)
			}
			f.fails(v, onevolume.Held, tt.word)
			f.isError(f.Release(t.Context(), f.conn, v.Target), onevolume.Held, tt.word)
			f.asRoot(fmt.Sprintf(tt.give, d.Path))
			f.mustRelease(v)
		})
	}
}

// What an administrator did by hand does not stand in the way.
func TestLabByHand(t *testing.T) {
	l := lab.Open(t)
	v := lu("open2", 1, 64)
	node := "iscsiadm -m node -T " + string(v.Target.IQN) + " -p " + lab.Portal
	for name, line := range map[string]string{
		"session":            node + " -o new && " + node + " --login",
		"stale record":       node + " -o new && " + node + " -o update -n node.session.scan -v auto -n node.startup -v automatic",
		"discovered":         "iscsiadm -m discovery -t st -p " + lab.Portal + " >/dev/null; iscsiadm -m node -L manual >/dev/null 2>&1; " + node + " --logout; true",
		"half a record":      "mkdir -p /etc/iscsi/nodes/" + string(v.Target.IQN) + " && : > /etc/iscsi/nodes/" + string(v.Target.IQN) + "/10.77.0.1,3260",
		"duplicate sessions": node + " -o new && " + node + " -o update -n node.session.nr_sessions -v 2 && " + node + " --login",
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, l, "oneadmin")
			defer l.Clean(t)
			f.asRoot(line + " >/dev/null")
			f.mustConnect(v)
			f.mustRelease(v)
			if name == "discovered" {
				f.asRoot("for s in /sys/class/iscsi_session/session*; do iscsiadm -m session -r ${s##*session} -u; done; iscsiadm -m node -o delete; rm -rf /etc/iscsi/send_targets/*")
			}
		})
	}
}

// A record of a discovery hides the one we write the credentials to.
func TestLabDiscoveredCHAP(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	v := chap(lu("chap", 1, 64), oneWay)
	f.asRoot("iscsiadm -m discovery -t st -p " + lab.Portal + " >/dev/null")
	f.mustConnect(v)
	f.mustRelease(v)
	f.asRoot("iscsiadm -m node -o delete; rm -rf /etc/iscsi/send_targets/*")
}

// No process on the host ever has a secret among its arguments or in its
// environment.
func TestLabSecretsStayHidden(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	v := chap(lu("mutual", 1, 64), mutual)
	watch := make(chan string)
	go func() {
		r := l.Exec("host01", `n=0; while [ ! -e /tmp/stop ]; do n=$((n+1)); cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\0' '\n' | grep -e '[c]hapsecret' -e '[m]utualsecret'; done; rm /tmp/stop; echo $n rounds`)
		watch <- r.Stdout
	}()
	time.Sleep(300 * time.Millisecond)
	f.mustConnect(v)
	f.mustRelease(v)
	f.asRoot("touch /tmp/stop")
	said := <-watch
	t.Log(said)
	if strings.Contains(said, "secret") {
		t.Error("a secret was seen")
	}
}

// LUNs from 256 up have another form of link.
func TestLabLargeLUN(t *testing.T) {
	l := lab.Open(t)
	l.Command("target", "add", "large", "64", "--lun", "300")
	defer l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	v := lu("large", 300, 64)
	d := f.mustConnect(v)
	// As it is, or as tgt has it, in flat addressing.
	if flat := strings.Replace(f.Path(v.Target), "lun-0x0", "lun-0x4", 1); d.Path != f.Path(v.Target) && d.Path != flat {
		t.Errorf("%s, neither %s nor %s", d.Path, f.Path(v.Target), flat)
	}
	f.asRoot("test -b " + d.Path)
	if again := f.mustConnect(v); again.Fresh {
		t.Error("not found again")
	}
	f.mustRelease(v)
}

// The unit was made larger on the array while the host had it.
func TestLabResized(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	defer l.Reset()
	v := lu("open1", 1, 64)
	f.mustConnect(v)
	l.Command("target", "resize", "open1", "96")
	v.Size = 96 * onevolume.MiB
	f.mustConnect(v)
	f.mustRelease(v)
}

// The target dies under the session. Nothing hangs, nothing is taken for
// good, and all is well when it is back.
func TestLabLostSession(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	defer l.Reset()
	f.Initiator = iscsi.New(iscsi.Options{RecoveryWait: time.Second, ReplacementTimeout: 20 * time.Second, FlushTimeout: 5 * time.Second})
	v := lu("open1", 1, 64)
	f.mustConnect(v)
	l.Command("target", "down")
	f.asRoot("ss -K dst 10.77.0.1 dport = 3260 >/dev/null 2>&1; true")
	l.Command("target", "freeze")
	waitFor(t, "the session to be lost", func() bool {
		return strings.Contains(f.asRoot("cat /sys/class/iscsi_session/session*/state"), "FAILED")
	})
	f.fails(v, onevolume.Unreachable, "lost")
	l.Command("target", "thaw")
	l.Command("target", "up")
	waitFor(t, "the session to come back", func() bool {
		return strings.Contains(f.asRoot("cat /sys/class/iscsi_session/session*/state"), "LOGGED_IN")
	})
	f.mustConnect(v)
	f.mustRelease(v)
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !condition(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}
