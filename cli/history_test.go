package cli_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"onevolume"
)

// lines are those of a table without its head.
func lines(s said) []string {
	all := strings.Split(strings.TrimRight(s.out, "\n"), "\n")
	return all[1:]
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.ok("attach", "17", "--volume", "disk1")
	w.ok("rename", "disk1", "disk2")
	w.ok("chmod", "disk2", "640")
	w.as = "alice"
	w.fails([]string{"Not authorized"}, "create", "--name", "x", "--iqn", "iqn.2026-11.test:x", "--portal", "10.0.0.1", "--size", "1")
	w.ok("detach", "17", "disk2", "--yes", "--no-format")
	w.as = "oneadmin"
	s := w.ok("history")
	want := []string{"detach .* done", "detach .* begun", "create .* User [5]", "chmod .* 640 ok", "rename .* to \"disk2\" ok", "attach .* done", "attach .* volume disk1 begun", "create .* ok"}
	if got := lines(s); len(got) != len(want) {
		t.Fatalf("%s", s.out)
	}
	for i, line := range lines(s) {
		w.inOrder(strings.Join(strings.Fields(line), " "), append([]string{fmt.Sprint(8 - i), time.Now().Format("2006-")}, strings.Split(want[i], " .* ")...)...)
	}
	w.inOrder(s.out, "ID TIME", "USER", "FROM", "ACTION", "VOLUME", "VM OPERATION REQUEST", "RESULT ", "alice    onevolumed@front", "127.0.0.1 ")

	for _, c := range []struct {
		args string
		want int
	}{
		{"disk2", 7}, {"0", 7}, {"volume disk2", 7}, {"--volume 0", 7}, {"vm 17", 4}, {"vm web", 4}, {"--vm 17", 4}, {"vm 18", 0}, {"user alice", 3}, {"user 5", 3},
		{"--by alice", 3}, {"disk2 --by alice", 2}, {"-n 3", 3}, {"--last 0", 8}, {"vm 17 --by oneadmin -n 1", 1},
	} {
		if got := lines(w.ok(append([]string{"history"}, strings.Fields(c.args)...)...)); len(got) != c.want {
			t.Errorf("history %s: %d lines, want %d:\n%s", c.args, len(got), c.want, strings.Join(got, "\n"))
		}
	}
	for args, word := range map[string]string{
		"nosuch": "VOLUME named nosuch not found", "vm nosuch": "VM named nosuch not found.", "user nobody": "No USER named nobody has asked for anything",
		"disk disk2": `history of what? "disk"`, "disk2 --volume 0": "the volume is given twice", "vm 17 --vm 17": "the vm is given twice",
		"user 5 --by 5": "the user is given twice", "-n -1": "must be 0 or more", "--csv -j": "none of the others can be",
	} {
		w.fails([]string{word}, append([]string{"history"}, strings.Fields(args)...)...)
	}
	// Others see what concerns them.
	w.as = "alice"
	if got := lines(w.ok("history")); len(got) != 8 { // she has become the volume's owner
		t.Errorf("alice sees %d lines", len(got))
	}
}

func TestHistoryForPrograms(t *testing.T) {
	w := newWorld(t)
	w.volume()
	long := strings.Repeat("long ", 30) + "x"
	w.fails(nil, "rename", "disk1", long)
	rows, err := csv.NewReader(strings.NewReader(w.ok("history", "--csv").out)).ReadAll()
	if err != nil || len(rows) != 3 || strings.Join(rows[0], ",") != "ID,TIME,USER,FROM,ACTION,VOLUME,VM,OPERATION,REQUEST,RESULT" ||
		rows[1][8] != `to "`+long+`"` || rows[1][9] == "ok" || rows[2][4] != "create" {
		t.Errorf("%q, %v", rows, err)
	}
	var pool struct {
		Pool struct{ DEED []map[string]string } `json:"DEED_POOL"`
	}
	if err := json.Unmarshal([]byte(w.ok("history", "-j").out), &pool); err != nil || len(pool.Pool.DEED) != 2 {
		t.Fatalf("%v, %v", pool, err)
	}
	d := pool.Pool.DEED[0]
	if len(d) != 13 || d["ACTION"] != "rename" || d["UNAME"] != "oneadmin" || d["VM_ID"] != "-1" || d["VOLUME_ID"] != "0" || d["FROM"] != "127.0.0.1" {
		t.Errorf("%v", d)
	}
	if got := w.ok("history", "-x", "-n", "1").out; !strings.HasPrefix(got, "<DEED_POOL>\n  <DEED>\n    <ID>2</ID>\n") || strings.Count(got, "<DEED>") != 1 {
		t.Error(got)
	}
	// The table is cut where the terminal ends, and shows it.
	w.cols = 120
	for _, line := range lines(w.ok("history")) {
		if n := len([]rune(line)); n > 160 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	w.ok("history").has(w, "table", w.ok("history").out, "…")
}

// More than the daemon gives at once comes page by page.
func TestHistoryPages(t *testing.T) {
	w := newWorld(t)
	for i := range 1003 {
		who := root.Owner
		if i == 0 {
			who = alice.Owner
		}
		d := onevolume.Deed{Ask: onevolume.Ask{By: who, Action: "delete", Text: fmt.Sprint(i)}, Volume: 7, VM: onevolume.NoVM, Result: "no"}
		if err := w.db.Audit(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for last, want := range map[string]int{"0": 1003, "1000": 1000, "1002": 1002, "5000": 1003} {
		if got := lines(w.ok("history", "-n", last)); len(got) != want {
			t.Errorf("-n %s: %d lines", last, len(got))
		}
	}
	if got := lines(w.ok("history", "user", "alice")); len(got) != 1 {
		t.Errorf("alice: %q", got)
	}
}
