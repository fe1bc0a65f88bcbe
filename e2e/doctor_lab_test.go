//go:build lab

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"onevolume/lab"
	"onevolume/opennebula/onetest"
)

// clinic is a cloud whose hosts all answer, and whose daemon compares nothing
// by itself until it is told to.
type clinic struct{ *cloud }

func openClinic(t *testing.T) *clinic {
	t.Helper()
	c := &clinic{start(t)}
	w := world()
	w.Hosts = []onetest.Host{{ID: 0, Name: "host01", State: 2}, {ID: 1, Name: "host02", State: 2},
		{ID: 4, Name: "asleep", State: 8}} // offline: nobody asks it
	w.VMs = w.VMs[:2]
	c.oned = onetest.Start(t, w)
	c.again("sweep: 1s, checkup: 0s")
	return c
}

// again starts the daemon anew with other settings of operations.
func (c *clinic) again(settings string) {
	c.t.Helper()
	c.down()
	c.operations = "lease: 3s, unplug: 6s, lock: 20s, " + settings
	c.configure("")
	c.env = append(c.env, "ONE_XMLRPC="+c.oned.Endpoint)
	c.startDaemon()
}

// well wants nothing to differ.
func (c *clinic) well() {
	c.t.Helper()
	if o := c.run("doctor"); o.code != 0 || !strings.Contains(o.out, "2 hosts examined") || !strings.Contains(o.out, "No difference was found") {
		c.t.Errorf("doctor: exit status %d\n%s%s", o.code, o.out, o.err)
	}
}

// finds wants so many differences, told with the words.
func (c *clinic) finds(n int, words ...string) {
	c.t.Helper()
	o := c.run("doctor")
	if o.code != 1 || !strings.Contains(o.out, fmt.Sprintf(" %d difference", n)) {
		c.t.Errorf("doctor: exit status %d, want 1 and %d differences\n%s%s", o.code, n, o.out, o.err)
	}
	for _, w := range words {
		if !strings.Contains(o.out, w) {
			c.t.Errorf("nothing of %q in\n%s", w, o.out)
		}
	}
	c.t.Logf("onevolume doctor\n%s", o.out)
}

// cures wants so many differences, told with the words, and all of them
// repaired.
func (c *clinic) cures(n int, words ...string) {
	c.t.Helper()
	o := c.run("doctor", "--fix", "--yes")
	before, _, _ := strings.Cut(o.out, "Examined again")
	if o.code != 0 || strings.Count(o.out, ": repaired.") != n || !strings.Contains(before, fmt.Sprintf(" %d difference", n)) || !strings.Contains(o.out, "No difference was found") {
		c.t.Errorf("doctor --fix: exit status %d, want 0 and %d differences repaired\n%s%s", o.code, n, o.out, o.err)
	}
	for _, w := range words {
		if !strings.Contains(before, w) {
			c.t.Errorf("nothing of %q in\n%s", w, before)
		}
	}
	c.t.Logf("onevolume doctor --fix --yes\n%s", o.out)
}

// by runs a line on a host as root, by hand.
func (c *clinic) by(host, format string, args ...any) string {
	c.t.Helper()
	return c.Must(c.Exec(host, fmt.Sprintf(format, args...)))
}

// login logs a host in to a target by hand, which brings all its disks.
func (c *clinic) login(host, target string, lun int) {
	c.t.Helper()
	node := "iscsiadm -m node -T " + lab.IQNPrefix + target + " -p " + lab.Portal
	c.by(host, "%s -o new >&2 && %s --login >&2 && until [ -e %s ]; do sleep 0.05; done", node, node, link(target, lun))
}

func link(target string, lun int) string {
	return fmt.Sprintf("/dev/disk/by-path/ip-%s-iscsi-%s-lun-%d", lab.Portal, lab.IQNPrefix+target, lun)
}

// plug gives a domain a disk by hand.
func (c *clinic) plug(host, domain, target string, lun, volume int) {
	c.t.Helper()
	c.by(host, "echo \"<disk type='block' device='disk'><driver name='qemu' type='raw' cache='none'/><source dev='%s'/>"+
		"<target dev='sdd' bus='scsi'/><serial>onevolume-%d</serial><address type='drive' controller='0' bus='0' target='3' unit='0'/></disk>\""+
		" | virsh -c qemu:///system attach-device %s /dev/stdin --live", link(target, lun), volume, domain)
}

// works wants the guest's writes to reach the target.
func (c *clinic) works(vm, volume int, target string, lun int, text string) {
	c.t.Helper()
	c.pattern(vm, fmt.Sprintf("onevolume-%d", volume), text)
	if !c.holds(target, lun, text) {
		c.t.Errorf("the bytes of VM %d do not arrive on %s", vm, target)
	}
}

// Each difference is made by hand on real hosts, found with its cause, and
// repaired; what is not ours stays as it is.
func TestDoctor(t *testing.T) {
	c := openClinic(t)
	c.volume("disk0", "open1", 1, 64)
	c.volume("disk1", "open2", 1, 64)
	c.volume("disk2", "shared", 1, 64)
	c.volume("disk3", "shared", 2, 80)
	c.login("host01", "open3", 1) // somebody else's
	c.well()
	for _, part := range []struct {
		name string
		test func(*clinic)
	}{
		{"idle things", (*clinic).idleThings},
		{"initiator name", (*clinic).initiatorName},
		{"stray disk", (*clinic).strayDisk},
		{"identity", (*clinic).otherIdentity},
		{"daemon", (*clinic).daemonRepairs},
		{"attachment", (*clinic).attachment}, // after which one-17 may not have a device of every name
		{"owner", (*clinic).ownerless},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			sub := *c.cloud
			sub.t = t
			part.test(&clinic{&sub})
			c.process, c.down, c.env = sub.process, sub.down, sub.env
		}) {
			return
		}
	}
	if s := c.Sessions("host01"); len(s) != 1 || s[0] != lab.IQNPrefix+"open3" {
		t.Errorf("host01 has the sessions %q, want somebody else's alone", s)
	}
	c.by("host01", "iscsiadm -m session -u >&2; iscsiadm -m node -o delete; virsh -c qemu:///system destroy one-17")
	c.Reset()
}

// idleThings are a session, node records and a link without any attachment,
// all at once, and a device in a session that another volume needs.
func (c *clinic) idleThings() {
	c.login("host01", "open1", 1)
	node := "iscsiadm -m node -T " + lab.IQNPrefix
	c.by("host02", "%sopen1 -p %s -o new && %sopen1 -p %s -o update -n node.startup -v automatic", node, lab.Portal, node, lab.Portal)
	c.by("host02", "%sopen2 -p %s -o new", node, lab.OtherPortal)
	c.by("host02", "mkdir -p /dev/disk/by-path && ln -s ../../sdz %s", link("shared", 1))
	c.finds(4, "Idle session, host host01, volume 0", "Automatic node record, host host02, volume 0", "Idle node record, host host02, volume 1",
		"Stale link, host host02, volume 2", "onevolumed does it by itself", "which is free")
	c.cures(4)
	if left := append(c.Records("host02"), c.Links("host02")...); len(left) > 0 {
		c.t.Errorf("host02 has %q", left)
	}
	c.must("attach", "17", "--volume", "disk2")
	c.by("host01", "for h in /sys/class/scsi_host/host*; do echo '- - -' >$h/scan; done; until [ -e %s ]; do sleep 0.05; done", link("shared", 2))
	c.by("host01", "%sshared -p %s -o update -n node.startup -v automatic", node, lab.Portal)
	c.cures(2, "Orphaned device, host host01, volume 3", "which others use", "Automatic node record, host host01")
	c.works(17, 2, "shared", 1, "still-there")
	c.must("detach", "17", "disk2", "--yes")
}

// initiatorName gives both hosts the same one. There is no systemd in the lab
// that would start iscsid again, so iscsiadm is told to.
func (c *clinic) initiatorName() {
	c.by("host02", "cp -a /etc/iscsi/iscsid.conf /etc/iscsi/initiatorname.iscsi /root/ && echo InitiatorName=%shost01 >/etc/iscsi/initiatorname.iscsi &&"+
		" sed -i 's|^iscsid.startup.*|iscsid.startup = /sbin/iscsid|' /etc/iscsi/iscsid.conf", lab.IQNPrefix)
	c.cures(1, "Duplicate initiator name, host host02", "host01, host02", "sudo iscsiadm -k 0", "after asking")
	name := strings.TrimSpace(c.by("host02", "cat /etc/iscsi/initiatorname.iscsi"))
	if !strings.HasPrefix(name, "InitiatorName="+lab.IQNPrefix) || strings.HasSuffix(name, "host01") {
		c.t.Errorf("host02 is %q", name)
	}
	c.must("attach", "18", "--volume", "disk0")
	if got := strings.TrimSpace(c.by("host02", "cat /sys/class/iscsi_session/session*/initiatorname")); "InitiatorName="+got != name {
		c.t.Errorf("host02 logs in as %q, and is %q", got, name)
	}
	c.must("detach", "18", "disk0", "--yes")
	c.by("host02", "mv /root/iscsid.conf /root/initiatorname.iscsi /etc/iscsi/ && iscsiadm -k 0 && while pgrep -x iscsid; do sleep 0.05; done; iscsid")
}

// strayDisk is a volume that is free on record, in one domain and then in
// two.
func (c *clinic) strayDisk() {
	c.login("host01", "open1", 1)
	c.plug("host01", "one-17", "open1", 1, 0)
	c.cures(1, "Disk without attachment, host host01, volume 0, VM 17", "it may be given to another VM", "onevolume recover --status attached --vm 17 --host host01 --device sdd")
	if v := c.show("disk0"); v["STATUS"] != "ATTACHED" || v["VM_ID"] != "17" || v["HOST"] != "host01" {
		c.t.Errorf("%v", v)
	}
	c.works(17, 0, "open1", 1, "adopted")
	c.login("host02", "open1", 1)
	c.plug("host02", "one-18", "open1", 1, 0)
	c.cures(1, "Disk in two domains, host host02, volume 0, VM 18", "on record is VM 17", "destroy each other's data")
	if left := append(c.Sessions("host02"), c.Disks("host02", 18)...); len(left) > 0 {
		c.t.Errorf("host02 has %q", left)
	}
	c.works(17, 0, "open1", 1, "kept")
	c.must("detach", "17", "disk0", "--yes")
}

// attachment takes from a VM its disk, and then from the host its session.
func (c *clinic) attachment() {
	c.must("attach", "17", "--volume", "disk0")
	c.by("host01", "virsh -c qemu:///system detach-disk one-17 %s --live", link("open1", 1))
	c.cures(1, "Attachment unplugged, host host01, volume 0, VM 17", "no disk of domain one-17", "attach-device")
	c.works(17, 0, "open1", 1, "plugged again")
	c.by("host01", "iscsiadm -m node -T %sopen1 -u", lab.IQNPrefix)
	c.cures(1, "Attachment unconnected, host host01, volume 0, VM 17", "leads nowhere", "detach-disk", "--login")
	c.works(17, 0, "open1", 1, "connected again")
	c.must("detach", "17", "disk0", "--yes")
}

// otherIdentity puts another logical unit in a volume's place.
func (c *clinic) otherIdentity() {
	c.must("attach", "18", "--volume", "disk1")
	rescan := func(serial string) {
		c.Command("target", "serial", "open2", serial)
		c.by("host02", "echo 1 >/sys/block/$(basename $(readlink -f %s))/device/rescan", link("open2", 1))
	}
	rescan("SWAPPED")
	c.cures(1, "Identity changed, host host02, volume 1", "SWAPPED", "LAB-open2-1", "onevolume recover --status error")
	c.state("disk1", "ERROR")
	if d := c.Disks("host02", 18); len(d) != 1 {
		c.t.Errorf("the guest has the disks %q", d)
	}
	c.refused([]string{"attach", "17", "--volume", "disk1"}, "Volume 1 is ERROR")
	rescan("LAB-open2-1")
	c.must("recover", "--status", "attached", "--yes", "disk1")
	c.well()
	c.must("detach", "18", "disk1", "--yes")
}

// daemonRepairs leaves it to onevolumed, which knows the hosts by what was
// attached there before.
func (c *clinic) daemonRepairs() {
	c.login("host01", "open1", 1)
	c.plug("host01", "one-17", "open1", 1, 0)
	c.login("host02", "open2", 1)
	node := "iscsiadm -m node -T " + lab.IQNPrefix + "shared -p " + lab.Portal
	c.by("host02", "%s -o new && %s -o update -n node.startup -v automatic", node, node)
	c.again("sweep: 1s, checkup: 1s")
	c.settles("disk0", "ATTACHED")
	c.eventually("host02 is clean", func() bool { return len(c.Sessions("host02")) == 0 && len(c.Records("host02")) == 0 })
	c.works(17, 0, "open1", 1, "adopted by the daemon")
	if out := c.must("history"); strings.Count(out, "repair") != 3 {
		c.t.Errorf("the history says\n%s", out)
	}
	text := c.metrics()
	for _, line := range []string{"onevolume_up 1", `onevolume_volumes{state="ATTACHED"} 1`, `onevolume_differences{trouble="idle session"} 0`} {
		if !strings.Contains(text, line+"\n") {
			c.t.Errorf("nothing of %s in\n%s", line, text)
		}
	}
	c.must("detach", "17", "disk0", "--yes")
}

func (c *clinic) metrics() string {
	c.t.Helper()
	r, err := http.Get(strings.TrimSuffix(c.endpoint, "/RPC2") + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "process_resident_memory_bytes ") {
			c.t.Log(strings.TrimSpace(line))
		}
	}
	return string(text)
}

// ownerless kills a client whose daemon looks after nobody's operations.
func (c *clinic) ownerless() {
	c.must("create", "--name", "silent", "--iqn", lab.IQNPrefix+"open4", "--lun", "1", "--portal", lab.MissingPortal, "--size", "64")
	c.again("sweep: 1h, checkup: 0s")
	cmd := c.command(c.t.Context(), "oneadmin", "attach", "17", "--volume", "silent")
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.settles("silent", "ATTACHING")
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	conf, err := os.ReadFile(filepath.Join(c.dir, "conf"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("conf", strings.Replace(string(conf), "sweep: 1h", "sweep: 1s", 1)) // the command's own patience
	c.eventually("the operation is missed", func() bool { return strings.Contains(c.run("doctor").out, "Operation without owner, host host01") })
	if o := c.run("doctor", "--fix", "--yes"); o.code != 1 || !strings.Contains(o.out, "onevolumed does not take operation") {
		c.t.Errorf("%d\n%s%s", o.code, o.out, o.err)
	}
	c.again("sweep: 1s, checkup: 0s") // what the repair says
	c.settles("silent", "AVAILABLE")
	c.must("delete", "silent")
	c.eventually("nothing is left", func() bool { return c.run("doctor").code == 0 })
}
