package store

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-sql-driver/mysql"

	"onevolume"
)

func openForMigration(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Driver: SQLite, Path: filepath.Join(t.TempDir(), "x.db"), Key: make([]byte, KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTheSchemaRecordsItsVersion(t *testing.T) {
	s := openForMigration(t)
	if v, err := s.schemaVersion(t.Context()); err != nil || v != onevolume.SchemaVersion {
		t.Errorf("schema.sql records version %d, %v; SchemaVersion is %d", v, err, onevolume.SchemaVersion)
	}
}

func TestMigrationsBringUpStepByStep(t *testing.T) {
	s := openForMigration(t)
	from := onevolume.SchemaVersion
	name := func(v int) string { return fmt.Sprintf("migrations/%04d.sql", v) }
	files := fstest.MapFS{
		name(from + 1): {Data: []byte("-- A comment; with a semicolon.\nALTER TABLE one_volume\n    ADD COLUMN colour TEXT;\n")},
		name(from + 2): {Data: []byte("UPDATE one_volume SET colour = 'red' WHERE colour IS NULL;\nCREATE TABLE one_volume_more (oid INTEGER);\n")},
	}
	if err := s.bringUp(t.Context(), history{"", from + 2, files}); err != nil {
		t.Fatal(err)
	}
	if v, err := s.schemaVersion(t.Context()); err != nil || v != from+2 {
		t.Errorf("version %d, %v, want %d", v, err, from+2)
	}
	if _, err := s.db.ExecContext(t.Context(), "SELECT colour FROM one_volume UNION SELECT oid FROM one_volume_more"); err != nil {
		t.Error(err)
	}
	// What this program brought up, an older one refuses.
	if err := s.bringUp(t.Context(), builtin()); !errors.Is(err, ErrNewer) {
		t.Errorf("error %v, want ErrNewer", err)
	}
}

func TestAMigrationThatFailsLeavesNothing(t *testing.T) {
	s := openForMigration(t)
	from := onevolume.SchemaVersion
	files := fstest.MapFS{fmt.Sprintf("migrations/%04d.sql", from+1): {Data: []byte("CREATE TABLE half (oid INTEGER);\nUPDATE nowhere SET x = 1;\n")}}
	err := s.bringUp(t.Context(), history{"", from + 1, files})
	if err == nil || !strings.Contains(err.Error(), "UPDATE nowhere") {
		t.Errorf("error %v does not name the statement", err)
	}
	if v, _ := s.schemaVersion(t.Context()); v != from {
		t.Errorf("version %d, want %d", v, from)
	}
	if _, err := s.db.ExecContext(t.Context(), "SELECT oid FROM half"); err == nil {
		t.Error("half of the migration was made")
	}
	err = s.bringUp(t.Context(), history{"", from + 2, files})
	if err == nil {
		t.Error("a missing step was passed over")
	}
}

// There is a file for each version since the first.
func TestMigrationsAreComplete(t *testing.T) {
	for v := 2; v <= onevolume.SchemaVersion; v++ {
		if _, err := migrationFiles.ReadFile(fmt.Sprintf("migrations/%04d.sql", v)); err != nil {
			t.Error(err)
		}
	}
}

func TestOutward(t *testing.T) {
	s := &Store{kind: dialect{name: "db"}}
	number := func(n uint16) error { return fmt.Errorf("x: %w", &mysql.MySQLError{Number: n, Message: "m"}) }
	for _, c := range []struct {
		err  error
		code onevolume.Code
		hint string
	}{
		{errLost, onevolume.Busy, "try again"},
		{number(1213), onevolume.Busy, "try again"},
		{number(1205), onevolume.Busy, "try again"},
		{number(1047), onevolume.Unreachable, "Galera"},
		{number(1290), onevolume.Unreachable, "read-only"},
		{mysql.ErrInvalidConn, onevolume.Unreachable, "database server"},
		{number(1114), onevolume.Internal, "make room"},
		{number(1064), onevolume.Internal, ""},
		{onevolume.Missing("volume", 3), onevolume.NotFound, ""},
	} {
		err := s.outward("doing", c.err)
		if onevolume.CodeOf(err) != c.code || !strings.Contains(onevolume.HintOf(err), c.hint) || !errors.Is(err, c.err) {
			t.Errorf("%v became %v with the code %q and the hint %q", c.err, err, onevolume.CodeOf(err), onevolume.HintOf(err))
		}
	}
}
