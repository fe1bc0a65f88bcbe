package onevolume

import (
	"errors"
	"fmt"
)

// Code says what kind of failure an Error is. The list is closed: each code
// has one OpenNebula error code (OnedCode) and one meaning to callers.
type Code int

// The codes. The comment says what a caller may do about it.
const (
	Internal        Code = iota // a fault of ours or of something below us: read the log
	Unauthenticated             // oned does not know the session: check the credentials
	Forbidden                   // the caller lacks a right on the object
	NotFound                    // the object does not exist
	Action                      // not possible in the present state: change the state first
	Invalid                     // the request is malformed: correct it
	Allocate                    // the object cannot be made as asked
	Busy                        // somebody else holds it now: try again later
	Stale                       // the operation was taken over by another owner: stop
	NoneFits                    // no free volume matches
	Unreachable                 // host, array or daemon did not answer: nothing was changed there
	Refused                     // host, array or hypervisor said no
	Mismatch                    // the device is not the volume: nothing was plugged
	Held                        // the guest or the host holds the device
	Unknown                     // sent, but no answer: look before doing anything
)

// String is the code's word in logs.
func (c Code) String() string {
	if c < 0 || int(c) >= len(codes) {
		return fmt.Sprintf("Code(%d)", int(c))
	}
	return codes[c].word
}

// codes names each code and gives the code of oned's that crosses the wire
// (include/Request.h of OpenNebula 7.4).
var codes = [...]struct {
	word string
	oned int
}{
	Internal:        {"internal", 0x2000},
	Unauthenticated: {"unauthenticated", 0x0100},
	Forbidden:       {"forbidden", 0x0200},
	NotFound:        {"not found", 0x0400},
	Action:          {"action", 0x0800},
	Invalid:         {"invalid", 0x1000},
	Allocate:        {"allocate", 0x4000},
	Busy:            {"busy", 0x0800},
	Stale:           {"stale", 0x8000},
	NoneFits:        {"none fits", 0x0800},
	Unreachable:     {"unreachable", 0x2000},
	Refused:         {"refused", 0x0800},
	Mismatch:        {"mismatch", 0x0800},
	Held:            {"held", 0x0800},
	Unknown:         {"unknown outcome", 0x2000},
}

// OnedCode is the number that stands for the code in XML-RPC answers.
func (c Code) OnedCode() int {
	if c < 0 || int(c) >= len(codes) {
		return codes[Internal].oned
	}
	return codes[c].oned
}

// CodeOfOned is the way back: the most general code with that number.
func CodeOfOned(n int) Code {
	switch n {
	case 0x0100:
		return Unauthenticated
	case 0x0200:
		return Forbidden
	case 0x0400:
		return NotFound
	case 0x0800:
		return Action
	case 0x1000:
		return Invalid
	case 0x4000:
		return Allocate
	case 0x8000:
		return Stale
	}
	return Internal
}

// Error is a failure that its reader can act on. Its text says what was
// attempted on which object and what went wrong; Hint says what to do next.
type Error struct {
	Code Code
	Msg  string
	Hint string
	// ID is the object that NotFound speaks of, else -1.
	ID  int
	Err error
}

// Errorf makes an Error; each %w in the format wraps a cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Msg: err.Error(), ID: -1, Err: errors.Unwrap(err)}
	if _, several := err.(interface{ Unwrap() []error }); several {
		e.Err = err
	}
	return e
}

// WithHint gives the error the sentence that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Missing is the NotFound error of an object, in oned's words.
func Missing(object string, id int) *Error {
	e := Errorf(NotFound, "Error getting %s [%d].", object, id)
	if id < 0 {
		e.Msg = fmt.Sprintf("Error getting %s Pool.", object)
	}
	e.ID = id
	return e
}

func (e *Error) Error() string { return e.Msg }

func (e *Error) Unwrap() error { return e.Err }

// CodeOf is the code of the first Error in err's tree, Internal when there
// is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// HintOf is the first hint found in err's tree, or nothing.
func HintOf(err error) string {
	var e *Error
	for err != nil && errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Collision is the cause of an error about a name that another volume of the
// same owner's has.
type Collision struct{ With VolumeID }

func (c *Collision) Error() string { return fmt.Sprintf("NAME is already taken by VOLUME %d.", c.With) }

// OnlyOne is the id of the object that goes by a name, given the ids of all
// that do, or an error in the words of OpenNebula's tools. object is their
// word for it, such as VOLUME. Codes: NotFound, Invalid (there are several).
func OnlyOne[ID ~int](object, name string, ids []ID) (ID, error) {
	switch len(ids) {
	case 1:
		return ids[0], nil
	case 0:
		return 0, Errorf(NotFound, "%s named %s not found.", object, name)
	}
	return 0, Errorf(Invalid, "There are multiple %ss with name %s.", object, name)
}
