package cli_test

import (
	"strings"
	"testing"

	"onevolume"
)

// resume needs no question to do what was asked.
func TestResumeAttach(t *testing.T) {
	w := newWorld(t)
	w.park()
	w.heals()
	s := w.ok("resume", "1")
	s.has(w, "stderr", s.err, "Operation 1 is carried on: attach volume 0 (disk1, 64M) to VM 17 (web) on host host01.")
	s.has(w, "stdout", s.out, "Operation 1 has ended: DONE.", "It is done. Volume 0 (disk1, 64M) is ATTACHED, on record in VM 17 on host host01 as sd",
		"In the guest it is /dev/disk/by-id/", "It took ")
	w.wants(onevolume.Attached)
	w.fails([]string{"Operation 1 is DONE: only a parked one is resumed or aborted.", "Hint: see what became of it: onevolume explain 1"}, "resume", "1")
	w.fails([]string{"Operation 1 is DONE"}, "abort", "1", "--yes")
	w.fails([]string{"Error getting operation [9]."}, "resume", "9")
	w.fails([]string{`operation "disk1": not the number of an operation`, "Hint: onevolume show names"}, "resume", "disk1")
	w.fails([]string{"Command resume requires one parameter to run", "Hint: onevolume resume <operation>"}, "resume")
}

// abort takes things back, and so it asks.
func TestAbortAttach(t *testing.T) {
	w := newWorld(t)
	w.park()
	w.heals()
	w.fails([]string{"abort asks before it acts, and there is no terminal to ask at", "Hint: say --yes in scripts"}, "abort", "1")
	w.tty = true
	for _, answer := range []string{"no", "", "yes!", "1"} {
		w.fails([]string{"If the disk is in VM 17 (web) it is taken out", "the volume is AVAILABLE again", "Abort it? (yes/no): ", "Nothing was changed."},
			"abort", "1", "<", answer)
	}
	w.wants(onevolume.Failed)
	s := w.ok("abort", "1", "<", "yes")
	s.has(w, "stdout", s.out, "Operation 1 has ended: UNDONE.\nIt was taken back. Volume 0 (disk1, 64M) is AVAILABLE.\nIt took ")
	w.wants(onevolume.Available)
	if left := w.host.Left(); len(left) > 0 {
		t.Errorf("left on the host: %q", left)
	}
}

// A detach that wipes cannot be taken back, and whoever resumes it is seldom
// who agreed to that.
func TestResumeDetachAsks(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.ok("attach", "17", "--volume", "disk1")
	w.breaks("error: the host is sick", "wipe")
	w.fails([]string{"volume 0 is in ERROR"}, "detach", "17", "disk1", "--yes")
	w.wants(onevolume.Failed)
	s := w.ok("show", "disk1")
	s.has(w, "stdout", s.out, "onevolume resume 2", "carries the detach on: overwrite it with zeroes", "onevolume abort 2", "unless the guest has let go")

	w.fails([]string{"Operation 2 is carried on: detach volume 0 (disk1, 64M) from VM 17 (web) on host host01, and overwrite it with zeroes.",
		"there is no terminal to ask at"}, "resume", "2")
	w.tty = true
	w.fails([]string{"EVERYTHING ON THE VOLUME IS OVERWRITTEN", "Nothing was changed."}, "resume", "2", "<", "no")
	// The guest has let go: there is no way back.
	w.fails([]string{"The volume stays in VM 17 (web) with its data, if the guest has not let go of it yet.", "Operation 2 is parked"}, "abort", "2", "<", "y")
	w.wants(onevolume.Failed)
	w.heals()
	s = w.ok("resume", "2", "<", "YES")
	s.has(w, "stdout", s.out, "Operation 2 has ended: DONE.\nIt is done. Volume 0 (disk1, 64M) is AVAILABLE.")
	w.wants(onevolume.Available)
}

// What a daemon does for others ends with a way to see what failed, too.
func TestServersErrorsPointToExplain(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.breaks("error: the host is sick", "attach-device")
	w.fails([]string{"Hint: see each step: onevolume explain 1"}, "attach", "17", "--volume", "disk1", "--server")
	w.breaks("error: the host is sick", "attach-device", "iscsi-release")
	w.fails([]string{"Operation 2 is parked and volume 0 is in ERROR", "Hint: see each step and what to do: onevolume explain 2"},
		"attach", "17", "--volume", "disk1", "--server")
}

func TestShowOfAVolumeInError(t *testing.T) {
	w := newWorld(t)
	w.park()
	s := w.ok("show", "disk1")
	w.inOrder(s.out, "STATE          : ERROR", "REASON", "OPERATION", "STATUS         : PARKED", "WAYS OUT", "onevolume explain 1    shows each step",
		"onevolume resume 1     carries", "onevolume abort 1      takes it back", "onevolume detach 17 0  detaches")
	if n := strings.Count(s.out, "the host is sick"); n > 4 {
		t.Errorf("the reason is shown %d times:\n%s", n, s.out)
	}
	// When an administrator has quarantined it, its last operation is no way out.
	w.ok("recover", "--status", "error", "--reason", "ask me first", "disk1", "--yes")
	w.ok("show", "disk1").has(w, "stdout", w.ok("show", "disk1").out, "REASON         : ask me first")
}
