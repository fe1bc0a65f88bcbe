package opennebula_test

import (
	"testing"

	"onevolume"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
)

func TestVMsInfo(t *testing.T) {
	w := onetest.Small()
	for _, id := range []int{7, 150, 151, 205, 206, 207, 900} {
		w.VMs = append(w.VMs, onetest.VM{ID: id, Name: "x", Host: "host02"})
	}
	one := onetest.Start(t, w)
	one.SetVMState(205, 6, 0)
	one.SetVMState(206, 8, 0)
	c, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: one.Endpoint, Token: "oneadmin:opennebula"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.VMsInfo(t.Context(), []onevolume.VMID{900, 206, 7, 205, 7, 150, 42, 0})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 6 || got[205] == nil || got[205].StateString() != "DONE" || got[206].StateString() != "POWEROFF" || got[42] != nil || got[1] != nil {
		t.Errorf("got %v", got)
	}
	if h, _ := got[7].History(); h.Hostname != "host02" || h.RSTime == 0 {
		t.Errorf("VM 7 is on %+v", h)
	}
	// 0..199 in one call, 205 and 206 in another; 42, 205 and 900 by themselves.
	if pool, info := one.Calls("one.vmpool.infoextended"), one.Calls("one.vm.info"); pool != 2 || info != 3 {
		t.Errorf("%d calls for ranges and %d for one", pool, info)
	}
	if got, err := c.VMsInfo(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("none: %v, %v", got, err)
	}
	one.Down(true)
	if _, err := c.VMsInfo(t.Context(), []onevolume.VMID{0}); onevolume.CodeOf(err) != onevolume.Unreachable {
		t.Errorf("silent: %v", err)
	}
}
