//go:build lab

package lab_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"onevolume/lab"
)

const virsh = "virsh -q -c qemu:///system"

// login logs a host in to LUN 1 of a target, as oneadmin and without discovery, and returns the disk's link.
func login(t *testing.T, l *lab.Lab, host, iqn string) string {
	t.Helper()
	for _, action := range [][]string{{"-o", "new"}, {"--login"}} {
		argv := append([]string{"sudo", "-n", "iscsiadm", "-m", "node", "-T", iqn, "-p", lab.Portal}, action...)
		l.Must(l.ExecAs("oneadmin", host, argv...))
	}
	link := fmt.Sprintf("/dev/disk/by-path/ip-%s-iscsi-%s-lun-1", lab.Portal, iqn)
	eventually(t, "the link of "+iqn, func() bool { return l.Exec(host, "test", "-b", link).Code == 0 })
	return link
}

// plug gives a disk to a guest.
func plug(t *testing.T, l *lab.Lab, host string, vm int, link, serial string) {
	t.Helper()
	xml := fmt.Sprintf(`<disk type="block" device="disk"><driver name="qemu" type="raw" cache="none"/>`+
		`<source dev="%s"/><target dev="sdz" bus="scsi"/><serial>%s</serial>`+
		`<address type="drive" controller="0" bus="0" target="0" unit="200"/></disk>`, link, serial)
	l.Must(l.ExecAs("oneadmin", host, fmt.Sprintf("echo '%s' | %s attach-device one-%d /dev/stdin --live", xml, virsh, vm)))
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s", what)
		}
	}
}

func TestStartedTwice(t *testing.T) {
	l := lab.Open(t)
	l.Command("start")
	if status := l.Command("status"); strings.Contains(status, "down") {
		t.Errorf("status: %s", status)
	}
}

func TestTargetAdded(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	iqn := l.AddTarget("extra", 32, "--chap", "someone:secretsecret", "--serial", "SERIAL-32")
	if r := l.ExecAs("oneadmin", "host01", "sudo", "-n", "iscsiadm", "-m", "node", "-T", iqn, "-p", lab.Portal,
		"-o", "new"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	if r := l.ExecAs("oneadmin", "host01", "sudo", "-n", "iscsiadm", "-m", "node", "-T", iqn, "-p", lab.Portal,
		"--login"); r.Code != 24 {
		t.Errorf("login without the secret: exit status %d, want 24", r.Code)
	}
	l.Command("target", "del", "extra")
	l.AddTarget("extra", 32, "--serial", "SERIAL-32")
	login(t, l, "host01", iqn)
	if sessions := l.Sessions("host01"); !slices.Equal(sessions, []string{iqn}) {
		t.Errorf("sessions: %q", sessions)
	}
	records := l.Records("host01")
	if len(records) != 1 || !strings.HasPrefix(records[0], lab.Portal+",") || !strings.HasSuffix(records[0], " "+iqn) {
		t.Errorf("records: %q", records)
	}
	if serial := l.Must(l.Exec("host01", "lsblk -dno SERIAL /dev/sd*")); strings.TrimSpace(serial) != "SERIAL-32" {
		t.Errorf("serial number %q", serial)
	}
	if r := l.ExecAs("plain", "host01", "sudo", "-n", "iscsiadm", "-m", "session"); r.Code == 0 {
		t.Error("plain may sudo")
	}
	l.Reset()
	l.Clean(t)
}

func TestHotPlug(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	link := login(t, l, "host01", lab.IQNPrefix+"open1")
	plug(t, l, "host01", 17, link, "a-volume")
	eventually(t, "the disk in the guest", func() bool {
		_, code := l.Guest(17, "disk a-volume")
		return code == 0
	})
	if out, code := l.Guest(17, "echo written | dd of=$(disk a-volume) bs=512 seek=8 conv=fsync,sync"); code != 0 {
		t.Fatal(out)
	}
	if data := l.Read("open1", 1, 8*512, 8); !bytes.Equal(data, []byte("written\n")) {
		t.Errorf("the target has stored %q", data)
	}
	if !strings.Contains(l.DomainXML("host01", 17), link) {
		t.Error("the guest's description does not name the disk")
	}
	if disks := l.Disks("host01", 17); !slices.Equal(disks, []string{"sdz " + link}) {
		t.Errorf("disks: %q", disks)
	}
	left := strings.Join(l.Left("host01", "host02"), "\n")
	for _, what := range []string{"host01: session to " + lab.IQNPrefix + "open1", "node record /etc/iscsi/nodes/", "link /dev/disk/by-path/", "<disk ", link} {
		if !strings.Contains(left, what) {
			t.Errorf("nothing of %q in what is left:\n%s", what, left)
		}
	}
	if strings.Contains(left, "host02") {
		t.Errorf("left: %s", left)
	}
	l.Guest(17, "hold $(disk a-volume)")
	l.Reset()
	l.Clean(t)
	if data := l.Read("open1", 1, 8*512, 8); !bytes.Equal(data, make([]byte, 8)) {
		t.Errorf("after a reset the target still has %q", data)
	}
}

func TestMigration(t *testing.T) {
	l := lab.Open(t)
	l.Reset()
	link := login(t, l, "host01", lab.IQNPrefix+"open2")
	login(t, l, "host02", lab.IQNPrefix+"open2")
	plug(t, l, "host01", 17, link, "moving")
	l.Must(l.ExecAs("oneadmin", "host01", virsh+" migrate --live one-17 qemu+ssh://host02/system"))
	if guests := l.Guests("host02"); !slices.Contains(guests, "17") {
		t.Errorf("guests on host02: %q", guests)
	}
	if _, code := l.Guest(17, "disk moving"); code != 0 {
		t.Errorf("the disk did not move along: %d", code)
	}
	l.Reset()
	l.Clean(t)
}

// A reset heals whatever a test did to hosts and targets; each time something on either host, since a host that is
// started again takes half a minute.
func TestResetHeals(t *testing.T) {
	for _, harm := range []struct{ name, host01, host02, targets string }{
		{"guest paused, iscsid gone", virsh + " suspend one-17", "kill -9 $(pgrep -x iscsid)", ""},
		{"guest gone, libvirtd stopped", virsh + " destroy one-17", "kill -STOP $(pgrep -x libvirtd)", ""},
		{"sudoers changed, host gone, targets closed and frozen", "rm /etc/sudoers.d/opennebula", "", "down freeze"},
	} {
		t.Run(harm.name, func(t *testing.T) {
			l := lab.Open(t)
			login(t, l, "host01", lab.IQNPrefix+"open3")
			login(t, l, "host02", lab.IQNPrefix+"open2")
			l.Must(l.Exec("host01", harm.host01))
			if harm.host02 != "" {
				l.Must(l.Exec("host02", harm.host02))
			} else {
				l.Command("node", "kill", "host02")
			}
			for _, do := range strings.Fields(harm.targets) {
				l.Command("target", do)
			}
			l.Reset()
			l.Command("status")
			l.Clean(t)
		})
	}
}
