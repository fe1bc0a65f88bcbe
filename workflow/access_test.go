package workflow_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"onevolume"
	"onevolume/array"
	"onevolume/hypervisor/hypervisortest"
)

// onArray is a cloud with a guest and a volume that was made on an array.
func onArray(t *testing.T, g *ground) (*cloud, onevolume.VM, onevolume.Volume) {
	c := newCloud(t, g)
	return c, c.vm(c.hosts[0], hypervisortest.Domain{}), c.made()
}

// admits asks that the array lets in exactly this host, or nobody.
func (c *cloud) admits(v onevolume.Volume, host string) {
	c.Helper()
	var want []onevolume.IQN
	if host != "" {
		want = []onevolume.IQN{c.machine(host).iscsi.Initiator()}
	}
	if exports, sessions := c.letIn(v); !slices.Equal(exports, want) || !slices.Equal(sessions, want) {
		c.Errorf("the array lets in %v, and logged in are %v; want %v", exports, sessions, want)
	}
}

// TestArrayAnswersLost has each request to the array get lost, before it took
// effect and after, while a volume is attached and detached.
func TestArrayAnswersLost(t *testing.T) {
	g := newGround(t)
	for _, kind := range []onevolume.Kind{onevolume.Attach, onevolume.Detach} {
		for _, took := range []bool{false, true} {
			for n, came := 1, true; came; n++ {
				c, vm, v := onArray(t, g)
				req := attachRequest(vm, v)
				if kind == onevolume.Detach {
					c.must(req)
					c.write(v)
					req = detachRequest(vm, v, onevolume.LeaveZeroes)
				}
				hit := c.memory.Lose(n, took)
				_, err := c.process("client").run(t.Context(), req)
				if came = hit(); came && err == nil && kind == onevolume.Attach {
					t.Errorf("%s, request %d lost (%t): nobody was told", kind, n, took)
				}
				c.settle()
				now := c.read(v.ID)
				host := now.Attachment.Host
				if now.State != onevolume.Available && (now.State != onevolume.Attached || kind == onevolume.Detach) {
					t.Errorf("%s, request %d lost (%t): the volume is %s (%s)", kind, n, took, now.State, now.Reason)
				}
				c.admits(v, host)
				if n > 20 {
					t.Fatal("there is no end of requests")
				}
			}
		}
	}
}

// TestArrayDown: what cannot be asked of the array is asked later.
func TestArrayDown(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	c.write(v)
	c.memory.Down(array.Errorf(array.Transient, "the test: the array is away"))
	_, err := c.process("client").run(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes))
	if onevolume.CodeOf(err) != onevolume.Unknown {
		t.Fatalf("it was told %v", err)
	}
	c.memory.Down(nil)
	c.settle()
	if now := c.read(v.ID); now.State != onevolume.Available {
		t.Errorf("the volume is %s (%s)", now.State, now.Reason)
	}
	c.admits(v, "")
}

// TestCredentialsAreNew at each attach, and nowhere but on the host.
func TestCredentialsAreNew(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	seen := map[string]bool{}
	for range 2 {
		c.must(attachRequest(vm, v))
		now := c.read(v.ID)
		if now.Target.CHAP != (onevolume.CHAP{}) {
			t.Errorf("the inventory keeps %v", now.Target.CHAP)
		}
		if now.Identity.Serial != v.ArrayID {
			t.Errorf("the serial number on record is %q, the array said %q", now.Identity.Serial, v.ArrayID)
		}
		seen[c.user(v)] = true
		c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
		c.admits(v, "")
	}
	if len(seen) != 2 {
		t.Errorf("the users were %v", seen)
	}
}

// user is the CHAP user of the volume's only export.
func (c *cloud) user(v onevolume.Volume) string {
	c.Helper()
	list, err := c.memory.Exports(c.Context(), arrayID(v))
	if err != nil || len(list) != 1 {
		c.Fatal(list, err)
	}
	return list[0].Target.CHAP.User
}

// TestIdentityBeforeLogin: a unit that is not what the array said is never
// plugged, not even the first time.
func TestIdentityBeforeLogin(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.units[v.ID].Identity.Serial = "another"
	_, err := c.process("client").run(t.Context(), attachRequest(vm, v))
	if onevolume.CodeOf(err) != onevolume.Mismatch {
		t.Errorf("it was told %v", err)
	}
	c.settle()
	c.admits(v, "")
	if now := c.read(v.ID); now.State != onevolume.Available || now.Identity.Serial != v.ArrayID {
		t.Errorf("%s with %+v", now.State, now.Identity)
	}
}

// TestDetachAfterReboot: the host that came back without its session is let in
// once more, to wipe, and then nobody is.
func TestDetachAfterReboot(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	c.write(v)
	before := c.user(v)
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = nil })
	c.lost[v.ID] = true
	c.hosts[0].iscsi.Reboot()
	c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
	if now := c.read(v.ID); now.State != onevolume.Available || c.units[v.ID].Content != "" {
		t.Errorf("%s with %q", now.State, c.units[v.ID].Content)
	}
	c.admits(v, "")
	c.must(attachRequest(vm, v))
	if c.user(v) == before {
		t.Error("the old credentials are good again")
	}
}

// TestReplugElsewhere: the host that the VM has left is logged out and loses
// its right before the new one gets it.
func TestReplugElsewhere(t *testing.T) {
	c, vm, v := onArray(t, newGround(t))
	c.must(attachRequest(vm, v))
	c.hosts[0].virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Disks = nil })
	c.lost[v.ID] = true
	vm.Host = c.hosts[1].name
	c.hosts[1].virt.AddDomain(hypervisortest.Domain{Name: vm.DeployID})
	c.hosts[1].vms = append(c.hosts[1].vms, vm.DeployID)
	c.must(replugRequest(vm, v))
	c.admits(v, c.hosts[1].name)
	c.settle()
}

// TestBothWhileMoving: while a VM moves both hosts are let in, each with
// credentials of its own, and then the one where it is.
func TestBothWhileMoving(t *testing.T) {
	for moves, host := range map[bool]string{true: "host02", false: "host01"} {
		c, vm, v := onArray(t, newGround(t))
		c.must(attachRequest(vm, v))
		c.write(v)
		c.wait = func(onevolume.Operation) (bool, error) {
			if exports, sessions := c.letIn(v); len(exports) != 2 || !slices.Equal(exports, sessions) {
				t.Errorf("let in are %v, and logged in %v", exports, sessions)
			}
			if moves {
				c.migrates(vm)
			}
			return true, nil
		}
		_, err := c.process("client").run(t.Context(), migrateRequest(vm, v, "host02"))
		if (err == nil) != moves {
			t.Errorf("moves %t: %v", moves, err)
		}
		c.admits(v, host)
		c.settle()
		if now := c.read(v.ID); now.Attachment.Host != host {
			t.Errorf("moves %t: it is on %s", moves, now.Attachment.Host)
		}
	}
}

// TestStrangerLoggedIn: a session of somebody else keeps the volume from being
// attached, and is not cut.
func TestStrangerLoggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGround(t)
		g.clock.bubble = true // it is waited for the session to end
		c, vm, v := onArray(t, g)
		a, err := c.memory.Export(t.Context(), arrayID(v), array.Grant{Initiator: "iqn.2026-11.test:stranger", CHAP: array.NewCHAP(arrayID(v))})
		if err != nil {
			t.Fatal(err)
		}
		logout, err := c.memory.Login(a)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.process("client").run(t.Context(), attachRequest(vm, v))
		if onevolume.CodeOf(err) != onevolume.Unknown || !strings.Contains(err.Error(), "stranger is logged in") {
			t.Errorf("it was told %v", err)
		}
		if _, sessions := c.letIn(v); !slices.Equal(sessions, []onevolume.IQN{a.Initiator}) {
			t.Errorf("logged in are %v", sessions)
		}
		// Nobody gets a volume that somebody unknown is logged in to.
		if now := c.read(v.ID); now.State != onevolume.Attaching {
			t.Errorf("%s (%s)", now.State, now.Reason)
		}
		logout()
		c.settle()
		if now := c.read(v.ID); now.State != onevolume.Available {
			t.Errorf("%s (%s)", now.State, now.Reason)
		}
		c.admits(v, "")
	})
}

func arrayID(v onevolume.Volume) array.ID { return array.ID(v.ArrayID) }
