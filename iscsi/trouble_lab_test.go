//go:build lab

package iscsi_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
	"onevolume/lab"
)

// A disk that the host has mounted, swapped on or given to LVM is left alone.
func TestLabHeld(t *testing.T) {
	l := lab.Open(t)
	for name, tt := range map[string]struct{ take, word, give string }{
		"mount":     {"mkfs.ext4 -q -F %[1]s && mkdir -p '/mnt/a b' && mount %[1]s '/mnt/a b'", "mounted on /mnt/a b", "umount '/mnt/a b'; dd if=/dev/zero of=%[1]s bs=1M count=1 2>/dev/null"},
		"partition": {`printf "\0\0\0\0\203\0\0\0\0\010\0\0\0\100\0\0" | dd of=%[1]s bs=1 seek=446 2>/dev/null && printf "\125\252" | dd of=%[1]s bs=1 seek=510 2>/dev/null && blockdev --rereadpt %[1]s && udevadm settle && mkfs.ext4 -q -F %[1]s-part1 && mkdir -p /mnt/p && mount %[1]s-part1 /mnt/p`, "mounted on /mnt/p", "umount /mnt/p; dd if=/dev/zero of=%[1]s bs=1M count=4 2>/dev/null"},
		"swap":      {"mkswap %[1]s >/dev/null && swapon %[1]s", "swap", "swapoff %[1]s; dd if=/dev/zero of=%[1]s bs=1M count=1 2>/dev/null"},
		"mapper":    {"dmsetup create held --table \"0 2048 linear $(realpath %[1]s) 0\"", "device-mapper held", "dmsetup remove held # %[1]s"},
		"loop":      {"modprobe loop && losetup -f %[1]s", "a loop device", "losetup -D # %[1]s"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newField(t, l, "oneadmin")
			defer l.Clean(t)
			v := lu("open1", 1, 64)
			d := f.mustConnect(v)
			if r := l.Exec("host01", fmt.Sprintf(tt.take, d.Path)); r.Code != 0 {
				f.mustRelease(v)
				t.Fatalf("the host cannot do this: %s", r.Stderr)
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

// Several volumes at once: iscsiadm's own lock on the record data base is
// enough for different targets, ours keeps the units of one apart.
func TestLabParallel(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Clean(t)
	volumes := []onevolume.Volume{
		lu("open1", 1, 64), lu("open2", 1, 64), lu("open3", 1, 96), chap(lu("chap", 1, 64), oneWay),
		lu("shared", 1, 64), lu("shared", 2, 80),
	}
	conns := make([]command.Host, len(volumes))
	for n := range volumes {
		conns[n] = f.dial("oneadmin")
	}
	connect, release := func(h command.Host, v onevolume.Volume) error {
		_, err := f.Connect(t.Context(), h, v.Target, want(v))
		return err
	}, func(h command.Host, v onevolume.Volume) error {
		return f.Release(t.Context(), h, v.Target)
	}
	for _, do := range []func(h command.Host, v onevolume.Volume) error{connect, release, connect, release} {
		start := time.Now()
		var all sync.WaitGroup
		for n, v := range volumes {
			all.Go(func() {
				unlock, err := conns[n].Lock(t.Context(), f.LockName(v.Target), time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				if err := do(conns[n], v); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		t.Logf("%d at once took %s", len(volumes), time.Since(start).Round(time.Millisecond))
	}
}

func TestLabIPv6(t *testing.T) {
	l := lab.Open(t)
	f := newField(t, l, "oneadmin")
	defer l.Reset()
	v := lu("open1", 1, 64, "[fd00:77::1]:3260")
	for _, argv := range [][]string{
		{"ip", "-6", "addr", "replace", "fd00:77::1/64", "dev", "br0", "nodad"},
		{filepath.Join(l.Dir(), "lab"), "tgtadm", "--mode", "portal", "--op", "new", "--param", "portal=[fd00:77::1]:3260"},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v %s", argv, err, out)
		}
	}
	f.asRoot("ip -6 addr replace fd00:77::2/64 dev vec0 nodad")
	d := f.mustConnect(v)
	if d.Path != f.Path(v.Target) {
		t.Errorf("%s, not %s", d.Path, f.Path(v.Target))
	}
	f.mustConnect(v)
	f.mustRelease(v)
	l.Clean(t)
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

// Another unit took the number while the host had it. What the kernel knew of
// it is not enough.
func TestLabReplaced(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Reset()
	v := lu("open1", 1, 64)
	d := f.mustConnect(v)
	l.Command("target", "serial", "open1", "SOMETHING-ELSE")
	f.fails(v, onevolume.Mismatch, "LAB-open1-1", "SOMETHING-ELSE")
	if _, err := f.Find(t.Context(), f.conn, v.Target); err != nil {
		t.Error(err)
	}
	v.Identity.Serial = "SOMETHING-ELSE"
	d = f.mustConnect(v)
	// As a guest would have it: it is not taken away under it.
	hold := f.dial("oneadmin")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = hold.Run(t.Context(), command.Cmd{Name: "hold", Script: `exec 3<"$1"; until [ -e /tmp/let-go ]; do sleep 0.3; done`, Args: []string{d.Path}, Timeout: time.Minute})
	}()
	waitFor(t, "the disk to be held", func() bool {
		return f.lab.Exec("host01", "find /proc/[0-9]*/fd -lname /dev/"+d.Name+" 2>/dev/null | grep -q .").Code == 0
	})
	l.Command("target", "serial", "open1", "THIRD")
	f.fails(v, onevolume.Mismatch, "THIRD")
	if found, err := f.Find(t.Context(), f.conn, v.Target); err != nil || len(found) != 1 || found[0].Name != d.Name {
		t.Errorf("%+v %v", found, err)
	}
	l.Exec("host01", "touch /tmp/let-go")
	<-done
	f.mustRelease(v)
	l.Clean(t)
}

// The target is dead for good: the device is given up when the kernel does.
func TestLabReleaseDead(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	f := newField(t, l, "oneadmin")
	defer l.Reset()
	f.Initiator = iscsi.New(iscsi.Options{ReplacementTimeout: 10 * time.Second, FlushTimeout: 5 * time.Second})
	v := lu("open1", 1, 64)
	f.mustConnect(v)
	l.Command("target", "freeze")
	defer l.Command("target", "thaw")
	f.mustRelease(v)
	l.Clean(t)
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
