package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"onevolume"
)

// Finish ends a running operation and frees its volume: to AVAILABLE it goes
// back to its home, without VM and without reason; RETAINED keeps the owner;
// ATTACHED and ERROR keep the VM. The ending's error becomes the volume's
// reason, except on an AVAILABLE one, which others may see next. A call whose
// answer was lost may be repeated.
//
// Codes: NotFound, Stale, Action (the state cannot become that), Mismatch,
// Invalid (no such ending).
func (s *Store) Finish(ctx context.Context, ref onevolume.OperationRef, e onevolume.Ending) error {
	if err := checkEnding(ref, e); err != nil {
		return err
	}
	return s.write(ctx, fmt.Sprintf("ending operation %d", ref.ID), func(tx *sql.Tx) error {
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
		now := s.now()
		err = changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ?, ended = ?, error = ?, running_volume = NULL"+
			" WHERE oid = ? AND generation = ? AND status = ?",
			string(e.Status), millis(now), e.Error, o.ID, ref.Generation, string(onevolume.Running)))
		if err != nil {
			return err
		}
		return s.settleVolume(ctx, tx, o.Volume, e, now)
	})
}

// checkEnding refuses endings that would leave an operation or a volume in
// between.
func checkEnding(ref onevolume.OperationRef, e onevolume.Ending) error {
	bad := func(why string) error {
		return onevolume.Errorf(onevolume.Invalid, "Operation %d cannot end %s with its volume %s: %s.", ref.ID, e.Status, e.State, why)
	}
	switch {
	case e.Status != onevolume.Done && e.Status != onevolume.Undone && e.Status != onevolume.Parked:
		return bad("that is no ending")
	case e.State.Moving():
		return bad("nobody would move it on")
	case e.Status == onevolume.Parked && e.State != onevolume.Failed:
		return bad("a parked one leaves it in ERROR")
	}
	_, err := onevolume.ParseState(string(e.State))
	return err
}

// settleVolume gives the volume its state after the operation.
func (s *Store) settleVolume(ctx context.Context, tx *sql.Tx, id onevolume.VolumeID, e onevolume.Ending, now time.Time) error {
	r, err := s.get(ctx, tx, id)
	if err != nil {
		return err
	}
	if e.Status == onevolume.Parked {
		// What went wrong may be the identity itself. Parking must succeed all
		// the same: an operation that cannot even be parked is tried for ever.
		e.Note.Identity = onevolume.Identity{}
	}
	if err := applyNote(&r.Volume, e.Note); err != nil {
		return err
	}
	if err := transition(&r.Volume, e.State); err != nil {
		return err
	}
	r.State, r.Reason = e.State, e.Error
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
func goHome(ctx context.Context, tx *sql.Tx, r *row) error {
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
	return nil
}

// giveTo makes a picked volume its VM owner's.
func giveTo(ctx context.Context, tx *sql.Tx, r *row, owner onevolume.Owner) error {
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
func freeName(ctx context.Context, tx *sql.Tx, id onevolume.VolumeID, uid int, name string) (string, error) {
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
	runes := []rune(s)
	return string(runes[:min(n, len(runes))])
}
