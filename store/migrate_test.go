package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"onevolume"
	"onevolume/store"
)

// optionsOf makes options of the same kind of database, on an empty one.
func optionsOf(t testing.TB, o store.Options) store.Options {
	if o.Driver == store.SQLite {
		return sqliteOptions(t)
	}
	return mariadbOptions(t)
}

// columns are those of a table.
func columns(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table+" WHERE 1 = 0")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}
	return names
}

// dump reads the named columns of a table as text, in order.
func dump(t *testing.T, db *sql.DB, table string, names []string) (list []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			t.Fatal(err)
		}
		texts := make([]string, len(values))
		for i, v := range values {
			texts[i] = "NULL"
			if v.Valid {
				texts[i] = strconv.Quote(v.String)
			}
		}
		list = append(list, strings.Join(texts, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

var firstTables = []string{"one_volume_control", "one_volume", "one_volume_operation", "one_volume_journal"}

// lived fills an inventory with all that one can hold, running operations
// included.
func lived(t *testing.T, w *world) {
	t.Helper()
	for i := range 5 {
		v := volume(i, onevolume.Size(i+1)*gib)
		v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "hidden-secret", UserIn: "in", SecretIn: "hidden-in"}
		v.Attributes = map[string]string{"COLOUR": "größe \"1\"\n"}
		w.allocate(t, v)
	}
	w.attached(t, alice, attach(17, gib))
	op, _ := w.reserve(t, alice, attach(18, 2*gib))
	w.record(t, op, []onevolume.Entry{entry(w, "connect", onevolume.StepStarted, ""), entry(w, "connect", onevolume.StepFailed, "größe")}, onevolume.Note{Host: "n1"})
	w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available, Error: "no"})
	op, _ = w.reserve(t, bob, attach(19, 3*gib))
	w.record(t, op, []onevolume.Entry{entry(w, "connect", onevolume.StepStarted, "")}, onevolume.Note{Identity: onevolume.Identity{Serial: "s"}})
	op, _ = w.reserve(t, root, attachNamed(20, "3"))
	w.finish(t, op, parked)
}

// firstVersion makes a database as the first release did, with the content of
// another.
func firstVersion(t *testing.T, from store.Options) store.Options {
	t.Helper()
	o := optionsOf(t, from)
	schema, err := os.ReadFile("testdata/schema-0001.sql")
	if err != nil {
		t.Fatal(err)
	}
	if o.Driver == store.SQLite {
		if err := os.WriteFile(o.Path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old, src := raw(t, o), raw(t, from)
	if o.Driver == store.SQLite {
		exec(t, old, "PRAGMA journal_mode = WAL")
	}
	for statement := range strings.SplitSeq(string(schema), ";\n") {
		if strings.TrimSpace(statement) != "" {
			exec(t, old, statement)
		}
	}
	exec(t, old, "DELETE FROM one_volume_control")
	for _, table := range firstTables {
		names := columns(t, old, table)
		rows, err := src.QueryContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+table)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, targets := make([]sql.NullString, len(names)), make([]any, len(names))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := rows.Scan(targets...); err != nil {
				t.Fatal(err)
			}
			args := make([]any, len(names))
			for i := range values {
				args[i] = values[i]
			}
			exec(t, old, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES (?"+strings.Repeat(", ?", len(names)-1)+")", args...)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close() //nolint:sqlclosecheck // before the next table is read: the pool has one connection
	}
	exec(t, old, "UPDATE one_volume_control SET value = 1 WHERE name = 'schema'")
	exec(t, old, "DELETE FROM one_volume_control WHERE name IN ('audit', 'snapshot', 'event')")
	old.Close()
	return o
}

// leftovers are the files beside a SQLite file, or the tables of tries.
func leftovers(t *testing.T, o store.Options) (list []string) {
	t.Helper()
	if o.Driver == store.MySQL {
		db := raw(t, o)
		return dump(t, db, "information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE 'one\\_%'", []string{"table_name"})
	}
	entries, err := os.ReadDir(filepath.Dir(o.Path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), filepath.Base(o.Path))
		if name != "" && name != "-wal" && name != "-shm" {
			list = append(list, name)
		}
	}
	return list
}

func TestFromTheFirstVersion(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		o := firstVersion(t, w.options)
		var told []string
		o.Tell = func(text string) { told = append(told, text) }
		n := open(t, o)
		n.clock.now = w.clock.now
		before, err := w.Volumes(t.Context(), everything(root))
		if err != nil || len(before) != 5 {
			t.Fatal(before, err)
		}
		if after, err := n.Volumes(t.Context(), everything(root)); err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("volumes\n%+v, %v, were\n%+v", after, err, before)
		}
		for id := 1; id <= 4; id++ {
			was, _ := w.Operation(t.Context(), id)
			is, err := n.Operation(t.Context(), id)
			if err != nil || is != was {
				t.Errorf("operation\n%+v, %v, was\n%+v", is, err, was)
			}
			wasJournal, _ := w.Journal(t.Context(), id)
			if journal, err := n.Journal(t.Context(), id); err != nil || !reflect.DeepEqual(journal, wasJournal) {
				t.Errorf("journal\n%+v, %v, was\n%+v", journal, err, wasJournal)
			}
		}
		// All that is new works on what is old.
		op, _ := n.Operation(t.Context(), 3)
		withCommands := entry(n, "connect", onevolume.StepSucceeded, "")
		withCommands.Commands = []onevolume.Command{{Host: "n1", Text: "true"}}
		n.record(t, op, []onevolume.Entry{withCommands}, onevolume.Note{})
		n.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
		n.finish(t, n.reopen(t, 4, onevolume.Back), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		n.reserve(t, root, detach(17, "0"))
		if id := n.allocate(t, volume(9, gib)); id != 5 {
			t.Errorf("the next volume is %d", id)
		}
		if deeds := n.history(t, all(root)); len(deeds) != 2 || deeds[1].ID != 1 {
			t.Errorf("deeds %q", lines(deeds))
		}
		// What follows from the permissions is there for old volumes too.
		if n := dump(t, raw(t, o), "one_volume", []string{"group_use <> ((permissions & 32) <> 0) OR others_use <> ((permissions & 4) <> 0)"}); slices.Contains(n, `"1"`) {
			t.Errorf("volumes that a group or others may use and that are not marked so: %q", n)
		}
		// The old database is kept where a file is all there is.
		want := []string(nil)
		if o.Driver == store.SQLite {
			want = []string{".v1"}
			if info, err := os.Stat(o.Path + ".v1"); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		}
		if got := leftovers(t, o); !slices.Equal(got, want) {
			t.Errorf("left over %q, want %q", got, want)
		}
		if text := strings.Join(told, "\n"); len(told) != 1 || !strings.Contains(text, "version 1 to "+strconv.Itoa(onevolume.SchemaVersion)) || want != nil && !strings.Contains(text, o.Path+".v1") {
			t.Errorf("told %q", told)
		}
	})
}

// The schema is the same whether it was made or brought up.
func TestBroughtUpIsAsMade(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		o := firstVersion(t, w.options)
		open(t, o).Close()
		for _, table := range append([]string{"one_volume_command", "one_volume_audit"}, firstTables...) {
			made, up := columns(t, raw(t, w.options), table), columns(t, raw(t, o), table)
			if !slices.Equal(up, made) {
				t.Errorf("%s\nbrought up %q\nmade       %q", table, up, made)
			}
		}
		indexes := func(o store.Options) []string {
			if o.Driver == store.SQLite {
				return dump(t, raw(t, o), "sqlite_master WHERE type = 'index'", []string{"name", "tbl_name", "sql"})
			}
			return dump(t, raw(t, o), "information_schema.statistics WHERE table_schema = DATABASE()",
				[]string{"table_name", "index_name", "seq_in_index", "column_name", "non_unique"})
		}
		if made, up := indexes(w.options), indexes(o); !slices.Equal(up, made) {
			t.Errorf("indexes\nbrought up %q\nmade       %q", up, made)
		}
	})
}

// What fails on the copy leaves the database as it was, to the byte where it
// is a file.
func TestAMigrationThatFailsOnTheCopy(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a statement":   {"CREATE TABLE one_volume_half (oid INTEGER);\nALTER TABLE one_volume ADD COLUMN c INTEGER;\nUPDATE one_volume_operation SET nothing = 1;\n", "UPDATE one_volume_operation SET nothing"},
		"rows are lost": {"CREATE TABLE one_volume_half (oid INTEGER);\nDELETE FROM one_volume_journal;\n", "one_volume_journal has 0 rows afterwards, it had 3"},
	} {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				lived(t, w)
				w.Close()
				before := contents(t, w.options)
				version := onevolume.SchemaVersion + 1
				files := fstest.MapFS{fmt.Sprintf("migrations/%04d.sql", version): {Data: []byte(c.text)}}
				s := w.again(t)
				for range 2 {
					err := s.BringUp(t.Context(), version, files)
					wantCode(t, err, onevolume.Internal, "")
					if text := err.Error(); !strings.Contains(text, c.want) || strings.Contains(text, "try_") || !strings.Contains(onevolume.HintOf(err), "nothing was changed") {
						t.Errorf("error %q, hint %q", err, onevolume.HintOf(err))
					}
				}
				s.Close()
				if !bytes.Equal(contents(t, w.options), before) {
					t.Error("the database was changed")
				}
				if got := leftovers(t, w.options); len(got) > 0 {
					t.Errorf("left over %q", got)
				}
				open(t, w.options).Close()
			})
		})
	}
}

// Of several daemons that find an old database one brings it up, while a
// client goes on.
func TestBringUpAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		o := firstVersion(t, w.options)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				s, err := store.Open(t.Context(), o)
				if err != nil {
					t.Error(err)
					return
				}
				defer s.Close()
				if list, err := s.Volumes(t.Context(), everything(root)); err != nil || len(list) != 5 {
					t.Errorf("%d volumes, %v", len(list), err)
				}
			})
		}
		wait.Wait()
		if got := leftovers(t, o); len(got) > 0 && !slices.Equal(got, []string{".v1"}) {
			t.Errorf("left over %q", got)
		}
	})
}

// A copy that is there already is not written over.
func TestTheKeptCopyReplacesNone(t *testing.T) {
	w := open(t, sqliteOptions(t))
	o := firstVersion(t, w.options)
	if err := os.WriteFile(o.Path+".v1", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What a daemon that was killed while it copied left behind.
	part := filepath.Join(filepath.Dir(o.Path), "."+filepath.Base(o.Path)+".v1.2.part")
	if err := os.WriteFile(part, []byte(strings.Repeat("half a copy", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, o)
	if b, err := os.ReadFile(o.Path + ".v1"); err != nil || string(b) != "precious" {
		t.Errorf("it is %q, %v", b, err)
	}
	if got := leftovers(t, o); !slices.Equal(got, []string{".v1", ".v1.2"}) {
		t.Errorf("left over %q", got)
	}
}

// What killed tries left in MariaDB goes when it is old; another daemon's of
// now stays.
func TestMariaDBForgetsOldTries(t *testing.T) {
	w := open(t, mariadbOptions(t))
	o := firstVersion(t, w.options)
	db := raw(t, o)
	name := func(at time.Time) string { return fmt.Sprintf("try_%x_one_volume", at.UnixNano()) }
	now := name(time.Now())
	for _, n := range []string{name(time.Now().Add(-2 * time.Hour)), now, "try_mine", "try_mine_one_volume"} {
		exec(t, db, "CREATE TABLE "+n+" (oid INTEGER PRIMARY KEY)")
	}
	open(t, o)
	want := []string{strconv.Quote(now), `"try_mine"`, `"try_mine_one_volume"`}
	if got := leftovers(t, o); !slices.Equal(got, want) {
		t.Errorf("left over %q, want %q", got, want)
	}
}

// Programs beside a daemon do not bring its database up under it.
func TestOpeningWithoutMigrating(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		o := firstVersion(t, w.options)
		before := contents(t, o)
		for _, how := range []store.Opening{store.Look, store.Fill} {
			o.Opening = how
			_, err := store.Open(t.Context(), o)
			wantCode(t, err, onevolume.Action, "")
			if onevolume.HintOf(err) == "" {
				t.Error("no hint")
			}
		}
		if !bytes.Equal(contents(t, o), before) {
			t.Error("the old database was changed")
		}
		empty := optionsOf(t, o)
		empty.Opening = store.Look
		_, err := store.Open(t.Context(), empty)
		wantCode(t, err, onevolume.NotFound, "")
		if _, err := os.Lstat(empty.Path); empty.Driver == store.SQLite && !errors.Is(err, os.ErrNotExist) {
			t.Error("looking made a file")
		}
		empty.Opening = store.Fill
		open(t, empty).fill(t, gib)
	})
}
