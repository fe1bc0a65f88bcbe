package events

import (
	"os"
	"strings"
	"testing"
)

// recorded are the keys of all messages of a VM's whole life, as oned 7.4.0
// sent them.
func recorded(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func TestParseRecorded(t *testing.T) {
	var states []string
	for _, key := range recorded(t) {
		e, ok := Parse(key)
		if want := strings.HasPrefix(key, "EVENT STATE "); ok != want {
			t.Errorf("%q: %v", key, ok)
		}
		if ok && e.Key() != key {
			t.Errorf("%q was read as %q", key, e.Key())
		}
		if e.Object == VM {
			states = append(states, e.State+"/"+e.LCM)
		}
	}
	if len(states) != 36 || states[0] != "HOLD/LCM_INIT" || states[len(states)-1] != "DONE/LCM_INIT" {
		t.Errorf("%d states: %q", len(states), states)
	}
}

func TestParse(t *testing.T) {
	for key, want := range map[string]Event{
		"EVENT STATE VM/ACTIVE/RUNNING/3 ":    {VM, 3, "ACTIVE", "RUNNING"},
		"EVENT STATE VM/POWEROFF/LCM_INIT/42": {VM, 42, "POWEROFF", "LCM_INIT"},
		"EVENT STATE HOST/ERROR//1 ":          {Host, 1, "ERROR", ""},
		"EVENT VM 3/ACTIVE/RUNNING ":          {},
		"EVENT API one.vm.action 1":           {},
		"RETRY":                               {},
		"":                                    {},
		"EVENT STATE VM/ACTIVE/RUNNING/-1 ":   {},
		"EVENT STATE VM/ACTIVE/RUNNING/03 ":   {},
		"EVENT STATE VM/ACTIVE/RUNNING/99999999999999999999 ":  {},
		"EVENT STATE VM/ACTIVE/RUNNING/3/4 ":                   {},
		"EVENT STATE VM/<x>/RUNNING/3 ":                        {},
		"EVENT STATE VM/ACTIVE//3 ":                            {},
		"EVENT STATE HOST/ERROR/RUNNING/1 ":                    {},
		"EVENT STATE IMAGE/READY//1 ":                          {},
		"EVENT STATE VM/" + strings.Repeat("A", 300) + "/B/3 ": {},
	} {
		e, ok := Parse(key)
		if e != want || ok != (want != Event{}) {
			t.Errorf("%q: %+v, %v", key, e, ok)
		}
	}
}

// FuzzParse asks that what is read as an event is one whole.
func FuzzParse(f *testing.F) {
	for _, key := range recorded(f) {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		e, ok := Parse(key)
		if !ok {
			if e != (Event{}) {
				t.Errorf("%q is no event, and gave %+v", key, e)
			}
			return
		}
		if again, ok := Parse(e.Key()); !ok || again != e {
			t.Errorf("%q gave %+v, whose key gives %+v", key, e, again)
		}
	})
}
