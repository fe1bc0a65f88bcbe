package iscsi

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// report is what a script found on the host and what it did there.
type report struct {
	sessions  []session
	disks     []disk
	did       []did
	fresh     []int  // sessions in which the unit was not there before
	made      int    // the session that was made; 0 for none
	kept      []int  // sessions that other disks need
	stuck     string // the unit that the kernel would not forget
	initiator string // the host's own name, where the target may not know it
}

// session is one session with the target.
type session struct {
	id, host, target int
	// portal is the one the node record has; the target may have sent us
	// on from there to another.
	portal onevolume.Portal
	state  string
	units  []unit
}

// unit is a logical unit that the kernel has of a session.
type unit struct {
	hctl string
	lun  int
	disk string // its name, if it is a disk
}

// disk is a device of the logical unit that was asked for.
type disk struct {
	session  int
	hctl     string
	name     string
	sectors  int64
	number   string // major:minor
	state    string
	readOnly bool
	identity onevolume.Identity
	read     int // exit status of reading its first block; -1 when not tried
	link     string
	holders  []string
}

// did is the exit status of one thing a script did.
type did struct {
	what string
	code int
}

// loggedIn is the state of a session that works
// (iscsi_session_state_names in the kernel's scsi_transport_iscsi.c).
const loggedIn = "LOGGED_IN"

// parse reads a script's output. An output that does not end as it should is
// of a script that did not.
func parse(out []byte) (*report, error) {
	r := &report{}
	ended := false
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSuffix(line, "\n")
		if ended {
			return nil, fmt.Errorf("the line %q comes after the end", line)
		}
		if line == "end" {
			ended = true
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
	}
	if !ended {
		return nil, fmt.Errorf("the output breaks off")
	}
	return r, nil
}

// line reads one line. Those that begin with a number or a path are lines of
// /proc about the disk before them, and as the kernel wrote them.
func (r *report) line(line string) error {
	if line != "" && (line[0] == '/' || line[0] >= '0' && line[0] <= '9') {
		d, err := r.lastDisk()
		if err == nil {
			d.holders = append(d.holders, holder(line))
		}
		return err
	}
	key, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	f := strings.Fields(value)
	switch key {
	case "session":
		return r.session(f)
	case "unit":
		return r.unit(f)
	case "device":
		if len(f) != 3 {
			return errShape
		}
		id, err := strconv.Atoi(f[0])
		r.disks = append(r.disks, disk{session: id, hctl: f[1], name: f[2], read: -1})
		return err
	case "did":
		if len(f) != 2 {
			return errShape
		}
		code, err := strconv.Atoi(f[1])
		r.did = append(r.did, did{f[0], code})
		return err
	case "fresh", "kept":
		id, err := strconv.Atoi(value)
		if key == "fresh" {
			r.fresh = append(r.fresh, id)
		} else {
			r.kept = append(r.kept, id)
		}
		return err
	case "made":
		id, err := strconv.Atoi(value)
		r.made = id
		return err
	case "stuck":
		r.stuck = value
		return nil
	case "initiator":
		r.initiator = value
		return nil
	}
	return r.fact(key, value)
}

var errShape = fmt.Errorf("not of the form expected")

func (r *report) lastDisk() (*disk, error) {
	if len(r.disks) == 0 {
		return nil, errShape
	}
	return &r.disks[len(r.disks)-1], nil
}

// fact reads a line about the disk before it. A file of sysfs that could not
// be read gives an empty value, which proves nothing later.
func (r *report) fact(key, value string) error {
	d, err := r.lastDisk()
	if err != nil {
		return err
	}
	switch key {
	case "size":
		if value != "" {
			d.sectors, err = strconv.ParseInt(value, 10, 64)
			if d.sectors < 0 || d.sectors > 1<<53 {
				return errShape
			}
		}
	case "ro":
		d.readOnly = value != "0"
	case "dev":
		d.number = value
	case "state":
		d.state = value
	case "wwid":
		d.identity.WWID = value
	case "pg80":
		d.identity.Serial, err = serial(value)
	case "read":
		d.read, err = strconv.Atoi(value)
	case "link":
		d.link = value
	case "holder":
		d.holders = append(d.holders, "device-mapper "+value)
	case "guest":
		d.holders = append(d.holders, "a guest of Xen, by "+value)
	default:
		return errShape
	}
	return err
}

// session reads: id, host, target, portal of the record, portal now, state.
// A session just being set up or taken down shows only part of it.
func (r *report) session(f []string) error {
	if len(f) < 7 {
		return errShape
	}
	s := session{host: -1, state: strings.Join(f[7:], " ")}
	var err error
	if s.id, err = strconv.Atoi(f[0]); err != nil {
		return err
	}
	if f[1] != "-" {
		if s.host, err = strconv.Atoi(f[1]); err != nil {
			return err
		}
	}
	if s.target, err = strconv.Atoi(f[2]); err != nil {
		return err
	}
	s.portal = portalOf(f[3], f[4])
	if !s.portal.IsValid() {
		s.portal = portalOf(f[5], f[6])
	}
	r.sessions = append(r.sessions, s)
	return nil
}

// portalOf reads an address and a port as sysfs has them. What is no address
// is no portal of ours: the zero Portal.
func portalOf(addr, port string) onevolume.Portal {
	a, err := netip.ParseAddr(strings.Trim(addr, "[]"))
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil {
		return onevolume.Portal{}
	}
	return onevolume.Portal{AddrPort: netip.AddrPortFrom(a.Unmap().WithZone(""), uint16(n))}
}

func (r *report) unit(f []string) error {
	if len(f) != 3 {
		return errShape
	}
	id, err := strconv.Atoi(f[0])
	if err != nil {
		return err
	}
	lun, err := strconv.Atoi(f[1][strings.LastIndexByte(f[1], ':')+1:])
	if err != nil {
		return err
	}
	u := unit{hctl: f[1], lun: lun}
	if f[2] != "-" {
		u.disk = f[2]
	}
	for i := range r.sessions {
		if r.sessions[i].id == id {
			r.sessions[i].units = append(r.sessions[i].units, u)
			return nil
		}
	}
	return errShape
}

// holder puts a line of /proc/self/mountinfo, /proc/swaps or of a loop
// device's backing file into words.
func holder(line string) string {
	f := strings.Fields(line)
	switch {
	case line[0] == '/' && len(f) > 1:
		return "swap on " + f[0]
	case line[0] == '/':
		return "a loop device on " + line
	case len(f) > 4:
		return "mounted on " + unescape(f[4])
	}
	return "mounted"
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// serial reads the unit serial number out of vital product data page 80h
// (SPC-5 §7.8.18): two bytes, the length in two, then text that some targets
// pad with blanks or zeroes.
func serial(dump string) (string, error) {
	page, err := hex.DecodeString(strings.Join(strings.Fields(dump), ""))
	switch {
	case err != nil:
		return "", err
	case len(page) == 0:
		return "", nil
	case len(page) < 4 || page[1] != 0x80:
		return "", fmt.Errorf("not page 80h")
	}
	text := page[4:]
	if n := int(page[2])<<8 | int(page[3]); n < len(text) {
		text = text[:n]
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return ' '
		}
		return r
	}, string(text))
	return strings.TrimSpace(clean), nil
}

// code is the exit status of the last time the script did what; 0 when it
// did not.
func (r *report) code(what string) int {
	code := 0
	for _, d := range r.did {
		if d.what == what {
			code = d.code
		}
	}
	return code
}

// tried says whether the script did what.
func (r *report) tried(what string) bool {
	return slices.ContainsFunc(r.did, func(d did) bool { return d.what == what })
}

// best gives the session to use: one that works, at the first portal that has
// one, or else one that was lost; nil when no session goes to our portals.
func (r *report) best(t onevolume.Target) *session {
	for _, alive := range []bool{true, false} {
		for _, p := range t.Portals {
			for i := range r.sessions {
				if s := &r.sessions[i]; s.portal == p && (s.state == loggedIn) == alive {
					return s
				}
			}
		}
	}
	return nil
}

// byID gives the session with the number, or nil.
func (r *report) byID(id int) *session {
	for i := range r.sessions {
		if r.sessions[i].id == id {
			return &r.sessions[i]
		}
	}
	return nil
}

// in gives the disk in the session; the number as it is goes before the one
// in flat addressing.
func (r *report) in(id int, lun onevolume.LUN) *disk {
	var found *disk
	for i := range r.disks {
		d := &r.disks[i]
		if d.session == id && (found == nil || strings.HasSuffix(d.hctl, ":"+strconv.Itoa(int(lun)))) {
			found = d
		}
	}
	return found
}

// device puts together what callers get.
func (r *report) device(d disk) Device {
	dev := Device{
		Session: d.session, HCTL: d.hctl, Name: d.name, Number: d.number, Path: d.link,
		Size: onevolume.Size(d.sectors) * sector, Identity: d.identity, ReadOnly: d.readOnly,
		State: d.state, Holders: d.holders, Fresh: slices.Contains(r.fresh, d.session),
	}
	if s := r.byID(d.session); s != nil {
		dev.Portal = s.portal
	}
	return dev
}

// sector is the unit of every size in sysfs, whatever the disk's own blocks.
const sector = 512
