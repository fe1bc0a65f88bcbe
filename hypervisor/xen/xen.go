// Package xen plugs disks into Xen domains through the toolstack of the host:
// xl (Xen 4.1 and later) or xm, which it replaced (in Xen until 4.4). Their
// words for disks are the same, and both keep what is so in xenstore, which
// is what every answer is judged by: both exit with 1 whatever went wrong.
//
// A Xen disk carries no serial number, so a disk is known by its source. What
// a guest is given goes by the name of the target: Linux calls it the same.
package xen

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// Options are what may differ from one cloud to another.
type Options struct {
	// Tool is xl or xm; empty means what the host has: xl, but xm where its
	// daemon xend runs, beside which xl changes nothing.
	Tool    string
	Timeout time.Duration // of each command; zero means two minutes
}

// defaultTimeout is above all that xl waits for by itself: 40 s for hotplug
// scripts and 10 s for the guest (LIBXL_HOTPLUG_TIMEOUT and
// LIBXL_DESTROY_TIMEOUT of Xen 4.17).
const defaultTimeout = 2 * time.Minute

// Driver is the hypervisor driver. It keeps no state.
type Driver struct{ o Options }

var (
	_ hypervisor.Driver = (*Driver)(nil)
	_ hypervisor.Forcer = (*Driver)(nil)
)

// New makes a driver.
func New(o Options) *Driver {
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	return &Driver{o}
}

// Name is "xen", or that of the one tool it was made for.
func (x *Driver) Name() string { return cmp.Or(x.o.Tool, "xen") }

// Can says that disks carry no serials.
func (x *Driver) Can() hypervisor.Capabilities { return hypervisor.Capabilities{} }

// argv is a command of the toolstack. Both tools work for root alone.
func (x *Driver) argv(words ...string) command.Cmd {
	return command.Cmd{Argv: words, Sudo: true, Timeout: x.o.Timeout}
}

// Domain looks up the VM's deploy id, which OpenNebula's drivers for Xen make
// the domain's name, then the name that OpenNebula gives domains.
func (x *Driver) Domain(ctx context.Context, h command.Host, vm onevolume.VM) (hypervisor.Domain, error) {
	_, d, err := x.find(ctx, h, vm)
	if err != nil {
		return hypervisor.Domain{}, err
	}
	return d.Domain, nil
}

// Domains lists all domains but the one that is the host itself.
func (x *Driver) Domains(ctx context.Context, h command.Host) ([]hypervisor.Domain, error) {
	v, err := x.look(ctx, h, "of any name", "listing the domains")
	if err != nil {
		return nil, err
	}
	list := []hypervisor.Domain{}
	for _, d := range v.domains {
		d.Slots = nil
		list = append(list, d.Domain)
	}
	return list, nil
}

// find gives the VM's domain, and all that was seen with it.
func (x *Driver) find(ctx context.Context, h command.Host, vm onevolume.VM, paths ...string) (view, *domain, error) {
	own := ownName(vm.ID)
	v, err := x.look(ctx, h, own, "looking it up", paths...)
	if err != nil {
		return v, nil, err
	}
	for _, name := range []string{vm.DeployID, own} {
		if d := v.domain(name); d != nil {
			return v, d, nil
		}
	}
	return v, nil, missing(h, cmp.Or(vm.DeployID, own), v.tool)
}

// ownName is the name of the domain that OpenNebula makes for a VM.
func ownName(id onevolume.VMID) string { return fmt.Sprintf("one-%d", id) }

// GuestPath is the name of the target, which Linux gives the disk too.
func (x *Driver) GuestPath(d hypervisor.Disk) string {
	if index(d.Target) < 0 {
		return ""
	}
	return "/dev/" + d.Target
}
