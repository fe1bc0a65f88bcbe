package iscsitest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/iscsi"
)

// script gives what answers a script, or nil.
func (h *Host) script(name string) func(command.Cmd) command.Result {
	run := func(f func(*answer)) func(command.Cmd) command.Result {
		return func(c command.Cmd) command.Result {
			a := &answer{h: h, args: c.Args, stdin: string(c.Stdin)}
			a.iqn = onevolume.IQN(a.next())
			a.lun = onevolume.LUN(a.nextInt())
			a.next() // the number in flat addressing: our targets do without
			f(a)
			a.say("end")
			return command.Result{Stdout: []byte(a.out.String()), Stderr: []byte(a.err.String())}
		}
	}
	switch name {
	case iscsi.NameLook:
		return run((*answer).look)
	case iscsi.NamePrepare:
		return run((*answer).prepare)
	case iscsi.NameLogin:
		return run((*answer).login)
	case iscsi.NameRelease:
		return run((*answer).release)
	case iscsi.NameSurvey:
		return h.survey
	case blockdev.NameWipe, blockdev.NameFormat:
		return h.wipe
	}
	return nil
}

// answer is a script under way.
type answer struct {
	h        *Host
	args     []string
	stdin    string
	iqn      onevolume.IQN
	lun      onevolume.LUN
	out, err strings.Builder
}

func (a *answer) next() string {
	s := a.args[0]
	a.args = a.args[1:]
	return s
}

func (a *answer) nextInt() int {
	n, err := strconv.Atoi(a.next())
	if err != nil {
		a.h.array.t.Errorf("iscsitest: %v", err)
	}
	return n
}

func (a *answer) say(format string, args ...any) { fmt.Fprintf(&a.out, format+"\n", args...) }

// did reports an exit status, 1 when sudo stood before it.
func (a *answer) did(what string, code int) int {
	if a.h.State.NoSudo {
		fmt.Fprintln(&a.err, "sudo: a password is required")
		code = 1
	}
	a.say("did %s %d", what, code)
	return code
}

func (a *answer) look() {
	a.sessions()
	for _, s := range a.ours() {
		a.disk(s)
	}
}

func (a *answer) ours() []*session {
	var list []*session
	for _, s := range a.h.sessions {
		if s.iqn == a.iqn {
			list = append(list, s)
		}
	}
	return list
}

func (a *answer) sessions() {
	for _, s := range a.ours() {
		at := fmt.Sprintf("%s %d", s.portal.Addr(), s.portal.Port())
		a.say("session %d %d 0 %s %s %s", s.id, s.host, at, at, s.state)
		for _, lun := range slices.Sorted(maps.Keys(s.disks)) {
			a.say("unit %d %d:0:0:%d %s", s.id, s.host, lun, s.disks[lun].name)
		}
	}
}

func (a *answer) disk(s *session) {
	d := s.disks[a.lun]
	if d == nil {
		return
	}
	a.facts(s)
	if a.h.State.NoGroup || d.rooted {
		fmt.Fprintf(&a.err, "dd: failed to open '/dev/%s': Permission denied\n", d.name)
		a.say("read 1")
	} else {
		a.say("read 0")
	}
}

// facts are what sysfs, udev and the kernel's tables say of a disk.
func (a *answer) facts(s *session) {
	d := s.disks[a.lun]
	a.say("device %d %d:0:0:%d %s", s.id, s.host, a.lun, d.name)
	ro := 0
	if d.seen.ReadOnly {
		ro = 1
	}
	a.say("size %d\nro %d\ndev %s\nstate %s\nwwid %s", d.seen.Size/512, ro, d.number(), a.h.condition(s), d.seen.Identity.WWID)
	if d.seen.Identity.Serial != "" {
		a.say("pg80 %s", page80(d.seen.Identity.Serial))
	}
	if link := a.h.link(s, a.lun); link != "" {
		a.say("link %s", link)
	}
	for _, line := range a.h.State.Holders[d.name] {
		a.say("%s", line)
	}
}

// appear is the script's function of that name.
func (a *answer) appear(s *session) {
	if d := s.disks[a.lun]; d != nil {
		if a.did("rescan", 0) == 0 && d.unit != nil {
			d.seen.Size = d.unit.Size // and what it says of itself
			d.seen = *d.unit
		}
		return
	}
	a.say("fresh %d", s.id)
	for range 4 {
		if a.did("scan", 0) == 0 {
			a.h.scan(s, a.lun)
		}
		if s.disks[a.lun] != nil {
			return
		}
	}
}

func (a *answer) prepare() {
	id := a.nextInt()
	a.args = a.args[2:] // budget, recovery
	for _, s := range a.ours() {
		if s.id != id || s.state != "LOGGED_IN" {
			continue
		}
		switch first := a.next(); {
		case a.h.State.NoSudo:
		case first == "purge":
			delete(s.disks, a.lun)
		case first == "permit" && s.disks[a.lun] != nil && !a.h.State.Deaf:
			s.disks[a.lun].rooted = false
		}
		a.appear(s)
		a.disk(s)
	}
	a.sessions()
}

func (a *answer) login() {
	a.next() // budget
	portal, err := onevolume.ParsePortal(a.next())
	if err != nil {
		a.h.array.t.Errorf("iscsitest: %v", err)
	}
	a.args = a.args[2:] // address, port
	first := a.next() == "first"
	probe := a.next() == "probe"
	if first && len(a.ours()) > 0 {
		a.look()
		return
	}
	if probe {
		code := 0
		if a.h.array.down[portal] {
			code = 1
		}
		a.say("did probe %d", code)
		if code != 0 {
			a.sessions()
			return
		}
	}
	if s := a.attempt(portal); s != nil {
		a.appear(s)
		a.disk(s)
	} else {
		code := 0
		if a.h.records[key(a.iqn, portal.String())] == nil {
			code = 21
		}
		if a.did("forget", code) == 0 {
			delete(a.h.records, key(a.iqn, portal.String()))
		}
	}
	a.sessions()
}

// attempt is the script's function of that name; it gives the session.
func (a *answer) attempt(portal onevolume.Portal) *session {
	for _, s := range a.ours() {
		if s.portal == portal {
			return s
		}
	}
	if a.did("new", 0) != 0 {
		return nil
	}
	record := map[string]string{}
	a.h.records[key(a.iqn, portal.String())] = record
	for line := range strings.Lines(a.stdin) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " = ")
		record[name] = value
	}
	a.did("set", 0)
	const auth = "node.session.auth."
	code, logout := a.h.array.login(onevolume.IQN(a.h.initiator()), a.iqn, portal, onevolume.CHAP{
		User: record[auth+"username"], Secret: record[auth+"password"],
		UserIn: record[auth+"username_in"], SecretIn: record[auth+"password_in"],
	})
	if a.h.State.NoISCSId {
		logout()
		code = 20
	}
	a.did("login", code)
	switch code {
	case 0:
		s := a.h.newSession(a.iqn, portal, logout)
		a.say("made %d", s.id)
		return s
	case 19, 24:
		a.say("initiator %s", a.h.initiator())
	}
	return nil
}

func (a *answer) release() {
	a.next() // limit
	mode := a.next()
	kept, stopped := false, false
	for range a.nextInt() {
		id := a.nextInt()
		if !stopped {
			var k bool
			k, stopped = a.takeOff(id, mode)
			kept = kept || k
		}
	}
	if !stopped && !kept {
		for _, portal := range a.args {
			code := 0
			if a.h.records[key(a.iqn, portal)] == nil {
				code = 21
			}
			if a.did("forget", code) == 0 {
				delete(a.h.records, key(a.iqn, portal))
			}
		}
	}
	a.look()
}

// takeOff takes the unit off one session.
func (a *answer) takeOff(id int, mode string) (kept, stopped bool) {
	i := slices.IndexFunc(a.h.sessions, func(s *session) bool { return s.id == id && s.iqn == a.iqn })
	if i < 0 {
		return false, false
	}
	s := a.h.sessions[i]
	if s.disks[a.lun] != nil {
		code := 0
		if a.h.State.Stuck {
			code = 124
		}
		if a.did("flush", code) != 0 && mode == "" {
			return false, true
		}
		if a.h.State.NoSudo {
			a.did("delete", 1)
			return false, true
		}
		delete(s.disks, a.lun)
	}
	if mode == "disk" || len(s.disks) > 0 {
		a.say("kept %d", id)
		return true, false
	}
	if a.did("logout", 0) != 0 {
		return false, true
	}
	s.logout()
	a.h.sessions = slices.Delete(a.h.sessions, i, i+1)
	return false, false
}

// condition is the kernel's word for the disks of a session.
func (h *Host) condition(s *session) string {
	switch s.state {
	case "LOGGED_IN":
		return "running"
	case "FREE":
		return "transport-offline"
	}
	return "blocked"
}
