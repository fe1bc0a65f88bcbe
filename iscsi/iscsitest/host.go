package iscsitest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/command/commandtest"
)

// Host is a hypervisor host. Its Handle is a commandtest.Handler:
//
//	net.Add("host01", iscsitest.NewHost("host01", array).Handle)
type Host struct {
	name  string
	array *Array

	records  map[string]map[string]string // by "IQN PORTAL": settings
	sessions []*session
	lastSID  int
	count    int
	faults   map[int]Fault
	named    string // the initiator's name when iscsid starts next

	// What is wrong with the host. Set before use, or under Change.
	State State
}

// State is what can be wrong with a host.
type State struct {
	NoSudo   bool                // sudo asks for a password
	NoISCSId bool                // iscsid does not run
	NoUdev   bool                // no links appear
	Deaf     bool                // udev sets no rights when it is told to add a disk again
	NoGroup  bool                // the user is not in group disk
	Stuck    bool                // disks cannot be flushed in time
	LateUnit int                 // so many scans do not find a unit
	Holders  map[string][]string // by disk name: lines as the kernel would show
	Wipe     string              // "WORD TEXT" with which wiping fails halfway
	// Stale are names under /dev/disk/by-path that lead to no disk: "link" or
	// "file" by path.
	Stale map[string]string
	// Initiator is the host's own name, and Machine the machine that it is,
	// where these are not its own.
	Initiator, Machine string
}

// Fault is what happens to one command.
type Fault int

// The faults.
const (
	None   Fault = iota
	NotRun       // the connection breaks before the command is given to the host
	Lost         // the host does the command, and its answer is lost
	Broken       // the script's shell is killed before it does anything
)

type session struct {
	id, host int
	iqn      onevolume.IQN
	portal   onevolume.Portal
	state    string
	disks    map[onevolume.LUN]*disk
	logout   func() // tells the array
}

type disk struct {
	name   string
	rooted bool // libvirt has left it to root
	// seen is what the kernel read when it found the unit; it does not look
	// again by itself.
	seen Unit
	unit *Unit
}

// NewHost makes a host that reaches the array.
func NewHost(name string, a *Array) *Host {
	return &Host{name: name, array: a, records: map[string]map[string]string{}, faults: map[int]Fault{}}
}

// Change changes the host's state under the lock.
func (h *Host) Change(f func(*State)) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	f(&h.State)
}

// Fault has the nth command from now (1 is the next) go wrong.
func (h *Host) Fault(n int, f Fault) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	h.faults[h.count+n] = f
}

// Count is how many commands were given to the host.
func (h *Host) Count() int {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	return h.count
}

// Handle answers a command. Those of others are commandtest.ErrUnknown, and
// not counted.
func (h *Host) Handle(c command.Cmd) (command.Result, error) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	do := h.script(c.Name)
	if do == nil {
		do = h.argv(c.Argv)
	}
	if do == nil {
		return command.Result{}, commandtest.ErrUnknown
	}
	h.count++
	for _, s := range h.sessions {
		if h.cut(s) {
			s.state = "FAILED"
		}
	}
	fault := h.faults[h.count]
	switch fault {
	case NotRun:
		return command.Result{}, fmt.Errorf("%w: the test broke the connection", command.ErrNotRun)
	case Broken:
		return command.Result{Code: 137}, nil
	}
	res := do(c)
	if fault == Lost {
		return command.Result{}, fmt.Errorf("%w: the test broke the connection", command.ErrUnknownOutcome)
	}
	return res, nil
}

// Login logs the host in by hand, as an administrator might, and scans all.
func (h *Host) Login(t onevolume.Target) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	p := t.Portals[0]
	h.records[key(t.IQN, p.String())] = map[string]string{}
	logout := func() {}
	if login := h.array.targets[t.IQN].Login; login != nil {
		var err error
		if logout, err = login(onevolume.IQN(h.initiator()), t.CHAP); err != nil {
			h.array.t.Errorf("iscsitest: host %s: %v", h.name, err)
		}
	}
	s := h.newSession(t.IQN, p, logout)
	for lun := range h.array.targets[t.IQN].Units {
		h.scan(s, lun)
	}
}

// Reboot loses sessions and disks, and keeps the node records.
func (h *Host) Reboot() {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		s.logout()
	}
	h.sessions, h.lastSID = nil, 0
}

// Lose puts every session with the target into a state such as FAILED.
func (h *Host) Lose(iqn onevolume.IQN, state string) {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		if s.iqn == iqn {
			s.state = state
		}
	}
}

// cut says whether the target has ended a session, of which the host learns
// when it uses it.
func (h *Host) cut(s *session) bool {
	t := h.array.targets[s.iqn]
	return t != nil && t.Open != nil && !t.Open(onevolume.IQN(h.initiator()))
}

// CutOff says whether the target has ended the session of a disk that the host
// has at a path.
func (h *Host) CutOff(path string) bool {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	s, _ := h.at(path)
	return s != nil && h.cut(s)
}

// Write has a guest of the host write to the disk at a path, and says whether
// that arrived.
func (h *Host) Write(path, content string) bool {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	s, d := h.at(path)
	if s == nil || s.state != "LOGGED_IN" || h.cut(s) {
		return false
	}
	d.unit.Content = content
	return true
}

// at gives the disk behind a path of the host, a link or /dev/sdX.
func (h *Host) at(path string) (*session, *disk) {
	for _, s := range h.sessions {
		for lun, d := range s.disks {
			if path == "/dev/"+d.name || path == h.link(s, lun) {
				return s, d
			}
		}
	}
	return nil, nil
}

// UnitAt gives the logical unit behind a path of the host, a link or
// /dev/sdX; nil when there is none.
func (h *Host) UnitAt(path string) *Unit {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	if _, d := h.at(path); d != nil {
		return d.unit
	}
	return nil
}

// SizeAt gives the size of the device behind a path of the host as its kernel
// has it; 0 when there is none.
func (h *Host) SizeAt(path string) onevolume.Size {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	for _, s := range h.sessions {
		for lun, d := range s.disks {
			if path == "/dev/"+d.name || path == h.link(s, lun) {
				return d.seen.Size
			}
		}
	}
	return 0
}

// Initiator is the host's own name.
func (h *Host) Initiator() onevolume.IQN {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	return onevolume.IQN(h.initiator())
}

// Left lists what is on the host: sessions, disks and node records.
func (h *Host) Left() []string {
	h.array.mu.Lock()
	defer h.array.mu.Unlock()
	var left []string
	for _, s := range h.sessions {
		left = append(left, fmt.Sprintf("session %s at %s", s.iqn, s.portal))
		for _, lun := range slices.Sorted(maps.Keys(s.disks)) {
			left = append(left, fmt.Sprintf("disk %s LUN %d", s.iqn, lun))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(h.records)) {
		left = append(left, "record "+k)
	}
	return left
}

func (h *Host) newSession(iqn onevolume.IQN, p onevolume.Portal, logout func()) *session {
	h.lastSID++
	s := &session{id: h.lastSID, host: h.lastSID - 1, iqn: iqn, portal: p, state: "LOGGED_IN", logout: logout, disks: map[onevolume.LUN]*disk{}}
	h.sessions = append(h.sessions, s)
	return s
}

// scan finds the unit, if the target has it.
func (h *Host) scan(s *session, lun onevolume.LUN) {
	if s.disks[lun] != nil || h.State.LateUnit > 0 {
		h.State.LateUnit--
		return
	}
	t := h.array.targets[s.iqn]
	if t == nil || t.Units[lun] == nil {
		return
	}
	u := t.Units[lun]
	s.disks[lun] = &disk{name: h.freeName(), seen: *u, unit: u}
}

func (h *Host) freeName() string {
	used := map[string]bool{}
	for _, s := range h.sessions {
		for _, d := range s.disks {
			used[d.name] = true
		}
	}
	for n := 0; ; n++ {
		if name := diskName(n); !used[name] {
			return name
		}
	}
}

// diskName is the name of the nth disk: sda … sdz, sdaa … sdzz.
func diskName(n int) string {
	if n < 26 {
		return "sd" + string(rune('a'+n))
	}
	return "sd" + string(rune('a'+n/26-1)) + string(rune('a'+n%26))
}

func (h *Host) link(s *session, lun onevolume.LUN) string {
	if h.State.NoUdev {
		return ""
	}
	n := fmt.Sprint(int(lun))
	if lun >= 256 {
		n = fmt.Sprintf("0x%04x000000000000", int(lun))
	}
	return fmt.Sprintf("/dev/disk/by-path/ip-%s:%d-iscsi-%s-lun-%s", s.portal.Addr(), s.portal.Port(), s.iqn, n)
}

func key(iqn onevolume.IQN, portal string) string { return string(iqn) + " " + portal }

// number is the disk's device number: 8:0, 8:16 …
func (d *disk) number() string {
	n := 0
	for diskName(n) != d.name {
		n++
	}
	return fmt.Sprintf("8:%d", 16*n)
}

// page80 is the serial number as od prints its page.
func page80(serial string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "00 80 00 %02x", len(serial))
	for i := range len(serial) {
		fmt.Fprintf(&b, " %02x", serial[i])
	}
	return b.String()
}
