package hypervisortest

import (
	"context"
	"slices"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

func (s *suite) unplug() {
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	s.mustPlug(d)
	s.mustUnplug(d)
	s.mustUnplug(d)
	k := s.mustPlug(d)
	k.Target = "sdzz" // a name remembered wrongly must not matter
	s.mustUnplug(k)
}

func (s *suite) unplugBySerial() {
	s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	s.mustUnplug(hypervisor.Disk{Serial: serial})
}

// unplugUnknown: what cannot be known must not pass for gone.
func (s *suite) unplugUnknown() {
	before := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	s.wrong(s.Driver.Unplug(s.ctx, s.Host, s.VM, hypervisor.Disk{Serial: serial}, 0), onevolume.Invalid)
	if k, ok := s.lookup().Find("", before.Source); !ok || k != before {
		s.Errorf("the disk is now %+v, was %+v", k, before)
	}
}

func (s *suite) force() {
	s.need(s.Stuck != nil, "a guest that refuses")
	d, release := s.Stuck(s.T)
	if err := s.Driver.(hypervisor.Forcer).ForceUnplug(s.ctx, s.Host, s.VM, d, wait); err != nil {
		s.Fatal("ForceUnplug:", err)
	}
	if k, there := s.lookup().Find(d.Serial, d.Source); there {
		s.Errorf("the domain still has %+v", k)
	}
	if users, err := s.Driver.Users(s.ctx, s.Host, "", []string{d.Source}); err != nil || len(users) > 0 {
		s.Errorf("Users: %v, %v", users, err)
	}
	release()
	s.mustPlug(hypervisor.Disk{Source: d.Source, Serial: serial})
	s.mustUnplug(hypervisor.Disk{Source: d.Source, Serial: serial})
}

func (s *suite) forceNothing() {
	d := hypervisor.Disk{Source: s.Sources[1], Serial: other}
	if err := s.Driver.(hypervisor.Forcer).ForceUnplug(s.ctx, s.Host, s.VM, d, wait); err != nil {
		s.Error("ForceUnplug:", err)
	}
}

func (s *suite) unplugNothing() {
	before := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	s.mustUnplug(hypervisor.Disk{Source: s.Sources[1], Serial: other})
	if k, ok := s.lookup().Find(serial, before.Source); !ok || k != before {
		s.Errorf("a disk nobody spoke of is now %+v, was %+v", k, before)
	}
}

func (s *suite) unplugMismatch() {
	before := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	err := s.Driver.Unplug(s.ctx, s.Host, s.VM, hypervisor.Disk{Source: s.Sources[1], Serial: serial}, wait)
	s.wrong(err, onevolume.Mismatch)
	if k, ok := s.lookup().Find(serial, ""); !ok || k != before {
		s.Errorf("the disk is now %+v, was %+v", k, before)
	}
}

func (s *suite) refuses() {
	s.need(s.Stuck != nil, "a guest that refuses")
	d, release := s.Stuck(s.T)
	err := s.Driver.Unplug(s.ctx, s.Host, s.VM, d, time.Second)
	s.wrong(err, onevolume.Held)
	if _, there := s.lookup().Find(d.Serial, d.Source); !there {
		s.Error("the guest holds a disk that the domain does not show")
	}
	release()
	s.mustUnplug(d)
}

func (s *suite) letsGo() {
	s.need(s.Stuck != nil, "a guest that refuses")
	d, release := s.Stuck(s.T)
	// The fourth command is the second look after the request.
	s.Host = &countdown{Host: s.Host, left: 4, do: release}
	s.mustUnplug(d)
}

// countdown is a Host that does something before it runs the last of a number
// of commands.
type countdown struct {
	command.Host
	left int
	do   func()
}

func (c *countdown) Run(ctx context.Context, cmd command.Cmd) (command.Result, error) {
	if c.left--; c.left == 0 {
		c.do()
	}
	return c.Host.Run(ctx, cmd)
}

func (s *suite) gone() {
	s.need(s.Remove != nil, "a domain that leaves")
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	dom := s.lookup()
	s.mustPlug(d)
	before, _ := s.all(dom.UUID)
	s.Remove(s.T)
	if list, found := s.all(dom.UUID); len(found) > 0 || len(list) != len(before)-1 {
		s.Errorf("a domain that left is still among %+v", list)
	}
	s.wrong(s.Driver.Unplug(s.ctx, s.Host, s.VM, d, wait), onevolume.NotFound)
	_, err := s.Driver.Domain(s.ctx, s.Host, s.VM)
	s.wrong(err, onevolume.NotFound)
	_, err = s.Driver.Plug(s.ctx, s.Host, dom, d)
	s.wrong(err, onevolume.NotFound)
	if users, err := s.Driver.Users(s.ctx, s.Host, "", []string{d.Source}); err != nil || len(users) > 0 {
		s.Errorf("Users: %v, %v", users, err)
	}
}

func (s *suite) users() {
	dom := s.lookup()
	ask := func(except string, paths ...string) string {
		users, err := s.Driver.Users(s.ctx, s.Host, except, paths)
		if err != nil {
			s.Error("Users:", err)
		}
		return strings.Join(users, " ")
	}
	if got := ask("", s.Sources[:]...); got != "" {
		s.Errorf("before plugging, the devices are used by %q", got)
	}
	s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	for _, c := range []struct {
		except, path, want string
	}{
		{"", s.Sources[0], dom.Name},
		{"", s.Alias, dom.Name},
		{"", s.Sources[1], ""},
		{"", "/dev/no-such-device", ""},
		{dom.Name, s.Sources[0], ""},
	} {
		if c.path == "" {
			continue
		}
		if got := ask(c.except, c.path); got != c.want {
			s.Errorf("apart from %q, %s is used by %q, expected %q", c.except, c.path, got, c.want)
		}
	}
	if got := ask("", s.Sources[1], s.Sources[0]); got != dom.Name {
		s.Errorf("either device is used by %q", got)
	}
}

// all are the host's domains, and those of them with the UUID.
func (s *suite) all(uuid string) (all, found []hypervisor.Domain) {
	s.Helper()
	all, err := s.Driver.Domains(s.ctx, s.Host)
	if err != nil {
		s.Fatal("Domains:", err)
	}
	for _, d := range all {
		if d.UUID == uuid {
			found = append(found, d)
		}
	}
	return all, found
}

// domains are what Domain tells of each, without free places.
func (s *suite) domains() {
	same := func(vm onevolume.VM) {
		dom, err := s.Driver.Domain(s.ctx, s.Host, vm)
		if err != nil {
			s.Fatal("Domain:", err)
		}
		_, got := s.all(dom.UUID)
		if len(got) != 1 || got[0].Name != dom.Name || got[0].Running != dom.Running || got[0].State != dom.State ||
			!slices.Equal(got[0].Disks, dom.Disks) || len(got[0].Slots) > 0 {
			s.Errorf("Domains tells %+v, Domain %+v", got, dom)
		}
	}
	same(s.VM)
	s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	s.mustPlug(hypervisor.Disk{Source: s.Sources[1], Serial: other})
	same(s.VM)
	if s.Stopped != (onevolume.VM{}) {
		same(s.Stopped)
	}
}

func (s *suite) dryRun() {
	d := hypervisor.Disk{Source: s.Sources[0], Serial: serial}
	dom := s.lookup()
	for _, c := range s.Driver.PlugCommands(dom, d) {
		if r, err := s.Host.Run(s.ctx, c); command.Check(s.Host.Name(), c, r, err) != nil {
			s.Error(command.Check(s.Host.Name(), c, r, err))
		}
	}
	dom = s.lookup()
	k, there := dom.Find(serial, d.Source)
	if !there {
		s.Fatal("the commands of the dry run did not plug the disk")
	}
	for _, c := range s.Driver.UnplugCommands(dom, k) {
		if r, err := s.Host.Run(s.ctx, c); command.Check(s.Host.Name(), c, r, err) != nil {
			s.Error(command.Check(s.Host.Name(), c, r, err))
		}
	}
	s.mustUnplug(d)
}
