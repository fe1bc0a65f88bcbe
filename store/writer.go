package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// writer is the connection that writes to SQLite; there is one, whose user
// holds the store's turn. It keeps its statements prepared, which takes longer
// than to run most of them, and, since nobody else writes in between, the
// pages that it has read. SQLite prepares a statement anew by itself when the
// schema has changed.
//
// No statement but BEGIN waits for others, so that the rest do not hear when
// their caller goes: to watch for that costs more than they do. COMMIT asks
// once.
type writer struct {
	db    *sql.DB
	conn  *sql.Conn // nil before the first transaction, and after trouble
	kept  map[string]*keptStatement
	uses  int
	under bool // a transaction is under way
	// bare says that another connection copies the log into the database.
	bare bool
}

type keptStatement struct {
	*sql.Stmt
	used int
}

// begin begins a transaction, and waits for the right to write.
func (w *writer) begin(ctx context.Context) error {
	if w.under { // its user panicked
		w.drop()
	}
	if w.conn == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return err
		}
		w.conn, w.kept = conn, map[string]*keptStatement{}
		if err := w.settle(ctx); err != nil {
			w.drop()
			return err
		}
	}
	s, err := w.statement(ctx, "BEGIN IMMEDIATE")
	if err == nil {
		w.under = true
		_, err = s.ExecContext(ctx)
	}
	if err == nil {
		return nil
	}
	// It may have begun: whoever is told to stop is not told that.
	w.rollback(ctx)
	return err
}

// settle gives the connection its settings.
func (w *writer) settle(ctx context.Context) error {
	if !w.bare {
		return nil
	}
	_, err := w.conn.ExecContext(ctx, "PRAGMA wal_autocheckpoint = 0")
	return err
}

// leaveLog makes commits leave the log as it is: another connection copies it.
func (w *writer) leaveLog(ctx context.Context) error {
	w.bare = true
	if w.conn == nil {
		return nil
	}
	return w.settle(ctx)
}

// commit ends the transaction; when it fails, nothing was written.
func (w *writer) commit(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		if _, err = w.ExecContext(ctx, "COMMIT"); err == nil {
			w.under = false
			return nil
		}
	}
	w.rollback(ctx)
	return err
}

// rollback undoes the transaction. SQLite may have done so already. A
// connection that cannot is given up, and the transaction with it.
func (w *writer) rollback(ctx context.Context) {
	if !w.under {
		return
	}
	if _, err := w.ExecContext(ctx, "ROLLBACK"); err != nil && !noTransaction(err) {
		w.drop()
	}
	w.under = false
}

// drop closes the connection. What it had begun is undone.
func (w *writer) drop() {
	if w == nil || w.conn == nil {
		return
	}
	for _, s := range w.kept {
		_ = s.Close() // of no use any more
	}
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // which has it closed, not given to others
	_ = w.conn.Close()
	w.conn, w.kept, w.under = nil, nil, false
}

// statement prepares a statement, or has it. The longest unused one makes
// room.
func (w *writer) statement(ctx context.Context, query string) (*keptStatement, error) {
	w.uses++
	if s, ok := w.kept[query]; ok {
		s.used = w.uses
		return s, nil
	}
	if w.conn == nil {
		return nil, driver.ErrBadConn
	}
	if len(w.kept) >= maxStatements {
		oldest := ""
		for q, s := range w.kept {
			if oldest == "" || s.used < w.kept[oldest].used {
				oldest = q
			}
		}
		_ = w.kept[oldest].Close() // it did its work
		delete(w.kept, oldest)
	}
	prepared, err := w.conn.PrepareContext(context.WithoutCancel(ctx), query) //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	s := &keptStatement{prepared, w.uses}
	w.kept[query] = s
	return s, nil
}

// ExecContext is that of sql.Tx.
func (w *writer) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := w.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(context.WithoutCancel(ctx), args...)
}

// QueryContext is that of sql.Tx. The rows are to be closed before the same
// query is run again.
func (w *writer) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := w.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.WithoutCancel(ctx), args...)
}

// QueryRowContext is that of sql.Tx.
func (w *writer) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := w.statement(ctx, query)
	if err != nil {
		return w.conn.QueryRowContext(ctx, query, args...) // which says the same: errors of a row's are had only so
	}
	return s.QueryRowContext(context.WithoutCancel(ctx), args...)
}
