package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"onevolume"
)

// Backup says what is in a backup: a SQLite file with our tables, whichever
// database they came from.
type Backup struct {
	Path       string
	Made       time.Time
	Program    string // what made it
	Version    int    // of its schema
	Volumes    int
	Operations int
	Deeds      int
}

// Backup writes the inventory as it is at one moment to a new file at path,
// with mode 0600, while others go on reading and writing. Secrets stay
// sealed. Either the whole file is there afterwards, on the disk and checked,
// or none.
//
// Codes: Action (path exists: it is never written over), Busy (another backup
// is writing it), Invalid (no such directory).
func (s *Store) Backup(ctx context.Context, path string) (Backup, error) {
	f, err := newFileAt(path)
	if err != nil {
		return Backup{}, err
	}
	return s.backup(ctx, f)
}

// backup fills a new file and keeps it, or leaves none.
func (s *Store) backup(ctx context.Context, f *newFile) (Backup, error) {
	b, err := s.backupTo(ctx, f)
	if err != nil {
		return Backup{}, errors.Join(err, f.discard())
	}
	return b, f.keep()
}

// backupTo fills a new file and reads it back.
func (s *Store) backupTo(ctx context.Context, f *newFile) (Backup, error) {
	b := Backup{Path: f.path, Made: s.now(), Program: "onevolumed " + onevolume.Version, Version: onevolume.SchemaVersion}
	file := &Store{db: f.db, kind: dialect{name: f.path, wholeDDL: true, oneWriter: true}, clock: func() time.Time { return b.Made }}
	doing := "writing the backup " + f.path
	if err := file.runScript(ctx, doing, onevolume.Schema, 0, onevolume.SchemaVersion); err != nil {
		return b, err
	}
	err := s.persist(ctx, "reading the inventory for a backup", func() error {
		return s.snapshot(ctx, func(from *sql.Tx) error {
			err := file.try(ctx, doing, func(to *transaction) error { return b.fill(ctx, from, to) })
			var reading readError
			if errors.As(err, &reading) {
				return reading.error
			}
			return file.outward(doing, err) // which is not for persist to try again
		})
	})
	if err == nil {
		err = file.stamp(ctx, f.db, b.Program)
	}
	if err == nil {
		err = f.close()
	}
	if err != nil {
		return b, file.outward(doing, err)
	}
	read, err := examine(ctx, f.part, s.seal)
	if err != nil {
		return b, err
	}
	if read.Path = b.Path; read != b {
		return b, onevolume.Errorf(onevolume.Internal, "%s: %+v was written, but %+v is read", doing, b, read)
	}
	return b, nil
}

// snapshot gives f the database as it is at one moment, for reading, while
// others write.
func (s *Store) snapshot(ctx context.Context, f func(tx *sql.Tx) error) error {
	o := &sql.TxOptions{ReadOnly: true}
	if !s.kind.oneWriter {
		o.Isolation = sql.LevelRepeatableRead // else each statement sees its own moment
	}
	tx, err := s.db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it changed nothing
	return f(tx)
}

// fill puts the content of an inventory into an empty one.
func (b *Backup) fill(ctx context.Context, from *sql.Tx, to *transaction) error {
	if _, err := to.ExecContext(ctx, "DELETE FROM one_volume_control"); err != nil {
		return err
	}
	control := table{"one_volume_control", "name, value, detail", "name"}
	if _, err := control.copyTo(ctx, from, to); err != nil {
		return err
	}
	for _, t := range dataTables {
		n, err := t.copyTo(ctx, from, to)
		if err != nil {
			return err
		}
		switch t.name {
		case volumeTable:
			b.Volumes = n
		case "one_volume_operation":
			b.Operations = n
		case auditTable:
			b.Deeds = n
		}
	}
	return nil
}

// examine opens a backup for reading, refuses what is none, and says what is
// in it.
func examine(ctx context.Context, path string, seal sealer) (Backup, error) {
	s, err := openBackup(ctx, path, seal)
	if err != nil {
		return Backup{}, err
	}
	defer s.Close()
	return s.describe(ctx, path)
}

// describe reads every row that has a form, and what the stamp says.
func (s *Store) describe(ctx context.Context, path string) (Backup, error) {
	b := Backup{Path: path}
	doing := "reading the backup " + path
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		var made int64
		err := tx.QueryRowContext(ctx, "SELECT value, detail FROM one_volume_control WHERE name = 'backup'").Scan(&made, &b.Program)
		if err != nil {
			return err
		}
		b.Made = fromMillis(made)
		if b.Version, err = versionIn(ctx, tx); err != nil || b.Version != onevolume.SchemaVersion {
			return err
		}
		// Each volume's secrets are opened, and so is every text that must
		// have a form.
		volumes, err := s.list(ctx, tx, "SELECT "+volumeColumns+" FROM one_volume")
		if err != nil {
			return err
		}
		operations, err := operations(ctx, tx, "SELECT "+operationColumns+" FROM one_volume_operation")
		if err != nil {
			return err
		}
		b.Volumes, b.Operations = len(volumes), len(operations)
		return tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM one_volume_audit").Scan(&b.Deeds)
	})
	if err != nil {
		return b, fmt.Errorf("%s: %w", doing, s.outward(doing, err))
	}
	return b, nil
}
