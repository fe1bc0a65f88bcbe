// Package follow decides what becomes of an attached volume when something
// happens to its VM: one table, and one function without a side effect. It is
// given what is on record and what oned says, and knows neither of them
// otherwise. docs/events.md is written from it.
package follow

import (
	"fmt"

	"onevolume"
)

// Stage is what a VM's state means to its disks.
type Stage string

// The stages.
const (
	Runs     Stage = "runs"      // it has a domain, on the host that oned names
	Off      Stage = "off"       // it has no domain; the next one is made anew, without our disks
	Saved    Stage = "saved"     // it has no domain; the next one is restored, with our disks
	UnderWay Stage = "under way" // it is between two of the others, or waits for an administrator
	Silent   Stage = "silent"    // oned does not know whether it runs
	Ended    Stage = "ended"     // it will never run again
	Gone     Stage = "gone"      // oned has no such VM
)

// Of is the stage of a VM by oned's words for its STATE and LCM_STATE. Those
// of a later version are UnderWay: nothing is done about them.
func Of(state, lcm string) Stage {
	switch state {
	case "POWEROFF", "UNDEPLOYED":
		return Off
	case "SUSPENDED", "STOPPED":
		return Saved
	case "DONE":
		return Ended
	case "ACTIVE":
		switch lcm {
		case "RUNNING":
			return Runs
		case "UNKNOWN":
			return Silent
		}
	}
	return UnderWay
}

// Record is what the inventory says of an attached volume.
type Record struct {
	// Host is where it was plugged last and may be still; empty when that
	// host was logged out, so that no domain can have it.
	Host string
	// Lost says that oned has lost sight of that host: it is in ERROR or
	// OFFLINE, or was deleted. Its domains may go on writing.
	Lost bool
	// Cuts says that the volume was made on an array, which can cut that host
	// off and prove it.
	Cuts bool
}

// VM is what oned says.
type VM struct {
	Stage Stage
	Host  string // of its newest history record
}

// Action is what to do about a volume.
type Action string

// The actions.
const (
	Nothing Action = "nothing" // it is as it should be
	LogOut  Action = "log out" // the host on record; the promise is kept
	Plug    Action = "plug"    // where the VM runs: log in, prove, plug, unless it is plugged
	End     Action = "end"     // by the volume's policy: keep, release or delete
	Keep    Action = "keep"    // end as by the policy keep, whatever the policy is
	Fence   Action = "fence"   // have the array cut off the host on record; the promise is kept
	Refuse  Action = "refuse"  // nothing, until the host on record is back or fenced
)

// Decide is the table: what to do about a volume.
func Decide(r Record, vm VM) Action {
	elsewhere := r.Host != "" && r.Host != vm.Host
	switch vm.Stage {
	case Runs:
		switch {
		case !elsewhere:
			return Plug
		case r.Lost && r.Cuts:
			return Fence // and plug it when that is done
		case r.Lost:
			return Refuse
		}
		return LogOut // and plug it when that is done
	case Off:
		switch {
		case r.Host == "":
			return Nothing
		case r.Lost:
			return Refuse
		}
		return LogOut
	case Ended, Gone:
		switch {
		case r.Lost:
			return Refuse
		case r.Host != "":
			return LogOut // which a domain that is left behind prevents
		case vm.Stage == Gone:
			return Keep
		}
		return End
	}
	return Nothing
}

// Why says why an action is refused, and what to do.
func Why(r Record) *onevolume.Error {
	return onevolume.Errorf(onevolume.Held, "it was last in the VM on host %s, which oned has lost sight of: a domain there may still write to it", r.Host).
		WithHint("when host %s is MONITORED again, it goes on by itself; if it is off for certain, say so: onevolume fence --off %s", r.Host, r.Host)
}

func (vm VM) String() string { return fmt.Sprintf("%s on %q", vm.Stage, vm.Host) }
