package command

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Check turns what Run gave into one error: Run's own, or a *RunError for an
// exit status other than zero that is not among ok either. The command's own
// input is masked wherever the host's error text repeats it.
func Check(host string, c Cmd, r Result, err error, ok ...int) error {
	if err != nil || r.Code == 0 || slices.Contains(ok, r.Code) {
		return err
	}
	return &RunError{Host: host, Cmd: c.String(), Code: r.Code, Stderr: c.mask(r.Stderr)}
}

// Do runs a command and checks how it ended; see Check.
func Do(ctx context.Context, h Host, c Cmd, ok ...int) (Result, error) {
	r, err := h.Run(ctx, c)
	return r, Check(h.Name(), c, r, err, ok...)
}

// stderrTail is how much of a command's standard error an error text or an
// event carries: its end, where the cause stands.
const stderrTail = 2048

// The lengths from which an input, and a single line of one, is looked for.
// Shorter ones would mask innocent letters.
const minSecret, minSecretLine = 4, 6

// mask gives the end of a command's standard error without its input.
func (c Cmd) mask(stderr []byte) string {
	if secret := bytes.TrimSpace(c.Stdin); len(secret) >= minSecret {
		stderr = bytes.ReplaceAll(stderr, secret, []byte(Mask))
		for line := range bytes.Lines(secret) {
			if line = bytes.TrimSpace(line); len(line) >= minSecretLine {
				stderr = bytes.ReplaceAll(stderr, line, []byte(Mask))
			}
		}
	}
	if len(stderr) > stderrTail {
		stderr = stderr[len(stderr)-stderrTail:]
	}
	return strings.TrimSpace(strings.ToValidUTF8(string(stderr), "?"))
}

// SudoRefused says whether a command did not run because the host's sudo did
// not let it: a password would be needed, or the rules do not name it. The
// texts are those of sudo 1.8 and 1.9 in the C locale.
func SudoRefused(r Result) bool {
	if r.Code != 1 {
		return false
	}
	for line := range bytes.Lines(r.Stderr) {
		text := strings.TrimSpace(string(line))
		if rest, ok := strings.CutPrefix(text, "sudo: "); ok {
			for _, s := range []string{
				"a password is required",
				"a terminal is required",
				"sorry, you must have a tty",
				"no tty present and no askpass program specified",
				"interactive authentication is required",
			} {
				if strings.HasPrefix(rest, s) {
					return true
				}
			}
		}
		if strings.HasPrefix(text, "Sorry, user ") && strings.Contains(text, " is not allowed to execute ") ||
			strings.HasSuffix(text, " is not in the sudoers file.") ||
			strings.Contains(text, " is not in the sudoers file. ") ||
			strings.Contains(text, " may not run sudo on ") ||
			strings.Contains(text, " is not allowed to run sudo on ") {
			return true
		}
	}
	return false
}
