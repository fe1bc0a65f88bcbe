package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"onevolume"
	"onevolume/store"
)

// raw opens a database behind the store's back.
func raw(t *testing.T, o store.Options) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", o.Path
	if o.Driver == store.MySQL {
		driver, dsn = "mysql", o.DSN
	}
	if o.Driver == store.SQLite && strings.Contains(dsn, "?") {
		link := filepath.Join(t.TempDir(), "link.db") // a plain name, since the driver cuts at "?"
		if err := os.Symlink(dsn, link); err != nil {
			t.Fatal(err)
		}
		dsn = link
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestTheTableHasTheNamedColumns(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		rows, err := raw(t, w.options).QueryContext(t.Context(), "SELECT * FROM one_volume")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		if rows.Next() || rows.Err() != nil {
			t.Errorf("an empty inventory has a row, or %v", rows.Err())
		}
		for _, name := range []string{"oid", "name", "iqn", "lun", "portals", "size", "status", "vm_id", "uid", "gid", "permissions"} {
			if !slices.Contains(columns, name) {
				t.Errorf("one_volume has no column %q", name)
			}
		}
	})
}

func TestOpenAgain(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		s := w.again(t)
		if v, err := s.Volume(t.Context(), 0); err != nil || v.Name != "disk0.x" {
			t.Errorf("%+v, %v", v, err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Several daemons may start on an empty database at once.
func TestOpenAtOnce(t *testing.T) {
	for name, options := range map[string]func(testing.TB) store.Options{"sqlite": sqliteOptions, "mariadb": mariadbOptions} {
		t.Run(name, func(t *testing.T) {
			o := options(t)
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					s, err := store.Open(t.Context(), o)
					if err != nil {
						t.Error(err)
						return
					}
					s.Close()
				})
			}
			all.Wait()
			open(t, o).fill(t, gib)
		})
	}
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		w.Close()
		db := raw(t, w.options)
		exec(t, db, "UPDATE one_volume_control SET value = 99 WHERE name = 'schema'")
		if w.options.Driver == store.SQLite {
			exec(t, db, "PRAGMA journal_mode = DELETE")
		}
		db.Close()
		before := contents(t, w.options)
		_, err := store.Open(t.Context(), w.options)
		wantCode(t, err, onevolume.Internal, "")
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 99") || onevolume.HintOf(err) == "" {
			t.Errorf("error %q, hint %q", err, onevolume.HintOf(err))
		}
		if !bytes.Equal(contents(t, w.options), before) {
			t.Error("the newer database was written to")
		}
	})
}

// contents is a database as it lies on disk, or as the server dumps it.
func contents(t *testing.T, o store.Options) []byte {
	t.Helper()
	if o.Driver == store.SQLite {
		b, err := os.ReadFile(o.Path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var all []byte
	db := raw(t, o)
	for _, table := range []string{"one_volume", "one_volume_operation", "one_volume_journal", "one_volume_control"} {
		var name, sum string
		if err := db.QueryRowContext(t.Context(), "CHECKSUM TABLE "+table).Scan(&name, &sum); err != nil {
			t.Fatal(err)
		}
		all = append(all, name+sum...)
	}
	return all
}

func TestOpenRefusesADamagedFile(t *testing.T) {
	good := open(t, sqliteOptions(t))
	for i := range 200 {
		good.allocate(t, volume(i, gib))
	}
	good.Close()
	whole := contents(t, good.options)
	zeroed := bytes.Clone(whole)
	clear(zeroed[8192 : len(zeroed)-4096])
	for name, content := range map[string][]byte{
		"not a database": []byte(strings.Repeat("This is a letter to a friend.\n", 500)),
		"cut short":      whole[:len(whole)/2],
		"zeroed":         zeroed,
	} {
		t.Run(name, func(t *testing.T) {
			o := sqliteOptions(t)
			if err := os.WriteFile(o.Path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.Open(t.Context(), o)
			wantCode(t, err, onevolume.Internal, "")
			if !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), o.Path) {
				t.Errorf("error %q does not say that %s is damaged", err, o.Path)
			}
			if !bytes.Equal(contents(t, o), content) {
				t.Error("the damaged file was written to")
			}
		})
	}
}

func TestOpenRefusesAWrongKey(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.options.Key = []byte("another0another0another0another0")
		_, err := store.Open(t.Context(), w.options)
		wantCode(t, err, onevolume.Internal, "")
		if !errors.Is(err, store.ErrKey) {
			t.Errorf("error %q", err)
		}
		w.options.Key = []byte("short")
		_, err = store.Open(t.Context(), w.options)
		wantCode(t, err, onevolume.Invalid, "the inventory's key has 5 bytes, it must have 32")
	})
}

func TestSecretsAreSealed(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		for i := range 2 {
			v := volume(i, gib)
			v.Target.CHAP = onevolume.CHAP{User: "visible-user", Secret: "hidden-secret", UserIn: "v", SecretIn: "hidden-secret"}
			w.allocate(t, v)
		}
		if err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error { v.Name = "renamed"; return nil }); err != nil {
			t.Fatal(err)
		}
		db := raw(t, w.options)
		var out, in string
		if err := db.QueryRowContext(t.Context(), "SELECT chap_secret, chap_secret_in FROM one_volume WHERE oid = 0").Scan(&out, &in); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out+in, "hidden") || out == in || !strings.HasPrefix(out, "v1:") {
			t.Errorf("sealed as %q and %q", out, in)
		}
		if w.options.Driver == store.SQLite {
			files, _ := filepath.Glob(filepath.Join(filepath.Dir(w.options.Path), "*"))
			user := false
			for _, f := range files {
				b, _ := os.ReadFile(f)
				user = user || bytes.Contains(b, []byte("visible-user"))
				if bytes.Contains(b, []byte("hidden-secret")) {
					t.Errorf("the secret is in %s", f)
				}
			}
			if !user {
				t.Errorf("not even the user's name is in %q: looked in the wrong place", files)
			}
		}
		// A sealed value opens only where it was put.
		for _, move := range []string{
			"UPDATE one_volume SET chap_secret = (SELECT s FROM (SELECT chap_secret AS s FROM one_volume WHERE oid = 1) AS other) WHERE oid = 0",
			"UPDATE one_volume SET chap_secret = chap_secret_in WHERE oid = 0",
			"UPDATE one_volume SET chap_secret = 'hidden-secret' WHERE oid = 0",
		} {
			exec(t, db, move)
			if v, err := w.Volume(t.Context(), 0); err == nil {
				t.Errorf("%s: a value that was put there by another opens as %q", move, v.Target.CHAP.Secret)
			}
		}
	})
}

func TestSQLiteFiles(t *testing.T) {
	w := open(t, sqliteOptions(t))
	w.fill(t, gib)
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(w.options.Path), "*"))
	if len(files) < 3 {
		t.Errorf("files %q, want the database with its -wal and -shm", files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", f, info.Mode(), err)
		}
	}
	var mode string
	if err := raw(t, w.options).QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v", mode, err)
	}
	for name, o := range map[string]store.Options{
		"directory": {Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "no", "x.db"), Key: testKey},
		"path":      {Driver: store.SQLite, Key: testKey},
		"driver":    {Driver: "postgres", Key: testKey},
		"DSN":       {Driver: store.MySQL, DSN: "root:pass word@@", Key: testKey},
		"database":  {Driver: store.MySQL, Server: store.Server{User: "x"}, Key: testKey},
	} {
		_, err := store.Open(t.Context(), o)
		wantCode(t, err, onevolume.Invalid, "")
		if strings.Contains(err.Error(), "pass word") {
			t.Errorf("%s: the password is in %q", name, err)
		}
	}
}

// A daemon that died leaves its -wal file behind: what it committed is there.
func TestSQLiteAfterACrash(t *testing.T) {
	w := open(t, sqliteOptions(t))
	w.fill(t, gib, gib)
	crashed := sqliteOptions(t)
	for _, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(w.options.Path + end)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(crashed.Path+end, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := open(t, crashed).Volumes(t.Context(), everything(root))
	if err != nil || len(list) != 2 {
		t.Errorf("%d volumes, %v, want 2", len(list), err)
	}
}

func TestMariaDBByParts(t *testing.T) {
	o := mariadbOptions(t)
	_, name, _ := strings.Cut(o.DSN, "/onevolume_")
	for _, v := range []store.Server{
		{Socket: server.Socket, User: "root", Database: "onevolume_" + name},
		{Host: "127.0.0.1", Port: server.Port, User: "root", Database: "onevolume_" + name},
	} {
		open(t, store.Options{Driver: store.MySQL, Server: v, Key: testKey})
	}
}

func TestMariaDBAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := store.Options{Driver: store.MySQL, Key: testKey, Server: store.Server{
		Socket: filepath.Join(t.TempDir(), "none"), User: "root", Password: "pass word", Database: "x"}}
	_, err := store.Open(ctx, o)
	wantCode(t, err, onevolume.Unreachable, "")
	if strings.Contains(err.Error(), "pass word") || onevolume.HintOf(err) == "" {
		t.Errorf("error %q", err)
	}
}

// Connections that the server cut, as on a failover, cost a caller nothing.
func TestMariaDBCutsConnections(t *testing.T) {
	w := open(t, mariadbOptions(t))
	w.fill(t, gib, gib)
	db := raw(t, w.options)
	cut := func() {
		rows, err := db.QueryContext(t.Context(), "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		var ids []int
		for rows.Next() {
			var id int
			if err := rows.Scan(&id); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			_, _ = db.ExecContext(t.Context(), "KILL CONNECTION ?", id) // it may be gone already
		}
	}
	cuts := 0
	err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error {
		if cuts++; cuts == 1 {
			cut() // in the middle of the transaction
		}
		v.Name = "renamed"
		return nil
	})
	if err != nil || cuts < 2 {
		t.Errorf("%v after %d tries", err, cuts)
	}
	cut()
	if v := w.volume(t, 0); v.Name != "renamed" {
		t.Errorf("named %q", v.Name)
	}
}

func TestTwoStoresOnOneFile(t *testing.T) {
	w := open(t, sqliteOptions(t))
	reserveAtOnce(t, w, w.Store, w.again(t), w.again(t))
}
