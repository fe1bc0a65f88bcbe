package linux

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"onevolume/array"
	"onevolume/command"
)

// Op is one call of a Machine's: its connection, and whether it may have
// changed anything yet.
type Op struct {
	m     *Machine
	what  string
	host  command.Host
	fresh bool // the connection was made for this call
	ran   bool // something was run on it
	dirty bool // something that changes the machine was sent
}

// lockName is the lock on the machine under which arrays are changed. All
// drivers and all installations share it.
var lockName = command.LockName("array")

// reading runs f with a connection.
func (m *Machine) reading(ctx context.Context, what string, f func(o *Op) error) error {
	return m.with(ctx, what, false, f)
}

// changing runs f with a connection and the machine's lock.
func (m *Machine) changing(ctx context.Context, what string, f func(o *Op) error) error {
	return m.with(ctx, what, true, f)
}

func (m *Machine) with(ctx context.Context, what string, lock bool, f func(o *Op) error) (err error) {
	o := &Op{m: m, what: what}
	if err := o.connect(ctx); err != nil {
		return err
	}
	defer func() { o.done() }()
	if lock {
		unlock, err := o.lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	return asArray(f(o))
}

// connect takes the connection that is kept, or makes one.
func (o *Op) connect(ctx context.Context) error {
	select {
	case o.host = <-o.m.idle:
		return nil
	default:
	}
	h, err := o.m.opt.Dialer.Dial(ctx, o.m.opt.Host)
	if err != nil {
		return o.dialError(err)
	}
	o.host, o.fresh = h, true
	return nil
}

// done keeps the connection for the next call, if it is of use yet.
func (o *Op) done() {
	if o.host == nil {
		return
	}
	select {
	case o.m.idle <- o.host:
	default:
		o.host.Close()
	}
	o.host = nil
}

// again makes a new connection in place of a kept one that has broken
// meanwhile, of which it is certain that nothing was run on it. When it cannot,
// err says why.
func (o *Op) again(ctx context.Context, err *error) bool {
	if *err == nil || o.fresh || o.ran || !errors.Is(*err, command.ErrNotRun) || ctx.Err() != nil {
		return false
	}
	o.drop()
	h, dialErr := o.m.opt.Dialer.Dial(ctx, o.m.opt.Host)
	if dialErr != nil {
		*err = dialErr
		return false
	}
	o.host, o.fresh = h, true
	return true
}

func (o *Op) lock(ctx context.Context) (func(), error) {
	unlock, err := o.host.Lock(ctx, lockName, o.m.opt.LockWait)
	if o.again(ctx, &err) {
		unlock, err = o.host.Lock(ctx, lockName, o.m.opt.LockWait)
	}
	o.ran = true
	if err != nil {
		if _, held := errors.AsType[*command.LockedError](err); !held {
			o.drop()
		}
		return nil, o.errorf(array.Transient, err)
	}
	return unlock, nil
}

// drop gives up a connection that is of no more use.
func (o *Op) drop() {
	if o.host != nil {
		o.host.Close()
		o.host = nil
	}
}

// Run runs a command on the machine. An exit status other than zero is no
// error of Run's; see Refuse. What Run fails with is an array's error: Unknown
// as soon as anything may have been changed, else Transient.
func (o *Op) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	if o.host == nil {
		return command.Result{}, o.lost(array.Errorf(array.Transient, "%s: the connection to %s is lost", o.what, o.m.opt.Host))
	}
	r, err := o.host.Run(ctx, c)
	if o.again(ctx, &err) {
		r, err = o.host.Run(ctx, c)
	}
	o.ran = true
	if !c.ReadOnly && (err == nil || !errors.Is(err, command.ErrNotRun)) {
		o.dirty = true
	}
	if err != nil {
		if !errors.Is(err, command.ErrOutputTooBig) {
			o.drop()
		}
		return r, o.errorf(array.Transient, err)
	}
	if command.SudoRefused(r) {
		return r, array.Errorf(array.Auth, "%s: %w", o.what, command.Check(o.m.opt.Host, c, r, nil)).
			WithHint("let the user who logs in to %s run everything by sudo -n, or log in as root", o.m.opt.Host)
	}
	return r, nil
}

// Do is Run for a command that has to end with 0, or one of ok.
func (o *Op) Do(ctx context.Context, c command.Cmd, ok ...int) (command.Result, error) {
	r, err := o.Run(ctx, c)
	if err != nil {
		return r, err
	}
	return r, o.Refuse(c, r, ok...)
}

// Refuse gives the error of a command that did not end well, with the
// machine's words.
func (o *Op) Refuse(c command.Cmd, r command.Result, ok ...int) error {
	if err := command.Check(o.m.opt.Host, c, r, nil, ok...); err != nil {
		return array.Errorf(array.Refused, "%s: %w", o.what, err)
	}
	return nil
}

// Fail gives an error that begins with what is being done.
func (o *Op) Fail(kind array.Kind, format string, args ...any) *array.Error {
	return array.Errorf(kind, "%s: %w", o.what, fmt.Errorf(format, args...))
}

// errorf makes the error of something that did not come to its end.
func (o *Op) errorf(kind array.Kind, err error) error {
	if _, ok := errors.AsType[*command.DialError](err); ok {
		return o.dialError(err)
	}
	return o.lost(array.Errorf(kind, "%s: %w", o.what, err))
}

// lost makes an error Unknown when something may have been changed.
func (o *Op) lost(e *array.Error) error {
	if o.dirty && e.Kind == array.Transient {
		e.Kind = array.Unknown
		e.Hint = "what became of it is not known: do the same again"
	}
	return e
}

// Lost makes the error of a service on the machine that did not answer.
func (o *Op) Lost(err error) error { return o.errorf(array.Transient, err) }

// refusals are the kinds of connection errors that another try does not cure,
// and that too many tries may make worse.
var refusals = map[command.Kind]bool{
	command.KindHostKeyUnknown: true, command.KindHostKeyChanged: true, command.KindNoKey: true,
	command.KindKeyRefused: true, command.KindTooManyKeys: true,
}

func (o *Op) dialError(err error) error {
	dial, ok := errors.AsType[*command.DialError](err)
	switch {
	case ok && refusals[dial.Kind]:
		e := array.Errorf(array.Auth, "%s: %w", o.what, err)
		e.Hint = dial.Hint
		return e
	case ok && (dial.Kind == command.KindConfig || dial.Kind == command.KindShell):
		return array.Errorf(array.Refused, "%s: %w", o.what, err).WithHint("%s", dial.Hint)
	}
	return array.Errorf(array.Transient, "%s: %w", o.what, err)
}

// Script makes a command of a shell text that runs as root. The text goes to a
// shell of root's by itself, so that logs show its name and arguments only.
func Script(name, text string, readOnly bool, args ...string) command.Cmd {
	return command.Cmd{Name: name, Script: "exec $SUDO sh -c " + command.Quote(text) + " " + name + ` "$@"`, Args: args, ReadOnly: readOnly}
}

// Text drops comments and indentation of a script: it travels with every
// command.
func Text(script []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(script)) {
		if line = strings.TrimLeft(line, "\t"); line != "\n" && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}
