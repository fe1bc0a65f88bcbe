package onevolume

import "time"

// Change is an event of ours: a volume or its newest operation has changed.
// It is written down in the transaction that makes the change, so that there
// is none about what did not happen, and none that another process made is
// missed.
type Change struct {
	// ID counts from 1, in the order in which changes were committed, without
	// a gap.
	ID   int       `json:"id"`
	Time time.Time `json:"time"`
	// What the volume was after it.
	Volume  VolumeID `json:"volume"`
	Name    string   `json:"name"`
	Deleted bool     `json:"deleted,omitempty"` // it is no more; the rest is what it was last
	State   State    `json:"state"`
	Reason  string   `json:"reason,omitempty"`
	VM      VMID     `json:"vm"` // NoVM for none
	Host    string   `json:"host,omitempty"`
	UID     int      `json:"uid"`
	GID     int      `json:"gid"`
	// Operation is the volume's newest, 0 for none, with what it does and how
	// far it is.
	Operation int    `json:"operation,omitempty"`
	Kind      Kind   `json:"kind,omitempty"`
	Status    Status `json:"status,omitempty"`

	Permissions Permissions `json:"-"`
	By          int         `json:"-"` // who asked for the operation; -1 for nobody
}

// Gone is the state's word in an event of a volume that was deleted. No
// volume is in it.
const Gone = "DELETED"

// Word is the state that the event tells of: that of the volume, or Gone.
func (c *Change) Word() string {
	if c.Deleted {
		return Gone
	}
	return string(c.State)
}

// SeenBy says whether the caller may know of it: those who may USE the volume
// as it was then, whoever asked for the operation, and administrators.
func (c *Change) SeenBy(who Caller) bool {
	v := Volume{Owner: Owner{UID: c.UID, GID: c.GID}, Permissions: c.Permissions}
	return c.By >= 0 && c.By == who.UID || who.May(Use, &v)
}

// Watch says which changes somebody wants to hear of.
type Watch struct {
	Last   int      // so many of the past first
	Follow bool     // go on with those to come
	Volume VolumeID // of this one alone; NoVolume for all
}
