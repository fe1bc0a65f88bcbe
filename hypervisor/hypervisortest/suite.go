package hypervisortest

import (
	"cmp"
	"context"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// Fixture is a host with a running domain, on which a driver is tested. Each
// test gets a new one. What a fixture cannot arrange is nil or empty, and the
// tests that need it are skipped.
type Fixture struct {
	Driver hypervisor.Driver
	Host   command.Host

	// VM's domain runs, with none of the sources as a disk.
	VM onevolume.VM
	// Sources are two devices of the host.
	Sources [2]string
	// Alias is another path to the first device.
	Alias string
	// Odd is the path of a third device, with quotes and a $(…) in it.
	Odd string
	// Stopped is a VM whose domain is there and does not run.
	Stopped onevolume.VM

	// TakeTarget gives the domain a disk of somebody else's with the name.
	TakeTarget func(t *testing.T, target string)
	// Stuck gives the domain a disk that its guest does not let go of
	// before release is called.
	Stuck func(t *testing.T) (d hypervisor.Disk, release func())
	// Grow makes the first device larger, as the host's kernel has it then,
	// and gives its size. Sees is the size of the disk with the serial number
	// as the guest has it.
	Grow func(t *testing.T) onevolume.Size
	Sees func(t *testing.T, serial string) onevolume.Size
	// Remove takes VM's domain off the host.
	Remove func(t *testing.T)
}

// Injection is a file that a shell on the host makes when it reads one of the
// suite's odd names as more than a name.
const Injection = "/tmp/onevolume-injection"

const (
	serial = "onevolume-7"
	other  = "onevolume-8"
	wait   = 20 * time.Second
)

// Run runs those tests of the suite that are about what the driver can do.
func Run(t *testing.T, driver hypervisor.Driver, fixture func(t *testing.T) Fixture) {
	serials := []testCase{
		{"serial with another source", (*suite).serialTaken},
		{"source with another serial", (*suite).sourceTaken},
		{"unplug the wrong one", (*suite).unplugMismatch},
		{"unplug by serial", (*suite).unplugBySerial},
	}
	sources := []testCase{
		{"source again", (*suite).sourceAgain},
		{"unplug without a source", (*suite).unplugUnknown},
	}
	force := []testCase{
		{"force", (*suite).force},
		{"force what is not there", (*suite).forceNothing},
	}
	resize := []testCase{
		{"resize", (*suite).resize},
		{"resize beyond the device", (*suite).resizeTooFar},
		{"resize what is not there", (*suite).resizeNothing},
	}
	tests := []testCase{
		{"domain", (*suite).domain},
		{"domain that is not there", (*suite).noDomain},
		{"odd names", (*suite).oddNames},
		{"plug", (*suite).plug},
		{"plug again", (*suite).plugAgain},
		{"plug read-only", (*suite).plugReadOnly},
		{"plug two", (*suite).plugTwo},
		{"target taken", (*suite).targetTaken},
		{"source missing", (*suite).sourceMissing},
		{"source that cannot be", (*suite).badSource},
		{"domain that does not run", (*suite).stopped},
		{"unplug", (*suite).unplug},
		{"unplug what is not there", (*suite).unplugNothing},
		{"guest that refuses", (*suite).refuses},
		{"guest that lets go while we wait", (*suite).letsGo},
		{"domain that left", (*suite).gone},
		{"users", (*suite).users},
		{"all domains", (*suite).domains},
		{"dry run", (*suite).dryRun},
	}
	if driver.Can().Serial {
		tests = append(tests, serials...)
	} else {
		tests = append(tests, sources...)
	}
	if driver.Can().IOTune {
		tests = append(tests, testCase{"limits", (*suite).limits})
	}
	if _, can := driver.(hypervisor.Forcer); can {
		tests = append(tests, force...)
	}
	if _, can := driver.(hypervisor.Resizer); can {
		tests = append(tests, resize...)
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.test(&suite{t, t.Context(), fixture(t)}) })
	}
}

type testCase struct {
	name string
	test func(s *suite)
}

type suite struct {
	*testing.T
	ctx context.Context
	Fixture
}

// need skips the test when the fixture lacks something.
func (s *suite) need(has bool, what string) {
	s.Helper()
	if !has {
		s.Skip("this host cannot arrange " + what)
	}
}

func (s *suite) lookup() hypervisor.Domain {
	s.Helper()
	dom, err := s.Driver.Domain(s.ctx, s.Host, s.VM)
	if err != nil {
		s.Fatal("Domain:", err)
	}
	return dom
}

func (s *suite) mustPlug(d hypervisor.Disk) hypervisor.Disk {
	s.Helper()
	k, err := s.Driver.Plug(s.ctx, s.Host, s.lookup(), d)
	if err != nil {
		s.Fatal("Plug:", err)
	}
	return k
}

func (s *suite) mustUnplug(d hypervisor.Disk) {
	s.Helper()
	if err := s.Driver.Unplug(s.ctx, s.Host, s.VM, d, wait); err != nil {
		s.Fatal("Unplug:", err)
	}
	if k, there := s.lookup().Find(d.Serial, d.Source); there {
		s.Fatalf("unplugged disk is still in the domain: %+v", k)
	}
}

// wrong fails the test unless err has the code, names the domain or the host,
// and has a hint where one is asked for.
func (s *suite) wrong(err error, code onevolume.Code) {
	s.Helper()
	switch {
	case err == nil:
		s.Errorf("no error; expected %s", code)
	case onevolume.CodeOf(err) != code:
		s.Errorf("error has the code %s, expected %s: %v", onevolume.CodeOf(err), code, err)
	case code != onevolume.Invalid && !strings.Contains(err.Error(), s.Host.Name()):
		s.Errorf("error does not name the host: %v", err)
	case code != onevolume.Invalid && onevolume.HintOf(err) == "":
		s.Errorf("error has no hint: %v", err)
	}
}

func (s *suite) domain() {
	dom := s.lookup()
	if !dom.Running || dom.Name == "" || dom.State == "" || len(dom.Slots) == 0 {
		s.Errorf("domain is %+v", dom)
	}
	vm := s.VM
	for _, id := range []string{"", dom.UUID, dom.Name, "12345678-0000-4000-8000-123456789abc"} {
		vm.DeployID = id
		if again, err := s.Driver.Domain(s.ctx, s.Host, vm); err != nil || again.UUID != dom.UUID {
			s.Errorf("with deploy id %q: %v, %v", id, again.UUID, err)
		}
	}
	vm.ID, vm.DeployID = 424242, dom.UUID
	if again, err := s.Driver.Domain(s.ctx, s.Host, vm); err != nil || again.UUID != dom.UUID {
		s.Errorf("by deploy id alone: %v, %v", again.UUID, err)
	}
}

func (s *suite) noDomain() {
	// A number is libvirt's id of a running domain, and no name.
	for _, id := range []string{"", "1", "12345678-0000-4000-8000-123456789abc"} {
		_, err := s.Driver.Domain(s.ctx, s.Host, onevolume.VM{ID: 424242, DeployID: id})
		s.wrong(err, onevolume.NotFound)
	}
}

func (s *suite) oddNames() {
	for _, id := range []string{
		"it's; touch " + Injection, "$(touch " + Injection + ")", "`touch " + Injection + "`", "a\ntouch " + Injection + "\n",
		`"; dumpxml one-1; "`, "--all", "-h", "#", " ", `\`, "ünï",
	} {
		_, err := s.Driver.Domain(s.ctx, s.Host, onevolume.VM{ID: 424242, DeployID: id})
		s.wrong(err, onevolume.NotFound)
	}
	if s.Odd != "" {
		d := hypervisor.Disk{Source: s.Odd, Serial: serial}
		if k := s.mustPlug(d); k.Source != s.Odd {
			s.Errorf("plugged %q as %q", s.Odd, k.Source)
		}
		if _, err := s.Driver.Users(s.ctx, s.Host, "", []string{s.Odd}); err != nil {
			s.Error("Users:", err)
		}
		s.mustUnplug(d)
	}
	if r, err := s.Host.Run(s.ctx, command.Cmd{Argv: []string{"test", "-e", Injection}, ReadOnly: true}); err == nil && r.Code == 0 {
		s.Error("a shell has read a name as a command")
	}
}

func (s *suite) plug() {
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	dom := s.lookup()
	k, err := s.Driver.Plug(s.ctx, s.Host, dom, d)
	if err != nil {
		s.Fatal("Plug:", err)
	}
	want := ""
	if s.Driver.Can().Serial {
		want = serial
	}
	if k.Source != d.Source || k.Target != dom.Slots[0].Target || k.ReadOnly || k.Serial != want {
		s.Errorf("plugged disk is %+v, slot was %+v", k, dom.Slots[0])
	}
	if there, ok := s.lookup().Find(serial, d.Source); !ok || there != k {
		s.Errorf("domain has %+v, Plug gave %+v", there, k)
	}
	if p := s.Driver.GuestPath(k); !strings.Contains(p, cmp.Or(want, k.Target)) {
		s.Errorf("in the guest it is %q", p)
	}
}

func (s *suite) plugAgain() {
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	before := s.lookup()
	k := s.mustPlug(d)
	if again := s.mustPlug(d); again != k {
		s.Errorf("plugged again as %+v, was %+v", again, k)
	}
	// A caller that looked before somebody else plugged.
	if again, err := s.Driver.Plug(s.ctx, s.Host, before, d); err != nil || again != k {
		s.Errorf("plugged with an old look at the domain: %+v, %v", again, err)
	}
	if n := len(s.lookup().Disks); n != len(before.Disks)+1 {
		s.Errorf("domain has %d disks, had %d", n, len(before.Disks))
	}
}

func (s *suite) plugReadOnly() {
	if k := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial, ReadOnly: true}); !k.ReadOnly {
		s.Errorf("plugged disk is %+v", k)
	}
}

// limits are in force in the live domain, and plugging again leaves them.
func (s *suite) limits() {
	tune, err := onevolume.ParseIOTune(map[string]string{"total_bytes_sec": "10485760", "read_iops_sec": "100", "write_iops_sec": "200", "write_iops_sec_max": "300"})
	if err != nil {
		s.Fatal(err)
	}
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial, Tune: tune}
	if k := s.mustPlug(d); k.Tune != tune {
		s.Errorf("plugged disk has the limits %q, want %q", k.Tune, tune)
	}
	if k := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial}); k.Tune != tune {
		s.Errorf("plugged again it has the limits %q", k.Tune)
	}
	if k := s.mustPlug(hypervisor.Disk{Source: s.Sources[1], Serial: other}); k.Tune != (onevolume.IOTune{}) {
		s.Errorf("the other disk has the limits %q", k.Tune)
	}
}

func (s *suite) plugTwo() {
	a := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	b := s.mustPlug(hypervisor.Disk{Source: s.Sources[1], Serial: other})
	if a.Target == b.Target || a.Target == "" || b.Target == "" {
		s.Errorf("targets are %q and %q", a.Target, b.Target)
	}
	s.mustUnplug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	if k, ok := s.lookup().Find(other, s.Sources[1]); !ok || k != b {
		s.Errorf("the other disk is now %+v, was %+v", k, b)
	}
}

func (s *suite) targetTaken() {
	s.need(s.TakeTarget != nil, "a target that is taken")
	dom := s.lookup()
	for _, slot := range dom.Slots[:2] {
		s.TakeTarget(s.T, slot.Target)
	}
	k, err := s.Driver.Plug(s.ctx, s.Host, dom, hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	if err != nil {
		s.Fatal("Plug:", err)
	}
	if k.Target == dom.Slots[0].Target || k.Target == dom.Slots[1].Target {
		s.Errorf("plugged as %s, which was taken", k.Target)
	}
}

func (s *suite) serialTaken() {
	d := hypervisor.Disk{Source: s.Sources[1], Serial: serial}
	s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	_, err := s.Driver.Plug(s.ctx, s.Host, s.lookup(), d)
	s.wrong(err, onevolume.Mismatch)
	for _, path := range s.Sources {
		if err != nil && !strings.Contains(err.Error(), path) {
			s.Errorf("error does not show %s: %v", path, err)
		}
	}
}

func (s *suite) sourceTaken() {
	dom := s.lookup()
	s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	d := hypervisor.Disk{Source: s.Sources[0], Serial: other}
	_, err := s.Driver.Plug(s.ctx, s.Host, s.lookup(), d)
	s.wrong(err, onevolume.Held)
	// The hypervisor itself has to say so to whoever looked too early.
	_, err = s.Driver.Plug(s.ctx, s.Host, dom, d)
	s.wrong(err, onevolume.Held)
	if s.Alias != "" {
		_, err = s.Driver.Plug(s.ctx, s.Host, s.lookup(), hypervisor.Disk{Source: s.Alias, Serial: other})
		s.wrong(err, onevolume.Held)
	}
}

// sourceAgain: without serials, whoever asks for the same source asks for the
// same disk.
func (s *suite) sourceAgain() {
	k := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	if again := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: other}); again != k {
		s.Errorf("plugged again as %+v, was %+v", again, k)
	}
	if n := len(s.lookup().Disks); n != 1 {
		s.Errorf("domain has %d disks", n)
	}
}

func (s *suite) sourceMissing() {
	dom := s.lookup()
	_, err := s.Driver.Plug(s.ctx, s.Host, dom, hypervisor.Disk{Source: "/dev/disk/by-path/no-such-device", Serial: serial})
	s.wrong(err, onevolume.Refused)
	if n := len(s.lookup().Disks); n != len(dom.Disks) {
		s.Errorf("domain has %d disks, had %d", n, len(dom.Disks))
	}
}

func (s *suite) badSource() {
	for _, source := range []string{"", "sda", "/dev/a\x00b", "/dev/a\nb", "/dev/\xff", "/dev/../dev/sda"} {
		_, err := s.Driver.Plug(s.ctx, s.Host, s.lookup(), hypervisor.Disk{Source: source, Serial: serial})
		s.wrong(err, onevolume.Invalid)
	}
}

func (s *suite) stopped() {
	s.need(s.Stopped != onevolume.VM{}, "a domain that does not run")
	dom, err := s.Driver.Domain(s.ctx, s.Host, s.Stopped)
	if err != nil || dom.Running {
		s.Fatalf("Domain: %+v, %v", dom, err)
	}
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	_, err = s.Driver.Plug(s.ctx, s.Host, dom, d)
	s.wrong(err, onevolume.Action)
	// It stopped after the caller looked.
	dom.Running, dom.Slots = true, s.lookup().Slots
	_, err = s.Driver.Plug(s.ctx, s.Host, dom, d)
	s.wrong(err, onevolume.Action)
	if err := s.Driver.Unplug(s.ctx, s.Host, s.Stopped, d, 0); err != nil {
		s.Error("Unplug from a domain that does not run:", err)
	}
}
