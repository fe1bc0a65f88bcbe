package store_test

import (
	"context"
	"fmt"
	"os"
	process "os/exec"
	"path/filepath"
	"testing"

	"onevolume"
	"onevolume/store"
)

// writesTo names the database to which this program, run as another process,
// writes once.
const writesTo = "ONEVOLUME_TEST_WRITES_TO"

func writeOnce(path string) int {
	ctx := context.Background()
	s, err := store.Open(ctx, store.Options{Driver: store.SQLite, Path: path, Key: testKey})
	if err == nil {
		err = s.Update(ctx, 0, func(v *onevolume.Volume) error {
			v.Reason += "x"
			return nil
		})
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestCacheSeesAnotherProcess: what another process writes is read at once,
// though it was cached; also when the database's file is named by a link.
func TestCacheSeesAnotherProcess(t *testing.T) {
	o := sqliteOptions(t)
	file := o.Path
	o.Path = filepath.Join(t.TempDir(), "link.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, o.Path); err != nil {
		t.Fatal(err)
	}
	w := open(t, o)
	id := w.allocate(t, volume(0, gib))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for want := ""; len(want) <= 3; want += "x" {
		for range 2 {
			if v, err := w.Volume(t.Context(), id); err != nil || v.Reason != want {
				t.Fatalf("%q, %v; want %q", v.Reason, err, want)
			}
		}
		if w.Cached() != 1 {
			t.Fatal("it is not cached")
		}
		other := process.CommandContext(t.Context(), self)
		other.Env = append(os.Environ(), writesTo+"="+file)
		if out, err := other.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}
