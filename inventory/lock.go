package inventory

import (
	"context"

	"onevolume"
)

// lockAll is the level by which callers mean LockUse too.
const lockAll onevolume.LockLevel = 4

// Lock keeps everybody from what needs the level's right on a volume, the
// caller and administrators included, until it is unlocked. A lock of one's
// own may be changed, and administrators change anybody's; with test a volume
// that is locked already is refused. Codes: NotFound, Forbidden, Action.
func (s *Service) Lock(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, level onevolume.LockLevel, test bool) error {
	return s.relock(ctx, who, id, func(v *onevolume.Volume) error {
		if level < onevolume.LockUse || level > lockAll {
			return onevolume.Errorf(onevolume.Action, "Wrong lock level specified").
				WithHint("levels are 1 (USE), 2 (MANAGE), 3 (ADMIN) and 4 (ALL)")
		}
		locked := v.Lock.Level != onevolume.NoLock
		switch {
		case locked && test:
			// oned's whole text is the time of the lock, which its clients read.
			return onevolume.Errorf(onevolume.Action, "%d", v.Lock.Time.Unix())
		case locked && v.Lock.UID != who.UID && !who.IsAdmin():
			return onevolume.Errorf(onevolume.Action, "Error trying to lock the resource.").
				WithHint("user %d has locked it", v.Lock.UID)
		}
		if level == lockAll {
			level = onevolume.LockUse
		}
		v.Lock = onevolume.Lock{Level: level, UID: who.UID} // the store knows the time
		return nil
	})
}

// Unlock takes a lock off, for its owner and for administrators. Codes:
// NotFound, Forbidden, Action.
func (s *Service) Unlock(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) error {
	return s.relock(ctx, who, id, func(v *onevolume.Volume) error {
		if v.Lock.Level != onevolume.NoLock && v.Lock.UID != who.UID && !who.IsAdmin() {
			return onevolume.Errorf(onevolume.Action, "Cannot unlock: Lock is owned by another user").
				WithHint("user %d or an administrator takes it off", v.Lock.UID)
		}
		v.Lock = onevolume.Lock{}
		return nil
	})
}

// relock changes a lock: the right is MANAGE, and no lock keeps from it.
func (s *Service) relock(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, change func(*onevolume.Volume) error) error {
	if _, err := s.read(ctx, id); err != nil {
		return err
	}
	return s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		if err := who.CheckRight(onevolume.Manage, v); err != nil {
			return err
		}
		return change(v)
	})
}
