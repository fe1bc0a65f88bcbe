package virsh

import (
	"bytes"
	"cmp"
	"errors"
	"strings"

	"onevolume"
	"onevolume/command"
)

// cause is what virsh's error texts mean.
type cause int

const (
	unclear     cause = iota
	noDomain          // libvirt has no such domain
	notRunning        // the domain exists, but does not run
	noDaemon          // libvirtd does not answer
	noAccess          // the socket is not for this user
	slotTaken         // target name or address are another disk's
	sourceTaken       // another disk has the source
	noSource          // the source does not exist
	noRight           // QEMU may not open the source
	noDisk            // no such disk to detach
	detaching         // the guest has been asked already
	busy              // another job has the domain
	noProgram         // virsh is not installed
	noSudo            // sudo does not allow it
)

// causes are texts that virsh prints to standard error, in the order in which
// they are looked for. All of them come with exit status 1. Those without a
// version were recorded from libvirt 9.0 with QEMU 7.2.
var causes = []struct {
	text  string
	cause cause
}{
	{"-sock': Permission denied", noAccess}, // libvirt-sock, or virtqemud-sock where the daemon is split
	{"-sock-ro': Permission denied", noAccess},
	{"authentication unavailable", noAccess}, // polkit, without an agent (libvirt 4 to 9)
	{"authentication failed", noAccess},      // polkit says no
	{"failed to connect to the hypervisor", noDaemon},
	{"End of file while reading data", noDaemon}, // libvirtd went away meanwhile (src/rpc)
	{"client socket is closed", noDaemon},        // the same
	{"failed to get domain", noDomain},
	{"Domain not found", noDomain},
	{"domain is not running", notRunning},
	{"duplicated for disk sources", slotTaken},
	{"already contains a disk with that address", slotTaken},
	{"cannot acquire state change lock", busy}, // qemuDomainObjBeginJob, after 30 s
	{"another migration job is already in progress", busy},
	{"is already in the process of unplug", detaching}, // QEMU 6.0 and later
	{"No disk found whose source path or target is", noDisk},
	{"Failed to get disk information", noDisk}, // the domain has no disk at all
	{"device not found", noDisk},
	{"which is already in use", sourceTaken},
	{"Is another process using the image", sourceTaken}, // QEMU's image locks
	{"No such file or directory", noSource},
	{"No such device or address", noSource}, // a link to a device that left
	{"Permission denied", noRight},
}

// causeOf says what came in the way, from a command's standard error.
func causeOf(r command.Result) cause {
	switch {
	case command.SudoRefused(r):
		return noSudo
	case r.Code == 126 || r.Code == 127: // POSIX: cannot be run, not found
		return noProgram
	}
	for _, c := range causes {
		if bytes.Contains(r.Stderr, []byte(c.text)) {
			return c.cause
		}
	}
	return unclear
}

// failure is the error for a virsh that did not do what it was to do to the
// domain.
func failure(h command.Host, domain, doing string, r command.Result) error {
	words := cmp.Or(said(r.Stderr), "virsh did not say why")
	wrong := func(code onevolume.Code) *onevolume.Error {
		return onevolume.Errorf(code, "domain %s on host %s: %s: %s", domain, h.Name(), doing, words)
	}
	switch causeOf(r) {
	case noDomain:
		return missing(h, domain)
	case notRunning:
		return wrong(onevolume.Action).WithHint("start the VM, then try again")
	case noDaemon:
		return wrong(onevolume.Unreachable).WithHint("start libvirt on the host: systemctl start libvirtd")
	case noAccess:
		return wrong(onevolume.Refused).WithHint("put the user that logs in to the host into the group libvirt")
	case noProgram:
		return wrong(onevolume.Unreachable).WithHint("install virsh on the host (package libvirt-clients or libvirt-client)")
	case noSudo:
		return wrong(onevolume.Refused).WithHint("allow virsh in the host's sudoers, or do without sudo")
	case sourceTaken:
		// A device that dies while it is plugged, or before it is unplugged,
		// cannot be opened, so libvirt does not take back whom it gave it to
		// (seen with libvirt 9.0). That stays in the domain's own /dev, and
		// counts for every disk that has the same name later.
		return wrong(onevolume.Held).WithHint("find out which domain has it: virsh domblklist. If none has, libvirt counts a disk of that name that died: "+
			"power the VM off and on, or as root on host %s: nsenter -m -t $(cat /run/libvirt/qemu/%s.pid) rm /dev/sdX, where sdX is the volume's", h.Name(), domain)
	case noSource:
		return wrong(onevolume.Refused).WithHint("the host has no such device: is it logged in to the target?")
	case noRight:
		return wrong(onevolume.Refused).WithHint("QEMU's user on the host must be in the group disk")
	case busy:
		return wrong(onevolume.Busy).WithHint("the domain is being migrated, saved or changed; try again when that is over")
	}
	return wrong(onevolume.Refused)
}

// missing is the error for a domain that the host does not have.
func missing(h command.Host, domain string) error {
	return onevolume.Errorf(onevolume.NotFound, "host %s has no domain %s", h.Name(), domain).
		WithHint("see what runs there: virsh list --all")
}

// said is virsh's own words on one line, without what it says twice and
// without its announcement that it is going to tell the error.
func said(stderr []byte) string {
	var lines []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "error: "))
		announced := strings.HasPrefix(line, "Failed to attach ") || strings.HasPrefix(line, "Failed to detach ") || strings.HasPrefix(line, "Failed to resize ")
		if line != "" && !announced && !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "?")
}

// notRun says that a command was never given to the host.
func notRun(err error) bool { return errors.Is(err, command.ErrNotRun) }
