package cli

import (
	"context"
	"strconv"

	"onevolume"
)

// volume turns an id or a name into an id, with the messages of OpenNebula's
// tools when there is none of that name, or several.
func (s *Session) volume(ctx context.Context, ref string) (onevolume.VolumeID, error) {
	return s.Daemon.VolumeID(ctx, ref)
}

// operationID reads the id of an operation.
func operationID(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return 0, onevolume.Errorf(onevolume.Invalid, "operation %q: not the number of an operation", s).
			WithHint("onevolume show names the newest operation of a volume")
	}
	return n, nil
}
