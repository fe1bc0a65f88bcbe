package standin

import (
	"errors"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/array"
)

func (s *state) stop() { s.Running, s.Targets, s.Accounts = false, nil, nil }

// start reads ietd.conf twice, as usr/plain.c does: for targets and their
// units, then for accounts. What it cannot make is passed over.
func (s *state) start(conf string) {
	s.stop()
	s.Running = true
	var now *target
	for line := range strings.Lines(conf) {
		key, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToLower(key) {
		case "target":
			if now = nil; s.newTarget(0, rest) == 0 {
				now = s.Targets[0]
			}
		case "lun":
			number, params, ok := strings.Cut(rest, " ")
			if n, err := strconv.Atoi(number); now != nil && ok && err == nil {
				s.newUnit(now, n, params)
			}
		}
	}
	tid := 0 // before the first target: accounts for discovery
	for line := range strings.Lines(conf) {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && strings.EqualFold(f[0], "Target"):
			for _, t := range s.Targets {
				if t.Name == f[1] {
					tid = t.TID
				}
			}
		case len(f) == 3 && (strings.EqualFold(f[0], "IncomingUser") || strings.EqualFold(f[0], "OutgoingUser")):
			s.addAccount(account{TID: tid, Outgoing: strings.EqualFold(f[0], "OutgoingUser"), User: f[1], Secret: f[2]})
		}
	}
}

// Login logs the export's initiator in, from 10.77.0.11, as ietd lets it.
func (m *Machine) Login(e array.Export) (logout func(), err error) {
	m.change(func(s *state) { err = m.login(s, e) })
	sid := 0
	if err == nil {
		m.change(func(s *state) { sid = s.NextSID })
	}
	return func() {
		m.change(func(s *state) {
			for _, t := range s.Targets {
				t.Sessions = slices.DeleteFunc(t.Sessions, func(l login) bool { return l.SID == sid })
			}
		})
	}, err
}

func (m *Machine) login(s *state, e array.Export) error {
	at := slices.IndexFunc(s.Targets, func(t *target) bool { return t.Name == string(e.Target.IQN) })
	if at < 0 || !m.allows(s, e.Target.IQN, e.Initiator) {
		return errors.New("target not found")
	}
	t := s.Targets[at]
	needed, right := false, false
	for _, a := range s.Accounts {
		if a.TID != t.TID || a.Outgoing {
			continue
		}
		needed = true
		if a.User == e.Target.CHAP.User { // the newest of that name
			right = a.Secret == e.Target.CHAP.Secret
			break
		}
	}
	if needed && !right {
		return errors.New("authentication failure")
	}
	if len(t.LUNs) != 1 || t.LUNs[0].Number != int(e.Target.LUN) || t.LUNs[0].Serial != e.Identity.Serial {
		return errors.New("it has another unit")
	}
	if l := s.lv(strings.TrimPrefix(t.LUNs[0].Path, "/dev/"+VG+"/")); l != nil {
		if l.Foreign < l.Size {
			s.wrong = append(s.wrong, l.Name+" shows an initiator what somebody else wrote")
		}
		l.Written = l.Size
	}
	s.NextSID++
	t.Sessions = append(t.Sessions, login{SID: s.NextSID, Initiator: string(e.Initiator)})
	return nil
}

// verdict is what one of the files says.
type verdict int

const (
	noFile verdict = iota
	noRule
	rule
)

// allows is plain_initiator_allow of IET 1.4.19.
func (m *Machine) allows(s *state, target, initiator onevolume.IQN) bool {
	allow, deny := m.match(s, Allow, target, initiator), m.match(s, Deny, target, initiator)
	if deny != noFile {
		return deny != rule || allow == rule
	}
	return allow != noRule
}

func (m *Machine) match(s *state, name string, target, initiator onevolume.IQN) verdict {
	text, err := os.ReadFile(m.Dir + name)
	if err != nil {
		return noFile
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasSuffix(line, "\n") || len(line) >= 4096 {
			continue
		}
		first, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || strings.HasPrefix(first, "#") || first != "ALL" && first != string(target) {
			continue
		}
		for _, p := range strings.Split(rest, ",") {
			if p = strings.TrimSpace(p); p == "ALL" || s.Version >= "1.4.18" && basic(p, string(initiator)) {
				return rule
			}
			from := netip.MustParseAddr("10.77.0.11")
			if a, err := netip.ParseAddr(p); err == nil && a == from {
				return rule
			}
			if n, err := netip.ParsePrefix(p); err == nil && n.Contains(from) {
				return rule
			}
		}
		return noRule // the first line decides
	}
	return noRule
}

// basic matches a basic regular expression, in which + ? | ( ) { } are letters.
func basic(pattern, text string) bool {
	for _, c := range "+?|(){}" {
		pattern = strings.ReplaceAll(pattern, string(c), `\`+string(c))
	}
	re, err := regexp.Compile("^" + pattern + "$")
	return err == nil && re.MatchString(text)
}
