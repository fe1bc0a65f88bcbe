package ssh

import (
	"fmt"
	"strings"
	"testing"

	"onevolume/command"
)

const secret = "s3cr3t-chap-pass"

// What goes to a command's input must be seen by nobody else: no argument
// list and no environment of any process holds it while the command runs, be
// it the command's, the shell's or the one that writes it.
func TestInputIsInNoArguments(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		// More than a pipe holds, so that the writer is still there.
		input := command.Secret(secret + strings.Repeat(" x", 1<<17))
		r := run(t, h, command.Cmd{Name: "spy", Stdin: input, Script: `
			sleep 60.25 & # what the spy must see
			for f in /proc/[0-9]*/cmdline /proc/[0-9]*/environ; do tr '\0' ' ' <"$f"; echo; done 2>/dev/null
			ls -l /proc/$PPID/fd /proc/self/fd /tmp
			kill $!
			cat >/dev/null`})
		out := string(r.Stdout)
		if strings.Contains(out, secret) {
			t.Error("the input is visible to others")
		}
		if !strings.Contains(out, "sleep 60.25") || r.Code != 0 {
			t.Fatalf("the spy saw nothing: %d %q", r.Code, r.Stderr)
		}
		if strings.Contains(out, "sh-thd") {
			t.Error("the input went through a temporary file")
		}
	})
}

// bash reports a command that was killed with the text of the whole pipeline.
func TestInputIsInNoReport(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		for _, script := range []string{"kill -9 $$", "cat >/dev/null; kill -11 $$", "exit 3"} {
			for _, input := range []string{secret, "\x00" + secret, secret + strings.Repeat(" x", 1<<17)} {
				r := run(t, h, command.Cmd{Argv: []string{"sh", "-c", script}, Stdin: command.Secret(input)})
				if r.Code == 0 || strings.Contains(string(r.Stderr), secret) || strings.Contains(string(r.Stderr), "printf") {
					t.Errorf("%s: %d %.200q", script, r.Code, r.Stderr)
				}
			}
		}
	})
}

func TestInputIsInNoError(t *testing.T) {
	shells(t, func(t *testing.T, h *Host) {
		var events []command.Event
		l := command.Logged(h, func(e command.Event) { events = append(events, e) })
		c := command.Cmd{Name: "t", Script: "cat >&2; exit 1", Stdin: command.Secret(secret)}
		_, err := command.Do(t.Context(), l, c)
		if err == nil {
			t.Fatal("no error")
		}
		c = command.Cmd{Name: "t", Script: "cat >&2; kill -9 $$", Stdin: command.Secret(secret)}
		_, lost := l.Run(t.Context(), c)
		if lost == nil {
			t.Fatal("no error")
		}
		_, gone := l.Run(t.Context(), c)
		all := fmt.Sprintf("%v %+v %v %+v %v %+v %+v", err, err, lost, lost, gone, gone, events)
		if strings.Contains(all, secret) {
			t.Error(all)
		}
		if len(events) != 3 || events[0].Code != 1 || events[0].Stderr != command.Mask || events[1].Code != -1 || events[1].Err == nil {
			t.Errorf("%+v", events)
		}
	})
}
