package onetest

import (
	"os"
	"strings"
	"testing"

	"onevolume/xmlrpc/wire"
)

// TestHooks registers the hooks that were recorded, and compares what the
// stand-in keeps with what oned 7.4.0 kept.
func TestHooks(t *testing.T) {
	t.Parallel()
	o := Start(t, Small())
	c, err := wire.NewClient(wire.Config{Endpoint: o.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	const root = "oneadmin:opennebula"
	call := func(method string, args ...any) (any, error) { return c.Call(t.Context(), method, args...) }
	names := []string{"h_state", "h_run", "h_api", "h_host"}
	for id, name := range names {
		if name == "h_api" { // the stand-in has none of those
			o.nextHook++
			continue
		}
		text, err := os.ReadFile("testdata/" + name + ".template.txt")
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile("testdata/" + name + ".info.xml")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call("one.hook.allocate", root, string(text)); err != nil || got != id {
			t.Fatal(got, err)
		}
		if got := o.hooks[len(o.hooks)-1].xml(true); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s is\n%s\noned has\n%s", name, got, want)
		}
	}
	if got := o.Hooked("VM", "POWEROFF", "LCM_INIT"); len(got) != 1 || got[0] != "/usr/share/one/hooks/hook.sh" {
		t.Error(got)
	}
	for text, want := range map[string]string{
		`TYPE=state COMMAND=x RESOURCE=VM ON=RUNNING`:                        "No NAME in template for Hook.",
		`NAME=h-host COMMAND=x TYPE=state RESOURCE=VM ON=RUNNING`:            "NAME is already taken by Hook 3.",
		`NAME=x TYPE=state RESOURCE=VM ON=RUNNING`:                           "No COMMAND in template for Hook.",
		`NAME=x COMMAND=x RESOURCE=VM ON=RUNNING`:                            "No TYPE or invalid one in template for Hook.",
		`NAME=x COMMAND=x TYPE=state RESOURCE=VM ON=POWEROFF`:                "Unkown state condition: POWEROFF", //nolint:misspell // oned does
		`NAME=x COMMAND=x TYPE=state RESOURCE=VM ON=CUSTOM STATE=GONE`:       "Wrong STATE: GONE",
		`NAME=x COMMAND=x TYPE=state RESOURCE=VM ON=CUSTOM STATE=ACTIVE`:     "Wrong LCM_STATE: ",
		`NAME=x COMMAND=x TYPE=state RESOURCE=HOST STATE=ASLEEP`:             "Invalid STATE: ASLEEP",
		`NAME=x COMMAND=x TYPE=api CALL=one.vm.action`:                       "no hooks on calls",
		`NAME=x COMMAND=x TYPE=state RESOURCE=VM ON=CUSTOM STATE=[A=B] L=[]`: "Wrong STATE: ",
	} {
		text = strings.ReplaceAll(text, " ", "\n")
		if _, err := call("one.hook.allocate", root, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for method, args := range map[string][]any{"one.hook.allocate": {"alice:alicepw", "NAME=x"}, "one.hook.delete": {"alice:alicepw", 0}} {
		if _, err := call(method, args...); err == nil || !strings.Contains(err.Error(), "Not authorized") {
			t.Error(method, err)
		}
	}
	if _, err := call("one.hook.delete", root, 2); err == nil || !strings.Contains(err.Error(), "Error getting hook [2].") {
		t.Error(err)
	}
	if got, err := call("one.hook.delete", root, 0); err != nil || got != 0 {
		t.Error(got, err)
	}
	if got, err := call("one.hookpool.info", root); err != nil || strings.Count(got.(string), "<HOOK>") != 2 {
		t.Error(got, err)
	}
	if got, err := call("one.hookpool.info", "alice:alicepw"); err != nil || got != "<HOOK_POOL></HOOK_POOL>" {
		t.Error(got, err)
	}
}
