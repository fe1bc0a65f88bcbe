package command

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What a Run that failed means for the host. Exactly one of them is in every
// *RunError whose Err is set.
var (
	// ErrNotRun: the command was never given to the host. It may be tried
	// again on a new connection.
	ErrNotRun = errors.New("the command was not run")

	// ErrUnknownOutcome: the command was sent and its end was not seen. It
	// may have run, may still run, or may never have started: look at the
	// host before trying again.
	ErrUnknownOutcome = errors.New("it is not known what the command did")

	// ErrOutputTooBig: the command ran to its end, with the exit status in
	// Code, but wrote more than is kept.
	ErrOutputTooBig = errors.New("the command's output is too big")
)

// RunError says that a command's end is not known, or that it ended other
// than wished. Code is -1 when no exit status is known.
type RunError struct {
	Host   string
	Cmd    string // as Cmd.String gives it
	Code   int
	Stderr string
	Err    error // nil when the command ran and Code says how it ended
}

func (e *RunError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s: %s", e.Host, e.Cmd)
	switch {
	case e.Err != nil:
		fmt.Fprintf(&b, ": %v", e.Err)
	default:
		fmt.Fprintf(&b, ": exit status %d", e.Code)
	}
	if s := strings.TrimSpace(e.Stderr); s != "" {
		fmt.Fprintf(&b, ": %s", s)
	}
	return b.String()
}

func (e *RunError) Unwrap() error { return e.Err }

// LockedError says that somebody else held a lock on a host for all the time
// we waited.
type LockedError struct {
	Host, Name string
	Wait       time.Duration
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("host %s: another operation holds the lock %s and did not give it back within %s", e.Host, e.Name, e.Wait)
}

// Kind says in one word why a host could not be reached.
type Kind string

// The kinds of a DialError.
const (
	KindConfig         Kind = "config"           // our own SSH settings are wrong
	KindUnresolved     Kind = "unresolved"       // the name has no address
	KindRefused        Kind = "refused"          // nothing listens on the port
	KindNoRoute        Kind = "no-route"         // the network does not lead there
	KindTimeout        Kind = "timeout"          // no answer in time
	KindHostKeyUnknown Kind = "host-key-unknown" // no known_hosts line for it
	KindHostKeyChanged Kind = "host-key-changed" // known_hosts has another key, or revoked this one
	KindNoKey          Kind = "no-key"           // we have no key to offer
	KindKeyRefused     Kind = "key-refused"      // the host takes none of our keys
	KindTooManyKeys    Kind = "too-many-keys"    // the host gave up before the right key's turn
	KindShell          Kind = "shell"            // logged in, but no usable /bin/sh
	KindProtocol       Kind = "protocol"         // anything else on the way
	KindCancelled      Kind = "cancelled"        // the caller's context ended
	KindBusy           Kind = "busy"             // a Guard has no connection to spare
)

// DialError says why a host could not be reached.
type DialError struct {
	Host string // as the cloud knows it
	Addr string // host:port that was tried; empty when it came to none
	Via  string // the jump host at which it failed; empty for the host itself
	Kind Kind
	Err  error
	Hint string // what to do about it; may be empty
}

// Error names the host, its address and the cause. The hint is not in it.
func (e *DialError) Error() string {
	if s, ok := errors.AsType[*Silence](e.Err); ok {
		return "host " + e.Host + " " + s.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "host %s", e.Host)
	if e.Via != "" {
		fmt.Fprintf(&b, ": jump host %s", e.Via)
	}
	if e.Addr != "" {
		fmt.Fprintf(&b, " (%s)", e.Addr)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

func (e *DialError) Unwrap() error { return e.Err }
