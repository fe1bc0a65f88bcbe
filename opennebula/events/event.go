// Package events hears what oned's publisher says of VMs and hosts. It is a
// hint only: events get lost when nobody listens, come twice and out of order,
// and their documents may hold whatever a user wrote. So nothing but the key
// is read; what is true is then asked of oned. A lost event costs time.
//
// A Publisher says in the same form what happened to objects of ours.
//
// The formats are those of oned 7.4.0 (HM_MAD, src/hm_mad/one_hm.rb).
package events

import (
	"strconv"
	"strings"
)

// Object is what an event is about.
type Object string

// The objects that are listened for.
const (
	VM   Object = "VM"
	Host Object = "HOST"
)

// Event says that an object has come into a state, by oned's words.
type Event struct {
	Object Object
	ID     int
	State  string // such as ACTIVE or POWEROFF
	LCM    string // of a VM: RUNNING, LCM_INIT …; empty for a host
}

// topics are what the subscriber asks for, by their beginnings. oned sends
// each change of a state under two keys, of which this is one.
var topics = []string{"EVENT STATE VM/", "EVENT STATE HOST/"}

// longestKey bounds what is read of a key: the longest of oned's has 64 bytes.
const longestKey = 256

// Parse reads a key, such as "EVENT STATE VM/ACTIVE/RUNNING/3 " (with the
// space), and says whether it is one. It takes any bytes.
func Parse(key string) (Event, bool) {
	if len(key) > longestKey {
		return Event{}, false
	}
	rest, ok := strings.CutPrefix(key, "EVENT STATE ")
	part := strings.Split(strings.TrimSuffix(rest, " "), "/")
	if !ok || len(part) != 4 {
		return Event{}, false
	}
	id, err := strconv.ParseUint(part[3], 10, 31)
	e := Event{Object: Object(part[0]), ID: int(id), State: part[1], LCM: part[2]}
	switch {
	case err != nil || strconv.Itoa(e.ID) != part[3]: // no sign, no zero in front
		return Event{}, false
	case e.Object == VM && word(e.State) && word(e.LCM):
		return e, true
	case e.Object == Host && word(e.State) && e.LCM == "":
		return e, true
	}
	return Event{}, false
}

// Key is what Parse reads as e.
func (e Event) Key() string {
	return "EVENT STATE " + string(e.Object) + "/" + e.State + "/" + e.LCM + "/" + strconv.Itoa(e.ID) + " "
}

// word says whether s looks like a state of oned's.
func word(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '_' && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
