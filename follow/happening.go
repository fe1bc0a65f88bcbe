package follow

import "strings"

// Happening is something that happens to a VM with a volume, as oned goes
// through it.
type Happening struct {
	Name string
	// From is where the volume is on record before.
	From string
	Way  []Point
	// Array says that the volume was made on an array.
	Array bool
	Note  string // what else is to be known; may be empty
}

// Point is a state that oned passes, or rests in.
type Point struct {
	State, LCM string
	Host       string // of the VM
	Lost       bool   // oned has lost sight of host a
	Gone       bool   // oned has no such VM
}

// Happenings lists what can happen to a VM (OpenNebula 7.4, of which the
// sequences were recorded or read). The VM was on host a.
func Happenings() []Happening {
	saved := "The saved VM names the disk: host %s stays logged in, since it cannot be restored without. "
	same := strings.ReplaceAll(saved, "%s", "a")
	return []Happening{
		{"poweroff, or the guest shuts down", "a", way("a", "SHUTDOWN_POWEROFF", "POWEROFF"), false, ""},
		{"resume from poweroff, same host", "", way("a", "BOOT_POWEROFF", "RUNNING"), false, ""},
		{"migrate while powered off, then resume", "", join(way("b", "PROLOG_MIGRATE_POWEROFF", "POWEROFF"), way("b", "BOOT_POWEROFF", "RUNNING")), false, ""},
		{"poweroff and resume between two looks", "a", way("a", "RUNNING"), false, "The new history record tells that it booted: the domain is looked at."},
		{"reboot", "a", way("a", "RUNNING"), false, "The domain stays, and the disk in it; oned tells of no change."},
		{"suspend", "a", way("a", "SAVE_SUSPEND", "SUSPENDED"), false, same},
		{"resume from suspend", "a", way("a", "BOOT_SUSPENDED", "RUNNING"), false, ""},
		{"stop", "a", way("a", "SAVE_STOP", "EPILOG_STOP", "STOPPED"), false, same + "It can be resumed there alone."},
		{"resume from stop, same host", "a", join(way("", "PENDING"), way("a", "PROLOG_RESUME", "BOOT_STOPPED", "RUNNING")), false, ""},
		{"undeploy", "a", way("a", "SHUTDOWN_UNDEPLOY", "EPILOG_UNDEPLOY", "UNDEPLOYED"), false, ""},
		{"resume from undeploy, other host", "", join(way("", "PENDING"), way("b", "PROLOG_UNDEPLOY", "BOOT_UNDEPLOY", "RUNNING")), false, ""},
		{"live migration", "a", way("b", "MIGRATE", "RUNNING"), false, "OpenNebula's own script fails, and the VM stays on a, unless b was logged in before."},
		{"live migration that fails", "a", join(way("b", "MIGRATE"), way("a", "RUNNING")), false, ""},
		{"cold migration", "a", way("b", "SAVE_MIGRATE", "PROLOG_MIGRATE", "BOOT_MIGRATE", "RUNNING"), false, "The restore fails unless b was logged in before: power the VM off and migrate it then."},
		{"migration by power-off", "a", way("b", "SAVE_MIGRATE", "PROLOG_MIGRATE", "BOOT", "RUNNING"), false, ""},
		{"terminate, also hard", "a", way("a", "SHUTDOWN", "EPILOG", "DONE"), false, "By the volume's policy."},
		{"terminate while powered off", "", way("a", "EPILOG", "DONE"), false, "By the volume's policy."},
		{"a driver fails, then recover", "a", join(way("b", "BOOT_MIGRATE_FAILURE"), way("b", "BOOT_MIGRATE", "RUNNING")), false, "While it waits for an administrator, nothing is done."},
		{"recreate", "a", join(way("a", "CLEANUP_RESUBMIT"), way("", "PENDING"), way("b", "PROLOG", "BOOT", "RUNNING")), false, ""},
		{"the host fails, and comes back", "a", join(lose("a", "UNKNOWN"), way("a", "RUNNING")), false, ""},
		{"the host fails, and the VM is started elsewhere", "a", join(lose("a", "UNKNOWN"), lose("b", "PROLOG_MIGRATE_UNKNOWN", "BOOT", "RUNNING"), way("b", "RUNNING")), false, "Refused until oned sees host a again, or an administrator says that it is off (`onevolume fence`); then b gets it."},
		{"the same, with a volume that was made on an array", "a", join(lose("a", "UNKNOWN"), lose("b", "PROLOG_MIGRATE_UNKNOWN", "BOOT", "RUNNING")), true, "The array takes host a's right away and cuts its sessions, and shows none any more, before b is let in."},
		{"the VM ends while its host is lost", "a", join(lose("a", "DONE"), way("a", "DONE")), false, "Nobody else gets the volume while a domain may write to it."},
		{"the VM was terminated while nobody looked", "a", way("a", "DONE"), false, "By the volume's policy."},
		{"oned has no such VM any more", "a", []Point{{Gone: true}}, false, "Kept whatever the policy is: oned may have been restored from an old backup."},
	}
}

// way goes through states on one host; a word that is a state of its own
// stands for that, any other is an LCM state of ACTIVE.
func way(host string, words ...string) (list []Point) {
	for _, w := range words {
		switch w {
		case "POWEROFF", "UNDEPLOYED", "SUSPENDED", "STOPPED", "DONE", "PENDING":
			list = append(list, Point{State: w, LCM: "LCM_INIT", Host: host})
		default:
			list = append(list, Point{State: "ACTIVE", LCM: w, Host: host})
		}
	}
	return list
}

// lose does so while oned has lost sight of host a.
func lose(host string, words ...string) []Point {
	list := way(host, words...)
	for i := range list {
		list[i].Lost = true
	}
	return list
}

func join(ways ...[]Point) (list []Point) {
	for _, w := range ways {
		list = append(list, w...)
	}
	return list
}

// VM is what oned says at the point.
func (p Point) VM() VM {
	if p.Gone {
		return VM{Stage: Gone}
	}
	return VM{Stage: Of(p.State, p.LCM), Host: p.Host}
}

// Word is the point as people know it.
func (p Point) Word() string {
	switch {
	case p.Gone:
		return "no such VM"
	case p.State == "ACTIVE":
		return p.LCM
	}
	return p.State
}

// After is what is on record when the action has succeeded. Ended says that
// the volume is in no VM any more.
func After(r Record, vm VM, a Action) (next Record, ended bool) {
	switch a {
	case LogOut, Fence:
		return Record{Cuts: r.Cuts}, false
	case Plug:
		return Record{Host: vm.Host, Cuts: r.Cuts}, false
	case End, Keep:
		return Record{}, true
	}
	return r, false
}
