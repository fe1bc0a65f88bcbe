//go:build lab

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A VM is powered off and resumed, on its host and on another, by the commands
// of OpenNebula's own scripts: virsh destroy, and virsh create of an XML that
// knows nothing of the volume. oned tells of it by ZeroMQ.
func TestVolumeFollowsPoweroffAndResume(t *testing.T) {
	c := start(t)
	c.down()
	events := c.oned.StartEvents(t)
	c.operations += ", follow: 2s"
	c.configure("")
	conf, err := os.ReadFile(c.conf)
	if err != nil {
		t.Fatal(err)
	}
	c.write("conf", string(conf)+"events: "+events+"\n")
	c.env = append(c.env, "ONE_AUTH="+filepath.Join(c.dir, "oneadmin.auth"))
	c.startDaemon()

	c.volume("disk1", "open1", 1, 64)
	c.must("attach", "17", "--volume", "disk1")
	c.pattern(17, "onevolume-0", "before-the-poweroff")
	xml := c.Must(c.Exec("host01", "cat", "/run/lab/one-17.xml"))
	defer c.Reset() // the guest is elsewhere in the end

	const poweroff, lcmInit, active, running = 8, 0, 3, 3
	here := "host01"
	for _, next := range []string{"host01", "host02", "host01"} {
		c.virsh(here, "destroy one-17")
		c.oned.SetVMState(17, poweroff, lcmInit)
		c.eventually("host "+here+" is logged out, and the promise kept", func() bool {
			v := c.show("disk1")
			return v["STATUS"] == "ATTACHED" && v["VM_ID"] == "17" && v["HOST"] == "" && !c.loggedIn(here)
		})
		if next != here {
			c.oned.MoveVM(17, next)
		}
		c.boot(next, xml)
		c.oned.SetVMState(17, active, running)
		c.eventually("the guest has its disk on "+next, func() bool {
			v := c.show("disk1")
			return v["STATUS"] == "ATTACHED" && v["HOST"] == next && strings.Contains(c.DomainXML(next, 17), "<serial>onevolume-0</serial>")
		})
		if other := map[string]string{"host01": "host02", "host02": "host01"}[next]; c.loggedIn(other) {
			t.Errorf("host %s is logged in while the VM runs on %s", other, next)
		}
		if !c.holds("open1", 1, "before-the-poweroff") {
			t.Errorf("on %s the volume has lost what the guest wrote", next)
		}
		here = next
	}
	c.pattern(17, "onevolume-0", "after-it-all")
	if !c.holds("open1", 1, "after-it-all") {
		t.Error("what the guest writes does not reach the volume")
	}

	// The end: the volume keeps its data, and no host has it.
	const done = 6
	c.virsh(here, "destroy one-17")
	c.oned.SetVMState(17, done, lcmInit)
	c.eventually("the volume is its owner's", func() bool { return c.status("disk1") == "RETAINED" })
	if !c.holds("open1", 1, "after-it-all") || c.loggedIn(here) {
		t.Error("the end cost data, or left a host logged in")
	}
}

// virsh runs it as OpenNebula's scripts do.
func (c *cloud) virsh(host, command string) {
	c.t.Helper()
	c.Must(c.ExecAs("oneadmin", host, "virsh -q -c qemu:///system "+command))
}

// boot creates the guest anew, and waits until it is up.
func (c *cloud) boot(host, xml string) {
	c.t.Helper()
	c.Must(c.Exec(host, "sh", "-c", "rm -f /var/log/one-17.console; cat >/run/lab/one-17.xml <<'END'\n"+strings.TrimSpace(xml)+"\nEND"))
	c.virsh(host, "create /run/lab/one-17.xml")
	c.eventually("the guest is up on "+host, func() bool {
		return c.Exec(host, "grep", "-qs", "GUEST UP", "/var/log/one-17.console").Code == 0
	})
}

// loggedIn says whether the host has a session to the test's target.
func (c *cloud) loggedIn(host string) bool {
	c.t.Helper()
	return strings.Contains(strings.Join(c.Sessions(host), "\n"), "open1")
}
