// Package virsh plugs disks into KVM domains through libvirt's virsh on the
// host. Every answer is judged by the live domain's XML and never by virsh's
// exit status alone: virsh exits 1 for whatever went wrong, and detach-disk
// exits 0 when the guest did not let go (libvirt 9.0).
//
// A virsh process costs more than what it asks libvirt, so a change and the
// look at what came of it are one process: virsh takes several commands in
// one argument, with semicolons between them, goes on after one that failed,
// and exits with the status of the last.
package virsh

import (
	"cmp"
	"context"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// DefaultURI is the libvirt that OpenNebula's hosts run.
const DefaultURI = "qemu:///system"

// Options are what may differ from one cloud to another. The zero value is
// right for hosts that OpenNebula's packages set up.
type Options struct {
	URI     string        // of libvirt, as the host sees it; empty means DefaultURI
	Sudo    bool          // run virsh as root; OpenNebula's users need not, they are in the group libvirt
	Timeout time.Duration // of each virsh process; zero means command.DefaultTimeout
}

// Driver is the hypervisor driver. It keeps no state.
type Driver struct{ o Options }

var _ hypervisor.Driver = (*Driver)(nil)

// New makes a driver.
func New(o Options) *Driver {
	o.URI = cmp.Or(o.URI, DefaultURI)
	return &Driver{o}
}

// Name is "virsh".
func (v *Driver) Name() string { return "virsh" }

// Can says that disks carry serials. A guest has no say in the unplugging of
// the disks that Plug makes: QEMU takes a disk from a virtio-scsi controller
// at once, even when the guest has it open or is paused (seen with QEMU 7.2).
func (v *Driver) Can() hypervisor.Capabilities {
	return hypervisor.Capabilities{Serial: true, IOTune: true}
}

// argv is a virsh command of its words, which no shell and no parser sees.
func (v *Driver) argv(words ...string) command.Cmd {
	return command.Cmd{
		Argv:    append([]string{"virsh", "-c", v.o.URI, "-q"}, words...),
		Sudo:    v.o.Sudo,
		Timeout: v.o.Timeout,
	}
}

// chain is one virsh process that runs the commands one after the other. Only
// plain words may stand in them, for virsh splits the text again.
func (v *Driver) chain(commands ...string) command.Cmd {
	return v.argv(strings.Join(commands, "; "))
}

// plain says whether virsh reads a word of a chain as exactly itself. Its
// lexer knows blanks, semicolons, quotes, backslashes and # (tools/vsh.c);
// all these are among what command.Quote puts in quotes.
func plain(word string) bool {
	return command.Quote(word) == word && !strings.HasPrefix(word, "-")
}

// look is the end of every chain: whether libvirt is at work on the domain,
// the domain's state, and its live XML.
func look(domain string) []string {
	return []string{"domcontrol " + domain, "domstate " + domain + " --reason", "dumpxml " + domain}
}

// lookCommand asks for a domain by UUID or name.
func (v *Driver) lookCommand(domain string) command.Cmd {
	c := v.argv("dumpxml", "--domain", domain)
	if plain(domain) {
		c = v.chain(look(domain)...)
	}
	c.ReadOnly = true
	return c
}

// Domain looks up the VM's deploy id, then the name that OpenNebula gives
// domains; a deploy id may be stale, and imported VMs have foreign names.
func (v *Driver) Domain(ctx context.Context, h command.Host, vm onevolume.VM) (hypervisor.Domain, error) {
	l, err := v.find(ctx, h, vm)
	return l.Domain, err
}

// find is Domain with all that the XML shows.
func (v *Driver) find(ctx context.Context, h command.Host, vm onevolume.VM) (live, error) {
	var err error
	for _, name := range names(vm) {
		var l live
		if l, err = v.look(ctx, h, name); err == nil || onevolume.CodeOf(err) != onevolume.NotFound {
			return l, err
		}
	}
	return live{}, err
}

// look asks for one domain by UUID or name.
func (v *Driver) look(ctx context.Context, h command.Host, name string) (live, error) {
	c := v.lookCommand(name)
	r, err := h.Run(ctx, c)
	if err != nil {
		return live{}, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: looking it up: %w", name, h.Name(), err)
	}
	l, err := parseLook(r.Stdout)
	switch {
	case err != nil:
		return l, failure(h, name, "looking it up", r)
	case l.UUID != name && l.Name != name:
		// virsh takes a number for the id of a running domain.
		return live{}, missing(h, name)
	}
	return l, nil
}

// names are what a VM's domain may be called, the likeliest first.
func names(vm onevolume.VM) []string {
	own := ownName(vm.ID)
	if vm.DeployID == "" || vm.DeployID == own {
		return []string{own}
	}
	return []string{vm.DeployID, own}
}
