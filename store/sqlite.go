package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"onevolume"
)

// readers bounds SQLite's connections. One of them writes at a time; in WAL
// mode the others read meanwhile.
const readers = 8

// openSQLite opens the file, and looks at an existing one without the right
// to write first: opening for writing would already change its header and
// could make a damaged file worse.
func openSQLite(ctx context.Context, o Options) (*sql.DB, dialect, error) {
	path := o.Path
	kind := dialect{name: path, wholeDDL: true, oneWriter: true}
	if path == "" {
		return nil, kind, onevolume.Errorf(onevolume.Invalid, "the database's file is not named")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, kind, onevolume.Errorf(onevolume.Invalid, "database file %q: %w", path, err)
	}
	kind.name = path
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0:
		if err := inspect(ctx, kind); err != nil {
			return nil, kind, err
		}
	case o.Opening == Look && (err == nil || errors.Is(err, fs.ErrNotExist)):
		return nil, kind, noInventory(path)
	case err == nil, errors.Is(err, fs.ErrNotExist):
		if err := create(path); err != nil {
			return nil, kind, err
		}
	default:
		return nil, kind, onevolume.Errorf(onevolume.Internal, "the database file: %w", err)
	}
	// SQLite gives its -wal and -shm files the mode of the main one, so this
	// closes all three to others.
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, kind, onevolume.Errorf(onevolume.Internal, "closing the database file to others: %w", err)
	}
	db, err := sql.Open("sqlite", sqliteDSN(path, url.Values{
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"}, // what was answered must outlive a power cut
		"_foreign_keys": {"on"},
		"_txlock":       {"immediate"}, // a transaction that turns from reading to writing can only fail
	}))
	if err != nil {
		return nil, kind, onevolume.Errorf(onevolume.Internal, "opening %s: %w", path, err)
	}
	db.SetMaxOpenConns(readers + 3) // and the writer's, the cache's and the checkpointer's
	db.SetMaxIdleConns(readers)
	return db, kind, nil
}

// sqliteDSN names the file with settings that each connection gets; a PRAGMA
// statement would reach one connection of the pool.
func sqliteDSN(path string, q url.Values) string {
	q.Set("_busy_timeout", "2000")
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// create makes an empty file that nobody else can read.
func create(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return onevolume.Errorf(onevolume.Invalid, "the database's directory %s does not exist", dir).
			WithHint("make it, with the daemon's user as its owner and mode 0700")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return onevolume.Errorf(onevolume.Internal, "making the database file: %w", err)
	}
	return f.Close()
}

// inspect refuses an existing file that is damaged or newer than we are.
func inspect(ctx context.Context, kind dialect) error {
	db, err := sql.Open("sqlite", sqliteDSN(kind.name, url.Values{"mode": {"ro"}}))
	if err != nil {
		return onevolume.Errorf(onevolume.Internal, "opening %s: %w", kind.name, err)
	}
	defer db.Close()
	s := &Store{db: db, kind: kind}
	var verdict string
	err = db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err != nil {
		return s.outward("checking the database "+kind.name, err)
	}
	if verdict != "ok" {
		return damaged(kind.name, errors.New(verdict))
	}
	version, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	return refuseNewer(kind, version)
}
