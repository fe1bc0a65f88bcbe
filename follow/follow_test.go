package follow

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDecide has every record meet every VM, and asks what must always hold.
func TestDecide(t *testing.T) {
	for _, stage := range []Stage{Runs, Off, Saved, UnderWay, Silent, Ended, Gone} {
		for _, at := range []string{"", "a", "b"} {
			for _, r := range []Record{{}, {Host: "a"}, {Host: "a", Lost: true}, {Host: "a", Lost: true, Cuts: true}} {
				vm := VM{stage, at}
				a := Decide(r, vm)
				if r.Host != "" && r.Host != at && a == Plug {
					t.Errorf("%+v, %s: plugged while host %s may have it", r, vm, r.Host)
				}
				if a == Fence && (!r.Lost || !r.Cuts || stage != Runs || r.Host == at) {
					t.Errorf("%+v, %s: fenced", r, vm)
				}
				if r.Lost && a != Nothing && a != Refuse && a != Fence && (a != Plug || at != r.Host) {
					t.Errorf("%+v, %s: %s, though host %s may still write", r, vm, a, r.Host)
				}
				if ends := a == End || a == Keep; ends && (stage != Ended && stage != Gone || r.Host != "") {
					t.Errorf("%+v, %s: ended", r, vm)
				}
				if a == LogOut && (stage == Saved || stage == Silent || stage == UnderWay) {
					t.Errorf("%+v, %s: the disk is taken from a VM that has it", r, vm)
				}
				if a == LogOut && r.Host == "" || a == End && stage == Gone {
					t.Errorf("%+v, %s: %s", r, vm, a)
				}
			}
		}
	}
}

// pass goes through a happening and gives the actions of each point; at one
// that rests until nothing is left to do.
func pass(h Happening) (actions [][]Action, r Record, ended bool) {
	r = Record{Host: h.From, Cuts: h.Array}
	for _, p := range h.Way {
		var list []Action
		for {
			r.Lost = p.Lost && r.Host == "a"
			a := Decide(r, p.VM())
			if ended {
				break
			}
			next, end := After(r, p.VM(), a)
			again := next != r
			if len(list) == 0 || a != Nothing && a != list[len(list)-1] {
				list = append(list, a)
			}
			r, ended = next, end
			if !again {
				break
			}
		}
		actions = append(actions, list)
	}
	return actions, r, ended
}

// However it goes, in the end the volume is where the VM runs, or nowhere.
func TestHappenings(t *testing.T) {
	for _, h := range Happenings() {
		_, r, ended := pass(h)
		last := h.Way[len(h.Way)-1]
		vm := last.VM()
		ok := false
		switch vm.Stage {
		case Runs:
			ok = r.Host == vm.Host && !ended
		case Off:
			ok = r.Host == "" && !ended
		case Saved:
			ok = r.Host == h.From && !ended
		case Ended, Gone:
			ok = ended
		}
		if !ok {
			t.Errorf("%s: it ends with %+v, ended %v, and the VM %s", h.Name, r, ended, vm)
		}
	}
}

var write = flag.Bool("write", false, "write docs/events.md")

const (
	begin = "<!-- written by go test ./follow -write -->\n"
	end   = "<!-- end -->\n"
)

// TestDocument asks that the table in docs/events.md is this one.
func TestDocument(t *testing.T) {
	const path = "../docs/events.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table", path)
	}
	want := []byte(head + begin + table() + end + tail)
	if bytes.Equal(text, want) {
		return
	}
	if !*write {
		t.Fatalf("%s is not what the code says: go test ./follow -write", path)
	}
	if err := os.WriteFile(path, want, 0o644); err != nil {
		t.Fatal(err)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| what happens to the VM | oned's states, on host | what happens to the volume | |\n|---|---|---|---|\n")
	for _, h := range Happenings() {
		actions, _, _ := pass(h)
		var way, does []string
		host := "-"
		for i, p := range h.Way {
			word := p.Word()
			if p.Host != host && p.Host != "" {
				word += " (" + p.Host + ")"
			}
			if p.Lost {
				word += ", a lost"
			}
			host = p.Host
			way = append(way, word)
			for _, a := range actions[i] {
				if a == Nothing && len(h.Way) > 1 {
					continue
				}
				does = append(does, fmt.Sprintf("%s: %s", p.Word(), said(a, p)))
			}
		}
		if len(does) == 0 {
			does = []string{"nothing"}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", h.Name, strings.Join(way, " → "), strings.Join(does, "; "), strings.TrimSpace(h.Note))
	}
	return b.String()
}

// said is the action as people understand it.
func said(a Action, p Point) string {
	switch a {
	case LogOut:
		return "host a is logged out, the promise is kept"
	case Plug:
		return "logged in, proven and plugged on " + p.Host
	case End, Keep:
		return "taken out of the VM"
	case Fence:
		return "host a is cut off by the array, the promise is kept"
	case Refuse:
		return "**refused**"
	}
	return string(a)
}
