package workflow

import (
	"context"

	"onevolume"
	"onevolume/hypervisor"
)

// Inspection is what a host says of itself.
type Inspection struct {
	Initiator string // its iSCSI name; empty when that could not be read
	// Hypervisor is the one that runs there, with its version, such as "QEMU
	// 7.2.22"; empty where the driver does not tell.
	Hypervisor string
}

// Inspect asks a host what it says of itself, and whether its initiator and
// the VM's hypervisor answer. It changes nothing. Codes: Unreachable, Refused,
// Invalid (no driver for the VM).
func (e *Engine) Inspect(ctx context.Context, vm onevolume.VM, host string) (Inspection, error) {
	driver, err := e.Driver(vm)
	if err != nil {
		return Inspection{}, err
	}
	r := e.newRun(driver)
	defer r.close()
	r.unlocked = true
	h, err := r.on(ctx, host)
	if err != nil {
		return Inspection{}, err
	}
	facts, err := r.Initiator.Survey(ctx, h)
	if err != nil {
		return Inspection{}, err
	}
	in := Inspection{Initiator: facts.Initiator}
	if v, tells := driver.(hypervisor.Versioner); tells {
		in.Hypervisor, err = v.Version(ctx, h)
	}
	return in, hostError(err)
}

// SameName is the error of two hosts that have the same initiator name, nil of
// others.
func SameName(from, to string, a, b Inspection) error {
	return differ(from, to, a.Initiator, b.Initiator)
}
