//go:build lab

package blockdev_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/iscsi"
	"onevolume/lab"
)

// disk is a device of the lab on host01, over a connection as oneadmin.
type disk struct {
	iscsi.Device
	*testing.T
	lab  *lab.Lab
	conn command.Host
}

// connect brings a target's disk to host01 and takes it away after the test.
func connect(t *testing.T, l *lab.Lab, name string, size onevolume.Size) disk {
	t.Helper()
	h := dial(t, l)
	portals, err := onevolume.ParsePortals(lab.Portal)
	if err != nil {
		t.Fatal(err)
	}
	tg := onevolume.Target{IQN: onevolume.IQN(lab.IQNPrefix + name), LUN: 1, Portals: portals}
	i := iscsi.New(iscsi.Options{})
	d, err := i.Connect(t.Context(), h, tg, iscsi.Want{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Release(context.WithoutCancel(t.Context()), h, tg); err != nil {
			t.Error(err)
		}
	})
	return disk{d, t, l, h}
}

func dial(t *testing.T, l *lab.Lab) command.Host {
	t.Helper()
	d := ssh.NewDialer(ssh.Config{User: "oneadmin", ConfigFile: l.SSHConfig(), AgentSocket: "none"})
	h, err := d.Dial(t.Context(), "host01")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func (d disk) asRoot(line string) string {
	d.Helper()
	return d.lab.Must(d.lab.Exec("host01", line))
}

func (d disk) isError(err error, code onevolume.Code, words ...string) {
	d.Helper()
	if err == nil {
		d.Fatal("no error")
	}
	d.Logf("%s: %v\nhint: %s", onevolume.CodeOf(err), err, onevolume.HintOf(err))
	if got := onevolume.CodeOf(err); got != code {
		d.Errorf("code %s, not %s", got, code)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			d.Errorf("no %q in %q", w, err)
		}
	}
}

func TestLabWipe(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	const size = 320 * onevolume.MiB
	d := connect(t, l, "big", size)
	// Something at the beginning, in the middle and in the last sector.
	d.asRoot("for at in 0 333333 655359; do echo secret data | dd of=" + d.Path + " bs=512 seek=$at conv=notrunc,fsync 2>/dev/null; done")
	if data := l.Read("big", 1, int64(size)-512, 11); string(data) != "secret data" {
		t.Fatalf("%q", data)
	}
	var phases []string
	start := time.Now()
	err := blockdev.Wiper{}.Wipe(t.Context(), d.conn, d.Device, func(phase string, done, total onevolume.Size) {
		t.Logf("%s %s %s of %s", time.Since(start).Round(time.Millisecond), phase, done, total)
		if done == total {
			phases = append(phases, phase)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(phases) != 2 {
		t.Errorf("ended phases %q", phases)
	}
	zero := make([]byte, onevolume.MiB)
	for at := onevolume.Size(0); at < size; at += onevolume.MiB {
		if !bytes.Equal(l.Read("big", 1, int64(at), len(zero)), zero) {
			t.Fatalf("not zero at %s", at)
		}
	}
	for _, fs := range []string{"ext4", "xfs"} {
		if err := (blockdev.Wiper{}).Format(t.Context(), d.conn, d.Device, fs); err != nil {
			t.Error(err)
		}
		if got := d.asRoot("blkid -p -o value -s TYPE " + d.Path); got != fs+"\n" {
			t.Errorf("%s, not %s", got, fs)
		}
		check := map[string]string{"ext4": "e2fsck -fn ", "xfs": "xfs_repair -n "}[fs]
		d.asRoot(check + d.Path + " && mkdir -p /mnt/f && mount " + d.Path + " /mnt/f && echo hello >/mnt/f/file && umount /mnt/f && mount -o ro " + d.Path + " /mnt/f && grep hello /mnt/f/file && umount /mnt/f")
		if err := (blockdev.Wiper{}).Wipe(t.Context(), d.conn, d.Device, nil); err != nil {
			t.Error(err)
		}
	}
}

// Without the kernel's zeroing the same is done by copying.
func TestLabWipeByCopying(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	d := connect(t, l, "open1", 64*onevolume.MiB)
	d.asRoot("head -c 67108864 /dev/urandom | dd of=" + d.Path + " bs=1M conv=fsync 2>/dev/null; mv /usr/sbin/blkdiscard /root/")
	defer d.asRoot("mv /root/blkdiscard /usr/sbin/")
	// 48 MiB: the last part is smaller than the others.
	if err := (blockdev.Wiper{Chunk: 48 * onevolume.MiB}).Wipe(t.Context(), d.conn, d.Device, nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.Read("open1", 1, 0, 64<<20), make([]byte, 64<<20)) {
		t.Error("not zero")
	}
}

func TestLabWipeRefuses(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	d := connect(t, l, "open2", 64*onevolume.MiB)
	d.asRoot("echo keep me | dd of=" + d.Path + " conv=notrunc,fsync 2>/dev/null")
	kept := func() {
		t.Helper()
		if data := l.Read("open2", 1, 0, 7); string(data) != "keep me" {
			t.Errorf("%q", data)
		}
	}
	wipe := func(change func(*iscsi.Device)) error {
		dev := d.Device
		change(&dev)
		return blockdev.Wiper{}.Wipe(t.Context(), d.conn, dev, nil)
	}
	d.isError(wipe(func(x *iscsi.Device) { x.Number = "8:64" }), onevolume.Mismatch, "8:64")
	kept()
	d.isError(wipe(func(x *iscsi.Device) { x.Size += 512 }), onevolume.Mismatch, "67109376")
	kept()
	d.isError(wipe(func(x *iscsi.Device) { x.Path = "/dev/null" }), onevolume.Mismatch, "/dev/null is not")
	kept()
	d.isError(wipe(func(x *iscsi.Device) { x.Name = "sdzz" }), onevolume.Unreachable, "sdzz")
	kept()
	d.isError(wipe(func(x *iscsi.Device) { x.Path = "" }), onevolume.Invalid)
	d.isError(blockdev.Wiper{}.Format(t.Context(), d.conn, d.Device, "xfs"), onevolume.Refused, "larger than")
	d.isError(blockdev.Wiper{}.Format(t.Context(), d.conn, d.Device, "ntfs"), onevolume.Invalid)

	d.asRoot("mkfs.ext4 -q -F " + d.Path + " && mkdir -p /mnt/w && mount " + d.Path + " /mnt/w")
	err := wipe(func(*iscsi.Device) {})
	ferr := blockdev.Wiper{}.Format(t.Context(), d.conn, d.Device, "ext4")
	d.asRoot("umount /mnt/w")
	d.isError(err, onevolume.Held)
	if ferr == nil {
		t.Error("a mounted file system was overwritten")
	}
}

// The disk is removed under the wipe.
func TestLabWipeVanishes(t *testing.T) {
	l := lab.Open(t)
	d := connect(t, l, "big", 320*onevolume.MiB)
	err := blockdev.Wiper{Chunk: 32 * onevolume.MiB}.Wipe(t.Context(), d.conn, d.Device, func(phase string, done, total onevolume.Size) {
		if done == 32*onevolume.MiB && phase == blockdev.Writing {
			d.asRoot("echo 1 >/sys/block/" + d.Name + "/device/delete")
		}
	})
	d.isError(err, onevolume.Unreachable)
}
