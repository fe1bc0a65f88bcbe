package virsh

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// domainsScript prints the state and the XML of every domain. $1 is the URI,
// $2 says who asks libvirt, $3 of which domains virsh list shall tell. Two virsh processes do for all domains: a process
// costs more than what it asks, and UUIDs need no quotes in virsh's own
// language. A domain that goes meanwhile costs a line on standard error.
const domainsScript = `
[ "$2" = root ] || SUDO=
all=$($SUDO virsh -c "$1" -q list "$3" --uuid </dev/null) || exit
chain=
for uuid in $all; do
	chain="$chain domstate $uuid --reason; dumpxml $uuid;"
done
[ -z "$chain" ] || $SUDO virsh -c "$1" -q "$chain" </dev/null
echo end
`

// Domains asks for all domains, in one script.
func (v *Driver) Domains(ctx context.Context, h command.Host) ([]hypervisor.Domain, error) {
	return v.domains(ctx, h, "--all")
}

// domains asks for those of which virsh list tells under an option.
func (v *Driver) domains(ctx context.Context, h command.Host, which string) ([]hypervisor.Domain, error) {
	who := "self"
	if v.o.Sudo {
		who = "root"
	}
	c := command.Cmd{
		Name: "all domains", Script: domainsScript, Args: []string{v.o.URI, who, which},
		Timeout: v.o.Timeout, ReadOnly: true,
	}
	const doing = "listing the domains"
	r, err := h.Run(ctx, c)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Unreachable, "host %s: %s: %w", h.Name(), doing, err)
	}
	// A libvirtd that went away in the middle leaves a list that looks whole.
	if r.Code != 0 || causeOf(r) == noDaemon {
		return nil, failure(h, "of any name", doing, r)
	}
	list, err := parseDomains(r.Stdout)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Internal, "host %s: %s: %w", h.Name(), doing, err)
	}
	return list, nil
}

// domainEnd is the last line of a domain's XML, and the end of the one before.
const domainEnd = "\n</domain>\n"

// parseDomains reads what domainsScript printed.
func parseDomains(out []byte) ([]hypervisor.Domain, error) {
	out, whole := bytes.CutSuffix(out, []byte("end\n"))
	if !whole {
		return nil, fmt.Errorf("the output breaks off")
	}
	list := []hypervisor.Domain{}
	for len(bytes.TrimSpace(out)) > 0 {
		n := bytes.Index(out, []byte(domainEnd))
		if n < 0 {
			// The state of a domain that was gone before its XML was asked for.
			if bytes.Contains(out, []byte("<domain")) {
				return nil, fmt.Errorf("domain XML without an end")
			}
			return list, nil
		}
		one, err := parseLook(out[:n+len(domainEnd)])
		if err != nil {
			return nil, err
		}
		one.Slots, one.State = nil, strings.TrimSpace(one.State)
		list = append(list, one.Domain)
		out = out[n+len(domainEnd):]
	}
	return list, nil
}
