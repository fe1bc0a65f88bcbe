package workflow

import (
	"context"
	"errors"

	"onevolume"
	"onevolume/command"
)

// hostError gives an error of connecting to a host, locking or running there
// a code and a hint, unless it has them already.
func hostError(err error) error {
	if err == nil || coded(err) {
		return err
	}
	if dial, ok := errors.AsType[*command.DialError](err); ok {
		if dial.Kind == command.KindBusy {
			return onevolume.Errorf(onevolume.Busy, "%w", err).WithHint("%s", dial.Hint)
		}
		return onevolume.Errorf(onevolume.Unreachable, "%w", err).WithHint("%s", dial.Hint)
	}
	if _, ok := errors.AsType[*command.LockedError](err); ok {
		return onevolume.Errorf(onevolume.Busy, "%w", err).WithHint("wait for the other operation, see onevolume list")
	}
	if errors.Is(err, command.ErrNotRun) {
		return onevolume.Errorf(onevolume.Unreachable, "%w", err)
	}
	if errors.Is(err, command.ErrUnknownOutcome) {
		return onevolume.Errorf(onevolume.Unknown, "%w", err)
	}
	return err
}

// Waits says of an operation's error that only its turn on a host has not come:
// others have all the connections.
func Waits(err error) bool {
	dial, ok := errors.AsType[*command.DialError](err)
	return ok && dial.Kind == command.KindBusy
}

func coded(err error) bool {
	_, ok := errors.AsType[*onevolume.Error](err)
	return ok
}

// cutOff says whether the host was lost in the middle, so that nobody knows
// what became of the command under way.
func cutOff(err error) bool {
	return errors.Is(err, command.ErrUnknownOutcome) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
