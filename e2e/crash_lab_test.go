//go:build lab

package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A client that is killed in the middle of an attach is followed by the
// daemon, which takes everything back, or completes it when the disk is in
// the guest.
func TestClientKilledDuringAttach(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	outcomes := map[string]int{}
	for _, after := range []time.Duration{200, 600, 900, 1200, 1600, 2200} {
		cmd := c.command(t.Context(), "oneadmin", "attach", "17", "64")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		c.eventually("the volume is in no operation", func() bool {
			s := c.show("disk1")["STATUS"]
			return s == "AVAILABLE" || s == "ATTACHED"
		})
		s := c.show("disk1")["STATUS"]
		outcomes[s]++
		if s == "ATTACHED" {
			c.pattern(17, "onevolume-0", "after-crash")
			if !c.holds("open1", 1, "after-crash") {
				t.Error("ATTACHED, but the guest's bytes do not arrive")
			}
			c.must("detach", "17", "disk1", "--yes", "--no-format")
			c.must("attach", "17", "--volume", "disk1")
			c.must("detach", "17", "disk1", "--yes")
		}
		c.untouched("disk1")
	}
	t.Logf("outcomes: %v", outcomes)
}

// Ctrl-C takes an attach back at once.
func TestInterruptedAttachIsUndone(t *testing.T) {
	c := start(t)
	c.must("create", "--name", "silent", "--iqn", "iqn.2026-11.lab.onevolume:open1", "--lun", "1", "--portal", "10.77.0.99", "--size", "64")
	cmd := c.command(t.Context(), "oneadmin", "attach", "17", "64")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("silent", "ATTACHING")
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 255 {
		t.Errorf("ended with %v, want exit status 255", err)
	}
	c.settles("silent", "AVAILABLE")
	c.eventually("host01 is clean", func() bool { return len(c.Sessions("host01"))+len(c.Records("host01")) == 0 })
}

// The terminal goes away while the volume is wiped: the wipe goes on.
func TestTerminalGoesAwayDuringWipe(t *testing.T) {
	c := start(t)
	c.volume("big", "big", 1, 320)
	c.must("attach", "17", "320")
	c.pattern(17, "onevolume-0", "to-be-wiped")
	cmd := c.command(t.Context(), "oneadmin", "detach", "17", "big", "--yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("big", "WIPING")
	_ = cmd.Process.Signal(syscall.SIGHUP)
	if err := cmd.Wait(); err != nil {
		t.Errorf("detach after SIGHUP: %v", err)
	}
	if !c.zero("big", 1) {
		t.Error("the backing store is not zero")
	}
	c.untouched("big")
}

// The client is killed while the volume is wiped: the daemon wipes it.
func TestClientKilledDuringWipe(t *testing.T) {
	c := start(t)
	c.volume("big", "big", 1, 320)
	c.must("attach", "17", "320")
	c.pattern(17, "onevolume-0", "to-be-wiped")
	cmd := c.command(t.Context(), "oneadmin", "detach", "17", "big", "--yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("big", "WIPING")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	c.settles("big", "AVAILABLE")
	if !c.zero("big", 1) {
		t.Error("the backing store is not zero")
	}
	c.untouched("big")
}

// The daemon is killed while it works for a user; its successor goes on.
func TestDaemonKilledWhileItWorks(t *testing.T) {
	c := start(t)
	c.volume("big", "big", 1, 320)
	c.must("chmod", "big", "644")
	if o := c.runAs("alice", "attach", "17", "320"); o.code != 0 {
		t.Fatalf("%s%s", o.out, o.err)
	}
	c.pattern(17, "onevolume-0", "to-be-wiped")
	client := c.command(t.Context(), "alice", "detach", "17", "big", "--yes")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("big", "WIPING")
	c.kill()
	_ = client.Wait()
	c.startDaemon()
	c.settles("big", "AVAILABLE")
	if !c.zero("big", 1) {
		t.Error("the backing store is not zero")
	}
	c.untouched("big")
}

// SIGTERM ends the daemon within its bound, whatever runs.
func TestDaemonStopsWithinItsBound(t *testing.T) {
	c := start(t)
	c.volume("big", "big", 1, 320)
	c.must("chmod", "big", "644")
	if o := c.runAs("alice", "attach", "17", "320"); o.code != 0 {
		t.Fatalf("%s%s", o.out, o.err)
	}
	client := c.command(t.Context(), "alice", "detach", "17", "big", "--yes")
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("big", "WIPING")
	begin := time.Now()
	c.down()
	if took := time.Since(begin); took > 12*time.Second {
		t.Errorf("stopping took %s with a bound of 5 s", took)
	}
	_ = client.Wait()
	c.startDaemon()
	c.settles("big", "AVAILABLE")
	c.untouched("big")
}

// The daemon is away while a client works: nothing is lost when it is back.
func TestDaemonAwayDuringAttach(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	cmd := c.command(t.Context(), "oneadmin", "attach", "17", "64")
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.settles("disk1", "ATTACHING")
	c.kill()
	c.startDaemon()
	err := cmd.Wait()
	c.eventually("the volume is in no operation", func() bool {
		s := c.show("disk1")["STATUS"]
		return s == "AVAILABLE" || s == "ATTACHED"
	})
	t.Logf("the client ended with %v\n%s", err, said.String())
	if c.show("disk1")["STATUS"] == "ATTACHED" {
		c.must("detach", "17", "disk1", "--yes")
	}
	c.untouched("disk1")
}

// kill ends the daemon without a word.
func (c *cloud) kill() {
	c.t.Helper()
	_ = c.process.Process.Signal(syscall.SIGKILL)
	c.down()
}
