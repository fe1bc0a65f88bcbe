package iscsitest

import (
	"fmt"
	"strings"

	"onevolume/blockdev"
	"onevolume/command"
)

// wipe answers the scripts of package blockdev.
func (h *Host) wipe(c command.Cmd) command.Result {
	link, name, number, size := c.Args[0], c.Args[1], c.Args[2], c.Args[3]
	var found *disk
	for _, s := range h.sessions {
		for lun, d := range s.disks {
			if h.link(s, lun) == link {
				found = d
			}
		}
	}
	fail := func(text string) command.Result {
		return command.Result{Code: 1, Stdout: []byte("failed " + text + "\n")}
	}
	switch {
	case found == nil:
		return fail("vanished /dev/" + name + " is not there")
	case found.name != name || found.number() != number || fmt.Sprint(int64(found.seen.Size)) != size:
		return fail("other " + link + " is not /dev/" + name)
	case found.seen.ReadOnly:
		return fail("readonly /dev/" + name + " is read-only")
	case len(h.State.Holders[name]) > 0:
		return fail("busy /dev/" + name + " is in use on the host")
	case c.Name == blockdev.NameFormat:
		found.unit.Content = c.Args[4]
		return command.Result{Stdout: []byte("end\n")}
	}
	half := int64(found.seen.Size) / 2
	var out strings.Builder
	fmt.Fprintf(&out, "phase write\ndone %d\n", half)
	if h.State.Wipe != "" {
		fmt.Fprintf(&out, "failed %s\n", h.State.Wipe)
		return command.Result{Code: 1, Stdout: []byte(out.String())}
	}
	found.unit.Content = ""
	fmt.Fprintf(&out, "done %d\nphase read\ndone %d\ndone %d\nend\n", 2*half, half, 2*half)
	return command.Result{Stdout: []byte(out.String())}
}
