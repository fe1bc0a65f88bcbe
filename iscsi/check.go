package iscsi

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/command"
)

// HostState is what a host brings along for an initiator.
type HostState struct {
	Initiator string // its own iSCSI name; empty when it could not be read
	Findings  []Finding
}

// Finding is something about a host that will get in the way, or may.
type Finding struct {
	Fatal bool // nothing can be attached there
	Text  string
	Hint  string
}

// HostCheck looks for what a host lacks. It changes nothing. The error is
// only about reaching the host.
func (i *Initiator) HostCheck(ctx context.Context, h command.Host) (HostState, error) {
	cmd := command.Cmd{Name: NameCheck, Script: checkScript, ReadOnly: true}
	res, err := command.Do(ctx, h, cmd)
	if err != nil {
		return HostState{}, onevolume.Errorf(onevolume.Unreachable, "host %s could not be checked: %w", h.Name(), err)
	}
	var s HostState
	for line := range strings.Lines(string(res.Stdout)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		s.fact(key, strings.TrimSpace(value))
	}
	return s, nil
}

// fact turns one line of the script into a finding, if it is one.
func (s *HostState) fact(key, value string) {
	find := func(fatal bool, hint, format string, args ...any) {
		s.Findings = append(s.Findings, Finding{fatal, fmt.Sprintf(format, args...), hint})
	}
	switch key {
	case "missing":
		find(true, "install it (open-iscsi, util-linux, coreutils, udev)", "%s is not there", value)
	case "forbidden":
		find(true, hintSudo, "sudo does not let the user run %s", value)
	case "initiator":
		s.Initiator = value
		if value == "" {
			find(false, "each host needs a name of its own in /etc/iscsi/initiatorname.iscsi, and cloned hosts have the same", "the initiator's name cannot be read")
		}
	case "version":
		if value != "" && !newEnough(value) {
			find(true, hintOld, "open-iscsi %s is too old", value)
		}
	case "iscsid":
		if value != "yes" {
			find(true, hintISCSID, "iscsid is not running, and nothing starts it on demand")
		}
	case "startup":
		if value == "automatic" {
			find(false, "set node.startup = manual in /etc/iscsi/iscsid.conf", "node records made by others log in when the host boots")
		}
	case "groups":
		if g := strings.Fields(value); !slices.Contains(g, "disk") && !slices.Contains(g, "root") {
			find(true, "usermod -aG disk oneadmin", "the user is not in group disk and can read no block device")
		}
	}
}

// newEnough says whether open-iscsi has node.session.scan, since 2.0.874. Red
// Hat's packages call that 6.2.0.874. What cannot be read counts as new.
func newEnough(version string) bool {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "6."), "-")
	var n [3]int
	for i, word := range strings.Split(version, ".") {
		v, err := strconv.Atoi(word)
		if err != nil || i >= len(n) {
			return true
		}
		n[i] = v
	}
	return slices.Compare(n[:], []int{2, 0, 874}) >= 0
}
