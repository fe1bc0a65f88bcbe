package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// lockFor holds a lock on the database, or on volume 0 of a server, for a
// while, as another program does. It is held when lockFor returns.
func lockFor(t *testing.T, w *world, d time.Duration) (ended <-chan error) {
	t.Helper()
	statements := []string{"BEGIN IMMEDIATE"}
	if w.options.Driver == store.MySQL {
		statements = []string{"BEGIN", "SELECT oid FROM one_volume WHERE oid = 0 FOR UPDATE"}
	}
	conn, err := raw(t, w.options).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range statements {
		if _, err := conn.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		time.Sleep(d)
		_, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ROLLBACK")
		done <- errors.Join(err, conn.Close())
	}()
	return done
}

func rename(ctx context.Context, s *store.Store, name string) error {
	return s.Update(ctx, 0, func(v *onevolume.Volume) error { v.Name = name; return nil })
}

// A lock that ends costs time only, and readers of a file not even that.
func TestADatabaseLockedForAWhile(t *testing.T) {
	for name, c := range map[string]struct {
		options func(testing.TB) store.Options
		held    time.Duration
	}{
		"sqlite":  {sqliteOptions, 3 * time.Second}, // longer than one try of SQLite's
		"mariadb": {mariadbOptions, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, c.options(t))
			w.fill(t, gib, gib)
			ended := lockFor(t, w, c.held)
			began := time.Now()
			if list, err := w.Volumes(t.Context(), everything(root)); err != nil || len(list) != 2 || time.Since(began) > c.held/2 {
				t.Errorf("%d volumes, %v, after %s", len(list), err, time.Since(began))
			}
			if err := rename(t.Context(), w.Store, "waited"); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < c.held*9/10 {
				t.Errorf("written after %s, while it was locked", took)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if v := w.volume(t, 0); v.Name != "waited" || v.Version != 2 {
				t.Errorf("named %q, version %d", v.Name, v.Version)
			}
		})
	}
}

// A lock that does not end is said to be one, and nothing is half written.
func TestADatabaseLockedForLong(t *testing.T) {
	w := open(t, sqliteOptions(t))
	w.fill(t, gib, gib)
	op, _ := w.reserve(t, root, attachNamed(17, "1"))
	before := rowsOf(t, w.options)
	w.Impatient(2)
	ended := lockFor(t, w, 10*time.Second)
	for name, call := range map[string]func() error{
		"update": func() error { return rename(t.Context(), w.Store, "x") },
		"record": func() error {
			return w.Record(t.Context(), op.Ref(), []onevolume.Entry{entry(w, "plug", onevolume.StepStarted, "")}, onevolume.Note{})
		},
	} {
		err := call()
		wantCode(t, err, onevolume.Busy, "")
		if !strings.Contains(err.Error(), "another program keeps the database "+w.options.Path+" locked") || !strings.Contains(onevolume.HintOf(err), "fuser") {
			t.Errorf("%s: %v (%s)", name, err, onevolume.HintOf(err))
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := rename(ctx, w.Store, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that gave up got %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !reflect.DeepEqual(rowsOf(t, w.options), before) {
		t.Error("something was written")
	}
	w.record(t, op, []onevolume.Entry{entry(w, "plug", onevolume.StepStarted, "")}, onevolume.Note{})
	w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
}

// pages is how large a SQLite file is.
func pages(t *testing.T, w *world) (n int) {
	t.Helper()
	if err := raw(t, w.options).QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// On a full disk everything that was answered is there, nothing else, and all
// goes on when there is room again.
func TestAFullDisk(t *testing.T) {
	w := open(t, sqliteOptions(t))
	w.fill(t, gib)
	op, _ := w.reserve(t, root, attachNamed(17, "0"))
	pages := pages(t, w)
	if err := w.Limit(t.Context(), pages+4); err != nil {
		t.Fatal(err)
	}
	fullDisk := func(err error) {
		t.Helper()
		wantCode(t, err, onevolume.Internal, "")
		if text := err.Error(); !strings.Contains(text, "the disk of "+w.options.Path+" is full") || strings.Contains(text, "rollback") ||
			!strings.Contains(onevolume.HintOf(err), "make room") {
			t.Fatalf("error %q, hint %q", err, onevolume.HintOf(err))
		}
	}
	var made []onevolume.VolumeID
	var err error
	for n := 1; err == nil; n++ {
		if n > 1000 {
			t.Fatal("the disk is never full")
		}
		v := volume(n, gib)
		v.Attributes = map[string]string{"TEXT": strings.Repeat("x", 1000)}
		var id onevolume.VolumeID
		if id, err = w.Allocate(t.Context(), v); err == nil {
			made = append(made, id)
		}
	}
	fullDisk(err)
	before := rowsOf(t, w.options)
	entries := []onevolume.Entry{entry(w, "plug", onevolume.StepStarted, strings.Repeat("y", 20_000))}
	fullDisk(w.Record(t.Context(), op.Ref(), entries, onevolume.Note{Host: "n1"}))
	fullDisk(w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: strings.Repeat("z", 20_000)}))
	if !reflect.DeepEqual(rowsOf(t, w.options), before) {
		t.Error("something was written")
	}
	list, err := w.Volumes(t.Context(), everything(root))
	if err != nil || len(list) != len(made)+1 {
		t.Errorf("%d volumes, %v, want %d", len(list), err, len(made)+1)
	}
	if err := w.Limit(t.Context(), pages+1000); err != nil {
		t.Fatal(err)
	}
	w.record(t, op, entries, onevolume.Note{Host: "n1"})
	w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
	if id := w.allocate(t, volume(2000, gib)); id != made[len(made)-1]+1 {
		t.Errorf("the next volume is %d", id)
	}
}

// A restore that finds no room leaves what was there, and nothing beside it.
func TestARestoreOnAFullDisk(t *testing.T) {
	from := open(t, sqliteOptions(t))
	for i := range 300 {
		from.allocate(t, volume(i, gib))
	}
	b := from.backup(t)
	w := open(t, sqliteOptions(t))
	lived(t, w)
	w.clock.advance(time.Hour)
	before := rowsOf(t, w.options)
	if err := w.Limit(t.Context(), pages(t, w)+2); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, err := w.Restore(t.Context(), b.Path, store.RestoreOptions{Replace: true, Dir: dir})
	wantCode(t, err, onevolume.Internal, "")
	if !strings.Contains(err.Error(), "the disk of "+w.options.Path+" is full") {
		t.Errorf("error %q", err)
	}
	if !reflect.DeepEqual(rowsOf(t, w.options), before) || len(files(t, dir)) > 0 {
		t.Errorf("something was written, or left: %q", files(t, dir))
	}
	if reason, err := w.Hold(t.Context()); reason != "" || err != nil {
		t.Errorf("held: %q, %v", reason, err)
	}
}

// A backup that finds no room leaves nothing, and says whose disk is full.
func TestABackupOnAFullDisk(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		for i := range 100 {
			w.allocate(t, volume(i, gib))
		}
		path := filepath.Join(t.TempDir(), "b")
		err := w.BackupWithin(t.Context(), path, 25)
		wantCode(t, err, onevolume.Internal, "")
		if want := fmt.Sprintf("writing the backup %s: the disk of %s is full", path, path); !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q", err, want)
		}
		if got := files(t, filepath.Dir(path)); len(got) > 0 {
			t.Errorf("left over %q", got)
		}
		if _, err := w.Backup(t.Context(), path); err != nil {
			t.Error(err)
		}
	})
}
