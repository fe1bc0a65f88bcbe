package iscsi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
)

// call is one piece of work with one target on one host: what error texts
// speak of.
type call struct {
	*Initiator
	h command.Host
	t onevolume.Target
	w Want

	stderr []byte // of the last script
}

// errorf makes an error that names the target and the host.
func (c *call) errorf(code onevolume.Code, format string, args ...any) *onevolume.Error {
	return onevolume.Errorf(code, "target %s LUN %d on host %s: %w", c.t.IQN, c.t.LUN, c.h.Name(), fmt.Errorf(format, args...))
}

// run runs a script and reads its report. doing says what for, in errors.
func (c *call) run(ctx context.Context, doing string, cmd command.Cmd) (*report, error) {
	c.stderr = nil
	res, err := c.h.Run(ctx, cmd)
	if err != nil {
		return nil, c.broken(doing, err)
	}
	c.stderr = res.Stderr
	if err := command.Check(c.h.Name(), cmd, res, nil); err != nil {
		return nil, c.errorf(onevolume.Internal, "could not %s it: %w", doing, err)
	}
	rep, err := parse(res.Stdout)
	if err != nil {
		return nil, c.errorf(onevolume.Internal, "could not %s it: %s: %w%s", doing, cmd.Name, err, c.said())
	}
	return rep, nil
}

// broken says what it means that a command's end was not seen.
func (c *call) broken(doing string, err error) error {
	if errors.Is(err, command.ErrNotRun) {
		return c.errorf(onevolume.Unreachable, "could not %s it: %w", doing, err)
	}
	return c.errorf(onevolume.Unknown, "could not %s it: %w", doing, err).
		WithHint("the host is looked at again before anything else is done")
}

// said is the end of what the last script's commands wrote to standard error,
// as a clause. iscsiadm shows no secret there.
func (c *call) said() string {
	var last []string
	for line := range strings.Lines(string(c.stderr)) {
		line = strings.TrimSpace(line)
		line = strings.TrimPrefix(line, "iscsiadm: ")
		// "Could not log in to …" says what we say ourselves.
		if line != "" && !strings.HasPrefix(line, "Could not log") && !slices.Contains(last, line) {
			last = append(last, line)
		}
	}
	if len(last) == 0 {
		return ""
	}
	if len(last) > 2 {
		last = last[len(last)-2:]
	}
	return " (" + strings.ToValidUTF8(strings.Join(last, "; "), "?") + ")"
}

// sudoRefused says whether sudo was what failed.
func (c *call) sudoRefused() bool {
	return command.SudoRefused(command.Result{Code: 1, Stderr: c.stderr})
}

// denied is the error of a host whose sudo refuses.
func (c *call) denied() error {
	return c.errorf(onevolume.Refused, "sudo refuses the user%s", c.said()).WithHint("%s", hintSudo)
}

// lost is the error of a session that does not work.
func (c *call) lost(s *session) error {
	return c.errorf(onevolume.Unreachable, "session %d to portal %s is lost (%s); the host tries to bring it back", s.id, s.portal, s.state).
		WithHint("see that the target answers at %s, then try again", s.portal)
}

// join adds to an error what could not be undone, without hiding it.
func (c *call) join(cause, undoErr error) error {
	if undoErr == nil {
		return cause
	}
	e := onevolume.Errorf(onevolume.CodeOf(cause), "%s; and this was left behind: %v", cause, undoErr)
	e.Hint = onevolume.HintOf(cause)
	e.Err = errors.Join(cause, undoErr)
	return e
}
