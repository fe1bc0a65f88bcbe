package all_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/hypervisor/all"
)

func TestFor(t *testing.T) {
	byHost := map[string]string{"west01": "virsh", "west02": "vmware", "west03": "xm"}
	for _, c := range []struct{ host, mad, want string }{
		{"host01", "kvm", "virsh"},
		{"host01", "qemu", "virsh"},
		{"host01", "KVM", "virsh"},
		{"west01", "kvm-west", "virsh"},
		{"host01", "xen", "xen"},
		{"host01", "XEN4", "xen"},
		{"west03", "xen", "xm"},
	} {
		d, err := all.For(onevolume.VM{ID: 17, Host: c.host, Hypervisor: c.mad}, byHost, "")
		if err != nil || d.Name() != c.want {
			t.Errorf("%s on %s: %v, %v; expected %s", c.mad, c.host, d, err, c.want)
		}
	}
	for _, c := range []struct{ host, mad, want string }{
		{"host01", "vcenter", `"vcenter" (VM_MAD) is not supported; supported are kvm, qemu, xen*`},
		{"host01", "", "not supported"},
		{"west02", "kvm", `"vmware"; there is virsh, xen, xl, xm`},
	} {
		_, err := all.For(onevolume.VM{ID: 17, Host: c.host, Hypervisor: c.mad}, byHost, "")
		if onevolume.CodeOf(err) != onevolume.Invalid || !strings.Contains(err.Error(), c.want) || onevolume.HintOf(err) == "" {
			t.Errorf("%s on %s: %v", c.mad, c.host, err)
		}
	}
}

func TestLibvirtURI(t *testing.T) {
	const uri = "qemu+unix:///system?socket=/run/x"
	d, err := all.For(onevolume.VM{Host: "host01", Hypervisor: "kvm"}, nil, uri)
	if err != nil {
		t.Fatal(err)
	}
	dom := hypervisor.Domain{Name: "one-17", UUID: "56480758-ff82-49f2-b371-835a858b2fe6"}
	cmds := d.UnplugCommands(dom, hypervisor.Disk{Target: "sdiv"})
	if len(cmds) != 1 || cmds[0].Argv[2] != uri {
		t.Errorf("commands do not use the URI: %v", cmds)
	}
}
