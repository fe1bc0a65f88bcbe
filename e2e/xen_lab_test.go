//go:build lab

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"onevolume/lab"
	"onevolume/opennebula/onetest"
)

// xenSite is the lab's Xen host with the guest 19, which nothing but VM_MAD
// tells from a KVM host. Xen is slow when it is emulated: leases are longer.
func xenSite(t *testing.T) *site {
	t.Helper()
	l := lab.Open(t)
	if left := l.Left(lab.XenHost); len(left) > 0 {
		t.Logf("the lab was not clean and is reset: %q", left)
		l.Reset()
	}
	l.AddTarget("xen19", 16)
	c := &cloud{Lab: l, t: t, dir: t.TempDir(), down: func() {}}
	w := onetest.Small()
	w.Hosts = append(w.Hosts, onetest.Host{ID: 2, Name: lab.XenHost, State: 2, VMMad: "xen"}, onetest.Host{ID: 3, Name: "host09", State: 2, VMMad: "xen4"})
	w.VMs = []onetest.VM{
		{ID: 19, Name: "old", UID: 2, GID: 1, Host: lab.XenHost, DeployID: "one-19"},
		{ID: 20, Name: "gone", Host: lab.XenHost, DeployID: "one-20"},
		{ID: 21, Name: "elsewhere", Host: "host09", DeployID: "one-21"},
		{ID: 22, Name: "off", Host: lab.XenHost, DeployID: "one-22", State: 8},
		{ID: 23, Name: "evil", Host: lab.XenHost, DeployID: "$(touch /tmp/pwned)\n'; reboot #"},
	}
	c.oned = onetest.Start(t, w)
	c.settle()
	s := &site{cloud: c, vm: 19, host: lab.XenHost, target: "xen19"}
	s.operations = "lease: 6s, sweep: 1s, unplug: 20s, lock: 60s"
	s.configure("")
	s.startDaemon()
	t.Cleanup(func() {
		s.untrap()
		s.down()
		if t.Failed() {
			s.tellLog()
			s.Reset()
		} else {
			s.Clean(t, s.host)
		}
	})
	s.volume("disk", s.target, 1, 16)
	return s
}

// onGuest runs a line in the guest and wants it to go well. The guest may need
// its time to see a new disk.
func (s *site) onGuest(line string) string {
	s.t.Helper()
	out, code := s.Guest(s.vm, line)
	if code != 0 {
		s.t.Fatalf("in the guest, %q: %d\n%s", line, code, out)
	}
	return out
}

// writes has the guest write a text to the volume, and looks for it in the
// target's backing file.
func (s *site) writes(text string) {
	s.t.Helper()
	device := "/dev/" + s.show("disk")["DEVICE"]
	s.onGuest(fmt.Sprintf("for i in $(seq 60); do [ -b %[1]s ] && break; sleep 0.5; done; echo %[2]s | dd of=%[1]s bs=512 seek=100 conv=sync,fsync 2>/dev/null", device, text))
	if !s.holds(s.target, 1, text) {
		s.t.Error("what the guest wrote is not in the backing store")
	}
}

// is wants the volume to be in a state, and looks whether that is true of host,
// guest and inventory.
func (s *site) is(want string) {
	s.t.Helper()
	v := s.show("disk")
	if v["STATUS"] != want {
		s.t.Errorf("the volume is %s (%s), want %s", v["STATUS"], v["REASON"], want)
	}
	switch v["STATUS"] {
	case "ATTACHED":
		s.writes(fmt.Sprint("written-", time.Now().UnixNano()))
		if v["VM_ID"] != "19" || v["HOST"] != s.host || !strings.HasPrefix(v["DEVICE"], "xvd") {
			s.t.Errorf("ATTACHED, and the inventory has %v", v)
		}
	case "AVAILABLE":
		s.Clean(s.t, s.host)
		if v["VM_ID"] != "-1" || v["HOST"] != "" {
			s.t.Errorf("AVAILABLE, and the inventory has %v", v)
		}
		if !s.zero(s.target, 1) {
			s.t.Error("AVAILABLE, and not blank")
		}
	}
}

// goes makes the volume AVAILABLE, or ATTACHED.
func (s *site) goes(state string) {
	s.t.Helper()
	switch is := s.show("disk")["STATUS"]; {
	case is == state:
	case state == "ATTACHED":
		s.must("attach", "19", "--volume", "disk")
	default:
		s.must("detach", "19", "disk", "--yes")
	}
}

// endsAs waits until no operation has the volume.
func (s *site) endsAs(want string) {
	s.t.Helper()
	s.eventually("no operation has the volume", func() bool { return !strings.HasSuffix(s.status("disk"), "ING") })
	s.is(want)
}

func TestXen(t *testing.T) {
	s := xenSite(t)
	s.part("main job", s.xenMainJob)
	s.part("failures leave nothing", s.xenFailures)
	s.part("the guest has it open", s.xenHeldOpen)
	s.part("the guest does not let go", s.xenForced)
	for _, p := range xenPoints {
		s.part(p.name, func(t *testing.T) { s.xenPoint(t, p) })
	}
	s.part("doctor", s.xenDoctor)
}

// xenMainJob: attach, the guest's own bytes in the backing store, detach, and
// nothing but zeroes there. No option says that it is Xen.
func (s *site) xenMainJob(t *testing.T) {
	plan := s.must("attach", "19", "16", "--dry-run")
	if !strings.Contains(plan, "xl block-attach one-19 phy:/dev/disk/by-path/ip-"+lab.Portal+"-iscsi-"+lab.IQNPrefix+"xen19-lun-1 xvdp w") {
		t.Errorf("the plan is\n%s", plan)
	}
	s.Clean(t, s.host)
	begin := time.Now()
	out := s.must("attach", "19", "16")
	attached := time.Now()
	for _, want := range []string{"Volume 0 (disk, 16M) is attached to VM 19 (old) on host host03.", "/dev/xvdp"} {
		if !strings.Contains(out, want) {
			t.Errorf("attach does not say %q:\n%s", want, out)
		}
	}
	s.is("ATTACHED")
	detaching := time.Now()
	out = s.must("detach", "19", "disk", "--yes")
	t.Logf("attach %s, detach %s", attached.Sub(begin).Round(time.Millisecond), time.Since(detaching).Round(time.Millisecond))
	if !strings.Contains(out, "is detached from VM 19") {
		t.Errorf("detach says\n%s", out)
	}
	s.is("AVAILABLE")
}

// xenFailures: each names the thing and what to do, and leaves nothing.
func (s *site) xenFailures(t *testing.T) {
	portal := []string{"--portal", lab.Portal}
	create := func(name, target, lun, size string, more ...string) {
		t.Helper()
		s.must(append([]string{"create", "--name", name, "--iqn", lab.IQNPrefix + target, "--lun", lun, "--size", size}, more...)...)
	}
	create("closed", "open2", "1", "64", "--portal", lab.ClosedPortal)
	create("wrong secret", "chap", "1", "64", append(portal, "--chap-user", "chapuser", "--chap-secret-file", s.cloud.write("s", "notthesecret12"))...)
	create("nosuch", "nosuch", "1", "64", portal...)
	create("no lun", "open1", "7", "64", portal...)
	create("wrong size", "shared", "1", "65", portal...)
	create("wrong serial", "shared", "2", "80", append(portal, "--serial", "SOMETHING-ELSE")...)
	for _, test := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"no such VM", []string{"99", "16"}, []string{"virtual machine [99]"}},
		{"VM not running", []string{"22", "16"}, []string{"VM 22 (off) is POWEROFF, not RUNNING", "Hint: "}},
		{"domain missing", []string{"20", "16"}, []string{"one-20", "host03", "xl list"}},
		{"host unreachable", []string{"21", "16"}, []string{"host09", "Hint: "}},
		{"evil domain name", []string{"23", "16"}, []string{"host03"}},
		{"no volume that fits", []string{"19", "1T"}, []string{"No free volume of at least 1T"}},
		{"portal refuses", []string{"19", "--volume", "closed"}, []string{lab.ClosedPortal, "open2", "host03"}},
		{"wrong CHAP secret", []string{"19", "--volume", "wrong secret"}, []string{"CHAP", "chap", "host03", "Hint: "}},
		{"unknown target", []string{"19", "--volume", "nosuch"}, []string{"nosuch", "host03"}},
		{"LUN missing", []string{"19", "--volume", "no lun"}, []string{"LUN 7", "open1"}},
		{"size differs", []string{"19", "--volume", "wrong size"}, []string{"68157440", "67108864"}},
		{"serial differs", []string{"19", "--volume", "wrong serial"}, []string{"SOMETHING-ELSE", "LAB-shared-2"}},
	} {
		s.refused(append([]string{"attach"}, test.args...), test.words...)
		s.Clean(t, s.host)
	}
	s.refused([]string{"detach", "19", "disk", "--yes"}, "Volume 0 is not attached")
	if _, err := os.Stat("/tmp/pwned"); err == nil || s.Exec(s.host, "test -e /tmp/pwned").Code == 0 {
		t.Error("a name reached a shell")
	}
	// The toolstack fails in the middle: everything is taken back.
	s.trap("xl", "block-attach")
	client := s.begin("attach", "19", "--volume", "disk")
	s.held("xl")
	s.Must(s.Exec(s.host, "pkill -KILL -f 'xen-4.17/bin/[x]l block-attach' && rm -f /run/lab/traps/*"))
	if code := client.ends(); code != 255 {
		t.Errorf("attach with an xl that was killed: exit status %d", code)
	}
	s.untrap()
	s.endsAs("AVAILABLE")
	s.Must(s.Exec(s.host, "mv /usr/sbin/xl /usr/sbin/xl.away"))
	o := s.cloud.run("attach", "19", "--volume", "disk")
	s.Must(s.Exec(s.host, "mv /usr/sbin/xl.away /usr/sbin/xl"))
	if o.code != 255 || !strings.Contains(o.err, "neither xl nor xm") || !strings.Contains(o.err, "Hint: install Xen's tools") {
		t.Errorf("without xl: %d\n%s", o.code, o.err)
	}
	s.is("AVAILABLE")
}

// xenHeldOpen: a guest with Linux 6.1 lets go of a disk that it has open, at
// once, and what has it open there fails. The host is logged out after that.
func (s *site) xenHeldOpen(t *testing.T) {
	s.goes("ATTACHED")
	s.writes("held-open")
	s.onGuest("hold /dev/" + s.show("disk")["DEVICE"])
	s.must("detach", "19", "disk", "--yes")
	s.onGuest("release")
	s.is("AVAILABLE")
}

// xenForced: a guest that does not let go keeps the disk, and the session stays
// under it. By force it goes, and the host is logged out when the kernel has
// closed the device; who takes over from a client that died does the same.
func (s *site) xenForced(t *testing.T) {
	s.goes("ATTACHED")
	s.writes("not-let-go")
	s.Must(s.Exec(s.host, "xl pause one-19"))
	s.refused([]string{"detach", "19", "disk", "--yes"}, "has not let go", "xl unpause one-19")
	s.state("disk", "ATTACHED")
	if n := len(s.Sessions(s.host)); n != 1 || !s.holds(s.target, 1, "not-let-go") {
		t.Errorf("%d sessions, want the one under the guest, and its data", n)
	}
	s.must("detach", "19", "disk", "--yes", "--force")
	s.Must(s.Exec(s.host, "xl unpause one-19"))
	s.is("AVAILABLE")

	s.goes("ATTACHED")
	s.Must(s.Exec(s.host, "xl pause one-19"))
	w := workflow{args: []string{"detach", "VM", "VOLUME", "--yes", "--force"}}
	if at := s.client(w, "2/after"); !strings.Contains(at, "force") {
		t.Errorf("the client was killed at %q", at)
	}
	s.eventually("the daemon has carried it on", func() bool { return s.status("disk") == "AVAILABLE" })
	s.Must(s.Exec(s.host, "xl unpause one-19"))
	s.is("AVAILABLE")
	if s.onGuest("true"); t.Failed() {
		return
	}
	s.refused([]string{"detach", "19", "disk", "--yes", "--force"}, "not attached")
}

// xenPoint is a place in a workflow at which its process is killed.
type xenPoint struct {
	name, begin, point, want string
	daemon                   bool // it is the daemon that dies
}

// xenPoints are some of those of TestCrashPoints: before and after the disk is
// in the guest, forward and back, by client and daemon.
var xenPoints = []xenPoint{
	{"attach, client dies before the login", "AVAILABLE", "3/before", "AVAILABLE", false},
	{"attach, client dies before the plug", "AVAILABLE", "4/after", "AVAILABLE", false},
	{"attach, client dies after the plug", "AVAILABLE", "5/before", "ATTACHED", false},
	{"detach, client dies before the unplug", "ATTACHED", "2/before", "AVAILABLE", false},
	{"attach, daemon dies after the plug", "AVAILABLE", "5/before", "ATTACHED", true},
	{"detach, daemon dies before the wipe", "ATTACHED", "3/before", "AVAILABLE", true},
	{"detach, client dies before the logout", "ATTACHED", "5/before", "AVAILABLE", false},
}

func (s *site) xenPoint(t *testing.T, p xenPoint) {
	s.goes(p.begin)
	w := workflows[0]
	if p.begin == "ATTACHED" {
		s.writes("to-be-wiped")
		w = workflows[1]
	}
	wrote := ""
	if p.daemon {
		s.restart("ONEVOLUME_CRASH=" + p.point)
		client := s.command(t.Context(), "oneadmin", s.words(w, "--server")...)
		out, _ := client.CombinedOutput()
		t.Logf("the client ended with %v\n%s", client.ProcessState, out)
		wrote = s.diedOrNot(false)
	} else {
		wrote = s.client(w, p.point)
	}
	if wrote == "" {
		t.Fatal("it was not killed")
	}
	s.endsAs(p.want)
	t.Logf("point | %-42s | %-50s | %s", p.name, wrote, p.want)
}

// xenDoctor: what is plugged and unplugged by hand is found, and put right.
func (s *site) xenDoctor(t *testing.T) {
	s.goes("ATTACHED")
	if out := s.cloud.run("doctor", "--host", s.host); out.code != 0 {
		t.Errorf("doctor finds something where all is well: %d\n%s%s", out.code, out.out, out.err)
	}
	device := s.show("disk")["DEVICE"]
	s.Must(s.Exec(s.host, "xl block-detach one-19 "+device))
	if out := s.cloud.run("doctor", "--host", s.host); out.code == 0 || !strings.Contains(out.out+out.err, "xl block-attach one-19") {
		t.Errorf("doctor on a disk that was taken out: %d\n%s%s", out.code, out.out, out.err)
	}
	s.must("doctor", "--fix", "--yes", "--host", s.host)
	s.is("ATTACHED")
	s.goes("AVAILABLE")
	s.is("AVAILABLE")
}
