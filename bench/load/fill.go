package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"onevolume"
	"onevolume/store"
)

// inventory is a filled database with its key.
type inventory struct{ db, key string }

// filled gives an inventory of n volumes in a folder of its own, a copy of the
// one in the cache, which is made when it is missing.
func (o *options) filled(ctx context.Context, n int, dir string) (inventory, error) {
	// Another schema is another database.
	name := fmt.Sprintf("%x-%d", sha256.Sum256([]byte(onevolume.Schema)), n)[56:]
	kept := inventory{filepath.Join(o.cache, name+".db"), filepath.Join(o.cache, name+".key")}
	if _, err := os.Stat(kept.db); errors.Is(err, fs.ErrNotExist) {
		start := time.Now()
		if err := os.MkdirAll(o.cache, 0o700); err != nil {
			return kept, err
		}
		if err := fill(ctx, inventory{kept.db + ".new", kept.key}, n); err != nil {
			return kept, fmt.Errorf("filling %s: %w", kept.db, err)
		}
		if err := os.Rename(kept.db+".new", kept.db); err != nil {
			return kept, err
		}
		fmt.Fprintf(os.Stderr, "load: made %s in %s\n", kept.db, time.Since(start).Round(time.Second))
	}
	own := inventory{filepath.Join(dir, "db"), filepath.Join(dir, "key")}
	return own, errors.Join(duplicate(kept.db, own.db), duplicate(kept.key, own.key))
}

func duplicate(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// fill makes an inventory of n volumes of 64 sizes, nine of ten of them
// available, one in a hundred usable by everybody: one volume as the store
// registers it, and the others from it in one statement.
func fill(ctx context.Context, i inventory, n int) error {
	for _, path := range []string{i.db, i.db + "-wal", i.db + "-shm"} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	key, err := store.LoadKey(i.key, true)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{Driver: store.SQLite, Path: i.db, Key: key})
	if err != nil {
		return err
	}
	oneadmin := onevolume.Owner{User: "oneadmin", Group: "oneadmin"}
	portals, err := onevolume.ParsePortals("10.0.0.1,10.0.0.2")
	if err != nil {
		return err
	}
	_, err = s.Allocate(ctx, onevolume.Volume{Name: "volume0", Owner: oneadmin, Size: onevolume.GiB, Permissions: 0o600, Array: "array1",
		Target:     onevolume.Target{IQN: "iqn.2026-11.bench:volume0", Portals: portals, CHAP: onevolume.CHAP{User: "one", Secret: "a-secret-for-bench"}},
		Identity:   onevolume.Identity{Serial: "0123456789abcdef", WWID: "naa.60014050123456789abcdef012345678"},
		Attributes: map[string]string{"DESCRIPTION": "a volume to measure with", "TIER": "gold"}})
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", i.db)
	if err != nil {
		return err
	}
	return errors.Join(multiply(ctx, db, n), db.Close())
}

// varied are the columns in which the volumes differ, as SQL with i for the
// volume's id.
var varied = map[string]string{
	"oid": "i", "name": "'volume' || i", "iqn": "'iqn.2026-11.bench:volume' || i", "size": "v.size * (1 + i % 64)",
	"status":      "CASE WHEN i % 10 = 9 THEN 'RETAINED' ELSE 'AVAILABLE' END",
	"permissions": "CASE WHEN i % 100 = 0 THEN 388 ELSE 384 END",
	"others_use":  "CASE WHEN i % 100 = 0 THEN 1 ELSE 0 END",
}

func multiply(ctx context.Context, db *sql.DB, n int) error {
	rows, err := db.QueryContext(ctx, "SELECT name FROM pragma_table_info('one_volume')")
	if err != nil {
		return err
	}
	defer rows.Close()
	var columns, values []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		columns = append(columns, name)
		if text, ok := varied[name]; ok {
			values = append(values, text)
		} else {
			values = append(values, "v."+name)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	// A secret is sealed for its row.
	text := strings.NewReplacer("v.chap_secret_in", "''", "v.chap_secret", "''", "v.chap_user_in", "''", "v.chap_user", "''")
	_, err = db.ExecContext(ctx, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"+
		" INSERT INTO one_volume ("+strings.Join(columns, ", ")+") SELECT "+text.Replace(strings.Join(values, ", "))+
		" FROM n, one_volume v WHERE v.oid = 0", n)
	if err == nil {
		_, err = db.ExecContext(ctx, "UPDATE one_volume_control SET value = ? WHERE name = 'volume'", n)
	}
	return err
}
