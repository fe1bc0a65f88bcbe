package store

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds how many statements are kept prepared: the number of
// the caller's groups is in the text of some.
const maxStatements = 100

// reader runs single statements outside of a transaction. On SQLite it keeps
// them prepared, which takes longer than to run them, and lets them end when
// their caller has gone: they wait for nobody, and to watch for that costs
// more than the most of them. MariaDB's are left as they are.
type reader struct {
	*sql.DB
	quick bool

	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

// prepared gives the statement, or nil when it is to be run as it is.
func (r *reader) prepared(ctx context.Context, query string) *sql.Stmt {
	if !r.quick {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.kept[query]; ok {
		return s
	}
	if len(r.kept) >= maxStatements {
		return nil
	}
	s, err := r.PrepareContext(context.WithoutCancel(ctx), query) //nolint:sqlclosecheck // it is kept as long as the database is open
	if err != nil {
		return nil // running it will say the same
	}
	if r.kept == nil {
		r.kept = map[string]*sql.Stmt{}
	}
	r.kept[query] = s
	return s
}

// QueryContext is that of sql.DB. Many rows take their time, so it hears when
// the caller goes.
func (r *reader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := r.prepared(ctx, query); s != nil { //nolint:sqlclosecheck // likewise
		return s.QueryContext(ctx, args...)
	}
	return r.DB.QueryContext(ctx, query, args...)
}

// QueryRowContext is that of sql.DB.
func (r *reader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := r.prepared(ctx, query); s != nil { //nolint:sqlclosecheck // likewise
		return s.QueryRowContext(context.WithoutCancel(ctx), args...)
	}
	return r.DB.QueryRowContext(ctx, query, args...)
}
