package iscsitest

import (
	"maps"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// survey is the script of that name.
func (h *Host) survey(command.Cmd) command.Result {
	a := &answer{h: h}
	a.say("boot boot of %s", h.machine())
	a.say("initiator %s", h.initiator())
	for _, s := range h.sessions {
		a.say("target %s", s.iqn)
		at := s.portal.Addr().String()
		a.say("session %d %d 0 %s %d %s %d %s", s.id, s.host, at, s.portal.Port(), at, s.portal.Port(), s.state)
		for _, lun := range slices.Sorted(maps.Keys(s.disks)) {
			a.say("unit %d %d:0:0:%d %s", s.id, s.host, lun, s.disks[lun].name)
		}
		for _, lun := range slices.Sorted(maps.Keys(s.disks)) {
			a.lun = lun
			a.facts(s)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(h.State.Stale)) {
		a.say("stale %s %s", h.State.Stale[path], path)
	}
	code := 0
	if len(h.records) == 0 {
		code = 21
	}
	if a.did("records", code) == 0 {
		for _, k := range slices.Sorted(maps.Keys(h.records)) {
			iqn, portal, _ := strings.Cut(k, " ")
			p, err := onevolume.ParsePortal(portal)
			if err != nil {
				h.array.t.Errorf("iscsitest: %v", err)
			}
			startup := h.records[k]["node.startup"]
			if startup == "" {
				startup = "manual"
			}
			a.say("node.name = %s\nnode.startup = %s\nnode.conn[0].address = %s\nnode.conn[0].port = %d", iqn, startup, p.Addr(), p.Port())
		}
	}
	a.say("end")
	return command.Result{Stdout: []byte(a.out.String()), Stderr: []byte(a.err.String())}
}

func (h *Host) initiator() string {
	if h.State.Initiator != "" {
		return h.State.Initiator
	}
	return "iqn.2026-11.test:" + h.name
}

func (h *Host) machine() string {
	if h.State.Machine != "" {
		return h.State.Machine
	}
	return h.name
}

// Record makes a node record by hand, with a start-up such as automatic.
func (h *Host) Record(iqn onevolume.IQN, p onevolume.Portal, startup string) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	h.records[key(iqn, p.String())] = map[string]string{"node.startup": startup}
}

// Forget takes the disk off the sessions with the target by hand, as an
// administrator might by its delete file. The sessions stay.
func (h *Host) Forget(t onevolume.Target) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		if s.iqn == t.IQN {
			delete(s.disks, t.LUN)
		}
	}
}

// Scan makes the disk appear in the sessions with the target by hand.
func (h *Host) Scan(t onevolume.Target) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		if s.iqn == t.IQN {
			h.scan(s, t.LUN)
		}
	}
}

// Logout ends the sessions with the target by hand, whoever uses its disks.
func (h *Host) Logout(iqn onevolume.IQN) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	h.sessions = slices.DeleteFunc(h.sessions, func(s *session) bool {
		if s.iqn == iqn {
			s.logout()
		}
		return s.iqn == iqn
	})
}

// Rescan has the kernel look at all disks again, as their array has them now.
func (h *Host) Rescan() {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		for lun, d := range s.disks {
			if t := h.array.targets[s.iqn]; t != nil && t.Units[lun] != nil {
				d.unit = t.Units[lun]
				d.seen = *d.unit
			}
		}
	}
}

// argv answers the commands that are no scripts; nil for others.
func (h *Host) argv(words []string) func(command.Cmd) command.Result {
	if len(words) == 0 || !slices.Contains([]string{"iscsiadm", "find", "tee"}, words[0]) {
		return nil
	}
	return func(c command.Cmd) command.Result {
		switch {
		case !c.Sudo:
			h.array.t.Errorf("iscsitest: %s is not for ordinary users", c)
		case h.State.NoSudo:
			return command.Result{Code: 1, Stderr: []byte("sudo: a password is required\n")}
		}
		code, known := h.do(c)
		if !known {
			h.array.t.Errorf("iscsitest: host %s does not know %s", h.name, c)
			code = 7
		}
		return command.Result{Code: code}
	}
}

// do does what an administrator's command does; false when it is none that
// is known here.
func (h *Host) do(c command.Cmd) (code int, known bool) {
	w := c.Argv
	switch {
	case len(w) == 3 && w[0] == "iscsiadm" && w[1] == "-k" && w[2] == "0":
		h.State.Initiator, h.named = h.named, ""
		return 0, true
	case len(w) == 2 && w[0] == "tee" && w[1] == "/etc/iscsi/initiatorname.iscsi":
		name, ok := strings.CutPrefix(strings.TrimSuffix(string(c.Stdin), "\n"), "InitiatorName=")
		h.named = name
		return 0, ok
	case len(w) > 7 && slices.Equal(w[:4], []string{"iscsiadm", "-m", "node", "-T"}) && w[5] == "-p":
		return h.node(w[4], w[6], w[7:])
	case w[0] == "find":
		l, ok := iscsi.ParseLink(w[1])
		if !ok || !slices.Equal(w[2:], []string{"-maxdepth", "0", "-type", "l", "!", "-xtype", "b", "-delete"}) {
			return 0, false
		}
		switch h.State.Stale[l.Path] {
		case "":
			return 1, true
		case "link":
			delete(h.State.Stale, l.Path)
		}
		return 0, true
	}
	return 0, false
}

// node is iscsiadm on one record.
func (h *Host) node(iqn, portal string, words []string) (code int, known bool) {
	record := h.records[key(onevolume.IQN(iqn), portal)]
	switch {
	case slices.Equal(words, []string{"-o", "delete"}):
		if record == nil {
			return 21, true
		}
		for _, s := range h.sessions {
			if string(s.iqn) == iqn && s.portal.String() == portal {
				return 15, true
			}
		}
		delete(h.records, key(onevolume.IQN(iqn), portal))
		return 0, true
	case len(words) == 6 && slices.Equal(words[:3], []string{"-o", "update", "-n"}) && words[4] == "-v":
		if record == nil {
			return 21, true
		}
		record[words[3]] = words[5]
		return 0, true
	}
	return 0, false
}

// Root leaves the target's disks to root, as libvirt leaves those that a
// domain let go of.
func (h *Host) Root(iqn onevolume.IQN) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		for _, d := range s.disks {
			d.rooted = d.rooted || s.iqn == iqn
		}
	}
}
