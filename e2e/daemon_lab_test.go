//go:build lab

package e2e

import (
	"database/sql"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to lock the daemon's database
)

// The disk under the daemon's database is full: what cannot be recorded is not
// done, and what was under way goes on when there is room again.
func TestDatabaseDiskFull(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.Mkdir(disk, 0o700), syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(disk, "filler")
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for {
			if _, err := f.Write(make([]byte, 4096)); errors.Is(err, syscall.ENOSPC) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	free := func() {
		t.Helper()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	}

	s := oneSite(t, func(s *site) { s.disk = disk })
	fill()
	s.refused(s.attaches(), "full")
	s.settled("AVAILABLE")
	s.refused([]string{"rename", "disk", "other"}, "full")
	free()
	s.must(s.attaches()...)
	s.settled("ATTACHED")

	s.trap("virsh", "detach-disk")
	client := s.begin(s.detaches()...)
	s.held("virsh")
	fill()
	s.letGo("virsh")
	if client.ends() == 0 {
		t.Error("the detach says that it went well, and nothing of it could be recorded")
	}
	s.state("disk", "DETACHING")
	free()
	s.settled("AVAILABLE")
	t.Log("fault | the daemon's disk full during detach | AVAILABLE")

	// Full in the middle of an attach that the daemon itself does.
	s.trap("virsh", "attach-device")
	client = s.begin(append(s.attaches(), "--server")...)
	s.held("virsh")
	fill()
	s.letGo("virsh")
	time.Sleep(4 * time.Second) // its lease ends
	free()
	client.ends()
	t.Logf("fault | the daemon's disk full during its own attach | %s", s.settled("AVAILABLE", "ATTACHED"))
	s.off()
}

// Another program holds the database's lock for a while in the middle of an
// attach.
func TestDatabaseLocked(t *testing.T) {
	// The lease outlives the short lock by far, and the long one outlives it.
	s := oneSite(t, func(s *site) { s.operations = "lease: 12s, sweep: 500ms, unplug: 2s, lock: 20s" })
	db, err := sql.Open("sqlite", s.database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, length := range []time.Duration{3 * time.Second, 20 * time.Second} {
		s.brings("AVAILABLE")
		s.trap("virsh", "attach-device")
		client := s.begin(s.attaches()...)
		s.held("virsh")
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"PRAGMA busy_timeout = 5000", "BEGIN EXCLUSIVE"} {
			if _, err := conn.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		s.letGo("virsh")
		time.Sleep(length)
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		status := client.ends()
		end := s.settled("AVAILABLE", "ATTACHED")
		if length < 5*time.Second && (status != 0 || end != "ATTACHED") {
			t.Errorf("locked for %s: exit status %d, %s", length, status, end)
		}
		if status == 0 && end != "ATTACHED" {
			t.Errorf("the client says that all went well, and the volume is %s", end)
		}
		t.Logf("fault | database locked for %s during attach | exit status %d | %s", length, status, end)
	}
	s.off()
}

// The time of the day jumps in the middle of operations: nobody loses an
// operation that is under way, and nobody waits an hour for one that has no
// owner.
func TestClockMoved(t *testing.T) {
	clock := filepath.Join(t.TempDir(), "clock")
	set := func(text string) {
		t.Helper()
		// By a new file: nobody may read half of it.
		err := errors.Join(os.WriteFile(clock+".new", []byte(text), 0o600), os.Rename(clock+".new", clock))
		if err != nil {
			t.Fatal(err)
		}
	}
	set("0s")
	s := oneSite(t, func(s *site) { s.meddled = []string{"ONEVOLUME_CLOCK=" + clock} })
	begin := func(args ...string) *running {
		r := &running{s: s, Cmd: exec.Command(bin("crash/onevolume"), append([]string{"--config", s.conf}, args...)...)}
		r.Env = append(s.env, "ONE_AUTH="+s.dir+"/oneadmin.auth", "ONEVOLUME_CLOCK="+clock)
		r.Stdout, r.Stderr = &r.said, &r.said
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, jump := range []string{"1h", "-1h"} {
		set("0s")
		s.trap("virsh", "attach-device")
		client := begin(s.attaches()...)
		s.held("virsh")
		set(jump)
		time.Sleep(4 * time.Second) // longer than a lease, and many sweeps
		s.letGo("virsh")
		if status := client.ends(); status != 0 {
			t.Errorf("clock moved by %s: exit status %d", jump, status)
		}
		s.settled("ATTACHED")

		set("0s")
		s.trap("virsh", "detach-disk")
		client = begin(s.detaches()...)
		s.held("virsh")
		_ = client.Process.Kill()
		client.ends()
		set(jump)
		s.letGo("virsh")
		moved := time.Now()
		s.settled("AVAILABLE")
		t.Logf("fault | clock moved by %s | attach not disturbed; dead client's detach done after %s", jump, time.Since(moved).Round(time.Second))
	}
	text, _ := os.ReadFile(filepath.Join(s.dir, "daemon.log"))
	if n := strings.Count(string(text), "taken over"); n != 2 {
		t.Errorf("%d operations were taken over, want those of the two dead clients", n)
	}
}
