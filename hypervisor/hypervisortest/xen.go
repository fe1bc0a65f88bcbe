package hypervisortest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume/command"
	"onevolume/hypervisor"
)

// NewXenMemory gives a host with Xen, without domains and devices; tool is its
// toolstack, xl or xm. A domain's State may be running, paused, or "shut off",
// which Xen shows as shut down; a guest that has let go too late for the tool
// leaves the disk behind in xenstore, closed.
func NewXenMemory(t testing.TB, tool string) *Memory {
	m := NewMemory(t)
	m.tool = tool
	return m
}

// xen answers as Xen 4.17 does with xl; for xm the texts are those of its
// source (Xen 4.2). The mutex is the caller's.
func (m *Memory) xen(c command.Cmd) (command.Result, bool) {
	switch {
	case m.tool == "":
		return command.Result{}, false
	case c.Name == "xen-look":
		return m.xenLook(c.Args), true
	case len(c.Argv) == 0 || c.Argv[0] != "xl" && c.Argv[0] != "xm":
		return command.Result{}, false
	case c.Argv[0] != m.tool || !c.Sudo:
		m.t.Errorf("this host has %s, for root alone: %s", m.tool, c)
	}
	if m.down != "" {
		return command.Result{Stderr: []byte(m.down), Code: 1}, true
	}
	fail := func(xl, xm string, args ...any) (command.Result, bool) {
		if m.tool == "xm" {
			xl = xm
		}
		return command.Result{Stderr: fmt.Appendf(nil, xl, args...), Code: 1}, true
	}
	if len(c.Argv) < 3 {
		m.t.Errorf("this host does not know %s", c)
		return fail("command not implemented\n", "Error: Unknown command\n")
	}
	// xl wants the option before the words, xm after them.
	argv, force := slices.Clone(c.Argv), false
	switch {
	case m.tool == "xl" && argv[2] == "--force":
		argv, force = slices.Delete(argv, 2, 3), true
	case m.tool == "xm" && len(argv) == 5 && argv[4] == "--force":
		argv, force = argv[:4], true
	}
	// Both tools know domains by name and by id, not by UUID.
	i := slices.IndexFunc(m.domains, func(d *Domain) bool { return d.Name == argv[2] })
	if i < 0 {
		return fail("%[1]s is an invalid domain identifier\n", "Error: Domain '%[1]s' does not exist.\n", argv[2])
	}
	switch args := argv[3:]; {
	case argv[1] == "block-attach" && len(args) == 3:
		return m.blockAttach(m.domains[i], i+1, args, fail)
	case argv[1] == "block-detach" && len(args) == 1:
		return m.blockDetach(m.domains[i], i+1, args[0], force, fail)
	}
	m.t.Errorf("this host does not know %s", c)
	return fail("command not implemented\n", "Error: Unknown command\n")
}

type failer func(xl, xm string, args ...any) (command.Result, bool)

// blockAttach has the arguments phy:SOURCE TARGET MODE.
func (m *Memory) blockAttach(d *Domain, id int, args []string, fail failer) (command.Result, bool) {
	source, ok := strings.CutPrefix(args[0], "phy:")
	if !ok || strings.ContainsAny(args[0], ", \t") || args[2] != "w" && args[2] != "r" {
		m.t.Errorf("no disk can be attached by %q", args)
	}
	number := vdev(args[1])
	if slices.ContainsFunc(d.Disks, func(k Disk) bool { return k.Target == args[1] }) {
		return fail("libxl: error: libxl_disk.c:343:device_disk_add: Domain %[1]d:device already exists in xenstore\n"+
			"libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device\nlibxl_device_disk_add failed.\n",
			"Error: Device %[2]s (%[3]d, vbd) is already connected.\n", id, args[1], number)
	}
	if _, there := m.lookup(source); !there {
		return fail("libxl: error: libxl_device.c:455:libxl__device_disk_set_backend: Disk vdev=%[1]s failed to stat: %[2]s: No such file or directory\n"+
			"libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device\nlibxl_device_disk_add failed.\n",
			"Error: Device %[3]d (vbd) could not be connected. %[2]s does not exist.\n", args[1], source, number)
	}
	if o := m.user(source); o != nil && o != d {
		return fail(xenTaken, "Error: Device %[3]d (vbd) could not be connected.\nDevice %[2]s is mounted in a guest domain,\nand so cannot be mounted now.\n",
			id, source, number)
	}
	d.Disks = append(d.Disks, Disk{Disk: hypervisor.Disk{Source: source, Target: args[1], Bus: "xen", ReadOnly: args[2] == "r"}})
	return command.Result{}, true
}

// xenTaken is what xl says of a source that another domain has.
const xenTaken = "libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: /etc/xen/scripts/block add [%[3]d] exited with error status 1\n" +
	"libxl: error: libxl_device.c:1347:device_hotplug_child_death_cb: script: Device %[2]s is mounted in a guest domain,\nand so cannot be mounted now.\n" +
	"libxl: error: libxl_device.c:1486:device_addrm_aocomplete: unable to add device\nlibxl_device_disk_add failed.\n"

// blockDetach asks for a disk, or takes it.
func (m *Memory) blockDetach(d *Domain, id int, target string, force bool, fail failer) (command.Result, bool) {
	i := slices.IndexFunc(d.Disks, func(k Disk) bool { return k.Target == target })
	if i < 0 {
		return fail("libxl: error: libxl_disk.c:516:libxl__disk_from_xenstore: disk /libxl/%[1]d/device/vbd/%[3]d does not exist (no backend path\n"+
			"Error: Device %[2]s not connected.\n", "Error: Device %[2]s not connected\n", id, target, vdev(target))
	}
	if !force && !d.Disks[i].closed {
		d.ask(i)
	}
	if !force && !d.Disks[i].closed {
		return fail(xenInUse, "Error: Device %[3]d (vbd) could not be disconnected. \n", id, target, vdev(target))
	}
	d.Disks = slices.Delete(d.Disks, i, i+1)
	return command.Result{}, true
}

// xenInUse is what xl says when the guest does not let go in ten seconds.
const xenInUse = "libxl: error: libxl_device.c:1181:device_backend_callback: Domain %[1]d:unable to remove device with path /local/domain/0/backend/vbd/%[1]d/%[3]d\n" +
	"libxl: error: libxl_device.c:1481:device_addrm_aocomplete: Domain %[1]d:Unable to remove vbd with id %[3]d\nlibxl_device_disk_safe_remove failed.\n"

// vdev is the number of a disk's name (docs/man/xen-vbd-interface of Xen).
func vdev(target string) int {
	n := int(target[len(target)-1] - 'a')
	if n < 16 {
		return 202<<8 | n<<4
	}
	return 1<<28 | n<<8
}

// xenLook answers the driver's script: the list, xenstore, the kernel's
// backends and the devices of paths.
func (m *Memory) xenLook(args []string) command.Result {
	if len(args) == 0 || args[0] != "" && args[0] != m.tool {
		m.t.Errorf("the host is not looked at as expected: %q", args)
	}
	if m.down != "" {
		return command.Result{Stderr: []byte(m.down), Code: 1}
	}
	var list, store, backends, devices strings.Builder
	for i, d := range m.domains {
		id := i + 1
		d.seen()
		state := "-b----"
		switch {
		case !d.running():
			state = "---s--"
		case strings.HasPrefix(d.State, "paused"):
			state = "--p---"
		}
		fmt.Fprintf(&list, "%-40s %5d %5d %5d     %-6s %8.1f\n", d.Name, id, 128, 1, state, 4.2)
		fmt.Fprintf(&store, "/local/domain/%d = \"\"\n/local/domain/%[1]d/vm = \"/vm/%s\"\n/local/domain/%[1]d/name = \"%s\"\n", id, d.UUID, d.Name)
		for _, k := range d.Disks {
			number, _ := m.lookup(k.Source)
			state, mode := 4, "w"
			switch {
			case k.closed:
				state = 6
			case k.asked > 0:
				state = 5
			}
			if k.ReadOnly {
				mode = "r"
			}
			at := fmt.Sprintf("/local/domain/0/backend/vbd/%d/%d", id, vdev(k.Target))
			for _, kv := range [][2]string{{"frontend", "/local/domain/" + fmt.Sprint(id)}, {"params", k.Source}, {"dev", k.Target}, {"mode", mode},
				{"state", fmt.Sprint(state)}, {"physical-device", cmp.Or(number, "8:ff")}} {
				fmt.Fprintf(&store, "%s/%s = \"%s\"\n", at, kv[0], kv[1])
			}
			if !k.closed {
				fmt.Fprintf(&backends, "vbd-%d-%d %s\n", id, vdev(k.Target), cmp.Or(number, "8:ff"))
			}
		}
	}
	for _, p := range args[1:] {
		if number, there := m.lookup(p); there {
			fmt.Fprintf(&devices, "%s %s\n", number, p)
		}
	}
	const head = "Name                                        ID   Mem VCPUs\tState\tTime(s)\n" +
		"Domain-0                                     0   768     1     r-----     177.1\n"
	return command.Result{Stdout: []byte("tool " + m.tool + "\n" + head + list.String() + "-- store\n/local/domain/0/name = \"Domain-0\"\n" + store.String() +
		"-- backends\n" + backends.String() + "-- devices\n" + devices.String() + "-- end\n")}
}
