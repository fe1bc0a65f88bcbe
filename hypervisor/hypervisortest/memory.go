// Package hypervisortest holds the tests that every hypervisor driver passes,
// and a host made of memory to run them on: it keeps domains, their disks and
// how their guests behave, and answers the commands of a driver with the
// texts that were recorded from real hosts.
package hypervisortest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// Guest is how a guest behaves when it is asked to let go of a disk.
type Guest int

// The behaviours.
const (
	LetsGo  Guest = iota // at once
	Slow                 // after the host has looked three times
	Refuses              // not at all, and if it is made to let go later, then at once
)

// slowLooks is how often the host sees a disk that a Slow guest was asked for.
const slowLooks = 3

// Domain is a virtual machine of a Memory.
type Domain struct {
	Name, UUID string
	State      string // running, paused (user), shut off …; empty means running (booted)
	Guest      Guest
	// Control is what libvirt says of its own work on the domain; empty
	// means ok.
	Control string
	// Controllers are the numbers of the virtio-scsi controllers; nil means
	// one, number 0.
	Controllers []int
	Disks       []Disk
	// Failing are the disks, by target, whose errors paused it, with libvirt's
	// words: the state is "paused (I/O error)" then. When it is resumed it
	// stops again, unless it Recovers.
	Failing  map[string]string
	Recovers bool

	xen bool
}

// Disk is a disk of a Domain.
type Disk struct {
	hypervisor.Disk
	Address string // controller:bus:target:unit; empty on other buses
	// Capacity is its size as the guest has it: the device's when it was
	// plugged, until somebody says that it has grown.
	Capacity onevolume.Size
	asked    int  // how often the host may still see it; 0: not asked for
	closed   bool // with Xen: the guest has let go, and the host has not noticed
}

// running says whether the domain has a process.
func (d *Domain) running() bool { return d.State != "shut off" }

// Memory is a host with a hypervisor, made of memory. All methods may be
// called at any time.
type Memory struct {
	t testing.TB

	mu      sync.Mutex
	domains []*Domain
	devices map[string]string
	lookup  func(path string) (device string, ok bool)
	size    func(path string) onevolume.Size
	sizes   map[string]onevolume.Size
	down    string
	tool    string // xl or xm; empty with libvirt
	qemu    string // its version; empty for 7.2.22
}

// NewMemory gives a host without domains and devices.
func NewMemory(t testing.TB) *Memory {
	m := &Memory{t: t, devices: map[string]string{}, sizes: map[string]onevolume.Size{}}
	m.lookup = func(path string) (string, bool) { d, ok := m.devices[path]; return d, ok }
	m.size = func(path string) onevolume.Size { return m.sizes[m.devices[path]] }
	return m
}

// AddDomain puts a domain on the host.
func (m *Memory) AddDomain(d Domain) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d.State == "" {
		d.State = "running (booted)"
	}
	if d.Controllers == nil {
		d.Controllers = []int{0}
	}
	if d.UUID == "" {
		d.UUID = fmt.Sprintf("00000000-0000-4000-8000-%012d", len(m.domains)+1)
	}
	d.xen = m.tool != ""
	m.domains = append(m.domains, &d)
}

// Edit changes a domain, known by name or UUID. It fails the test when there
// is none.
func (m *Memory) Edit(name string, change func(*Domain)) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.domain(name)
	if d == nil {
		m.t.Fatalf("the host has no domain %q", name)
	}
	change(d)
	d.settle()
}

// Domain gives a copy of a domain; false when the host has none of the name
// or UUID.
func (m *Memory) Domain(name string) (Domain, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.domain(name)
	if d == nil {
		return Domain{}, false
	}
	c := *d
	c.Disks = slices.Clone(d.Disks)
	return c, true
}

// RemoveDomain takes a domain off the host, as a shutdown or a migration
// does.
func (m *Memory) RemoveDomain(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.domains = slices.DeleteFunc(m.domains, func(d *Domain) bool { return d.Name == name || d.UUID == name })
}

// AddDevice puts a device on the host under a path; several paths may lead to
// one device.
func (m *Memory) AddDevice(path, device string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.devices[path] = device
}

// UseDevices has another part of the test say which device a path leads to,
// in place of AddDevice. It is called while the Memory is at work, and must
// not call it.
func (m *Memory) UseDevices(lookup func(path string) (device string, ok bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookup = lookup
}

// SetSize says how large a device is now, as the host's kernel has it.
func (m *Memory) SetSize(device string, size onevolume.Size) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sizes[device] = size
}

// UseSizes has another part of the test say how large the device behind a path
// is, in place of SetSize, as UseDevices does for its name.
func (m *Memory) UseSizes(size func(path string) onevolume.Size) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size = size
}

// Down makes the hypervisor's daemon answer with the error text alone; an
// empty text brings it back.
func (m *Memory) Down(stderr string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = stderr
}

// Version makes the host run that version of QEMU.
func (m *Memory) Version(qemu string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.qemu = qemu
}

// domain finds a domain by UUID or name. The mutex is the caller's.
func (m *Memory) domain(name string) *Domain {
	for _, d := range m.domains {
		if d.UUID == name || d.Name == name {
			return d
		}
	}
	return nil
}

// user is the running domain that has the device behind a path. The mutex is
// the caller's.
func (m *Memory) user(path string) *Domain {
	device, _ := m.lookup(path)
	for _, d := range m.domains {
		for _, k := range d.Disks {
			other, ok := m.lookup(k.Source)
			if d.running() && (k.Source == path || ok && other == device) {
				return d
			}
		}
	}
	return nil
}

// settle lets go of the disks that were asked for when the guest does so now.
func (d *Domain) settle() {
	if d.xen && d.Guest != Refuses {
		for i := range d.Disks {
			d.Disks[i].closed = d.Disks[i].closed || d.Disks[i].asked == 1
		}
		return
	}
	if d.Guest != Refuses {
		d.Disks = slices.DeleteFunc(d.Disks, func(k Disk) bool { return k.asked == 1 })
	}
}

// seen counts a look at the domain.
func (d *Domain) seen() {
	if d.Guest == Refuses {
		return
	}
	for i := range d.Disks {
		if d.Disks[i].asked > 1 {
			d.Disks[i].asked--
		}
	}
	d.settle()
}

// ask asks the guest for a disk.
func (d *Domain) ask(i int) {
	d.Disks[i].asked = 1
	if d.Guest == Slow {
		d.Disks[i].asked += slowLooks
	}
	d.settle()
}

// Handle answers a command of the driver's; false for commands that are no
// business of a hypervisor's. A hypervisor's command that it does not know
// fails the test.
func (m *Memory) Handle(c command.Cmd) (command.Result, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tool != "" {
		return m.xen(c)
	}
	return m.virsh(c)
}
