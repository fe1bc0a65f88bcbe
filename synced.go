package onevolume

// Synced is what came of bringing the inventory to what an array says: what
// was changed, and what is for people to look at.
type Synced struct {
	Array   string
	Units   int // logical units that the array has
	Volumes int // volumes of the array that the inventory had before
	Changes []SyncChange
}

// SyncChange is one line of it.
type SyncChange struct {
	What   SyncVerb
	Volume VolumeID // NoVolume when there is none
	Name   string   // the volume's, or ""
	Target string   // the IQN as the array has it
	LUN    int
	Text   string // what exactly, or why not; holds no secret
}

// SyncVerb says what was done about a logical unit.
type SyncVerb string

// The verbs.
const (
	SyncRegistered SyncVerb = "registered" // a new volume stands in the inventory
	SyncUpdated    SyncVerb = "updated"    // size, portals, serial number or CHAP are the array's again
	SyncFailed     SyncVerb = "failed"     // the volume was set to ERROR
	SyncReported   SyncVerb = "reported"   // nothing was done: somebody must look
)

// Reported counts what is for people to look at.
func (s Synced) Reported() int {
	n := 0
	for _, c := range s.Changes {
		if c.What == SyncReported || c.What == SyncFailed {
			n++
		}
	}
	return n
}
