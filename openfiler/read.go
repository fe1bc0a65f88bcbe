package openfiler

import (
	"context"
	"fmt"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
)

// The files of Openfiler 2.3 and 2.99. Where iscsi_settings.xml is has
// differed: the first that exists is taken.
const (
	volumeFile  = "/proc/net/iet/volume"
	sessionFile = "/proc/net/iet/session"
	namesFile   = "/opt/openfiler/etc/volumes.xml"
)

var settingsFiles = []string{
	"/opt/openfiler/etc/iscsi/targets/iscsi_settings.xml",
	"/opt/openfiler/etc/iscsi_settings.xml",
}

// absent is the exit status of the script read for a file that is not there.
const absent = 44

const (
	readScript = `[ -e "$1" ] || exit 44
exec cat -- "$1"`
	// One line for each device: its size in bytes, or ? and what blockdev
	// said. LVM's links lead to device-mapper's nodes, which blockdev follows.
	sizeScript = `for d in "$@"; do
  if s=$(blockdev --getsize64 "$d" 2>&1); then echo "$s"; else echo "? $s" | tr '\n' ' '; echo; fi
done`
)

// Read tells what the array exports. It changes nothing there. Codes:
// Unreachable (no answer, or its target service does not run), Refused (a
// file could not be read or understood; then nothing at all is known).
func (a Array) Read(ctx context.Context, hosts command.Dialer) (State, error) {
	h, err := hosts.Dial(ctx, a.Host)
	if err != nil {
		return State{}, a.errorf(onevolume.Unreachable, "%w", err).WithHint("log in to it as the daemon does: ssh %s true", a.Host)
	}
	defer h.Close()
	// The configuration first. The web pages change IET before it, so that
	// what is in neither is in neither at one moment, too.
	settings, err := a.settings(ctx, h)
	if err != nil {
		return State{}, err
	}
	text, there, err := a.file(ctx, h, namesFile)
	if err != nil {
		return State{}, err
	}
	names := map[string]string{}
	if there {
		if names, err = ParseNames(text); err != nil {
			return State{}, a.unread(err)
		}
	}
	running, sessions, err := a.iet(ctx, h)
	if err != nil {
		return State{}, err
	}
	s := State{Units: merge(settings, running), Sessions: sessions}
	for i := range s.Units {
		s.Units[i].Name = names[s.Units[i].Path]
	}
	return s, a.sizes(ctx, h, s.Units)
}

func (a Array) settings(ctx context.Context, h command.Host) ([]Unit, error) {
	for _, name := range settingsFiles {
		text, there, err := a.file(ctx, h, name)
		if err != nil {
			return nil, err
		}
		if there {
			units, err := ParseSettings(text)
			if err != nil {
				return nil, a.unread(err)
			}
			return units, nil
		}
	}
	return nil, a.errorf(onevolume.Refused, "there is no %s", strings.Join(settingsFiles, " and no ")).
		WithHint("is host %s an Openfiler?", a.Host)
}

func (a Array) iet(ctx context.Context, h command.Host) ([]Unit, map[string][]string, error) {
	var texts [2]string
	for i, name := range []string{volumeFile, sessionFile} {
		text, there, err := a.file(ctx, h, name)
		if err != nil {
			return nil, nil, err
		}
		if !there {
			return nil, nil, a.errorf(onevolume.Unreachable, "its target service does not run: there is no %s", name).
				WithHint("start it on %s: service iscsi-target start", a.Host)
		}
		texts[i] = text
	}
	units, err := ParseVolumes(texts[0])
	if err != nil {
		return nil, nil, a.unread(err)
	}
	sessions, err := ParseSessions(texts[1])
	if err != nil {
		return nil, nil, a.unread(err)
	}
	return units, sessions, nil
}

// file reads a file, and says whether it is there. Its text holds secrets and
// must be in no error.
func (a Array) file(ctx context.Context, h command.Host, name string) (text string, there bool, err error) {
	r, err := command.Do(ctx, h, command.Cmd{Name: "read", Script: readScript, Args: []string{a.Root + name},
		Timeout: 20 * time.Second, ReadOnly: true}, absent)
	if err != nil {
		return "", false, a.errorf(onevolume.Refused, "%w", err)
	}
	return string(r.Stdout), r.Code != absent, nil
}

// sizes asks for the sizes of the block devices.
func (a Array) sizes(ctx context.Context, h command.Host, units []Unit) error {
	if len(units) == 0 {
		return nil
	}
	c := command.Cmd{Name: "sizes", Script: sizeScript, Timeout: 30 * time.Second, ReadOnly: true}
	for _, u := range units {
		c.Args = append(c.Args, u.Path)
	}
	r, err := command.Do(ctx, h, c)
	if err != nil {
		return a.errorf(onevolume.Refused, "%w", err)
	}
	answers := strings.Split(strings.TrimSuffix(string(r.Stdout), "\n"), "\n")
	if len(answers) != len(units) {
		return a.errorf(onevolume.Refused, "it gave %d sizes of %d devices", len(answers), len(units))
	}
	for i, answer := range answers {
		size, err := onevolume.ParseSize(answer + "B")
		if err != nil {
			units[i].Trouble = fmt.Sprintf("the size of %s is not known: %s", units[i].Path, strings.TrimSpace(strings.TrimPrefix(answer, "?")))
			continue
		}
		units[i].Size = size
	}
	return nil
}

func (a Array) errorf(code onevolume.Code, format string, args ...any) *onevolume.Error {
	return onevolume.Errorf(code, "array %s: "+format, append([]any{a.Name}, args...)...)
}

func (a Array) unread(err error) error {
	return a.errorf(onevolume.Refused, "%w", err).WithHint("the file may have been written at this moment: try again; nothing was changed")
}

// merge joins what is configured with what IET exports. The two differ in
// moments of a change, when the service was restarted, and when somebody used
// ietadm by hand.
func merge(settings, running []Unit) []Unit {
	live := map[place]Unit{}
	for _, u := range running {
		live[u.place()] = u
	}
	var all []Unit
	for _, u := range settings {
		if r, ok := live[u.place()]; ok {
			u.Exported = true
			if r.Mode != "" {
				u.Mode = r.Mode
			}
			if r.Path != u.Path {
				u.Trouble = fmt.Sprintf("it is configured as %s and exported as %s", u.Path, r.Path)
			}
			delete(live, u.place())
		}
		all = append(all, u)
	}
	for _, u := range running {
		if _, left := live[u.place()]; left {
			all = append(all, u)
		}
	}
	return all
}
