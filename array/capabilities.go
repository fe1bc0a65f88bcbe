package array

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"onevolume"
)

// Capabilities says what an array can do, and within which bounds.
type Capabilities struct {
	Extend    Extend // how volumes grow
	Snapshots bool   // as Snapshotter
	Clones    bool   // as Cloner

	// CloneNeeds is what must stay for as long as a volume stays that was
	// made from it.
	CloneNeeds CloneNeeds

	// Granule is what sizes are rounded up to, and MinSize the smallest one,
	// in bytes. MaxSize is the largest, and 0 when the array has no bound of
	// its own.
	Granule, MinSize, MaxSize onevolume.Size

	// MaxLabel is the longest label in bytes, of any UTF-8 text; 0 when the
	// array keeps none.
	MaxLabel int

	// CHAP says what credentials belong to.
	CHAP CHAPScope

	// MutualCHAP says that a target can prove itself to the initiator. Where
	// it cannot, a Grant with UserIn is Unsupported.
	MutualCHAP bool

	// Thin says that volumes take up space as they are written to.
	Thin bool

	// Zeroed says that a new volume reads as zeroes, and so does what it gets
	// when it grows. Where it does not, it may show what somebody else wrote:
	// none is made there.
	Zeroed bool

	// PageSize is the most that List gives at once.
	PageSize int
}

// Extend says how a volume grows.
type Extend int

// The ways to grow. The comment says what Extend asks for.
const (
	ExtendNever   Extend = iota // the array cannot
	ExtendOffline               // nobody is logged in, else it is Busy
	ExtendQuiet                 // sessions stay, but no read or write may be on its way: pause the guest
	ExtendOnline                // nothing: initiators look for the new size when they like
)

func (e Extend) String() string {
	return word(int(e), "never", "offline", "quiet", "online")
}

// CloneNeeds is what a volume depends on that was made from another.
type CloneNeeds int

// What must stay. A Delete or DeleteSnapshot of it is Busy.
const (
	NeedsNothing  CloneNeeds = iota
	NeedsSnapshot            // the snapshot that the volume was made from
	NeedsOrigin              // and the volume that was cloned
)

func (n CloneNeeds) String() string {
	return word(int(n), "nothing", "snapshot", "origin")
}

// CHAPScope is what a set of credentials belongs to.
type CHAPScope int

// The scopes. Where credentials belong to the target, each initiator that is
// let in to it could show those of another; user names must be unique on the
// array.
const (
	CHAPPerInitiator CHAPScope = iota // the pair of target and initiator
	CHAPPerTarget                     // the target
)

func (s CHAPScope) String() string {
	return word(int(s), "initiator", "target")
}

func word(i int, words ...string) string {
	if i < 0 || i >= len(words) {
		return fmt.Sprintf("%d?", i)
	}
	return words[i]
}

// Round gives the size that a volume asked for with the given one will have,
// or an Invalid error when there can be none.
func (c Capabilities) Round(size onevolume.Size) (onevolume.Size, error) {
	if size <= 0 {
		return 0, Errorf(Invalid, "a volume of %d bytes cannot be", int64(size))
	}
	size = max(size, c.MinSize)
	if g := c.Granule; g > 1 {
		if size > 1<<62 {
			return 0, Errorf(Invalid, "a volume of %s is too large", size.Exact())
		}
		size = (size + g - 1) / g * g
	}
	if c.MaxSize > 0 && size > c.MaxSize {
		return 0, Errorf(Invalid, "a volume of %s is too large: at most %s", size.Exact(), c.MaxSize.Exact())
	}
	return size, nil
}

// CheckLabel says whether the array can keep the label; its error is Invalid.
func (c Capabilities) CheckLabel(label string) error {
	switch {
	case !utf8.ValidString(label):
		return Errorf(Invalid, "the label %q is not UTF-8", label)
	case strings.ContainsFunc(label, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Errorf(Invalid, "the label %q has control characters", label)
	case c.MaxLabel > 0 && len(label) > c.MaxLabel:
		return Errorf(Invalid, "the label has %d bytes, at most %d are kept", len(label), c.MaxLabel)
	}
	return nil
}

// CutLabel makes a text short enough to be a label, at a letter's end.
func (c Capabilities) CutLabel(label string) string {
	if len(label) <= c.MaxLabel {
		return label
	}
	cut := c.MaxLabel
	for cut > 0 && !utf8.RuneStart(label[cut]) {
		cut--
	}
	return label[:cut]
}
