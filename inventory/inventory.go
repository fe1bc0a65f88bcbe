// Package inventory is what callers may do with the volumes' inventory: it
// checks who asks and what they ask for, in oned's order and words, and
// leaves the keeping to a store. The XML-RPC methods and the daemon's own
// loops stand on it.
package inventory

import (
	"context"
	"errors"

	"onevolume"
)

// Store keeps volumes, operations and their journals (package store, which
// documents what each method promises).
type Store interface {
	Allocate(ctx context.Context, v onevolume.Volume) (onevolume.VolumeID, error)
	Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	Volumes(ctx context.Context, f onevolume.Filter) ([]onevolume.Volume, error)
	Update(ctx context.Context, id onevolume.VolumeID, change func(*onevolume.Volume) error) error
	Delete(ctx context.Context, id onevolume.VolumeID, may func(*onevolume.Volume) error) error
	Reserve(ctx context.Context, who onevolume.Caller, r onevolume.Request) (onevolume.Operation, onevolume.Volume, error)
	Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error
	Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error
	Operation(ctx context.Context, id int) (onevolume.Operation, error)
	Operations(ctx context.Context, ids []int) ([]onevolume.Operation, error)
	Journal(ctx context.Context, id int) ([]onevolume.Entry, error)
	Running(ctx context.Context) ([]onevolume.Operation, error)
	Recover(ctx context.Context, id onevolume.VolumeID, r onevolume.Recovery) error
	Audit(ctx context.Context, d onevolume.Deed) error
	History(ctx context.Context, h onevolume.History) ([]onevolume.Deed, error)
	Fences(ctx context.Context) ([]onevolume.FenceRecord, error)
	Hold(ctx context.Context) (reason string, err error)
	Lift(ctx context.Context) error
	quotaStore
	snapshotStore
}

// People are the users and groups of the cloud, asked of oned with the
// caller's own session.
type People interface {
	// UserName is the name of a user. Code: NotFound.
	UserName(ctx context.Context, session string, uid int) (string, error)
	// MayManageUser is nil for who may give things to the user. Codes:
	// NotFound, Forbidden.
	MayManageUser(ctx context.Context, session string, uid int) error
	// GroupName is the name of a group that the caller may USE. Codes:
	// NotFound, Forbidden.
	GroupName(ctx context.Context, session string, gid int) (string, error)
}

// Service answers callers.
type Service struct {
	Store  Store
	People People // who Chown and SetQuota ask; nil where nobody calls them
	Makers Makers // the arrays that make volumes; nil where there are none
	// NoOthers leaves it to administrators to permit others something, as
	// ENABLE_OTHER_PERMISSIONS = NO of oned.conf does.
	NoOthers bool
}

// object is what oned's error texts would call a volume.
const object = "volume"

// Info gives a volume that the caller may USE. secrets asks for the CHAP
// secrets with it, which only administrators get. Codes: NotFound, Forbidden.
func (s *Service) Info(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, secrets bool) (onevolume.Volume, error) {
	v, err := s.read(ctx, id)
	if err == nil {
		err = who.CheckRight(onevolume.Use, &v) // to look is never locked
	}
	if err != nil {
		return v, err
	}
	if !secrets || !who.IsAdmin() {
		v.Target.CHAP.Secret, v.Target.CHAP.SecretIn = "", ""
	}
	return v, nil
}

// read reads a volume.
func (s *Service) read(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	if id < 0 {
		return onevolume.Volume{}, onevolume.Missing(object, int(id))
	}
	return s.Store.Volume(ctx, id)
}

// get reads a volume and checks that the caller may do now what needs the
// right.
func (s *Service) get(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, right onevolume.Right) (onevolume.Volume, error) {
	v, err := s.read(ctx, id)
	if err != nil {
		return v, err
	}
	return v, who.Check(right, &v)
}

// Pool lists the volumes that are the caller's or that they may USE, newest
// first, without their CHAP secrets. The viewer of f is set to the caller.
func (s *Service) Pool(ctx context.Context, who onevolume.Caller, f onevolume.Filter) ([]onevolume.Volume, error) {
	f.Viewer = who
	list, err := s.Store.Volumes(ctx, f)
	for i := range list {
		list[i].Target.CHAP.Secret, list[i].Target.CHAP.SecretIn = "", ""
	}
	return list, err
}

// PoolExtended is Pool with the newest operation of each volume that has one
// and that the caller may USE, by the volume's id.
func (s *Service) PoolExtended(ctx context.Context, who onevolume.Caller, f onevolume.Filter) ([]onevolume.Volume, map[onevolume.VolumeID]onevolume.Operation, error) {
	list, err := s.Pool(ctx, who, f)
	if err != nil {
		return nil, nil, err
	}
	var ids []int
	for i := range list {
		if list[i].Operation > 0 && who.May(onevolume.Use, &list[i]) {
			ids = append(ids, list[i].Operation)
		}
	}
	found, err := s.Store.Operations(ctx, ids)
	newest := make(map[onevolume.VolumeID]onevolume.Operation, len(found))
	for _, op := range found {
		newest[op.Volume] = op
	}
	return list, newest, err
}

// Rename gives a volume another name. Codes: NotFound, Forbidden, Action (the
// name breaks the rules or is taken).
func (s *Service) Rename(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) error {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return err
	}
	if e, bad := errors.AsType[*onevolume.Error](onevolume.CheckName(name)); bad {
		e.Code = onevolume.Action // oned's, here
		return e
	}
	err := s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		v.Name = name
		return who.Check(onevolume.Manage, v)
	})
	if c, ok := errors.AsType[*onevolume.Collision](err); ok {
		return onevolume.Errorf(onevolume.Action, "volume cannot be renamed to %s because it collides with volume %d", name, c.With)
	}
	return err
}

// Chmod sets permissions: bits holds 1, 0 or -1 (leave as it is) for each of
// owner, group and others × use, manage, admin. Changing an admin bit needs
// ADMIN, everything else MANAGE, and with NoOthers a new bit for others an
// administrator. Codes: NotFound, Forbidden, Internal (no such bit, as oned).
func (s *Service) Chmod(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, bits [9]int) error {
	if _, err := s.read(ctx, id); err != nil {
		return err
	}
	return s.Store.Update(ctx, id, func(v *onevolume.Volume) error {
		need, p := onevolume.Manage, v.Permissions
		for i, b := range bits {
			mask := onevolume.Permissions(1) << (8 - i)
			switch b {
			case 1:
				p |= mask
			case 0:
				p &^= mask
			}
		}
		if (p^v.Permissions)&0o111 != 0 {
			need = onevolume.Admin
		}
		if err := who.Check(need, v); err != nil {
			return err
		}
		for _, b := range bits {
			if b < -1 || b > 1 {
				return onevolume.Errorf(onevolume.Internal, "New permission values must be -1, 0 or 1")
			}
		}
		if s.NoOthers && !who.IsAdmin() && p&^v.Permissions&0o007 != 0 {
			return onevolume.Errorf(onevolume.Forbidden, "Management of 'other' permissions is disabled.").
				WithHint("ask an administrator, or leave the last digit as it is (enable_other_permissions in onevolumed.conf)")
		}
		v.Permissions = p
		return nil
	})
}

// Delete takes a volume out of the inventory; its logical unit stays as it
// is, but for a volume that was made on an array, which goes there too. Codes:
// NotFound, Forbidden, Action (in a VM or in an operation, or it has
// snapshots), Held (the array says that something depends on it).
func (s *Service) Delete(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) error {
	v, err := s.get(ctx, who, id, onevolume.Manage)
	if err != nil {
		return err
	}
	if v.ArrayID != "" {
		return s.task(ctx, who, onevolume.Delete, id, onevolume.Task{})
	}
	return s.Store.Delete(ctx, id, func(v *onevolume.Volume) error { return who.Check(onevolume.Manage, v) })
}

// Operation gives an operation and its journal to whoever began it, to those
// who may USE its volume, and to administrators. The commands on hosts are
// for administrators: they tell of the hosts and of what else is on them.
func (s *Service) Operation(ctx context.Context, who onevolume.Caller, id int) (onevolume.Operation, []onevolume.Entry, error) {
	op, err := s.Store.Operation(ctx, id)
	if err != nil {
		return op, nil, err
	}
	if op.By.UID != who.UID && !who.IsAdmin() {
		v, err := s.Store.Volume(ctx, op.Volume)
		if err != nil || !who.May(onevolume.Use, &v) {
			return onevolume.Operation{}, nil, onevolume.Errorf(onevolume.Forbidden,
				"User [%d] : Not authorized to perform USE VOLUME [%d].", who.UID, op.Volume)
		}
	}
	journal, err := s.Store.Journal(ctx, id)
	if !who.IsAdmin() {
		for i := range journal {
			journal[i].Commands = nil
		}
	}
	return op, journal, err
}
