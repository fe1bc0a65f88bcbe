package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"onevolume"
)

// What a restore leaves room for: ids and generations that were given out
// after the backup was made, by an inventory that is lost, and that are in
// use by guests and programs still.
const (
	volumesSince     = 1000
	operationsSince  = 100_000
	generationsSince = 1000
)

// mark tells one content of an inventory from another, and its counters.
type mark struct {
	volumes, versions                   int64
	operations, generations, entries    int64
	nextVolume, nextOperation, nextDeed int64
	key                                 string // the sealed text, which tells one inventory from another
}

func (m mark) empty() bool { return m.volumes == 0 && m.operations == 0 }

// mark reads the mark of an inventory.
func (s *Store) mark(ctx context.Context, q querier) (m mark, err error) {
	sums := q.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(version), 0) FROM one_volume").Scan(&m.volumes, &m.versions)
	ops := q.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(generation), 0), COALESCE(SUM(journal), 0) FROM one_volume_operation").
		Scan(&m.operations, &m.generations, &m.entries)
	if err := errors.Join(sums, ops); err != nil {
		return m, err
	}
	for _, c := range []struct {
		name string
		to   *int64
	}{{"volume", &m.nextVolume}, {"operation", &m.nextOperation}, {"audit", &m.nextDeed}} {
		if err := q.QueryRowContext(ctx, "SELECT value FROM one_volume_control WHERE name = ?", c.name).Scan(c.to); err != nil {
			return m, err
		}
	}
	err = q.QueryRowContext(ctx, "SELECT detail FROM one_volume_control WHERE name = 'key'").Scan(&m.key)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return m, err
}

// markOf reads the mark of a backup.
func (s *Store) markOf(ctx context.Context, path string) (mark, error) {
	file, err := openBackup(ctx, path, s.seal)
	if err != nil {
		return mark{}, err
	}
	defer file.Close()
	m, err := file.mark(ctx, file.db)
	return m, file.outward("reading the backup "+path, err)
}

// replace puts the content of a backup in the place of what is there, which
// must still be what was saved.
func (s *Store) replace(ctx context.Context, file *Store, tx *transaction, r *Restored, saved mark) error {
	// Locks first: who wants an id waits here, and operations stay as they
	// are judged.
	err := run(ctx, tx, []string{
		"UPDATE one_volume_control SET value = value + 0 WHERE name IN ('volume', 'operation', 'audit')",
		"UPDATE one_volume_operation SET lease = lease + 0",
		"UPDATE one_volume SET version = version + 0",
	})
	if err != nil {
		return err
	}
	is, err := s.mark(ctx, tx)
	if err != nil {
		return err
	}
	if is != saved {
		return errChanged
	}
	if err := s.refuseLiving(ctx, tx); err != nil {
		return err
	}
	from, err := file.mark(ctx, file.db)
	if err != nil {
		return err
	}
	newest, err := newestVersion(ctx, tx)
	if err != nil {
		return err
	}
	err = run(ctx, tx, []string{
		"DELETE FROM one_volume_command", "DELETE FROM one_volume_journal",
		"DELETE FROM one_volume_operation", "DELETE FROM one_volume", "DELETE FROM one_volume_quota",
		"DELETE FROM " + eventTable, // of the backup's nobody is told again
		"DELETE FROM one_volume_control WHERE name IN ('hold', 'key')",
	})
	if err != nil {
		return err
	}
	for _, t := range dataTables {
		if t.name == auditTable || t.name == labelTable || t.name == eventTable || t.name == fenceTable {
			continue
		}
		if _, err := t.copyTo(ctx, file.db, tx); err != nil {
			return file.reading(err)
		}
	}
	if err := s.mergeAudit(ctx, file, tx, max(is.nextDeed, from.nextDeed)); err != nil {
		return err
	}
	if err := mergeLabels(ctx, file, tx); err != nil {
		return err
	}
	if err := mergeFences(ctx, file, tx); err != nil {
		return err
	}
	if err := s.raise(ctx, tx, is, from, newest); err != nil {
		return err
	}
	return s.settleRestored(ctx, file, tx, r)
}

// reading tells of a backup that cannot be read, where an error is of that;
// others are of the database that is written.
func (s *Store) reading(err error) error {
	var reading readError
	if errors.As(err, &reading) {
		return s.outward("reading the backup "+s.kind.name, reading.error)
	}
	return err
}

// newestVersion is the largest version of a volume.
func newestVersion(ctx context.Context, q querier) (n int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM one_volume").Scan(&n)
	return n, err
}

// raise keeps ids, generations and versions from being given out again.
func (s *Store) raise(ctx context.Context, tx *transaction, is, from mark, newest int64) error {
	volumes, operations := max(is.nextVolume, from.nextVolume), max(is.nextOperation, from.nextOperation)
	// An inventory that is there and went on from where the backup was made
	// knows all that it gave out; any other does not.
	if is.key != from.key || is.nextVolume < from.nextVolume || is.nextOperation < from.nextOperation {
		volumes, operations = volumes+volumesSince, operations+operationsSince
	}
	for _, c := range []struct {
		query string
		args  []any
	}{
		{"UPDATE one_volume_control SET value = ? WHERE name = 'volume'", []any{volumes}},
		{"UPDATE one_volume_control SET value = ? WHERE name = 'operation'", []any{operations}},
		{"UPDATE one_volume SET version = version + ?", []any{newest + 1}},
		{"UPDATE one_volume_operation SET generation = generation + ? WHERE status IN (?, ?)",
			[]any{generationsSince, string(onevolume.Running), string(onevolume.Parked)}},
	} {
		if _, err := tx.ExecContext(ctx, c.query, c.args...); err != nil {
			return err
		}
	}
	return nil
}

// mergeAudit adds the backup's deeds that are not there. One whose id another
// deed has gets the next one: none is lost, and none of those there is
// touched.
func (s *Store) mergeAudit(ctx context.Context, file *Store, tx *transaction, next int64) error {
	var audit table
	for _, t := range dataTables {
		if t.name == auditTable {
			audit = t
		}
	}
	there := map[string]uint64{}
	err := audit.each(ctx, tx, func(values []any) error {
		there[fmt.Sprint(values[0])] = digest(values)
		return nil
	})
	if err != nil {
		return err
	}
	in := inserter{table: audit, tx: tx}
	var moved [][]any
	err = audit.each(ctx, file.db, func(values []any) error {
		has, taken := there[fmt.Sprint(values[0])]
		switch {
		case !taken:
			return in.add(ctx, values)
		case has != digest(values):
			moved = append(moved, values)
		}
		return nil
	})
	if err != nil {
		return file.reading(err)
	}
	for _, values := range moved {
		values[0] = next
		next++
		if err := in.add(ctx, values); err != nil {
			return err
		}
	}
	if err := in.flush(ctx); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "UPDATE one_volume_control SET value = ? WHERE name = 'audit'", next)
	return err
}

// digest tells rows apart, from whichever database they are read.
func digest(values []any) uint64 {
	h := fnv.New64a()
	for _, v := range values {
		fmt.Fprintf(h, "%q,", fmt.Sprint(v))
	}
	return h.Sum64()
}

// settleRestored parks what ran, holds the inventory, and leaves the deed.
func (s *Store) settleRestored(ctx context.Context, file *Store, tx *transaction, r *Restored) error {
	now, made := s.now(), r.Made.Format(time.RFC3339)
	if err := s.parkRestored(ctx, tx, r, made); err != nil {
		return err
	}
	r.Hold = fmt.Sprintf("it was restored at %s from a backup of %s, and what was attached since is not known", now.Format(time.RFC3339), made)
	from, err := file.mark(ctx, file.db)
	if err != nil {
		return file.outward("reading the backup "+r.Path, err)
	}
	rows := [][]any{{"hold", millis(now), r.Hold}, {"key", 1, from.key}}
	if from.key == "" {
		rows = rows[:1] // never served: the next opening makes one
	}
	for _, row := range rows {
		if _, err := tx.ExecContext(ctx, "INSERT INTO one_volume_control (name, value, detail) VALUES (?, ?, ?)", row...); err != nil {
			return err
		}
	}
	ask, ok := onevolume.AskOf(ctx)
	if !ok {
		ask = onevolume.Ask{Action: "restore"}
	}
	ask.Text = fmt.Sprintf("%s of %s: %d volumes, %d operations, %d of them parked", r.Path, made, r.Volumes, r.Operations, len(r.Parked))
	return s.deed(ctx, tx, onevolume.Deed{Ask: ask, Volume: onevolume.NoVolume, VM: onevolume.NoVM, Result: "ok"})
}

// parkRestored parks the operations that ran when the backup was made: their
// owners are gone, or work for another inventory.
func (s *Store) parkRestored(ctx context.Context, tx *transaction, r *Restored, made string) error {
	list, err := operations(ctx, tx, "SELECT "+operationColumns+" FROM one_volume_operation WHERE status = ? ORDER BY oid", string(onevolume.Running))
	if err != nil {
		return err
	}
	r.Parked = nil
	for _, o := range list {
		r.Parked = append(r.Parked, o.ID)
		why := fmt.Sprintf("it ran when the backup of %s was made, and how it went on is not known; look at VM %d and host %s, then: "+
			"onevolume resume %d, onevolume abort %d, or onevolume recover --status STATUS %d", made, o.VM.ID, o.VM.Host, o.ID, o.ID, o.Volume)
		_, err := tx.ExecContext(ctx, "UPDATE one_volume_operation SET status = ?, running_volume = NULL, ended = ?, error = ? WHERE oid = ?",
			string(onevolume.Parked), millis(s.now()), why, o.ID)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE one_volume SET status = ?, reason = ? WHERE oid = ?", string(onevolume.Failed), why, int(o.Volume))
		if err != nil {
			return err
		}
		if err := s.deed(ctx, tx, o.ended(onevolume.Ending{Status: onevolume.Parked, Error: why})); err != nil {
			return err
		}
	}
	// A volume that moves without an operation would do so for ever.
	_, err = tx.ExecContext(ctx, "UPDATE one_volume SET status = ?, reason = ? WHERE status IN (?, ?, ?, ?)", string(onevolume.Failed),
		"the backup had no running operation for it", string(onevolume.Attaching), string(onevolume.Detaching), string(onevolume.Wiping), string(onevolume.Changing))
	return err
}
