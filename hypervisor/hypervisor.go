// Package hypervisor is the contract between onevolume and whatever runs
// virtual machines on a host: find a domain, plug a block device into it,
// unplug it again and know for certain that it is gone. Each hypervisor is a
// folder below; hypervisortest holds the tests that every one of them passes.
package hypervisor

import (
	"context"
	"time"

	"onevolume"
	"onevolume/command"
)

// Driver plugs disks into the domains of one kind of hypervisor. All methods
// may be repeated: what is so already is success. Errors are of type
// *onevolume.Error and name the domain and the host.
type Driver interface {
	// Name is the driver's name as configuration and messages have it.
	Name() string

	// Can says what this hypervisor is able to do.
	Can() Capabilities

	// Domain looks the VM's domain up. Codes: NotFound when the host has
	// no such domain, Unreachable when the hypervisor does not answer.
	Domain(ctx context.Context, h command.Host, vm onevolume.VM) (Domain, error)

	// Plug makes the device at d.Source a disk of the domain, under a
	// target name it chooses from the end of the alphabet, and returns the
	// disk as the live domain then shows it. dom is as Domain gave it a
	// moment ago. A disk with the same serial and source that is there
	// already is returned as it is; the same serial with another source is
	// a Mismatch. Codes: Action (domain not running), Held (source or
	// target in use), Refused (with the hypervisor's words).
	Plug(ctx context.Context, h command.Host, dom Domain, d Disk) (Disk, error)

	// Unplug asks the guest to let go of the disk with d.Serial (or
	// d.Source where serials cannot be had), and waits up to wait until
	// the live domain no longer shows it. Code Held: the guest has not let
	// go; the disk is still in the domain and must be taken as in use. A
	// domain that is gone holds nothing: success.
	Unplug(ctx context.Context, h command.Host, vm onevolume.VM, d Disk, wait time.Duration) error

	// Users lists the domains of the host, apart from except, that have
	// one of the paths (or a link to the same device) as a disk.
	Users(ctx context.Context, h command.Host, except string, paths []string) ([]string, error)

	// GuestPath is where the guest's users find the disk, or "" when that
	// cannot be told.
	GuestPath(d Disk) string

	// PlugCommands and UnplugCommands are what Plug and Unplug would run
	// in the usual case, for a dry run.
	PlugCommands(dom Domain, d Disk) []command.Cmd
	UnplugCommands(dom Domain, d Disk) []command.Cmd
}

// Capabilities says what a workflow may ask of a driver.
type Capabilities struct {
	Serial        bool // a disk carries a serial number that the guest can read
	GuestReleases bool // the guest is asked to let go and can be seen to refuse
}

// Domain is a virtual machine on a host, as the hypervisor shows it.
type Domain struct {
	Name    string
	UUID    string
	Running bool   // runs, or is paused while running
	State   string // the hypervisor's own word
	Disks   []Disk
	// Bus is what the driver will plug the next disk to, with what it needs
	// to do so; empty when it cannot.
	Bus string
}

// Disk is a block device in a domain.
type Disk struct {
	Source   string // path on the host
	Target   string // name in the domain's configuration, such as sdiv
	Serial   string // "" when there is none
	ReadOnly bool
}

// Find gives the disk with the serial number, or else with the source.
func (d Domain) Find(serial, source string) (Disk, bool) {
	for _, k := range d.Disks {
		if serial != "" && k.Serial == serial {
			return k, true
		}
	}
	for _, k := range d.Disks {
		if source != "" && k.Source == source && (k.Serial == "" || serial == "") {
			return k, true
		}
	}
	return Disk{}, false
}
