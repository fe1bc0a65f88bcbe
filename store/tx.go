package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"

	"onevolume"
)

// querier is a transaction, or the pool where one statement is enough.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// transaction writes: on SQLite by the writer, else by a *sql.Tx.
type transaction struct {
	querier
	kind    *dialect
	touched touched
}

// start begins a transaction that writes, and gives what ends it. Where the
// database lets one write at a time, the caller has the turn.
func (s *Store) start(ctx context.Context) (tx *transaction, commit, rollback func() error, err error) {
	if s.writer != nil {
		if err := s.writer.begin(ctx); err != nil {
			return nil, nil, nil, err
		}
		rollback := func() error { s.writer.rollback(ctx); return nil }
		return &transaction{querier: s.writer, kind: &s.kind}, func() error { return s.writer.commit(ctx) }, rollback, nil
	}
	inner, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	return &transaction{querier: inner, kind: &s.kind}, inner.Commit, inner.Rollback, nil
}

const (
	// attempts and the waits between them bound a conflict to about five
	// seconds, which is longer than a Galera cluster of three stalls when a
	// node dies (3–6 s, the statements' own waiting included).
	attempts  = 16
	firstWait = 4 * time.Millisecond
	lastWait  = 500 * time.Millisecond
	// patience ends them early when each attempt takes long by itself, as on
	// a row that somebody keeps locked (lockTimeout each).
	patience = 15 * time.Second
	// reconnects lets a transaction follow a cluster's address to another
	// node without holding a caller up for long when there is none.
	reconnects = 3
)

// write runs fn in a transaction, and all of it again when it loses against
// another one, at whatever statement or at COMMIT. fn must therefore read
// what it decides on inside, and do nothing but use the transaction.
func (s *Store) write(ctx context.Context, doing string, fn func(tx *transaction) error) error {
	return s.persist(ctx, doing, func() error { return s.try(ctx, doing, fn) })
}

// persist calls fn until it neither loses against another transaction nor its
// connection, bounded, and gives its last error the form for outside.
func (s *Store) persist(ctx context.Context, doing string, fn func() error) error {
	wait, start := firstWait, time.Now()
	for n := 1; ; n++ {
		err := fn()
		kind := troubleOf(err)
		if kind != conflict && (kind != disconnected || n >= reconnects) || n == cmp.Or(s.tries, attempts) || time.Since(start) > patience {
			return s.outward(doing, err)
		}
		// Half of the wait is drawn, so that those who met once do not meet
		// again.
		select {
		case <-time.After(wait/2 + rand.N(wait/2)):
		case <-ctx.Done():
			return s.outward(doing, errors.Join(ctx.Err(), err))
		}
		wait = min(2*wait, lastWait)
	}
}

// try runs fn in one transaction.
func (s *Store) try(ctx context.Context, doing string, fn func(tx *transaction) error) error {
	if s.turn != nil {
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tx, commit, rollback, err := s.start(ctx)
	if err != nil {
		return err
	}
	err = fn(tx)
	if err == nil {
		err = s.tellOf(ctx, tx)
	}
	if err != nil {
		// A connection that died took the transaction with it; what counts
		// is why fn failed.
		if undoErr := rollback(); undoErr != nil && troubleOf(undoErr) == other && !errors.Is(undoErr, sql.ErrTxDone) && !noTransaction(undoErr) {
			return errors.Join(err, undoErr)
		}
		return err
	}
	err = commit()
	s.copier.look()
	if troubleOf(err) == disconnected {
		return onevolume.Errorf(onevolume.Unknown, "%s: the database %s was lost while it stored this: %w", doing, s.kind.name, err).
			WithHint("look whether it is done before asking again")
	}
	return err
}

// changed turns the result of a compare-and-set into errLost when no row had
// what was compared.
func changed(r sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// nextID takes an id out of the control table, in one statement. The row stays
// locked until the transaction ends, so two takers wait in line; on Galera,
// where each node locks for itself, the second fails at COMMIT and runs again.
// It comes last of all locks, so that it is held shortly and no two wait for
// each other.
func nextID(ctx context.Context, tx *transaction, table string) (int, error) {
	if tx.kind.oneWriter {
		var next int
		err := tx.QueryRowContext(ctx, "UPDATE one_volume_control SET value = value + 1 WHERE name = ? RETURNING value", table).Scan(&next)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, errLost
		}
		return next - 1, err
	}
	// MariaDB tells what LAST_INSERT_ID was given: its UPDATE returns no rows.
	r, err := tx.ExecContext(ctx, "UPDATE one_volume_control SET value = LAST_INSERT_ID(value + 1) WHERE name = ?", table)
	if err := changed(r, err); err != nil {
		return 0, err
	}
	next, err := r.LastInsertId()
	return int(next) - 1, err
}

// millis is how the database keeps a time; the zero time is 0.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMilli(n).UTC()
}
