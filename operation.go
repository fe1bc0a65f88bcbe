package onevolume

import (
	"context"
	"slices"
	"time"
)

// Kind is what an operation does.
type Kind string

// The kinds of operations.
const (
	Attach Kind = "attach"
	Detach Kind = "detach"
	// Replug puts an attached volume's disk into its VM again, where the
	// host or the domain has lost it. Its steps are Attach's.
	Replug Kind = "replug"
	// Release logs the host on record out while the VM has no domain there.
	// The volume stays ATTACHED, with no host.
	Release Kind = "release"
	// Fence has the array cut off the host on record, which cannot be asked. The
	// volume stays ATTACHED, with no host, and the host is on record as fenced.
	Fence Kind = "fence"
	// Migrate gets an attached volume ready on the host that its VM goes to,
	// waits for the VM, and leaves the host that it came from. The volume
	// stays ATTACHED all the time.
	Migrate Kind = "migrate"
	// Grow makes an attached volume larger, which stays ATTACHED all the time:
	// on its array where it was made on one, on the host, and in the guest.
	Grow Kind = "grow"
	// What an array does to a volume of its own; see Task.
	Create         Kind = "create"
	Delete         Kind = "delete"
	Resize         Kind = "resize"
	SnapshotCreate Kind = "snapshot-create"
	SnapshotDelete Kind = "snapshot-delete"
	SnapshotRevert Kind = "snapshot-revert"
)

// OnArray says whether an operation of this kind is an array's work, which is
// done on no host and has a Task.
func (k Kind) OnArray() bool {
	switch k {
	case Create, Delete, Resize, SnapshotCreate, SnapshotDelete, SnapshotRevert:
		return true
	}
	return false
}

// ParkedState is the state of a volume whose operation of this kind is parked.
// One that has grown, but not for its guest, is as usable as before.
func (k Kind) ParkedState() State {
	if k == Grow {
		return Attached
	}
	return Failed
}

// Way is which way an operation is carried on by whoever takes it over.
type Way string

// The ways. An administrator chooses one for a parked operation; it is kept
// with the operation, for whoever has to take it over once more.
const (
	Decide  Way = ""        // as it was found on the host
	Forward Way = "forward" // all that was asked is done
	Back    Way = "back"    // all that was done is taken back
)

// Status is how far an operation is.
type Status string

// The statuses. Only RUNNING has an owner and a lease.
const (
	Running Status = "RUNNING"
	Done    Status = "DONE"   // what was asked is so
	Undone  Status = "UNDONE" // everything is as it was before
	Parked  Status = "PARKED" // neither: the volume is in the kind's ParkedState and waits for an administrator
)

// Operation is one run of a workflow on one volume. Whoever owns it holds a
// lease; when that ends, another may take the operation over, which raises
// its generation and makes every later write of the old owner fail as Stale.
type Operation struct {
	ID         int
	Kind       Kind
	Volume     VolumeID
	VM         VM
	Leave      Leave
	Status     Status
	Prior      State  // the volume's state before
	By         Owner  // who asked
	Owner      string // the process that runs it: program, user, host and pid
	Generation int
	Way        Way       // set by an administrator who resumed or aborted it
	Lease      time.Time // when the owner is taken for dead
	// Term is how long the lease is from each word of the owner, who gives
	// three in that time.
	Term    time.Duration
	Started time.Time
	Ended   time.Time // zero while RUNNING
	Error   string
	Task    *Task // of a kind that is OnArray, and of Grow, else nil
	// Destination is the host that the VM goes to, of Migrate; VM.Host is
	// the one that it comes from. They are the same for a VM that is restored
	// where it was saved, or whose volume is on no host.
	Destination string
}

// Ref names one owner's hold on an operation.
func (o Operation) Ref() OperationRef { return OperationRef{o.ID, o.Generation} }

// OperationRef is an operation and the generation its owner holds.
type OperationRef struct{ ID, Generation int }

// VM is what an operation needs to know of a virtual machine, from oned.
type VM struct {
	ID         VMID
	Name       string
	Host       string // the host it runs on
	Hypervisor string // VM_MAD of its newest history record: kvm, xen …
	DeployID   string // what the hypervisor calls it: libvirt's UUID or name
	Owner      Owner
	// Running is oned's word that it runs, so that its domain must be on
	// Host: one that is not there is somewhere else.
	Running bool
}

// Leave is what becomes of a volume's data on detach.
type Leave string

// What detach leaves on the volume.
const (
	LeaveZeroes Leave = ""     // overwritten with zeroes and read back
	LeaveExt4   Leave = "ext4" // the same, then an empty ext4
	LeaveXFS    Leave = "xfs"  // the same, then an empty XFS
	LeaveData   Leave = "data" // nothing is written: the volume becomes RETAINED
)

// Pick says which volume to attach: the one named, or the smallest available
// one that is large enough.
type Pick struct {
	Volume string // id or name; when set, the rest only checks it
	Size   Size   // at least this; zero only with Volume
	Exact  bool   // exactly Size
	Array  string // only from this array
}

// Request asks for an operation.
type Request struct {
	Kind  Kind
	VM    VM
	Pick  Pick
	Leave Leave
	// Force takes the disk from a guest that does not let go, on detach. It
	// is kept in the operation's journal.
	Force  bool
	Owner  string        // as Operation.Owner
	Lease  time.Duration // how long without a word before another may take over
	DryRun bool          // choose and check, but reserve nothing
	Task   *Task         // of a kind that is OnArray, and of Grow

	Destination string // as Operation.Destination
}

// Event is what a journal entry says of a step.
type Event string

// The events of a step's life.
const (
	StepStarted   Event = "STARTED"
	StepSucceeded Event = "SUCCEEDED"
	StepFailed    Event = "FAILED"
	UndoStarted   Event = "UNDO_STARTED"
	UndoFinished  Event = "UNDO_FINISHED"
	UndoFailed    Event = "UNDO_FAILED"
)

// mayFollow lists, for each event of a step, those that may come next ("" for
// none yet). Whoever takes an operation over begins a step, or its undoing,
// again; what could not be taken back may be carried on instead.
var mayFollow = map[Event][]Event{
	"":            {StepStarted, UndoStarted},
	StepStarted:   {StepSucceeded, StepFailed, StepStarted, UndoStarted},
	StepSucceeded: {StepStarted, UndoStarted},
	StepFailed:    {StepStarted, UndoStarted},
	UndoStarted:   {UndoFinished, UndoFailed, UndoStarted, StepStarted},
	UndoFailed:    {UndoStarted, StepStarted},
	UndoFinished:  {UndoStarted, StepStarted},
}

// MayFollow says whether the event may come after another one of the same
// step, "" for none. What may not is refused wherever a journal is written,
// and makes one that is read unreadable.
func (e Event) MayFollow(before Event) bool { return slices.Contains(mayFollow[before], e) }

// Entry is one line of an operation's journal.
type Entry struct {
	Seq    int // counts from 1 within the operation; set by the inventory
	Step   string
	Event  Event
	Time   time.Time
	Detail string // the workflow's state as JSON, or the error's text
	// Who wrote it, set by the inventory.
	Generation int
	Owner      string
	// Commands are what was run on hosts since the entry before, in order.
	Commands []Command
}

// Command is one command on a host as a journal keeps it, secrets masked.
type Command struct {
	Host    string
	Text    string // as a person would type it; "dial", "lock NAME", "close"
	Started time.Time
	Took    time.Duration
	Code    int    // exit status; -1 when none is known
	Stderr  string // its end
	Error   string // why its end is not known; empty when it is
}

// Note is what a step learned about the volume; empty fields change nothing.
// An identity that is already recorded is never overwritten by a note.
type Note struct {
	State    State
	Host     string
	Device   string
	Source   string
	Serial   string
	Identity Identity
	Size     Size // what it has become, of Grow
}

// Ending closes an operation. The volume goes to State; what no longer holds
// (VM, host, owner of a blank volume) is taken off it by the inventory.
type Ending struct {
	Status Status
	State  State
	Note   Note
	Error  string
}

// Ledger is the inventory as a workflow needs it, wherever that runs: in the
// daemon it is the database, in a client the daemon's XML-RPC methods. Each
// write but the first names the operation's generation and fails with the
// code Stale when another owner has taken over; each may be repeated when
// its answer was lost.
type Ledger interface {
	// Reserve chooses the volume, moves it to ATTACHING or DETACHING and
	// opens an operation, all or nothing. Codes: NotFound, Forbidden,
	// Action (wrong state or VM), NoneFits, Busy.
	Reserve(ctx context.Context, r Request) (Operation, Volume, error)

	// Record appends to the journal, applies the note and renews the lease.
	// Without entries and with an empty note it only renews.
	Record(ctx context.Context, op OperationRef, entries []Entry, note Note) error

	// Finish ends the operation and frees the volume from it.
	Finish(ctx context.Context, op OperationRef, e Ending) error
}

// Filter says which volumes to list, newest first.
type Filter struct {
	// Viewer sees what is theirs and what they may USE; administrators see all.
	Viewer Caller
	// Flag is oned's: -4 of the viewer's primary group, -3 the viewer's own,
	// -2 all that can be seen, -1 the viewer's and their groups', from 0 up
	// those of the user with that id.
	Flag int
	// FirstID and LastID bound the ids; -1 is no bound.
	FirstID, LastID int
	// Offset and Limit cut a page out of the list; a Limit of 0 is none.
	Offset, Limit int
	// States, when not empty, are the only ones listed.
	States []State
	// Name, when not empty, is that of all that are listed.
	Name string
	// VMs, when not empty, are those that all that are listed are in.
	VMs []VMID
}

// PoolFilter is a Filter by the three numbers of oned's pool calls: a flag,
// and ids from first to last (all when first is -1, no upper bound when last
// is), or with last below -1 the page of -last volumes after the first first
// ones. Code: Invalid.
func PoolFilter(flag, first, last int) (Filter, error) {
	f := Filter{Flag: flag, FirstID: -1, LastID: -1}
	if flag < -4 {
		return f, Errorf(Invalid, "Incorrect filter_flag")
	}
	switch {
	case last < -1:
		f.Offset, f.Limit = max(first, 0), -last
	case first != -1:
		f.FirstID, f.LastID = first, last
	}
	return f, nil
}

// ParseLeave reads what people write for it: zero (or nothing), ext4, xfs,
// none. Its error has the code Invalid.
func ParseLeave(s string) (Leave, error) {
	switch s {
	case "", "zero":
		return LeaveZeroes, nil
	case "ext4", "xfs":
		return Leave(s), nil
	case "none":
		return LeaveData, nil
	}
	return "", Errorf(Invalid, "no such format: %q", s).WithHint("formats are zero, ext4, xfs and none")
}

// Word is what ParseLeave reads as l.
func (l Leave) Word() string {
	switch l {
	case LeaveZeroes:
		return "zero"
	case LeaveData:
		return "none"
	}
	return string(l)
}
