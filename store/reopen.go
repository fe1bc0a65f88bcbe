package store

import (
	"context"
	"fmt"
	"time"

	"onevolume"
)

// unplug is the step of a detach after which the guest has let go.
const unplug = "unplug"

// Reopen makes a PARKED operation RUNNING again, the way that an
// administrator chose, with a new owner and the next generation. It must be
// the newest of its volume, and that in ERROR and in the operation's VM. The
// volume goes back to where the operation left it: ATTACHING, DETACHING, or
// WIPING when the guest had let go of what is to be wiped. A call whose
// answer was lost may be repeated.
//
// Codes: NotFound, Invalid (no such way), Action (not parked, not the newest,
// the volume is not in ERROR, or the inventory is held), Stale (another was
// first).
func (s *Store) Reopen(ctx context.Context, id int, way onevolume.Way, owner string, lease time.Duration) (op onevolume.Operation, err error) {
	if way != onevolume.Decide && way != onevolume.Forward && way != onevolume.Back {
		return op, onevolume.Errorf(onevolume.Invalid, "Operation %d cannot be carried on %q.", id, way)
	}
	if owner == "" || lease < time.Millisecond {
		return op, onevolume.Errorf(onevolume.Invalid, "Reopening operation %d needs an owner and a lease.", id)
	}
	err = s.write(ctx, fmt.Sprintf("reopening operation %d", id), func(tx *transaction) error {
		o, err := readOperation(ctx, tx, id)
		if err != nil {
			return err
		}
		if o.Status == onevolume.Running && o.Owner == owner && o.Way == way && o.Generation > 1 {
			op = o.Operation
			return nil
		}
		r, err := s.reopenable(ctx, tx, o, way)
		if err != nil {
			return err
		}
		if err := s.reopen(ctx, tx, o, r, way, owner, lease); err != nil {
			return err
		}
		op = o.Operation
		return s.asked(ctx, tx, o.deed("ok"))
	})
	if err != nil {
		return onevolume.Operation{}, err
	}
	return op, nil
}

// reopenable reads the volume of an operation that may be reopened.
func (s *Store) reopenable(ctx context.Context, tx *transaction, o *operation, way onevolume.Way) (*row, error) {
	switch {
	case o.Status == onevolume.Running && o.Way != onevolume.Decide:
		return nil, onevolume.Errorf(onevolume.Stale, "Operation %d was reopened already: %s has it.", o.ID, o.Owner)
	case o.Status != onevolume.Parked:
		return nil, onevolume.Errorf(onevolume.Action, "Operation %d is %s: only a parked one can be resumed or aborted.", o.ID, o.Status)
	}
	r, err := s.get(ctx, tx, o.Volume)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Operation != o.ID:
		return nil, onevolume.Errorf(onevolume.Action, "Operation %d is not the newest of volume %d: that is operation %d.",
			o.ID, r.ID, r.Operation)
	case r.State != o.Kind.ParkedState():
		return nil, onevolume.Errorf(onevolume.Action, "Volume %d of operation %d is not in %s but %s.", r.ID, o.ID, o.Kind.ParkedState(), r.State)
	case r.Attachment.VM != o.VM.ID:
		return nil, onevolume.Errorf(onevolume.Action, "Volume %d is not in VM %d any more, which operation %d is about.",
			r.ID, o.VM.ID, o.ID).WithHint("give the volume its true state: onevolume recover")
	}
	if way != onevolume.Back {
		err = s.refuseHeld(ctx, tx, o.Kind, o.Leave)
	}
	return &r, err
}

// reopen writes what Reopen promises.
func (s *Store) reopen(ctx context.Context, tx *transaction, o *operation, r *row, way onevolume.Way, owner string, lease time.Duration) error {
	next := onevolume.Attaching
	switch {
	case o.Kind == onevolume.Migrate, o.Kind == onevolume.Grow, o.Kind.OnArray() && o.Prior == onevolume.Attached:
		r.State, next = onevolume.Attached, onevolume.Attached // the guest has had it all the time
	case o.Kind.OnArray():
		next = onevolume.Changing
	case o.Kind == onevolume.Detach:
		next = onevolume.Detaching
		gone, err := letGo(ctx, tx, o.ID)
		if err != nil {
			return err
		}
		if gone && o.Leave != onevolume.LeaveData {
			next = onevolume.Wiping
		}
	}
	if err := transition(&r.Volume, next); err != nil {
		return err
	}
	now, was := s.now(), o.Generation
	r.State = next
	if err := s.save(ctx, tx, r, now); err != nil {
		return err
	}
	o.Term = lease
	o.Status, o.Way, o.Owner, o.Generation = onevolume.Running, way, owner, was+1
	o.Lease, o.Ended, o.Error = now.Add(lease).Truncate(time.Millisecond), time.Time{}, ""
	err := changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ?, running_volume = ?, way = ?, owner = ?,"+
		" generation = ?, lease = ?, term = ?, ended = 0, error = '' WHERE oid = ? AND generation = ? AND status = ?",
		string(o.Status), int(o.Volume), string(way), owner, o.Generation, millis(o.Lease), lease.Milliseconds(),
		o.ID, was, string(onevolume.Parked)))
	tx.moved(o, o.Status)
	if troubleOf(err) == duplicate {
		return errLost // another operation took the volume in between
	}
	return err
}

// letGo says whether a detach's journal shows that the guest has let go.
func letGo(ctx context.Context, tx *transaction, id int) (gone bool, err error) {
	entries, err := readJournal(ctx, tx, id, 0)
	for _, e := range entries {
		switch {
		case e.Step != unplug:
		case e.Event == onevolume.StepSucceeded:
			gone = true
		case e.Event == onevolume.UndoFinished:
			gone = false
		}
	}
	return gone, err
}
