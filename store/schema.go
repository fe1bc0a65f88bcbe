package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"modernc.org/sqlite"

	"onevolume"
)

//go:embed migrations
var migrationFiles embed.FS

// history is what makes databases and brings them up to a version.
type history struct {
	schema  string // makes an empty database one of version
	version int
	files   fs.FS // migrations/NNNN.sql brings version NNNN-1 to NNNN
}

func builtin() history {
	return history{onevolume.Schema, onevolume.SchemaVersion, migrationFiles}
}

// script is the text that leads to a version.
type script struct {
	version int
	text    string
}

// steps are the migrations from a version to h's.
func (h history) steps(from int) ([]script, error) {
	var list []script
	for v := from + 1; v <= h.version; v++ {
		text, err := fs.ReadFile(h.files, fmt.Sprintf("migrations/%04d.sql", v))
		if err != nil {
			return nil, onevolume.Errorf(onevolume.Internal, "no way from version %d of the database to %d: %w", from, h.version, err)
		}
		list = append(list, script{v, string(text)})
	}
	return list, nil
}

// bringUp makes the database what h describes: it fills an empty one, and
// brings an older one up, on a copy first.
func (s *Store) bringUp(ctx context.Context, h history) error {
	for {
		version, err := s.schemaVersion(ctx)
		switch {
		case err != nil || version == h.version:
			return err
		case version > h.version:
			return tooNew(s.kind, version, h.version)
		case version == 0:
			err = s.runScript(ctx, "making the inventory's tables", h.schema, 0, h.version)
		default:
			var steps []script
			if steps, err = h.steps(version); err == nil {
				err = s.migrate(ctx, steps, version, h.version)
			}
		}
		if err != nil {
			return err
		}
	}
}

// refuseNewer is the check of an existing file before it is written to.
func refuseNewer(kind dialect, version int) error {
	if version > onevolume.SchemaVersion {
		return tooNew(kind, version, onevolume.SchemaVersion)
	}
	return nil
}

func tooNew(kind dialect, has, known int) error {
	return onevolume.Errorf(onevolume.Internal, "%w: %s has version %d, this program knows up to %d", ErrNewer, kind.name, has, known).
		WithHint("run the newer onevolumed, or restore the backup that was made before it; nothing was changed")
}

// schemaVersion is 0 for a database without our tables.
func (s *Store) schemaVersion(ctx context.Context) (version int, err error) {
	err = s.persist(ctx, "reading the version of the database "+s.kind.name, func() error {
		version, err = versionIn(ctx, s.db)
		return err
	})
	return version, err
}

// noSuchTable tells SQLite's answer about an unknown table, which has no
// number of its own (SQLITE_ERROR).
func noSuchTable(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == 1 && strings.Contains(e.Error(), "no such table: one_volume_control")
}

// noTransaction tells SQLite's answer to a rollback of what it has rolled back
// by itself, as it does on a full disk.
func noTransaction(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == 1 && strings.Contains(e.Error(), "no transaction is active")
}

// runScript runs a schema and records the version it leads to. Another daemon
// may do the same at the same time: where DDL is not undone with its
// transaction, whatever the other made first counts as made.
func (s *Store) runScript(ctx context.Context, doing, text string, from, to int) error {
	if !s.kind.wholeDDL {
		if err := runRepeatably(ctx, s.db, statements(text, s.kind)); err != nil {
			return s.outward(doing, err)
		}
		return s.write(ctx, doing, func(tx *transaction) error { return setVersion(ctx, tx, from, to) })
	}
	return s.write(ctx, doing, func(tx *transaction) error {
		now, err := versionIn(ctx, tx)
		if err != nil || now != from {
			return err // or another daemon was first
		}
		if err := run(ctx, tx, statements(text, s.kind)); err != nil {
			return err
		}
		return setVersion(ctx, tx, from, to)
	})
}

// versionIn is schemaVersion within a transaction.
func versionIn(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM one_volume_control WHERE name = 'schema'").Scan(&version)
	if errors.Is(err, sql.ErrNoRows) || troubleOf(err) == missingTable || noSuchTable(err) {
		return 0, nil
	}
	return version, err
}

// run executes statements; its error names the one that failed.
func run(ctx context.Context, q querier, list []string) error {
	for _, statement := range list {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", firstLine(statement), err)
		}
	}
	return nil
}

// runRepeatably is run where what is there already counts as made.
func runRepeatably(ctx context.Context, q querier, list []string) error {
	for _, statement := range list {
		_, err := q.ExecContext(ctx, statement)
		if kind := troubleOf(err); err != nil && kind != existing && kind != duplicate {
			return fmt.Errorf("%s: %w", firstLine(statement), err)
		}
	}
	return nil
}

// setVersion records a step of the schema; one that another daemon recorded
// already is left alone. The schema itself records the first version.
func setVersion(ctx context.Context, tx querier, from, to int) error {
	_, err := tx.ExecContext(ctx, "UPDATE one_volume_control SET value = ? WHERE name = 'schema' AND value = ?", to, from)
	return err
}

// statements cuts a script at semicolons that end a line, drops comments,
// adds to each CREATE TABLE what the database wants there, and takes the name
// of the table from DROP INDEX, which SQLite does not.
func statements(text string, kind dialect) []string {
	var list []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		last := strings.HasSuffix(line, ";")
		b.WriteString(strings.TrimSuffix(line, ";"))
		if !last {
			b.WriteByte('\n')
			continue
		}
		q := b.String()
		switch {
		case strings.HasPrefix(q, "CREATE TABLE"):
			q += kind.tableOptions
		case strings.HasPrefix(q, "DROP INDEX") && kind.oneWriter:
			q, _, _ = strings.Cut(q, " ON ")
		}
		list = append(list, q)
		b.Reset()
	}
	return list
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
