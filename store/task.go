package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"onevolume"
)

// BeginTask opens an operation for an array, all or nothing: the volume to be
// made stands in the inventory then, and every UUID that the array will hear
// is on record. A volume that is in no VM becomes CHANGING, one in a VM stays
// so. A call whose answer was lost may be repeated with the same Owner.
//
// Codes: Invalid (shrinking), NotFound, Forbidden (no right, or no room in a
// quota), Allocate (the name is taken), Action (wrong state, snapshots in the
// way, not made on an array, or the inventory is held).
func (s *Store) BeginTask(ctx context.Context, who onevolume.Caller, r onevolume.TaskRequest) (op onevolume.Operation, v onevolume.Volume, err error) {
	if !r.Kind.OnArray() || r.Owner == "" || r.Lease < time.Millisecond || r.Kind == onevolume.Create && r.New == nil {
		return op, v, onevolume.Errorf(onevolume.Invalid, "an operation %q without an owner, a lease or a volume", r.Kind)
	}
	err = s.write(ctx, fmt.Sprintf("beginning to %s a volume", r.Kind), func(tx *transaction) error {
		found, err := operations(ctx, tx, "SELECT "+operationColumns+" FROM one_volume_operation"+
			" WHERE status = ? AND kind = ? AND owner = ? ORDER BY oid", string(onevolume.Running), string(r.Kind), r.Owner)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			op = found[0].Operation
			row, err := s.get(ctx, tx, op.Volume)
			v = row.Volume
			return err
		}
		if err := s.refuseHeld(ctx, tx, r.Kind, onevolume.LeaveData); err != nil {
			return err
		}
		o, row, err := s.beginTask(ctx, tx, who, r)
		if err != nil {
			return err
		}
		op, v = o.Operation, row.Volume
		return s.asked(ctx, tx, o.deed("begun"))
	})
	return op, v, err
}

func (s *Store) beginTask(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.TaskRequest) (*operation, row, error) {
	var v row
	var err error
	task := r.Task
	prior := onevolume.Changing
	if r.Kind == onevolume.Create {
		v, err = s.insertNew(ctx, tx, who, r, &task)
	} else {
		if v, err = s.get(ctx, tx, r.Volume); err != nil {
			return nil, v, err
		}
		prior = v.State
		err = s.takeForTask(ctx, tx, who, r, &v, &task)
	}
	if err != nil {
		return nil, v, err
	}
	if r.Kind == onevolume.SnapshotCreate {
		id, err := nextID(ctx, tx, "snapshot")
		if err != nil {
			return nil, v, err
		}
		task.Snapshot = onevolume.SnapshotID(id)
	}
	o, err := s.begin(ctx, tx, who, onevolume.Request{Kind: r.Kind, VM: onevolume.VM{ID: v.Attachment.VM, Host: v.Attachment.Host},
		Owner: r.Owner, Lease: r.Lease, Task: &task}, &v, prior)
	return o, v, err
}

// insertNew adds the row of a volume that is to be made.
func (s *Store) insertNew(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.TaskRequest, task *onevolume.Task) (row, error) {
	v := row{Volume: *r.New}
	v.State, v.Attachment, v.Operation, v.Version = onevolume.Changing, onevolume.Attachment{VM: onevolume.NoVM}, 0, 1
	v.Modified = s.now()
	v.Registered = v.Modified
	if v.Home == (onevolume.Owner{}) {
		v.Home = v.Owner
	}
	if err := check(&v.Volume); err != nil {
		return v, err
	}
	if r.From >= 0 {
		shot, err := s.usableSnapshot(ctx, tx, who, -1, r.From)
		if err != nil {
			return v, err
		}
		task.FromSnapshot = shot.UUID
	}
	if err := admit(ctx, tx, true, asking(ctx, &v.Volume), nil, &v.Volume); err != nil {
		return v, err
	}
	id, err := nextID(ctx, tx, "volume")
	if err != nil {
		return v, err
	}
	v.ID = onevolume.VolumeID(id)
	if err := s.taken(ctx, tx, &v, s.insert(ctx, tx, &v)); err != nil {
		return v, err
	}
	v.readVersion = v.Version
	return v, nil
}

// takeForTask checks that the task may be done to a volume now, and takes it.
func (s *Store) takeForTask(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.TaskRequest, v *row, task *onevolume.Task) error {
	if err := who.Check(onevolume.Manage, &v.Volume); err != nil {
		return err
	}
	if v.ArrayID == "" {
		return onevolume.Errorf(onevolume.Action, "Volume %d was registered, not made on an array: no array is asked to change it.", v.ID).
			WithHint("what is done to its logical unit is done on its storage machine")
	}
	task.Array, task.ArrayID = v.Array, v.ArrayID
	running, err := runningOn(ctx, tx, v.ID)
	if err != nil {
		return err
	}
	shot := r.Kind == onevolume.SnapshotCreate || r.Kind == onevolume.SnapshotDelete
	gone := r.Kind == onevolume.Delete && v.State == onevolume.Failed && v.Attachment.VM == onevolume.NoVM
	if running != nil || !v.State.Free() && !gone && (!shot || v.State != onevolume.Attached) {
		return s.inTheWay(ctx, tx, &v.Volume)
	}
	before := v.Volume
	switch r.Kind {
	case onevolume.Delete:
		if err := s.refuseSnapshots(ctx, tx, v.ID); err != nil {
			return err
		}
	case onevolume.Resize:
		if task.Size <= v.Size {
			return onevolume.Errorf(onevolume.Invalid, "Volume %d has %s: it grows, and does not become %s.", v.ID, v.Size.Exact(), task.Size.Exact()).
				WithHint("a smaller one would lose data: create another volume and copy what is on this one")
		}
		after := v.Volume
		after.Size = task.Size
		if err := admit(ctx, tx, true, asking(ctx, &before), &before, &after); err != nil {
			return err
		}
	case onevolume.SnapshotCreate:
		var has int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(oid) FROM one_volume_snapshot WHERE volume = ? AND name = ?", int(v.ID), task.SnapshotName).Scan(&has); err != nil {
			return err
		}
		if has > 0 {
			return onevolume.Errorf(onevolume.Allocate, "Volume %d has a snapshot named %q already.", v.ID, task.SnapshotName)
		}
	case onevolume.SnapshotDelete, onevolume.SnapshotRevert:
		find := s.usableSnapshot
		if r.Kind == onevolume.SnapshotDelete {
			find = s.snapshotOf
		}
		shot, err := find(ctx, tx, who, v.ID, task.Snapshot)
		if err != nil {
			return err
		}
		task.SnapshotUUID, task.SnapshotName = shot.UUID, shot.Name
	}
	if v.State != onevolume.Attached {
		if err := transition(&v.Volume, onevolume.Changing); err != nil {
			return err
		}
		v.State = onevolume.Changing
	}
	return s.save(ctx, tx, v, s.now())
}

// FinishTask ends an operation of an array. Done brings what was made into
// the inventory: the new volume's target, size and identity, the larger size,
// the snapshot; a deleted volume or snapshot is taken out of it. Undone takes
// a volume that was to be made out of it, and leaves any other as it was
// before. A volume with a copy of somebody's data becomes RETAINED. A call
// whose answer was lost may be repeated. Codes: NotFound, Stale, Invalid.
func (s *Store) FinishTask(ctx context.Context, ref onevolume.OperationRef, status onevolume.Status, made onevolume.Made, reason string) error {
	if status != onevolume.Done && status != onevolume.Undone && status != onevolume.Parked {
		return onevolume.Errorf(onevolume.Invalid, "Operation %d cannot end %s.", ref.ID, status)
	}
	return s.write(ctx, fmt.Sprintf("ending operation %d", ref.ID), func(tx *transaction) error {
		o, err := readOperation(ctx, tx, ref.ID)
		if err != nil {
			return err
		}
		if o.Generation == ref.Generation && o.Status == status {
			return nil // the same word again
		}
		if err := o.held(ref); err != nil {
			return err
		}
		if !o.Kind.OnArray() || o.Task == nil {
			return onevolume.Errorf(onevolume.Invalid, "Operation %d (%s) is no array's work.", o.ID, o.Kind)
		}
		now := s.now()
		err = changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ?, ended = ?, error = ?, running_volume = NULL"+
			" WHERE oid = ? AND generation = ? AND status = ?",
			string(status), millis(now), reason, o.ID, ref.Generation, string(onevolume.Running)))
		if err != nil {
			return err
		}
		tx.moved(o, status)
		if err := s.settleTask(ctx, tx, o, status, made, reason); err != nil {
			return err
		}
		return s.deed(ctx, tx, o.ended(onevolume.Ending{Status: status, Error: reason}))
	})
}

// settleTask gives the volume its state after the operation.
func (s *Store) settleTask(ctx context.Context, tx *transaction, o *operation, status onevolume.Status, made onevolume.Made, reason string) error {
	v, err := s.get(ctx, tx, o.Volume)
	if err != nil {
		return err
	}
	if status == onevolume.Parked {
		v.State, v.Reason = onevolume.Failed, reason
		return s.save(ctx, tx, &v, s.now())
	}
	if o.Kind == onevolume.Create && status == onevolume.Undone || o.Kind == onevolume.Delete && status == onevolume.Done {
		tx.deleted(&v)
		return changed(tx.ExecContext(ctx, "DELETE FROM one_volume WHERE oid = ? AND version = ?", int(v.ID), v.readVersion))
	}
	next := o.Prior
	if status == onevolume.Undone && o.Prior == onevolume.Failed {
		reason = v.Reason + "; " + reason
	}
	if status == onevolume.Done {
		if next, err = s.apply(ctx, tx, o, &v, made); err != nil {
			return err
		}
	}
	if v.State != next {
		if err := transition(&v.Volume, next); err != nil {
			return err
		}
		v.State = next
	}
	v.Reason = reason
	if next == onevolume.Available {
		v.Reason = ""
	}
	err = s.save(ctx, tx, &v, s.now())
	if troubleOf(err) == duplicate {
		return s.taken(ctx, tx, &v, err)
	}
	return err
}

// apply brings what an array did to the volume's row.
func (s *Store) apply(ctx context.Context, tx *transaction, o *operation, v *row, made onevolume.Made) (next onevolume.State, err error) {
	next = o.Prior
	switch o.Kind {
	case onevolume.Create:
		next = onevolume.Available
		if o.Task.Copies() {
			next = onevolume.Retained
		}
		if made.Size <= 0 || made.Target.IQN == "" {
			return next, onevolume.Errorf(onevolume.Invalid, "Operation %d made a volume without a size or a target.", o.ID)
		}
		chap := v.Target.CHAP
		v.Size, v.Target, v.Identity = made.Size, made.Target, made.Identity
		v.Target.CHAP = chap
	case onevolume.Resize:
		if made.Size < v.Size {
			return next, onevolume.Errorf(onevolume.Invalid, "Operation %d made volume %d smaller: %s.", o.ID, v.ID, made.Size.Exact())
		}
		v.Size = made.Size
	case onevolume.SnapshotCreate:
		_, err = tx.ExecContext(ctx, "INSERT INTO one_volume_snapshot ("+snapshotColumns+") VALUES ("+marks(10)+")",
			int(o.Task.Snapshot), int(v.ID), o.Task.SnapshotName, o.Task.SnapshotUUID, int64(made.Size),
			v.Owner.UID, v.Owner.GID, v.Owner.User, v.Owner.Group, millis(s.now()))
	case onevolume.SnapshotDelete:
		_, err = tx.ExecContext(ctx, "DELETE FROM one_volume_snapshot WHERE oid = ? AND volume = ?", int(o.Task.Snapshot), int(v.ID))
	case onevolume.SnapshotRevert:
		// What is on it now is the data of whoever owned it then.
		next = onevolume.Retained
		var shot onevolume.Snapshot
		if shot, err = readSnapshot(ctx, tx, o.Task.Snapshot); err == nil {
			v.Size = made.Size
			if shot.By.UID != v.Owner.UID {
				err = giveTo(ctx, tx, v, shot.By)
			}
		}
	}
	return next, err
}

const snapshotColumns = "oid, volume, name, array_id, size, uid, gid, uname, gname, regtime"

func scanSnapshot(from scanner) (shot onevolume.Snapshot, err error) {
	var at int64
	err = from.Scan(&shot.ID, &shot.Volume, &shot.Name, &shot.UUID, &shot.Size, &shot.By.UID, &shot.By.GID, &shot.By.User, &shot.By.Group, &at)
	shot.Time = fromMillis(at)
	return shot, err
}

func readSnapshot(ctx context.Context, q querier, id onevolume.SnapshotID) (onevolume.Snapshot, error) {
	shot, err := scanSnapshot(q.QueryRowContext(ctx, "SELECT "+snapshotColumns+" FROM one_volume_snapshot WHERE oid = ?", int(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return shot, onevolume.Errorf(onevolume.NotFound, "There is no snapshot %d.", id)
	}
	return shot, err
}

// snapshotOf reads a snapshot, which must be the volume's unless that is -1.
func (s *Store) snapshotOf(ctx context.Context, q querier, _ onevolume.Caller, of onevolume.VolumeID, id onevolume.SnapshotID) (onevolume.Snapshot, error) {
	shot, err := readSnapshot(ctx, q, id)
	if err == nil && of >= 0 && shot.Volume != of {
		return shot, onevolume.Errorf(onevolume.NotFound, "Volume %d has no snapshot %d.", of, id)
	}
	return shot, err
}

// usableSnapshot is snapshotOf for those who may have what is in it: whoever
// owned the volume then, and administrators. A volume goes from one owner to
// the next; its snapshots do not.
func (s *Store) usableSnapshot(ctx context.Context, q querier, who onevolume.Caller, of onevolume.VolumeID, id onevolume.SnapshotID) (onevolume.Snapshot, error) {
	shot, err := s.snapshotOf(ctx, q, who, of, id)
	if err == nil && !who.IsAdmin() && who.UID != shot.By.UID {
		return shot, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform USE SNAPSHOT [%d].", who.UID, id).
			WithHint("it holds the data of user %s", shot.By.User)
	}
	return shot, err
}

// Snapshot reads one snapshot. Code: NotFound.
func (s *Store) Snapshot(ctx context.Context, id onevolume.SnapshotID) (shot onevolume.Snapshot, err error) {
	err = s.persist(ctx, fmt.Sprintf("reading snapshot %d", id), func() error {
		shot, err = readSnapshot(ctx, s.db, id)
		return err
	})
	return shot, err
}

// Snapshots lists a volume's snapshots, the oldest first.
func (s *Store) Snapshots(ctx context.Context, id onevolume.VolumeID) (list []onevolume.Snapshot, err error) {
	err = s.persist(ctx, fmt.Sprintf("listing the snapshots of volume %d", id), func() error {
		list, err = snapshots(ctx, s.db, id)
		return err
	})
	return list, err
}

func snapshots(ctx context.Context, q querier, id onevolume.VolumeID) (list []onevolume.Snapshot, err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+snapshotColumns+" FROM one_volume_snapshot WHERE volume = ? ORDER BY oid", int(id))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		shot, err := scanSnapshot(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, shot)
	}
	return list, rows.Err()
}

// refuseSnapshots says which snapshots keep a volume from being deleted.
func (s *Store) refuseSnapshots(ctx context.Context, q querier, id onevolume.VolumeID) error {
	list, err := snapshots(ctx, q, id)
	if err != nil || len(list) == 0 {
		return err
	}
	var names []string
	for _, shot := range list {
		names = append(names, fmt.Sprintf("%d (%s)", shot.ID, shot.Name))
	}
	return onevolume.Errorf(onevolume.Action, "Volume %d has snapshots: %s.", id, strings.Join(names, ", ")).
		WithHint("delete them first: onevolume snapshot-delete %d %d", id, list[0].ID)
}

// OnArray gives the ids of the volumes that an array knows by these UUIDs.
// What the inventory does not know is left out.
func (s *Store) OnArray(ctx context.Context, array string, uuids []string) (ids map[string]onevolume.VolumeID, err error) {
	err = s.persist(ctx, "looking for volumes of array "+array, func() error {
		ids = map[string]onevolume.VolumeID{}
		for _, uuid := range uuids {
			var id onevolume.VolumeID
			err := s.db.QueryRowContext(ctx, "SELECT oid FROM one_volume WHERE array_name = ? AND array_id = ?", array, uuid).Scan(&id)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err == nil {
				ids[uuid] = id
			}
		}
		return nil
	})
	return ids, err
}

// CountOnArrays counts the volumes of each array, by its name.
func (s *Store) CountOnArrays(ctx context.Context) (counts map[string]int, err error) {
	err = s.persist(ctx, "counting the volumes of arrays", func() (err error) {
		counts = map[string]int{}
		rows, err := s.db.QueryContext(ctx, "SELECT array_name, COUNT(oid) FROM one_volume GROUP BY array_name")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			var name string
			var n int
			if err := rows.Scan(&name, &n); err != nil {
				return err
			}
			counts[name] = n
		}
		return rows.Err()
	})
	return counts, err
}
