package opennebula_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
	"onevolume/template"
)

// start serves a world and gives a client with oneadmin's session.
func start(t *testing.T, w onetest.World) (*onetest.Oned, *opennebula.Client) {
	t.Helper()
	o := onetest.Start(t, w)
	return o, client(t, o.Endpoint, "oneadmin:opennebula")
}

func client(t *testing.T, endpoint, session string) *opennebula.Client {
	t.Helper()
	c, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: endpoint, Token: session})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVMInfo(t *testing.T) {
	o, c := start(t, onetest.Small())
	o.SetVM(onetest.VM{ID: 7, Name: "web", UID: 2, GID: 1, Host: "host01", DeployID: "uuid-7", UserTemplate: `VOLUME=[ID=4] NOTE="a <b>"`})
	o.MoveVM(7, "host02")
	vm, err := c.VMInfo(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if h, ok := vm.History(); !ok || h.Hostname != "host02" || h.SEQ != 1 || h.HID != 1 || h.TMMad != "shared" || h.DSID != 100 {
		t.Errorf("history %+v", vm.HistoryRecords)
	}
	if note, _ := vm.UserTemplate.Get("NOTE"); note != "a <b>" || len(vm.UserTemplate.Vectors("VOLUME")) != 1 {
		t.Errorf("user template %v", vm.UserTemplate)
	}
	want := onevolume.VM{ID: 7, Name: "web", Host: "host02", Hypervisor: "kvm", DeployID: "uuid-7",
		Owner: onevolume.Owner{UID: 2, GID: 1, User: "alice", Group: "users"}, Running: true}
	if got, err := c.VM(t.Context(), 7, onevolume.Attach); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// TestVMStates: what may be attached and detached in which state.
func TestVMStates(t *testing.T) {
	o, c := start(t, onetest.Small())
	for _, s := range []struct {
		state, lcm     int
		name           string
		attach, detach bool
	}{
		{3, 3, "RUNNING", true, true}, {3, 4, "MIGRATE", false, false}, {3, 16, "UNKNOWN", false, true}, {3, 17, "HOTPLUG", false, false},
		{3, 71, "RESTORE", false, false}, {3, 99, "LCM_STATE 99", false, false}, {8, 0, "POWEROFF", false, true}, {5, 0, "SUSPENDED", false, false},
		{4, 0, "STOPPED", false, false}, {9, 0, "UNDEPLOYED", false, true}, {6, 0, "DONE", false, true}, {1, 0, "PENDING", false, false},
		{12, 0, "STATE 12", false, false},
	} {
		o.SetVMState(1, s.state, s.lcm)
		for kind, may := range map[onevolume.Kind]bool{onevolume.Attach: s.attach, onevolume.Detach: s.detach} {
			_, err := c.VM(t.Context(), 1, kind)
			switch {
			case may && err != nil:
				t.Errorf("%s in %s: %v", kind, s.name, err)
			case !may && (onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "VM 1 (vm-alice) is "+s.name)):
				t.Errorf("%s in %s: %v", kind, s.name, err)
			}
		}
	}
	o.SetVM(onetest.VM{ID: 8, Name: "new", State: 8})
	if _, err := c.VM(t.Context(), 8, onevolume.Detach); onevolume.CodeOf(err) != onevolume.Action {
		t.Errorf("a VM without a host: %v", err)
	}
}

// TestMayManage is the table of rights that was measured on oned.
func TestMayManage(t *testing.T) {
	o, c := start(t, onetest.Small())
	alice := c.As("alice:alicepw")
	vm := onetest.VM{ID: 2, Name: "third", Host: "host01"}
	for _, r := range []struct {
		permissions string
		lock        int
		want        onevolume.Code
	}{
		{"600", 0, onevolume.Forbidden}, {"604", 0, onevolume.Forbidden}, {"606", 0, 0}, {"602", 0, 0},
		{"660", 0, onevolume.Forbidden}, {"606", 2, onevolume.Forbidden}, {"606", 4, onevolume.Forbidden},
	} {
		vm.Permissions, vm.Lock = r.permissions, r.lock
		o.SetVM(vm)
		err := alice.MayManage(t.Context(), 2)
		if r.want == 0 && err != nil || r.want != 0 && onevolume.CodeOf(err) != r.want {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if err := c.MayManage(t.Context(), 2); onevolume.CodeOf(err) != onevolume.Forbidden || !strings.Contains(err.Error(), "User [0] : VM is locked. [2].") {
		t.Errorf("oneadmin on a locked VM: %v", err)
	}
	if err := alice.MayManage(t.Context(), 1); err != nil {
		t.Errorf("alice's own: %v", err)
	}
	var e *onevolume.Error
	if err := alice.MayManage(t.Context(), 9999); !errors.As(err, &e) || e.Code != onevolume.NotFound || e.ID != 9999 || e.Msg != "Error getting virtual machine [9999]." {
		t.Errorf("no such VM: %v", err)
	}
	if err := c.As("alice:wrong").MayManage(t.Context(), 1); onevolume.CodeOf(err) != onevolume.Unauthenticated || onevolume.HintOf(err) == "" {
		t.Errorf("bad session: %v", err)
	}
}

func TestCloud(t *testing.T) {
	o, c := start(t, onetest.Small())
	cloud := opennebula.Cloud{Client: c.As("")}
	if vm, err := cloud.VM(t.Context(), "alice:alicepw", 1, onevolume.Attach); err != nil || vm.Host != "host01" {
		t.Errorf("%+v, %v", vm, err)
	}
	o.SetVM(onetest.VM{ID: 5, Name: "readable", Host: "host01", Permissions: "604"})
	if _, err := cloud.VM(t.Context(), "alice:alicepw", 5, onevolume.Attach); onevolume.CodeOf(err) != onevolume.Forbidden {
		t.Errorf("a VM that alice may only use: %v", err)
	}
}

func TestWhoAmI(t *testing.T) {
	w := onetest.Small()
	one, hundred := 1, 100
	w.Groups = append(w.Groups, onetest.Group{ID: 100, Name: "dev"})
	w.Users = append(w.Users,
		onetest.User{ID: 5, Name: "carol", Password: "pw:with:colons", Groups: []int{1, 0, 100}, Umask: "027", Tokens: []onetest.Token{
			{Text: "all"}, {Text: "primary", Group: &one}, {Text: "dev", Group: &hundred}, {Text: "old", Expires: 1}}},
		onetest.User{ID: 6, Name: "dave", Password: "x", Groups: []int{1}, Umask: "none", Disabled: true})
	_, c := start(t, w)
	carol := func(group int, name string, groups ...int) onevolume.Caller {
		return onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: group, User: "carol", Group: name}, Groups: groups, Umask: 0o27}
	}
	for session, want := range map[string]onevolume.Caller{
		"oneadmin:opennebula":  {Owner: onevolume.Owner{UID: 0, GID: 0, User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}, Umask: 0o177},
		"alice:alicepw":        {Owner: onevolume.Owner{UID: 2, GID: 1, User: "alice", Group: "users"}, Groups: []int{1}, Umask: 0o177},
		"carol:pw:with:colons": carol(1, "users", 1, 0, 100),
		"carol:all":            carol(1, "users", 1, 0, 100),
		// Only the token tells this from the password: oned shows the same.
		"carol:primary": carol(1, "users", 1),
		"carol:dev":     carol(100, "dev", 100),
	} {
		got, err := c.As(session).WhoAmI(t.Context())
		if err != nil || got.Owner != want.Owner || got.Umask != want.Umask || !slices.Equal(got.Groups, want.Groups) {
			t.Errorf("%s is %+v, %v; want %+v", session, got, err, want)
		}
		if strings.HasPrefix(session, "carol") && got.IsAdmin() != slices.Contains(want.Groups, 0) {
			t.Errorf("%s: admin %v", session, got.IsAdmin())
		}
	}
	for _, session := range []string{"carol:old", "carol:", "carol", "", "dave:x", "alice:alicepw\n", "Alice:alicepw"} {
		if _, err := c.As(session).WhoAmI(t.Context()); onevolume.CodeOf(err) != onevolume.Unauthenticated {
			t.Errorf("%q: %v", session, err)
		}
	}
}

// TestUmask: a user's own comes before the default, which is the
// configuration's; one that is no umask counts as none.
func TestUmask(t *testing.T) {
	w := onetest.Small()
	for i, umask := range []string{"0", "0137", "none", "1777", "-1", " 22 "} {
		w.Users = append(w.Users, onetest.User{ID: 10 + i, Name: fmt.Sprint("u", i), Password: "x", Groups: []int{1}, Umask: umask})
	}
	o := onetest.Start(t, w)
	for text, def := range map[string]int{"": 0o177, "27": 0o27, "000": 0} {
		c, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: o.Endpoint, Umask: text})
		if err != nil {
			t.Fatal(err)
		}
		for session, want := range map[string]int{"alice:alicepw": def, "u0:x": 0, "u1:x": 0o137, "u2:x": def, "u3:x": def, "u4:x": def, "u5:x": 0o22} {
			if who, err := c.As(session).WhoAmI(t.Context()); err != nil || who.Umask != want {
				t.Errorf("default %q: %s has umask %o, %v; want %o", text, session, who.Umask, err, want)
			}
		}
	}
	closed, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: o.Endpoint, NoOthers: true})
	if err != nil {
		t.Fatal(err)
	}
	for session, want := range map[string]int{"oneadmin:opennebula": 0o177, "u0:x": 7, "u5:x": 0o27} {
		if who, err := closed.As(session).WhoAmI(t.Context()); err != nil || who.Umask != want {
			t.Errorf("without others: %s has umask %o, %v; want %o", session, who.Umask, err, want)
		}
	}
	for _, text := range []string{"8", "1777", "-1", "u=rwx"} {
		if _, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: o.Endpoint, Umask: text}); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("umask %q: %v", text, err)
		}
	}
}

// TestSecretsAreDropped: what oned tells of passwords and tokens stays
// neither in a user nor in an error.
func TestSecretsAreDropped(t *testing.T) {
	w := onetest.Small()
	w.Users[1].Tokens = []onetest.Token{{Text: "t0ken"}}
	_, c := start(t, w)
	u, err := c.As("alice:alicepw").UserInfo(t.Context(), -1)
	if err != nil || u.Name != "alice" || strings.Contains(fmt.Sprintf("%#v", u), "t0ken") {
		t.Errorf("%#v, %v", u, err)
	}
	conf := opennebula.OneConfig{Endpoint: "http://x/RPC2", Token: "alice:alicepw"}
	if s := fmt.Sprintf("%v %+v %#v", conf, conf, conf); strings.Contains(s, "alicepw") {
		t.Errorf("%s", s)
	}
	_, err = client(t, "http://127.0.0.1:1/RPC2", "alice:alicepw").WhoAmI(t.Context())
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(fmt.Sprintf("%v %+v", e, e), "alicepw") {
			t.Errorf("%v", e)
		}
	}
}

func TestVMUpdate(t *testing.T) {
	o, c := start(t, onetest.Small())
	o.SetVM(onetest.VM{ID: 1, Name: "a", UID: 2, GID: 1, Host: "host01", UserTemplate: "NOTE=x VOLUME=[ID=1] VOLUME=[ID=2]"})
	tpl := template.Template{{Key: "VOLUME", Vector: []template.Pair{{Key: "ID", Value: "3"}, {Key: "NAME", Value: `a "b"`}}}}
	if err := c.VMUpdate(t.Context(), 1, tpl); err != nil {
		t.Fatal(err)
	}
	if got, want := o.UserTemplate(1).String(), "NOTE=\"x\"\nVOLUME=[\n  ID=\"3\",\n  NAME=\"a \\\"b\\\"\" ]\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// The answer is lost: it was done, but nobody can know.
	o.Drop(1)
	if err := c.VMUpdate(t.Context(), 1, template.Template{{Key: "VOLUME", Vector: []template.Pair{}}}); onevolume.CodeOf(err) != onevolume.Unknown {
		t.Errorf("%v", err)
	}
	if got := o.UserTemplate(1).String(); got != "NOTE=\"x\"\n" {
		t.Errorf("%q", got)
	}
	if err := c.As("bob:bobpw").VMUpdate(t.Context(), 1, tpl); onevolume.CodeOf(err) != onevolume.Forbidden {
		t.Errorf("%v", err)
	}
}

func TestPools(t *testing.T) {
	w := onetest.Small()
	for id := 10; id < 460; id++ {
		w.VMs = append(w.VMs, onetest.VM{ID: id, Name: fmt.Sprint("vm", id), UID: 2, GID: 1, Host: "host02"})
	}
	o, c := start(t, w)
	o.SetVMState(10, 6, 0)
	vms, err := c.VMPoolInfo(t.Context())
	if err != nil || len(vms) != 451 || vms[0].ID != 459 || vms[450].ID != 0 {
		t.Fatalf("%d VMs, %v", len(vms), err)
	}
	if h, ok := vms[0].History(); !ok || h.Hostname != "host02" || vms[0].StateString() != "RUNNING" {
		t.Errorf("%+v", vms[0])
	}
	if o.Calls("one.vmpool.info") != 3 {
		t.Errorf("%d calls", o.Calls("one.vmpool.info"))
	}
	if mine, err := c.As("bob:bobpw").VMPoolInfo(t.Context()); err != nil || len(mine) != 0 {
		t.Errorf("bob sees %d, %v", len(mine), err)
	}
	hosts, err := c.HostPoolInfo(t.Context())
	if err != nil || len(hosts) != 2 || hosts[1].Name != "host02" || hosts[0].State().String() != "MONITORED" || hosts[0].VMMad != "kvm" {
		t.Errorf("%+v, %v", hosts, err)
	}
	if h, err := c.HostInfo(t.Context(), 1); err != nil || h.Name != "host02" {
		t.Errorf("%+v, %v", h, err)
	}
	if _, err := c.As("alice:alicepw").HostInfo(t.Context(), 1); onevolume.CodeOf(err) != onevolume.Forbidden {
		t.Errorf("%v", err)
	}
}

func TestUnreachable(t *testing.T) {
	o, c := start(t, onetest.Small())
	o.Down(true)
	if _, err := c.VMInfo(t.Context(), 1); onevolume.CodeOf(err) != onevolume.Unreachable {
		t.Errorf("hung up: %v", err)
	}
	o.Down(false)
	o.Slow(time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.VMInfo(ctx, 1); onevolume.CodeOf(err) != onevolume.Unreachable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = client(t, "http://"+l.Addr().String()+"/RPC2", "a:b").Version(t.Context())
	if onevolume.CodeOf(err) != onevolume.Unreachable || !strings.Contains(onevolume.HintOf(err), "ONE_XMLRPC") || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("nobody listens: %v (%s)", err, onevolume.HintOf(err))
	}
	if _, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: "localhost:2633"}); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("%v", err)
	}
}

// TestConnections: oned freezes at fifteen; a client takes four.
func TestConnections(t *testing.T) {
	o, c := start(t, onetest.Small())
	o.Slow(5 * time.Millisecond)
	begin := time.Now()
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			if _, err := c.As("alice:alicepw").Version(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin); took < 15*time.Millisecond {
		t.Errorf("twelve calls took %v: more than four at once", took)
	}
}

// TestAuthenticator: one question for many, none while the answer is kept.
func TestAuthenticator(t *testing.T) {
	o, c := start(t, onetest.Small())
	a := opennebula.NewAuthenticator(c, time.Minute)
	o.Slow(20 * time.Millisecond)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if who, err := a.Authenticate(t.Context(), "alice:alicepw"); err != nil || who.UID != 2 {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	wg.Wait()
	if o.Calls("one.user.info") != 1 || o.Calls("one.group.info") != 1 {
		t.Errorf("%d and %d calls", o.Calls("one.user.info"), o.Calls("one.group.info"))
	}
	if _, err := a.Authenticate(t.Context(), "alice:wrong"); onevolume.CodeOf(err) != onevolume.Unauthenticated {
		t.Errorf("%v", err)
	}
}
