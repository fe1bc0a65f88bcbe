package store

import (
	"context"
	"slices"

	"onevolume"
)

// Attached lists the volumes that are ATTACHED and that no operation holds,
// those of the given VMs or all, for the daemon itself: whoever runs the
// operation does what is to be done about the others.
func (s *Store) Attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error) {
	list, err := s.attached(ctx, vms...)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	running, err := s.Running(ctx)
	if err != nil || len(running) == 0 {
		return list, err
	}
	held := map[onevolume.VolumeID]bool{}
	for _, op := range running {
		held[op.Volume] = true
	}
	return slices.DeleteFunc(list, func(v onevolume.Volume) bool { return held[v.ID] }), nil
}

// InVM lists the volumes that are in a VM on record, whatever their state, for
// the daemon itself.
func (s *Store) InVM(ctx context.Context, vm onevolume.VMID) ([]onevolume.Volume, error) {
	return s.Volumes(ctx, onevolume.Filter{Viewer: onevolume.Caller{Groups: []int{0}}, Flag: flagAll, FirstID: -1, LastID: -1, VMs: []onevolume.VMID{vm}})
}

func (s *Store) attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error) {
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
