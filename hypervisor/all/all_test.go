package all_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor/all"
)

func TestFor(t *testing.T) {
	overrides := map[string]string{"kvm-west": "virsh", "odd": "vmware"}
	for mad, want := range map[string]string{"kvm": "virsh", "qemu": "virsh", "KVM": "virsh", "kvm-west": "virsh"} {
		d, err := all.For(mad, overrides)
		if err != nil || d.Name() != want {
			t.Errorf("For(%q) = %v, %v; expected %s", mad, d, err, want)
		}
	}
	for mad, want := range map[string]string{"vcenter": "kvm, kvm-west", "": "kvm", "odd": `no driver "vmware"`} {
		_, err := all.For(mad, overrides)
		if onevolume.CodeOf(err) != onevolume.Invalid || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"`+mad+`"`) || onevolume.HintOf(err) == "" {
			t.Errorf("For(%q): %v", mad, err)
		}
	}
}
