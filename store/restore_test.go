package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// restore restores a backup and fails when it cannot.
func (w *world) restore(t testing.TB, path string, replace bool) store.Restored {
	t.Helper()
	r, err := w.Restore(t.Context(), path, store.RestoreOptions{Replace: replace, Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("Restore(%s): %v (%s)", path, err, onevolume.HintOf(err))
	}
	return r
}

// other opens an empty inventory of the other kind of database.
func (w *world) other(t *testing.T) *world {
	if w.options.Driver == store.SQLite {
		return open(t, mariadbOptions(t))
	}
	return open(t, sqliteOptions(t))
}

// A lost inventory is there again, in either kind of database.
func TestRestoreIntoAnEmptyInventory(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		b := w.backup(t)
		file, _ := os.ReadFile(b.Path)
		n := w.other(t)
		n.clock.advance(48 * time.Hour)
		r := n.restore(t, b.Path, false)
		if r.Backup != b || r.Before.Path != "" || !slices.Equal(r.Parked, []int{3}) {
			t.Errorf("restored %+v", r)
		}
		if after, _ := os.ReadFile(b.Path); !bytes.Equal(after, file) {
			t.Error("the backup was written to")
		}
		// What was at rest is as it was; only the versions rise.
		for _, id := range []onevolume.VolumeID{0, 1, 3, 4} {
			was, is := w.volume(t, id), n.volume(t, id)
			if is.Version <= was.Version {
				t.Errorf("volume %d has version %d, it had %d", id, is.Version, was.Version)
			}
			is.Version = was.Version
			if !reflect.DeepEqual(is, was) {
				t.Errorf("volume\n%+v, was\n%+v", is, was)
			}
		}
		for _, id := range []int{1, 2} {
			was, _ := w.Operation(t.Context(), id)
			wasJournal, _ := w.Journal(t.Context(), id)
			is, err := n.Operation(t.Context(), id)
			journal, jerr := n.Journal(t.Context(), id)
			if err != nil || jerr != nil || is != was || !reflect.DeepEqual(journal, wasJournal) {
				t.Errorf("operation %+v, %+v, was %+v, %+v", is, journal, was, wasJournal)
			}
		}
		// What ran is parked, and says what to do.
		op, _ := n.Operation(t.Context(), 3)
		v := n.volume(t, 2)
		if op.Status != onevolume.Parked || !op.Ended.Equal(n.clock.Now()) || v.State != onevolume.Failed || v.Attachment.VM != 19 || v.Reason != op.Error ||
			!strings.Contains(v.Reason, "onevolume resume 3") || !strings.Contains(v.Reason, "2026-11-20T12:00:00Z") {
			t.Errorf("operation %+v, volume %+v", op, v)
		}
		if running, _ := n.Running(t.Context()); len(running) > 0 {
			t.Errorf("running %+v", running)
		}
		if reason, err := n.Hold(t.Context()); err != nil || reason != r.Hold || reason == "" {
			t.Errorf("held: %q, %v, want %q", reason, err, r.Hold)
		}
	})
}

// Nothing that may be in use is given out again, and nobody who still works
// on what was before is heard.
func TestRestoreKeepsOldHandsOff(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib, gib)
		lost, _ := w.reserve(t, alice, attach(17, gib))
		stuck, _ := w.reserve(t, alice, attach(18, gib))
		w.finish(t, stuck, parked)
		b := w.backup(t)
		// After the backup the lost inventory went on.
		lost2, err := w.TakeOver(t.Context(), lost.Ref(), "daemon", time.Hour, lost.Lease)
		if err != nil {
			t.Fatal(err)
		}
		again := w.reopen(t, stuck.ID, onevolume.Forward)
		later, _ := w.reserve(t, alice, attach(19, gib))
		newVolume := w.allocate(t, volume(9, gib))

		n := w.other(t)
		n.restore(t, b.Path, false)
		if err := n.Lift(t.Context()); err != nil {
			t.Fatal(err)
		}
		reopened := n.reopen(t, stuck.ID, onevolume.Back)
		n.reopen(t, lost.ID, onevolume.Forward)
		for _, ref := range []onevolume.OperationRef{lost.Ref(), lost2.Ref(), stuck.Ref(), again.Ref()} {
			wantCode(t, n.Record(t.Context(), ref, nil, onevolume.Note{Host: "x"}), onevolume.Stale, "")
			wantCode(t, n.Finish(t.Context(), ref, parked), onevolume.Stale, "")
		}
		wantCode(t, n.Record(t.Context(), later.Ref(), nil, onevolume.Note{}), onevolume.NotFound, "")
		if op, _ := n.reserve(t, root, attachNamed(20, "3")); op.ID <= later.ID {
			t.Errorf("operation %d was given out again", op.ID)
		}
		if id := n.allocate(t, volume(9, gib)); id <= newVolume {
			t.Errorf("volume %d was given out again", id)
		}
		n.finish(t, reopened, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
	})
}

// What is replaced is saved, and the audit loses nothing.
func TestRestoreReplaces(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		b := w.backup(t)
		for _, deed := range []string{"one", "two", "three", "four"} {
			if err := w.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{Action: deed}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Delete(t.Context(), 4, nil); err != nil {
			t.Fatal(err)
		}
		id := w.allocate(t, volume(7, gib))
		w.clock.advance(time.Hour) // the owner of the running operation dies
		audit := lines(w.history(t, all(root)))
		before := rowsOf(t, w.options)

		_, err := w.Restore(t.Context(), b.Path, store.RestoreOptions{Dir: t.TempDir()})
		wantCode(t, err, onevolume.Action, "")
		if !strings.Contains(err.Error(), "holds 5 volumes") || !strings.Contains(onevolume.HintOf(err), "--replace") {
			t.Errorf("error %q, hint %q", err, onevolume.HintOf(err))
		}
		if !reflect.DeepEqual(rowsOf(t, w.options), before) {
			t.Error("a refused restore changed something")
		}
		other := w.again(t) // a daemon that goes on
		r, err := w.Restore(asks(t, root, "restore", ""), b.Path, store.RestoreOptions{Replace: true, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if got := rowsOf(t, asFile(r.Before.Path)); !reflect.DeepEqual(got, before) {
			t.Errorf("saved\n%q\nwas\n%q", got, before)
		}
		if v, err := other.Volume(t.Context(), 4); err != nil || v.Name != "disk4.x" {
			t.Errorf("the daemon reads %+v, %v", v, err)
		}
		if _, err := other.Volume(t.Context(), id); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("the volume of after the backup: %v", err)
		}
		// The same inventory knows all that it gave out: nothing is left out.
		if next := w.allocate(t, volume(8, gib)); next != id+1 {
			t.Errorf("the next volume is %d, want %d", next, id+1)
		}
		deeds := w.history(t, all(root))
		slices.Reverse(audit)
		slices.Reverse(deeds)
		if got := lines(deeds); !slices.Equal(got[:len(audit)], audit) || len(got) != len(audit)+2 {
			t.Errorf("audit\n%q, was\n%q", got, audit)
		}
		if d := deeds[len(deeds)-1]; d.Action != "restore" || d.By != root.Owner || !strings.Contains(d.Text, b.Path) {
			t.Errorf("the deed of the restore: %+v", d)
		}
		// And back again: the way out of a mistake.
		w.restore(t, r.Before.Path, true)
		if v := w.volume(t, id); v.Name != "disk7.x" {
			t.Errorf("volume %d is %q", id, v.Name)
		}
		consistentCounters(t, w)
	})
}

// consistentCounters checks that all counters are behind all ids.
func consistentCounters(t *testing.T, w *world) {
	t.Helper()
	for counter, table := range map[string]string{"volume": "one_volume", "operation": "one_volume_operation", "audit": "one_volume_audit"} {
		var n int
		q := "SELECT COUNT(*) FROM " + table + " WHERE oid >= (SELECT value FROM one_volume_control WHERE name = ?)"
		if err := raw(t, w.options).QueryRowContext(t.Context(), q, counter).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d ids of %s are not behind their counter, %v", n, table, err)
		}
	}
}

// Deeds of two inventories that gave the same ids to different ones.
func TestRestoreMergesForeignAudits(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		b := w.backup(t)
		n := w.other(t)
		for _, action := range []string{"x1", "x2", "x3", "x4", "x5"} {
			if err := n.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{Action: action}}); err != nil {
				t.Fatal(err)
			}
		}
		n.restore(t, b.Path, false)
		var got []string
		for _, d := range n.history(t, all(root)) {
			got = append(got, d.Action)
		}
		slices.Reverse(got)
		// Five of its own, three of the backup's, the parking and the restore.
		want := []string{"x1", "x2", "x3", "x4", "x5", "attach", "attach", "attach", "attach", "restore"}
		if !slices.Equal(got, want) {
			t.Errorf("deeds %q, want %q", got, want)
		}
		if deeds := n.history(t, all(root)); deeds[0].ID != 10 {
			t.Errorf("the newest is %d", deeds[0].ID)
		}
		consistentCounters(t, n)
	})
}

func TestRestoreWaitsForNobody(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		b := w.backup(t)
		op, _ := w.reserve(t, root, attachNamed(17, "0"))
		before := rowsOf(t, w.options)
		dir := t.TempDir()
		_, err := w.Restore(t.Context(), b.Path, store.RestoreOptions{Replace: true, Dir: dir})
		wantCode(t, err, onevolume.Busy, "1 operations run: operation 1 (attach, volume 0, VM 17) is held by test@host/17 until 2026-11-20T12:01:00Z.")
		if !reflect.DeepEqual(rowsOf(t, w.options), before) || len(files(t, dir)) > 0 {
			t.Error("a refused restore left something")
		}
		w.clock.advance(time.Hour)
		w.restore(t, b.Path, true)
		wantCode(t, w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}), onevolume.NotFound, "")
	})
}

// What cannot be restored is refused before anything is touched.
func TestRestoreRefuses(t *testing.T) {
	good := open(t, sqliteOptions(t))
	for i := range 100 {
		good.allocate(t, volume(i, gib))
	}
	b := good.backup(t)
	whole, err := os.ReadFile(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	zeroed := bytes.Clone(whole)
	clear(zeroed[8192 : len(zeroed)-4096])
	edited := func(t *testing.T, statements ...string) []byte {
		path := filepath.Join(t.TempDir(), "edited")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db := raw(t, asFile(path))
		for _, q := range statements {
			exec(t, db, q)
		}
		db.Close()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	foreign := sqliteOptions(t)
	foreign.Key = []byte("another0another0another0another0")
	stranger := open(t, foreign).backup(t)
	strange, err := os.ReadFile(stranger.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		is      error
		want    string
	}{
		{"not a database", []byte(strings.Repeat("This is a letter to a friend.\n", 500)), store.ErrDamaged, ""},
		{"cut short", whole[:len(whole)/2], store.ErrDamaged, ""},
		{"zeroed", zeroed, store.ErrDamaged, ""},
		{"empty", nil, nil, "is no backup of onevolume's"},
		{"newer", edited(t, "UPDATE one_volume_control SET value = 99 WHERE name = 'schema'"), store.ErrNewer, "version 99"},
		{"another's tables", edited(t, "DROP TABLE one_volume_control"), nil, "is no backup of onevolume's"},
		{"a plain copy", edited(t, "DELETE FROM one_volume_control WHERE name = 'backup'"), nil, "not a backup of one"},
		{"another key", strange, store.ErrKey, ""},
		{"a secret of another's", edited(t, "UPDATE one_volume SET chap_secret = 'v1:AAAA' WHERE oid = 3"), store.ErrKey, "chap_secret"},
		{"a journal of nothing", edited(t, "INSERT INTO one_volume_journal VALUES (77, 1, 's', 'STARTED', 0, 1, 'o', '')"), store.ErrDamaged, "one_volume_operation"},
		{"no portals", edited(t, "UPDATE one_volume SET portals = 'nowhere' WHERE oid = 3"), nil, "portals"},
	} {
		t.Run(c.name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				lived(t, w)
				w.clock.advance(time.Hour)
				before := rowsOf(t, w.options)
				dir, path := t.TempDir(), filepath.Join(t.TempDir(), "b")
				if err := os.WriteFile(path, c.content, 0o400); err != nil {
					t.Fatal(err)
				}
				_, err := w.Restore(t.Context(), path, store.RestoreOptions{Replace: true, Dir: dir})
				if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("error %v, want %v with %q and the file's name", err, c.is, c.want)
				}
				if after, _ := os.ReadFile(path); !bytes.Equal(after, c.content) {
					t.Error("the file was written to")
				}
				if !reflect.DeepEqual(rowsOf(t, w.options), before) || len(files(t, dir)) > 0 {
					t.Error("a refused restore left something")
				}
			})
		})
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		_, err := good.Restore(t.Context(), path, store.RestoreOptions{})
		if c := onevolume.CodeOf(err); c != onevolume.NotFound && c != onevolume.Invalid {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The copy that a migration kept is a backup, and comes up on its way in.
func TestRestoreOfAnOlderVersion(t *testing.T) {
	w := open(t, sqliteOptions(t))
	lived(t, w)
	o := firstVersion(t, w.options)
	open(t, o)
	kept, _ := os.ReadFile(o.Path + ".v1")
	backends(t, func(t *testing.T, n *world) {
		t.Setenv("TMPDIR", t.TempDir())
		r := n.restore(t, o.Path+".v1", false)
		if r.Volumes != 5 || r.Operations != 4 || !slices.Equal(r.Parked, []int{3}) || !strings.Contains(r.Program, "before it brought this to version "+strconv.Itoa(onevolume.SchemaVersion)) {
			t.Errorf("restored %+v", r)
		}
		if v := n.volume(t, 0); v.Target.CHAP.Secret != "hidden-secret" {
			t.Errorf("volume %+v", v)
		}
		if after, _ := os.ReadFile(o.Path + ".v1"); !bytes.Equal(after, kept) {
			t.Error("the file was written to")
		}
		if left := files(t, os.TempDir()); len(left) > 0 {
			t.Errorf("left over %q", left)
		}
	})
}

// Restores in the middle of a storm either replace all, or say that they
// cannot; the storm goes on.
func TestRestoreUnderAStorm(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		seed := seed(t)
		for i := range 6 {
			w.allocate(t, volume(i, gib))
		}
		b := w.backup(t)
		other := w.again(t)
		var rest atomic.Int64
		rest.Store(6)
		stop := storm(t, seed, &rest, w.Store, other)
		done, refused := 0, 0
		deadline := time.Now().Add(time.Minute)
		for n := 0; n < 8 || done == 0 && time.Now().Before(deadline); n++ {
			r, err := w.Restore(t.Context(), b.Path, store.RestoreOptions{Replace: true, Dir: t.TempDir()})
			switch {
			case err == nil:
				done++
				consistent(t, asFile(r.Before.Path))
				if err := w.Lift(t.Context()); err != nil {
					t.Error(err)
				}
			case onevolume.CodeOf(err) == onevolume.Busy:
				refused++
				rest.Add(6) // on a loaded machine a restore takes longer, and needs a longer rest
			default:
				t.Error(err)
			}
		}
		stop()
		t.Logf("%d restored, %d refused", done, refused)
		if done == 0 {
			t.Error("nothing was restored")
		}
		consistentCounters(t, w)
	})
}
