package virsh

import (
	"cmp"
	"encoding/xml"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"onevolume"
	"onevolume/hypervisor"
)

// diskXML is a <disk> of libvirt's, read and written.
type diskXML struct {
	XMLName  xml.Name    `xml:"disk"`
	Type     string      `xml:"type,attr"`
	Device   string      `xml:"device,attr"`
	Snapshot string      `xml:"snapshot,attr,omitempty"`
	Driver   *driverXML  `xml:"driver"`
	Source   sourceXML   `xml:"source"`
	Target   targetXML   `xml:"target"`
	ReadOnly *struct{}   `xml:"readonly"`
	Serial   string      `xml:"serial,omitempty"`
	Tune     *tuneXML    `xml:"iotune"`
	Address  *addressXML `xml:"address"`
}

// tuneXML is an <iotune>: elements with a number each.
type tuneXML struct {
	Limits []limitXML `xml:",any"`
}

type limitXML struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

// tune reads the limits that we know of; others may have set more.
func (x *tuneXML) tune() (t onevolume.IOTune) {
	if x == nil {
		return t
	}
	for i, name := range onevolume.IOTuneNames() {
		for _, l := range x.Limits {
			if l.XMLName.Local == name {
				t[i], _ = strconv.ParseInt(strings.TrimSpace(l.Value), 10, 64) // libvirt writes numbers
			}
		}
	}
	return t
}

func tuneOf(t onevolume.IOTune) *tuneXML {
	if t == (onevolume.IOTune{}) {
		return nil
	}
	x := &tuneXML{}
	for i, name := range onevolume.IOTuneNames() {
		if t[i] > 0 {
			x.Limits = append(x.Limits, limitXML{XMLName: xml.Name{Local: name}, Value: strconv.FormatInt(t[i], 10)})
		}
	}
	return x
}

type driverXML struct {
	Name        string `xml:"name,attr"`
	Type        string `xml:"type,attr"`
	Cache       string `xml:"cache,attr,omitempty"`
	ErrorPolicy string `xml:"error_policy,attr,omitempty"`
	IO          string `xml:"io,attr,omitempty"`
	Discard     string `xml:"discard,attr,omitempty"`
}

type sourceXML struct {
	Dev  string `xml:"dev,attr,omitempty"`
	File string `xml:"file,attr,omitempty"`
	Name string `xml:"name,attr,omitempty"`
}

type targetXML struct {
	Dev string `xml:"dev,attr"`
	Bus string `xml:"bus,attr"`
}

// disk is the disk in the contract's words.
func (x diskXML) disk() hypervisor.Disk {
	return hypervisor.Disk{
		Source: cmp.Or(x.Source.Dev, x.Source.File, x.Source.Name),
		Target: x.Target.Dev, Bus: x.Target.Bus, Serial: x.Serial, ReadOnly: x.ReadOnly != nil,
		Tune: x.Tune.tune(),
	}
}

// render is the XML for virsh attach-device.
//
// cache and io: libvirt migrates a block device only without host cache, and
// a guest's flush must reach the array. snapshot: OpenNebula snapshots name
// its own disks alone, and libvirt refuses to snapshot block devices that
// are not named. error_policy: an array that is away for a minute pauses the
// guest rather than giving it I/O errors.
func render(d hypervisor.Disk, s hypervisor.Slot) []byte {
	x := diskXML{
		Type: "block", Device: "disk", Snapshot: "no",
		Driver:  &driverXML{Name: "qemu", Type: "raw", Cache: "none", ErrorPolicy: "stop", IO: "native", Discard: "unmap"},
		Source:  sourceXML{Dev: d.Source},
		Target:  targetXML{Dev: s.Target, Bus: "scsi"},
		Serial:  d.Serial,
		Tune:    tuneOf(d.Tune),
		Address: slotAddress(s.Address),
	}
	if d.ReadOnly {
		x.ReadOnly = &struct{}{}
	}
	text, err := xml.MarshalIndent(x, "", "  ")
	if err != nil {
		panic(err) // strings alone: cannot fail
	}
	return append(text, '\n')
}

// serialForm is what OpenNebula lets pass as a disk's serial, as long as the
// SCSI page that carries it may be (QEMU cuts it at 36).
var serialForm = regexp.MustCompile(`^[0-9A-Za-z._-]{1,36}$`)

// checkDisk refuses what could not reach libvirt as it is: XML has no place
// for most control characters, and would replace them.
func checkDisk(d hypervisor.Disk) error {
	if !utf8.ValidString(d.Source) || !path.IsAbs(d.Source) || path.Clean(d.Source) != d.Source || !printable(d.Source) {
		return onevolume.Errorf(onevolume.Invalid, "disk source %q: not the path of a device", d.Source)
	}
	if !serialForm.MatchString(d.Serial) {
		return onevolume.Errorf(onevolume.Invalid, "disk serial %q: must be 1 to 36 letters, digits, dots, dashes or underscores", d.Serial)
	}
	return nil
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// GuestPath is the link of udev's 60-persistent-storage rules. For SCSI, its
// name is what scsi_id makes of vital product data page 83h: libvirt gives
// QEMU the serial as device id, which the guest reads as a designator of
// type 0 (vendor specific; seen with QEMU 7.2), and scsi_id puts "0", vendor
// and model before such a one. For virtio, QEMU keeps 20 characters
// (VIRTIO_BLK_ID_BYTES).
func (v *Driver) GuestPath(d hypervisor.Disk) string {
	const byID = "/dev/disk/by-id/"
	switch {
	case d.Serial == "":
		return ""
	case d.Bus == "scsi" || d.Bus == "":
		return byID + "scsi-0QEMU_QEMU_HARDDISK_" + d.Serial
	case d.Bus == "virtio":
		return byID + "virtio-" + d.Serial[:min(len(d.Serial), 20)]
	case d.Bus == "sata" || d.Bus == "ide":
		return byID + "ata-QEMU_HARDDISK_" + d.Serial[:min(len(d.Serial), 20)]
	}
	return ""
}
