// Package array is the contract between onevolume and a storage machine on
// which volumes can be made: create, delete and list them, and let the
// initiator of one host in to one of them. Each kind of array is a folder
// below; arraytest holds the tests that every one of them passes.
//
// Three rules stand above the others. Our ID is the key: the same call with
// the same ID has the effect of one, whatever became of the first, so that a
// call whose answer was lost is simply made again. A driver looks before it
// acts, and what it finds under one of its names but without our ID is
// somebody else's: it is reported as Exists, never taken over. And a figure
// that the array does not tell is unknown, never zero.
package array

import (
	"context"

	"onevolume"
)

// Array makes volumes on a storage machine and lets hosts in to them. It may
// be used from several goroutines and by several processes: what must not
// happen side by side, the driver keeps apart on the array.
//
// Every method may be repeated. Errors are of type *Error; each method names
// the kinds it may give besides Auth (the array does not let us in, and is
// not asked again in the same call), Transient (nothing was changed, the same
// call may do better later), Unknown (sent, and the answer was lost: repeat
// the call to find out) and Refused (with the array's words).
type Array interface {
	// Capabilities says what this array can do, as it is set up now.
	Capabilities(ctx context.Context) (Capabilities, error)

	// Create makes a volume of at least the size: the array's granule rounds
	// it up, and the answer has the exact size. A volume that is there with
	// the ID and that size is given as it is. Kinds: Exists (the ID has
	// another size, or the volume's name on the array is somebody else's),
	// NoSpace, Invalid (a size or a label that cannot be).
	Create(ctx context.Context, r Request) (Volume, error)

	// Delete removes a volume. One that is not there is success. Kind: Busy,
	// by exports, sessions, its snapshots, or what depends on it; nothing is
	// removed then.
	Delete(ctx context.Context, id ID) error

	// Lookup gives the volume with the ID. Kind: NotFound.
	Lookup(ctx context.Context, id ID) (Volume, error)

	// List gives our volumes a page at a time, in an order of the array's.
	// after is empty, or the Next of the page before; the last page has no
	// Next. What is made or deleted meanwhile may or may not be listed; what
	// is there all the time is listed once.
	List(ctx context.Context, after string) (Page, error)

	// Stats says what space there is.
	Stats(ctx context.Context) (Stats, error)

	Exporter
}

// Exporter lets hosts in to volumes. Each volume has a target of its own,
// with the volume's ID in its IQN, so that no name is ever used again.
type Exporter interface {
	// Target is how the volume will be reached by whoever is let in, without
	// credentials. It asks nobody, and does not say that there is such a
	// volume: a target's name follows from the ID.
	Target(id ID) onevolume.Target

	// Export lets the initiator in to the volume, besides those that are let
	// in already, and says how it gets there. When it returns, the export
	// survives a restart of the array. The same initiator again replaces its
	// credentials; sessions that are open go on. Kinds: NotFound (there is
	// no such volume), Exists (the target's name or the CHAP user is somebody
	// else's), Busy (something else on the array uses the volume's device),
	// Unsupported (mutual CHAP), Invalid.
	Export(ctx context.Context, id ID, r Grant) (Export, error)

	// Unexport takes the initiator's right away. One that has none, and a
	// volume that is not there, are success. Kind: Busy, by sessions, when
	// the initiator is logged in: nothing is changed then. With force its
	// sessions are cut instead; that is for hosts that are known to be dead.
	Unexport(ctx context.Context, id ID, initiator onevolume.IQN, force bool) error

	// Exports lists whom the volume is exported to, without secrets, in the
	// order of the initiators' names. Kind: NotFound.
	Exports(ctx context.Context, id ID) ([]Export, error)

	// Sessions lists who is logged in to the volume's target. It may show a
	// session for a while after its host died. Kind: NotFound.
	Sessions(ctx context.Context, id ID) ([]Session, error)
}

// Extender is an Array on which volumes can grow.
type Extender interface {
	// Extend makes the volume at least as large as the size and gives it as
	// it is then. It never makes one smaller. Capabilities.Extend says what
	// must be so while the volume is exported. Kinds: NotFound, NoSpace,
	// Invalid (smaller than the volume is), Busy.
	Extend(ctx context.Context, id ID, size onevolume.Size) (Volume, error)
}

// Snapshotter is an Array that keeps volumes as they were at a moment. Its
// methods give Unsupported where Capabilities.Snapshots is false.
type Snapshotter interface {
	// Snapshot keeps what is on the volume now under an ID of its own. It is
	// as after a power cut: what hosts had not written is not in it. A
	// snapshot that is there with the ID and of the same volume is given as
	// it is. Kinds: NotFound (no such volume), Exists, NoSpace.
	Snapshot(ctx context.Context, id, volume ID) (Snapshot, error)

	// DeleteSnapshot removes a snapshot. One that is not there is success.
	// Kind: Busy, by what was made from it and depends on it.
	DeleteSnapshot(ctx context.Context, id ID) error

	// LookupSnapshot gives the snapshot with the ID. Kind: NotFound.
	LookupSnapshot(ctx context.Context, id ID) (Snapshot, error)

	// ListSnapshots gives our snapshots as List gives volumes.
	ListSnapshots(ctx context.Context, after string) (SnapshotPage, error)

	// FromSnapshot makes a volume with what is in the snapshot; a larger one
	// reads as zeroes behind it. Kinds: NotFound (no such snapshot), Invalid
	// (smaller than the snapshot), and as for Create.
	FromSnapshot(ctx context.Context, r Request, snapshot ID) (Volume, error)
}

// Reverter is a Snapshotter that brings a volume back to a snapshot.
type Reverter interface {
	// Revert makes what is on the volume what was on it at the snapshot, which
	// stays, as do all others; the volume's size becomes what it was then. It
	// may be repeated. Nobody may be logged in. Kinds: NotFound (no such
	// volume, or no such snapshot of it), Busy, NoSpace.
	Revert(ctx context.Context, volume, snapshot ID) (Volume, error)
}

// Cloner is an Array that copies a volume at once. Clone gives Unsupported
// where Capabilities.Clones is false.
type Cloner interface {
	// Clone makes a volume with what is on another now, as FromSnapshot does.
	// Kinds: NotFound (no such volume), and as for FromSnapshot.
	Clone(ctx context.Context, r Request, volume ID) (Volume, error)
}

// Request is what a new volume shall be.
type Request struct {
	ID   ID
	Size onevolume.Size // at least this many bytes
	// Label is for people who look at the array itself: the volume's name
	// in the inventory, say. At most Capabilities.MaxLabel bytes; see
	// CutLabel.
	Label string
}

// Volume is one of our volumes, as the array shows it.
type Volume struct {
	ID    ID
	Name  string         // what the array calls it
	Size  onevolume.Size // exact
	Used  Figure         // what it takes up
	Label string         // empty where the array keeps none
	// From is the snapshot or volume it was made from, or empty.
	From ID
}

// Snapshot is one of our snapshots.
type Snapshot struct {
	ID     ID
	Name   string
	Volume ID             // of which it is; that may be gone
	Size   onevolume.Size // of the volume at that time
}

// Page is a part of a list. Next asks for the part behind it, and is empty in
// the last one.
type Page struct {
	Volumes []Volume
	Next    string
}

// SnapshotPage is a part of a list of snapshots.
type SnapshotPage struct {
	Snapshots []Snapshot
	Next      string
}

// Grant says whom a volume shall be exported to.
type Grant struct {
	Initiator onevolume.IQN
	// CHAP are the credentials that this initiator must show, and with UserIn
	// those that the target shows in return; see NewCHAP. An export without
	// credentials is Invalid: the name of an initiator proves nothing.
	CHAP onevolume.CHAP
}

// Export is a volume that an initiator may use.
type Export struct {
	Initiator onevolume.IQN
	// Target is how the initiator gets there. Its CHAP is that of the Grant;
	// in lists the secrets are left out.
	Target onevolume.Target
	// Identity is what the unit will say of itself. What is empty cannot be
	// told beforehand.
	Identity onevolume.Identity
}

// Session is an initiator that is logged in.
type Session struct {
	Initiator onevolume.IQN
	Address   string // where it comes from; empty when the array does not tell
}

// Stats is what the array says of itself and of its space.
type Stats struct {
	Vendor, Model, Version string

	Total Figure // bytes there are
	Free  Figure // bytes that nothing is written to
	Used  Figure
	// Provisioned is what all volumes and snapshots may come to take up, also
	// those that are not ours, and Limit how much of that is allowed.
	Provisioned, Limit Figure
	// Trouble is what an administrator has to look at, such as a pool that
	// is full; empty when nothing is known of any.
	Trouble string
}
