package hypervisortest

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// virsh answers as virsh of libvirt 9.0 with QEMU 7.2 does; the texts of
// errors were recorded. The mutex is the caller's.
func (m *Memory) virsh(c command.Cmd) (command.Result, bool) {
	if c.Name == "disks of all domains" {
		return m.allDisks(c.Args[2:]), true
	}
	if c.Name == "all domains" {
		return m.allDomains(c.Args), true
	}
	if len(c.Argv) < 5 || c.Argv[0] != "virsh" {
		return command.Result{}, false
	}
	if c.Argv[1] != "-c" || c.Argv[2] == "" || c.Argv[3] != "-q" {
		m.t.Errorf("virsh is not called as expected: %s", c)
	}
	commands := [][]string{c.Argv[4:]}
	if len(c.Argv) == 5 {
		var err error
		if commands, err = lex(c.Argv[4]); err != nil {
			m.t.Errorf("virsh cannot read %q: %v", c.Argv[4], err)
		}
	}
	s := &session{m: m, stdin: string(c.Stdin)}
	for _, words := range commands {
		s.run(words)
	}
	return command.Result{Stdout: []byte(s.out.String()), Stderr: []byte(s.err.String()), Code: s.code}, true
}

// lex splits a text into commands and words as virsh does (tools/vsh.c).
func lex(text string) (commands [][]string, err error) {
	var words []string
	var word strings.Builder
	var quote rune
	open, escaped := false, false
	end := func() {
		if open {
			words = append(words, word.String())
		}
		word.Reset()
		open = false
	}
	for _, r := range text {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			open, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			open, quote = true, r
		case quote == 0 && (r == ' ' || r == '\t'):
			end()
		case quote == 0 && (r == ';' || r == '\n'):
			end()
			commands, words = append(commands, words), nil
		default:
			open = true
			word.WriteRune(r)
		}
	}
	end()
	if quote != 0 || escaped {
		err = fmt.Errorf("quote without end")
	}
	return append(commands, words), err
}

// session is one virsh process.
type session struct {
	m        *Memory
	stdin    string
	out, err strings.Builder
	code     int // of the last command
}

func (s *session) fail(lines ...string) {
	for _, l := range lines {
		s.err.WriteString("error: " + l + "\n")
	}
	s.code = 1
}

// run runs one command.
func (s *session) run(words []string) {
	s.code = 0
	if s.m.down != "" {
		s.err.WriteString(s.m.down)
		s.code = 1
		return
	}
	if len(words) == 1 && words[0] == "version" {
		s.out.WriteString("Compiled against library: libvirt 9.0.0\nUsing library: libvirt 9.0.0\nUsing API: QEMU 9.0.0\nRunning hypervisor: QEMU " +
			cmp.Or(s.m.qemu, "7.2.22") + "\n\n")
		return
	}
	known := map[string]func(d *Domain, args []string){
		"domcontrol":    s.domcontrol,
		"domstate":      s.domstate,
		"dumpxml":       s.dumpxml,
		"domblkerror":   s.domblkerror,
		"resume":        s.resume,
		"attach-device": s.attachDevice,
		"detach-disk":   s.detachDisk,
		"domblkinfo":    s.domblkinfo,
		"blockresize":   s.blockresize,
	}
	if len(words) < 2 || known[words[0]] == nil {
		s.m.t.Errorf("this host's virsh does not know %q", words)
		s.fail("unknown command: '" + strings.Join(words, " ") + "'")
		return
	}
	name, args := words[1], words[2:]
	if name == "--domain" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	d := s.m.domain(name)
	if d == nil {
		s.fail("failed to get domain '" + name + "'")
		return
	}
	known[words[0]](d, args)
}

// want fails the test when a command has other arguments than recorded.
func (s *session) want(got []string, want ...string) {
	if !slices.Equal(got, want) {
		s.m.t.Errorf("virsh has the arguments %q; this host knows %q", got, want)
	}
}

func (s *session) domcontrol(d *Domain, args []string) {
	s.want(args)
	switch {
	case !d.running():
		s.fail("Requested operation is not valid: domain is not running")
	case d.Control == "":
		s.out.WriteString("ok\n")
	default:
		s.out.WriteString(d.Control + "\n")
	}
}

func (s *session) domstate(d *Domain, args []string) {
	s.want(args, "--reason")
	s.out.WriteString(d.State + "\n")
}

// domblkerror and resume speak as libvirt 9.0 does.
func (s *session) domblkerror(d *Domain, args []string) {
	s.want(args)
	for _, k := range d.Disks {
		if word := d.Failing[k.Target]; word != "" {
			s.out.WriteString(k.Target + ": " + word + "\n")
		}
	}
}

func (s *session) resume(d *Domain, args []string) {
	s.want(args)
	if !strings.HasPrefix(d.State, "paused") {
		s.fail("Failed to resume domain '"+d.UUID+"'", "internal error: domain '"+d.Name+"' not paused")
		return
	}
	d.State = "running (unpaused)"
	if d.Recovers {
		d.Failing = nil
	}
	if len(d.Failing) > 0 {
		d.State = "paused (I/O error)"
	}
}

func (s *session) dumpxml(d *Domain, args []string) {
	s.want(args)
	d.seen()
	s.out.WriteString(s.m.render(d) + "\n")
}

// attachDevice attaches the disk whose XML is the standard input.
func (s *session) attachDevice(d *Domain, args []string) {
	s.want(args, "/dev/stdin", "--live")
	refuse := func(text string) { s.fail("Failed to attach device from /dev/stdin", text) }
	var x diskXML
	if err := xml.Unmarshal([]byte(s.stdin), &x); err != nil {
		s.m.t.Errorf("the disk's XML is none: %v\n%s", err, s.stdin)
		refuse("(device_definition):1: " + err.Error())
		return
	}
	if !d.running() {
		refuse("Requested operation is not valid: domain is not running")
		return
	}
	if _, text := x.Tune.limits(); text != "" {
		refuse(text)
		return
	}
	k := x.disk()
	for _, o := range d.Disks {
		switch {
		case o.Target == k.Target:
			refuse(fmt.Sprintf("XML error: target '%s' duplicated for disk sources '%s' and '%s'", k.Target, o.Source, k.Source))
			return
		case k.Address != "" && o.Address == k.Address:
			refuse("Requested operation is not valid: Domain already contains a disk with that address")
			return
		}
	}
	if _, ok := s.m.lookup(k.Source); !ok {
		refuse(fmt.Sprintf("Cannot access storage file '%s': No such file or directory", k.Source))
		return
	}
	if s.m.user(k.Source) != nil {
		refuse(fmt.Sprintf("Requested operation is not valid: Setting different DAC user or group on %s which is already in use", k.Source))
		return
	}
	d.addController(k.Address)
	k.Capacity = s.m.size(k.Source)
	d.Disks = append(d.Disks, k)
}

// addController adds controllers up to the one that the address names, as
// libvirt does.
func (d *Domain) addController(address string) {
	number, _, ok := strings.Cut(address, ":")
	n, err := strconv.Atoi(number)
	for i := 0; ok && err == nil && i <= n; i++ {
		if !slices.Contains(d.Controllers, i) {
			d.Controllers = append(d.Controllers, i)
		}
	}
}

// detachDisk asks the guest for a disk, known by its source or its target.
func (s *session) detachDisk(d *Domain, args []string) {
	if len(args) != 2 {
		s.m.t.Errorf("virsh detach-disk has the arguments %q", args)
		return
	}
	s.want(args[1:], "--live")
	if len(d.Disks) == 0 {
		s.fail("Failed to get disk information")
		return
	}
	i := slices.IndexFunc(d.Disks, func(k Disk) bool { return k.Source == args[0] || k.Target == args[0] })
	if i < 0 {
		s.fail("No disk found whose source path or target is " + args[0])
		return
	}
	if !d.running() {
		s.fail("Failed to detach disk", "Requested operation is not valid: domain is not running")
		return
	}
	d.ask(i)
}

// named gives the disk that a command calls by its target or source; with nil,
// it has failed.
func (s *session) named(d *Domain, name string) *Disk {
	for i := range d.Disks {
		if d.Disks[i].Target == name || d.Disks[i].Source == name {
			return &d.Disks[i]
		}
	}
	s.fail("invalid argument: invalid path " + name + " not assigned to domain")
	return nil
}

func (s *session) domblkinfo(d *Domain, args []string) {
	if len(args) != 1 {
		s.m.t.Errorf("virsh domblkinfo has the arguments %q", args)
		return
	}
	if k := s.named(d, args[0]); k != nil {
		fmt.Fprintf(&s.out, "%-15s %d\n%-15s %d\n%-15s %d\n", "Capacity:", int64(k.Capacity), "Allocation:", 0, "Physical:", int64(s.m.size(k.Source)))
	}
}

// blockresize speaks as QEMU 7.2 does for host devices (block/file-posix.c).
func (s *session) blockresize(d *Domain, args []string) {
	if len(args) != 2 {
		s.m.t.Errorf("virsh blockresize has the arguments %q", args)
		return
	}
	text, bytes := strings.CutSuffix(args[1], "B")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !bytes {
		s.m.t.Errorf("virsh blockresize has the size %q; this host knows bytes alone", args[1])
		return
	}
	k := s.named(d, args[0])
	if k == nil {
		return
	}
	refuse := func(text string) { s.fail("Failed to resize block device '"+args[0]+"'", text) }
	switch is := s.m.size(k.Source); {
	case !d.running():
		refuse("Requested operation is not valid: domain is not running")
	case onevolume.Size(n) > is:
		refuse("internal error: unable to execute QEMU command 'block_resize': Cannot grow device files")
	default:
		k.Capacity = is // a device is as large as it is, whatever was said
	}
}

// allDisks answers the script that lists the disks of all running domains.
func (m *Memory) allDisks(paths []string) command.Result {
	if m.down != "" {
		return command.Result{Stderr: []byte(m.down), Code: 1}
	}
	var b strings.Builder
	for _, d := range m.domains {
		if !d.running() {
			continue
		}
		fmt.Fprintf(&b, "Domain: '%s'\n  block.count=%d\n", d.Name, len(d.Disks))
		for i, k := range d.Disks {
			fmt.Fprintf(&b, "  block.%d.name=%s\n  block.%d.path=%s\n", i, k.Target, i, k.Source)
			paths = append(paths, k.Source)
		}
	}
	b.WriteString("--\n")
	for _, p := range paths {
		if device, ok := m.lookup(p); ok {
			fmt.Fprintf(&b, "%s %s\n", device, p)
		}
	}
	return command.Result{Stdout: []byte(b.String())}
}

// allDomains answers the script that lists all domains.
func (m *Memory) allDomains(args []string) command.Result {
	if len(args) != 3 || args[0] == "" || args[1] != "self" || args[2] != "--all" && args[2] != "--state-paused" {
		m.t.Errorf("the domains are not asked for as expected: %q", args)
	}
	if m.down != "" {
		return command.Result{Stderr: []byte(m.down), Code: 1}
	}
	var b strings.Builder
	for _, d := range m.domains {
		if args[2] == "--state-paused" && !strings.HasPrefix(d.State, "paused") {
			continue
		}
		d.seen()
		fmt.Fprintf(&b, "%s\n%s\n", d.State, m.render(d))
	}
	b.WriteString("end\n")
	return command.Result{Stdout: []byte(b.String())}
}

// diskXML is a <disk>, with the parts that a Memory keeps.
type diskXML struct {
	XMLName xml.Name `xml:"disk"`
	Type    string   `xml:"type,attr"`
	Device  string   `xml:"device,attr"`
	Source  struct {
		Dev string `xml:"dev,attr"`
	} `xml:"source"`
	Target struct {
		Dev string `xml:"dev,attr"`
		Bus string `xml:"bus,attr"`
	} `xml:"target"`
	ReadOnly *struct{}   `xml:"readonly"`
	Serial   string      `xml:"serial,omitempty"`
	Tune     *tuneXML    `xml:"iotune"`
	Address  *addressXML `xml:"address"`
}

// tuneXML is an <iotune> (formatdomain, block I/O limits).
type tuneXML struct {
	Limits []limitXML `xml:",any"`
}

type limitXML struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
}

// limits reads it as libvirt does, and gives libvirt's words on what it does
// not take.
func (x *tuneXML) limits() (t onevolume.IOTune, refused string) {
	if x == nil {
		return t, ""
	}
	for _, l := range x.Limits {
		n, err := strconv.ParseUint(l.Text, 10, 63)
		i := slices.Index(onevolume.IOTuneNames(), l.XMLName.Local)
		if err != nil || i < 0 {
			return t, "XML error: disk iotune field '" + l.XMLName.Local + "' must be an integer"
		}
		t[i] = int64(n)
	}
	if t[0] > 0 && t[1]+t[2] > 0 {
		return t, "unsupported configuration: total and read/write bytes_sec cannot be set at the same time"
	}
	return t, ""
}

type addressXML struct {
	Type       string `xml:"type,attr"`
	Controller string `xml:"controller,attr"`
	Bus        string `xml:"bus,attr"`
	Target     string `xml:"target,attr"`
	Unit       string `xml:"unit,attr"`
}

type controllerXML struct {
	Type  string `xml:"type,attr"`
	Index int    `xml:"index,attr"`
	Model string `xml:"model,attr"`
}

func (x diskXML) disk() Disk {
	k := Disk{Disk: hypervisor.Disk{Source: x.Source.Dev, Target: x.Target.Dev, Bus: x.Target.Bus, Serial: x.Serial, ReadOnly: x.ReadOnly != nil}}
	k.Tune, _ = x.Tune.limits()
	if a := x.Address; a != nil {
		k.Address = strings.Join([]string{a.Controller, a.Bus, a.Target, a.Unit}, ":")
	}
	return k
}

// render gives the domain as dumpxml shows it.
func (m *Memory) render(d *Domain) string {
	type devices struct {
		Disks       []diskXML
		Controllers []controllerXML `xml:"controller"`
	}
	x := struct {
		XMLName xml.Name `xml:"domain"`
		Type    string   `xml:"type,attr"`
		ID      int      `xml:"id,attr,omitempty"`
		Name    string   `xml:"name"`
		UUID    string   `xml:"uuid"`
		Devices devices  `xml:"devices"`
	}{Type: "kvm", Name: d.Name, UUID: d.UUID}
	if d.running() {
		x.ID = slices.Index(m.domains, d) + 1
	}
	for _, k := range d.Disks {
		k := k
		e := diskXML{Type: "block", Device: "disk", Serial: k.Serial}
		e.Source.Dev, e.Target.Dev, e.Target.Bus = k.Source, k.Target, k.Bus
		if k.ReadOnly {
			e.ReadOnly = &struct{}{}
		}
		if k.Tune != (onevolume.IOTune{}) {
			e.Tune = &tuneXML{}
			for i, name := range onevolume.IOTuneNames() {
				if k.Tune[i] > 0 {
					e.Tune.Limits = append(e.Tune.Limits, limitXML{xml.Name{Local: name}, strconv.FormatInt(k.Tune[i], 10)})
				}
			}
		}
		if f := strings.Split(k.Address, ":"); len(f) == 4 {
			e.Address = &addressXML{"drive", f[0], f[1], f[2], f[3]}
		}
		x.Devices.Disks = append(x.Devices.Disks, e)
	}
	for _, n := range d.Controllers {
		x.Devices.Controllers = append(x.Devices.Controllers, controllerXML{"scsi", n, "virtio-scsi"})
	}
	text, err := xml.MarshalIndent(x, "", "  ")
	if err != nil {
		panic(err) // strings and numbers alone: cannot fail
	}
	return string(text)
}
