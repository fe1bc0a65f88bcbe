package inventory

import (
	"context"
	"errors"

	"onevolume"
)

// leave stands where Chown is to leave the user or the group.
const leave = -1

// Chown gives a volume to a user (-1 leaves it) and to a group (-1 likewise).
// It needs MANAGE on the volume and, as oned has it, MANAGE on a user who is
// another than before and USE on a group that is. A volume that was where it
// belongs is from now on its new owner's; one that is only lent to a VM's
// owner still goes home when it is wiped. Codes: NotFound (volume, user,
// group), Forbidden, Internal (the new owner has a volume of that name, as
// oned).
func (s *Service) Chown(ctx context.Context, who onevolume.Caller, session string, id onevolume.VolumeID, uid, gid int) error {
	var user, group string
	var userErr, groupErr error
	// Whom it goes to must exist, whoever asks; rights come after.
	if uid > leave {
		if user, userErr = s.People.UserName(ctx, session, uid); userErr != nil && onevolume.CodeOf(userErr) != onevolume.Forbidden {
			return userErr
		}
	}
	if gid > leave {
		if group, groupErr = s.People.GroupName(ctx, session, gid); groupErr != nil && onevolume.CodeOf(groupErr) != onevolume.Forbidden {
			return groupErr
		}
	}
	v, err := s.get(ctx, who, id, onevolume.Manage)
	if err != nil {
		return err
	}
	if uid > leave && uid != v.Owner.UID {
		if err := s.People.MayManageUser(ctx, session, uid); err != nil {
			return err
		}
		if userErr != nil {
			return userErr
		}
	}
	if gid > leave && gid != v.Owner.GID && groupErr != nil {
		return groupErr
	}
	var name string
	err = s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		name = v.Name
		if err := who.Check(onevolume.Manage, v); err != nil {
			return err
		}
		atHome := v.Owner.UID == v.Home.UID && v.Owner.GID == v.Home.GID
		if uid > leave && uid != v.Owner.UID {
			if userErr != nil { // it was theirs when they were asked about
				return userErr
			}
			v.Owner.UID, v.Owner.User = uid, user
		}
		if gid > leave && gid != v.Owner.GID {
			if groupErr != nil {
				return groupErr
			}
			v.Owner.GID, v.Owner.Group = gid, group
		}
		if atHome {
			v.Home = v.Owner
		}
		return nil
	})
	if c, ok := errors.AsType[*onevolume.Collision](err); ok {
		return onevolume.Errorf(onevolume.Internal, "user [%d] already owns volume [%d] with NAME %s", uid, c.With, name).
			WithHint("rename one of the two")
	}
	return err
}
