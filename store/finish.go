package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"onevolume"
)

// Finish ends a running operation and frees its volume: to AVAILABLE it goes
// back to its home, without VM and without reason; RETAINED keeps the owner;
// ATTACHED and ERROR keep the VM, but a release or a fence that is DONE takes the host off, and the fence leaves a record. The ending's error becomes the volume's
// reason, except on an AVAILABLE one, which others may see next. A call whose
// answer was lost may be repeated.
//
// Codes: NotFound, Stale, Action (the state cannot become that), Mismatch,
// Invalid (no such ending: UNDONE leaves the volume as it was before, DONE as
// the operation's kind has it).
func (s *Store) Finish(ctx context.Context, ref onevolume.OperationRef, e onevolume.Ending) error {
	if err := checkEnding(ref, e); err != nil {
		return err
	}
	return s.write(ctx, fmt.Sprintf("ending operation %d", ref.ID), func(tx *transaction) error {
		o, err := readOperation(ctx, tx, ref.ID)
		if err != nil {
			return err
		}
		if o.Generation == ref.Generation && o.Status == e.Status {
			return nil // the same word again
		}
		if err := o.held(ref); err != nil {
			return err
		}
		if o.Kind.OnArray() {
			return badEnding(ref, e, "it is an array's work")
		}
		if why := o.misfit(e); why != "" {
			return badEnding(ref, e, why)
		}
		now := s.now()
		err = changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ?, ended = ?, error = ?, running_volume = NULL"+
			" WHERE oid = ? AND generation = ? AND status = ?",
			string(e.Status), millis(now), e.Error, o.ID, ref.Generation, string(onevolume.Running)))
		if err != nil {
			return err
		}
		tx.moved(o, e.Status)
		if err := s.settleVolume(ctx, tx, o, e, now); err != nil {
			return err
		}
		return s.deed(ctx, tx, o.ended(e))
	})
}

// ended is the deed of an operation's end.
func (o *operation) ended(e onevolume.Ending) onevolume.Deed {
	result := strings.ToLower(string(e.Status))
	if e.Status != onevolume.Done && e.Error != "" {
		result += ": " + e.Error
	}
	d := o.deed(result)
	d.Ask = onevolume.Ask{By: o.By, From: o.Owner, Action: string(o.Kind)}
	return d
}

// misfit says why an operation of this kind cannot end so, or nothing. What
// would slip through here is worse than an operation that does not end: a
// volume with somebody's data that looks blank.
func (o *operation) misfit(e onevolume.Ending) string {
	switch {
	case e.Status == onevolume.Undone && e.State != o.Prior:
		return fmt.Sprintf("it was %s before", o.Prior)
	case e.Status == onevolume.Parked && e.State != o.Kind.ParkedState():
		return fmt.Sprintf("a parked one leaves it in %s", o.Kind.ParkedState())
	case e.Status != onevolume.Done:
	case o.Kind != onevolume.Detach && e.State != onevolume.Attached:
		return fmt.Sprintf("%s ends with it attached", o.Kind)
	case o.Kind == onevolume.Detach && !e.State.Free():
		return "detach ends with it in no VM"
	case e.State == onevolume.Available && o.Leave == onevolume.LeaveData:
		return "its data was to be kept"
	}
	return ""
}

// checkEnding refuses endings that would leave an operation or a volume in
// between.
func checkEnding(ref onevolume.OperationRef, e onevolume.Ending) error {
	bad := func(why string) error { return badEnding(ref, e, why) }
	switch {
	case e.Status != onevolume.Done && e.Status != onevolume.Undone && e.Status != onevolume.Parked:
		return bad("that is no ending")
	case e.State.Moving():
		return bad("nobody would move it on")
	}
	_, err := onevolume.ParseState(string(e.State))
	return err
}

func badEnding(ref onevolume.OperationRef, e onevolume.Ending, why string) error {
	return onevolume.Errorf(onevolume.Invalid, "Operation %d cannot end %s with its volume %s: %s.", ref.ID, e.Status, e.State, why)
}

// settleVolume gives the volume its state after the operation.
func (s *Store) settleVolume(ctx context.Context, tx *transaction, o *operation, e onevolume.Ending, now time.Time) error {
	r, err := s.get(ctx, tx, o.Volume)
	if err != nil {
		return err
	}
	if e.Status == onevolume.Parked {
		// What went wrong may be the identity itself. Parking must succeed all
		// the same: an operation that cannot even be parked is tried for ever.
		e.Note.Identity = onevolume.Identity{}
	}
	if err := applyNote(&r.Volume, o.Kind, e.Note); err != nil {
		return err
	}
	if err := transition(&r.Volume, e.State); err != nil {
		return err
	}
	r.State, r.Reason = e.State, e.Error
	if o.Kind == onevolume.Fence && e.Status == onevolume.Done {
		if err := putFence(ctx, tx, o, &r.Volume, now); err != nil {
			return err
		}
	}
	if (o.Kind == onevolume.Release || o.Kind == onevolume.Fence) && e.Status == onevolume.Done {
		// Its source stays: it is what the disk is known by in domains that
		// name no serial number.
		r.Attachment.Host, r.Attachment.Device = "", ""
	}
	if r.State.Free() {
		r.Attachment = onevolume.Attachment{VM: onevolume.NoVM}
	}
	if r.State == onevolume.Available {
		r.Reason = ""
		if err := goHome(ctx, tx, &r); err != nil {
			return err
		}
	}
	err = s.save(ctx, tx, &r, now)
	if troubleOf(err) == duplicate {
		return errLost // the name was taken in between: look for another
	}
	return err
}

// goHome gives a volume back to whoever registered it, under the name it had
// there.
func goHome(ctx context.Context, tx *transaction, r *row) error {
	name := r.Name
	if r.homeName != "" {
		name = r.homeName
	}
	free, err := freeName(ctx, tx, r.ID, r.Home.UID, name)
	if err != nil {
		return err
	}
	// Away from home a renamed volume remembers its name; so does one that
	// finds its name taken on return.
	r.homeName = ""
	if free != name {
		r.homeName = name
	}
	r.Name, r.Owner = free, r.Home
	delete(r.Attributes, onevolume.PolicyKey)
	return nil
}

// giveTo makes a picked volume its VM owner's.
func giveTo(ctx context.Context, tx *transaction, r *row, owner onevolume.Owner) error {
	free, err := freeName(ctx, tx, r.ID, owner.UID, r.Name)
	if err != nil {
		return err
	}
	if free != r.Name && r.homeName == "" {
		r.homeName = r.Name
	}
	r.Name, r.Owner = free, owner
	return nil
}

// freeName is the name, or, where another volume of the user has it, the name
// with the volume's id behind it, and with a number more if need be. A volume
// that changes hands by itself must not fail of its name; OpenNebula, where
// only people change owners, refuses instead.
func freeName(ctx context.Context, tx *transaction, id onevolume.VolumeID, uid int, name string) (string, error) {
	try := name
	for n := 1; ; n++ {
		var holders int
		err := tx.QueryRowContext(ctx, "SELECT COUNT(oid) FROM one_volume WHERE uid = ? AND name = ? AND oid <> ?", uid, try, int(id)).Scan(&holders)
		if err != nil || holders == 0 {
			return try, err
		}
		suffix := fmt.Sprintf("-%d", id)
		if n > 1 {
			suffix += fmt.Sprintf("-%d", n)
		}
		try = shorten(name, longestName-len(suffix)) + suffix
	}
}

// longestName is how many characters a name may have, as in
// onevolume.CheckName and the schema.
const longestName = 128

// shorten cuts s to n characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}
