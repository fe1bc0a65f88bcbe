package ssh

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume/command"
	"onevolume/command/ssh/sshtest"
)

func lock(t testing.TB, h *Host, name string, wait time.Duration) func() {
	t.Helper()
	unlock, err := h.Lock(t.Context(), name, wait)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

func wantLocked(t testing.TB, h *Host, name string, wait time.Duration) {
	t.Helper()
	_, err := h.Lock(t.Context(), name, wait)
	var locked *command.LockedError
	if !errors.As(err, &locked) || locked.Name != name || locked.Host != "host01" || locked.Wait != wait {
		t.Fatalf("the lock is free: %v", err)
	}
}

func TestLock(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	a, b := dial(t, c), dial(t, c)
	unlock := lock(t, a, "one", 0)
	wantLocked(t, b, "one", 0)
	start := time.Now()
	wantLocked(t, b, "one", 200*time.Millisecond)
	if d := time.Since(start); d < 200*time.Millisecond || d > 5*time.Second {
		t.Errorf("waited %s", d)
	}
	two := lock(t, b, "two", 0)
	defer two()

	// Commands do not hold the lock by themselves, not even a daemon.
	run(t, a, command.Cmd{Name: "t", Script: "sleep 2 >/dev/null 2>&1 &"})
	unlock()
	unlock()
	b2 := lock(t, b, "one", 0)
	wantLocked(t, a, "one", 0)
	b2()
	defer lock(t, a, "one", time.Second)()
}

func TestLockIsMutual(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	var users sync.WaitGroup
	var inside, turns atomic.Int64
	for range 2 {
		h := dial(t, c)
		users.Go(func() {
			for range 20 {
				unlock, err := h.Lock(t.Context(), "m", 20*time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				turns.Add(1)
				inside.Add(-1)
				unlock()
			}
		})
	}
	users.Wait()
	if turns.Load() != 40 {
		t.Error(turns.Load())
	}
}

func TestLockEndsWithTheConnection(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	a := dial(t, c)
	lock(t, a, "one", 0)
	a.Close()
	b := dial(t, c)
	unlock := lock(t, b, "one", 0) // Close has waited for the shell's end
	s.Cut()
	a = dial(t, c)
	defer lock(t, a, "one", 5*time.Second)()
	unlock() // of a connection that is gone
}

// A command that hangs keeps the lock, although nobody waits for it.
func TestHungCommandKeepsTheLock(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	a := dial(t, c)
	unlock := lock(t, a, "one", 0)
	if _, err := a.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "1.5"}, Timeout: 100 * time.Millisecond}); err == nil {
		t.Fatal("no time-out")
	}
	unlock()
	a.Close()
	b := dial(t, c)
	wantLocked(t, b, "one", 0)
	defer lock(t, b, "one", 10*time.Second)()
}

func TestManyLocks(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		var unlocks []func()
		for i := range lastLock - firstLock + 1 {
			unlocks = append(unlocks, lock(t, h, "n"+string(rune('0'+i)), time.Second))
		}
		if _, err := h.Lock(t.Context(), "more", 0); !errors.Is(err, command.ErrNotRun) {
			t.Error(err)
		}
		r := run(t, h, command.Cmd{Argv: []string{"ls", "-l", "/proc/self/fd"}})
		if strings.Contains(string(r.Stdout), "lock") {
			t.Errorf("a command inherits locks:\n%s", r.Stdout)
		}
		unlocks[2]()
		lock(t, h, "more", 0)()
		wantErr := func(name string) {
			if _, err := h.Lock(t.Context(), name, 0); !errors.Is(err, command.ErrNotRun) {
				t.Errorf("%q: %v", name, err)
			}
		}
		wantErr("")
		wantErr("a/b")
		wantErr("A")
	})
}

func TestLockDirectories(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	second := t.TempDir()
	c.LockDirs = []string{filepath.Join(second, "missing"), second}
	defer lock(t, dial(t, c), "one", 0)()
	info, err := os.Stat(filepath.Join(second, "onevolume-one.lock"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Error(info, err)
	}

	c.LockDirs = []string{filepath.Join(second, "missing")}
	h := dial(t, c)
	var failed *command.RunError
	if _, err := h.Lock(t.Context(), "one", 0); !errors.As(err, &failed) || failed.Code != lockNoDir {
		t.Error(err)
	}
	// A file that cannot be opened must not end the shell.
	c.LockDirs = []string{second}
	if err := os.Mkdir(filepath.Join(second, "onevolume-bad.lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/no/such/file", filepath.Join(second, "onevolume-link.lock")); err != nil {
		t.Fatal(err)
	}
	h = dial(t, c)
	if _, err := h.Lock(t.Context(), "link", 0); !errors.As(err, &failed) || failed.Code != lockNoFile {
		t.Error(err)
	}
	if _, err := h.Lock(t.Context(), "bad", 0); err != nil {
		t.Error("a directory can be locked, too:", err)
	}
	run(t, h, command.Cmd{Argv: []string{"true"}})
}
