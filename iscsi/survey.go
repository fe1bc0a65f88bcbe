package iscsi

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/command"
)

// HostFacts is what a host has of iSCSI, of whatever target.
type HostFacts struct {
	// Boot tells this boot of this machine from every other: two names with
	// the same are one machine.
	Boot string
	// Initiator is the host's own iSCSI name; empty when it could not be read.
	Initiator string
	Sessions  []Session
	Records   []Record
	Links     []Link
}

// Session is one session of a host.
type Session struct {
	ID     int
	IQN    onevolume.IQN    // in lower case, however the record wrote it
	Portal onevolume.Portal // the one the node record has
	State  string           // the kernel's word
	Units  []Unit
}

// Working says whether the session carries commands.
func (s Session) Working() bool { return s.State == loggedIn }

// Unit is a logical unit that the kernel has of a session. What is no disk,
// such as a target's controller, has no Name. Whether its first block can be
// read was not tried.
type Unit struct {
	LUN onevolume.LUN
	Device
}

// Record is a node record of a host. Several of one portal, as discoveries
// make them, are told one by one.
type Record struct {
	Name    string        // of the target, as it is written there
	IQN     onevolume.IQN // the same in lower case
	At      string        // address:port, as iscsiadm takes them; others may have written a name
	Startup string        // manual, automatic, onboot
}

// Automatic says whether the host would log in by itself when it boots.
func (r Record) Automatic() bool { return r.Startup == "automatic" || r.Startup == "onboot" }

// Link is a name under /dev/disk/by-path that looks like a disk's of iSCSI
// and leads to none.
type Link struct {
	Path string
	IQN  onevolume.IQN // in lower case
	LUN  onevolume.LUN
	// File says that it is no link but a file: somebody wrote to the path
	// when no disk was there, and it may hold data.
	File bool
}

// Survey tells all that the host has of iSCSI, in one script. It changes
// nothing. Codes: Unreachable and Unknown (the host did not answer), Refused
// (its sudo, or iscsiadm cannot read the records), Internal.
func (i *Initiator) Survey(ctx context.Context, h command.Host) (HostFacts, error) {
	fail := func(code onevolume.Code, format string, args ...any) (HostFacts, error) {
		return HostFacts{}, onevolume.Errorf(code, "host %s could not be surveyed: %w", h.Name(), fmt.Errorf(format, args...))
	}
	cmd := surveyCmd()
	res, err := command.Do(ctx, h, cmd)
	if err != nil {
		return HostFacts{}, onevolume.Errorf(onevolume.Unreachable, "host %s could not be surveyed: %w", h.Name(), err)
	}
	s, err := parseSurvey(res.Stdout)
	if err != nil {
		return fail(onevolume.Internal, "%s: %w", cmd.Name, err)
	}
	switch code := s.report.code("records"); {
	case command.SudoRefused(command.Result{Code: 1, Stderr: res.Stderr}):
		return HostFacts{}, onevolume.Errorf(onevolume.Refused, "host %s could not be surveyed: sudo refuses the user", h.Name()).WithHint("%s", hintSudo)
	case code != 0 && code != exitNoObjects:
		o := meaning(code)
		e := onevolume.Errorf(o.code, "host %s could not be surveyed: its node records cannot be read: %s", h.Name(), o.text)
		return HostFacts{}, e.WithHint("%s", o.hint)
	}
	return s.facts(), nil
}

func surveyCmd() command.Cmd {
	return command.Cmd{Name: NameSurvey, Script: surveyScript, ReadOnly: true}
}

// survey reads the script's output: that of the other scripts, with the
// target before each session.
type survey struct {
	report
	boot    string
	targets []string // of the sessions, in their order
	records []Record
	links   []Link
	portal  [2]string // address and port of the newest record
}

// parseSurvey reads a whole output.
func parseSurvey(out []byte) (*survey, error) {
	s := &survey{}
	ended := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case ended:
			return nil, fmt.Errorf("the line %q comes after the end", line)
		case line == "end":
			ended = true
			continue
		}
		if err := s.line(line); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	if !ended {
		return nil, fmt.Errorf("the output breaks off")
	}
	if len(s.targets) != len(s.sessions) {
		return nil, fmt.Errorf("%d targets for %d sessions", len(s.targets), len(s.sessions))
	}
	return s, nil
}

func (s *survey) line(line string) error {
	key, value, _ := strings.Cut(line, " ")
	switch key {
	case "boot":
		s.boot = value
	case "target":
		s.targets = append(s.targets, value)
	case "stale":
		kind, path, _ := strings.Cut(value, " ")
		// What is not of udev's form is none of its links.
		if l, ok := ParseLink(path); ok {
			l.File = kind == "file"
			s.links = append(s.links, l)
		}
	case "node.name", "node.startup", "node.conn[0].address", "node.conn[0].port":
		return s.record(key, strings.TrimPrefix(value, "= "))
	default:
		return s.report.line(line)
	}
	return nil
}

// record reads a setting of a node record, of which the name comes first.
func (s *survey) record(key, value string) error {
	if key == "node.name" {
		s.records = append(s.records, Record{Name: value, IQN: lower(value)})
		s.portal = [2]string{}
		return nil
	}
	if len(s.records) == 0 {
		return errShape
	}
	r := &s.records[len(s.records)-1]
	switch key {
	case "node.startup":
		r.Startup = value
	case "node.conn[0].address":
		s.portal[0] = value
	case "node.conn[0].port":
		s.portal[1] = value
	}
	r.At = s.portal[0] + ":" + s.portal[1]
	if p := portalOf(s.portal[0], s.portal[1]); p.IsValid() {
		r.At = p.String()
	}
	return nil
}

// facts puts together what callers get.
func (s *survey) facts() HostFacts {
	f := HostFacts{Boot: s.boot, Initiator: s.initiator, Records: s.records, Links: s.links}
	for i, session := range s.sessions {
		out := Session{ID: session.id, IQN: lower(s.targets[i]), Portal: session.portal, State: session.state}
		for _, u := range session.units {
			unit := Unit{LUN: plainLUN(u.lun), Device: Device{Session: session.id, Portal: session.portal, HCTL: u.hctl}}
			for _, d := range s.disks {
				if d.session == session.id && d.hctl == u.hctl {
					unit.Device = s.device(d)
				}
			}
			out.Units = append(out.Units, unit)
		}
		f.Sessions = append(f.Sessions, out)
	}
	return f
}

// plainLUN takes the bits of flat space addressing out of a number.
func plainLUN(n int) onevolume.LUN {
	if n&flat != 0 && n < 2*flat {
		n &^= flat
	}
	return onevolume.LUN(n)
}

// lower is a name as the inventory has it.
func lower(s string) onevolume.IQN { return onevolume.IQN(strings.ToLower(s)) }

// linkForm is what udev's path_id calls a disk of iSCSI, or a partition of one.
var linkForm = regexp.MustCompile(`^/dev/disk/by-path/ip-[0-9a-fA-F.:]+:[0-9]+-iscsi-([^/[:space:]]+)-lun-(0x[0-9a-f]{16}|[0-9]+)(-part[0-9]+)?$`)

// ParseLink reads a name that udev gives to disks of iSCSI; false when it is
// none. File is not set.
func ParseLink(path string) (Link, bool) {
	m := linkForm.FindStringSubmatch(path)
	if m == nil {
		return Link{}, false
	}
	n, err := strconv.ParseUint(m[2], 10, 15)
	if hex, ok := strings.CutPrefix(m[2], "0x"); ok {
		if n, err = strconv.ParseUint(hex[:4], 16, 32); hex[4:] != "000000000000" {
			return Link{}, false // beyond the numbers that volumes may have
		}
	}
	if err != nil {
		return Link{}, false
	}
	return Link{Path: path, IQN: lower(m[1]), LUN: plainLUN(int(n))}, true
}
