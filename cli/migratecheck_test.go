package cli_test

import "testing"

func TestMigrateCheck(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.ok("attach", "17", "--volume", "disk1")
	s := w.types("migrate-check", "17", "host09")
	if s.status != 1 {
		t.Errorf("exit status %d: %s", s.status, s.err)
	}
	s.has(w, "stdout", s.out, "ok   VM         VM 17 (web) is on host host01, with 1 volumes\n", "FAIL connection ", "host09", "over SSH")
	w.fails([]string{"Command migrate-check requires 2 parameters to run"}, "migrate-check", "17")
	w.as = "alice"
	w.fails([]string{"Not authorized to perform ADMIN VOLUME"}, "migrate-check", "17", "host02")
}
