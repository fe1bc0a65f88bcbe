package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// asProgram makes the test binary the program itself.
const asProgram = "ONEVOLUMED_IS_THE_PROGRAM"

// killed runs onevolumed and kills it after a while; whole says that it had
// ended by itself before.
func killed(t *testing.T, after time.Duration, args ...string) (whole bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append(os.Environ(), asProgram+"=1")
	var words strings.Builder
	c.Stderr = &words
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	err = c.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return false
	}
	if err != nil {
		t.Fatalf("onevolumed %q: %v\n%s", args, err, words.String())
	}
	return true
}

// bench is an inventory in a file of its own with its configuration, with
// three volumes and some more.
func bench(t *testing.T, more int) (store.Options, string) {
	t.Helper()
	return benchIn(t, t.TempDir(), more)
}

// benchIn is bench in a directory, with the key that is there.
func benchIn(t *testing.T, dir string, more int) (o store.Options, conf string) {
	t.Helper()
	o = store.Options{Driver: store.SQLite, Path: filepath.Join(dir, "db")}
	var err error
	if o.Key, err = store.LoadKey(filepath.Join(dir, "key"), true); err != nil {
		t.Fatal(err)
	}
	if err := live(o, false); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, o)
	defer s.Close()
	for i := range more {
		v, err := s.Volume(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		v.Name, v.Target.LUN = fmt.Sprint("more", i), onevolume.LUN(100+i)
		if _, err := s.Allocate(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	conf = filepath.Join(dir, "conf")
	text := fmt.Sprintf("database: %q\nkey_file: %q\n", "sqlite:"+o.Path, filepath.Join(dir, "key"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return o, conf
}

func mustOpen(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// moments calls f with later and later ends, until f had the time that it
// needs.
func moments(t *testing.T, f func(after time.Duration) (whole bool)) {
	t.Helper()
	after := 5 * time.Millisecond
	for n := 0; ; n++ {
		if f(after) {
			t.Logf("killed at %d moments up to %s", n, after)
			if n == 0 {
				t.Error("nothing was killed")
			}
			return
		}
		if n > 500 {
			t.Fatal("it does not end")
		}
		after += after/10 + time.Millisecond
	}
}

// A backup that is killed at any moment leaves none, or a whole one.
func TestABackupThatIsKilled(t *testing.T) {
	_, conf := bench(t, 50)
	key := keyOf(t, conf)
	dir := t.TempDir()
	path := filepath.Join(dir, "b")
	moments(t, func(after time.Duration) bool {
		whole := killed(t, after, "--config", conf, "backup", path)
		if _, err := os.Stat(path); err == nil {
			_, into := keyed(t, key)
			if !killed(t, time.Minute, "--config", into, "restore", "--replace", path) {
				t.Error("the backup cannot be restored")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		} else if whole {
			t.Error("it ended well, and there is no file")
		}
		return whole
	})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("left over %v, %v", entries, err)
	}
}

// A restore that is killed at any moment leaves the inventory as it was, or
// as the backup has it.
func TestARestoreThatIsKilled(t *testing.T) {
	_, from := bench(t, 50) // and three
	path := filepath.Join(t.TempDir(), "b")
	if !killed(t, time.Minute, "--config", from, "backup", path) {
		t.Fatal("no backup")
	}
	key := keyOf(t, from)
	moments(t, func(after time.Duration) bool {
		o, conf := keyed(t, key)
		whole := killed(t, after, "--config", conf, "restore", "--replace", path)
		s := mustOpen(t, o)
		defer s.Close()
		list, err := s.Volumes(t.Context(), onevolume.Filter{Flag: -2, FirstID: -1, LastID: -1})
		hold, herr := s.Hold(t.Context())
		switch {
		case err != nil || herr != nil:
			t.Fatal(err, herr)
		case len(list) == 3 && hold == "" && !whole:
		case len(list) == 53 && hold != "":
		default:
			t.Errorf("killed after %s it left %d volumes, hold %q", after, len(list), hold)
		}
		return whole
	})
}

// keyOf reads the key beside a configuration.
func keyOf(t *testing.T, conf string) []byte {
	t.Helper()
	key, err := os.ReadFile(filepath.Join(filepath.Dir(conf), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyed is a bench whose key is given.
func keyed(t *testing.T, key []byte) (store.Options, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	return benchIn(t, dir, 0)
}
