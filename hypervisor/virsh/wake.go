package virsh

import (
	"bytes"
	"context"
	"regexp"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

var _ hypervisor.Waker = (*Driver)(nil)

// stopped is what virsh domstate --reason says of a domain whose disk had an
// error under error_policy stop (libvirt 9.0, tools/virsh-domain-monitor.c).
const stopped = "paused (I/O error)"

// diskError is a line of virsh domblkerror: "sdiv: unspecified error", "sda:
// no space" (libvirt 9.0). Without errors it prints none with -q.
var diskError = regexp.MustCompile(`(?m)^([a-z]+): (?:unspecified error|no space)\r?$`)

// Paused asks for the paused ones alone: of a host where none is, that costs
// one virsh.
func (v *Driver) Paused(ctx context.Context, h command.Host) ([]hypervisor.Domain, error) {
	return v.domains(ctx, h, "--state-paused")
}

// Failing asks for the disks' errors, the state and the XML in one virsh.
func (v *Driver) Failing(ctx context.Context, h command.Host, vm onevolume.VM) (hypervisor.Domain, []string, error) {
	l, err := v.find(ctx, h, vm)
	if err != nil || !l.Stopped {
		return l.Domain, nil, err
	}
	const doing = "asking which of its disks failed"
	c := v.chain(append([]string{"domblkerror " + l.UUID}, look(l.UUID)...)...)
	c.ReadOnly = true
	r, err := h.Run(ctx, c)
	if err != nil {
		return l.Domain, nil, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", l.Name, h.Name(), doing, err)
	}
	now, err := parseLook(r.Stdout)
	if err != nil {
		return l.Domain, nil, failure(h, l.Name, doing, r)
	}
	if !now.Stopped {
		return now.Domain, nil, nil
	}
	return now.Domain, parseErrors(r.Stdout), nil
}

// parseErrors reads what domblkerror printed before the domain's XML.
func parseErrors(out []byte) (targets []string) {
	if i := bytes.Index(out, []byte("<domain")); i >= 0 {
		out = out[:i]
	}
	for _, m := range diskError.FindAllSubmatch(out, -1) {
		targets = append(targets, string(m[1]))
	}
	return targets
}

// Wake resumes the domain and looks what came of it.
func (v *Driver) Wake(ctx context.Context, h command.Host, vm onevolume.VM) error {
	l, err := v.find(ctx, h, vm)
	if err != nil {
		return err
	}
	const doing = "resuming it"
	r, err := h.Run(ctx, v.chain(append([]string{"resume " + l.UUID}, look(l.UUID)...)...))
	if err != nil {
		return onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", l.Name, h.Name(), doing, err)
	}
	now, err := parseLook(r.Stdout)
	switch {
	case err != nil:
		return failure(h, l.Name, doing, r)
	case strings.HasPrefix(now.State, "paused"):
		return onevolume.Errorf(onevolume.Refused, "domain %s on host %s: it was resumed, and is %s", l.Name, h.Name(), strings.TrimSpace(now.State)).
			WithHint("see what the host and QEMU say of it: dmesg, /var/log/libvirt/qemu/%s.log", l.Name)
	case !now.Running:
		return onevolume.Errorf(onevolume.NotFound, "domain %s on host %s has ended meanwhile", l.Name, h.Name())
	}
	return nil
}
