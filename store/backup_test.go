package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// backup makes one in a directory of its own, under a name that a shell or a
// URL would stumble over.
func (w *world) backup(t testing.TB) store.Backup {
	t.Helper()
	b, err := w.Backup(t.Context(), filepath.Join(t.TempDir(), `it's "50%" ü?&#1.backup`))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// asFile opens a backup as a database, to look into it.
func asFile(path string) store.Options {
	return store.Options{Driver: store.SQLite, Path: path, Key: testKey}
}

var allTables = append([]string{"one_volume_command", "one_volume_audit"}, firstTables[1:]...)

// rowsOf is all that an inventory holds.
func rowsOf(t *testing.T, o store.Options) map[string][]string {
	t.Helper()
	db, all := raw(t, o), map[string][]string{}
	for _, table := range allTables {
		all[table] = dump(t, db, table, columns(t, db, table))
	}
	return all
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestBackupHoldsEverything(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		lived(t, w)
		b := w.backup(t)
		want := store.Backup{Path: b.Path, Made: w.clock.Now(), Program: "onevolumed " + onevolume.Version, Version: onevolume.SchemaVersion,
			Volumes: 5, Operations: 4, Deeds: 3}
		if b != want {
			t.Errorf("backup %+v, want %+v", b, want)
		}
		if info, err := os.Stat(b.Path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		if got := files(t, filepath.Dir(b.Path)); len(got) != 1 {
			t.Errorf("left over %q", got)
		}
		if got, want := rowsOf(t, asFile(b.Path)), rowsOf(t, w.options); !reflect.DeepEqual(got, want) {
			t.Errorf("backup\n%q\nis not the inventory\n%q", got, want)
		}
		text, err := os.ReadFile(b.Path)
		if err != nil || bytes.Contains(text, []byte("hidden-")) {
			t.Errorf("secrets are in the backup, or %v", err)
		}
	})
}

// A table that is not copied is lost: all are listed.
func TestBackupKnowsEveryColumn(t *testing.T) {
	w := open(t, sqliteOptions(t))
	db := raw(t, w.options)
	tables := dump(t, db, "sqlite_master WHERE type = 'table' AND name <> 'one_volume_control'", []string{"name"})
	known := store.DataTables()
	for _, name := range tables {
		name = strings.Trim(name, `"`)
		got, want := strings.Split(known[name], ", "), columns(t, db, name)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("of the table %s the columns %q are copied; it has %q", name, got, want)
		}
	}
	if len(known) != len(tables) {
		t.Errorf("%d tables are copied, there are %d", len(known), len(tables))
	}
}

func TestBackupRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		dir := t.TempDir()
		taken, dangling := filepath.Join(dir, "taken"), filepath.Join(dir, "dangling")
		if err := errors.Join(os.WriteFile(taken, []byte("precious"), 0o644), os.Symlink("/nowhere", dangling)); err != nil {
			t.Fatal(err)
		}
		for path, code := range map[string]onevolume.Code{taken: onevolume.Action, dangling: onevolume.Action, dir: onevolume.Action,
			filepath.Join(dir, "no", "file"): onevolume.Invalid, filepath.Join(taken, "file"): onevolume.Invalid} {
			_, err := w.Backup(t.Context(), path)
			wantCode(t, err, code, "")
			if onevolume.HintOf(err) == "" && code == onevolume.Action {
				t.Errorf("%v has no hint", err)
			}
		}
		if b, err := os.ReadFile(taken); err != nil || string(b) != "precious" {
			t.Errorf("the file is %q, %v", b, err)
		}
		if got := files(t, dir); !slices.Equal(got, []string{"dangling", "taken"}) {
			t.Errorf("left over %q", got)
		}
	})
}

// What a backup that was killed left behind is in nobody's way, and a file
// that got its name just before is not harmed.
func TestBackupAfterAKilledOne(t *testing.T) {
	w := open(t, sqliteOptions(t))
	w.fill(t, gib)
	dir := t.TempDir()
	path, part := filepath.Join(dir, "b"), filepath.Join(dir, ".b.part")
	if err := os.WriteFile(part, bytes.Repeat([]byte("half"), 9999), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Link(path, part), os.Rename(path, path+".old")); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path + ".old")
	if _, err := w.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path + ".old"); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the backup before was written to, or %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"b", "b.old"}) {
		t.Errorf("files %q", got)
	}
}

// Of many backups to one name, one is it, whole.
func TestBackupsAtOnce(t *testing.T) {
	w := open(t, sqliteOptions(t))
	lived(t, w)
	dir := t.TempDir()
	var made atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			switch _, err := w.Backup(t.Context(), filepath.Join(dir, "b")); onevolume.CodeOf(err) {
			case onevolume.Busy, onevolume.Action:
			default:
				if err != nil {
					t.Error(err)
				} else {
					made.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if made.Load() != 1 || !slices.Equal(files(t, dir), []string{"b"}) {
		t.Errorf("%d were made, files %q", made.Load(), files(t, dir))
	}
	open(t, asFile(filepath.Join(dir, "b")))
}

// seed gives a random test its seed, and says how to have the same again.
func seed(t *testing.T) uint64 {
	t.Helper()
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("ONEVOLUME_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the same choices again: ONEVOLUME_SEED=%d", n)
	return n
}

// storm lets workers attach, detach and recover until stop is called. After
// each they rest for up to so many times as long as that took, so that a
// loaded machine leaves as many moments of rest as an idle one. A worker does
// mostWork things: an inventory that grows faster than it can be copied would
// be one test for ever.
func storm(t *testing.T, seed uint64, rest *atomic.Int64, stores ...*store.Store) (stop func()) {
	var wait sync.WaitGroup
	over := make(chan struct{})
	stop = sync.OnceFunc(func() { close(over); wait.Wait() })
	t.Cleanup(stop)
	for i, s := range stores {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		wait.Go(func() {
			var took time.Duration
			for n := range mostWork {
				select {
				case <-over:
					return
				case <-time.After(time.Duration(rnd.Int64N(rest.Load()*int64(took) + 1))):
				}
				began := time.Now()
				stir(t, s, rnd, i, n)
				took = time.Since(began)
			}
		})
	}
	return stop
}

const mostWork = 2000

// stir does one thing to the inventory.
func stir(t *testing.T, s *store.Store, rnd *rand.Rand, worker, n int) {
	vm := onevolume.VMID(100 + worker)
	r := attach(vm, gib)
	if rnd.IntN(2) == 0 {
		list, err := s.Volumes(t.Context(), onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1, States: []onevolume.State{onevolume.Attached}})
		if err != nil {
			t.Error(err)
			return
		}
		for _, v := range list {
			if v.Attachment.VM == vm {
				r = detach(vm, fmt.Sprint(v.ID))
			}
		}
	}
	r.Owner = fmt.Sprint("worker ", worker, " ", n)
	op, _, err := s.Reserve(t.Context(), root, r)
	switch onevolume.CodeOf(err) {
	case onevolume.NoneFits:
		return
	case onevolume.Action:
		return // held, or somebody else's
	}
	if err != nil {
		t.Error(err)
		return
	}
	e := onevolume.Ending{Status: onevolume.Undone, State: op.Prior}
	steps := rnd.IntN(4)
	for i := range steps {
		err := s.Record(t.Context(), op.Ref(), []onevolume.Entry{{Step: fmt.Sprint("s", i), Event: onevolume.StepStarted,
			Commands: []onevolume.Command{{Host: "n1", Text: "true"}, {Host: "n1", Text: "false", Code: 1}}}}, onevolume.Note{Host: "n1"})
		if err != nil {
			t.Error(err)
		}
	}
	switch {
	case rnd.IntN(4) == 0:
		e = parked
	case rnd.IntN(2) == 0 && op.Kind == onevolume.Attach:
		e = onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}
	case op.Kind == onevolume.Detach:
		e = onevolume.Ending{Status: onevolume.Done, State: onevolume.Available, Note: onevolume.Note{State: onevolume.Wiping}}
	}
	if err := s.Finish(t.Context(), op.Ref(), e); err != nil {
		t.Error(err)
	}
	if e.Status == onevolume.Parked {
		if err := s.Recover(t.Context(), op.Volume, onevolume.Recovery{State: onevolume.Available}); err != nil && onevolume.CodeOf(err) != onevolume.Busy {
			t.Error(err)
		}
	}
}

// consistent checks what must hold in any inventory at any moment.
func consistent(t *testing.T, o store.Options) (moving int) {
	t.Helper()
	db := raw(t, o)
	for what, query := range map[string]string{
		"volumes that move without one running operation": "SELECT COUNT(*) FROM one_volume v WHERE v.status IN ('ATTACHING', 'DETACHING', 'WIPING')" +
			" AND (SELECT COUNT(*) FROM one_volume_operation o WHERE o.volume = v.oid AND o.status = 'RUNNING' AND o.running_volume = v.oid) <> 1",
		"volumes at rest with a running operation": "SELECT COUNT(*) FROM one_volume v JOIN one_volume_operation o ON o.running_volume = v.oid" +
			" WHERE v.status NOT IN ('ATTACHING', 'DETACHING', 'WIPING')",
		"operations that ended and hold a volume": "SELECT COUNT(*) FROM one_volume_operation WHERE (status = 'RUNNING') <> (running_volume IS NOT NULL)",
		"operations with another number of entries": "SELECT COUNT(*) FROM one_volume_operation o" +
			" WHERE o.journal <> (SELECT COUNT(*) FROM one_volume_journal j WHERE j.op = o.oid)",
		"entries without their commands": "SELECT COUNT(*) FROM one_volume_journal j" +
			" WHERE (SELECT COUNT(*) FROM one_volume_command c WHERE c.op = j.op AND c.seq = j.seq) <> 2",
		"operations without the deed of their end": "SELECT COUNT(*) FROM one_volume_operation o WHERE o.status <> 'RUNNING'" +
			" AND o.oid NOT IN (SELECT a.operation FROM one_volume_audit a WHERE a.action IN ('attach', 'detach', 'replug'))",
		"operations at or behind the counter": "SELECT COUNT(*) FROM one_volume_operation WHERE oid >= (SELECT value FROM one_volume_control WHERE name = 'operation')",
		"deeds at or behind the counter":      "SELECT COUNT(*) FROM one_volume_audit WHERE oid >= (SELECT value FROM one_volume_control WHERE name = 'audit')",
		"gaps between deeds":                  "SELECT COUNT(*) FROM one_volume_control WHERE name = 'audit' AND value <> 1 + (SELECT COUNT(*) FROM one_volume_audit)",
	} {
		var n int
		if err := db.QueryRowContext(t.Context(), query).Scan(&n); err != nil {
			t.Fatal(what, err)
		}
		if n != 0 {
			t.Errorf("%s: %d %s", o, n, what)
		}
	}
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM one_volume_operation WHERE status = 'RUNNING'").Scan(&moving); err != nil {
		t.Fatal(err)
	}
	return moving
}

// toldAll checks that the events tell of all that an inventory that was never
// restored is.
func toldAll(t *testing.T, o store.Options) {
	t.Helper()
	for what, query := range map[string]string{
		"gaps between events": "SELECT COUNT(*) FROM one_volume_control WHERE name = 'event' AND value <> 1 + (SELECT COUNT(*) FROM one_volume_event)",
		"volumes whose newest event says otherwise": "SELECT COUNT(*) FROM one_volume v LEFT JOIN one_volume_event e" +
			" ON e.oid = (SELECT MAX(oid) FROM one_volume_event WHERE volume = v.oid) LEFT JOIN one_volume_operation o ON o.oid = v.operation" +
			" WHERE e.oid IS NULL OR e.status <> v.status OR e.vm_id <> v.vm_id OR e.host <> v.host OR e.name <> v.name OR e.operation <> v.operation" +
			" OR e.op_status <> COALESCE(o.status, '')",
	} {
		var n int
		if err := raw(t, o).QueryRowContext(t.Context(), query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d %s, %v", o, n, what, err)
		}
	}
}

// Each backup of a storm shows one moment of it.
func TestBackupUnderAStorm(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		seed := seed(t)
		for i := range 12 {
			w.allocate(t, volume(i, gib))
		}
		other := w.again(t)
		stop := storm(t, seed, new(atomic.Int64), w.Store, other, w.Store, other)
		running, last := 0, 0
		deadline := time.Now().Add(20 * time.Second)
		backups := 12
		if raceDetector {
			backups = 4
		}
		for n := 0; n < backups || running == 0 && time.Now().Before(deadline); n++ {
			b := w.backup(t)
			running += consistent(t, asFile(b.Path))
			toldAll(t, asFile(b.Path))
			if b.Deeds < last {
				t.Errorf("a later backup has %d deeds, the one before %d", b.Deeds, last)
			}
			last = b.Deeds
		}
		stop()
		if running == 0 || last == 0 {
			t.Errorf("%d operations ran and %d deeds were done during the backups: nothing was tested", running, last)
		}
		consistent(t, w.options)
	})
}
