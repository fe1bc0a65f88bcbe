// Package standin is an Openfiler for tests, as far as a driver needs one: the
// programs ietadm, vgs, lvs, lvcreate, lvextend, lvchange, lvremove,
// blockdev and dd, the files of IET, and what its daemon does with logins and when it starts. It
// keeps its state in a folder, and refuses what it does not know.
//
// It was written from the sources of IET 1.4.19 (usr/ietadm.c, usr/plain.c,
// usr/target.c, kernel/target.c, kernel/volume.c, kernel/block-io.c), with
// their exit statuses, and from what LVM 2.02 of that time says.
package standin

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The files of the machine, below Machine.Dir.
const (
	Volumes  = "/opt/openfiler/etc/volumes.xml"
	Settings = "/opt/openfiler/etc/iscsi/targets/iscsi_settings.xml"
	Conf     = "/etc/ietd.conf"
	Allow    = "/etc/initiators.allow"
	Deny     = "/etc/initiators.deny"
	volume   = "/proc/net/iet/volume"
	session  = "/proc/net/iet/session"
)

// VG is its volume group, of Size bytes in extents of Extent.
const (
	VG     = "vg0"
	Size   = 4 << 30
	Extent = 32 << 20
)

// Machine is the machine of a test.
type Machine struct {
	t   testing.TB
	Dir string // its root
	bin string

	mu sync.Mutex
	s  state
}

// state is what it knows.
type state struct {
	out, errs strings.Builder // what the program writes that runs
	ran, bare []string        // see Ran and Bare
	wrong     []string        // what fails the test

	Version string
	Running bool
	NextSID int
	LVs     []*lv
	Targets []*target // the newest first, as the kernel lists them
	// Accounts are those of ietd, the newest first, by the target's number.
	Accounts []account
}

type lv struct {
	Name, Origin string
	Size         int64
	Tags         []string
	Data         []byte
	// Foreign is from where on it shows what was on its extents before.
	Foreign int64
	// Written is up to where initiators may have written.
	Written int64
}

type target struct {
	TID      int
	Name     string
	LUNs     []unit
	Sessions []login
}

type unit struct {
	Number       int
	Path, Serial string
	Size         int64 // as it was when it was mapped
}

type login struct {
	SID       int
	Initiator string
	Closing   bool // its connection is deleted; the session goes a moment later
}

type account struct {
	TID          int
	Outgoing     bool
	User, Secret string
}

// programs are the commands it has.
var programs = map[string]func(s *state, args []string) int{
	"ietadm": ietadm, "vgs": vgs, "lvs": lvs, "lvcreate": lvcreate, "lvextend": lvextend, "lvchange": lvchange, "lvremove": lvremove,
	"blockdev": blockdev, "dd": dd,
}

// program asks the machine to run what it is called as, and passes on what it
// answers. It is much cheaper than a program of our own.
const program = `#!/bin/bash
exec 3<>/dev/tcp/%s || exit 99
printf '%%s\0' $# "${0##*/}" "$@" >&3
IFS= read -r -d '' code <&3 && IFS= read -r -d '' out <&3 && IFS= read -r -d '' err <&3 || exit 99
printf %%s "$out"
printf %%s "$err" >&2
exit "$code"
`

// New makes a machine whose service runs.
func New(t testing.TB) *Machine {
	t.Helper()
	m := &Machine{t: t, Dir: t.TempDir(), bin: t.TempDir()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { m.serve(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		serving.Wait()
	})
	text := fmt.Sprintf(program, strings.ReplaceAll(ln.Addr().String(), ":", "/"))
	// Who is not root becomes root by doing nothing.
	files := map[string]string{"sudo": "#!/bin/sh\n[ \"$1\" = -n ] && shift && exec \"$@\"\n"}
	for name := range programs {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Nothing has to last.
	if err := os.Symlink("/bin/true", filepath.Join(m.bin, "sync")); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		Volumes:  "<?xml version=\"1.0\" ?>\n<volumes>\n</volumes>\n\n",
		Settings: "<?xml version=\"1.0\"?>\n<iet>\n  <globalsettings>\n    <isns/>\n  </globalsettings>\n  <targets>\n  </targets>\n</iet>\n",
		Conf:     "", Allow: "# rules\n", Deny: "# rules\n", session: "",
	} {
		if err := os.MkdirAll(filepath.Dir(m.Dir+name), 0o755); err != nil {
			t.Fatal(err)
		}
		m.Write(name, text)
	}
	m.change(func(s *state) { s.Version, s.Running = "1.4.19", true })
	return m
}

// serve runs one program.
func (m *Machine) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	word := func() string {
		w, _ := in.ReadString(0)
		return strings.TrimSuffix(w, "\x00")
	}
	n, err := strconv.Atoi(word())
	if err != nil {
		return
	}
	name, args := word(), make([]string, n)
	for i := range args {
		args[i] = word()
	}
	var answer string
	m.change(func(s *state) {
		s.out.Reset()
		s.errs.Reset()
		code := programs[name](s, args)
		s.note(name + " " + strings.Join(args, " "))
		answer = fmt.Sprintf("%d\x00%s\x00%s\x00", code, s.out.String(), s.errs.String())
	})
	fmt.Fprint(c, answer)
}

// Env is what a program must have in its environment to be on the machine.
func (m *Machine) Env() []string {
	return []string{"PATH=" + m.bin + ":" + os.Getenv("PATH")}
}

// change changes the state, and writes what IET shows of it.
func (m *Machine) change(f func(s *state)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.s)
	for _, text := range m.s.wrong {
		m.t.Error(text)
	}
	m.s.wrong = nil
	if err := m.s.show(m.Dir); err != nil {
		m.t.Error(err)
	}
}

// show writes IET's files, which are there while it runs.
func (s *state) show(dir string) error {
	if !s.Running {
		_ = os.Remove(dir + volume)
		_ = os.Remove(dir + session)
		return nil
	}
	var v, n strings.Builder
	for _, t := range s.Targets {
		fmt.Fprintf(&v, "tid:%d name:%s\n", t.TID, t.Name)
		fmt.Fprintf(&n, "tid:%d name:%s\n", t.TID, t.Name)
		for _, u := range t.LUNs {
			fmt.Fprintf(&v, "\tlun:%d state:0 iotype:blockio iomode:wt path:%s\n", u.Number, u.Path)
		}
		for _, l := range t.Sessions {
			word := map[bool]string{false: "active", true: "closing"}[l.Closing]
			fmt.Fprintf(&n, "\tsid:%d initiator:%s\n\t\tcid:0 ip:10.77.0.11 state:%s hd:none dd:none\n", l.SID, l.Initiator, word)
		}
	}
	if err := os.WriteFile(dir+volume, []byte(v.String()), 0o600); err != nil {
		return err
	}
	return os.WriteFile(dir+session, []byte(n.String()), 0o600)
}

// Read gives a file as it is now.
func (m *Machine) Read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.Dir + name)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

// Write replaces a file.
func (m *Machine) Write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(m.Dir+name, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// SetVersion says which version of IET it has.
func (m *Machine) SetVersion(version string) { m.change(func(s *state) { s.Version = version }) }

// Stop stops the service.
func (m *Machine) Stop() { m.change(func(s *state) { s.stop() }) }

// Start starts it, from the files.
func (m *Machine) Start() {
	conf := m.Read(Conf)
	m.change(func(s *state) { s.start(conf) })
}

// AddLV makes a logical volume of somebody else's, with an origin a snapshot.
func (m *Machine) AddLV(name, origin string, size int64) {
	m.change(func(s *state) { s.LVs = append(s.LVs, &lv{Name: name, Origin: origin, Size: size, Foreign: size}) })
}

// DelLV takes it away again.
func (m *Machine) DelLV(name string) {
	m.change(func(s *state) { s.LVs = slices.DeleteFunc(s.LVs, func(l *lv) bool { return l.Name == name }) })
}

// HasLV says whether it is there.
func (m *Machine) HasLV(name string) (has bool) {
	m.change(func(s *state) { has = s.lv(name) != nil })
	return has
}

// WriteLV writes to the beginning of a volume, ReadLV reads there.
func (m *Machine) WriteLV(name string, data []byte) {
	m.change(func(s *state) { s.lv(name).Data = slices.Clone(data) })
}

// ReadLV gives the first n bytes.
func (m *Machine) ReadLV(name string, n int) []byte {
	data := make([]byte, n)
	m.change(func(s *state) { copy(data, s.lv(name).Data) })
	return data
}

// Mapped gives the size that initiators see of a volume, and its serial
// number; -1 when it is mapped nowhere.
func (m *Machine) Mapped(name string) (size int64, serial string) {
	size = -1
	m.change(func(s *state) {
		for _, t := range s.Targets {
			for _, u := range t.LUNs {
				if u.Path == "/dev/"+VG+"/"+name {
					size, serial = u.Size, u.Serial
				}
			}
		}
	})
	return size, serial
}

// State lists everything that is on the machine.
func (m *Machine) State() string {
	var b strings.Builder
	m.change(func(s *state) {
		for _, l := range s.LVs {
			fmt.Fprintf(&b, "%s %d %v\n", l.Name, l.Size, l.Tags)
		}
		for _, t := range s.Targets {
			fmt.Fprintf(&b, "%+v\n", *t)
		}
		fmt.Fprintf(&b, "%+v\n", s.Accounts)
	})
	for _, name := range []string{Volumes, Settings, Allow, Deny} {
		b.WriteString(m.Read(name))
	}
	// The first line and the blanks are there from the first change on.
	for line := range strings.Lines(m.Read(Conf)) {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	for _, dir := range []string{"/etc", "/opt/openfiler/etc", "/opt/openfiler/etc/iscsi/targets"} {
		list, err := os.ReadDir(m.Dir + dir)
		if err != nil {
			m.t.Fatal(err)
		}
		for _, e := range list {
			b.WriteString(dir + "/" + e.Name() + "\n")
		}
	}
	return b.String()
}

// Ran lists the programs that were run, with their arguments.
func (m *Machine) Ran() (list []string) {
	m.change(func(s *state) { list = slices.Clone(s.ran) })
	return list
}

// Bare lists what was run that left a target with a unit and no account.
func (m *Machine) Bare() (list []string) {
	m.change(func(s *state) { list = slices.Clone(s.bare) })
	return list
}

// note writes down what was run.
func (s *state) note(line string) {
	s.ran = append(s.ran, line)
	for _, t := range s.Targets {
		if len(t.LUNs) > 0 && !slices.ContainsFunc(s.Accounts, func(a account) bool { return a.TID == t.TID && !a.Outgoing }) {
			s.bare = append(s.bare, line)
		}
	}
}

// Tool runs a program as somebody on the machine would, and asks for its exit
// status.
func (m *Machine) Tool(want int, program string, args ...string) {
	m.t.Helper()
	m.change(func(s *state) {
		if code := programs[program](s, args); code != want {
			m.t.Errorf("%s %q ended with %d", program, args, code)
		}
	})
}

// Accounts lists the users and secrets of a target, the newest first.
func (m *Machine) Accounts(tid int) string {
	var list []string
	m.change(func(s *state) {
		for _, a := range s.Accounts {
			if a.TID == tid {
				list = append(list, a.User+" "+a.Secret)
			}
		}
	})
	return strings.Join(list, ",")
}

// Remove takes a file away, and Has says whether it is there.
func (m *Machine) Remove(name string) {
	m.t.Helper()
	if err := os.Remove(m.Dir + name); err != nil {
		m.t.Fatal(err)
	}
}

// Has says whether a file is there.
func (m *Machine) Has(name string) bool {
	_, err := os.Stat(m.Dir + name)
	return err == nil
}
