// Package command says what it is to run a command on a host: the words of
// the command, what goes to its standard input, how long it may take, and
// what came back. It holds the one quoting function and the masking of
// secrets. The transport is a package of its own (command/ssh), and a host
// made of memory for tests another (command/commandtest). It imports the
// standard library only.
package command

import (
	"context"
	"strings"
	"time"
)

// DefaultTimeout bounds a command whose Cmd names no time-out of its own:
// nothing runs without one (a hung disk leaves commands that never return).
const DefaultTimeout = 60 * time.Second

// Cmd is one command for a host. Either Argv or Script is set.
type Cmd struct {
	// Argv is the program and its arguments, each passed on as it is:
	// whatever is in them reaches no shell unquoted.
	Argv []string

	// Script is a text for the POSIX shell, fixed at compile time; what
	// varies comes in Args, which the script reads as "$1", "$2", ….
	Script string
	Args   []string

	// Name is what a Script is called in logs and errors.
	Name string

	// Sudo asks for root by `sudo -n`; a connection that is root already
	// leaves it out. Only with Argv; a script gets the word "$SUDO".
	Sudo bool

	// Stdin goes to the command's standard input. Nil means empty. Plain
	// says that it holds no secret, so that a dry run may print it.
	Stdin Secret
	Plain bool

	// Timeout bounds the run; zero means DefaultTimeout.
	Timeout time.Duration

	// ReadOnly says that the command changes nothing on the host, so that
	// a dry run may run it.
	ReadOnly bool

	// OnLine, when set, is given each line of standard output as it
	// arrives, without its newline. It must not block for long and must
	// not use the Host. It is not called after Run has returned.
	OnLine func(line string)
}

// Result is what a command that ran to its end left.
type Result struct {
	Stdout, Stderr []byte
	// Code is the exit status, 0 to 255; 128 and a signal's number for a
	// command that a signal ended, 127 for one that is not there.
	Code int
}

// Runner runs commands on one host. Run returns an error only when the
// command did not run to its end as far as we know: it could not be started,
// the connection broke, or time ran out. An exit status other than zero is
// no error of Run's; see Check. The error is a *RunError that wraps
// ErrNotRun, ErrUnknownOutcome or ErrOutputTooBig.
type Runner interface {
	Run(ctx context.Context, c Cmd) (Result, error)
}

// Host is a connection to a hypervisor host. It keeps one shell there, in
// which commands run one after the other; locks are held by that shell, so
// they end with it however it ends. It may be used from several goroutines,
// which then wait for each other.
//
// A command that does not end in time, or whose context ends, costs the
// connection: its outcome is unknown, every later call fails with ErrNotRun,
// and the caller dials again.
type Host interface {
	Runner

	// Name is the host's name as the cloud knows it.
	Name() string

	// Lock takes the named lock on the host, waiting up to wait for
	// whoever holds it, and returns the function that gives it back (which
	// may be called more than once). Names are of the form [a-z0-9-]+;
	// LockName makes one of any text. A lock that was not got in time is a
	// *LockedError. Waiting occupies the shell, and a context that ends
	// meanwhile costs the connection.
	Lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error)

	// Close ends the shell and the connection; it takes two seconds at the
	// most and may be called more than once. A command that still runs on
	// the host goes on until it ends by itself, and the locks with it.
	Close() error
}

// Dialer opens connections to hosts.
type Dialer interface {
	// Dial connects to the host, or says why it could not: the error is a
	// *DialError.
	Dial(ctx context.Context, host string) (Host, error)
}

// Secret is bytes that no log, error text or dry run shows.
type Secret []byte

// Mask stands for every secret wherever one would be printed.
const Mask = "********"

// String gives Mask for whatever there is, and nothing for nothing.
func (s Secret) String() string {
	if len(s) == 0 {
		return ""
	}
	return Mask
}

// GoString keeps %#v from showing it either.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps JSON and XML from showing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the command as a person would type it, without its input.
func (c Cmd) String() string {
	if c.Script != "" {
		return strings.TrimSpace("sh " + c.Name + " " + Join(c.Args))
	}
	if c.Sudo {
		return "sudo -n " + Join(c.Argv)
	}
	return Join(c.Argv)
}
