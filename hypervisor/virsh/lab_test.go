//go:build lab

package virsh_test

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
	"onevolume/lab"
)

// bench is host01 of the lab with three devices and the guest 17.
type bench struct {
	*lab.Lab
	iqn string
	vm  onevolume.VM
}

const labOdd = `/dev/onevolume-odd/it's "$(touch ` + hypervisortest.Injection + `)" & <so> on`

func newBench(t *testing.T) *bench {
	b := &bench{Lab: lab.Open(t), vm: onevolume.VM{ID: 17}}
	b.prepare()
	return b
}

// prepare makes the lab as new and the devices appear on the host, with an
// odd path to the third.
func (b *bench) prepare() {
	b.Reset()
	b.iqn = b.AddTarget("virsh", 16)
	b.Command("target", "add", "virsh", "16", "--lun", "2")
	b.Command("target", "add", "virsh", "16", "--lun", "3")
	node := fmt.Sprintf("iscsiadm -m node -T %s -p %s", b.iqn, lab.Portal)
	b.on("%s -o new >&2 && %s --login >&2 && udevadm settle && until [ -e %s ]; do sleep 0.1; done", node, node, b.source(3))
	b.on("mkdir -p %s && ln -sf %s %s", command.Quote(path.Dir(labOdd)), b.source(3), command.Quote(labOdd))
	b.vm.DeployID = strings.TrimSpace(b.on("virsh -c qemu:///system domuuid one-17"))
	b.on(`virsh -c qemu:///system dumpxml one-17 | sed "/<uuid>/d; s/one-17/one-99/g" >/tmp/one-99.xml && virsh -c qemu:///system define /tmp/one-99.xml`)
}

// undo takes away what a reset does not expect: a domain that is defined.
func (b *bench) undo() { b.Exec("host01", "virsh -c qemu:///system undefine one-99") }

func (b *bench) source(lun int) string {
	return fmt.Sprintf("/dev/disk/by-path/ip-%s-iscsi-%s-lun-%d", lab.Portal, b.iqn, lun)
}

// on runs a line on the host as root.
func (b *bench) on(line string, args ...any) string {
	return b.Must(b.Exec("host01", fmt.Sprintf(line, args...)))
}

// dial connects to the host as OpenNebula's user.
func (b *bench) dial(t *testing.T) command.Host {
	t.Helper()
	d := ssh.NewDialer(ssh.Config{User: "oneadmin", ConfigFile: b.SSHConfig(), AgentSocket: "none"})
	h, err := d.Dial(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// rescan has the host's kernel ask the first device for its size.
func (b *bench) rescan() {
	b.on("name=$(basename $(readlink -f %s)) && echo 1 >/sys/block/$name/device/rescan", b.source(1))
}

// clean takes all disks out of the guest again. It asks libvirt only when
// libvirt's own file of the guest says that there is something to do.
func (b *bench) clean() {
	b.Exec("host01", `file=/run/libvirt/qemu/one-17.xml
grep -q "<domstatus state='running'" $file || virsh -c qemu:///system resume one-17
grep -q '<disk ' $file || exit 0
for t in $(virsh -c qemu:///system -q domblklist one-17 | awk 'NF { print $1 }'); do virsh -c qemu:///system detach-disk one-17 $t --live; done`)
}

func (b *bench) fixture(t *testing.T) hypervisortest.Fixture {
	t.Cleanup(b.clean)
	taken := 0
	return hypervisortest.Fixture{
		Driver: virsh.New(virsh.Options{}), Host: b.dial(t), VM: b.vm,
		Sources: [2]string{b.source(1), b.source(2)},
		Alias:   strings.TrimSpace(b.on("readlink -f %s", b.source(1))),
		Odd:     labOdd,
		Stopped: onevolume.VM{ID: 99},
		TakeTarget: func(t *testing.T, target string) {
			taken++ // the unit: without an address, libvirt adds controllers up to one that it derives from the name
			b.on("truncate -s 8M /var/tmp/%s.img && virsh -c qemu:///system attach-disk one-17 /var/tmp/%s.img %s --targetbus scsi --address scsi:0.0.%d --live", target, target, target, taken)
		},
		Stuck: func(t *testing.T) (hypervisor.Disk, func()) {
			d := hypervisor.Disk{Source: b.source(1), Target: "vdz", Bus: "virtio", Serial: "onevolume-9"}
			b.on("virsh -c qemu:///system attach-disk one-17 %s vdz --targetbus virtio --serial onevolume-9 --live", d.Source)
			b.await(t, func() bool { _, rc := b.Guest(17, "disk onevolume-9"); return rc == 0 })
			b.on("virsh -c qemu:///system suspend one-17")
			return d, func() { b.on("virsh -c qemu:///system resume one-17") }
		},
		Grow: func(t *testing.T) onevolume.Size {
			t.Cleanup(func() {
				b.Command("target", "resize", "virsh", "16")
				b.rescan()
			})
			b.Command("target", "resize", "virsh", "24")
			b.rescan()
			return 24 * onevolume.MiB
		},
		Sees: func(t *testing.T, serial string) onevolume.Size {
			b.await(t, func() bool { _, rc := b.Guest(17, "disk "+serial); return rc == 0 })
			dev, _ := b.Guest(17, "disk "+serial)
			out, rc := b.Guest(17, "cat /sys/block/"+path.Base(strings.TrimSpace(dev))+"/size")
			sectors, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
			if rc != 0 || err != nil {
				t.Fatalf("the size of %s in the guest: %q, %d, %v", dev, out, rc, err)
			}
			return onevolume.Size(sectors * 512)
		},
		Remove: func(t *testing.T) {
			b.on("virsh -c qemu:///system destroy one-17")
			t.Cleanup(func() {
				b.undo()
				b.prepare()
			})
		},
	}
}

func (b *bench) await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come")
		}
	}
}

func TestLab(t *testing.T) {
	b := newBench(t)
	defer func() {
		b.undo()
		b.Exec("host01", "iscsiadm -m session -u; iscsiadm -m node -o delete")
	}()
	t.Run("suite", func(t *testing.T) { hypervisortest.Run(t, virsh.New(virsh.Options{}), b.fixture) })
	t.Run("guest", b.guest)
	t.Run("late attach", b.lateAttach)
	t.Run("no sudo", b.noSudo)
	t.Run("no libvirt", b.noLibvirt)
}

// guest sees the serial where GuestPath expects it, and has no say when the
// disk goes.
func (b *bench) guest(t *testing.T) {
	t.Cleanup(b.clean)
	v, h := virsh.New(virsh.Options{}), b.dial(t)
	d := hypervisor.Disk{Source: b.source(1), Serial: "onevolume-7"}
	for round := range 3 {
		begin := time.Now()
		dom, err := v.Domain(t.Context(), h, b.vm)
		if err != nil {
			t.Fatal(err)
		}
		looked := time.Now()
		if d, err = v.Plug(t.Context(), h, dom, d); err != nil {
			t.Fatal(err)
		}
		plugged := time.Now()
		b.await(t, func() bool { _, rc := b.Guest(17, "disk onevolume-7"); return rc == 0 })
		dev, _ := b.Guest(17, "disk onevolume-7")
		dev = strings.TrimPrefix(strings.TrimSpace(dev), "/dev/")
		page, _ := b.Guest(17, "hexdump -v -e '1/1 \"%02x\"' /sys/block/"+dev+"/device/vpd_pg83")
		// The header, then one designator: ASCII, type 0 (vendor
		// specific), which is the serial.
		if want := fmt.Sprintf("0083000f0200000b%x", "onevolume-7"); strings.TrimSpace(page) != want {
			t.Errorf("page 83h is %q, expected %q", page, want)
		}
		if names, _ := b.Guest(17, "cat /sys/block/"+dev+"/device/vendor /sys/block/"+dev+"/device/model"); strings.Join(strings.Fields(names), "_") != "QEMU_QEMU_HARDDISK" {
			t.Errorf("vendor and model are %q", names)
		}
		if _, rc := b.Guest(17, "hold /dev/"+dev); rc != 0 {
			t.Error("the guest cannot open its disk")
		}
		unplug := time.Now()
		if err := v.Unplug(t.Context(), h, b.vm, d, 10*time.Second); err != nil {
			t.Errorf("Unplug of a disk that the guest has open: %v", err)
		}
		t.Logf("round %d: Domain %s, Plug %s, Unplug %s", round, looked.Sub(begin), plugged.Sub(looked), time.Since(unplug))
		b.Guest(17, "release")
	}
}

// lateAttach gives up on a hypervisor that hangs, and sees the disk through
// that comes later.
func (b *bench) lateAttach(t *testing.T) {
	t.Cleanup(b.clean)
	h := b.dial(t)
	v := virsh.New(virsh.Options{})
	dom, err := v.Domain(t.Context(), h, b.vm)
	if err != nil {
		t.Fatal(err)
	}
	b.on("kill -STOP $(cat /run/libvirt/qemu/one-17.pid)")
	d := hypervisor.Disk{Source: b.source(1), Serial: "onevolume-7"}
	_, err = virsh.New(virsh.Options{Timeout: 3 * time.Second}).Plug(t.Context(), h, dom, d)
	expect(t, err, onevolume.Unknown, "host01", "one-17")
	h = b.dial(t)
	expect(t, v.Unplug(t.Context(), h, b.vm, d, 2*time.Second), onevolume.Busy, "occupied")
	b.on("kill -CONT $(cat /run/libvirt/qemu/one-17.pid)")
	if err := v.Unplug(t.Context(), h, b.vm, d, 20*time.Second); err != nil {
		t.Error(err)
	}
	if out := b.on("virsh -c qemu:///system domblklist one-17"); strings.Contains(out, b.source(1)) {
		t.Errorf("the disk came later: %s", out)
	}
}

func (b *bench) noSudo(t *testing.T) {
	d := ssh.NewDialer(ssh.Config{User: "plain", ConfigFile: b.SSHConfig(), AgentSocket: "none"})
	h, err := d.Dial(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	_, err = virsh.New(virsh.Options{Sudo: true}).Domain(t.Context(), h, b.vm)
	expect(t, err, onevolume.Refused, "sudo")
}

func (b *bench) noLibvirt(t *testing.T) {
	h := b.dial(t)
	v := virsh.New(virsh.Options{})
	b.on("kill $(pgrep -x libvirtd) && while pgrep -x libvirtd; do sleep 0.1; done")
	t.Cleanup(func() { b.on("libvirtd -d") })
	_, err := v.Domain(t.Context(), h, b.vm)
	expect(t, err, onevolume.Unreachable, "host01", "libvirtd")
	_, err = v.Users(t.Context(), h, "", []string{b.source(1)})
	expect(t, err, onevolume.Unreachable, "host01", "libvirtd")
}
