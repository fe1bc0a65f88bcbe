//go:build lab

package e2e

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"onevolume/lab"
)

// oneSite is a site on host01 for a test of its own.
func oneSite(t *testing.T, change ...func(*site)) *site {
	t.Helper()
	l := lab.Open(t)
	(&cloud{Lab: l, t: t}).fresh()
	l.AddTarget("unit17", 16)
	t.Cleanup(func() {
		if t.Failed() {
			l.Reset()
		}
	})
	s := openSite(t, l, 17, "host01", change...)
	s.target = "unit17"
	s.volume("disk", s.target, 1, 16)
	return s
}

// part runs a subtest with the site.
func (s *site) part(name string, f func(t *testing.T)) {
	parent := s.t
	parent.Run(name, func(t *testing.T) {
		s.t, s.Lab = t, s.Lab.For(t)
		defer func() { s.t, s.Lab = parent, s.Lab.For(parent) }()
		f(t)
	})
}

// A trap stands before a program on the host. The first call whose words hold
// the given ones waits in it, until it is let go: whatever shall happen in the
// middle of a command happens at exactly that place.
const trapScript = `#!/bin/bash
traps=/run/lab/traps
if [[ "$*" == *"$(cat $traps/set.%[1]s 2>/dev/null || echo none)"* ]] && mv $traps/set.%[1]s $traps/held.%[1]s 2>/dev/null; then
	while [ -e $traps/held.%[1]s ]; do sleep 0.05; done
fi
exec %[2]s.real "$@"
`

// places of the programs that traps are made for.
var places = map[string]string{"virsh": "/usr/bin/virsh", "iscsiadm": "/usr/sbin/iscsiadm", "blkdiscard": "/usr/sbin/blkdiscard", "xl": "/usr/lib/xen-4.17/bin/xl"}

func (s *site) trap(program, words string) {
	s.t.Helper()
	path := places[program]
	s.Must(s.Exec(s.host, fmt.Sprintf("mkdir -p -m 777 /run/lab/traps; chmod 777 /run/lab/traps\n[ -e %[1]s.real ] || mv %[1]s %[1]s.real\n"+
		"cat >%[1]s <<'END'\n%[2]sEND\nchmod 755 %[1]s; echo %[3]s >/run/lab/traps/set.%[4]s",
		path, fmt.Sprintf(trapScript, program, path), quote(words), program)))
}

// quote makes one word of them for the host's shell.
func quote(words string) string { return "'" + words + "'" }

// held waits until a call is in the trap.
func (s *site) held(program string) {
	s.t.Helper()
	s.eventually("a call of "+program+" is in the trap", func() bool {
		return s.Exec(s.host, "test -e /run/lab/traps/held."+program).Code == 0
	})
}

func (s *site) letGo(program string) {
	s.t.Helper()
	s.Must(s.Exec(s.host, "rm /run/lab/traps/held."+program))
}

// untrap puts the host's programs back.
func (s *site) untrap() {
	lines := []string{"rm -rf /run/lab/traps"}
	for _, path := range places {
		lines = append(lines, fmt.Sprintf("[ ! -e %[1]s.real ] || mv -f %[1]s.real %[1]s", path))
	}
	s.Must(s.Exec(s.host, strings.Join(lines, "\n")))
}

// running is a client under way.
type running struct {
	*exec.Cmd
	s    *site
	said strings.Builder
}

func (s *site) begin(args ...string) *running {
	s.t.Helper()
	r := &running{Cmd: s.command(s.t.Context(), "oneadmin", args...), s: s}
	r.Stdout, r.Stderr = &r.said, &r.said
	if err := r.Start(); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// ends waits for the client's end and gives its exit status.
func (r *running) ends() int {
	r.s.t.Helper()
	_ = r.Wait()
	r.s.t.Logf("onevolume %q ended with %v\n%s", r.Args[3:], r.ProcessState, r.said.String())
	return r.ProcessState.ExitCode()
}

// settled waits until no operation has the volume, wants it to be in one of
// the states, and looks whether that is true.
func (s *site) settled(want ...string) string {
	s.t.Helper()
	end := ""
	s.eventually("no operation has the volume", func() bool {
		end = s.status("disk")
		return !strings.HasSuffix(end, "ING")
	})
	if !slices.Contains(want, end) {
		s.t.Errorf("the volume is %s (%s), want one of %v", end, s.show("disk")["REASON"], want)
	}
	s.truly(end, end)
	return end
}

// off detaches the volume if it is attached, so that the next part begins
// anew.
func (s *site) off() {
	s.t.Helper()
	s.brings("AVAILABLE")
	s.truly("AVAILABLE", "AVAILABLE")
}

func (s *site) attaches() []string { return []string{"attach", fmt.Sprint(s.vm), "--volume", "disk"} }

func (s *site) detaches() []string { return []string{"detach", fmt.Sprint(s.vm), "disk", "--yes"} }
