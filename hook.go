package onevolume

// Hook is a program that OpenNebula runs when a VM or a host comes into a
// state.
type Hook struct {
	ID   int    // oned's
	Name string // of one hook only
	// Resource is VM or HOST, State oned's word for its state, and LCMState
	// that of a VM: ACTIVE and RUNNING, POWEROFF and LCM_INIT; of a host ERROR
	// and nothing.
	Resource, State, LCMState string
	// Command is what a shell on the front-end is given.
	Command string
	// Piped says that the command reads the document of the VM or the host
	// from standard input, in base64.
	Piped bool
}
