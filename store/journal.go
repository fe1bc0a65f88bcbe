package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"onevolume"
)

// Record appends entries to the journal of a running operation, writes what
// the note says to its volume, and renews the lease, all or nothing. Without
// entries and with an empty note it only renews. An entry without a Time gets
// the store's.
//
// A call whose answer was lost may be repeated: entries that equal the newest
// ones of the journal in step, event, time and detail are not appended again.
// What was run on hosts before an entry is kept with it.
//
// Codes: NotFound, Stale, Action (the volume cannot go to the note's state),
// Mismatch (the note's identity is not the one on record; nothing is
// written), Invalid (an event that cannot follow the step's newest).
func (s *Store) Record(ctx context.Context, ref onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	now := s.now()
	entries = slices.Clone(entries)
	for i := range entries {
		if entries[i].Time.IsZero() {
			entries[i].Time = now
		}
	}
	return s.write(ctx, fmt.Sprintf("recording operation %d", ref.ID), func(tx *transaction) error {
		o, err := readOperation(ctx, tx, ref.ID)
		if err != nil {
			return err
		}
		if err := o.held(ref); err != nil {
			return err
		}
		fresh := entries
		if again, err := repeated(ctx, tx, o, entries); err != nil {
			return err
		} else if again {
			fresh = nil
		}
		if err := checkEvents(ctx, tx, o, fresh); err != nil {
			return err
		}
		err = changed(tx.ExecContext(ctx, "UPDATE one_volume_operation SET lease = ?, journal = ?"+
			" WHERE oid = ? AND generation = ? AND status = ? AND journal = ?",
			millis(s.now().Add(o.Term)), o.journal+len(fresh), o.ID, ref.Generation, string(onevolume.Running), o.journal))
		if err != nil {
			return err
		}
		if err := appendJournal(ctx, tx, o, fresh); err != nil {
			return err
		}
		return s.note(ctx, tx, o, note)
	})
}

// repeated says whether the journal ends in these very entries.
func repeated(ctx context.Context, tx *transaction, o *operation, entries []onevolume.Entry) (bool, error) {
	if len(entries) == 0 || o.journal < len(entries) {
		return false, nil
	}
	newest, err := readJournal(ctx, tx, o.ID, o.journal-len(entries))
	if err != nil || len(newest) != len(entries) {
		return false, err
	}
	for i, e := range entries {
		n := newest[i]
		if n.Step != e.Step || n.Event != e.Event || millis(n.Time) != millis(e.Time) || n.Detail != e.Detail || n.Generation != o.Generation {
			return false, nil
		}
	}
	return true, nil
}

// checkEvents refuses events that cannot follow those before them: a journal
// that tells of something no run does could not be resumed by anybody.
func checkEvents(ctx context.Context, tx *transaction, o *operation, entries []onevolume.Entry) error {
	last := map[string]onevolume.Event{}
	for _, e := range entries {
		before, known := last[e.Step]
		if !known {
			err := tx.QueryRowContext(ctx, "SELECT event FROM one_volume_journal WHERE op = ? AND step = ? ORDER BY seq DESC LIMIT 1", o.ID, e.Step).Scan(&before)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
		}
		if !e.Event.MayFollow(before) {
			return onevolume.Errorf(onevolume.Invalid, "Operation %d: %q of step %q cannot follow %q.", o.ID, e.Event, e.Step, before)
		}
		last[e.Step] = e.Event
	}
	return nil
}

func appendJournal(ctx context.Context, tx *transaction, o *operation, entries []onevolume.Entry) error {
	for i, e := range entries {
		_, err := tx.ExecContext(ctx, "INSERT INTO one_volume_journal (op, seq, step, event, time, generation, owner, detail) VALUES ("+marks(8)+")",
			o.ID, o.journal+i+1, e.Step, string(e.Event), millis(e.Time), o.Generation, o.Owner, e.Detail)
		if err != nil {
			return err
		}
		if err := appendCommands(ctx, tx, o.ID, o.journal+i+1, e.Commands); err != nil {
			return err
		}
	}
	return nil
}

// note writes what a step learned to the operation's volume.
func (s *Store) note(ctx context.Context, tx *transaction, o *operation, note onevolume.Note) error {
	if note == (onevolume.Note{}) {
		return nil
	}
	if note.State.Free() || note.State == onevolume.Failed {
		return onevolume.Errorf(onevolume.Action, "Operation %d cannot make volume %d %s before it ends.", o.ID, o.Volume, note.State)
	}
	r, err := s.get(ctx, tx, o.Volume)
	if err != nil {
		return err
	}
	before := r.Volume
	if err := applyNote(&r.Volume, o.Kind, note); err != nil {
		return err
	}
	if r.State == before.State && r.Attachment == before.Attachment && r.Identity == before.Identity && r.Size == before.Size {
		return nil
	}
	return s.save(ctx, tx, &r, s.now())
}

// applyNote sets what the note knows; what it leaves empty stays.
func applyNote(v *onevolume.Volume, kind onevolume.Kind, note onevolume.Note) error {
	if note.Size != 0 {
		if kind != onevolume.Grow || note.Size < v.Size {
			return onevolume.Errorf(onevolume.Invalid, "An operation (%s) cannot make volume %d have %s: it has %s.", kind, v.ID, note.Size.Exact(), v.Size.Exact())
		}
		v.Size = note.Size
	}
	if note.State != "" {
		if err := transition(v, note.State); err != nil {
			return err
		}
		v.State = note.State
	}
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&v.Attachment.Host, note.Host},
		{&v.Attachment.Device, note.Device},
		{&v.Attachment.Source, note.Source},
		{&v.Attachment.Serial, note.Serial},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	return errors.Join(
		identify(v.ID, "unit serial number", &v.Identity.Serial, note.Identity.Serial),
		identify(v.ID, "WWID", &v.Identity.WWID, note.Identity.WWID))
}

// identify records part of an identity at first contact, and afterwards
// refuses any other: the device is not the volume.
func identify(id onevolume.VolumeID, what string, on *string, found string) error {
	switch {
	case found == "" || found == *on:
	case *on == "":
		*on = found
	default:
		return onevolume.Errorf(onevolume.Mismatch, "Volume %d has the %s %q on record, but the device says %q.", id, what, *on, found).
			WithHint("check on the array which unit has this target and LUN; if it was replaced on purpose, delete the volume and register it anew")
	}
	return nil
}

// Journal reads an operation's journal, oldest first, each entry with the
// commands that were run before it. Code: NotFound.
func (s *Store) Journal(ctx context.Context, id int) (entries []onevolume.Entry, err error) {
	err = s.persist(ctx, fmt.Sprintf("reading the journal of operation %d", id), func() error {
		entries, err = readJournal(ctx, s.db, id, 0)
		if err == nil && len(entries) == 0 {
			_, err = readOperation(ctx, s.db, id)
		}
		if err == nil && len(entries) > 0 {
			err = readCommands(ctx, s.db, id, entries)
		}
		return err
	})
	return entries, err
}

// readJournal reads the entries after the one with the number after.
func readJournal(ctx context.Context, q querier, id, after int) (entries []onevolume.Entry, err error) {
	rows, err := q.QueryContext(ctx, "SELECT seq, step, event, time, generation, owner, detail"+
		" FROM one_volume_journal WHERE op = ? AND seq > ? ORDER BY seq", id, after)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e onevolume.Entry
		var at int64
		if err := rows.Scan(&e.Seq, &e.Step, &e.Event, &at, &e.Generation, &e.Owner, &e.Detail); err != nil {
			return nil, err
		}
		e.Time = time.UnixMilli(at).UTC()
		entries = append(entries, e)
	}
	return entries, rows.Err()
}
