//go:build lab

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"onevolume/lab"
)

// The main job: the guest's own bytes are in the backing store, and after
// detach nothing but zeroes is.
func TestGuestWritesAndDetachWipes(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.volume("disk2", "open3", 1, 96)
	out := c.must("attach", "17", "64")
	for _, want := range []string{"Volume 0 (disk1, 64M) is attached to VM 17 (web) on host host01.",
		"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_onevolume-0", "It took "} {
		if !strings.Contains(out, want) {
			t.Errorf("attach does not say %q:\n%s", want, out)
		}
	}
	v := c.show("disk1")
	if v["STATUS"] != "ATTACHED" || v["VM_ID"] != "17" || v["HOST"] != "host01" || v["UNIT_SERIAL"] != "LAB-open1-1" || v["WWID"] == "" {
		t.Errorf("the inventory has %v", v)
	}
	xml := c.DomainXML("host01", 17)
	for _, want := range []string{"/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-" + lab.IQNPrefix + "open1-lun-1",
		"<serial>onevolume-0</serial>", "cache='none'", "error_policy='stop'", "snapshot='no'"} {
		if !strings.Contains(xml, want) {
			t.Errorf("the domain has no %s", want)
		}
	}
	c.pattern(17, "onevolume-0", "written-by-17")
	if !c.holds("open1", 1, "written-by-17") {
		t.Error("the guest's pattern is not in the backing store")
	}

	out = c.must("detach", "17", "disk1", "--yes")
	if !strings.Contains(out, "Volume 0 (disk1, 64M) is detached from VM 17.") || !strings.Contains(out, "unallocated") {
		t.Errorf("detach says\n%s", out)
	}
	if !c.zero("open1", 1) {
		t.Error("the backing store is not zero after detach")
	}
	c.untouched("disk1")
}

func TestSmallestThatFitsAndExact(t *testing.T) {
	c := start(t)
	c.volume("large", "open3", 1, 96, "--array", "b")
	c.volume("small", "open1", 1, 64, "--array", "a")
	if out := c.must("attach", "17", "10"); !strings.Contains(out, "(small, 64M)") {
		t.Errorf("not the smallest: %s", out)
	}
	c.refused([]string{"attach", "17", "64", "--exact"}, "exactly 64M", "96M")
	c.refused([]string{"attach", "17", "10", "--array", "a"}, "No free volume")
	if out := c.must("attach", "17", "10", "--array", "b"); !strings.Contains(out, "(large, 96M)") {
		t.Errorf("not of array b: %s", out)
	}
	// Two volumes in one VM have two names in it.
	if a, b := c.show("large")["DEVICE"], c.show("small")["DEVICE"]; a == b || a == "" {
		t.Errorf("both are %s in the domain", a)
	}
	c.must("detach", "17", "large", "--yes", "--no-format")
	c.must("detach", "17", "small", "--yes", "--no-format")
	c.Clean(t)
}

func TestCHAPOneWayAndMutual(t *testing.T) {
	c := start(t)
	c.volume("chap", "chap", 1, 64, "--chap-user", "chapuser", "--chap-secret-file", c.write("s1", "chapsecret1234\n"))
	c.volume("mutual", "mutual", 1, 64, "--chap-user", "chapuser2", "--chap-secret-file", c.write("s2", "chapsecret5678"),
		"--chap-user-in", "mutualuser", "--chap-secret-in-file", c.write("s3", "mutualsecret99"))
	for _, name := range []string{"chap", "mutual"} {
		c.must("attach", "17", "--volume", name)
		c.pattern(17, "onevolume-"+c.show(name)["ID"], "secret-"+name)
		if !c.holds(name, 1, "secret-"+name) {
			t.Errorf("%s: the pattern is not in the backing store", name)
		}
		c.must("detach", "17", name, "--yes")
		c.untouched(name)
	}
	log, err := os.ReadFile(c.dir + "/daemon.log")
	if err != nil {
		t.Fatal(err)
	}
	db, err := os.ReadFile(c.dir + "/inventory.db")
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"chapsecret1234", "chapsecret5678", "mutualsecret99"} {
		if strings.Contains(string(log), secret) || strings.Contains(string(db), secret) {
			t.Errorf("%s is in the log or in the database in clear", secret)
		}
	}
}

// Two logical units of one target share a session: detaching one must not
// log the host out under the other.
func TestSharedTarget(t *testing.T) {
	c := start(t)
	c.volume("one", "shared", 1, 64)
	c.volume("two", "shared", 2, 80)
	c.must("attach", "17", "--volume", "one")
	c.must("attach", "17", "--volume", "two")
	if n := len(c.Sessions("host01")); n != 1 {
		t.Errorf("%d sessions, want one for both", n)
	}
	c.must("detach", "17", "one", "--yes")
	c.pattern(17, "onevolume-1", "still-there")
	if !c.holds("shared", 2, "still-there") || !c.zero("shared", 1) {
		t.Error("the second unit does not work, or the first is not wiped")
	}
	c.must("detach", "17", "two", "--yes")
	c.Clean(t)
}

func TestDeadPortalIsPassedOver(t *testing.T) {
	c := start(t)
	c.must("create", "--name", "disk1", "--iqn", lab.IQNPrefix+"open1", "--lun", "1", "--size", "64",
		"--portal", lab.ClosedPortal+","+lab.OtherPortal)
	c.must("attach", "17", "64")
	if source := c.show("disk1")["DEVICE"]; source == "" {
		t.Error("no device is recorded")
	}
	if xml := c.DomainXML("host01", 17); !strings.Contains(xml, "ip-10.77.0.1:3261-iscsi") {
		t.Error("the disk does not come by the second portal")
	}
	c.must("detach", "17", "disk1", "--yes", "--no-format")
	c.Clean(t)
}

// A volume whose data stayed is its owner's: not picked by size, attached
// again by name, with the data.
func TestNoFormatKeepsTheDataAndTheOwner(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "64")
	c.pattern(17, "onevolume-0", "to-be-kept")
	c.must("detach", "17", "0", "--yes", "--no-format")
	v := c.show("0")
	if v["STATUS"] != "RETAINED" || v["UNAME"] != "alice" {
		t.Errorf("the volume is %s of %s, want RETAINED of alice, whose VM it was", v["STATUS"], v["UNAME"])
	}
	c.refused([]string{"attach", "18", "64"}, "No free volume")
	c.must("attach", "17", "--volume", "0")
	if out, code := c.Guest(17, "dd if=$(disk onevolume-0) bs=512 skip=100 count=1 2>/dev/null"); code != 0 || !strings.Contains(out, "to-be-kept") {
		t.Errorf("the guest reads %q", out)
	}
	c.must("detach", "17", "0", "--yes")
	if !c.zero("open1", 1) || c.show("0")["UNAME"] != "oneadmin" {
		t.Error("the volume was not wiped, or did not go back to who registered it")
	}
	c.untouched("0")
}

func TestFormats(t *testing.T) {
	c := start(t)
	c.volume("small", "open1", 1, 64)
	c.volume("big", "big", 1, 320)
	for name, fs := range map[string]struct{ target, kind string }{"small": {"open1", "ext4"}, "big": {"big", "xfs"}} {
		c.must("attach", "17", "--volume", name)
		c.must("detach", "17", name, "--yes", "--format", fs.kind)
		out, err := exec.Command("blkid", "-p", "-o", "value", "-s", "TYPE", c.Backing(fs.target, 1)).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != fs.kind {
			t.Errorf("%s holds %q (%v), want %s", name, out, err, fs.kind)
		}
		c.untouched(name)
	}
	// Too small for XFS: said so, and nothing half made is handed out.
	c.must("attach", "17", "--volume", "small")
	o := c.run("detach", "17", "small", "--yes", "--format", "xfs")
	if o.code != 255 || !strings.Contains(o.err, "xfs") {
		t.Errorf("XFS on 64 MB: exit status %d\n%s", o.code, o.err)
	}
	c.state("small", "ERROR")
	c.must("detach", "17", "small", "--yes")
	c.untouched("small")
}

// Whoever is not in oneadmin's group has no way to the hosts: the daemon does
// the work, and what is printed is the same.
func TestUserThroughTheDaemon(t *testing.T) {
	c := start(t)
	c.volume("disk1", "open1", 1, 64)
	c.must("chmod", "disk1", "644")
	o := c.runAs("alice", "attach", "17", "64")
	if o.code != 0 || !strings.Contains(o.out, "Volume 0 (disk1, 64M) is attached to VM 17 (web) on host host01.") ||
		!strings.Contains(o.out, "/dev/disk/by-id/") {
		t.Fatalf("alice's attach: %d\n%s%s", o.code, o.out, o.err)
	}
	c.pattern(17, "onevolume-0", "by-alice")
	if o := c.runAs("bob", "detach", "17", "0", "--yes"); o.code != 255 || !strings.Contains(o.err, "Not authorized to perform MANAGE VM [17]") {
		t.Errorf("bob's detach: %d\n%s%s", o.code, o.out, o.err)
	}
	if o := c.runAs("alice", "detach", "17", "0", "--yes"); o.code != 0 {
		t.Errorf("alice's detach: %d\n%s%s", o.code, o.out, o.err)
	}
	if !c.zero("open1", 1) {
		t.Error("the volume is not zero")
	}
	c.untouched("0")
}

func TestDryRunChangesNothing(t *testing.T) {
	c := start(t)
	c.volume("chap", "chap", 1, 64, "--chap-user", "chapuser", "--chap-secret-file", c.write("s1", "chapsecret1234"))
	out := c.must("attach", "17", "64", "--dry-run")
	for _, want := range []string{"host01: ", "iscsiadm -m node", "--login", "attach-device", "onevolume-0", "********"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan has no %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "chapsecret1234") {
		t.Error("the plan shows the secret")
	}
	c.untouched("chap")
	c.must("attach", "17", "64")
	disks := fmt.Sprint(c.Disks("host01", 17))
	out = c.must("detach", "17", "chap", "--dry-run")
	for _, want := range []string{"detach-disk", "blkdiscard", "--flushbufs", "-o delete"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan has no %q:\n%s", want, out)
		}
	}
	if now := fmt.Sprint(c.Disks("host01", 17)); now != disks {
		t.Errorf("the plan changed the disks from %s to %s", disks, now)
	}
	c.state("chap", "ATTACHED")
	c.must("detach", "17", "chap", "--yes")
	c.untouched("chap")
}
