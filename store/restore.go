package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"onevolume"
)

// RestoreOptions say what Restore may do.
type RestoreOptions struct {
	// Replace lets it replace an inventory that holds something.
	Replace bool
	// Dir is where the backup of what is replaced goes.
	Dir string
}

// Restored says what a restore did.
type Restored struct {
	Backup        // what was restored
	Before Backup // what was there, in a backup of its own; its Path is empty when nothing was
	// Parked are the operations that ran when the backup was made. Their
	// volumes are in ERROR.
	Parked []int
	Hold   string // why the inventory is held now
}

// Restore makes the inventory what a backup holds, in one transaction, while
// daemons may go on. What is there is saved in a backup of its own first. The
// file is not changed.
//
// Nothing that was handed out is handed out again: ids go on behind the
// largest of both inventories, with room for those since the backup, and
// generations and versions rise, so that whoever still works on something of
// before is refused. The audit only grows: it holds the deeds of both
// afterwards. The inventory is held (Hold) until somebody has compared it
// with the hosts.
//
// Errors wrap ErrDamaged, ErrNewer, ErrKey. Codes: Invalid (no backup of
// ours), Action (the inventory is not empty and Replace is not set), Busy
// (operations run, or others keep writing).
func (s *Store) Restore(ctx context.Context, path string, o RestoreOptions) (Restored, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Restored{}, onevolume.Errorf(onevolume.Invalid, "file %q: %w", path, err)
	}
	file, err := openBackup(ctx, path, s.seal)
	if err != nil {
		return Restored{}, err
	}
	defer file.Close()
	file, done, err := file.current(ctx)
	if err != nil {
		return Restored{}, err
	}
	defer done()
	r := Restored{}
	if r.Backup, err = file.describe(ctx, path); err != nil {
		return r, err
	}
	const tries = 5
	for n := 1; ; n++ {
		err := s.restoreOver(ctx, file, &r, o)
		if !errors.Is(err, errChanged) {
			return r, err
		}
		if n == tries {
			return r, onevolume.Errorf(onevolume.Busy, "The inventory was changed each time between its backup and its replacement.").
				WithHint("stop the daemons and try again; nothing was changed")
		}
	}
}

// errChanged ends a restore whose backup of what is replaced is not what is
// there any more.
var errChanged = errors.New("the inventory was changed")

// openBackup opens a backup for reading, and refuses what is none: a file
// that is damaged, newer, sealed with another key, or no backup.
func openBackup(ctx context.Context, path string, seal sealer) (*Store, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, onevolume.Errorf(onevolume.NotFound, "There is no file %s.", path)
	case err != nil:
		return nil, onevolume.Errorf(onevolume.Invalid, "file %s: %w", path, err)
	case !info.Mode().IsRegular():
		return nil, onevolume.Errorf(onevolume.Invalid, "%s is no file.", path)
	}
	db, err := sql.Open("sqlite", sqliteDSN(path, url.Values{"mode": {"ro"}}))
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "opening %s: %w", path, err)
	}
	s := &Store{db: db, kind: dialect{name: path, wholeDDL: true, oneWriter: true}, seal: seal, clock: time.Now}
	if err := s.refuseBackup(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// refuseBackup says why a file is no backup that can be restored.
func (s *Store) refuseBackup(ctx context.Context) error {
	path := s.kind.name
	if err := sound(ctx, s.db); err != nil {
		if kind := troubleOf(err); kind != other && kind != broken {
			return s.outward("checking "+path, err)
		}
		return onevolume.Errorf(onevolume.Internal, "backup %s: %w", path, fmt.Errorf("%w: %w", ErrDamaged, err)).
			WithHint("take another backup; nothing was changed")
	}
	version, err := versionIn(ctx, s.db)
	if err != nil {
		return s.outward("reading "+path, err)
	}
	if version > onevolume.SchemaVersion {
		return tooNew(s.kind, version, onevolume.SchemaVersion)
	}
	var stamps int
	if version > 0 {
		err = s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM one_volume_control WHERE name = 'backup'").Scan(&stamps)
	}
	switch {
	case err != nil:
		return s.outward("reading "+path, err)
	case version == 0:
		return onevolume.Errorf(onevolume.Invalid, "%s is no backup of onevolume's: its tables are not there.", path)
	case stamps == 0:
		return onevolume.Errorf(onevolume.Invalid, "%s is an inventory's own file, not a backup of one.", path).
			WithHint("make a backup of it by onevolumed backup, with a configuration that names it as the database; nothing was changed")
	}
	return s.matchKey(ctx)
}

// matchKey fails with ErrKey when the backup was sealed with another key.
func (s *Store) matchKey(ctx context.Context) error {
	var sealed string
	err := s.db.QueryRowContext(ctx, "SELECT detail FROM one_volume_control WHERE name = 'key'").Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // never served: it has no secrets
	}
	if err != nil {
		return s.outward("reading "+s.kind.name, err)
	}
	if text, err := s.seal.open(sealed, keyPlace()); err != nil || text != keyText {
		return onevolume.Errorf(onevolume.Internal, "%w: %s", ErrKey, s.kind.name).
			WithHint("put the key file of the inventory that this is a backup of where key_file says; nothing was changed")
	}
	return nil
}

// current gives the backup in our version: itself, or a copy that was brought
// up, which done takes away.
func (s *Store) current(ctx context.Context) (up *Store, done func(), err error) {
	version, err := versionIn(ctx, s.db)
	if err != nil || version == onevolume.SchemaVersion {
		return s, func() {}, err
	}
	steps, err := builtin().steps(version)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "onevolume-restore-")
	if err != nil {
		return nil, nil, onevolume.Errorf(onevolume.Internal, "making a copy of %s: %w", s.kind.name, err)
	}
	f, err := newFileAt(filepath.Join(dir, "copy"))
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	done = func() { _ = f.discard(); os.RemoveAll(dir) } // nobody will miss it
	if err = s.vacuumInto(ctx, s.db, f); err == nil {
		err = s.bringUpCopy(ctx, f.db, steps)
	}
	if err != nil {
		done()
		return nil, nil, s.failedOnCopy(onevolume.SchemaVersion, err)
	}
	return &Store{db: f.db, kind: s.kind, seal: s.seal, clock: s.clock}, done, nil
}

// restoreOver saves what is there and replaces it.
func (s *Store) restoreOver(ctx context.Context, file *Store, r *Restored, o RestoreOptions) error {
	r.Before = Backup{}
	was, err := s.mark(ctx, s.db)
	if err != nil {
		return s.outward("reading the inventory", err)
	}
	if !was.empty() {
		if was.volumes > 0 && !o.Replace {
			return onevolume.Errorf(onevolume.Action, "The inventory in %s holds %d volumes.", s.kind.name, was.volumes).
				WithHint("--replace saves them in a backup of their own, and puts those of %s in their place", r.Path)
		}
		if err := s.refuseLiving(ctx, s.db); err != nil {
			return err
		}
		name := "onevolume-before-restore-" + s.now().Format("20060102T150405Z")
		if r.Before, err = s.Backup(ctx, freePath(filepath.Join(o.Dir, name))); err != nil {
			return fmt.Errorf("saving what is there, before it is replaced: %w", err)
		}
		saved, err := s.markOf(ctx, r.Before.Path)
		if err != nil {
			return errors.Join(err, os.Remove(r.Before.Path))
		}
		was = saved
	}
	err = s.write(ctx, fmt.Sprintf("restoring the backup %s into %s", r.Path, s.kind.name), func(tx *transaction) error {
		return s.replace(ctx, file, tx, r, was)
	})
	if err != nil && r.Before.Path != "" && onevolume.CodeOf(err) != onevolume.Unknown {
		// Nothing was replaced: what was saved is still there.
		err = errors.Join(err, os.Remove(r.Before.Path))
		r.Before = Backup{}
	}
	return err
}

// refuseLiving refuses to replace what somebody works on. An owner whose
// lease has ended counts as dead.
func (s *Store) refuseLiving(ctx context.Context, q querier) error {
	list, err := operations(ctx, q, "SELECT "+operationColumns+" FROM one_volume_operation WHERE status = ? AND lease > ? ORDER BY oid",
		string(onevolume.Running), millis(s.now()))
	if err != nil {
		return s.outward("looking for running operations", err)
	}
	if len(list) == 0 {
		return nil
	}
	o := list[0]
	return onevolume.Errorf(onevolume.Busy, "%d operations run: operation %d (%s, volume %d, VM %d) is held by %s until %s.",
		len(list), o.ID, o.Kind, o.Volume, o.VM.ID, o.Owner, o.Lease.Format(time.RFC3339)).
		WithHint("wait until they have ended, or stop the daemons and wait for the end of the lease; nothing was changed")
}
