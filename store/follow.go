package store

import (
	"context"

	"onevolume"
)

// Attached lists the volumes that are ATTACHED, those of the given VMs or all,
// for the daemon itself.
func (s *Store) Attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error) {
	const chunk = 500 // of what SQLite and MariaDB take in one statement
	f := onevolume.Filter{Viewer: onevolume.Caller{Groups: []int{0}}, Flag: flagAll, FirstID: -1, LastID: -1, States: []onevolume.State{onevolume.Attached}}
	if len(vms) == 0 {
		return s.Volumes(ctx, f)
	}
	var list []onevolume.Volume
	for len(vms) > 0 {
		n := min(chunk, len(vms))
		f.VMs = vms[:n]
		found, err := s.Volumes(ctx, f)
		if err != nil {
			return nil, err
		}
		list, vms = append(list, found...), vms[n:]
	}
	return list, nil
}

// Explain gives an ATTACHED volume a reason, for people to see. On any other
// it does nothing: the reason is another's by then. Code: NotFound.
func (s *Store) Explain(ctx context.Context, id onevolume.VolumeID, reason string) error {
	return s.Update(ctx, id, func(v *onevolume.Volume) error {
		if v.State == onevolume.Attached {
			v.Reason = reason
		}
		return nil
	})
}
