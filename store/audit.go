package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"onevolume"
)

const auditColumns = "oid, time, uid, gid, uname, gname, origin, action, request, volume, vm_id, operation, result"

// The longest texts that the audit's columns take, in characters. MariaDB's
// TEXT is bounded in bytes, of which a character has up to four.
const (
	longestOrigin = 255
	longestAction = 32
	longestText   = 16000
)

// fit makes text of any origin fit a column of n characters: MariaDB refuses
// what is too long or is no UTF-8, and a line of the audit must never be what
// an operation fails of.
func fit(s string, n int) string { return shorten(strings.ToValidUTF8(s, "\uFFFD"), n) }

// deed adds a line to the audit. Its id is the last lock that a transaction
// takes.
func (s *Store) deed(ctx context.Context, tx *transaction, d onevolume.Deed) error {
	id, err := nextID(ctx, tx, "audit")
	if err != nil {
		return err
	}
	if d.Time.IsZero() {
		d.Time = s.now()
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO one_volume_audit ("+auditColumns+") VALUES ("+marks(13)+")",
		id, millis(d.Time), d.By.UID, d.By.GID, fit(d.By.User, longestName), fit(d.By.Group, longestName),
		fit(d.From, longestOrigin), fit(d.Action, longestAction), fit(d.Text, longestText),
		int(d.Volume), int(d.VM), d.Operation, fit(d.Result, longestText))
	return err
}

// asked adds the ask that the context carries, with its object and result.
// Without an ask it adds nothing.
func (s *Store) asked(ctx context.Context, tx *transaction, d onevolume.Deed) error {
	ask, ok := onevolume.AskOf(ctx)
	if !ok {
		return nil
	}
	d.Ask = ask
	return s.deed(ctx, tx, d)
}

// deed is what came of an operation, without who asked.
func (o *operation) deed(result string) onevolume.Deed {
	return onevolume.Deed{Volume: o.Volume, VM: o.VM.ID, Operation: o.ID, Result: result}
}

// Audit adds a line to the audit, for asks that changed nothing here: what
// was refused, and what other packages did. The id is the store's, and so is
// the time where it is not set.
func (s *Store) Audit(ctx context.Context, d onevolume.Deed) error {
	return s.write(ctx, "writing to the audit", func(tx *transaction) error { return s.deed(ctx, tx, d) })
}

// History lists the deeds that h asks for and its viewer may see, the newest
// first.
func (s *Store) History(ctx context.Context, h onevolume.History) (deeds []onevolume.Deed, err error) {
	var w where
	if h.Volume >= 0 {
		w.and("volume = ?", int(h.Volume))
	}
	if h.VM >= 0 {
		w.and("vm_id = ?", int(h.VM))
	}
	if h.UID >= 0 {
		w.and("uid = ?", h.UID)
	}
	if h.Before > 0 {
		w.and("oid < ?", h.Before)
	}
	if !h.Viewer.IsAdmin() {
		var mine where
		mine.allowed(h.Viewer, onevolume.Manage)
		w.and("(uid = ? OR volume IN (SELECT oid FROM one_volume"+mine.String()+"))", append([]any{h.Viewer.UID}, mine.args...)...)
	}
	query := "SELECT " + auditColumns + " FROM one_volume_audit" + w.String() + " ORDER BY oid DESC"
	if h.Limit > 0 {
		query += " LIMIT " + strconv.Itoa(h.Limit)
	}
	err = s.persist(ctx, "reading the audit", func() error {
		deeds, err = s.deeds(ctx, query, w.args...)
		return err
	})
	return deeds, err
}

// deeds reads what a query with auditColumns finds.
func (s *Store) deeds(ctx context.Context, query string, args ...any) (found []onevolume.Deed, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d onevolume.Deed
		var at int64
		err := rows.Scan(&d.ID, &at, &d.By.UID, &d.By.GID, &d.By.User, &d.By.Group, &d.From, &d.Action, &d.Text,
			&d.Volume, &d.VM, &d.Operation, &d.Result)
		if err != nil {
			return nil, fmt.Errorf("a line of the audit: %w", err)
		}
		d.Time = fromMillis(at)
		found = append(found, d)
	}
	return found, rows.Err()
}
