package cli

import (
	"context"
	"strconv"

	"onevolume"
)

// volume turns an id or a name into an id, with oned's messages when there
// is none of that name, or several.
func (s *Session) volume(ctx context.Context, ref string) (onevolume.VolumeID, error) {
	if n, err := strconv.Atoi(ref); err == nil && n >= 0 {
		return onevolume.VolumeID(n), nil
	}
	list, err := s.Daemon.Pool(ctx, -2, -1, -1)
	if err != nil {
		return 0, err
	}
	id, found := onevolume.VolumeID(0), 0
	for i := range list {
		if list[i].Name == ref {
			id = list[i].ID
			found++
		}
	}
	switch found {
	case 1:
		return id, nil
	case 0:
		return 0, onevolume.Errorf(onevolume.NotFound, "VOLUME named %s not found.", ref)
	}
	return 0, onevolume.Errorf(onevolume.Invalid, "There are multiple VOLUMEs with name %s.", ref)
}

// vmID reads the id of a VM.
func vmID(s string) (onevolume.VMID, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, onevolume.Errorf(onevolume.Invalid, "vm_id %q: not the number of a VM", s).WithHint("see onevm list")
	}
	return onevolume.VMID(n), nil
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
