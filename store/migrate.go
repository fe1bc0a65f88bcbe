package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"onevolume"
)

// migrate brings a database of ours from one version to another, when that
// has worked on a copy of it.
func (s *Store) migrate(ctx context.Context, steps []script, from, to int) error {
	if s.kind.wholeDDL {
		return s.migrateFile(ctx, steps, from, to)
	}
	return s.migrateServer(ctx, steps, from, to)
}

func migrating(kind dialect, to int) string {
	return fmt.Sprintf("bringing the database %s to version %d", kind.name, to)
}

// failedOnCopy is the error of a try.
func (s *Store) failedOnCopy(to int, err error) error {
	if troubleOf(err) == full || errors.Is(err, errCopy) {
		return onevolume.Errorf(onevolume.Internal, "%s: trying it on a copy first: %w", migrating(s.kind, to), err).
			WithHint("nothing was changed: make room for a copy of the database, or let it be made there, and start again")
	}
	return onevolume.Errorf(onevolume.Internal, "%s was tried on a copy, where it failed: %w", migrating(s.kind, to), err).
		WithHint("nothing was changed: run the onevolumed of before, and report this with its text")
}

// errCopy marks that not even the copy could be made.
var errCopy = errors.New("no copy can be made")

// migrateFile migrates a SQLite file in one transaction. It holds the right to
// write while it tries the steps on a copy: what worked there was this very
// content. As the database was before, it is kept beside it.
func (s *Store) migrateFile(ctx context.Context, steps []script, from, to int) error {
	var kept string
	err := s.write(ctx, migrating(s.kind, to), func(tx *transaction) error {
		if err := unkeep(&kept); err != nil {
			return err
		}
		now, err := versionIn(ctx, tx)
		if err != nil || now != from {
			return err // or another daemon was first
		}
		if kept, err = s.tryOnCopy(ctx, steps, from, to); err != nil {
			return err
		}
		return s.runSteps(ctx, tx, steps)
	})
	if err != nil {
		return errors.Join(err, unkeep(&kept))
	}
	if kept != "" {
		s.tell(fmt.Sprintf("the database %s was brought from version %d to %d; as it was before, it is kept in %s", s.kind.name, from, to, kept))
	}
	return nil
}

// unkeep removes the copy that a transaction made which did not come to its
// end.
func unkeep(kept *string) error {
	path := *kept
	*kept = ""
	if path == "" {
		return nil
	}
	return os.Remove(path)
}

// runSteps runs migrations in a transaction that undoes DDL.
func (s *Store) runSteps(ctx context.Context, tx querier, steps []script) error {
	for _, step := range steps {
		err := run(ctx, tx, statements(step.text, s.kind))
		if err == nil {
			err = setVersion(ctx, tx, step.version-1, step.version)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tryOnCopy runs the steps on a copy of the file, and keeps another copy.
func (s *Store) tryOnCopy(ctx context.Context, steps []script, from, to int) (kept string, err error) {
	before, err := newFileAt(freePath(fmt.Sprintf("%s.v%d", s.kind.name, from)))
	if err != nil {
		return "", s.failedOnCopy(to, fmt.Errorf("%w: %w", errCopy, err))
	}
	if err = s.vacuumInto(ctx, s.db, before); err == nil {
		err = s.stamp(ctx, before.db, fmt.Sprintf("onevolumed %s, before it brought this to version %d", onevolume.Version, to))
	}
	if err == nil {
		err = s.tryOn(ctx, before, steps)
	}
	if err != nil {
		return "", errors.Join(s.failedOnCopy(to, err), before.discard())
	}
	return before.path, before.keep()
}

// tryOn runs the steps on a copy of the copy, and compares.
func (s *Store) tryOn(ctx context.Context, before *newFile, steps []script) error {
	try, err := newFileAt(freePath(before.path + ".try"))
	if err != nil {
		return fmt.Errorf("%w: %w", errCopy, err)
	}
	err = s.vacuumInto(ctx, before.db, try)
	if err == nil {
		err = s.bringUpCopy(ctx, try.db, steps)
	}
	return errors.Join(err, try.discard())
}

// vacuumInto makes to a copy of a database, without the holes.
func (s *Store) vacuumInto(ctx context.Context, from *sql.DB, to *newFile) error {
	if _, err := from.ExecContext(ctx, "VACUUM INTO ?", to.part); err != nil {
		return fmt.Errorf("%w: %w", errCopy, err)
	}
	return nil
}

// bringUpCopy runs the steps on a SQLite database that is a copy, and checks
// what came of it.
func (s *Store) bringUpCopy(ctx context.Context, db *sql.DB, steps []script) error {
	names, err := readNames(ctx, db, fileTables)
	if err != nil {
		return err
	}
	had, err := sizes(ctx, db, names, "")
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing; else what counts is why
	if err := s.runSteps(ctx, tx, steps); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	has, err := sizes(ctx, db, names, "")
	if err != nil {
		return err
	}
	return errors.Join(sameSizes(had, has), sound(ctx, db))
}

// fileTables and serverTables name our tables, of whatever version.
const (
	fileTables   = `SELECT name FROM sqlite_master WHERE type = 'table' AND (name = 'one_volume' OR name LIKE 'one\_volume\_%' ESCAPE '\')`
	serverTables = `SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()` +
		` AND (table_name = 'one_volume' OR table_name LIKE 'one\_volume\_%')`
)

// sizes counts the rows of tables whose names have a prefix here.
func sizes(ctx context.Context, q querier, names []string, prefix string) (map[string]int, error) {
	counts := map[string]int{}
	for _, name := range names {
		var n int
		if err := q.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+prefix+name).Scan(&n); err != nil {
			return nil, err
		}
		counts[name] = n
	}
	return counts, nil
}

// sameSizes fails when a migration lost or added rows. The table of counters
// may grow.
func sameSizes(had, has map[string]int) error {
	for name, n := range had {
		if has[name] != n && name != "one_volume_control" {
			return fmt.Errorf("the table %s has %d rows afterwards, it had %d", name, has[name], n)
		}
	}
	return nil
}

// freePath is the path, or, when that is taken, the path with the first
// number behind it that is free.
func freePath(path string) string {
	try := path
	for n := 2; ; n++ {
		if _, err := os.Lstat(try); errors.Is(err, fs.ErrNotExist) {
			return try
		}
		try = fmt.Sprintf("%s.%d", path, n)
	}
}

// stamp marks a file as a backup, with when and by what it was made.
func (s *Store) stamp(ctx context.Context, q querier, program string) error {
	_, err := q.ExecContext(ctx, "INSERT INTO one_volume_control (name, value, detail) VALUES ('backup', ?, ?)", millis(s.now()), program)
	return err
}

// migrateServer migrates tables of a server, where DDL cannot be undone and
// other daemons may do the same at the same time: what is there counts as
// made.
func (s *Store) migrateServer(ctx context.Context, steps []script, from, to int) error {
	if err := s.tryOnTables(ctx, steps, to); err != nil {
		return err
	}
	for _, step := range steps {
		doing := migrating(s.kind, step.version)
		if err := runRepeatably(ctx, s.db, statements(step.text, s.kind)); err != nil {
			return s.outward(doing, err)
		}
		err := s.write(ctx, doing, func(tx *transaction) error { return setVersion(ctx, tx, step.version-1, step.version) })
		if err != nil {
			return err
		}
	}
	s.tell(fmt.Sprintf("the database %s was brought from version %d to %d", s.kind.name, from, to))
	return nil
}

// tryPrefix begins the names of copied tables, with the time behind it: two
// daemons may try at once, and what one that was killed left is old.
const tryPrefix = "try_"

// tryTime is longer than a try takes.
const tryTime = time.Hour

// ourNames are the names of our tables and indexes in a script.
var ourNames = regexp.MustCompile(`\bone_volume(_[a-z_]+)?\b`)

// tryOnTables runs the steps on copies of our tables in the same database.
func (s *Store) tryOnTables(ctx context.Context, steps []script, to int) error {
	now := time.Now()
	if err := s.dropTries(ctx, tryPrefix, now.Add(-tryTime)); err != nil {
		return s.outward("removing what an earlier try left", err)
	}
	prefix := fmt.Sprintf("%s%x_", tryPrefix, now.UnixNano())
	err := s.tryWith(ctx, prefix, steps)
	if dropErr := s.dropTries(ctx, prefix, now.Add(tryTime)); dropErr != nil {
		err = errors.Join(err, s.outward("removing the copies", dropErr))
	}
	if err == nil {
		return nil
	}
	if kind := troubleOf(err); kind == disconnected || kind == notReady {
		return s.outward(migrating(s.kind, to), err)
	}
	return s.failedOnCopy(to, err)
}

func (s *Store) tryWith(ctx context.Context, prefix string, steps []script) error {
	names, err := readNames(ctx, s.db, serverTables)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := run(ctx, s.db, []string{"CREATE TABLE " + prefix + name + " LIKE " + name, "INSERT INTO " + prefix + name + " SELECT * FROM " + name})
		if err != nil {
			return fmt.Errorf("%w: %w", errCopy, err)
		}
	}
	had, err := sizes(ctx, s.db, names, prefix)
	if err != nil {
		return err
	}
	for _, step := range steps {
		text := ourNames.ReplaceAllString(step.text, prefix+"$0")
		if err := runRepeatably(ctx, s.db, statements(text, s.kind)); err != nil {
			return tryError{err, prefix}
		}
	}
	has, err := sizes(ctx, s.db, names, prefix)
	if err != nil {
		return err
	}
	return sameSizes(had, has)
}

// tryError tells of a statement as the migration has it.
type tryError struct {
	error
	prefix string
}

func (e tryError) Error() string { return strings.ReplaceAll(e.error.Error(), e.prefix, "") }
func (e tryError) Unwrap() error { return e.error }

// dropTries removes the copies with this prefix that were made before a time.
func (s *Store) dropTries(ctx context.Context, prefix string, before time.Time) error {
	names, err := readNames(ctx, s.db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"+
		" AND table_name LIKE 'try\\_%\\_one\\_volume%'")
	if err != nil {
		return err
	}
	var list []string
	for _, name := range names {
		var made int64
		if n, _ := fmt.Sscanf(name, tryPrefix+"%x_one_volume", &made); n == 1 && strings.HasPrefix(name, prefix) && time.Unix(0, made).Before(before) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return run(ctx, conn, []string{
		"SET SESSION foreign_key_checks = 0", // one may refer to another
		"DROP TABLE IF EXISTS " + strings.Join(list, ", "),
		"SET SESSION foreign_key_checks = 1",
	})
}
