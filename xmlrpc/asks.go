package xmlrpc

import (
	"fmt"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// What the audit keeps of each method's parameters. They have the right
// types, and nothing else of them has been checked.

func asksAllocate(call wire.Call) asked { return asksTemplate("create", "", call.Text(1)) }

func asksUpdate(call wire.Call) asked {
	before := "replace: "
	if call.Int(3, 0) == 1 {
		before = "append: "
	}
	return asksTemplate("update", before, call.Text(2)).of(volumeID(call))
}

func asksRename(call wire.Call) asked {
	return asks("rename", "to %q", call.Text(2)).of(volumeID(call))
}

// asksChmod writes the bits as an octal number where they are all given, and
// else as letters, with a point for a bit that stays.
func asksChmod(call wire.Call) asked {
	n, letters, whole := 0, make([]byte, 9), true
	for i := range letters {
		bit := call.Int(2+i, -1)
		n = n<<1 | bit&1
		switch bit {
		case 0:
			letters[i] = '-'
		case 1:
			letters[i] = "uma"[i%3]
		default:
			letters[i], whole = '.', false
		}
	}
	if whole {
		return asks("chmod", "%03o", n).of(volumeID(call))
	}
	return asks("chmod", "%s %s %s", letters[:3], letters[3:6], letters[6:]).of(volumeID(call))
}

func asksChown(call wire.Call) asked {
	var words []string
	if uid := call.Int(2, -1); uid >= 0 {
		words = append(words, fmt.Sprintf("user %d", uid))
	}
	if gid := call.Int(3, -1); gid >= 0 {
		words = append(words, fmt.Sprintf("group %d", gid))
	}
	return asks("chown", "to %s", strings.Join(words, ", ")).of(volumeID(call))
}

func asksLock(call wire.Call) asked {
	level := onevolume.LockLevel(call.Int(2, 0))
	if level == 4 {
		return asks("lock", "All").of(volumeID(call))
	}
	return asks("lock", "%s", level).of(volumeID(call))
}

func asksUnlock(call wire.Call) asked { return asks("unlock", "").of(volumeID(call)) }

func asksEnable(call wire.Call) asked {
	if call.Bool(2, true) {
		return asks("enable", "").of(volumeID(call))
	}
	return asks("disable", "").of(volumeID(call))
}

func asksResize(call wire.Call) asked {
	return asks("resize", "to %s", call.Text(2)).of(volumeID(call))
}

func asksDelete(call wire.Call) asked { return asks("delete", "").of(volumeID(call)) }

func asksAttach(call wire.Call) asked {
	a := asks("attach", "a request that cannot be read")
	if pick, err := pickOf(call); err == nil {
		a = asks("attach", "%s", pickText(pick))
	}
	a.vm = onevolume.VMID(call.Int(1, -1))
	return a.of(onevolume.VolumeID(call.Int(2, -1)))
}

func asksDetach(call wire.Call) asked {
	a := asks("detach", "%s", strings.TrimSpace(call.Text(3)))
	a.vm = onevolume.VMID(call.Int(1, -1))
	return a.of(onevolume.VolumeID(call.Int(2, -1)))
}

// pickText says which volume is meant.
func pickText(p onevolume.Pick) string {
	var words []string
	if p.Volume != "" {
		words = append(words, "volume "+p.Volume)
	}
	switch {
	case p.Size > 0 && p.Exact:
		words = append(words, "of exactly "+p.Size.Exact())
	case p.Size > 0:
		words = append(words, "of at least "+p.Size.String())
	}
	if p.Array != "" {
		words = append(words, "on array "+p.Array)
	}
	return strings.Join(words, " ")
}

// asksReserve names the operation that a client wants to run by itself.
func asksReserve(call wire.Call) asked {
	var d requestDocument
	if err := unmarshal(call.Text(1), &d); err != nil {
		return asks("reserve", "a request that cannot be read")
	}
	r := d.request()
	a := asks(short(string(r.Kind), "reserve"), "%s", pickText(r.Pick))
	if r.Kind == onevolume.Detach {
		a.text += fmt.Sprintf(" FORMAT=%q", r.Leave.Word())
	}
	if id, err := strconv.Atoi(r.Pick.Volume); err == nil && id >= 0 {
		a.volume = onevolume.VolumeID(id)
	}
	a.vm, a.minor = r.VM.ID, r.DryRun
	if r.DryRun {
		a.text = "dry run: " + a.text
	}
	return a
}

// asksJournal leaves out all but who may not: a journal has enough lines of
// its own.
func asksJournal(call wire.Call) asked {
	a := asksOperation("journal")(call)
	a.minor = true
	return a
}

func asksOperation(action string) func(wire.Call) asked {
	return func(call wire.Call) asked {
		a := asks(action, "")
		a.operation = max(call.Int(1, 0), 0)
		return a
	}
}

func asksRecover(call wire.Call) asked {
	var d recoveryDocument
	if err := unmarshal(call.Text(2), &d); err != nil {
		return asks("recover", "a request that cannot be read").of(volumeID(call))
	}
	r := d.recovery()
	a := asks("recover", "to %s", short(string(r.State), "?")).of(volumeID(call))
	if r.State == onevolume.Attached {
		a.vm = r.Attachment.VM
		a.text += fmt.Sprintf(" on host %s as %s", r.Attachment.Host, r.Attachment.Device)
	}
	if r.Reason != "" {
		a.text += ": " + r.Reason
	}
	return a
}

func asksLift(wire.Call) asked { return asks("lift", "the hold on the inventory") }

// short is s where it is short enough for a column of the audit.
func short(s, otherwise string) string {
	if s == "" || len(s) > 16 {
		return otherwise
	}
	return s
}
