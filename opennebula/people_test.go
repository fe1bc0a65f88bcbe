package opennebula_test

import (
	"testing"

	"onevolume"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
)

// Names are looked up in oned's pools, digits are ids, and what is not one
// object is refused in the words of OpenNebula's tools.
func TestNames(t *testing.T) {
	w := onetest.Small()
	w.VMs = append(w.VMs, onetest.VM{ID: 2, Name: "twin", Host: "host01"}, onetest.VM{ID: 3, Name: "twin", Host: "host02"})
	o, c := start(t, w)
	admin, alice := c.As("oneadmin:opennebula"), c.As("alice:alicepw")
	user := func(c *opennebula.Client, ref string) (int, error) { return c.UserID(t.Context(), ref) }
	group := func(c *opennebula.Client, ref string) (int, error) { return c.GroupID(t.Context(), ref) }
	vm := func(c *opennebula.Client, ref string) (int, error) {
		id, err := c.VMID(t.Context(), ref)
		return int(id), err
	}
	for _, c := range []struct {
		name string
		look func(*opennebula.Client, string) (int, error)
		as   *opennebula.Client
		ref  string
		want int
		err  string
	}{
		{"user", user, admin, "bob", 3, ""}, {"user", user, admin, "77", 77, ""}, {"user", user, alice, "alice", 2, ""},
		{"user", user, alice, "bob", 0, "USER named bob not found."}, {"user", user, admin, "", 0, "USER named  not found."},
		{"user", user, admin, "-1", 0, "USER named -1 not found."},
		{"group", group, admin, "users", 1, ""}, {"group", group, admin, "user", 0, "GROUP named user not found."},
		{"vm", vm, admin, "vm-alice", 1, ""}, {"vm", vm, admin, "twin", 0, "There are multiple VMs with name twin."},
		{"vm", vm, alice, "vm-admin", 0, "VM named vm-admin not found."}, {"vm", vm, alice, "9", 9, ""},
	} {
		got, err := c.look(c.as, c.ref)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("%s %q: %d, %v", c.name, c.ref, got, err)
		}
	}
	if n := o.Calls("one.userpool.info"); n != 5 {
		t.Errorf("%d calls for users: an id needs none", n)
	}
}

func TestPeople(t *testing.T) {
	_, c := start(t, onetest.Small())
	p := opennebula.People{Client: c}
	const asRoot, asAlice = "oneadmin:opennebula", "alice:alicepw"
	for _, q := range []struct {
		ask  func() (string, error)
		want string
		code onevolume.Code
	}{
		{func() (string, error) { return p.UserName(t.Context(), asRoot, 3) }, "bob", 0},
		{func() (string, error) { return p.UserName(t.Context(), asRoot, 77) }, "", onevolume.NotFound},
		{func() (string, error) { return p.UserName(t.Context(), asAlice, 3) }, "", onevolume.Forbidden},
		{func() (string, error) { return p.GroupName(t.Context(), asAlice, 1) }, "users", 0},
		{func() (string, error) { return p.GroupName(t.Context(), asAlice, 0) }, "", onevolume.Forbidden},
		{func() (string, error) { return p.GroupName(t.Context(), asAlice, 77) }, "", onevolume.NotFound},
		{func() (string, error) { return "", p.MayManageUser(t.Context(), asRoot, 3) }, "", 0},
		{func() (string, error) { return "", p.MayManageUser(t.Context(), asAlice, 2) }, "", 0},
		{func() (string, error) { return "", p.MayManageUser(t.Context(), asAlice, 3) }, "", onevolume.Forbidden},
		{func() (string, error) { return "", p.MayManageUser(t.Context(), asRoot, 77) }, "", onevolume.NotFound},
		{func() (string, error) { return "", p.MayManageUser(t.Context(), "who:knows", 3) }, "", onevolume.Unauthenticated},
	} {
		got, err := q.ask()
		if q.code == 0 && (err != nil || got != q.want) || q.code != 0 && (err == nil || onevolume.CodeOf(err) != q.code) {
			t.Errorf("%q, %v; want %q, code %s", got, err, q.want, q.code)
		}
	}
}
