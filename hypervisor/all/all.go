// Package all names every hypervisor driver, and which of them a VM needs.
package all

import (
	"maps"
	"slices"
	"strings"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/hypervisor/virsh"
)

// drivers makes each driver by its name.
func drivers() map[string]func() hypervisor.Driver {
	return map[string]func() hypervisor.Driver{
		"virsh": func() hypervisor.Driver { return virsh.New(virsh.Options{}) },
	}
}

// vmMads are the names that OpenNebula's VM_MAD has in oned.conf as it is
// delivered, with the driver of each.
func vmMads() map[string]string {
	return map[string]string{
		"kvm":  "virsh",
		"qemu": "virsh",
	}
}

// For gives the driver for VMs with the VM_MAD. Overrides give the driver's
// name for VM_MADs that a cloud named itself, and go before our own list; nil
// means none. The error has the code Invalid.
func For(vmMad string, overrides map[string]string) (hypervisor.Driver, error) {
	known := vmMads()
	for mad, name := range overrides {
		known[strings.ToLower(mad)] = name
	}
	name, ok := known[strings.ToLower(vmMad)]
	if !ok {
		return nil, onevolume.Errorf(onevolume.Invalid, "hypervisor %q (VM_MAD) is not supported; supported are %s", vmMad, list(known)).
			WithHint("if %s is one of these under another name, say so in the configuration", vmMad)
	}
	driver, ok := drivers()[name]
	if !ok {
		return nil, onevolume.Errorf(onevolume.Invalid, "hypervisor %q (VM_MAD): there is no driver %q; there is %s", vmMad, name, list(drivers())).
			WithHint("correct the configuration")
	}
	return driver(), nil
}

func list[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
