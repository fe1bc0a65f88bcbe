//go:build lab

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The ssh connection ends in the middle of a command on the host, which runs
// on without anybody who listens.
func TestConnectionCutInTheMiddle(t *testing.T) {
	s := oneSite(t)
	for _, at := range []struct {
		name, program, words string
		args                 []string
		ends                 []string
	}{
		{"login", "iscsiadm", "--login", s.attaches(), []string{"AVAILABLE", "ATTACHED"}},
		{"plug", "virsh", "attach-device", s.attaches(), []string{"AVAILABLE", "ATTACHED"}},
		{"unplug", "virsh", "detach-disk", s.detaches(), []string{"AVAILABLE", "ATTACHED"}},
		{"wipe", "blkdiscard", "zeroout", s.detaches(), []string{"AVAILABLE"}},
		{"logout", "iscsiadm", "-u", s.detaches(), []string{"AVAILABLE"}},
	} {
		if at.args[0] == "attach" {
			s.brings("AVAILABLE")
		} else {
			s.brings("ATTACHED")
		}
		s.trap(at.program, at.words)
		client := s.begin(at.args...)
		s.held(at.program)
		s.Must(s.Exec(s.host, "pkill -KILL -u oneadmin -x sshd"))
		time.Sleep(time.Second)
		s.letGo(at.program)
		status := client.ends()
		end := s.settled(at.ends...)
		t.Logf("fault | ssh cut during %-7s | exit status %d | %s", at.name, status, end)
	}
	s.off()
}

// A host that stands still in the middle of an attach holds nobody else up.
// When it goes on, what its dead client had begun there changes nothing that
// the inventory does not know.
func TestHostFrozenDuringAttach(t *testing.T) {
	s := oneSite(t)
	s.volume("other", "open2", 1, 64)
	s.trap("virsh", "attach-device")
	client := s.begin(s.attaches()...)
	s.held("virsh")
	s.Command("node", "freeze", s.host)
	t.Cleanup(func() { s.Command("node", "thaw", s.host) })
	_ = client.Process.Kill()
	client.ends()

	begin := time.Now()
	s.must("attach", "18", "--volume", "other")
	s.must("detach", "18", "other", "--yes")
	t.Logf("attach and detach on the other host took %s", time.Since(begin).Round(time.Millisecond))
	s.state("disk", "ATTACHING")

	time.Sleep(time.Until(begin.Add(8 * time.Second))) // the daemon has tried to take over
	s.state("disk", "ATTACHING")
	s.Command("node", "thaw", s.host)
	s.letGo("virsh")
	end := s.settled("AVAILABLE", "ATTACHED")
	time.Sleep(3 * time.Second)
	s.truly(s.show("disk")["STATUS"], end)
	t.Logf("fault | host frozen during attach | %s", end)
	s.off()
}

// The client lives, and its host stands still for longer than the lease.
func TestHostFrozenAndThawed(t *testing.T) {
	s := oneSite(t)
	s.trap("virsh", "attach-device")
	client := s.begin(s.attaches()...)
	s.held("virsh")
	s.Command("node", "freeze", s.host)
	t.Cleanup(func() { s.Command("node", "thaw", s.host) })
	time.Sleep(7 * time.Second)
	s.state("disk", "ATTACHING")
	s.Command("node", "thaw", s.host)
	s.letGo("virsh")
	status := client.ends()
	end := s.settled("ATTACHED")
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
	t.Logf("fault | host frozen for 7 s, the client waits | %s", end)
	s.off()
}

// iscsid is away before an attach, and dies during one. What is attached
// already goes on.
func TestIscsidKilled(t *testing.T) {
	s := oneSite(t)
	s.Must(s.Exec(s.host, "pkill -KILL -x iscsid; while pgrep -x iscsid; do sleep 0.05; done"))
	s.refused(s.attaches(), "iscsid", s.host, "Hint: ")
	s.settled("AVAILABLE")
	s.Must(s.Exec(s.host, "iscsid"))
	s.must(s.attaches()...)

	s.volume("second", "open1", 1, 64)
	s.trap("iscsiadm", "--login")
	client := s.begin("attach", fmt.Sprint(s.vm), "--volume", "second")
	s.held("iscsiadm")
	s.Must(s.Exec(s.host, "pkill -KILL -x iscsid; while pgrep -x iscsid; do sleep 0.05; done; iscsid"))
	s.letGo("iscsiadm")
	client.ends()
	s.eventually("no operation has the second volume", func() bool { return !strings.HasSuffix(s.show("second")["STATUS"], "ING") })
	s.truly(s.show("disk")["STATUS"], "ATTACHED", 1+s.disksOf("second"))
	switch end := s.show("second")["STATUS"]; end {
	case "ATTACHED":
		s.pattern(s.vm, "onevolume-1", "second")
		if !s.holds("open1", 1, "second") {
			t.Error("the second volume is ATTACHED and does not work")
		}
		s.must("detach", fmt.Sprint(s.vm), "second", "--yes")
	case "AVAILABLE":
		if n := len(s.Sessions(s.host)); n != 1 {
			t.Errorf("the second volume is free, and there are %d sessions", n)
		}
	default:
		t.Errorf("the second volume is %s", end)
	}
	s.off()
}

// disksOf is 1 when the volume is attached.
func (s *site) disksOf(volume string) int {
	if s.show(volume)["STATUS"] == "ATTACHED" {
		return 1
	}
	return 0
}

// libvirtd dies with a request on its table and is started again.
func TestLibvirtdRestarted(t *testing.T) {
	s := oneSite(t)
	for _, at := range []struct {
		words string
		args  []string
	}{{"attach-device", s.attaches()}, {"detach-disk", s.detaches()}} {
		if at.args[0] == "detach" {
			s.brings("ATTACHED")
		}
		s.trap("virsh", at.words)
		client := s.begin(at.args...)
		s.held("virsh")
		s.Must(s.Exec(s.host, "pkill -STOP -x libvirtd"))
		s.letGo("virsh")
		time.Sleep(time.Second) // virsh waits for an answer
		s.Must(s.Exec(s.host, "pkill -KILL -x libvirtd; while pgrep -x libvirtd; do sleep 0.05; done; libvirtd -d"))
		status := client.ends()
		end := s.settled("AVAILABLE", "ATTACHED")
		t.Logf("fault | libvirtd killed during %s | exit status %d | %s", at.args[0], status, end)
	}
	s.off()
}
