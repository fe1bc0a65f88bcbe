package lab

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Sessions are the IQNs a host is logged in to, one for each session, as the kernel says.
func (l *Lab) Sessions(host string) []string {
	l.t.Helper()
	return l.lines(host, "cat /sys/class/iscsi_session/session*/targetname 2>/dev/null; true")
}

// Records are the node records of a host, "PORTAL,TPGT IQN" each, where TPGT is 4294967295 in one made without
// discovery.
func (l *Lab) Records(host string) []string {
	l.t.Helper()
	return l.lines(host, "iscsiadm -m node 2>/dev/null; [ $? = 0 ] || [ $? = 21 ] || true")
}

// Links are the names in /dev/disk/by-path of a host. All its disks come over iSCSI.
func (l *Lab) Links(host string) []string {
	l.t.Helper()
	return l.lines(host, "ls /dev/disk/by-path 2>/dev/null; true")
}

// Guests are the numbers of the guests on a host, as "17".
func (l *Lab) Guests(host string) []string {
	l.t.Helper()
	return l.lines(host, "virsh -q -c qemu:///system list --all --name | sed -n 's/^one-//p'")
}

// Disks are the disks of a guest on that host, "TARGET SOURCE" each. A fresh guest has none.
func (l *Lab) Disks(host string, vm int) []string {
	l.t.Helper()
	var disks []string
	for _, line := range l.lines(host, fmt.Sprintf("virsh -q -c qemu:///system domblklist one-%d", vm)) {
		disks = append(disks, strings.Join(strings.Fields(line), " "))
	}
	return disks
}

// DomainXML is the live description of a guest on that host.
func (l *Lab) DomainXML(host string, vm int) string {
	l.t.Helper()
	return l.Must(l.Exec(host, fmt.Sprintf("virsh -c qemu:///system dumpxml one-%d", vm)))
}

// lines runs a shell's line on a host and returns the lines it prints, without empty ones.
func (l *Lab) lines(host, line string) []string {
	l.t.Helper()
	var lines []string
	for line := range strings.Lines(l.Must(l.Exec(host, line))) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Clean fails the test when something is left on a host: sessions, node records, links to disks, disks in guests.
// What goes by itself gets five seconds to go: the links vanish after the logout has returned. Hosts that are named
// are the only ones that are looked at.
func (l *Lab) Clean(t testing.TB, hosts ...string) {
	t.Helper()
	if len(hosts) == 0 {
		hosts = Hosts()
	}
	deadline := time.Now().Add(5 * time.Second)
	left := l.Left(hosts...)
	for len(left) != 0 && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
		left = l.Left(hosts...)
	}
	for _, what := range left {
		t.Errorf("lab: left behind: %s", what)
	}
}

// leftovers prints a line for each thing that a fresh host has not. It reads what the kernel, open-iscsi, udev and
// libvirt write down, in one command: asking iscsiadm and virsh takes most of a second.
const leftovers = `
for s in /sys/class/iscsi_session/session*/targetname; do
	[ ! -e $s ] || { read -r t <$s; echo session to $t; }
done 2>/dev/null
for r in /etc/iscsi/nodes/*/*; do
	[ ! -e "$r" ] || echo "node record $r"
done
for l in /dev/disk/by-path/*; do
	[ ! -L "$l" ] || echo "link $l"
done
for b in /sys/bus/xen-backend/devices/vbd-*; do
	[ ! -e $b ] || echo "disk of a Xen guest ${b##*/}"
done
grep -E "<disk |<source (dev|file)=" /run/libvirt/qemu/*.xml /dev/null 2>/dev/null | sed "s/  */ /"
true`

// Left is what Clean complains of: a line for each thing that a fresh host has not.
func (l *Lab) Left(hosts ...string) []string {
	l.t.Helper()
	var left []string
	for _, host := range hosts {
		for _, what := range l.lines(host, leftovers) {
			left = append(left, "on "+host+": "+what)
		}
	}
	return left
}
