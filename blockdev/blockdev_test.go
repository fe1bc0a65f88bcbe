package blockdev_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
)

var portal, _ = onevolume.ParsePortal("10.0.0.1")

var volume = onevolume.Volume{
	Target:   onevolume.Target{IQN: "iqn.2026-11.test:vol1", LUN: 1, Portals: []onevolume.Portal{portal}},
	Size:     64 * onevolume.MiB,
	Identity: onevolume.Identity{Serial: "SN1"},
}

func setUp(t *testing.T) (*iscsitest.Host, *iscsitest.Unit, command.Host, iscsi.Device) {
	a := iscsitest.NewArray(t)
	u := a.Serve(volume)
	host := iscsitest.NewHost("host01", a)
	conn := commandtest.NewHost(t, "host01", host.Handle)
	d, err := iscsi.New(iscsi.Options{}).Connect(t.Context(), conn, volume.Target, iscsi.Want{Size: volume.Size})
	if err != nil {
		t.Fatal(err)
	}
	u.Content = "somebody's data"
	return host, u, conn, d
}

func TestWipe(t *testing.T) {
	_, unit, conn, d := setUp(t)
	var said []string
	err := blockdev.Wiper{}.Wipe(t.Context(), conn, d, func(phase string, done, total onevolume.Size) {
		said = append(said, fmt.Sprintf("%s %s/%s", phase, done, total))
	})
	want := []string{
		blockdev.Writing + " 0K/64M", blockdev.Writing + " 32M/64M", blockdev.Writing + " 64M/64M",
		blockdev.Reading + " 0K/64M", blockdev.Reading + " 32M/64M", blockdev.Reading + " 64M/64M",
	}
	if err != nil || !slices.Equal(said, want) || unit.Content != "" {
		t.Errorf("%v, %q, %q", err, said, unit.Content)
	}
	if err := (blockdev.Wiper{}).Format(t.Context(), conn, d, "ext4"); err != nil || unit.Content != "ext4" {
		t.Errorf("%v, %q", err, unit.Content)
	}
}

func TestWipeFails(t *testing.T) {
	for name, tt := range map[string]struct {
		setup func(*iscsitest.Host, *iscsi.Device)
		code  onevolume.Code
		word  string
	}{
		"other disk":  {func(_ *iscsitest.Host, d *iscsi.Device) { d.Number = "8:240" }, onevolume.Mismatch, "is not"},
		"not whole":   {func(_ *iscsitest.Host, d *iscsi.Device) { d.Path = "" }, onevolume.Invalid, "in full"},
		"gone":        {func(h *iscsitest.Host, _ *iscsi.Device) { h.Reboot() }, onevolume.Unreachable, "not there"},
		"mounted":     {func(h *iscsitest.Host, _ *iscsi.Device) { h.State.Holders = map[string][]string{"sda": {"/dev/sda"}} }, onevolume.Held, "in use"},
		"keeps data":  {func(h *iscsitest.Host, _ *iscsi.Device) { h.State.Wipe = "dirty not zero" }, onevolume.Refused, "32M of 64M"},
		"broken":      {func(h *iscsitest.Host, _ *iscsi.Device) { h.Fault(1, iscsitest.Lost) }, onevolume.Unknown, "not known"},
		"not started": {func(h *iscsitest.Host, _ *iscsi.Device) { h.Fault(1, iscsitest.NotRun) }, onevolume.Unreachable, "not run"},
		"killed":      {func(h *iscsitest.Host, _ *iscsi.Device) { h.Fault(1, iscsitest.Broken) }, onevolume.Internal, "137"},
	} {
		t.Run(name, func(t *testing.T) {
			host, _, conn, d := setUp(t)
			tt.setup(host, &d)
			err := blockdev.Wiper{}.Wipe(t.Context(), conn, d, nil)
			if err == nil || onevolume.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.word) || !strings.Contains(err.Error(), "host01") {
				t.Errorf("%s: %v", onevolume.CodeOf(err), err)
			}
		})
	}
}

// hung is a host on which the wipe stops saying anything.
type hung struct{ command.Host }

func (hung) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	c.OnLine("phase write")
	for n := range 3 {
		time.Sleep(4 * time.Minute)
		c.OnLine(fmt.Sprintf("done %d", n<<20))
	}
	<-ctx.Done()
	return command.Result{Code: -1}, &command.RunError{Host: "host01", Cmd: c.String(), Code: -1, Err: fmt.Errorf("%w: %w", command.ErrUnknownOutcome, ctx.Err())}
}

func (hung) Name() string { return "host01" }

func TestWipeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := iscsi.Device{Path: "/dev/disk/by-path/x", Name: "sda", Number: "8:0", Size: 64 * onevolume.MiB}
		start := time.Now()
		err := blockdev.Wiper{Patience: 5 * time.Minute}.Wipe(t.Context(), hung{}, d, nil)
		if took := time.Since(start); onevolume.CodeOf(err) != onevolume.Unreachable || took != 17*time.Minute {
			t.Errorf("after %s: %v", took, err)
		}
	})
}

func TestWipeCommands(t *testing.T) {
	cmds := blockdev.Wiper{}.WipeCommands(128*onevolume.GiB, "xfs")
	if got := cmds[0].String(); got != "blkdiscard --zeroout --offset 0 --length 1073741824 '/dev/<sdX>'" {
		t.Error(got)
	}
	if n := len(blockdev.Wiper{}.WipeCommands(onevolume.MiB, "")); n != 3 {
		t.Error(n)
	}
}

// Shells must count beyond 2^31 and 2^32: the loop of the wipe, with 3 TiB.
func TestShellCounts(t *testing.T) {
	const loop = `at=0 size=3298534883328 chunk=1073741824 n=0
while [ "$at" -lt "$size" ]; do part=$((size - at < chunk ? size - at : chunk)); at=$((at + part)); n=$((n + 1)); done; echo $n $at`
	for _, shell := range []string{"dash", "bash", "busybox"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		args := []string{"-c", loop}
		if shell == "busybox" {
			args = append([]string{"sh"}, args...)
		}
		out, err := exec.Command(shell, args...).CombinedOutput()
		if err != nil || string(out) != "3072 3298534883328\n" {
			t.Errorf("%s: %s %v", shell, out, err)
		}
	}
}
