package onevolume

// Policy is what becomes of a volume when its VM is terminated.
type Policy string

// The policies.
const (
	PolicyKeep    Policy = "keep"    // it becomes RETAINED, with its owner's data
	PolicyRelease Policy = "release" // it is wiped and becomes AVAILABLE
	PolicyDelete  Policy = "delete"  // it is wiped and deleted, on its array too where it was made there
)

// PolicyKey is the attribute of a volume that holds its policy. It goes when
// the volume goes home: whoever gets it next has said nothing yet.
const PolicyKey = "ON_TERMINATE"

// Policy is the volume's. What is no policy counts as keep, and so does that
// of a volume which is locked against being wiped.
func (v *Volume) Policy() Policy {
	switch p := Policy(v.Attributes[PolicyKey]); {
	case v.Lock.Keeps(Manage):
	case p == PolicyRelease, p == PolicyDelete:
		return p
	}
	return PolicyKeep
}
