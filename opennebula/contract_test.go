package opennebula_test

import (
	"testing"

	"onevolume"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
)

// testContract asks a cloud everything that changes nothing, as oneadmin. It
// runs on the stand-in, and with the build tag oned on a real one.
func testContract(t *testing.T, c *opennebula.Client) {
	version, err := c.Version(t.Context())
	if err != nil || version == "" {
		t.Fatalf("version %q, %v", version, err)
	}
	who, err := c.WhoAmI(t.Context())
	if err != nil || who.User == "" || who.Group == "" || !who.IsAdmin() {
		t.Errorf("%+v, %v", who, err)
	}
	hosts, err := c.HostPoolInfo(t.Context())
	if err != nil || len(hosts) == 0 {
		t.Fatalf("%d hosts, %v", len(hosts), err)
	}
	for _, listed := range hosts {
		if h, err := c.HostInfo(t.Context(), listed.ID); err != nil || h.Name != listed.Name || h.VMMad == "" {
			t.Errorf("%+v, %v", h, err)
		}
	}
	vms, err := c.VMPoolInfo(t.Context())
	if err != nil || len(vms) == 0 {
		t.Fatalf("%d VMs, %v", len(vms), err)
	}
	for _, listed := range vms {
		id := onevolume.VMID(listed.ID)
		before, err := c.VMInfo(t.Context(), id)
		if err != nil || before.Name != listed.Name {
			t.Errorf("%+v, %v", before, err)
			continue
		}
		if err := c.MayManage(t.Context(), id); err != nil && onevolume.CodeOf(err) != onevolume.Forbidden {
			t.Errorf("VM %d: %v", id, err)
		}
		h, _ := before.History()
		short, _ := listed.History()
		if h.Hostname != short.Hostname || h.VMMad != short.VMMad {
			t.Errorf("VM %d is on %+v and on %+v", id, h, short)
		}
		after, err := c.VMInfo(t.Context(), id)
		if err != nil || after.StateString() != before.StateString() {
			t.Errorf("asking changed VM %d from %s to %s, %v", id, before.StateString(), after.StateString(), err)
		}
	}
	for _, ask := range []func() error{
		func() error { return c.MayManage(t.Context(), 1<<30) },
		func() error { _, err := c.VMInfo(t.Context(), 1<<30); return err },
		func() error { _, err := c.HostInfo(t.Context(), 1<<30); return err },
		func() error { _, err := c.UserInfo(t.Context(), 1<<30); return err },
		func() error { _, err := c.GroupInfo(t.Context(), 1<<30); return err },
	} {
		if err := ask(); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("%v", err)
		}
	}
	if _, err := c.As("nobody:nothing").WhoAmI(t.Context()); onevolume.CodeOf(err) != onevolume.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestContract(t *testing.T) {
	_, c := start(t, onetest.Small())
	testContract(t, c)
}
