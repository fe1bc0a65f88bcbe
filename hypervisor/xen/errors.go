package xen

import (
	"bytes"
	"cmp"
	"strings"

	"onevolume"
	"onevolume/command"
)

// cause is what the tools' error texts mean.
type cause int

const (
	unclear     cause = iota
	noDomain          // no such domain
	noStore           // xenstored, or xend, does not answer
	noXen             // the kernel does not run under Xen
	noAccess          // not root
	slotTaken         // the name is another disk's
	sourceTaken       // another domain has the source
	noSource          // the source does not exist
	noDisk            // no such disk to detach
	inUse             // the guest has not let go in time
	tooSlow           // the host's scripts did not end in time
	noProgram         // neither xl nor xm is there, or no xenstore-ls
	noSudo            // sudo does not allow it
)

// causes are texts of the tools, in the order in which they are looked for.
var causes = []struct {
	text  string
	cause cause
}{
	{"is an invalid domain identifier", noDomain}, // xl of Xen 4.17, as those below
	{"unable to get domain type", noDomain},
	{"cannot open libxc handle", noAccess},
	{"already exists in xenstore", slotTaken},
	{"failed to stat", noSource},
	{"nable to remove ", inUse},
	{"because of timeout", tooSlow},
	{"is mounted in a guest domain", sourceTaken}, // Xen's hotplug script, with either tool
	{"is mounted read-write in a guest domain", sourceTaken},
	{"is mounted in the privileged domain", sourceTaken},
	{"Error: Domain '", noDomain},    // xm, as those below
	{" does not exist.\n", noSource}, // the hotplug script
	{"Backend device not found", noSource},
	{"is already connected.", slotTaken},
	{"could not be disconnected", inUse},
	{"Unable to connect to xend", noStore},
	{"need root access", noAccess},
	{"not connected", noDisk}, // both
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

// failure is the error for a tool that did not do what it was to do to the
// domain.
func failure(h command.Host, domain, doing string, r command.Result) error {
	words := cmp.Or(said(r.Stderr), "it is not said why")
	wrong := func(code onevolume.Code) *onevolume.Error {
		return onevolume.Errorf(code, "domain %s on host %s: %s: %s", domain, h.Name(), doing, words)
	}
	switch causeOf(r) {
	case noDomain:
		return missing(h, domain, "xl")
	case noStore:
		return wrong(onevolume.Unreachable).WithHint("start the daemons of Xen on the host: systemctl start xenstored xenconsoled, or xend where xm is used")
	case noXen:
		return wrong(onevolume.Unreachable).WithHint("host %s does not run under Xen: boot its Xen entry", h.Name())
	case noAccess:
		return wrong(onevolume.Refused).WithHint("%s", hintSudo)
	case noProgram:
		return wrong(onevolume.Unreachable).WithHint("install Xen's tools on the host: xl or xm, and xenstore-ls (Debian: packages xen-utils and xenstore-utils)")
	case noSudo:
		return wrong(onevolume.Refused).WithHint("%s", hintSudo)
	case sourceTaken:
		return wrong(onevolume.Held).WithHint("find out which domain has it: xl block-list of each in xl list")
	case tooSlow:
		return wrong(onevolume.Busy).WithHint("host %s is very busy: Xen gives up after 40 s; try again", h.Name())
	case noSource:
		return wrong(onevolume.Refused).WithHint("the host has no such device: is it logged in to the target?")
	}
	return wrong(onevolume.Refused).WithHint("see /var/log/xen on host %s", h.Name())
}

const hintSudo = "let the user run xl (or xm) and xenstore-ls on the host by sudo, without a password"

// missing is the error for a domain that the host does not have.
func missing(h command.Host, domain, tool string) error {
	return onevolume.Errorf(onevolume.NotFound, "host %s has no domain %s", h.Name(), domain).
		WithHint("see what runs there: %s list", cmp.Or(tool, "xl"))
}

// said is the tools' own words on one line, without the names of functions and
// files that libxl puts before them.
func said(stderr []byte) string {
	var lines []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "libxl: error: "); ok {
			if where, words, ok := strings.Cut(rest, ": "); ok && !strings.Contains(where, " ") {
				rest = words
			}
			line = rest
		}
		if line != "" && !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return strings.ToValidUTF8(strings.Join(lines, "; "), "?")
}
