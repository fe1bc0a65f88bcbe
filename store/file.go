package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"

	"onevolume"
)

// newFile is a SQLite file that is being written. It has its name only when
// it is whole: until then it is beside it under another, locked, so that what
// a writer that was killed left behind is known as such and used again.
type newFile struct {
	path string // what it will be called
	part string // what it is called now
	lock *os.File
	db   *sql.DB
}

// longestBase bounds the name that a part's name is made of: names have 255
// bytes.
const longestBase = 200

// newFileAt begins a file. Codes: Action (path exists, which is never written
// over), Busy (another process writes it), Invalid (no such directory).
func newFileAt(path string) (*newFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Invalid, "file %q: %w", path, err)
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		return nil, exists(path)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, onevolume.Errorf(onevolume.Invalid, "file %s: %w", path, err)
	}
	dir, base := filepath.Split(path)
	f := &newFile{path: path, part: filepath.Join(dir, "."+base[:min(len(base), longestBase)]+".part")}
	if f.lock, err = claim(f.part); err != nil {
		return nil, err
	}
	f.db, err = sql.Open("sqlite", sqliteDSN(f.part, url.Values{
		// Nothing but the whole file counts, so nothing is kept to undo, and
		// keep syncs it at the end.
		"_journal_mode": {"MEMORY"}, "_synchronous": {"OFF"},
	}))
	if err != nil {
		return nil, errors.Join(err, f.discard())
	}
	f.db.SetMaxOpenConns(1)
	return f, nil
}

func exists(path string) error {
	return onevolume.Errorf(onevolume.Action, "%s exists already, and is not written over.", path).WithHint("name another file, or move that one away")
}

// claim makes an empty file that nobody else can read or write by claim.
func claim(part string) (*os.File, error) {
	for {
		f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, onevolume.Errorf(onevolume.Invalid, "making a file: %w", err).
				WithHint("the directory must exist, with room, and be ours to write")
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, onevolume.Errorf(onevolume.Busy, "Another process is writing %s: %w", part, err).WithHint("wait until it has ended")
		}
		mine, err := f.Stat()
		there, lerr := os.Lstat(part)
		if err == nil && lerr == nil && os.SameFile(mine, there) {
			if mine.Sys().(*syscall.Stat_t).Nlink == 1 {
				return f, errors.Join(f.Truncate(0), f.Chmod(0o600))
			}
			// A writer was killed between giving it its name and taking this
			// one away: it is a whole file, and somebody's.
			err = os.Remove(part)
		}
		f.Close() // else whoever had it finished in between, and took the name away
		if err != nil {
			return nil, onevolume.Errorf(onevolume.Internal, "making the file %s: %w", part, err)
		}
	}
}

// close closes the database, so that all of it is in the file.
func (f *newFile) close() error {
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return db.Close()
}

// keep gives the file its name. It is on the disk then, whole.
func (f *newFile) keep() error {
	if err := errors.Join(f.close(), f.lock.Sync()); err != nil {
		return errors.Join(err, f.discard())
	}
	err := os.Link(f.part, f.path) // which never replaces a file
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
		err = f.rename()
	}
	if errors.Is(err, fs.ErrExist) {
		err = exists(f.path)
	}
	return errors.Join(err, f.discard(), syncDir(filepath.Dir(f.path)))
}

// rename is keep on a file system without links: an empty file claims the
// name first.
func (f *newFile) rename() error {
	place, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(place.Close(), os.Rename(f.part, f.path))
}

// discard takes the part away.
func (f *newFile) discard() error {
	err := errors.Join(f.close(), os.Remove(f.part))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // renamed
	}
	return errors.Join(err, f.lock.Close())
}

// sound checks a SQLite database's pages and references.
func sound(ctx context.Context, q querier) error {
	var verdict string
	if err := q.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	var table, parent string
	var id, key any
	err := q.QueryRowContext(ctx, "PRAGMA foreign_key_check").Scan(&table, &id, &parent, &key)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.New("a row of " + table + " refers to one of " + parent + " that is not there")
}
