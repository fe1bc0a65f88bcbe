package openfiler

import (
	"fmt"
	"strconv"
	"strings"
)

// Live is a target as IET has it now.
type Live struct {
	TID      int
	IQN      string // in lower case
	Paths    map[int]string
	Sessions []Session
}

// Session is an initiator that is logged in.
type Session struct {
	SID       string
	Initiator string // in lower case
	// CIDs are its connections, and Address where the first comes from.
	CIDs    []int
	Address string
}

// ParseLive reads both files of IET; see ParseVolumes and ParseSessions.
func ParseLive(volume, session string) ([]Live, error) {
	if _, err := ParseVolumes(volume); err != nil {
		return nil, err
	}
	if _, err := ParseSessions(session); err != nil {
		return nil, err
	}
	var list []Live
	places := map[string]int{}
	for line := range strings.Lines(volume) {
		line = strings.TrimRight(line, "\n")
		if name, ok := targetLine(line); ok {
			tid, err := tid(line)
			if _, twice := places[name]; err != nil || twice {
				return nil, fmt.Errorf("volume: the target %s is there twice, or has no number", name)
			}
			places[name] = len(list)
			list = append(list, Live{TID: tid, IQN: name, Paths: map[int]string{}})
		} else if fields, ok := words(line, 1); ok && len(list) > 0 && fields["lun"] != "" {
			lun, err := strconv.Atoi(fields["lun"])
			if err != nil {
				return nil, fmt.Errorf("volume: %q is no number of a logical unit", fields["lun"])
			}
			list[len(list)-1].Paths[lun] = fields["path"]
		}
	}
	var at *Live
	for line := range strings.Lines(session) {
		line = strings.TrimRight(line, "\n")
		if name, ok := targetLine(line); ok {
			at = nil
			// One that came or went between the two files has no session that matters.
			if i, there := places[name]; there {
				at = &list[i]
			}
			continue
		}
		if at == nil {
			continue
		}
		if fields, ok := words(line, 2); ok {
			if err := at.connection(fields); err != nil {
				return nil, err
			}
		} else if fields, ok := words(line, 1); ok && fields["sid"] != "" {
			at.Sessions = append(at.Sessions, Session{SID: fields["sid"], Initiator: strings.ToLower(fields["initiator"])})
		}
	}
	return list, nil
}

func (l *Live) connection(fields map[string]string) error {
	cid, err := strconv.Atoi(fields["cid"])
	if err != nil || len(l.Sessions) == 0 {
		return fmt.Errorf("session: %q is no connection's number", fields["cid"])
	}
	s := &l.Sessions[len(l.Sessions)-1]
	s.CIDs = append(s.CIDs, cid)
	if s.Address == "" {
		s.Address = strings.Trim(fields["ip"], "[]")
	}
	return nil
}

func tid(line string) (int, error) {
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "tid:"), " ")
	return strconv.Atoi(text)
}
