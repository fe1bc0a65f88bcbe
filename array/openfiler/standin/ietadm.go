package standin

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// What ietadm ends with: its error number, negative, in eight bits. Most that
// the kernel refuses becomes -1 on its way.
const (
	eperm    = 255
	enoent   = 254
	ebusy    = 240
	einval   = 234
	refused  = 145 // of the connection: ietd does not run
	noPerson = 2   // of a connection that is not there: the number, positive
)

var words = map[int]string{eperm: "Operation not permitted", enoent: "No such file or directory", ebusy: "Device or resource busy",
	einval: "Invalid argument", refused: "Connection refused"}

func (s *state) no(code int) int {
	return s.complain(code, "%s.", words[code])
}

// options are what getopt_long of ietadm reads.
type options struct {
	op, params         string
	tid, lun, sid, cid int
	has                map[string]bool
}

func ietadm(s *state, args []string) int {
	if slices.Equal(args, []string{"--version"}) {
		fmt.Fprintf(&s.out, "ietadm version %s\n", s.Version)
		return 0
	}
	o, ok := parse(args)
	if !ok {
		return s.complain(255, "Try `ietadm --help' for more information.")
	}
	if !s.Running {
		return s.no(refused)
	}
	// What was closing is gone by the next question.
	for _, t := range s.Targets {
		t.Sessions = slices.DeleteFunc(t.Sessions, func(l login) bool { return l.Closing })
	}
	switch {
	case o.has["user"]:
		return s.users(o)
	case o.has["lun"]:
		return s.units(o)
	case o.has["cid"]:
		return s.connections(o)
	case o.has["sid"]:
		return s.complain(einval, "this stand-in does not know sessions")
	case o.has["tid"]:
		return s.target(o)
	}
	return s.complain(einval, "this stand-in does not know %q", args)
}

func parse(args []string) (o options, ok bool) {
	o.has = map[string]bool{}
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		key, long := strings.CutPrefix(name, "--")
		if !long {
			return o, false
		}
		o.has[key] = true
		if key == "user" {
			if joined {
				return o, false
			}
			continue
		}
		if !joined {
			if i++; i == len(args) {
				return o, false
			}
			value = args[i]
		}
		number := map[string]*int{"tid": &o.tid, "lun": &o.lun, "sid": &o.sid, "cid": &o.cid}[key]
		switch {
		case key == "op":
			o.op = value
		case key == "params":
			o.params = value
		case number != nil:
			*number, _ = strconv.Atoi(value)
		default:
			return o, false
		}
	}
	return o, o.op == "new" || o.op == "delete" || o.op == "update" || o.op == "show"
}

func (s *state) byTID(tid int) *target {
	for _, t := range s.Targets {
		if t.TID == tid {
			return t
		}
	}
	return nil
}

// settingNames are what --op update knows.
var settingNames = strings.Fields(`HeaderDigest DataDigest MaxConnections InitialR2T ImmediateData MaxRecvDataSegmentLength
	MaxXmitDataSegmentLength MaxBurstLength FirstBurstLength DefaultTime2Wait DefaultTime2Retain MaxOutstandingR2T
	DataPDUInOrder DataSequenceInOrder ErrorRecoveryLevel IFMarker OFMarker IFMarkInt OFMarkInt Wthreads Type QueuedCommands
	NOPInterval NOPTimeout`)

func (s *state) target(o options) int {
	switch o.op {
	case "new":
		name, ok := strings.CutPrefix(o.params, "Name=")
		if !ok {
			return einval
		}
		return s.newTarget(o.tid, name)
	case "delete":
		t := s.byTID(o.tid)
		switch {
		case t == nil:
			return s.no(enoent)
		case len(t.Sessions) > 0:
			return s.no(ebusy)
		}
		s.Targets = slices.DeleteFunc(s.Targets, func(x *target) bool { return x == t })
		s.Accounts = slices.DeleteFunc(s.Accounts, func(a account) bool { return a.TID == o.tid })
		return 0
	case "update":
		for _, p := range strings.Split(o.params, ",") {
			name, _, ok := strings.Cut(p, "=")
			if ok && !slices.Contains(settingNames, name) {
				return s.complain(einval, "Unknown parameter \"%s\".", name)
			}
		}
		if s.byTID(o.tid) == nil {
			return s.no(eperm)
		}
		return 0
	}
	return s.complain(einval, "this stand-in does not show targets")
}

func (s *state) newTarget(tid int, name string) int {
	for _, t := range s.Targets {
		if strings.EqualFold(t.Name, name) {
			return s.no(einval)
		}
	}
	if name == "" || len(name) > 255 || tid != 0 && s.byTID(tid) != nil {
		return s.no(eperm)
	}
	for tid == 0 || s.byTID(tid) != nil {
		tid++
	}
	s.Targets = append([]*target{{TID: tid, Name: name}}, s.Targets...)
	return 0
}

func (s *state) units(o options) int {
	t := s.byTID(o.tid)
	if t == nil {
		return s.no(eperm)
	}
	at := slices.IndexFunc(t.LUNs, func(u unit) bool { return u.Number == o.lun })
	switch o.op {
	case "new":
		if at >= 0 || o.lun > 0x3fff {
			return s.no(eperm)
		}
		return s.newUnit(t, o.lun, o.params)
	case "delete":
		if at < 0 {
			return s.no(eperm)
		}
		t.LUNs = slices.Delete(t.LUNs, at, at+1)
		return 0
	}
	return s.complain(einval, "Unsupported.")
}

// newUnit reads the parameters as block-io.c does.
func (s *state) newUnit(t *target, number int, params string) int {
	u := unit{Number: number}
	for _, p := range strings.Split(params, ",") {
		name, value, _ := strings.Cut(p, "=")
		switch name {
		case "Type":
			if value != "blockio" {
				return s.complain(einval, "this stand-in does not know the type %q", value)
			}
		case "IOMode":
		case "ScsiId", "ScsiSN":
			if len(value) > 16 {
				return s.no(eperm)
			}
			if name == "ScsiSN" {
				u.Serial = value
			}
		case "Path":
			name := strings.TrimPrefix(value, "/dev/"+VG+"/")
			l := s.lv(name)
			if l == nil || name == value || s.open(name) || u.Path != "" {
				return s.no(eperm)
			}
			u.Path, u.Size = value, l.Size
		default:
			return s.no(eperm)
		}
	}
	if u.Path == "" {
		return s.no(eperm)
	}
	t.LUNs = append(t.LUNs, u)
	return 0
}

func (s *state) connections(o options) int {
	t := s.byTID(o.tid)
	if o.op != "delete" || t == nil || o.cid != 0 {
		return noPerson
	}
	for i := range t.Sessions {
		if t.Sessions[i].SID == o.sid {
			t.Sessions[i].Closing = true
			return 0
		}
	}
	return noPerson
}

func (s *state) users(o options) int {
	a := account{TID: o.tid}
	hasUser, hasSecret := false, false
	for _, p := range strings.Split(o.params, ",") {
		name, value, ok := strings.Cut(p, "=")
		switch {
		case !ok:
		case name == "IncomingUser" || name == "OutgoingUser":
			a.User, a.Outgoing, hasUser = value, name == "OutgoingUser", true
		case name == "Password":
			a.Secret, hasSecret = value, true
		default:
			return s.complain(einval, "Unknown parameter")
		}
	}
	at := slices.IndexFunc(s.Accounts, func(x account) bool { return x.TID == a.TID && x.Outgoing == a.Outgoing && x.User == a.User })
	switch {
	case o.op == "new" && hasUser && hasSecret: // also of a target that is not there
		s.addAccount(a)
	case o.op == "new":
		fmt.Fprintln(&s.errs, "Username and password must be specified")
		return einval
	case o.op == "delete" && !hasUser:
		fmt.Fprintln(&s.errs, "Username must be specified")
		return einval
	case o.op == "show" && !hasUser:
		for _, outgoing := range []bool{false, true} {
			for _, x := range s.Accounts {
				if x.TID == a.TID && x.Outgoing == outgoing {
					fmt.Fprintf(&s.out, "%sUser %s\n", direction(outgoing), x.User)
				}
			}
		}
	case at < 0:
		return s.no(enoent)
	case o.op == "delete":
		s.Accounts = slices.Delete(s.Accounts, at, at+1)
	case o.op == "show":
		fmt.Fprintf(&s.out, "%sUser %s %s\n", direction(a.Outgoing), a.User, s.Accounts[at].Secret)
	default:
		return s.complain(einval, "Unsupported")
	}
	return 0
}

// addAccount puts it before all others. Of outgoing ones there is one.
func (s *state) addAccount(a account) {
	if a.Outgoing {
		s.Accounts = slices.DeleteFunc(s.Accounts, func(x account) bool { return x.TID == a.TID && x.Outgoing })
	}
	s.Accounts = append([]account{a}, s.Accounts...)
}

func direction(outgoing bool) string {
	if outgoing {
		return "Outgoing"
	}
	return "Incoming"
}
