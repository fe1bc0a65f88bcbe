package onevolume

import "time"

// Trouble is a kind of difference between the inventory and what is true on
// hosts.
type Trouble string

// The kinds of differences.
const (
	IdleSession     Trouble = "idle session"           // a session of ours for which there is no attachment
	NoSession       Trouble = "attachment unconnected" // an attachment whose host has no working session or device
	NoDisk          Trouble = "attachment unplugged"   // an attachment whose domain has no such disk
	StrayDisk       Trouble = "disk without attachment"
	TwoDomains      Trouble = "disk in two domains"
	AutomaticRecord Trouble = "automatic node record" // the host would log in by itself when it boots
	OrphanRecord    Trouble = "idle node record"
	OrphanDevice    Trouble = "orphaned device"
	StaleLink       Trouble = "stale link"
	SameInitiator   Trouble = "duplicate initiator name"
	OtherIdentity   Trouble = "identity changed"
	NoOwner         Trouble = "operation without owner"
	HostFenced      Trouble = "host fenced"       // nothing is plugged there until it is clean
	HostSilent      Trouble = "host not examined" // what is there is not known
)

// Troubles lists every kind, what endangers data first and what only tidies
// up last: the order in which they are told and repaired.
func Troubles() []Trouble {
	return []Trouble{HostSilent, TwoDomains, OtherIdentity, StrayDisk, NoOwner, HostFenced, NoSession, NoDisk, SameInitiator,
		AutomaticRecord, IdleSession, OrphanDevice, OrphanRecord, StaleLink}
}

// Finding is one difference, and what would put it right.
type Finding struct {
	Trouble   Trouble
	Host      string   // "" when it is about none
	Volume    VolumeID // NoVolume when it is about none
	VM        VMID     // NoVM when it is about none
	Operation int      // 0 when it is about none
	Cause     string   // what was found, in a sentence
	Risk      string   // what may come of it
	// Repair are the commands that would put it right, as a person would
	// type them, each on the host it names or here.
	Repair []string
	// Fixable says that onevolume can do it; Harmless that this can lose no
	// data, so that the daemon does it by itself.
	Fixable, Harmless bool
}

// Checkup is what one comparison of the inventory with its hosts found.
type Checkup struct {
	Time     time.Time // its end; zero when there was none yet
	Hosts    int       // that were examined
	Volumes  int
	Findings []Finding
}

// Health is what the daemon says of how well the inventory fits what is true
// on hosts.
type Health struct {
	// Checkup is the last comparison. Its findings are for administrators;
	// others get none.
	Checkup Checkup
	// Differences is how many findings it had.
	Differences int
	// Hold is why no volume may be attached now; empty when they may.
	Hold string
}
