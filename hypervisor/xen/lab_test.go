//go:build lab

package xen_test

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/xen"
	"onevolume/lab"
)

// bench is the lab's Xen host with four devices, the guest 19, and a domain 99
// that has crashed.
type bench struct {
	*lab.Lab
	iqn string
	vm  onevolume.VM
}

func (b *bench) source(lun int) string {
	return fmt.Sprintf("/dev/disk/by-path/ip-%s-iscsi-%s-lun-%d", lab.Portal, b.iqn, lun)
}

// on runs a line on the host as root.
func (b *bench) on(line string, args ...any) string {
	return b.Must(b.Exec(lab.XenHost, fmt.Sprintf(line, args...)))
}

// dial connects to the host as OpenNebula's user, or as another.
func (b *bench) dial(t *testing.T, user string) command.Host {
	t.Helper()
	d := ssh.NewDialer(ssh.Config{User: user, ConfigFile: b.SSHConfig(), AgentSocket: "none", ConnectTimeout: time.Minute})
	h, err := d.Dial(t.Context(), lab.XenHost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// clean takes all disks out of the guest again.
const clean = `xl list one-19 | grep -q -- '--p' && xl unpause one-19
for d in /sys/bus/xen-backend/devices/vbd-*; do
	[ -e $d ] || continue
	d=${d##*/vbd-}
	xl block-detach --force ${d%-*} ${d#*-}
done
bash /run/lab/guest-console one-19 30 release; true`

func (b *bench) fixture(t *testing.T) hypervisortest.Fixture {
	t.Cleanup(func() { b.Exec(lab.XenHost, clean) })
	taken := 2
	return hypervisortest.Fixture{
		Driver: xen.New(xen.Options{}), Host: b.dial(t, "oneadmin"), VM: b.vm,
		Sources: [2]string{b.source(1), b.source(2)},
		Alias:   strings.TrimSpace(b.on("readlink -f %s", b.source(1))),
		Stopped: onevolume.VM{ID: 99},
		TakeTarget: func(t *testing.T, target string) {
			taken++
			b.on("xl block-attach one-19 phy:%s %s w", b.source(taken), target)
		},
		Stuck: func(t *testing.T) (hypervisor.Disk, func()) {
			// A guest of today lets go of a disk that it has open; one that
			// does not run cannot.
			b.on("xl block-attach one-19 phy:%s xvdb w", b.source(1))
			b.await(t, func() bool { _, rc := b.Guest(19, "hold /dev/xvdb"); return rc == 0 })
			b.on("xl pause one-19")
			return hypervisor.Disk{Source: b.source(1), Target: "xvdb"}, func() { b.on("xl unpause one-19") }
		},
		Remove: func(t *testing.T) {
			b.on("xl destroy one-19")
			t.Cleanup(func() { b.guest(t) })
		},
	}
}

// guest starts the guest again.
func (b *bench) guest(t *testing.T) {
	b.on("rm -f /var/log/xen/guest-one-19.log && xl create -q /lab/guest/one-19.cfg")
	b.await(t, func() bool { return b.Exec(lab.XenHost, "grep -q 'GUEST UP' /var/log/xen/guest-one-19.log").Code == 0 })
}

func (b *bench) await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !done(); time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatal("it did not come")
		}
	}
}

func TestLab(t *testing.T) {
	b := &bench{Lab: lab.Open(t), vm: onevolume.VM{ID: 19, DeployID: "one-19"}}
	b.Reset()
	b.iqn = b.AddTarget("xen", 16)
	for lun := 2; lun <= 4; lun++ {
		b.Command("target", "add", "xen", "16", "--lun", fmt.Sprint(lun))
	}
	node := fmt.Sprintf("iscsiadm -m node -T %s -p %s", b.iqn, lab.Portal)
	b.on("%s -o new >&2 && %s --login >&2 && udevadm settle && until [ -e %s ]; do sleep 0.2; done", node, node, b.source(4))
	// A kernel without a first process crashes, and the domain is kept.
	b.on(`sed 's/one-19/one-99/; s/^memory.*/memory = 112/; s/quiet/quiet rdinit=\/none root=\/dev\/none/; $ a on_crash = "preserve"' /lab/guest/one-19.cfg >/run/lab/one-99.cfg && xl create -q /run/lab/one-99.cfg`)
	b.await(t, func() bool { return b.Exec(lab.XenHost, "xl list one-99 | grep -q '[s-]c-'").Code == 0 })
	defer b.Exec(lab.XenHost, "xl destroy one-99; "+clean+"; iscsiadm -m session -u; iscsiadm -m node -o delete")

	t.Run("suite", func(t *testing.T) { hypervisortest.Run(t, xen.New(xen.Options{}), b.fixture) })
	t.Run("guest", b.inGuest)
	t.Run("tool killed", b.toolKilled)
	t.Run("elsewhere", b.elsewhere)
	t.Run("no sudo", b.noSudo)
	t.Run("no tools", b.noTools)
}

// inGuest: the guest has the disk where GuestPath says, and loses it also when
// it has it open.
func (b *bench) inGuest(t *testing.T) {
	t.Cleanup(func() { b.Exec(lab.XenHost, clean) })
	x, h := xen.New(xen.Options{}), b.dial(t, "oneadmin")
	d := hypervisor.Disk{Source: b.source(1)}
	begin := time.Now()
	dom, err := x.Domain(t.Context(), h, b.vm)
	if err != nil {
		t.Fatal(err)
	}
	looked := time.Now()
	k, err := x.Plug(t.Context(), h, dom, d)
	if err != nil {
		t.Fatal(err)
	}
	plugged := time.Now()
	b.await(t, func() bool { _, rc := b.Guest(19, "[ -b "+x.GuestPath(k)+" ]"); return rc == 0 })
	seen := time.Now()
	if out, rc := b.Guest(19, "hold "+x.GuestPath(k)+"; echo from the guest | dd of="+x.GuestPath(k)+" bs=512 seek=3 conv=sync,fsync"); rc != 0 {
		t.Fatal(out)
	}
	if data := string(b.Read("xen", 1, 3*512, 14)); data != "from the guest" {
		t.Errorf("the target has %q", data)
	}
	asked := time.Now()
	if err := x.Unplug(t.Context(), h, b.vm, d, time.Minute); err != nil {
		t.Fatal(err)
	}
	t.Logf("look %s, plug %s, seen after %s, unplug of an open disk %s", looked.Sub(begin).Round(time.Millisecond), plugged.Sub(looked).Round(time.Millisecond),
		seen.Sub(plugged).Round(time.Millisecond), time.Since(asked).Round(time.Millisecond))
	if _, rc := b.Guest(19, "[ -b "+x.GuestPath(k)+" ]"); rc == 0 {
		t.Error("the guest still has the disk")
	}
}

// toolKilled: what xl leaves when it is killed between xenstore and the
// hotplug script is taken out by whoever comes next.
func (b *bench) toolKilled(t *testing.T) {
	t.Cleanup(func() { b.Exec(lab.XenHost, clean) })
	x, h := xen.New(xen.Options{}), b.dial(t, "oneadmin")
	d := hypervisor.Disk{Source: b.source(1)}
	for _, next := range []string{"unplug", "plug"} {
		b.on("xl block-attach one-19 phy:%s xvdp w & until ls -d /sys/bus/xen-backend/devices/vbd-* 2>/dev/null; do sleep 0.05; done; kill -9 $!; pkill -9 -f '/etc/xen/scripts/[b]lock'; rm -f /run/xen-hotplug/block", d.Source)
		dom, err := x.Domain(t.Context(), h, b.vm)
		if err != nil {
			t.Fatal(err)
		}
		if next == "plug" {
			if _, err := x.Plug(t.Context(), h, dom, d); err != nil {
				t.Error(err)
			}
		}
		if err := x.Unplug(t.Context(), h, b.vm, d, time.Minute); err != nil {
			t.Error(err)
		}
		if left := b.on("ls /sys/bus/xen-backend/devices; xenstore-ls -f /local/domain/0/backend | grep params; true"); strings.Contains(left, "vbd") || strings.Contains(left, path.Base(d.Source)) {
			t.Errorf("%s leaves %s", next, left)
		}
	}
}

// elsewhere: a source that another domain has is refused by Xen itself.
func (b *bench) elsewhere(t *testing.T) {
	t.Cleanup(func() { b.Exec(lab.XenHost, clean) })
	x, h := xen.New(xen.Options{}), b.dial(t, "oneadmin")
	b.on("xl block-attach one-99 phy:%s xvdb w", b.source(1))
	dom, err := x.Domain(t.Context(), h, b.vm)
	if err != nil {
		t.Fatal(err)
	}
	for _, readOnly := range []bool{false, true} {
		_, err = x.Plug(t.Context(), h, dom, hypervisor.Disk{Source: b.source(1), ReadOnly: readOnly})
		expect(t, err, onevolume.Held, lab.XenHost, "one-19", "mounted")
	}
	if users, err := x.Users(t.Context(), h, "one-19", []string{b.source(1)}); err != nil || len(users) != 1 || users[0] != "one-99" {
		t.Errorf("Users: %v, %v", users, err)
	}
}

func (b *bench) noSudo(t *testing.T) {
	h := b.dial(t, "plain")
	_, err := xen.New(xen.Options{}).Domain(t.Context(), h, b.vm)
	expect(t, err, onevolume.Refused, "sudo")
}

func (b *bench) noTools(t *testing.T) {
	_, err := xen.New(xen.Options{Tool: "xm"}).Domain(t.Context(), b.dial(t, "oneadmin"), b.vm)
	expect(t, err, onevolume.Unreachable, "xm: not found", "install Xen's tools")
}
