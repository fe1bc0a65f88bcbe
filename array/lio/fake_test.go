package lio

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux/linuxtest"
	"onevolume/command"
	"onevolume/command/commandtest"
)

// fake is a machine with LIO: what the scripts do to the kernel, and the file
// that is restored at boot. What the scripts themselves do is tested on real
// kernels.
type fake struct {
	t  testing.TB
	vg *linuxtest.VG

	mu      sync.Mutex
	kernel  map[string]*live // by IQN
	file    string           // the file; empty when there is none
	foreign string           // writes the file behind our back, once
}

// live is a target in the kernel.
type live struct {
	name, device, serial string
	portals              []string
	acls                 map[string]*liveACL
}

type liveACL struct {
	user, secret, userIn, secretIn string
	sessions                       int
}

func newFake(t testing.TB, vg *linuxtest.VG) *fake {
	f := &fake{t: t, vg: vg, kernel: map[string]*live{}}
	vg.Held = func(name string) bool { // by a backstore
		for _, l := range f.kernel {
			if l.name == name {
				return true
			}
		}
		return false
	}
	return f
}

func (f *fake) handle(c command.Cmd) (command.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if (c.Name == NameLook || c.Name == NameExport || c.Name == NameUnexport) && (len(c.Args) < 3 || c.Args[0] != defaultRoot) {
		return command.Result{}, commandtest.ErrUnknown
	}
	switch c.Name {
	case NameLook:
		return f.look(c.Args[2])
	case NameExport:
		return f.export(c)
	case NameUnexport:
		return f.unexport(c.Args[2], c.Args[3], c.Args[4])
	case NameRead:
		if f.file == "" {
			return commandtest.OK("none\n")
		}
		return commandtest.OK(sum(f.file) + "\n" + f.file)
	case NameWrite:
		if f.foreign != "" {
			f.file, f.foreign = f.foreign, ""
		}
		old := "none"
		if f.file != "" {
			old = sum(f.file)
		}
		if c.Args[1] != old {
			return commandtest.Fail(75, "")
		}
		f.file = string(c.Stdin)
		return commandtest.OK("")
	}
	return f.vg.Handle(c)
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func (f *fake) look(iqn string) (command.Result, error) {
	var b strings.Builder
	if l := f.kernel[iqn]; l != nil {
		fmt.Fprintf(&b, "backstore 1 %s\ntarget 1\nlun 0 %s\n", l.device, l.name)
		for _, p := range l.portals {
			fmt.Fprintf(&b, "portal %s\n", p)
		}
		for _, name := range slices.Sorted(maps.Keys(l.acls)) {
			a := l.acls[name]
			fmt.Fprintf(&b, "acl %s %s %s\n", name, a.user, a.userIn)
			for range a.sessions {
				fmt.Fprintf(&b, "session %s\naddress %s 10.77.0.11\n", name, name)
			}
		}
	}
	return commandtest.OK(b.String() + "end\n")
}

func (f *fake) export(c command.Cmd) (command.Result, error) {
	name, iqn, device, serial, initiator := c.Args[1], c.Args[2], c.Args[3], c.Args[4], c.Args[5]
	lines := strings.Split(string(c.Stdin), "\n")
	if len(lines) != 5 || len(c.Args) < 7 {
		return command.Result{}, commandtest.ErrUnknown
	}
	l := f.kernel[iqn]
	if l == nil {
		for _, other := range f.kernel {
			if other.device == device {
				return commandtest.Fail(11, "sh: 1: printf: I/O error: Device or resource busy\n")
			}
		}
		l = &live{name: name, device: device, serial: serial, portals: c.Args[6:], acls: map[string]*liveACL{}}
		f.kernel[iqn] = l
	}
	if l.device != device {
		return commandtest.Fail(10, "the backstore "+name+" is there with "+l.device+"\n")
	}
	a := l.acls[initiator]
	if a == nil {
		a = &liveACL{}
		l.acls[initiator] = a
	}
	a.user, a.secret, a.userIn, a.secretIn = lines[0], lines[1], lines[2], lines[3]
	return commandtest.OK("end\n")
}

func (f *fake) unexport(iqn, initiator, force string) (command.Result, error) {
	if l := f.kernel[iqn]; l != nil {
		if a := l.acls[initiator]; a != nil && a.sessions > 0 && force != "force" {
			return commandtest.Fail(12, "")
		}
		if delete(l.acls, initiator); len(l.acls) == 0 {
			delete(f.kernel, iqn)
		}
	}
	return commandtest.OK("end\n")
}

// boot is what targetctl makes of the file.
func (f *fake) boot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kernel = map[string]*live{}
	if f.file == "" {
		return
	}
	var doc struct {
		Storage []struct{ Plugin, Name, Dev, WWN string } `json:"storage_objects"`
		Targets []struct {
			Fabric, WWN string
			TPGs        []struct {
				Tag        int
				Enable     bool
				Attributes map[string]any
				LUNs       []struct {
					Index int
					SO    string `json:"storage_object"`
				}
				Portals []struct {
					IP   string `json:"ip_address"`
					Port int
				}
				ACLs []struct {
					Name       string `json:"node_wwn"`
					User       string `json:"chap_userid"`
					Password   string `json:"chap_password"`
					UserIn     string `json:"chap_mutual_userid"`
					PasswordIn string `json:"chap_mutual_password"`
					Mapped     []struct {
						Index int
						LUN   int `json:"tpg_lun"`
					} `json:"mapped_luns"`
				} `json:"node_acls"`
			}
		}
	}
	if err := json.Unmarshal([]byte(f.file), &doc); err != nil {
		f.t.Errorf("the file is not what a boot can read: %v\n%s", err, f.file)
	}
	for _, g := range doc.Targets {
		for _, tpg := range g.TPGs {
			if len(tpg.LUNs) == 0 {
				continue // somebody else's
			}
			l := &live{name: strings.TrimPrefix(tpg.LUNs[0].SO, "/backstores/block/"), acls: map[string]*liveACL{}}
			for _, so := range doc.Storage {
				if so.Plugin == "block" && so.Name == l.name {
					l.device, l.serial = so.Dev, so.WWN
				}
			}
			for _, p := range tpg.Portals {
				l.portals = append(l.portals, fmt.Sprintf("%s:%d", p.IP, p.Port))
			}
			for _, a := range tpg.ACLs {
				if len(a.Mapped) != 1 {
					f.t.Errorf("%s sees %d units", a.Name, len(a.Mapped))
				}
				l.acls[a.Name] = &liveACL{user: a.User, secret: a.Password, userIn: a.UserIn, secretIn: a.PasswordIn}
			}
			if tpg.Enable && tpg.Attributes["authentication"] == 1.0 && tpg.Attributes["generate_node_acls"] == 0.0 {
				f.kernel[g.WWN] = l
			}
		}
	}
}

func (f *fake) login(e array.Export) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.kernel[string(e.Target.IQN)]
	if l == nil || l.serial != e.Identity.Serial || !slices.Contains(l.portals, e.Target.Portals[0].String()) {
		return nil, errors.New("target not found")
	}
	a := l.acls[string(e.Initiator)]
	if a == nil {
		return nil, errors.New("authorization failure (514)")
	}
	if (onevolume.CHAP{User: a.user, Secret: a.secret, UserIn: a.userIn, SecretIn: a.secretIn}) != e.Target.CHAP {
		return nil, errors.New("authentication failure (513)")
	}
	a.sessions++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		a.sessions--
	}, nil
}

func (f *fake) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, iqn := range slices.Sorted(maps.Keys(f.kernel)) {
		fmt.Fprintf(&b, "%s %+v\n", iqn, f.kernel[iqn])
	}
	if strings.Contains(f.file, "ov-") {
		b.WriteString(f.file)
	}
	return f.vg.State() + b.String()
}
