// Package hypervisor is the contract between onevolume and whatever runs
// virtual machines on a host: find a domain, plug a block device into it,
// unplug it again and know for certain that it is gone. Each hypervisor is a
// folder below; hypervisortest holds the tests that every one of them passes.
package hypervisor

import (
	"context"
	"fmt"
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

	// Domains lists all domains of the host with their disks, those that do
	// not run too if the hypervisor keeps them; Slots are left out. The list
	// may miss a domain that comes or goes meanwhile. Codes: Unreachable
	// (the hypervisor does not answer), Refused.
	Domains(ctx context.Context, h command.Host) ([]Domain, error)

	// Plug makes the device at d.Source a disk of the domain, in one of
	// dom.Slots, and returns the disk as the live domain then shows it. dom
	// is as Domain gave it a moment ago; a slot that was taken meanwhile is
	// left out. A disk with the same serial and source that is there
	// already is returned as it is; the same serial with another source is
	// a Mismatch. Codes: Action (domain not running, or no slot), Held
	// (source in use), Busy (the hypervisor is busy with the domain),
	// Refused (with the hypervisor's words), Invalid (no such path or
	// serial can be), Unknown (no answer, and the live domain could not be
	// seen either: the disk may be there).
	Plug(ctx context.Context, h command.Host, dom Domain, d Disk) (Disk, error)

	// Unplug asks the guest to let go of the disk at d.Source, or without a
	// source of the one with d.Serial, and waits up to wait until the live
	// domain no longer shows it. Codes: NotFound (there is no such domain
	// on the host, so that nothing there holds the disk), Held (the guest has not let go; the disk is still in
	// the domain and must be taken as in use), Mismatch (the disk with
	// d.Serial has another source than d.Source: it was not touched), Busy
	// (the hypervisor is busy with the domain, so that a disk may yet
	// appear), Refused, Unknown (no answer, as with Plug).
	Unplug(ctx context.Context, h command.Host, vm onevolume.VM, d Disk, wait time.Duration) error

	// Users lists the domains of the host, apart from except, that have
	// one of the paths (or a link to the same device) as a disk. except is
	// a domain's name, or empty.
	Users(ctx context.Context, h command.Host, except string, paths []string) ([]string, error)

	// GuestPath is where a Linux guest with udev finds the disk, whatever
	// name its kernel gave it; empty when that cannot be told.
	GuestPath(d Disk) string

	// PlugCommands and UnplugCommands are what Plug and Unplug would run
	// in the usual case, for a dry run.
	PlugCommands(dom Domain, d Disk) []command.Cmd
	UnplugCommands(dom Domain, d Disk) []command.Cmd
}

// Forcer is a Driver that can take a disk from a guest that does not let go
// of it.
type Forcer interface {
	// ForceUnplug is Unplug without asking the guest: what it has not
	// written yet is lost, and what it does with the disk from then on fails.
	// With Held the host itself has not let go within wait.
	ForceUnplug(ctx context.Context, h command.Host, vm onevolume.VM, d Disk, wait time.Duration) error
}

// Resizer is a Driver that can tell a guest that a disk of it has grown.
type Resizer interface {
	// Resize has the guest see the disk with d.Serial, or d.Source, as size
	// large, which the host's device has become before. One that is so already
	// is left alone. Codes: NotFound (no such domain, or not the disk),
	// Mismatch (it is larger, or not quite the disk), Busy, Refused (with the
	// hypervisor's words), Unreachable, Unknown (no answer).
	Resize(ctx context.Context, h command.Host, vm onevolume.VM, d Disk, size onevolume.Size) error
}

// Waker is a Driver whose hypervisor pauses a domain when a disk of it fails,
// instead of telling the guest.
type Waker interface {
	// Paused lists the domains that are paused, for whatever reason, in one
	// command. Codes: Refused, Unreachable, Internal.
	Paused(ctx context.Context, h command.Host) ([]Domain, error)

	// Failing gives the domain, and the targets of the disks whose errors
	// paused it: none unless that is why it is paused. Codes as for Domain.
	Failing(ctx context.Context, h command.Host, vm onevolume.VM) (Domain, []string, error)

	// Wake lets a paused domain go on. The caller has looked why it is paused.
	// Codes: NotFound, Refused, Unreachable.
	Wake(ctx context.Context, h command.Host, vm onevolume.VM) error
}

// Versioner is a Driver that tells which hypervisor runs on a host.
type Versioner interface {
	// Version is its name and version, as "QEMU 7.2.22". Codes: Refused,
	// Unreachable, Internal.
	Version(ctx context.Context, h command.Host) (string, error)
}

// Capabilities says what a workflow may ask of a driver.
type Capabilities struct {
	Serial bool // a disk carries a serial number that the guest can read
	IOTune bool // a disk's limits are kept; else Plug passes over them
}

// Domain is a virtual machine on a host, as the hypervisor shows it.
type Domain struct {
	Name    string
	UUID    string
	Running bool   // runs, or is paused while running
	State   string // the hypervisor's own words
	// Stopped says that the hypervisor paused it, since a disk failed.
	Stopped bool
	Disks   []Disk
	// Slots are the next few places for a disk, in the order in which Plug
	// tries them: from the end of the alphabet, because OpenNebula names
	// its own disks from the start and does not see ours. Without any,
	// nothing can be plugged.
	Slots []Slot
}

// Slot is a free place for a disk in a domain.
type Slot struct {
	Target  string // the name, such as sdiv
	Address string // in the driver's own notation; may be empty
}

// LockName is the lock on a VM's host under which disks are plugged into it
// and taken out: of two who changed a domain at once, each would see it as it
// was. A lock on a target comes before it, never after.
func LockName(vm onevolume.VMID) string { return command.LockName(fmt.Sprintf("vm %d", vm)) }

// Disk is a block device in a domain.
type Disk struct {
	Source   string // path on the host
	Target   string // name in the domain's configuration, such as sdiv
	Bus      string // the hypervisor's word: scsi, virtio …
	Serial   string // "" when there is none
	ReadOnly bool
	Tune     onevolume.IOTune `json:",omitzero"` // none when zero
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
