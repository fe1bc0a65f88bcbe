package cli

import (
	"context"
	"fmt"
	"strings"

	"onevolume"
)

// How operations and volumes are spoken of in sentences.

// named is a volume by id, name and size; known is nil when it cannot be
// read, as one that was deleted since.
func named(id onevolume.VolumeID, known *onevolume.Volume) string {
	if known == nil {
		return fmt.Sprintf("volume %d", id)
	}
	return fmt.Sprintf("volume %d (%s, %s)", id, known.Name, known.Size)
}

// guest is a VM by id and name.
func guest(vm onevolume.VM) string {
	if vm.Name == "" {
		return fmt.Sprintf("VM %d", vm.ID)
	}
	return fmt.Sprintf("VM %d (%s)", vm.ID, oneLine(vm.Name))
}

// task says what an operation was to do.
func task(op onevolume.Operation, v *onevolume.Volume) string {
	what := named(op.Volume, v)
	switch op.Kind {
	case onevolume.Attach:
		return fmt.Sprintf("attach %s to %s on host %s", what, guest(op.VM), op.VM.Host)
	case onevolume.Detach:
		return fmt.Sprintf("detach %s from %s on host %s, and %s", what, guest(op.VM), op.VM.Host, leaving(op.Leave))
	case onevolume.Release:
		return fmt.Sprintf("log host %s out of %s, while %s is off or elsewhere", op.VM.Host, what, guest(op.VM))
	case onevolume.Fence:
		return fmt.Sprintf("cut host %s, which is dead, off from %s of %s", op.VM.Host, what, guest(op.VM))
	case onevolume.Migrate:
		return fmt.Sprintf("have %s on host %s when %s comes there from host %s", what, op.Destination, guest(op.VM), op.VM.Host)
	case onevolume.Grow:
		if op.Task != nil {
			return fmt.Sprintf("let %s grow to %s in %s on host %s", what, op.Task.Size, guest(op.VM), op.VM.Host)
		}
		return fmt.Sprintf("let %s grow in %s on host %s", what, guest(op.VM), op.VM.Host)
	case onevolume.Replug:
		return fmt.Sprintf("put %s into %s on host %s again", what, guest(op.VM), op.VM.Host)
	}
	return fmt.Sprintf("%s %s, %s on host %s", op.Kind, what, guest(op.VM), op.VM.Host)
}

func leaving(l onevolume.Leave) string {
	switch l {
	case onevolume.LeaveData:
		return "leave its data on it"
	case onevolume.LeaveZeroes:
		return "overwrite it with zeroes"
	}
	return fmt.Sprintf("overwrite it and make an empty %s", l)
}

// owner is the process that runs an operation, without what only tells two
// processes of the same number apart.
func owner(s string) string {
	before, after, found := strings.Cut(oneLine(s), " since ")
	if !found {
		return before
	}
	if _, request, ok := strings.Cut(after, " "); ok {
		return before + " " + request
	}
	return before
}

// wipes says whether carrying an operation on destroys data.
func wipes(op onevolume.Operation) bool {
	return op.Kind == onevolume.Detach && op.Leave != onevolume.LeaveData
}

// glance reads a volume for a sentence; nil when it cannot be read.
func (s *Session) glance(ctx context.Context, id onevolume.VolumeID) *onevolume.Volume {
	v, err := s.Daemon.Info(ctx, id)
	if err != nil {
		return nil
	}
	return &v
}

// waysOut says what to do about a parked operation.
func waysOut(op onevolume.Operation) [][2]string {
	id, ways := fmt.Sprint(op.ID), [][2]string(nil)
	add := func(command, does string) { ways = append(ways, [2]string{command, does}) }
	switch op.Kind {
	case onevolume.Detach:
		add("onevolume resume "+id, "carries the detach on: "+leaving(op.Leave))
		add("onevolume abort "+id, "takes it back: the volume stays in "+guest(op.VM)+", unless the guest has let go")
	case onevolume.Release:
		add("onevolume resume "+id, "goes on logging host "+op.VM.Host+" out")
		add("onevolume abort "+id, "gives that up: the host may stay logged in")
	case onevolume.Fence:
		add("onevolume resume "+id, "goes on cutting host "+op.VM.Host+" off")
		add("onevolume abort "+id, "gives that up: the volume stays on record there, and the host may be cut off")
	case onevolume.Migrate:
		add("onevolume resume "+id, "looks where "+guest(op.VM)+" is, and leaves the other host")
		add("onevolume abort "+id, "the same, without waiting for "+guest(op.VM)+" to move")
	case onevolume.Grow:
		add("onevolume resume "+id, "goes on: the host and "+guest(op.VM)+" see its new size")
		add("onevolume abort "+id, "gives that up, unless it has grown")
	case onevolume.Replug:
		add("onevolume resume "+id, "goes on putting the disk into "+guest(op.VM))
		add("onevolume abort "+id, "gives that up: the volume stays on record as in "+guest(op.VM))
	default:
		add("onevolume resume "+id, "carries the attach on")
		add("onevolume abort "+id, "takes it back: the disk leaves "+guest(op.VM)+", and the volume is "+string(op.Prior)+" again")
		add(fmt.Sprintf("onevolume detach %d %d", op.VM.ID, op.Volume), "detaches it as any other, and wipes it unless told otherwise")
	}
	return ways
}
