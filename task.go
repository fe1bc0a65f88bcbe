package onevolume

import "time"

// Task is what an operation has an array do. It is kept with the operation
// before the array is asked for anything, so that whoever takes the operation
// over knows what to look for: every object on an array goes by a UUID of
// ours, which is chosen here and never used again.
type Task struct {
	Array   string `json:"array"` // its name in the inventory
	ArrayID string `json:"id"`    // the volume's UUID
	Size    Size   `json:"size"`  // of Create, Resize and Grow; the array may round it up
	Label   string `json:"label"` // what the array shows people, on Create
	// Snapshot is the snapshot that is made, deleted or gone back to.
	Snapshot     SnapshotID `json:"snapshot,omitempty"`
	SnapshotUUID string     `json:"snapshot_id,omitempty"`
	SnapshotName string     `json:"snapshot_name,omitempty"`
	// Of Create: the UUID of the snapshot or of the volume whose content the
	// volume begins with. At most one is set.
	FromSnapshot string `json:"from_snapshot,omitempty"`
	FromVolume   string `json:"from_volume,omitempty"`
}

// TaskRequest asks for an operation that is an array's work.
type TaskRequest struct {
	Kind Kind
	// Volume is the one it is done to, and New the one to be made by Create.
	Volume VolumeID
	New    *Volume
	// Task says what. Array, ArrayID and what belongs to a snapshot that is
	// there are taken from the inventory, but for Create.
	Task Task
	// From is the snapshot that Create begins with, or -1; whoever asks must
	// be its data's owner.
	From  SnapshotID
	Owner string        // as Operation.Owner; unique to this request
	Lease time.Duration // as Request.Lease
}

// Copies says whether the task makes a volume with somebody's data on it.
func (t Task) Copies() bool { return t.FromSnapshot != "" || t.FromVolume != "" }

// SnapshotID is a snapshot's id in the inventory: from 0 up, never used
// again, of whatever volume it is.
type SnapshotID int

// Snapshot is a volume as it was at a moment, kept by its array.
type Snapshot struct {
	ID     SnapshotID
	Volume VolumeID
	Name   string
	UUID   string // our name of it on the array
	Size   Size   // of the volume then
	By     Owner  // who made it
	Time   time.Time
}

// Made is what came of a task that was done.
type Made struct {
	Size     Size // the volume's, to the byte; of a snapshot, the volume's then
	Target   Target
	Identity Identity
}

// Space is what an array says of its space, and when. What it did not tell is
// -1: unknown, never zero.
type Space struct {
	Array, Kind            string
	Vendor, Model, Version string
	Total, Free, Used      Size
	// Provisioned is what all volumes and snapshots may come to take up, and
	// Limit how much of that is allowed.
	Provisioned, Limit Size
	// Volumes is how many the inventory has there.
	Volumes int
	// AutoCreate says that it makes volumes for those who attach by size and
	// find none, and Users that it makes them for everybody.
	AutoCreate, Users bool
	// Has is what it can do, by ArrayAbilities.
	Has []string

	Trouble string // what an administrator has to look at
	Error   string // why the newest look failed
	// Findings are in what it differs from the inventory, when that was
	// looked for.
	Findings []string
	Time     time.Time // of the newest look that did not; zero for none
}

// UnknownSize stands in a Space where the array did not tell.
const UnknownSize Size = -1

// Room is how much more may be provisioned; false when that is not known.
func (s Space) Room() (Size, bool) {
	if s.Provisioned < 0 || s.Limit < 0 || s.Time.IsZero() {
		return 0, false
	}
	return max(0, s.Limit-s.Provisioned), true
}
