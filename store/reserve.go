package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onevolume"
)

// Reserve chooses the volume that r asks for, moves it to ATTACHING or
// DETACHING and opens an operation, all or nothing. To replug, release or fence, the
// volume must be ATTACHED to the VM; it keeps its attachment. Two calls never get the
// same volume. With DryRun it chooses and checks, writes nothing, and gives
// the volume as it is and no operation.
//
// A volume picked by size becomes the VM owner's (when r names one); its Home
// stays, and so does its name unless the new owner has a volume of that name:
// then its id is put behind it until it goes home.
//
// A call whose answer was lost may be repeated: when an operation with the
// same kind, VM, Owner and caller runs, has an empty journal, and holds a
// volume that r could mean, it is returned again with a renewed lease. A
// process that runs several operations for one VM at once must therefore put
// something of its own for each into Owner.
//
// Codes: Invalid, NotFound, Forbidden (no right, or no room in a quota),
// Action (wrong state or VM, or the inventory is held), NoneFits, Busy.
func (s *Store) Reserve(ctx context.Context, who onevolume.Caller, r onevolume.Request) (onevolume.Operation, onevolume.Volume, error) {
	if err := checkRequest(r); err != nil {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	doing := fmt.Sprintf("reserving a volume to %s, VM %d", r.Kind, r.VM.ID)
	if r.DryRun {
		var v onevolume.Volume
		err := s.persist(ctx, doing, func() error {
			found, err := s.choose(ctx, s.read, who, r, 1)
			if err != nil {
				return err
			}
			v = found[0].Volume
			return admitTo(ctx, s.db, false, who, r, &found[0])
		})
		return onevolume.Operation{}, v, err
	}
	var op onevolume.Operation
	var v onevolume.Volume
	err := s.write(ctx, doing, func(tx *transaction) error {
		o, row, err := s.again(ctx, tx, who, r)
		if err == nil && o == nil {
			o, row, err = s.reserve(ctx, tx, who, r)
			if err == nil {
				err = s.asked(ctx, tx, o.deed("begun"))
			}
		}
		if err == nil {
			op, v = o.Operation, row.Volume
		}
		return err
	})
	if err != nil {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	return op, v, nil
}

// checkRequest refuses what could not be chosen or kept.
func checkRequest(r onevolume.Request) error {
	bad := func(format string, args ...any) error { return onevolume.Errorf(onevolume.Invalid, format, args...) }
	switch {
	case r.Kind != onevolume.Attach && r.Kind != onevolume.Detach && r.Kind != onevolume.Replug && r.Kind != onevolume.Release && r.Kind != onevolume.Fence && r.Kind != onevolume.Migrate && r.Kind != onevolume.Grow:
		return bad("no such kind of operation: %q", r.Kind)
	case (r.Kind == onevolume.Migrate) != (r.Destination != ""):
		return bad("a migration, and nothing else, has a host that it goes to")
	case (r.Kind == onevolume.Grow) != (r.Task != nil), r.Task != nil && r.Task.Size <= 0:
		return bad("a volume that grows, and no other, has a size to grow to")
	case r.VM.ID < 0:
		return bad("no such VM: %d", r.VM.ID)
	case r.Kind != onevolume.Attach && r.Pick.Volume == "":
		return bad("which volume to %s is missing", r.Kind)
	case r.Kind == onevolume.Attach && r.Pick.Volume == "" && r.Pick.Size <= 0:
		return bad("which volume to attach, or of which size, is missing")
	case !r.DryRun && r.Owner == "":
		return bad("an operation without an owner")
	case !r.DryRun && r.Lease < time.Millisecond:
		return bad("an operation without a lease")
	}
	return nil
}

// again finds the operation that the same request opened before.
func (s *Store) again(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.Request) (*operation, row, error) {
	found, err := operations(ctx, tx, "SELECT "+operationColumns+" FROM one_volume_operation"+
		" WHERE status = ? AND kind = ? AND vm_id = ? AND owner = ? AND by_uid = ? AND journal = 0 ORDER BY oid",
		string(onevolume.Running), string(r.Kind), int(r.VM.ID), r.Owner, who.UID)
	if err != nil {
		return nil, row{}, err
	}
	for _, o := range found {
		v, err := s.get(ctx, tx, o.Volume)
		if err != nil {
			return nil, v, err
		}
		byName := r.Pick.Volume == "" || r.Pick.Volume == v.Name || r.Pick.Volume == v.homeName || r.Pick.Volume == fmt.Sprint(int(v.ID))
		if !byName || o.Leave != r.Leave || o.Destination != r.Destination || r.Task != nil && o.Task.Size != r.Task.Size || misfit(&v.Volume, r.Pick) != "" {
			continue
		}
		o.Lease = s.now().Add(r.Lease).Truncate(time.Millisecond)
		return o, v, changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET lease = ?, term = ?"+
			" WHERE oid = ? AND generation = ? AND status = ? AND journal = 0",
			millis(o.Lease), r.Lease.Milliseconds(), o.ID, o.Generation, string(onevolume.Running)))
	}
	return nil, row{}, nil
}

// rounds bounds how often the choice is made anew in one transaction before
// the transaction is.
const rounds = 64

// reserve opens an operation on the first of the chosen volumes that nobody
// else takes.
func (s *Store) reserve(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.Request) (*operation, row, error) {
	limit := candidates
	if s.kind.oneWriter {
		limit = 1 // nobody can be first
	}
	for range rounds {
		found, err := s.choose(ctx, tx, who, r, limit)
		if err != nil {
			return nil, row{}, err
		}
		for _, v := range found {
			prior := v.State
			if err := admitTo(ctx, tx, true, who, r, &v); err != nil {
				return nil, v, err
			}
			won, err := s.claim(ctx, tx, r, &v)
			if err != nil {
				return nil, v, err
			}
			if won {
				o, err := s.begin(ctx, tx, who, r, &v, prior)
				return o, v, err
			}
		}
	}
	return nil, row{}, errLost
}

// changesHands says whether the request makes the volume its VM owner's: a
// blank one, whether picked by size or by name.
func changesHands(r onevolume.Request, v *row) bool {
	return r.Kind == onevolume.Attach && v.State == onevolume.Available && r.VM.Owner != (onevolume.Owner{})
}

// admitTo asks whether the VM's owner may have the volume by their quota.
func admitTo(ctx context.Context, q querier, holding bool, who onevolume.Caller, r onevolume.Request, v *row) error {
	after := v.Volume
	if r.Kind == onevolume.Grow {
		after.Size = max(v.Size, r.Task.Size)
		return admit(ctx, q, holding, asking(ctx, &v.Volume), &v.Volume, &after)
	}
	if !changesHands(r, v) {
		return nil
	}
	after.Owner = r.VM.Owner
	return admit(ctx, q, holding, who.UID, &v.Volume, &after)
}

// claim moves a chosen volume to ATTACHING or DETACHING, and says whether it
// still was as it was chosen.
func (s *Store) claim(ctx context.Context, tx *transaction, r onevolume.Request, v *row) (bool, error) {
	next := onevolume.Attaching
	switch r.Kind {
	case onevolume.Detach, onevolume.Release, onevolume.Fence:
		next = onevolume.Detaching
	case onevolume.Migrate, onevolume.Grow:
		next = onevolume.Attached // its guest has it all the time
	case onevolume.Attach:
		v.Attachment = onevolume.Attachment{VM: r.VM.ID}
	}
	if err := transition(&v.Volume, next); err != nil {
		return false, err
	}
	given := changesHands(r, v)
	v.State = next
	if given {
		if err := giveTo(ctx, tx, v, r.VM.Owner); err != nil {
			return false, err
		}
	}
	err := s.save(ctx, tx, v, s.now())
	switch {
	case errors.Is(err, errLost):
		return false, nil
	case troubleOf(err) == duplicate:
		return false, errLost // the name was taken in between: begin anew
	}
	return err == nil, err
}

// begin opens the operation on a volume that was claimed. Its id comes after
// the claim: whoever loses that has not kept others waiting for an id.
func (s *Store) begin(ctx context.Context, tx *transaction, who onevolume.Caller, r onevolume.Request, v *row, prior onevolume.State) (*operation, error) {
	id, err := nextID(ctx, tx, "operation")
	if err != nil {
		return nil, err
	}
	if r.Kind == onevolume.Grow {
		task := *r.Task
		task.Array, task.ArrayID = v.Array, v.ArrayID
		r.Task = &task
	}
	now := s.now()
	o := &operation{Operation: onevolume.Operation{
		ID: id, Kind: r.Kind, Volume: v.ID, VM: r.VM, Leave: r.Leave, Task: r.Task, Destination: r.Destination, Status: onevolume.Running, Prior: prior,
		By: who.Owner, Owner: r.Owner, Generation: 1, Started: now,
		Lease: now.Add(r.Lease).Truncate(time.Millisecond), Term: r.Lease,
	}}
	v.Operation = id
	// Part of the claim's write: the version stays.
	if err := changed(tx.ExecContext(ctx, "UPDATE one_volume SET operation = ? WHERE oid = ?", id, int(v.ID))); err != nil {
		return nil, err
	}
	tx.moved(o, o.Status)
	return o, o.open(ctx, tx)
}
