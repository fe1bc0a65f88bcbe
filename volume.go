package onevolume

import (
	"fmt"
	"time"
)

// VolumeID is a volume's id in the inventory: from 0 up, never used again.
type VolumeID int

// VMID is the id of a virtual machine in OpenNebula.
type VMID int

// NoVM stands where a volume is in no VM.
const NoVM VMID = -1

// Volume is a row of one_volume: an iSCSI logical unit, what proves that a
// device is it, whom it belongs to, and where it is attached.
type Volume struct {
	ID   VolumeID
	Name string

	Target   Target
	Size     Size
	Identity Identity
	Array    string // the storage machine's name in the inventory, or ""
	// ArrayID is our own UUID of a volume that we made on its array; empty
	// for one that was registered.
	ArrayID string

	State  State
	Reason string // why the state is ERROR, or what the last operation failed of

	Owner Owner
	// Home is who the volume goes back to when it is wiped: whoever
	// registered it.
	Home        Owner
	Permissions Permissions

	Lock Lock
	// Disabled keeps a free volume from being picked and attached.
	Disabled bool

	Attachment Attachment

	// Attributes are what users added to the volume's template.
	Attributes map[string]string

	Operation  int // the newest operation, or 0
	Registered time.Time
	Modified   time.Time
	Version    int // counts the writes; each write names the version it read
}

// Target is how an initiator reaches the logical unit.
type Target struct {
	IQN     IQN
	LUN     LUN
	Portals []Portal // tried in this order; never empty
	CHAP    CHAP
}

// CHAP are the credentials of a target (RFC 1994): User and Secret prove the
// initiator to the target, UserIn and SecretIn the target to the initiator
// (mutual CHAP). No User means none are asked for.
type CHAP struct {
	User, UserIn     string
	Secret, SecretIn string
}

// String keeps the secrets out of logs, whoever prints the struct.
func (c CHAP) String() string {
	if c.User == "" {
		return "none"
	}
	return fmt.Sprintf("user %q, secrets hidden", c.User)
}

// GoString keeps %#v from showing the secrets.
func (c CHAP) GoString() string { return c.String() }

// Identity is what a device says of itself (SPC-5 vital product data): the
// unit serial number of page 80h and the identifier of page 83h as Linux
// prints it in /sys/block/X/device/wwid. What is empty is not known yet and
// is recorded at first contact.
type Identity struct {
	Serial string
	WWID   string
}

// Known says whether anything of the identity has been recorded.
func (i Identity) Known() bool { return i.Serial != "" || i.WWID != "" }

// Access is what a host that an array has let in to a volume must know.
type Access struct {
	CHAP CHAP
	// Identity is what the unit will say of itself. What is empty cannot be
	// told beforehand.
	Identity Identity
}

// Owner is a user and a group of OpenNebula, with their names as they were
// when the volume got them.
type Owner struct {
	UID, GID    int
	User, Group string
}

// Lock keeps everybody, administrators included, from what needs a right, or
// a higher one, on a volume.
type Lock struct {
	Level LockLevel
	UID   int // whose it is; they and administrators may take it off
	Time  time.Time
}

// LockLevel is what a lock keeps from.
type LockLevel int

// The levels, as OpenNebula's documents have them. To look at a volume is
// never kept from. Callers may also say 4 (ALL), which is LockUse.
const (
	NoLock     LockLevel = 0
	LockUse    LockLevel = 1 // everything
	LockManage LockLevel = 2 // what needs MANAGE or ADMIN
	LockAdmin  LockLevel = 3 // what needs ADMIN
)

// String is the level as OpenNebula's tools print it.
func (l LockLevel) String() string {
	switch l {
	case NoLock:
		return "None"
	case LockUse:
		return "Use"
	case LockManage:
		return "Manage"
	case LockAdmin:
		return "Admin"
	}
	return fmt.Sprintf("LockLevel(%d)", int(l))
}

// Keeps says whether the lock keeps from what needs the right.
func (l Lock) Keeps(r Right) bool {
	switch r {
	case Use:
		return l.Level == LockUse
	case Manage:
		return l.Level == LockUse || l.Level == LockManage
	}
	return l.Level != NoLock
}

// Attachment is the promise that a volume is in a VM, and where it was
// plugged last.
type Attachment struct {
	VM     VMID   // NoVM when there is none
	Host   string // as OpenNebula names it
	Device string // the target name in the domain, such as sdiv
	Source string // the path of the disk on the host
	Serial string // the serial number the guest sees
}

// UpdateMode is what an update does with the attributes that were there.
type UpdateMode int

// The modes, as oned's update calls have them.
const (
	Replace UpdateMode = 0
	Append  UpdateMode = 1
)

// Serial is the serial number that a volume's disk shows to guests. It is
// made of characters that every hypervisor takes, and is how the disk is
// found again in a domain.
func Serial(id VolumeID) string { return fmt.Sprintf("onevolume-%d", id) }
