package inventory

import (
	"context"

	"onevolume"
)

// Enable lets a volume be attached, or keeps it from being picked and
// attached. One that is in a VM, or in an operation, is not disabled: detach
// it first. Codes: NotFound, Forbidden, Internal (as oned).
func (s *Service) Enable(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, enable bool) error {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return err
	}
	return s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		if err := who.Check(onevolume.Manage, v); err != nil {
			return err
		}
		if !enable && !v.State.Free() && v.State != onevolume.Failed {
			return onevolume.Errorf(onevolume.Internal, "Could not disable volume: Volume cannot be in state %s.", v.State).
				WithHint("detach it first")
		}
		v.Disabled = !enable
		return nil
	})
}

// Resize records that an administrator has made the logical unit larger on
// its array; nothing is done there. The text is what onevolume.ParseSize reads,
// and exact: the next attach proves it. A volume does not shrink, and does not
// grow in a VM. Codes: NotFound, Forbidden, Invalid, Action.
func (s *Service) Resize(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, text string) error {
	v, err := s.read(ctx, id)
	if err != nil {
		return err
	}
	right := onevolume.Admin
	if v.ArrayID != "" {
		right = onevolume.Manage
	}
	if err := who.Check(right, &v); err != nil {
		return err
	}
	size, err := onevolume.ParseSize(text)
	if err != nil {
		return err
	}
	if v.ArrayID != "" {
		return s.grow(ctx, who, &v, size)
	}
	return s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		if err := mayReshape(who, v); err != nil {
			return err
		}
		if size < v.Size {
			return onevolume.Errorf(onevolume.Action, "Volume %d has %s, it cannot shrink to %s.", v.ID, v.Size.Exact(), size.Exact()).
				WithHint("to record that a logical unit was replaced by a smaller one: onevolume update with SIZE")
		}
		v.Size = size
		return nil
	})
}
