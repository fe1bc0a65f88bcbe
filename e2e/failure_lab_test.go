//go:build lab

package e2e

import (
	"os"
	"strings"
	"testing"

	"onevolume/lab"
)

// Each failure names the thing and what to do, and leaves nothing logged in,
// plugged or reserved. Those that share a cloud cost seconds instead of a
// daemon each.
func TestFailuresLeaveNothing(t *testing.T) {
	c := start(t)
	portal := []string{"--portal", lab.Portal}
	create := func(name, target string, lun, size string, more ...string) {
		t.Helper()
		c.must(append([]string{"create", "--name", name, "--iqn", lab.IQNPrefix + target, "--lun", lun, "--size", size}, more...)...)
	}
	create("good", "open1", "1", "64", portal...)
	create("closed", "open2", "1", "64", "--portal", lab.ClosedPortal)
	create("silent", "open3", "1", "96", "--portal", lab.MissingPortal)
	create("wrong secret", "chap", "1", "64", append(portal, "--chap-user", "chapuser", "--chap-secret-file", c.write("s", "notthesecret12"))...)
	create("no secret", "mutual", "1", "64", portal...)
	create("nosuch", "nosuch", "1", "64", portal...)
	create("no lun", "open1", "7", "64", portal...)
	create("wrong size", "shared", "1", "65", portal...)
	create("wrong serial", "shared", "2", "80", append(portal, "--serial", "SOMETHING-ELSE")...)
	create("wrong wwid", "big", "1", "320", append(portal, "--wwid", "naa.6001405000000000")...)

	for name, test := range map[string]struct {
		args  []string
		words []string
	}{
		"no such VM":           {[]string{"99", "64"}, []string{"virtual machine [99]"}},
		"VM not running":       {[]string{"22", "64"}, []string{"VM 22 (off) is POWEROFF, not RUNNING", "Hint: "}},
		"domain missing":       {[]string{"20", "64"}, []string{"one-20", "host01"}},
		"host unreachable":     {[]string{"21", "64"}, []string{"host host03", "Hint: "}},
		"no volume that fits":  {[]string{"17", "1T"}, []string{"No free volume of at least 1T", "320M"}},
		"portal refuses":       {[]string{"17", "--volume", "closed"}, []string{lab.ClosedPortal, "open2", "host01"}},
		"portal silent":        {[]string{"17", "--volume", "silent"}, []string{lab.MissingPortal, "open3", "host01"}},
		"wrong CHAP secret":    {[]string{"17", "--volume", "wrong secret"}, []string{"CHAP", "chap", "host01", "Hint: "}},
		"CHAP not given":       {[]string{"17", "--volume", "no secret"}, []string{"CHAP", "mutual", "Hint: "}},
		"unknown target":       {[]string{"17", "--volume", "nosuch"}, []string{"nosuch", "host01"}},
		"LUN missing":          {[]string{"17", "--volume", "no lun"}, []string{"LUN 7", "open1"}},
		"size differs":         {[]string{"17", "--volume", "wrong size"}, []string{"68157440", "67108864"}},
		"serial differs":       {[]string{"17", "--volume", "wrong serial"}, []string{"SOMETHING-ELSE", "LAB-shared-2"}},
		"WWID differs":         {[]string{"17", "--volume", "wrong wwid"}, []string{"naa.6001405000000000"}},
		"evil domain name":     {[]string{"23", "64"}, []string{"host01"}},
		"detach of a free one": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if test.args == nil {
				c.refused([]string{"detach", "17", "good", "--yes"}, "Volume 0 is not attached")
			} else {
				c.refused(append([]string{"attach"}, test.args...), test.words...)
			}
			c.Clean(t)
		})
	}
	if _, err := os.Stat("/tmp/pwned"); err == nil {
		t.Error("a name reached a shell on this machine")
	}
	for _, h := range lab.Hosts() {
		if c.Exec(h, "test", "-e", "/tmp/pwned").Code == 0 {
			t.Errorf("a name reached a shell on %s", h)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(c.must("list", "--csv")), "\n")[1:] {
		if !strings.Contains(line, ",rdy,-,") {
			t.Errorf("not free: %s", line)
		}
	}
}

func TestNotTheCallersVM(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("chmod", "disk1", "644")
	if o := c.runAs("bob", "attach", "17", "64"); o.code != 255 || !strings.Contains(o.err, "Not authorized to perform MANAGE VM [17]") {
		t.Errorf("bob: %d\n%s%s", o.code, o.out, o.err)
	}
	c.untouched("disk1")
}

func TestUnknownHostKeyAndNoKey(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.configure("user: oneadmin, ssh_config: " + c.SSHConfig() + ", known_hosts: [" + c.write("empty", "") + "]")
	c.refused([]string{"attach", "17", "64"}, "host01", "SHA256:", "Hint: ")
	other, err := os.ReadFile(c.KnownHosts())
	if err != nil {
		t.Fatal(err)
	}
	swapped := strings.NewReplacer("host01", "HOST", "host02", "host01", "HOST", "host02",
		"10.77.0.11", "ADDR", "10.77.0.12", "10.77.0.11", "ADDR", "10.77.0.12").Replace(string(other))
	c.configure("user: oneadmin, ssh_config: " + c.SSHConfig() + ", known_hosts: [" + c.write("swapped", swapped) + "]")
	c.refused([]string{"attach", "17", "64"}, "host01", "Hint: ")
	c.configure("user: nobody, ssh_config: " + c.SSHConfig())
	c.refused([]string{"attach", "17", "64"}, "host01", "nobody", "Hint: ")
	c.untouched("disk1")
}

func TestSudoRefused(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.configure("user: plain, ssh_config: " + c.SSHConfig())
	c.refused([]string{"attach", "17", "64"}, "sudo", "host01", "Hint: ")
	c.untouched("disk1")
}

// Whatever has the device on the host keeps it, and nobody is logged out
// under it.
func TestDeviceHeldOnTheHost(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	iqn := lab.IQNPrefix + "open1"
	link := "/dev/disk/by-path/ip-" + lab.Portal + "-iscsi-" + iqn + "-lun-1"
	c.Must(c.Exec("host01", "iscsiadm -m node -o new -T "+iqn+" -p "+lab.Portal+" && iscsiadm -m node -T "+iqn+" -p "+lab.Portal+
		" --login && until [ -e "+link+" ]; do sleep 0.05; done && mkfs.ext4 -q "+link+" && mount "+link+" /mnt"))
	c.refused([]string{"attach", "17", "64"}, "/mnt", "host01", "Hint: ")
	c.state("disk1", "AVAILABLE")
	c.Must(c.Exec("host01", "echo still-mounted >/mnt/file && sync && grep -q still-mounted /mnt/file"))
	if n := len(c.Sessions("host01")); n != 1 {
		t.Errorf("%d sessions, want the one that was there", n)
	}
	c.Must(c.Exec("host01", "umount /mnt"))
	// What is idle is taken over, and cleaned up at the end.
	c.must("attach", "17", "64")
	c.must("detach", "17", "0", "--yes")
	c.untouched("disk1")
}

// The same logical unit is a disk of another domain, plugged by hand.
func TestDeviceInAnotherDomain(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "64")
	// A second inventory that knows nothing of the first one's attachment.
	other := &cloud{Lab: c.Lab, t: t, dir: t.TempDir(), oned: c.oned, env: c.env, endpoint: "http://" + freeAddr(t) + "/RPC2", operations: fast}
	other.conf = other.dir + "/conf"
	other.configure("")
	other.write("oneadmin.auth", "oneadmin:opennebula")
	other.env = append(other.env, "ONEVOLUME_XMLRPC="+other.endpoint)
	other.startDaemon()
	defer other.down()
	other.must("create", "--name", "filler", "--iqn", "iqn.2026-11.org.example:filler", "--portal", "10.0.0.1", "--size", "1")
	other.volume("same", "open1", 1, 64)
	c.pattern(17, "onevolume-0", "not-yours")
	// VM 17 has the device under another serial number.
	other.refused([]string{"attach", "17", "--volume", "same"}, "one-17", "onevolume-0")
	if !c.holds("open1", 1, "not-yours") || len(c.Sessions("host01")) != 1 {
		t.Error("the first attachment was harmed")
	}
	other.state("same", "AVAILABLE")
	c.pattern(17, "onevolume-0", "still-mine")
	if !c.holds("open1", 1, "still-mine") {
		t.Error("the guest can no longer write")
	}
	c.must("detach", "17", "0", "--yes")
	c.untouched("disk1")
}

func TestTargetNameTakenByHand(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.Must(c.Exec("host01", `truncate -s 1M /var/tmp/foreign.img && chmod 666 /var/tmp/foreign.img && echo "<disk type='file' device='disk'>`+
		`<driver name='qemu' type='raw'/><source file='/var/tmp/foreign.img'/><target dev='sdiv' bus='scsi'/>`+
		`<address type='drive' controller='0' bus='0' target='255' unit='0'/></disk>" | virsh -c qemu:///system attach-device one-17 /dev/stdin --live`))
	c.must("attach", "17", "64")
	if v := c.show("disk1"); v["DEVICE"] == "sdiv" || v["DEVICE"] == "" {
		t.Errorf("the volume is %q in the domain", v["DEVICE"])
	}
	c.must("detach", "17", "disk1", "--yes", "--no-format")
	c.Must(c.Exec("host01", "virsh -c qemu:///system detach-disk one-17 sdiv --live && rm /var/tmp/foreign.img"))
	c.Clean(t)
}

func TestAttachedAlreadyAndInAnotherVM(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "64")
	c.refused([]string{"attach", "18", "--volume", "disk1"}, "Volume 0", "ATTACHED", "VM 17")
	c.refused([]string{"attach", "17", "--volume", "disk1"}, "Volume 0", "ATTACHED", "VM 17")
	c.refused([]string{"detach", "18", "disk1", "--yes"}, "Volume 0 is not attached to VM 18 but to VM 17")
	c.refused([]string{"delete", "disk1"}, "VM 17")
	c.state("disk1", "ATTACHED")
	c.must("detach", "17", "disk1", "--yes")
	c.refused([]string{"detach", "17", "disk1", "--yes"}, "Volume 0 is not attached")
	c.untouched("disk1")
}

// A disk on virtio-scsi is taken from a guest that is paused; one on
// virtio-blk waits for it (measured on QEMU 7.2). So the disk is put there by
// hand, as a VM without virtio-scsi might have it.
func TestGuestDoesNotLetGo(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "64")
	link := "/dev/disk/by-path/ip-" + lab.Portal + "-iscsi-" + lab.IQNPrefix + "open1-lun-1"
	virsh := "virsh -c qemu:///system "
	c.Must(c.Exec("host01", virsh+"detach-disk one-17 "+link+" --live && echo \"<disk type='block' device='disk'>"+
		"<driver name='qemu' type='raw' cache='none'/><source dev='"+link+"'/><target dev='vdz' bus='virtio'/><serial>onevolume-0</serial></disk>\""+
		" | "+virsh+"attach-device one-17 /dev/stdin --live"))
	c.pattern(17, "onevolume-0", "in-use")
	c.Must(c.Exec("host01", virsh+"suspend one-17"))
	c.refused([]string{"detach", "17", "disk1", "--yes"}, "one-17", "host01", "Hint: ")
	c.state("disk1", "ATTACHED")
	if len(c.Sessions("host01")) != 1 || !c.holds("open1", 1, "in-use") {
		t.Error("the host was logged out, or the volume wiped, under the guest")
	}
	c.Must(c.Exec("host01", virsh+"resume one-17"))
	c.must("detach", "17", "disk1", "--yes")
	if !c.zero("open1", 1) {
		t.Error("the volume is not zero")
	}
	c.untouched("disk1")
}

// oned says that the VM runs here, and its domain is not here: it may be on
// another host, with the volume, so nothing is wiped.
func TestDomainIsNotWhereOnedSays(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "64")
	c.pattern(17, "onevolume-0", "precious")
	c.Must(c.Exec("host01", "virsh -c qemu:///system destroy one-17"))
	c.refused([]string{"detach", "17", "disk1", "--yes"}, "VM 17 (web) runs on host host01", "its domain is not there", "Hint: ")
	c.state("disk1", "ATTACHED")
	if !c.holds("open1", 1, "precious") || len(c.Sessions("host01")) != 1 {
		t.Error("the volume was wiped, or the host logged out")
	}
	// When oned knows that it is off, there is no doubt.
	c.oned.SetVMState(17, 8, 0)
	c.must("detach", "17", "disk1", "--yes")
	if !c.zero("open1", 1) {
		t.Error("the volume is not zero")
	}
	c.state("disk1", "AVAILABLE")
	c.Reset() // the guest comes back
}
