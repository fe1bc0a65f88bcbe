package virsh

import (
	"context"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

var _ hypervisor.Versioner = (*Driver)(nil)

// Version is what virsh version says of the running hypervisor (libvirt 9.0),
// which tells as well that libvirt answers.
func (v *Driver) Version(ctx context.Context, h command.Host) (string, error) {
	const doing = "asking for its version"
	c := v.argv("version")
	c.ReadOnly = true
	r, err := h.Run(ctx, c)
	if err != nil {
		return "", onevolume.Errorf(onevolume.Unreachable, "host %s: %s: %w", h.Name(), doing, err)
	}
	if r.Code != 0 || causeOf(r) == noDaemon {
		return "", failure(h, "of any name", doing, r)
	}
	for line := range strings.Lines(string(r.Stdout)) {
		if word, ok := strings.CutPrefix(strings.TrimSpace(line), "Running hypervisor: "); ok {
			return word, nil
		}
	}
	return "", onevolume.Errorf(onevolume.Internal, "host %s: virsh version does not name the running hypervisor", h.Name())
}
