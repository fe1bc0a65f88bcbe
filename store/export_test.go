package store

import (
	"context"
	"fmt"
	"io/fs"
)

// BringUp brings a database to a version by migrations of a test's.
func (s *Store) BringUp(ctx context.Context, version int, files fs.FS) error {
	return s.bringUp(ctx, history{"", version, files})
}

// DataTables gives the columns of each table that is copied.
func DataTables() map[string]string {
	all := map[string]string{}
	for _, t := range dataTables {
		all[t.name] = t.columns
	}
	return all
}

// Impatient lets a transaction lose no more than n times.
func (s *Store) Impatient(n int) { s.tries = n }

// Limit bounds the pages of a SQLite file, as a full disk does.
func (s *Store) Limit(ctx context.Context, pages int) error {
	_, err := s.writer.conn.ExecContext(ctx, // the bound is a connection's
		fmt.Sprintf("PRAGMA max_page_count = %d", pages))
	return err
}

// BackupWithin is Backup on a disk that has room for so many pages.
func (s *Store) BackupWithin(ctx context.Context, path string, pages int) error {
	f, err := newFileAt(path)
	if err != nil {
		return err
	}
	if _, err := f.db.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
		return err
	}
	_, err = s.backup(ctx, f)
	return err
}

// WithoutCache has everything read from the database.
func (s *Store) WithoutCache() error {
	err := s.cache.close()
	s.cache = nil
	return err
}

// CacheAtMost bounds the cache.
func (s *Store) CacheAtMost(n int) { s.cache.most = n }

// Cached counts the volumes in the cache.
func (s *Store) Cached() int { return len(s.cache.volumes) }
