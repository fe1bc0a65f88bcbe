package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"onevolume"
)

const (
	eventTable   = "one_volume_event"
	eventColumns = "oid, time, volume, name, deleted, status, reason, vm_id, host, uid, gid, permissions, operation, kind, op_status, by_uid"
	// keptEvents is how many are kept; eventsAtOnce of those before are
	// deleted at a time.
	keptEvents   = 16 << 10
	eventsAtOnce = 256
	longestCause = 1000 // characters of the reason
)

// touched is what a transaction has changed so far, to be told when it
// commits.
type touched struct {
	order   []onevolume.VolumeID
	volumes map[onevolume.VolumeID]*onevolume.Volume // nil where only the operation changed
	deleted map[onevolume.VolumeID]bool
	ops     map[onevolume.VolumeID]*onevolume.Operation
}

// of gives the record of a transaction, in which the volume is now.
func (tx *transaction) of(id onevolume.VolumeID) *touched {
	t := &tx.touched
	if t.volumes == nil {
		*t = touched{volumes: map[onevolume.VolumeID]*onevolume.Volume{}, deleted: map[onevolume.VolumeID]bool{}, ops: map[onevolume.VolumeID]*onevolume.Operation{}}
	}
	if _, known := t.volumes[id]; !known {
		t.order, t.volumes[id] = append(t.order, id), nil
	}
	return t
}

// wrote notes that a volume was written, deleted that it was deleted, and
// moved that its operation was.
func (tx *transaction) wrote(r *row) {
	v := r.Volume
	tx.of(r.ID).volumes[r.ID] = &v
}

func (tx *transaction) deleted(r *row) {
	tx.wrote(r)
	tx.of(r.ID).deleted[r.ID] = true
}

func (tx *transaction) moved(o *operation, status onevolume.Status) {
	op := o.Operation
	op.Status = status
	tx.of(o.Volume).ops[o.Volume] = &op
}

// tellOf writes the events of a transaction. Their id is the last lock that
// it takes, after the audit's, and is held until the commit: who sees an event
// has seen all before it.
func (s *Store) tellOf(ctx context.Context, tx *transaction) error {
	t := &tx.touched
	for _, id := range t.order {
		v, op := t.volumes[id], t.ops[id]
		if v == nil {
			r, err := s.get(ctx, tx, id)
			if onevolume.CodeOf(err) == onevolume.NotFound {
				continue // deleted before
			}
			if err != nil {
				return err
			}
			v = &r.Volume
		}
		if op != nil {
			v.Operation = op.ID
		}
		c := onevolume.Change{Volume: id, Name: v.Name, Deleted: t.deleted[id], State: v.State, Reason: fit(v.Reason, longestCause), VM: v.Attachment.VM,
			Host: v.Attachment.Host, UID: v.Owner.UID, GID: v.Owner.GID, Permissions: v.Permissions, Operation: v.Operation, By: -1}
		switch {
		case op != nil:
			c.Kind, c.Status, c.By = op.Kind, op.Status, op.By.UID
		case v.Operation > 0:
			err := tx.QueryRowContext(ctx, "SELECT kind, status, by_uid FROM one_volume_operation WHERE oid = ?", v.Operation).Scan(&c.Kind, &c.Status, &c.By)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if err := s.tellEvent(ctx, tx, c); err != nil {
			return err
		}
	}
	return nil
}

// tellEvent adds an event, and takes away what is too many.
func (s *Store) tellEvent(ctx context.Context, tx *transaction, c onevolume.Change) error {
	id, err := nextID(ctx, tx, "event")
	if err != nil {
		return err
	}
	gone := 0
	if c.Deleted {
		gone = 1
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO "+eventTable+" ("+eventColumns+") VALUES ("+marks(16)+")",
		id, millis(s.now()), int(c.Volume), c.Name, gone, string(c.State), c.Reason, int(c.VM), c.Host, c.UID, c.GID, int(c.Permissions),
		c.Operation, string(c.Kind), string(c.Status), c.By)
	if err == nil && id%eventsAtOnce == 0 && id > keptEvents {
		_, err = tx.ExecContext(ctx, "DELETE FROM "+eventTable+" WHERE oid <= ?", id-keptEvents)
	}
	return err
}

// Changes gives the events after the one with the id, the oldest first, at
// most so many of them. The newest sixteen thousand are kept. Newest is the id
// of the newest there ever was, 0 for none.
func (s *Store) Changes(ctx context.Context, after, most int) (list []onevolume.Change, newest int, err error) {
	err = s.persist(ctx, "reading what changed", func() error {
		// The newest first: what is read after it has at least that one.
		if err := s.read.QueryRowContext(ctx, "SELECT value FROM one_volume_control WHERE name = 'event'").Scan(&newest); err != nil {
			return err
		}
		if newest--; newest <= after {
			list = nil
			return nil
		}
		list, err = s.changes(ctx, "SELECT "+eventColumns+" FROM "+eventTable+" WHERE oid > ? ORDER BY oid LIMIT ?", after, most)
		return err
	})
	return list, newest, err
}

func (s *Store) changes(ctx context.Context, query string, args ...any) (list []onevolume.Change, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c onevolume.Change
		var at int64
		err := rows.Scan(&c.ID, &at, &c.Volume, &c.Name, &c.Deleted, &c.State, &c.Reason, &c.VM, &c.Host, &c.UID, &c.GID, &c.Permissions,
			&c.Operation, &c.Kind, &c.Status, &c.By)
		if err != nil {
			return nil, fmt.Errorf("an event: %w", err)
		}
		c.Time = fromMillis(at)
		list = append(list, c)
	}
	return list, rows.Err()
}
