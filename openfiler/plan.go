package openfiler

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"onevolume"
)

// step is what is to be done about one logical unit or volume.
type step struct {
	onevolume.SyncChange
	unit   Unit
	volume onevolume.Volume  // unless it is to be registered
	set    map[string]string // attributes to write
}

// plan compares what the array says with the inventory, all volumes of it. It
// never takes a volume out, and of a volume that is in use it only reports. Of
// volumes that were made on an array it says nothing: they are exported while
// a host has them, with credentials of their own.
func (a Array) plan(s State, volumes []onevolume.Volume) ([]step, error) {
	p := planner{Array: a, State: s, known: map[place]onevolume.Volume{}, working: map[string]bool{}, paths: map[string]int{}}
	ours := 0
	for _, v := range volumes {
		at := place{string(v.Target.IQN), int(v.Target.LUN)}
		p.known[at] = v
		if a.watches(v) {
			ours++
		}
		if !v.State.Free() {
			p.working[at.target] = true
		}
	}
	if len(s.Units) == 0 && ours > 1 {
		return nil, a.errorf(onevolume.Refused, "it has no logical unit at all, and the inventory has %d volumes of it: nothing is concluded from that", ours).
			WithHint("is its configuration what it was? What is truly gone: onevolume delete VOLUME")
	}
	for _, u := range s.Units {
		p.paths[u.Path]++
	}
	there := map[place]bool{}
	for _, u := range s.Units {
		there[u.place()] = true
		switch v, ok := p.known[u.place()]; {
		case u.made() || v.ArrayID != "":
		case ok:
			p.compare(u, v)
		default:
			p.consider(u)
		}
	}
	for _, v := range volumes {
		if at := (place{string(v.Target.IQN), int(v.Target.LUN)}); a.watches(v) && !there[at] {
			p.vanished(v)
		}
	}
	return p.steps, nil
}

// watches says whether the volume was registered for this array.
func (a Array) watches(v onevolume.Volume) bool { return v.Array == a.Name && v.ArrayID == "" }

type planner struct {
	Array
	State
	known   map[place]onevolume.Volume
	working map[string]bool // targets with a volume that is in use, so that sessions are no surprise
	paths   map[string]int  // how often a device is mapped
	steps   []step
}

func (p *planner) add(what onevolume.SyncVerb, u Unit, v *onevolume.Volume, set map[string]string, format string, args ...any) {
	st := step{unit: u, set: set, SyncChange: onevolume.SyncChange{What: what, Volume: onevolume.NoVolume, Target: u.Target, LUN: u.LUN,
		Text: fmt.Sprintf(format, args...)}}
	if v != nil {
		st.volume, st.Volume, st.Name = *v, v.ID, v.Name
	}
	p.steps = append(p.steps, st)
}

// stranger is an initiator that is logged in to the target although no volume
// of it is in use; empty when there is none.
func (p *planner) stranger(target string) string {
	if list := p.Sessions[target]; len(list) > 0 && !p.working[target] {
		return list[0]
	}
	return ""
}

// consider looks at a unit that is not registered. Snapshots, units that can
// only be read, and targets that are not meant, are none of the inventory's
// business.
func (p *planner) consider(u Unit) {
	if u.snapshot() || u.Mode == "ro" {
		return
	}
	if p.Targets != "" {
		// The configuration has checked the pattern.
		if ok, err := path.Match(strings.ToLower(p.Targets), u.Target); err != nil || !ok {
			return
		}
	}
	why := ""
	switch {
	case !u.Configured:
		why = "it was exported by hand and is in no configuration; map it in the web pages"
	case !u.Exported:
		why = "it is configured and not exported; restart iscsi-target, or unmap it"
	case u.Trouble != "":
		why = u.Trouble
	case p.paths[u.Path] > 1:
		why = fmt.Sprintf("%s is mapped %d times; unmap all but one: two volumes of the same device would overwrite each other", u.Path, p.paths[u.Path])
	case p.stranger(u.Target) != "":
		why = fmt.Sprintf("%s is logged in to it: somebody uses it; log that out, or leave the target out of the array's targets", p.stranger(u.Target))
	}
	if why != "" {
		p.add(onevolume.SyncReported, u, nil, nil, "not registered: %s", why)
		return
	}
	set := map[string]string{"IQN": u.Target, "LUN": fmt.Sprint(u.LUN), "SIZE": fmt.Sprintf("%dB", u.Size),
		"PORTALS": onevolume.JoinPortals(p.Portals), "ARRAY": p.Name}
	addCHAP(set, u.CHAP)
	if u.Serial != "" {
		set["UNIT_SERIAL"] = u.Serial
	}
	p.add(onevolume.SyncRegistered, u, nil, set, "%s, %s", u.Path, u.Size)
}

func addCHAP(set map[string]string, c onevolume.CHAP) {
	set["CHAP_USER"], set["CHAP_SECRET"] = c.User, c.Secret
	set["CHAP_USER_IN"], set["CHAP_SECRET_IN"] = c.UserIn, c.SecretIn
}

// compare looks at a unit that is registered.
func (p *planner) compare(u Unit, v onevolume.Volume) {
	report := func(format string, args ...any) { p.add(onevolume.SyncReported, u, &v, nil, format, args...) }
	switch {
	case v.Array != p.Name:
		report("registered %s, and left alone; to have it looked after, set ARRAY=%q by onevolume update --append", otherArray(v), p.Name)
		return
	case !u.Exported:
		report("configured and not exported at the moment: hosts cannot reach it; restart iscsi-target")
		return
	case u.Serial != "" && v.Identity.Serial != "" && u.Serial != v.Identity.Serial:
		p.replaced(u, v)
		return
	case u.Trouble != "":
		report("%s", u.Trouble)
		return
	case v.State == onevolume.Failed && strings.HasPrefix(v.Reason, p.gone()):
		report("it is there again; if its data is what it was: onevolume recover --status retained (or available, if it is blank) %d", v.ID)
		return
	}
	set, what := p.differences(u, v)
	if len(what) == 0 {
		return
	}
	text := strings.Join(what, "; ")
	switch shrunk := u.Size < v.Size; {
	case !u.Configured:
		report("exported by hand, and differs: %s", text)
	case !v.State.Free():
		report("differs, and is %s: %s; that is corrected once the volume is in no VM and in no ERROR", v.State, text)
	case shrunk && v.State == onevolume.Retained:
		report("the array has made it smaller, and it holds its owner's data: %s", text)
	case p.stranger(u.Target) != "":
		report("differs, and %s is logged in to it: %s", p.stranger(u.Target), text)
	default:
		p.add(onevolume.SyncUpdated, u, &v, set, "%s", text)
	}
}

func otherArray(v onevolume.Volume) string {
	if v.Array == "" {
		return "by hand"
	}
	return fmt.Sprintf("for array %q", v.Array)
}

// differences are the attributes to write, and what to say of them.
func (p *planner) differences(u Unit, v onevolume.Volume) (set map[string]string, what []string) {
	set = map[string]string{}
	differ := func(format string, args ...any) { what = append(what, fmt.Sprintf(format, args...)) }
	if u.Size != v.Size {
		set["SIZE"] = fmt.Sprintf("%dB", u.Size)
		differ("its size is %s and was %s", u.Size.Exact(), v.Size.Exact())
	}
	if !slices.Equal(p.Portals, v.Target.Portals) {
		set["PORTALS"] = onevolume.JoinPortals(p.Portals)
		differ("its portals are %s and were %s", onevolume.JoinPortals(p.Portals), onevolume.JoinPortals(v.Target.Portals))
	}
	if u.Serial != "" && v.Identity.Serial == "" {
		set["UNIT_SERIAL"] = u.Serial
		differ("its serial number is %q and was not known", u.Serial)
	}
	if u.Configured && u.CHAP != v.Target.CHAP {
		addCHAP(set, u.CHAP)
		differ("its CHAP users or secrets are others")
	}
	return set, what
}

// replaced is a volume in whose place another logical unit stands.
func (p *planner) replaced(u Unit, v onevolume.Volume) {
	text := fmt.Sprintf("another logical unit stands there now: its serial number is %q, recorded is %q", u.Serial, v.Identity.Serial)
	if !v.State.Free() {
		p.add(onevolume.SyncReported, u, &v, nil, "%s; it is %s", text, v.State)
		return
	}
	p.add(onevolume.SyncFailed, u, &v, nil, "%s", p.reason(text, v))
}

// vanished is a volume of which the array has nothing any more.
func (p *planner) vanished(v onevolume.Volume) {
	u := Unit{Target: string(v.Target.IQN), LUN: int(v.Target.LUN)}
	text := "the target has no such logical unit any more"
	if !slices.ContainsFunc(p.Units, func(other Unit) bool { return other.Target == u.Target }) {
		text = "its target has no logical unit any more, or is gone"
	}
	switch {
	case v.State.Free():
		p.add(onevolume.SyncFailed, u, &v, nil, "%s", p.reason(text, v))
	case v.State != onevolume.Failed:
		p.add(onevolume.SyncReported, u, &v, nil, "gone from the array and %s in VM %d: %s", v.State, v.Attachment.VM, text)
	}
}

// gone is how each reason begins that a sync gives a volume.
func (p *planner) gone() string { return fmt.Sprintf("Not on array %s: ", p.Name) }

func (p *planner) reason(text string, v onevolume.Volume) string {
	return fmt.Sprintf("%s%s. It was %s. Put it back on the array and onevolume recover it, or onevolume delete it.", p.gone(), text, v.State)
}
