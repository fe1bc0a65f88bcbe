package hypervisortest

import (
	"time"

	"onevolume"
	"onevolume/hypervisor"
)

func (s *suite) grow(d hypervisor.Disk, size onevolume.Size) error {
	return s.Driver.(hypervisor.Resizer).Resize(s.ctx, s.Host, s.VM, d, size)
}

// resize: the guest sees the new size, to the byte, when it is told and not
// before. Telling it again changes nothing.
func (s *suite) resize() {
	s.need(s.Grow != nil, "a device that grows")
	d := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	before := s.Sees(s.T, serial)
	size := s.Grow(s.T)
	if size <= before {
		s.Fatalf("the device has %d bytes, and had %d", size, before)
	}
	if is := s.Sees(s.T, serial); is != before {
		s.Errorf("the guest was told nothing and sees %d bytes, not %d", is, before)
	}
	for range 2 {
		if err := s.grow(d, size); err != nil {
			s.Fatal("Resize:", err)
		}
		is := s.Sees(s.T, serial)
		for end := time.Now().Add(wait); is != size && time.Now().Before(end); is = s.Sees(s.T, serial) {
			time.Sleep(100 * time.Millisecond) // its kernel takes a moment to ask
		}
		if is != size {
			s.Errorf("the guest sees %d bytes, want %d", is, size)
		}
	}
	s.fails(s.grow(d, before), onevolume.Mismatch)
	if dom := s.lookup(); len(dom.Disks) == 0 || !dom.Running {
		s.Errorf("the domain is %+v", dom)
	}
}

// resizeTooFar: a size that the device does not have is refused, with the
// hypervisor's words, and the guest goes on with what it had.
func (s *suite) resizeTooFar() {
	s.need(s.Grow != nil, "a device that grows")
	d := s.mustPlug(hypervisor.Disk{Source: s.Sources[0], Serial: serial})
	before := s.Sees(s.T, serial)
	s.fails(s.grow(d, before+onevolume.GiB), onevolume.Refused)
	if is := s.Sees(s.T, serial); is != before {
		s.Errorf("the guest sees %d bytes, not %d", is, before)
	}
}

func (s *suite) resizeNothing() {
	s.fails(s.grow(hypervisor.Disk{Source: s.Sources[0], Serial: serial}, onevolume.GiB), onevolume.NotFound)
	none := s.VM
	none.ID, none.DeployID = 4711, ""
	err := s.Driver.(hypervisor.Resizer).Resize(s.ctx, s.Host, none, hypervisor.Disk{Serial: serial}, onevolume.GiB)
	s.fails(err, onevolume.NotFound)
}

func (s *suite) fails(err error, code onevolume.Code) {
	s.Helper()
	if onevolume.CodeOf(err) != code {
		s.Errorf("the error is %v (%s), want the code %s", err, onevolume.CodeOf(err), code)
	}
}
