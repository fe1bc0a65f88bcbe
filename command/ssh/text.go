package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"onevolume/command"
)

// The text that goes to the remote shell. What it may rely on is POSIX, as
// dash, bash and busybox understand it.
//
//   - Each command is a subshell in parentheses, so that it cannot change the
//     shell, and so that a text cut off on its way does not run at all.
//   - A script goes through eval: its syntax errors end the subshell only.
//   - Standard input is never the shell's own, or a command could read the
//     words of the next.
//   - What goes to a command's input is written by the shell's own printf
//     into a pipe: it is in no argument list and, unlike a here-document in
//     bash, in no temporary file.
//   - The shell's own standard error is /dev/null and the real one is at
//     errFD: bash reports a killed command with the text of the whole
//     pipeline, which would show its input.
//   - A command inherits neither errFD nor the locks: a daemon it leaves
//     behind would hold them for ever.

// errFD is where the shell keeps the real standard error. dash knows only
// descriptors of one digit.
const errFD = 9

// The descriptors that locks may use.
const firstLock, lastLock = 3, 8

// hello sets the shell up. It finds out the user's number, without a process
// where it can, and whether printf is the shell's own: without a PATH no other
// is found.
const hello = `LC_ALL=C; export LC_ALL
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin; export PATH
unset CDPATH ENV BASH_ENV
umask 022
cd /
exec 9>&2 2>/dev/null
uid=
while read -r key real uid rest; do [ "$key" = Uid: ] && break; uid=; done </proc/self/status
[ -n "$uid" ] || uid=$(id -u)
if [ "$uid" = 0 ]; then SUDO=; else SUDO='sudo -n'; fi
if PATH=/dev/null printf ''; then
printf '%[1]s 0 0 %%s\n' "$uid"; printf '%[1]s 0\n' >&9
else
echo '%[1]s 0 1'; echo '%[1]s 0' >&9
fi
`

// trailer ends a command: its exit status goes to both streams.
func trailer(mark string, n int) string {
	return fmt.Sprintf("r=$?; printf '%[1]s %[2]d %%d\\n' $r; printf '%[1]s %[2]d\\n' >&9\n", mark, n)
}

var errNoCommand = errors.New("it is neither a program with arguments nor a script, or both")

// text gives the shell's words for a command. locks are the descriptors in
// use.
func text(c command.Cmd, root bool, locks []int) (string, error) {
	if (len(c.Argv) == 0) == (c.Script == "") {
		return "", errNoCommand
	}
	if len(c.Argv) > 0 && c.Argv[0] == "" {
		return "", errors.New("the program's name is empty")
	}
	if c.Script != "" && c.Sudo {
		return "", errors.New(`a script asks for root by the word "$SUDO"`)
	}
	var b strings.Builder
	if len(c.Stdin) == 0 {
		b.WriteString(body(c, root) + " </dev/null")
	} else {
		b.WriteString(feed(c.Stdin) + " | " + body(c, root))
	}
	fmt.Fprintf(&b, " 2>&%d %d>&-", errFD, errFD)
	for _, fd := range locks {
		fmt.Fprintf(&b, " %d<&-", fd)
	}
	b.WriteByte('\n')
	return b.String(), nil
}

// body is the subshell that becomes the command.
func body(c command.Cmd, root bool) string {
	if c.Script != "" {
		return "( set -- " + command.Join(c.Args) + "; eval " + command.Quote(c.Script) + " )"
	}
	words := c.Argv
	if c.Sudo && !root {
		words = append([]string{"sudo", "-n"}, words...)
	}
	// exec takes the program even where the shell has a built-in or a
	// keyword of that name.
	return "( exec " + command.Join(words) + " )"
}

// feed is the command that writes the input.
func feed(input []byte) string {
	if bytes.IndexByte(input, 0) < 0 {
		return "printf %s " + command.Quote(string(input))
	}
	var b strings.Builder
	b.WriteString("printf %b '")
	for _, c := range input {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == ' ' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\0%03o`, c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
