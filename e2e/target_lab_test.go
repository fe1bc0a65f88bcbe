//go:build lab

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"onevolume/lab"
)

// quickly has I/O on a lost session fail after a few seconds.
func quickly(s *site) { s.iscsi = "login_timeout: 3s, replacement_timeout: 5s" }

// The target stops before the login, while it is under way, and after it.
// Nothing is left, and the same attach works when the target is back.
func TestTargetStops(t *testing.T) {
	s := oneSite(t, quickly)
	s.part("before", func(t *testing.T) {
		s.Command("target", "down")
		defer s.Command("target", "up")
		s.refused(s.attaches(), s.target, s.host, lab.Portal, "Hint: ")
		t.Logf("fault | target stopped before login | refused | %s", s.settled("AVAILABLE"))
	})
	s.part("during", func(t *testing.T) {
		s.Command("target", "freeze") // it takes the connection and does not answer
		defer s.Command("target", "thaw")
		s.refused(s.attaches(), s.target, s.host, "Hint: ")
		t.Logf("fault | target silent during login | refused | %s", s.settled("AVAILABLE"))
	})
	s.part("after", func(t *testing.T) {
		s.trap("virsh", "attach-device")
		client := s.begin(s.attaches()...)
		s.held("virsh")
		s.Command("target", "stop")
		s.letGo("virsh")
		status := client.ends()
		s.Command("target", "start")
		end := s.settled("AVAILABLE", "ATTACHED")
		if (status == 0) != (end == "ATTACHED") {
			t.Errorf("exit status %d, and the volume is %s", status, end)
		}
		t.Logf("fault | target stopped between login and plug | exit status %d | %s", status, end)
	})
	// libvirt may count the device that died as in use still: what is said to
	// do about that must help.
	if o := s.cloud.run(s.attaches()...); o.code != 0 {
		if !strings.Contains(o.err, "which is already in use") || !strings.Contains(o.err, "nsenter -m -t $(cat /run/libvirt/qemu/one-17.pid) rm /dev/sd") {
			t.Fatalf("the attach after it fails otherwise: %s", o.err)
		}
		s.settled("AVAILABLE")
		s.Must(s.Exec(s.host, "nsenter -m -t $(cat /run/libvirt/qemu/one-17.pid) rm /dev/sda"))
		s.must(s.attaches()...)
	}
	s.settled("ATTACHED")
	s.off()
}

// The target daemon is away for some seconds while the guest writes: its
// writes wait, none is lost, and the guest notices nothing.
func TestTargetRestartedWhileTheGuestWrites(t *testing.T) {
	s := oneSite(t)
	s.must(s.attaches()...)
	const blocks = 120
	s.pattern(s.vm, "onevolume-0", "first")
	out, code := s.Guest(s.vm, fmt.Sprintf("rm -f /written; (i=0; while [ $i -lt %d ]; do printf 'block %%08d' $i | "+
		"dd of=$(disk onevolume-0) bs=4096 seek=$i conv=sync,fsync,notrunc 2>/dev/null || echo lost $i >>/lost; i=$((i+1)); echo $i >/written; done) &", blocks))
	if code != 0 {
		t.Fatal(out)
	}
	written := func() int {
		var n int
		out, _ := s.Guest(s.vm, "cat /written")
		_, _ = fmt.Sscan(out, &n)
		return n
	}
	s.eventually("the guest writes", func() bool { return written() > 3 })
	s.Command("target", "stop")
	before := written()
	time.Sleep(4 * time.Second)
	after := written()
	s.Command("target", "start")
	if before >= blocks || after >= blocks {
		t.Fatalf("the guest was too quick: %d blocks before, %d after the target was away", before, after)
	}
	s.eventually("the guest has written all", func() bool { return written() == blocks })
	if out, _ := s.Guest(s.vm, "cat /lost"); strings.Contains(out, "lost ") {
		t.Errorf("the guest's writes failed: %s", out)
	}
	var want bytes.Buffer
	for i := range blocks {
		block := make([]byte, 4096)
		copy(block, fmt.Sprintf("block %08d", i))
		want.Write(block)
	}
	if got := s.Read(s.target, 1, 0, blocks*4096); !bytes.Equal(got, want.Bytes()) {
		t.Error("the backing store does not hold what the guest wrote")
	}
	t.Logf("fault | target restarted while the guest writes | %d of %d blocks before, %d while it was away, all arrived", before, blocks, after-before)
	s.settled("ATTACHED")
	s.off()
}

// replace puts another unit of the same size in the place of the volume's,
// with data of its own.
func (s *site) replace() {
	s.t.Helper()
	s.Command("target", "serial", s.target, "SOMEBODY-ELSES")
	f, err := os.OpenFile(s.Backing(s.target, 1), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("precious"), 51200); err != nil {
		s.t.Fatal(err)
	}
}

// Behind the IQN and LUN on record there is another unit, of the same size:
// it is neither given to a guest nor wiped.
func TestUnitReplaced(t *testing.T) {
	s := oneSite(t)
	s.must(s.attaches()...) // which records its identity
	s.off()
	s.part("before attach", func(t *testing.T) {
		s.replace()
		s.refused(s.attaches(), "LAB-"+s.target+"-1", "SOMEBODY-ELSES")
		s.state("disk", "AVAILABLE")
		s.Clean(t, s.host)
		if !s.holds(s.target, 1, "precious") {
			t.Error("the other unit was written to")
		}
		s.restore()
	})
	for _, at := range []string{"3/after", "4/after"} { // unplugged; proven
		s.part("before wipe "+at, func(t *testing.T) {
			s.brings("ATTACHED")
			s.restart("ONEVOLUME_CRASH=" + at)
			s.begin(append(s.detaches(), "--server")...).ends()
			<-s.ended
			s.replace()
			s.restart()
			s.settles("disk", "ERROR")
			if reason := s.show("disk")["REASON"]; !strings.Contains(reason, "SOMEBODY-ELSES") {
				t.Errorf("the reason does not say which unit is there: %s", reason)
			}
			if !s.holds(s.target, 1, "precious") {
				t.Error("the other unit was written to")
			}
			t.Logf("fault | unit replaced between unplug and wipe, %s | %s", at, s.show("disk")["REASON"])
			// The right unit is back: the same command puts all right.
			s.restore()
			s.must(s.detaches()...)
			s.settled("AVAILABLE")
		})
	}
}

// restore puts the volume's own unit back.
func (s *site) restore() {
	s.t.Helper()
	s.Command("target", "serial", s.target, "LAB-"+s.target+"-1")
	f, err := os.OpenFile(s.Backing(s.target, 1), os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 8), 51200); err != nil {
		s.t.Fatal(err)
	}
}

// Of two portals one is down, whichever comes first.
func TestOneOfTwoPortalsDown(t *testing.T) {
	s := oneSite(t)
	for _, order := range [][2]string{{lab.Portal, lab.OtherPortal}, {lab.OtherPortal, lab.Portal}} {
		s.must("delete", "disk")
		s.must("create", "--name", "disk", "--iqn", lab.IQNPrefix+s.target, "--lun", "1", "--size", "16", "--portal", order[0]+","+order[1])
		for i, dead := range order {
			_, port, _ := strings.Cut(dead, ":")
			s.Command("target", "down", port)
			s.must("attach", fmt.Sprint(s.vm), "--volume", "disk")
			if xml := s.DomainXML(s.host, s.vm); !strings.Contains(xml, "ip-"+order[1-i]+"-iscsi") {
				t.Errorf("the disk does not come by %s", order[1-i])
			}
			s.must("detach", fmt.Sprint(s.vm), "disk", "--yes")
			s.Command("target", "up", port)
			s.Clean(t, s.host)
			t.Logf("fault | portals %v, %s down | came by %s", order, dead, order[1-i])
		}
	}
}
