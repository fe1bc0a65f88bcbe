package store

import (
	"context"
	"fmt"

	"onevolume"
)

// Recover gives a volume the state that an administrator says is true,
// whatever the state table allows: AVAILABLE sends it home blank, RETAINED
// keeps its owner, both take it out of its VM; ATTACHED puts it where r says;
// ERROR keeps where it is. The reason stays with it, except on an AVAILABLE
// one. A parked operation of the volume is thereby over: it counts as done or
// as undone by what is so now, and cannot be reopened any more. A call whose
// answer was lost may be repeated.
//
// Codes: NotFound, Invalid (no such recovery), Busy (an operation runs on
// it).
func (s *Store) Recover(ctx context.Context, id onevolume.VolumeID, r onevolume.Recovery) error {
	switch {
	case r.State != onevolume.Failed && r.State != onevolume.Attached && !r.State.Free():
		return onevolume.Errorf(onevolume.Invalid, "Volume %d cannot be declared %s.", id, r.State).
			WithHint("a volume is recovered to AVAILABLE, RETAINED, ATTACHED or ERROR")
	case r.State == onevolume.Attached && r.Attachment.VM < 0:
		return onevolume.Errorf(onevolume.Invalid, "Volume %d cannot be declared ATTACHED without a VM.", id)
	}
	return s.write(ctx, fmt.Sprintf("recovering volume %d", id), func(tx *transaction) error {
		v, err := s.get(ctx, tx, id)
		if err != nil {
			return err
		}
		running, err := runningOn(ctx, tx, id)
		if err != nil {
			return err
		}
		if running != nil {
			return onevolume.Errorf(onevolume.Busy, "Volume %d is %s: operation %d (%s, VM %d) of %s holds it.",
				id, v.State, running.ID, running.Kind, running.VM.ID, running.Owner).WithHint("wait until it ends, or is parked")
		}
		before := v.Volume
		v.State, v.Reason = r.State, r.Reason
		switch {
		case r.State.Free():
			v.Attachment = onevolume.Attachment{VM: onevolume.NoVM}
		case r.State == onevolume.Attached && r.Attachment != (onevolume.Attachment{VM: before.Attachment.VM}):
			v.Attachment = r.Attachment // else where it was plugged is known better here
		}
		if r.State == onevolume.Available {
			v.Reason = ""
			if err := goHome(ctx, tx, &v); err != nil {
				return err
			}
		}
		if v.State == before.State && v.Attachment == before.Attachment && v.Reason == before.Reason {
			return nil
		}
		if err := s.recovered(ctx, tx, &v); err != nil {
			return err
		}
		at := v.Attachment.VM
		if at == onevolume.NoVM {
			at = before.Attachment.VM
		}
		return s.asked(ctx, tx, onevolume.Deed{Volume: id, VM: at, Operation: v.Operation, Result: "ok"})
	})
}

// recovered writes the volume, and ends a parked operation.
func (s *Store) recovered(ctx context.Context, tx *transaction, v *row) error {
	err := s.save(ctx, tx, v, s.now())
	switch {
	case troubleOf(err) == duplicate:
		return errLost // the name was taken in between: look for another
	case err != nil:
		return err
	case v.State == onevolume.Failed || v.Operation == 0:
		return nil
	}
	o, err := readOperation(ctx, tx, v.Operation)
	if err != nil || o.Status != onevolume.Parked {
		return err
	}
	end := onevolume.Undone
	if (o.Kind == onevolume.Detach) == v.State.Free() {
		end = onevolume.Done
	}
	tx.moved(o, end)
	return changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ? WHERE oid = ? AND generation = ? AND status = ?",
		string(end), o.ID, o.Generation, string(onevolume.Parked)))
}
