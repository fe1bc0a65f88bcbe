package virsh

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

var _ hypervisor.Resizer = (*Driver)(nil)

// Resize has QEMU tell the guest the size that the device has become, and asks
// it afterwards. QEMU takes no size beyond the device's ("Cannot grow device
// files", block/file-posix.c of QEMU 7.2), so what it says was proven by the
// kernel's word before.
func (v *Driver) Resize(ctx context.Context, h command.Host, vm onevolume.VM, d hypervisor.Disk, size onevolume.Size) error {
	l, err := v.find(ctx, h, vm)
	if err != nil {
		return err
	}
	k, there, err := holding(h, l, d)
	switch {
	case err != nil:
		return err
	case !there:
		return onevolume.Errorf(onevolume.NotFound, "domain %s on host %s does not have the disk %s (it is %s)", l.Name, h.Name(), d.Serial, l.State)
	case !plain(l.UUID) || !plain(k.Target):
		return onevolume.Errorf(onevolume.Refused, "domain %s on host %s: disk %q has a name that virsh would not read as it is", l.Name, h.Name(), k.Target)
	}
	is, err := v.capacity(ctx, h, l.Domain, k)
	switch {
	case err != nil || is == size:
		return err
	case is > size:
		return onevolume.Errorf(onevolume.Mismatch, "domain %s on host %s: disk %s has %s, and is not made smaller (%s)", l.Name, h.Name(), k.Target, is.Exact(), size.Exact())
	}
	_, why, err := v.change(ctx, h, l.Domain, "resizing disk "+k.Target, v.resize(l.Domain, k, size))
	if err != nil {
		return err
	}
	is, err = v.capacity(ctx, h, l.Domain, k)
	switch {
	case err != nil || is == size:
		return err
	case why != nil:
		return why
	}
	return onevolume.Errorf(onevolume.Refused, "domain %s on host %s: disk %s has %s for the guest still, not %s", l.Name, h.Name(), k.Target, is.Exact(), size.Exact())
}

// resize is the command that tells the size, in bytes: without a unit virsh
// takes it for KiB.
func (v *Driver) resize(dom hypervisor.Domain, k hypervisor.Disk, size onevolume.Size) command.Cmd {
	return v.chain(append([]string{fmt.Sprintf("blockresize %s %s %dB", dom.UUID, k.Target, int64(size))}, look(dom.UUID)...)...)
}

// capacity is the disk's size as the guest has it.
func (v *Driver) capacity(ctx context.Context, h command.Host, dom hypervisor.Domain, k hypervisor.Disk) (onevolume.Size, error) {
	c := v.chain("domblkinfo " + dom.UUID + " " + k.Target)
	c.ReadOnly = true
	doing := "asking for the size of disk " + k.Target
	r, err := h.Run(ctx, c)
	if err != nil {
		return 0, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", dom.Name, h.Name(), doing, err)
	}
	if r.Code != 0 {
		return 0, failure(h, dom.Name, doing, r)
	}
	size, ok := parseCapacity(r.Stdout)
	if !ok {
		return 0, onevolume.Errorf(onevolume.Internal, "domain %s on host %s: %s: virsh domblkinfo said %q", dom.Name, h.Name(), doing, r.Stdout)
	}
	return size, nil
}

// parseCapacity reads the line "Capacity:       134217728" of domblkinfo.
func parseCapacity(out []byte) (onevolume.Size, bool) {
	for line := range strings.Lines(string(out)) {
		if value, ok := strings.CutPrefix(line, "Capacity:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return onevolume.Size(n), err == nil && n > 0
		}
	}
	return 0, false
}
