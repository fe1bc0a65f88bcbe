// Package openfiler reads what an Openfiler exports over iSCSI (its own XML
// files and the state of its target, IET) over SSH, and brings the inventory
// of volumes to it. It changes nothing on the array.
//
// Volumes that onevolume has made there (package array/openfiler) are none of
// its business: who made them looks after them.
package openfiler

import (
	"path"
	"regexp"
	"strings"

	"onevolume"
)

// Array is one Openfiler, as configured.
type Array struct {
	Name string // as volumes name it
	Host string // as command.Dialer knows it

	// Portals are where its targets are reached; IET does not tell.
	Portals []onevolume.Portal

	// Targets is a pattern of path.Match over the IQNs of targets that may
	// become volumes; empty for all. What is registered is looked after all
	// the same.
	Targets string

	// Root stands before every path that is read. It is for a copy of an
	// array's files; empty on an array.
	Root string
}

// Unit is a logical unit of an Openfiler.
type Unit struct {
	Target string // the IQN in lower case, as it is written there
	LUN    int

	Path string // of the block device
	Name string // the description in the web pages, or ""
	Mode string // wt, wb or ro (ietd.conf(5), IOMode)

	// Serial is ScsiSN, which IET shows as the unit serial number. It has at
	// most 16 characters there (SCSI_SN_LEN of IET 1.4).
	Serial string
	CHAP   onevolume.CHAP
	Size   onevolume.Size // 0 when it could not be told, and Trouble says why

	// Configured says that iscsi_settings.xml has it, Exported that IET does
	// at this moment.
	Configured, Exported bool

	Trouble string
}

// place names a logical unit in the inventory and on arrays alike. Names are
// compared whole: ...:disk1 is not ...:disk10.
type place struct {
	target string
	lun    int
}

func (u Unit) place() place { return place{u.Target, u.LUN} }

// snapshot says whether the unit is a snapshot of Openfiler's: its logical
// volume's name begins with of.snapshot., which the web pages keep for them.
func (u Unit) snapshot() bool {
	return strings.HasPrefix(path.Base(u.Path), "of.snapshot.")
}

// madeName is what onevolume calls what it makes: array.ID.Name.
var madeName = regexp.MustCompile(`^ov-[0-9a-f]{32}$`)

// made says whether the unit is a volume that onevolume made: the target ends
// in the volume's name, and the device is called so too. It may have no row in
// the inventory any more, when that was read after the array.
func (u Unit) made() bool {
	name := u.Target[strings.LastIndexByte(u.Target, ':')+1:]
	return madeName.MatchString(name) && path.Base(u.Path) == name
}

// State is what an Openfiler exports, at one moment.
type State struct {
	Units []Unit // in the order of the configuration, then of IET
	// Sessions are the initiators that are logged in, by the target's IQN in
	// lower case.
	Sessions map[string][]string
}
