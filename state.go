package onevolume

import "slices"

// State is the word in a volume's status column.
type State string

// The states of a volume. Those that end in -ing have an operation that owns
// them; none lasts without one.
const (
	Available State = "AVAILABLE" // unallocated and blank: may be picked by size
	Retained  State = "RETAINED"  // in no VM, with its owner's data: picked by id or name only
	Attaching State = "ATTACHING" // an operation puts it into a VM
	Attached  State = "ATTACHED"  // in a VM
	Detaching State = "DETACHING" // an operation takes it out of a VM
	Wiping    State = "WIPING"    // out of the VM; being overwritten
	Failed    State = "ERROR"     // neither done nor undone: the reason says what to do
	Changing  State = "CHANGING"  // in no VM; its array makes, changes or deletes it
)

// transitions lists, for each state, the states that may follow. What is not
// listed is refused wherever a volume's state is written, but by a Recovery,
// which is an administrator's word.
var transitions = map[State][]State{
	Available: {Attaching, Changing, Failed},
	Retained:  {Attaching, Changing, Failed},
	Attaching: {Attached, Available, Retained, Failed},
	Attached:  {Detaching, Attaching, Failed},
	Detaching: {Attached, Wiping, Retained, Failed},
	Wiping:    {Available, Failed},
	Failed:    {Detaching, Attaching, Wiping, Changing},
	Changing:  {Available, Retained, Failed},
}

// States lists every state in the order of a volume's life.
func States() []State {
	return []State{Available, Retained, Attaching, Attached, Detaching, Wiping, Failed, Changing}
}

// Number is the state's place in States, as STATE of a volume's document and
// the state of a pool call have it.
func (s State) Number() int { return slices.Index(States(), s) }

// ParseState reads a state's word; its error has the code Invalid.
func ParseState(s string) (State, error) {
	if _, ok := transitions[State(s)]; ok {
		return State(s), nil
	}
	return "", Errorf(Invalid, "no such volume state: %q", s)
}

// CanBecome says whether next may follow s. A state may always be written
// over itself.
func (s State) CanBecome(next State) bool {
	return s == next || slices.Contains(transitions[s], next)
}

// Free says whether a volume in this state is in no VM and in no operation.
func (s State) Free() bool { return s == Available || s == Retained }

// Moving says whether an operation owns a volume in this state.
func (s State) Moving() bool {
	return s == Attaching || s == Detaching || s == Wiping || s == Changing
}

// Short is the state in at most four letters, for tables, in the words that
// OpenNebula's tools colour.
func (s State) Short() string {
	switch s {
	case Available:
		return "rdy"
	case Retained:
		return "kept"
	case Attaching:
		return "atta"
	case Attached:
		return "used"
	case Detaching:
		return "deta"
	case Wiping:
		return "wipe"
	case Failed:
		return "err"
	case Changing:
		return "chng"
	}
	return "?"
}
