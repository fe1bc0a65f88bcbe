package array

import (
	"errors"
	"fmt"
	"strings"

	"onevolume"
)

// Kind says what went wrong on an array. The list is closed.
type Kind int

// The kinds. The comment says what a caller may do about it.
const (
	Refused     Kind = iota // the array said no in words of its own: read them
	Exists                  // the name is somebody else's, or ours with another shape: take another ID
	NotFound                // there is no such volume or snapshot
	Busy                    // something uses it: Error.By says what
	NoSpace                 // the array, or the share of it that we may use, is full
	Auth                    // the array does not let us in: put the credentials right, do not try again
	Transient               // nothing was changed; the same call may do better later
	Unknown                 // sent, and no answer: repeat the call to find out
	Unsupported             // this array cannot do that
	Invalid                 // the request is wrong: correct it
)

// kinds gives each kind its word, and the domain's code for it.
var kinds = [...]struct {
	word string
	code onevolume.Code
}{
	Refused:     {"refused", onevolume.Refused},
	Exists:      {"exists", onevolume.Allocate},
	NotFound:    {"not found", onevolume.NotFound},
	Busy:        {"busy", onevolume.Held},
	NoSpace:     {"no space", onevolume.NoneFits},
	Auth:        {"authentication", onevolume.Refused},
	Transient:   {"transient", onevolume.Unreachable},
	Unknown:     {"unknown outcome", onevolume.Unknown},
	Unsupported: {"unsupported", onevolume.Action},
	Invalid:     {"invalid", onevolume.Invalid},
}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kinds) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kinds[k].word
}

// Holders is what makes something busy. Each list is in order, and empty when
// nothing of the kind does.
type Holders struct {
	Sessions  []onevolume.IQN // initiators that are logged in
	Exports   []onevolume.IQN // initiators that it is exported to
	Snapshots []ID
	Clones    []ID   // volumes that were made from it and depend on it
	Other     string // anything else, in the array's words
}

// Any says whether there is a holder.
func (h Holders) Any() bool {
	return len(h.Sessions)+len(h.Exports)+len(h.Snapshots)+len(h.Clones) > 0 || h.Other != ""
}

// String lists the holders.
func (h Holders) String() string {
	var parts []string
	if len(h.Sessions) > 0 {
		parts = append(parts, "sessions of "+join(h.Sessions))
	}
	if len(h.Exports) > 0 {
		parts = append(parts, "exports to "+join(h.Exports))
	}
	if len(h.Snapshots) > 0 {
		parts = append(parts, "snapshots "+join(h.Snapshots))
	}
	if len(h.Clones) > 0 {
		parts = append(parts, "volumes made from it "+join(h.Clones))
	}
	if h.Other != "" {
		parts = append(parts, h.Other)
	}
	return strings.Join(parts, "; ")
}

func join[S ~string](list []S) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

// Error is what every method of an Array fails with.
type Error struct {
	Kind Kind
	Msg  string  // what was attempted on which object, and what went wrong
	Hint string  // what to do about it; may be empty
	By   Holders // of Busy
	Err  error   // the cause; may be nil
}

// Errorf makes an Error; each %w in the format wraps a cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Msg: err.Error(), Err: errors.Unwrap(err)}
	if _, several := err.(interface{ Unwrap() []error }); several {
		e.Err = err
	}
	return e
}

// InUse makes the Busy error of an object.
func InUse(object string, by Holders) *Error {
	return &Error{Kind: Busy, Msg: object + " is in use: " + by.String(), By: by}
}

// WithHint gives the error the sentence that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) Error() string { return e.Msg }

func (e *Error) Unwrap() error { return e.Err }

// As makes the domain's error of it, so that onevolume.CodeOf and HintOf find
// the code and the hint of an error that comes from an array.
func (e *Error) As(target any) bool {
	t, ok := target.(**onevolume.Error)
	if !ok {
		return false
	}
	code := onevolume.Internal
	if e.Kind >= 0 && int(e.Kind) < len(kinds) {
		code = kinds[e.Kind].code
	}
	*t = &onevolume.Error{Code: code, Msg: e.Msg, Hint: e.Hint, ID: -1, Err: e.Err}
	return true
}

// KindOf is the kind of the first Error in err's tree. An error that is not
// an array's is Refused; see Is.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Refused
}

// Is says whether err is an array's error of the kind.
func Is(err error, kind Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == kind
}
