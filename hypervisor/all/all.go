// Package all names every hypervisor driver, and which of them a VM needs.
package all

import (
	"maps"
	"slices"
	"strings"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/hypervisor/virsh"
	"onevolume/hypervisor/xen"
)

// drivers makes each driver by its name.
func drivers(libvirtURI string) map[string]func() hypervisor.Driver {
	return map[string]func() hypervisor.Driver{
		"virsh": func() hypervisor.Driver { return virsh.New(virsh.Options{URI: libvirtURI}) },
		"xen":   func() hypervisor.Driver { return xen.New(xen.Options{}) },
		"xl":    func() hypervisor.Driver { return xen.New(xen.Options{Tool: "xl"}) },
		"xm":    func() hypervisor.Driver { return xen.New(xen.Options{Tool: "xm"}) },
	}
}

// vmMads are the names that VM_MAD has in oned.conf as OpenNebula delivers
// it, with the driver of each. Those of Xen have grown a number behind them
// (xen3, xen4 and, before that, xen).
func vmMads() map[string]string {
	return map[string]string{
		"kvm":  "virsh",
		"qemu": "virsh",
		"xen*": "xen",
	}
}

// named gives the name of the driver for a VM_MAD, empty when there is none.
func named(vmMad string) string {
	vmMad = strings.ToLower(vmMad)
	if strings.HasPrefix(vmMad, "xen") {
		vmMad = "xen*"
	}
	return vmMads()[vmMad]
}

// For gives the driver for a VM: the one that byHost names for its host, or
// else the one for its VM_MAD. byHost may be nil, libvirtURI may be empty. The
// error has the code Invalid.
func For(vm onevolume.VM, byHost map[string]string, libvirtURI string) (hypervisor.Driver, error) {
	known := drivers(libvirtURI)
	name, configured := byHost[vm.Host]
	if !configured {
		if name = named(vm.Hypervisor); name == "" {
			return nil, onevolume.Errorf(onevolume.Invalid, "VM %d on host %s: hypervisor %q (VM_MAD) is not supported; supported are %s", vm.ID, vm.Host, vm.Hypervisor, list(vmMads())).
				WithHint("if it is one of these under another name, set the host's driver in the configuration (hosts: hypervisors): %s", list(known))
		}
	}
	driver, ok := known[name]
	if !ok {
		return nil, onevolume.Errorf(onevolume.Invalid, "host %s: the configuration names the hypervisor driver %q; there is %s", vm.Host, name, list(known)).
			WithHint("correct the host's driver in the configuration (hosts: hypervisors)")
	}
	return driver(), nil
}

func list[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
