package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"onevolume"
)

const noteText = "INSERT INTO one_volume_control (name, value, detail) VALUES (?, 1, ?)"

// noted says whether a row that noteText writes is there.
func noted(t *testing.T, s *Store, name string) bool {
	t.Helper()
	var n int
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM one_volume_control WHERE name = ?", name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n == 1
}

func note(t *testing.T, s *Store, name, text string) {
	t.Helper()
	err := s.write(t.Context(), "noting "+name, func(tx *transaction) error {
		_, err := tx.ExecContext(t.Context(), noteText, name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !noted(t, s, name) {
		t.Fatalf("%s was not written", name)
	}
}

func openLite(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Driver: SQLite, Path: t.TempDir() + "/db", Key: make([]byte, KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestTheWriterAfterTrouble: whatever ends a transaction in its midst, nothing
// of it is written, and the next one is.
func TestTheWriterAfterTrouble(t *testing.T) {
	s := openLite(t)
	half := func(ctx context.Context, end func() error) (err error) {
		defer func() {
			if recover() != nil {
				err = errStop
			}
		}()
		return s.write(ctx, "failing", func(tx *transaction) error {
			if _, err := tx.ExecContext(ctx, noteText, "half", ""); err != nil {
				return err
			}
			return end()
		})
	}
	gone, leave := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		ctx  context.Context
		end  func() error
		want error
	}{
		"error": {t.Context(), func() error { return errStop }, errStop},
		"undone": {t.Context(), func() error {
			if _, err := s.writer.ExecContext(t.Context(), "ROLLBACK"); err != nil { // as SQLite itself does on a full disk
				return err
			}
			return errStop
		}, errStop},
		"panic": {t.Context(), func() error { panic("now") }, errStop},
		"gone":  {gone, func() error { leave(); return nil }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			if err := half(c.ctx, c.end); !errors.Is(err, c.want) {
				t.Fatalf("%v, want %v", err, c.want)
			}
			note(t, s, "after "+name, "")
			if noted(t, s, "half") {
				t.Fatal("half of it was written")
			}
		})
	}
}

// TestKeptStatements: those that are used stay, no more than so many, and they
// are right when another connection has changed the schema.
func TestKeptStatements(t *testing.T) {
	s := openLite(t)
	note(t, s, "first", "")
	err := s.write(t.Context(), "asking much", func(tx *transaction) error {
		for i := range 3 * maxStatements {
			var n int
			if err := tx.QueryRowContext(t.Context(), fmt.Sprint("SELECT ", i)).Scan(&n); err != nil || n != i {
				return fmt.Errorf("%d instead of %d: %w", n, i, err)
			}
			if _, err := tx.ExecContext(t.Context(), noteText, fmt.Sprint("n", i), ""); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.writer.kept); n != maxStatements || s.writer.kept[noteText] == nil {
		t.Fatalf("%d statements are kept, the one in use among them: %t", n, s.writer.kept[noteText] != nil)
	}
	if _, err := s.db.ExecContext(t.Context(), "ALTER TABLE one_volume_control ADD COLUMN more INTEGER NOT NULL DEFAULT 7"); err != nil {
		t.Fatal(err)
	}
	note(t, s, "after", "")
}

// TestOnlyWhatChangedIsWritten: a column that was not changed is not written,
// nor, with that, its indexes.
func TestOnlyWhatChangedIsWritten(t *testing.T) {
	s := openLite(t)
	portals, err := onevolume.ParsePortals("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Allocate(t.Context(), onevolume.Volume{Name: "one", Size: onevolume.GiB, Target: onevolume.Target{IQN: "iqn.2026-11.org.example:one", Portals: portals}})
	if err != nil {
		t.Fatal(err)
	}
	err = s.write(t.Context(), "changing a volume", func(tx *transaction) error {
		r, err := s.get(t.Context(), tx, id)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(t.Context(), "UPDATE one_volume SET array_name = 'other', wwid = 'other' WHERE oid = ?", int(id)); err != nil {
			return err
		}
		r.Reason = "changed"
		if err := s.save(t.Context(), tx, &r, s.now()); err != nil {
			return err
		}
		r.Identity.WWID = "changed"
		return s.save(t.Context(), tx, &r, s.now())
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Volume(t.Context(), id)
	if err != nil || v.Reason != "changed" || v.Identity.WWID != "changed" || v.Array != "other" || v.Version != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
}

// TestTheLogIsCopied: whoever writes leaves the log as it is, and it is copied
// all the same, unless somebody reads what was before: then once they are
// done. From then on the log begins anew.
func TestTheLogIsCopied(t *testing.T) {
	s := openLite(t)
	const size = 2 * copyAt * 4096
	long := func() string { return string(make([]byte, size)) }
	copied := func() {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			_, waiting := s.copier.index.log()
			if waiting == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d pages still wait", waiting)
			}
		}
	}
	note(t, s, "first", long())
	copied()
	note(t, s, "few", "")
	if pages, _ := s.copier.index.log(); pages >= copyAt {
		t.Fatalf("the log went on, to %d pages", pages)
	}

	err := s.snapshot(t.Context(), func(tx *sql.Tx) error {
		if _, err := versionIn(t.Context(), tx); err != nil {
			return err
		}
		note(t, s, "second", long())
		err := s.copier.copy(t.Context())
		if _, waiting := s.copier.index.log(); waiting < copyAt {
			t.Errorf("%d pages wait, though somebody reads what was before them", waiting)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	copied()
}
