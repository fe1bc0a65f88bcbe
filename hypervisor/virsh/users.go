package virsh

import (
	"context"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
)

// usersScript prints for each running domain a line "Domain: 'NAME'", and for
// each of its disks one "block.N.path=PATH"; then "--"; then, for each path
// that is there, the number of the device behind it and the path. $1 is the
// URI, $2 says who asks libvirt, the rest are the paths that are asked for.
//
// One virsh tells of all domains: --block alone makes it leave out what QEMU
// would have to be asked for, and a domain that libvirt is at work on is told
// of all the same.
const usersScript = `
uri=$1
[ "$2" = root ] || SUDO=
shift 2
out=$($SUDO virsh -c "$uri" -q domstats --block --list-running </dev/null) || exit
printf '%s\n--\n' "$out"
IFS='
'
set -f
for line in $out; do
	case $line in
	*.path=/*) set -- "$@" "${line#*.path=}" ;;
	esac
done
stat -L -c '%t:%T %n' -- "$@" 2>/dev/null
exit 0
`

// Users asks for the disks of all running domains, in one script.
func (v *Driver) Users(ctx context.Context, h command.Host, except string, paths []string) ([]string, error) {
	who := "self"
	if v.o.Sudo {
		who = "root"
	}
	c := command.Cmd{
		Name: "disks of all domains", Script: usersScript, Args: append([]string{v.o.URI, who}, paths...),
		Timeout: v.o.Timeout, ReadOnly: true,
	}
	r, err := h.Run(ctx, c)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Unreachable, "host %s: listing the disks of all domains: %w", h.Name(), err)
	}
	if r.Code != 0 {
		return nil, failure(h, "of any name", "listing the disks of all domains", r)
	}
	return usersOf(string(r.Stdout), except, paths), nil
}

// usersOf reads what usersScript printed.
func usersOf(out, except string, paths []string) []string {
	table, devices, _ := strings.Cut(out, "\n--\n")
	device := map[string]string{} // by path
	for line := range strings.Lines(devices) {
		if number, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && number != "0:0" {
			device[path] = number
		}
	}
	asked := map[string]bool{} // paths and devices
	for _, p := range paths {
		asked[p] = strings.HasPrefix(p, "/") // an empty drive has the source "-"
		if n := device[p]; n != "" {
			asked[n] = true
		}
	}
	var users []string
	name := ""
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		if quoted, ok := strings.CutPrefix(line, "Domain: '"); ok {
			name = strings.TrimSuffix(quoted, "'")
			continue
		}
		_, path, ok := strings.Cut(line, ".path=")
		if !ok || !strings.HasPrefix(strings.TrimSpace(line), "block.") || name == except || slices.Contains(users, name) {
			continue
		}
		if asked[path] || asked[device[path]] && device[path] != "" {
			users = append(users, name)
		}
	}
	return users
}
