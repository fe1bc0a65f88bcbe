package openfiler

import (
	"fmt"
	"strconv"
	"strings"
)

// ParseVolumes reads /proc/net/iet/volume: a line for each target,
//
//	tid:1 name:iqn.2006-01.com.openfiler:tsn.abc
//
// and under it, after a tab, a line for each logical unit,
//
//	lun:0 state:0 iotype:blockio iomode:wt path:/dev/vg0/vol1
//
// as kernel/target.c and kernel/volume.c of IET 1.4 print them. A line of
// another form is an error: a unit that is not understood must not look like
// one that is gone.
func ParseVolumes(text string) ([]Unit, error) {
	var units []Unit
	target, seen := "", map[place]bool{}
	for n, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fail := func(why string) ([]Unit, error) { return nil, fmt.Errorf("volume, line %d: %s: %q", n+1, why, line) }
		if name, ok := targetLine(line); ok {
			target = name
			continue
		}
		fields, ok := words(line, 1)
		if !ok || target == "" {
			return fail("neither a target nor a logical unit of one")
		}
		lun, err := strconv.ParseUint(fields["lun"], 10, 31)
		if err != nil {
			return fail("no number of a logical unit")
		}
		u := Unit{Target: target, LUN: int(lun), Path: fields["path"], Mode: fields["iomode"], Exported: true}
		if seen[u.place()] {
			return fail("the logical unit is there twice")
		}
		seen[u.place()] = true
		units = append(units, u)
	}
	return units, nil
}

// ParseSessions reads /proc/net/iet/session: a line for each target as in
// volume, under it after one tab a line for each session and after two one
// for each of its connections,
//
//	sid:844427031282176 initiator:iqn.1994-05.com.redhat:5a6894679665
//		cid:0 ip:10.9.8.7 state:active hd:none dd:none
//
// and gives the initiators of each target that has any.
func ParseSessions(text string) (map[string][]string, error) {
	target, sessions := "", map[string][]string{}
	for n, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fail := func() (map[string][]string, error) {
			return nil, fmt.Errorf("session, line %d: neither a target nor a session nor a connection: %q", n+1, line)
		}
		if name, ok := targetLine(line); ok {
			target = name
			continue
		}
		if fields, ok := words(line, 2); ok {
			if fields["cid"] == "" || len(sessions[target]) == 0 {
				return fail()
			}
			continue
		}
		fields, ok := words(line, 1)
		if !ok || target == "" || fields["sid"] == "" || fields["initiator"] == "" {
			return fail()
		}
		sessions[target] = append(sessions[target], fields["initiator"])
	}
	return sessions, nil
}

// targetLine reads tid:N name:IQN.
func targetLine(line string) (iqn string, ok bool) {
	rest, ok := strings.CutPrefix(line, "tid:")
	if !ok {
		return "", false
	}
	tid, name, ok := strings.Cut(rest, " name:")
	if _, err := strconv.ParseUint(tid, 10, 32); err != nil || !ok || name == "" || strings.ContainsAny(name, " \t") {
		return "", false
	}
	return strings.ToLower(name), true
}

// words reads key:value words behind exactly so many tabs. The value of path,
// which comes last, goes to the end of the line.
func words(line string, tabs int) (map[string]string, bool) {
	indent := strings.Repeat("\t", tabs)
	rest, ok := strings.CutPrefix(line, indent)
	if !ok || strings.HasPrefix(rest, "\t") {
		return nil, false
	}
	fields := map[string]string{}
	for rest != "" {
		if value, ok := strings.CutPrefix(rest, "path:"); ok {
			fields["path"] = value
			break
		}
		var word string
		word, rest, _ = strings.Cut(rest, " ")
		key, value, ok := strings.Cut(word, ":")
		if _, twice := fields[key]; !ok || key == "" || twice {
			return nil, false
		}
		fields[key] = value
	}
	return fields, true
}
