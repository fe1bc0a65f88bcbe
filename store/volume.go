package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"onevolume"
)

// Allocate adds a volume and gives its id. The store sets the id, the version
// and the times, an empty State becomes AVAILABLE, and without a Home the
// owner is it. The error has the code Allocate when the name is taken by
// another volume of the owner's, or IQN and LUN are registered already, and
// then says by which; Forbidden when the owner's quota has no room for it.
func (s *Store) Allocate(ctx context.Context, v onevolume.Volume) (onevolume.VolumeID, error) {
	if v.State == "" {
		v.State = onevolume.Available
	}
	if v.Home == (onevolume.Owner{}) {
		v.Home = v.Owner
	}
	if !v.State.Free() && v.State != onevolume.Failed {
		return 0, onevolume.Errorf(onevolume.Action, "A new volume cannot be %s.", v.State)
	}
	v.Attachment = onevolume.Attachment{VM: onevolume.NoVM}
	v.Operation, v.Version, v.Modified = 0, 1, s.now()
	if v.Registered.IsZero() {
		v.Registered = v.Modified
	}
	if err := check(&v); err != nil {
		return 0, err
	}
	err := s.write(ctx, fmt.Sprintf("registering volume %q", v.Name), func(tx *transaction) error {
		if err := admit(ctx, tx, true, asking(ctx, &v), nil, &v); err != nil {
			return err
		}
		id, err := nextID(ctx, tx, "volume")
		if err != nil {
			return err
		}
		r := row{Volume: v}
		r.ID = onevolume.VolumeID(id)
		err = s.insert(ctx, tx, &r)
		v.ID = r.ID
		if err := s.taken(ctx, tx, &r, err); err != nil {
			return err
		}
		return s.asked(ctx, tx, onevolume.Deed{Volume: r.ID, VM: onevolume.NoVM, Result: "ok"})
	})
	return v.ID, err
}

// check holds what every row must satisfy, whoever writes it.
func check(v *onevolume.Volume) error {
	bad := func(format string, args ...any) error {
		return onevolume.Errorf(onevolume.Invalid, "Volume %q: "+format, append([]any{v.Name}, args...)...)
	}
	if err := onevolume.CheckName(v.Name); err != nil {
		return err
	}
	switch {
	case v.Target.IQN == "":
		return bad("the IQN is missing")
	case len(v.Target.Portals) == 0:
		return bad("the portals are missing")
	case v.Size <= 0:
		return bad("the size is missing")
	case v.Permissions&^0o777 != 0:
		return bad("permissions %o are no nine bits", int(v.Permissions))
	case v.State.Free() && v.Attachment.VM != onevolume.NoVM:
		return bad("%s and in VM %d contradict each other", v.State, v.Attachment.VM)
	case (v.State.Moving() && v.State != onevolume.Changing || v.State == onevolume.Attached) && v.Attachment.VM < 0:
		return bad("%s without a VM", v.State)
	}
	return nil
}

// taken explains the database's word about a unique column, in oned's words.
// Other errors pass unchanged.
func (s *Store) taken(ctx context.Context, tx *transaction, r *row, err error) error {
	if troubleOf(err) != duplicate {
		return err
	}
	var holder onevolume.VolumeID
	// The target first: who registers a logical unit twice repeats the name
	// too, and that it is registered is the news.
	scan := tx.QueryRowContext(ctx, "SELECT oid FROM one_volume WHERE iqn = ? AND lun = ? AND oid <> ?",
		string(r.Target.IQN), int(r.Target.LUN), int(r.ID)).Scan(&holder)
	if scan == nil {
		return onevolume.Errorf(onevolume.Allocate, "IQN %s LUN %d is already registered as VOLUME %d.", r.Target.IQN, r.Target.LUN, holder)
	}
	scan = tx.QueryRowContext(ctx, "SELECT oid FROM one_volume WHERE uid = ? AND name = ? AND oid <> ?",
		r.Owner.UID, r.Name, int(r.ID)).Scan(&holder)
	if scan == nil {
		return onevolume.Errorf(onevolume.Allocate, "%w", &onevolume.Collision{With: holder})
	}
	// Whoever held it let go in between, or the connection broke.
	return fmt.Errorf("%w: %w", errLost, err)
}

// Volume reads one volume, secrets included. Code: NotFound.
func (s *Store) Volume(ctx context.Context, id onevolume.VolumeID) (v onevolume.Volume, err error) {
	doing := fmt.Sprintf("reading volume %d", id)
	err = s.persist(ctx, doing, func() error {
		r, err := s.volume(ctx, id)
		v = r.Volume
		return err
	})
	return v, err
}

// Find reads the volume with this target and unit number. Code: NotFound.
func (s *Store) Find(ctx context.Context, iqn onevolume.IQN, lun onevolume.LUN) (v onevolume.Volume, err error) {
	doing := fmt.Sprintf("looking for %s LUN %d", iqn, lun)
	err = s.persist(ctx, doing, func() error {
		found, err := s.list(ctx, s.read, "SELECT "+volumeColumns+" FROM one_volume WHERE iqn = ? AND lun = ?", string(iqn), int(lun))
		if err == nil && len(found) == 0 {
			return onevolume.Errorf(onevolume.NotFound, "IQN %s LUN %d is not registered.", iqn, lun)
		}
		if err == nil {
			v = found[0].Volume
		}
		return err
	})
	return v, err
}

// Update changes a volume: it reads it, lets change edit it, and writes it if
// nobody else did meanwhile, else begins again. change may therefore be
// called several times; its error ends the update and is returned as it is.
//
// The id, the version, the times and the operation are the store's: what
// change does to the last three is ignored. Moving states belong to
// operations, and while one runs, so do the state and the attachment. Codes:
// NotFound, Invalid, Action (the state cannot become that), Allocate (name or
// target is taken), Busy. An update that changes nothing is not in the audit.
func (s *Store) Update(ctx context.Context, id onevolume.VolumeID, change func(*onevolume.Volume) error) error {
	var own error // change's
	err := s.write(ctx, fmt.Sprintf("updating volume %d", id), func(tx *transaction) error {
		r, err := s.get(ctx, tx, id)
		if err != nil {
			return err
		}
		before := r.Volume
		// Copies, so that change cannot reach into what it is compared with.
		r.Attributes = maps.Clone(before.Attributes)
		r.Target.Portals = slices.Clone(before.Target.Portals)
		if own = change(&r.Volume); own != nil {
			return errStop
		}
		r.Version, r.Operation, r.Registered, r.Modified = before.Version, before.Operation, before.Registered, before.Modified
		if r.Lock.Level != onevolume.NoLock && r.Lock.Time.IsZero() {
			r.Lock.Time = s.now().Truncate(time.Millisecond)
		}
		if len(r.Attributes) == 0 {
			r.Attributes = nil
		}
		if reflect.DeepEqual(before, r.Volume) {
			return nil
		}
		if err := s.mayBecome(ctx, tx, &before, &r.Volume); err != nil {
			return err
		}
		if err := admit(ctx, tx, true, asking(ctx, &before), &before, &r.Volume); err != nil {
			return err
		}
		if r.Name != before.Name {
			r.homeName = "" // the name is somebody's choice now
		}
		if err := s.taken(ctx, tx, &r, s.save(ctx, tx, &r, s.now())); err != nil {
			return err
		}
		return s.asked(ctx, tx, onevolume.Deed{Volume: id, VM: onevolume.NoVM, Result: "ok"})
	})
	if errors.Is(err, errStop) {
		return own
	}
	return err
}

// mayBecome refuses an update that breaks what the store promises.
func (s *Store) mayBecome(ctx context.Context, tx *transaction, before, after *onevolume.Volume) error {
	if after.ID != before.ID {
		return onevolume.Errorf(onevolume.Invalid, "Volume %d: its id cannot become %d.", before.ID, after.ID)
	}
	if err := transition(before, after.State); err != nil {
		return err
	}
	if after.State != before.State || after.Attachment != before.Attachment {
		if after.State != before.State && after.State.Moving() {
			return onevolume.Errorf(onevolume.Action, "Volume %d becomes %s by an operation only.", before.ID, after.State)
		}
		running, err := runningOn(ctx, tx, before.ID)
		if err != nil {
			return err
		}
		if running != nil {
			return onevolume.Errorf(onevolume.Busy, "Volume %d is held by operation %d (%s) of %s.",
				before.ID, running.ID, running.Kind, running.Owner).WithHint("wait until it ends")
		}
	}
	return check(after)
}

// transition is the state table as an error.
func transition(v *onevolume.Volume, next onevolume.State) error {
	if v.State.CanBecome(next) {
		return nil
	}
	return onevolume.Errorf(onevolume.Action, "Volume %d cannot go from %s to %s.", v.ID, v.State, next)
}

// Delete takes a volume out of the inventory. Its operations and journals
// stay: its id is never used again. may, unless it is nil, looks at the volume
// as it is deleted, and its error ends that. Codes: NotFound, Action (it is in
// a VM or in an operation).
func (s *Store) Delete(ctx context.Context, id onevolume.VolumeID, may func(*onevolume.Volume) error) error {
	var own error // may's
	err := s.delete(ctx, id, func(v *onevolume.Volume) error {
		if may == nil {
			return nil
		}
		if own = may(v); own != nil {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return own
	}
	return err
}

func (s *Store) delete(ctx context.Context, id onevolume.VolumeID, may func(*onevolume.Volume) error) error {
	return s.write(ctx, fmt.Sprintf("deleting volume %d", id), func(tx *transaction) error {
		r, err := s.get(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := may(&r.Volume); err != nil {
			return err
		}
		running, err := runningOn(ctx, tx, id)
		if err != nil {
			return err
		}
		switch {
		case running != nil:
			return onevolume.Errorf(onevolume.Action, "Volume %d is %s: operation %d (%s, VM %d) of %s holds it.",
				id, r.State, running.ID, running.Kind, running.VM.ID, running.Owner).WithHint("wait until it ends")
		case r.Attachment.VM != onevolume.NoVM:
			return onevolume.Errorf(onevolume.Action, "Volume %d is %s: it is attached to VM %d.", id, r.State, r.Attachment.VM).
				WithHint("detach it first")
		case r.ArrayID != "":
			return onevolume.Errorf(onevolume.Action, "Volume %d was made on array %s: it is deleted there too, by a task.", id, r.Array)
		case !r.State.Free() && r.State != onevolume.Failed:
			return onevolume.Errorf(onevolume.Action, "Volume %d is %s.", id, r.State)
		}
		if err := changed(tx.ExecContext(ctx, "DELETE FROM one_volume WHERE oid = ? AND version = ?", int(id), r.Version)); err != nil {
			return err
		}
		tx.deleted(&r)
		return s.asked(ctx, tx, onevolume.Deed{Volume: id, VM: onevolume.NoVM, Result: "ok"})
	})
}
