package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"onevolume"
)

// operationColumns are the columns of one_volume_operation, in the order of
// scanOperation and of open. running_volume follows from two of them.
const operationColumns = "oid, kind, volume, " +
	"vm_id, vm_name, vm_host, vm_hypervisor, vm_deploy_id, vm_uid, vm_gid, vm_uname, vm_gname, vm_running, " +
	"leaving, status, prior, by_uid, by_gid, by_uname, by_gname, " +
	"owner, generation, lease, term, started, ended, error, journal, way, task"

// operation is an onevolume.Operation with what only the database knows.
type operation struct {
	onevolume.Operation
	journal int // how many entries there are
}

// way is what the column task has of a migration.
type way struct {
	Destination string `json:"destination"`
}

func scanOperation(from scanner) (*operation, error) {
	var o operation
	var lease, term, started, ended int64
	var task string
	err := from.Scan(&o.ID, &o.Kind, &o.Volume,
		&o.VM.ID, &o.VM.Name, &o.VM.Host, &o.VM.Hypervisor, &o.VM.DeployID,
		&o.VM.Owner.UID, &o.VM.Owner.GID, &o.VM.Owner.User, &o.VM.Owner.Group, &o.VM.Running,
		&o.Leave, &o.Status, &o.Prior, &o.By.UID, &o.By.GID, &o.By.User, &o.By.Group,
		&o.Owner, &o.Generation, &lease, &term, &started, &ended, &o.Error, &o.journal, &o.Way, &task)
	o.Lease, o.Started, o.Ended = fromMillis(lease), fromMillis(started), fromMillis(ended)
	o.Term = time.Duration(term) * time.Millisecond
	if err == nil && task != "" && o.Kind == onevolume.Migrate {
		var to way
		if err = json.Unmarshal([]byte(task), &to); err != nil {
			err = fmt.Errorf("operation %d: where it goes, in the database: %w", o.ID, err)
		}
		o.Destination = to.Destination
	} else if err == nil && task != "" {
		if err = json.Unmarshal([]byte(task), &o.Task); err != nil {
			err = fmt.Errorf("operation %d: its task in the database: %w", o.ID, err)
		}
	}
	return &o, err
}

// open writes a new RUNNING operation.
func (o *operation) open(ctx context.Context, tx *transaction) error {
	task := ""
	if o.Task != nil || o.Kind == onevolume.Migrate {
		var what any = o.Task
		if o.Kind == onevolume.Migrate {
			what = way{o.Destination}
		}
		text, err := json.Marshal(what)
		if err != nil {
			return fmt.Errorf("the task of operation %d: %w", o.ID, err)
		}
		task = string(text)
	}
	_, err := tx.ExecContext(ctx,
		"INSERT INTO one_volume_operation ("+operationColumns+", running_volume) VALUES ("+marks(31)+")",
		o.ID, string(o.Kind), int(o.Volume),
		int(o.VM.ID), o.VM.Name, o.VM.Host, o.VM.Hypervisor, o.VM.DeployID,
		o.VM.Owner.UID, o.VM.Owner.GID, o.VM.Owner.User, o.VM.Owner.Group, o.VM.Running,
		string(o.Leave), string(o.Status), string(o.Prior), o.By.UID, o.By.GID, o.By.User, o.By.Group,
		o.Owner, o.Generation, millis(o.Lease), o.Term.Milliseconds(), millis(o.Started), millis(o.Ended), o.Error, o.journal, string(o.Way), task,
		int(o.Volume))
	if troubleOf(err) == duplicate {
		return errLost // another operation took the volume in between
	}
	return err
}

// readOperation reads one operation. Code: NotFound.
func readOperation(ctx context.Context, q querier, id int) (*operation, error) {
	o, err := scanOperation(q.QueryRowContext(ctx, "SELECT "+operationColumns+" FROM one_volume_operation WHERE oid = ?", id))
	if errors.Is(err, sql.ErrNoRows) {
		return o, onevolume.Missing("operation", id)
	}
	return o, err
}

// runningOn is the operation that holds a volume, or nil.
func runningOn(ctx context.Context, q querier, id onevolume.VolumeID) (*operation, error) {
	o, err := scanOperation(q.QueryRowContext(ctx, "SELECT "+operationColumns+" FROM one_volume_operation WHERE running_volume = ?", int(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return o, err
}

// operations reads what a query with operationColumns finds.
func operations(ctx context.Context, q querier, query string, args ...any) (found []*operation, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		o, err := scanOperation(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, o)
	}
	return found, rows.Err()
}

// held fails with the code Stale unless ref is the hold of a running
// operation's owner.
func (o *operation) held(ref onevolume.OperationRef) error {
	switch {
	case o.Generation != ref.Generation:
		return onevolume.Errorf(onevolume.Stale, "Operation %d was taken over by %s (generation %d, not %d).",
			o.ID, o.Owner, o.Generation, ref.Generation).WithHint("stop: what follows is the new owner's to do")
	case o.Status != onevolume.Running:
		return onevolume.Errorf(onevolume.Stale, "Operation %d has ended: it is %s.", o.ID, o.Status)
	}
	return nil
}

// idsAtOnce is how many ids one statement names: SQLite takes 32766 values.
const idsAtOnce = 500

// Operations reads the operations with these ids; those that do not exist are
// left out.
func (s *Store) Operations(ctx context.Context, ids []int) (list []onevolume.Operation, err error) {
	err = s.persist(ctx, "reading operations", func() error {
		list = nil
		for some := range slices.Chunk(ids, idsAtOnce) {
			found, err := operations(ctx, s.db, "SELECT "+operationColumns+" FROM one_volume_operation WHERE oid IN ("+marks(len(some))+")", ints(some)...)
			if err != nil {
				return err
			}
			for _, o := range found {
				list = append(list, o.Operation)
			}
		}
		return nil
	})
	return list, err
}

// Operation reads one operation. Code: NotFound.
func (s *Store) Operation(ctx context.Context, id int) (op onevolume.Operation, err error) {
	err = s.persist(ctx, fmt.Sprintf("reading operation %d", id), func() error {
		o, err := readOperation(ctx, s.db, id)
		if err == nil {
			op = o.Operation
		}
		return err
	})
	return op, err
}

// Expired lists the running operations whose owner's lease has ended at now,
// the longest dead first.
func (s *Store) Expired(ctx context.Context, now time.Time) ([]onevolume.Operation, error) {
	return s.operations(ctx, "looking for operations without an owner", "status = ? AND lease <= ?", string(onevolume.Running), now.UnixMilli())
}

// Running lists the running operations, the oldest lease first.
func (s *Store) Running(ctx context.Context) ([]onevolume.Operation, error) {
	return s.operations(ctx, "listing the running operations", "status = ?", string(onevolume.Running))
}

// operations lists the operations for which a condition holds.
func (s *Store) operations(ctx context.Context, doing, condition string, args ...any) (list []onevolume.Operation, err error) {
	err = s.persist(ctx, doing, func() error {
		found, err := operations(ctx, s.db, "SELECT "+operationColumns+
			" FROM one_volume_operation WHERE "+condition+" ORDER BY lease, oid", args...)
		list = nil
		for _, o := range found {
			list = append(list, o.Operation)
		}
		return err
	})
	return list, err
}

// Hosts lists, in order, the names of all hosts where a volume or an
// operation is or was: whatever there is of ours on hosts is on these.
func (s *Store) Hosts(ctx context.Context) (names []string, err error) {
	err = s.persist(ctx, "listing hosts", func() error {
		names, err = readNames(ctx, s.db, "SELECT host FROM one_volume WHERE host <> ''"+
			" UNION SELECT vm_host FROM one_volume_operation WHERE vm_host <> '' ORDER BY 1")
		return err
	})
	return names, err
}

// readNames reads a query of one column of text.
func readNames(ctx context.Context, q querier, query string, args ...any) (names []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// TakeOver makes owner the owner of a running operation whose lease has
// ended, with a lease of its own, and raises the generation. dead, unless it
// is zero, is the lease of an owner that is known to be dead: its end does
// not count then, but it must still be the one on record, for an owner that
// renewed it meanwhile lives. Of several who try with the same ref one
// succeeds; it may repeat the call when the answer was lost. Codes: NotFound, Stale (another was first, or the
// operation has ended), Busy (its owner renewed the lease: it is alive).
func (s *Store) TakeOver(ctx context.Context, ref onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (op onevolume.Operation, err error) {
	if owner == "" || lease < time.Millisecond {
		return op, onevolume.Errorf(onevolume.Invalid, "Taking over operation %d needs an owner and a lease.", ref.ID)
	}
	err = s.write(ctx, fmt.Sprintf("taking over operation %d", ref.ID), func(tx *transaction) error {
		o, err := readOperation(ctx, tx, ref.ID)
		if err != nil {
			return err
		}
		if o.Generation == ref.Generation+1 && o.Owner == owner && o.Status == onevolume.Running {
			op = o.Operation
			return nil
		}
		if err := o.held(ref); err != nil {
			return err
		}
		now := s.now()
		if dead.IsZero() && o.Lease.After(now) || !dead.IsZero() && !o.Lease.Equal(dead) {
			return onevolume.Errorf(onevolume.Busy, "Operation %d is held by %s until %s.", o.ID, o.Owner, o.Lease.Format(time.RFC3339))
		}
		was, from := o.Lease, o.Owner
		o.Term = lease
		o.Owner, o.Generation, o.Lease = owner, o.Generation+1, now.Add(lease).Truncate(time.Millisecond)
		op = o.Operation
		err = changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET owner = ?, generation = ?, lease = ?, term = ?"+
			" WHERE oid = ? AND generation = ? AND status = ? AND lease = ?",
			o.Owner, o.Generation, millis(o.Lease), lease.Milliseconds(), o.ID, ref.Generation, string(onevolume.Running), millis(was)))
		if err != nil {
			return err
		}
		tx.moved(o, onevolume.Running)
		d := o.deed("ok")
		d.Ask = onevolume.Ask{By: o.By, From: owner, Action: "take over", Text: "from " + from}
		return s.deed(ctx, tx, d)
	})
	if err != nil {
		return onevolume.Operation{}, err
	}
	return op, nil
}
