package xen

import (
	"path"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// The numbers of names of disks. The first sixteen have a number that every
// guest understands; those from xvdq on have one of a second kind, which old
// ones ignore (docs/man/xen-vbd-interface of Xen). OpenNebula names its own
// disks from xvda on.
const (
	firstLate = 16 // xvdq
	lastName  = 25 // xvdz
	maxSlots  = 8
)

// index is the number of a name: 0 for xvda; -1 for what is no such name.
func index(target string) int {
	letter, ok := strings.CutPrefix(target, "xvd")
	if !ok || len(letter) != 1 || letter[0] < 'a' || letter[0] > 'z' {
		return -1
	}
	return int(letter[0] - 'a')
}

func target(index int) string { return "xvd" + string(rune('a'+index)) }

// slots lists free names: from xvdp down, since every guest knows these, then
// from xvdz. Their address is the tool to plug with.
func slots(taken []hypervisor.Disk, tool string) (free []hypervisor.Slot) {
	used := map[string]bool{}
	for _, k := range taken {
		used[k.Target] = true
	}
	for _, span := range [][2]int{{firstLate - 1, 0}, {lastName, firstLate}} {
		for i := span[0]; i >= span[1] && len(free) < maxSlots; i-- {
			if !used[target(i)] {
				free = append(free, hypervisor.Slot{Target: target(i), Address: tool})
			}
		}
	}
	return free
}

// checkDisk refuses what would not reach the disk as it is: the tools take a
// comma for the end of the path, and the hotplug scripts of Xen read it with a
// shell.
func checkDisk(d hypervisor.Disk) error {
	if !path.IsAbs(d.Source) || path.Clean(d.Source) != d.Source || command.Quote(d.Source) != d.Source || strings.Contains(d.Source, ",") {
		return onevolume.Errorf(onevolume.Invalid, "disk source %q: not the path of a device that Xen's tools take", d.Source).
			WithHint("letters, digits and /:.@%%+=_- may be in it")
	}
	return nil
}

// plain says whether the tools take a domain's name for exactly itself: they
// take a number for the id of another domain, and a dash for an option.
func plain(name string) bool {
	return name != "" && !strings.HasPrefix(name, "-") && strings.Trim(name, "0123456789") != ""
}
