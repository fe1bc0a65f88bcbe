package onevolume

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Candidate is an array on which a volume might be made.
type Candidate struct {
	Space
	// Why it is out of the question; empty for those that may be tried.
	Why string
}

// Choose says on which arrays a volume may be made for somebody who attaches
// by size and finds none: those that may be tried come first, the one with
// most free space before the others. What is not known of an array speaks
// against it: unknown space is not free space.
func Choose(who Caller, list []Space, p Pick) []Candidate {
	return choose(who, list, wish{Pick: p, byItself: true})
}

// ChooseFor does so for a volume that is to be created, of at least the size,
// and of the type unless that is nil. With an array named, no other will do.
func ChooseFor(who Caller, list []Space, size Size, array string, t *VolumeType) []Candidate {
	return choose(who, list, wish{Pick: Pick{Size: size, Array: array}, of: t})
}

// wish is what is to be made.
type wish struct {
	Pick
	byItself bool // nobody has asked that one be made
	of       *VolumeType
}

func choose(who Caller, list []Space, w wish) []Candidate {
	found := make([]Candidate, len(list))
	for i, s := range list {
		found[i] = Candidate{s, against(who, s, w)}
	}
	slices.SortStableFunc(found, func(a, b Candidate) int {
		if fits := (b.Why == ""); fits != (a.Why == "") {
			if fits {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(b.Free, a.Free), strings.Compare(a.Array, b.Array))
	})
	return found
}

// against says what speaks against an array, or nothing.
func against(who Caller, s Space, p wish) string {
	room, known := s.Room()
	switch {
	case p.Array != "" && p.Array != s.Array:
		return "another array was asked for"
	case p.of != nil && len(p.of.Arrays) > 0 && !slices.Contains(p.of.Arrays, s.Array):
		return fmt.Sprintf("type %s is not made there", p.of.Name)
	case p.byItself && !s.AutoCreate:
		return "its configuration does not say auto_create"
	case !s.Users && !who.IsAdmin():
		return "it makes volumes for oneadmin's group alone"
	case p.Exact:
		return "none is made for an exact size"
	case s.Error != "" || s.Time.IsZero():
		return "it did not answer last"
	case p.of != nil && s.lacks(p.of.Needs) != "":
		return fmt.Sprintf("type %s needs %s, which it does not have", p.of.Name, s.lacks(p.of.Needs))
	case s.Trouble != "":
		return s.Trouble // also when what is to stay free is used up
	case s.Free < 0:
		return "its free space is unknown"
	case !known:
		return "how much more may be provisioned there is unknown"
	case room < p.Size:
		return fmt.Sprintf("only %s more may be provisioned there", room)
	}
	return ""
}

// lacks is the first of the abilities that the array does not have.
func (s Space) lacks(needs []string) string {
	for _, n := range needs {
		if !slices.Contains(s.Has, n) {
			return n
		}
	}
	return ""
}

// Explain tells of each candidate its free space, and why it was or was not
// taken, in one sentence each.
func Explain(list []Candidate) string { return strings.Join(Reasons(list), " ") }

// Reasons are the sentences of Explain.
func Reasons(list []Candidate) []string {
	text := make([]string, len(list))
	for i, c := range list {
		free := "unknown"
		if c.Free >= 0 {
			free = c.Free.String()
		}
		why := c.Why
		switch {
		case why == "" && i == 0:
			why = "taken, as the one with most free space"
			if len(list) == 1 || list[1].Why != "" {
				why = "taken"
			}
		case why == "":
			why = "it would be the next"
		}
		text[i] = fmt.Sprintf("Array %s (free: %s): %s.", c.Array, free, strings.TrimSuffix(why, "."))
	}
	return text
}
