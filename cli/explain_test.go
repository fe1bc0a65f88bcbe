package cli_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

// inOrder asks for words that follow each other in a text.
func (w *world) inOrder(text string, words ...string) {
	w.Helper()
	rest := text
	for _, word := range words {
		_, after, ok := strings.Cut(rest, word)
		if !ok {
			w.Fatalf("no %q in its place in:\n%s", word, text)
		}
		rest = after
	}
}

// The whole story of an operation that was attached, parked, resumed in vain
// and aborted, as whoever is called at night reads it.
func TestExplain(t *testing.T) {
	w := newWorld(t)
	w.park()
	s := w.ok("explain", "disk1")
	w.inOrder(s.out, "OPERATION 1 INFORMATION", "attach volume 0 (disk1, 64M) to VM 17 (web) on host host01",
		"oneadmin (oneadmin) from 127.0.0.1", "PARKED", "ERROR, on record in VM 17 on host host01", "step ",
		"TIMELINE", "begins, run by onevolume@front user oneadmin pid 41\n", "host01  ok", "dial\n", "domain   started", "exit 0", "virsh -c",
		"domain   done after", "connect  started", "iscsi-login iqn.2026-11.test:disk1", "connect  done after",
		"plug     started", "exit 1", "attach-device", "| error: the host is sick\n", "plug     FAILED after", "error: ",
		"connect  undo started", "iscsi-release", "connect  UNDO FAILED after", "ends: PARKED",
		"WHAT TO DO", "onevolume resume 1 ", "onevolume abort 1 ", "onevolume detach 17 0 ", "onevolume recover --status STATUS 0")

	w.fails([]string{"Operation 1 is parked and volume 0 is in ERROR", "Hint: see each step and what to do: onevolume explain 1"}, "resume", "1")
	w.heals()
	w.ok("abort", "1", "--yes")
	s = w.ok("explain", "1")
	w.inOrder(s.out, "UNDONE", "back: an administrator had it aborted", "AVAILABLE\n", "ends: PARKED",
		"resume asked for by oneadmin from 127.0.0.1", "carried on by onevolumed@front user oneadmin pid 42, generation 2", "ends: PARKED",
		"abort asked for by oneadmin from 127.0.0.1", "taken back by onevolumed@front user oneadmin pid 42, generation 3",
		"connect  undone", "ends: UNDONE")
	if strings.Contains(s.out, "WHAT TO DO") || strings.Contains(s.out, "since 17640") {
		t.Errorf("there is nothing to do:\n%s", s.out)
	}
	// On a terminal nothing is longer than a line, and nothing is lost.
	w.cols = 90
	folded := w.ok("explain", "1").out
	for line := range strings.Lines(folded) {
		if n := len([]rune(line)) - 1; n > 90 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
	if bare(folded) != bare(s.out) {
		t.Errorf("folding lost something:\n%s\n%s", folded, s.out)
	}
}

func TestExplainWhich(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.fails([]string{"Volume 0 (disk1) has had no operation"}, "explain", "disk1")
	w.ok("attach", "17", "--volume", "disk1")
	w.ok("detach", "17", "disk1", "--yes")
	for _, args := range [][]string{{"disk1"}, {"--volume", "0"}, {"--volume", "disk1"}, {"2"}} {
		w.ok(append([]string{"explain"}, args...)...).has(w, "output", w.ok(append([]string{"explain"}, args...)...).out,
			"OPERATION 2 ", "detach volume 0 (disk1, 64M) from VM 17 (web) on host host01, and overwrite it with zeroes", "ends: DONE")
	}
	w.inOrder(w.ok("explain", "--all", "disk1").out, "OPERATION 1 ", "attach volume", "OPERATION 2 ", "detach volume")
	w.fails([]string{"Error getting operation [77]."}, "explain", "77")
	w.fails([]string{"VOLUME named nosuch not found."}, "explain", "nosuch")
	w.fails([]string{"requires an operation or a volume"}, "explain")
	w.fails([]string{"requires an operation or a volume"}, "explain", "1", "--volume", "0")
	w.fails([]string{"--all is for a volume", "onevolume explain --all --volume 1"}, "explain", "1", "--all")
	// Of a volume that is gone the story stays.
	w.ok("delete", "disk1")
	w.ok("explain", "2").has(w, "output", w.ok("explain", "2").out, "detach volume 0 from VM 17 (web)")
}

// The JSON is a promise: its names are these.
func TestExplainJSON(t *testing.T) {
	w := newWorld(t)
	w.park()
	names := func(m map[string]any) string {
		var list []string
		for k := range m {
			list = append(list, k)
		}
		slices.Sort(list)
		return strings.Join(list, " ")
	}
	var one struct{ OPERATION map[string]any }
	if err := json.Unmarshal([]byte(w.ok("explain", "-j", "1").out), &one); err != nil {
		t.Fatal(err)
	}
	op := one.OPERATION
	if got := names(op); got != "ENDED ERROR GENERATION GID GNAME HOSTNAME ID JOURNAL KIND LEASE LEAVE OWNER PRIOR STARTED STATUS UID UNAME VM_ID VM_NAME VOLUME_ID WAY" {
		t.Errorf("an operation has %s", got)
	}
	if op["STATUS"] != "PARKED" || op["PRIOR"] != "AVAILABLE" || op["UNAME"] != "oneadmin" || op["HOSTNAME"] != "host01" || op["LEAVE"] != "zero" {
		t.Errorf("%v", op)
	}
	commands := 0
	for _, e := range op["JOURNAL"].([]any) {
		entry := e.(map[string]any)
		if got := names(entry); got != "COMMANDS DETAIL EVENT GENERATION OWNER SEQ STEP TIME" {
			t.Errorf("an entry has %s", got)
		}
		for _, c := range entry["COMMANDS"].([]any) {
			commands++
			if got := names(c.(map[string]any)); got != "ERROR HOST STARTED STATUS STDERR TEXT TOOK" {
				t.Errorf("a command has %s", got)
			}
		}
	}
	if commands < 5 {
		t.Errorf("%d commands", commands)
	}
	var all struct {
		Pool struct{ OPERATION []map[string]any } `json:"OPERATION_POOL"`
	}
	if err := json.Unmarshal([]byte(w.ok("explain", "-j", "--all", "disk1").out), &all); err != nil || len(all.Pool.OPERATION) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

// Users read the story of their volume, and nothing of the hosts.
func TestExplainToUsers(t *testing.T) {
	w := newWorld(t)
	w.park()
	w.ok("chmod", "disk1", "600")
	w.as = "alice" // the VM is hers, and so is the volume by now
	s := w.ok("explain", "1")
	s.has(w, "output", s.out, "plug     FAILED", "which alone sees them", "WHAT TO DO, FOR AN ADMINISTRATOR")
	if strings.Contains(s.out, "virsh -c") || strings.Contains(s.out, "dial") {
		t.Errorf("alice sees commands:\n%s", s.out)
	}
	for _, verb := range []string{"resume", "abort"} {
		w.fails([]string{"Not authorized to perform ADMIN VOLUME", "Only oneadmin's group decides on a parked operation"}, verb, "1", "--yes")
	}
	w.fails([]string{"Not authorized to perform ADMIN VOLUME"}, "recover", "--status", "retained", "disk1", "--yes")
	w.wants(onevolume.Failed)
}
