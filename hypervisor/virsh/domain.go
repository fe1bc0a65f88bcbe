package virsh

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/hypervisor"
)

// ownName is the name of the domain that OpenNebula makes for a VM.
func ownName(id onevolume.VMID) string { return fmt.Sprintf("one-%d", id) }

// live is a domain as its live XML shows it.
type live struct {
	hypervisor.Domain
	control string // what domcontrol said; empty when it could not say
}

// busy says whether libvirt is at work on the domain, so that its XML may
// change in a moment: "occupied (1.203s)" or "background job (1.203s)". A
// virsh that was given up leaves libvirt attaching.
func (l live) busy() bool {
	return strings.HasPrefix(l.control, "occupied") || strings.HasPrefix(l.control, "background job")
}

// domainXML is the part of libvirt's domain XML that is of use here
// (https://libvirt.org/formatdomain.html).
type domainXML struct {
	XMLName xml.Name `xml:"domain"`
	ID      *string  `xml:"id,attr"` // only a running domain has one
	Name    string   `xml:"name"`
	UUID    string   `xml:"uuid"`
	Devices struct {
		Disks       []diskXML       `xml:"disk"`
		HostDevices []addressed     `xml:"hostdev"`
		Controllers []controllerXML `xml:"controller"`
	} `xml:"devices"`
}

type controllerXML struct {
	Type  string `xml:"type,attr"`
	Index int    `xml:"index,attr"`
	Model string `xml:"model,attr"`
}

type addressed struct {
	Address *addressXML `xml:"address"`
}

// uuidForm is the one form in which libvirt prints UUIDs.
var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// errNoXML says that an output holds no domain.
var errNoXML = errors.New("no domain XML in virsh's output")

// parseLook reads what a chain that ends with look printed: lines of other
// commands, the state, the XML.
func parseLook(out []byte) (live, error) {
	start := bytes.Index(out, []byte("<domain"))
	if start < 0 {
		return live{}, errNoXML
	}
	l, err := parseDomain(out[start:])
	if err != nil {
		return live{}, err
	}
	words := strings.FieldsFunc(string(out[:start]), func(r rune) bool { return r == '\n' })
	if n := len(words); n > 0 {
		l.State = words[n-1]
		l.Stopped = strings.TrimSpace(l.State) == stopped
		if n > 1 {
			l.control = words[n-2]
		}
	}
	return l, nil
}

// parseDomain reads libvirt's domain XML.
func parseDomain(text []byte) (live, error) {
	var x domainXML
	if err := xml.Unmarshal(text, &x); err != nil {
		return live{}, fmt.Errorf("domain XML: %w", err)
	}
	if !uuidForm.MatchString(x.UUID) || x.Name == "" {
		return live{}, fmt.Errorf("domain XML: name %q, UUID %q", x.Name, x.UUID)
	}
	l := live{Domain: hypervisor.Domain{Name: x.Name, UUID: x.UUID, Running: x.ID != nil, State: "shut off"}}
	if l.Running {
		l.State = "running"
	}
	for _, d := range x.Devices.Disks {
		l.Disks = append(l.Disks, d.disk())
	}
	l.Slots = x.slots()
	return l, nil
}

// Of the names of SCSI disks, OpenNebula gives out sda to sdiv (256 of them),
// and one controller has as many SCSI targets (QEMU's virtio-scsi).
const (
	lastTarget = 255
	maxSlots   = 8 // as many tries as there may be others who plug at once
)

// slots lists free places on the virtio-scsi controllers. The SCSI target is
// the index of the name, as in OpenNebula's own attach script: libvirt would
// otherwise derive a controller's number from the name and add controllers
// up to it.
func (x *domainXML) slots() []hypervisor.Slot {
	names, addresses := map[string]bool{}, map[addressXML]bool{}
	take := func(a *addressXML) {
		if a != nil && a.Type == "drive" {
			addresses[*a] = true
		}
	}
	for _, d := range x.Devices.Disks {
		names[d.Target.Dev] = true
		take(d.Address)
	}
	for _, d := range x.Devices.HostDevices {
		take(d.Address)
	}
	var free []hypervisor.Slot
	for _, controller := range x.virtioSCSI() {
		for i := lastTarget; i >= 0; i-- {
			a := driveAddress(controller, i)
			if names[scsiName(i)] || addresses[a] {
				continue
			}
			if free = append(free, hypervisor.Slot{Target: scsiName(i), Address: a.slot()}); len(free) == maxSlots {
				return free
			}
		}
	}
	return free
}

// virtioSCSI lists the numbers of the domain's virtio-scsi controllers, the
// lowest first.
func (x *domainXML) virtioSCSI() []int {
	var list []int
	for _, c := range x.Devices.Controllers {
		// The models of libvirt 9.0; the last two are virtio-scsi with
		// fixed ideas of old guests.
		if c.Type == "scsi" && slices.Contains([]string{"virtio-scsi", "virtio-transitional", "virtio-non-transitional"}, c.Model) {
			list = append(list, c.Index)
		}
	}
	slices.Sort(list)
	return list
}

// scsiName is the i-th name of SCSI disks: sda, sdb, … sdz, sdaa, … sdiv.
func scsiName(i int) string {
	letters := ""
	for i++; i > 0; i = (i - 1) / 26 {
		letters = string(rune('a'+(i-1)%26)) + letters
	}
	return "sd" + letters
}

// addressXML is a disk's place on a controller.
type addressXML struct {
	Type       string `xml:"type,attr"`
	Controller string `xml:"controller,attr"`
	Bus        string `xml:"bus,attr"`
	Target     string `xml:"target,attr"`
	Unit       string `xml:"unit,attr"`
}

func driveAddress(controller, target int) addressXML {
	return addressXML{"drive", strconv.Itoa(controller), "0", strconv.Itoa(target), "0"}
}

// slot is the address as a hypervisor.Slot has it.
func (a addressXML) slot() string {
	return strings.Join([]string{a.Controller, a.Bus, a.Target, a.Unit}, ":")
}

// slotAddress reads what slot printed; nil for anything else.
func slotAddress(s string) *addressXML {
	f := strings.Split(s, ":")
	if len(f) != 4 {
		return nil
	}
	return &addressXML{"drive", f[0], f[1], f[2], f[3]}
}
