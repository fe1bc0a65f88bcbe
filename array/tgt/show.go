package tgt

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"onevolume"
)

// live is a target as tgtadm --op show --mode target prints it.
type live struct {
	tid      int
	iqn      onevolume.IQN
	units    map[int]unit
	sessions []session
	accounts []string
	acl      []string
}

type unit struct {
	path, serial, size string
}

type session struct {
	sid         int
	initiator   onevolume.IQN
	address     string
	connections []int
}

// The headings of a target's parts.
const (
	nexuses  = "I_T nexus information:"
	units    = "LUN information:"
	accounts = "Account information:"
	rules    = "ACL information:"
	system   = "System information:"
)

// parse reads what tgtadm shows (recorded with 1.0.85).
func parse(out string) (list []live, err error) {
	part, number := "", -1
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if id, ok := strings.CutPrefix(key, "Target "); ok && value != "" && !strings.HasPrefix(line, system) {
			tid, err := strconv.Atoi(id)
			if err != nil {
				return nil, fmt.Errorf("tgtadm shows the target %q", line)
			}
			list, part = append(list, live{tid: tid, iqn: onevolume.IQN(value), units: map[int]unit{}}), ""
			continue
		}
		if line == "" {
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("tgtadm shows %q before any target", line)
		}
		l := &list[len(list)-1]
		switch line {
		case system, nexuses, units, accounts, rules:
			part, number = line, -1
			continue
		}
		switch part {
		case nexuses:
			err = l.nexus(key, value)
		case units:
			number, err = l.unit(number, key, value)
		case accounts:
			// An account with which the target proves itself has a mark.
			l.accounts = append(l.accounts, strings.Fields(line)[0])
		case rules:
			l.acl = append(l.acl, line)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (l *live) nexus(key, value string) error {
	n, err := strconv.Atoi(value)
	if key == "I_T nexus" {
		l.sessions = append(l.sessions, session{sid: n})
		return err
	}
	if len(l.sessions) == 0 {
		return fmt.Errorf("tgtadm shows %q of no session", key)
	}
	s := &l.sessions[len(l.sessions)-1]
	switch key {
	case "Initiator":
		name, _, _ := strings.Cut(value, " ")
		s.initiator = onevolume.IQN(strings.ToLower(name))
	case "Connection":
		s.connections = append(s.connections, n)
		return err
	case "IP Address":
		if a, err := netip.ParseAddr(strings.Trim(value, "[]")); err == nil {
			s.address = a.Unmap().String()
		}
	}
	return nil
}

func (l *live) unit(number int, key, value string) (int, error) {
	if key == "LUN" {
		return strconv.Atoi(value)
	}
	u := l.units[number]
	switch key {
	case "SCSI SN":
		u.serial = value
	case "Size":
		u.size, _, _ = strings.Cut(value, ",")
	case "Backing store path":
		if value != "None" {
			u.path = value
		}
	}
	l.units[number] = u
	return number, nil
}
