package onetest

import (
	"errors"
	"testing"

	"onevolume/xmlrpc/wire"
)

// TestActions: the texts were recorded from oned.
func TestActions(t *testing.T) {
	o := Start(t, Small())
	c, err := wire.NewClient(wire.Config{Endpoint: o.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		word string
		code int
		text string
	}{
		{"zzz", action, `[one.vm.action] Action "zzz" is not supported`},
		{"resume", action, `[one.vm.action] Error performing action "resume": This action is not available for state RUNNING`},
		{"poweroff", 0, ""},
		{"poweroff", action, `[one.vm.action] Error performing action "poweroff": This action is not available for state POWEROFF`},
		{"resume", 0, ""},
		{"terminate-hard", 0, ""},
		{"poweroff", action, `[one.vm.action] Error performing action "poweroff": This action is not available for state DONE`},
		{"rename", action, `[one.vm.action] Action "rename" is not supported`},
	} {
		v, err := c.Call(t.Context(), "one.vm.action", "oneadmin:opennebula", a.word, 1)
		api, refused := errors.AsType[*wire.APIError](err)
		if a.code == 0 && (err != nil || v != 1) || a.code != 0 && (!refused || api.Code != a.code || api.Message != a.text) {
			t.Errorf("%s: %v, %v", a.word, v, err)
		}
	}
	if _, err := c.Call(t.Context(), "one.vm.update", "oneadmin:opennebula", 1, "", 2); err == nil || err.Error() != "[one.vm.update] Wrong update type" {
		t.Errorf("%v", err)
	}
}

// TestOneConnectionACall: the stand-in hangs up as oned does.
func TestOneConnectionACall(t *testing.T) {
	o := Start(t, Small())
	c, err := wire.NewClient(wire.Config{Endpoint: o.Endpoint, KeepAlive: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if v, err := c.Call(t.Context(), "one.system.version", "alice:alicepw"); err != nil || v != version {
			t.Errorf("%v, %v", v, err)
		}
	}
}

func TestParseWorld(t *testing.T) {
	w, err := ParseWorld([]byte(`
users:
  - {id: 0, name: oneadmin, password: x, groups: [0]}
  - {id: 2, name: alice, password: y, groups: [1], umask: "027", tokens: [{text: abc, group: 1}]}
groups: [{id: 0, name: oneadmin}, {id: 1, name: users}]
hosts: [{id: 0, name: n1, state: 2, vm_mad: kvm}]
vms: [{id: 4, name: web, uid: 2, gid: 1, host: n1, deploy_id: one-4, permissions: "640"}]
`))
	if err != nil || len(w.VMs) != 1 || *w.Users[1].Tokens[0].Group != 1 {
		t.Errorf("%+v, %v", w, err)
	}
	for _, bad := range []string{"who: 1", "vms: [{id: 1, host: nowhere}]", "users: [{id: 0, name: x}]", "users: [{id: 0, name: x, groups: [7]}]", "{"} {
		if _, err := ParseWorld([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if err := (&World{}).check(); err != nil {
		t.Error(err)
	}
}
