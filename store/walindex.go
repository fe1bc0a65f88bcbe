package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// walIndex is SQLite's own record of the newest commit: the header of the
// file -shm, which all processes with the database open share in memory
// (https://www.sqlite.org/walformat.html, §2.1). Whoever commits counts it up
// there, and with that the commit becomes visible to others: SQLite compares
// the header with the one it knows to learn whether what it keeps is out of
// date. PRAGMA data_version tells the same, with three system calls.
type walIndex struct{ words *[indexWords]uint32 }

// stamp is the header; another one after every commit.
type stamp [stampWords]uint32

const (
	stampWords = 48 / 4 // of one of the two copies at the file's beginning
	walFormat  = 3007000

	// Pages in the log (mxFrame), and how many of them are in the database
	// (nBackfill, the first word after the copies).
	loggedWord = 4
	copiedWord = 2 * stampWords
	indexWords = copiedWord + 1
)

// openWALIndex maps the header. conn is a connection that stays open for as
// long as the index is used: with the last one SQLite removes the file.
// There is none, and no error, where SQLite keeps another kind of journal.
//
// The descriptor stays open when the store is closed. When a process closes
// any descriptor of a file, it loses its locks on that file (fcntl(2)), and
// with them SQLite would lose its own.
func openWALIndex(ctx context.Context, conn *sql.Conn, path string) (*walIndex, error) {
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		return nil, err
	}
	var tables int // whoever reads makes the file
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return nil, err
	}
	path, err := filepath.EvalSymlinks(path) // SQLite does so, too
	if err != nil {
		return nil, err
	}
	path += "-shm"
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	const size = indexWords * 4
	var info syscall.Stat_t
	if err := syscall.Fstat(fd, &info); err != nil || info.Size < size {
		return nil, fmt.Errorf("%s has %d bytes: %w", path, info.Size, errors.Join(err, io.ErrUnexpectedEOF))
	}
	b, err := syscall.Mmap(fd, 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%s: mmap: %w", path, err)
	}
	return &walIndex{(*[indexWords]uint32)(unsafe.Pointer(unsafe.SliceData(b)))}, nil //nolint:gosec // a map begins with a page
}

// stamp reads the header. ok is false while a commit changes it.
func (w *walIndex) stamp() (at stamp, ok bool) {
	if w == nil {
		return at, false
	}
	// The second copy is written first, and this reads the first one first:
	// when they are the same, they are whole.
	for i := range at {
		at[i] = atomic.LoadUint32(&w.words[i])
	}
	for i := range at {
		if atomic.LoadUint32(&w.words[stampWords+i]) != at[i] {
			return at, false
		}
	}
	return at, at[0] == walFormat
}

// log says how many pages are in the log, and how many of them are not in the
// database yet. While a commit or a checkpoint is on its way, it is what was
// or what will be.
func (w *walIndex) log() (pages, waiting int) {
	if w == nil {
		return 0, 0
	}
	copied := atomic.LoadUint32(&w.words[copiedWord])
	logged := atomic.LoadUint32(&w.words[loggedWord])
	return int(logged), max(0, int(logged)-int(copied))
}
