package virsh

import (
	"context"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
)

// usersScript prints for each running domain a line of its UUID and its name
// (virsh echo ends no line), and a line of domblklist for each disk; then "--"; then, for each path that is there,
// the number of the device behind it and the path. $1 is the URI, $2 says who
// asks libvirt, the rest are the paths that are asked for.
//
// One virsh tells of all domains: they are named by UUID, so that nothing has
// to be quoted. A domain that ends meanwhile is complained of on stderr.
const usersScript = `
uri=$1
[ "$2" = root ] || SUDO=
shift 2
ids=$($SUDO virsh -c "$uri" -q list --uuid) || exit
all=
for id in $ids; do
	all="$all echo $id; domname $id; domblklist $id --details;"
done
out=
if [ -n "$all" ]; then
	out=$($SUDO virsh -c "$uri" -q "${all%;}")
fi
printf '%s\n' "$out"
echo --
{
	printf '%s\n' "$@"
	printf '%s\n' "$out" | sed -n 's/^ *[a-z]* *[a-z]* *[^ ]* *\(\/.*\)$/\1/p'
} | sort -u | while IFS= read -r path; do
	if device=$(stat -L -c %t:%T -- "$path" 2>/dev/null); then
		printf '%s %s\n' "$device" "$path"
	fi
done
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
	if r.Code != 0 || !onlyEnded(r.Stderr) {
		return nil, failure(h, "of any name", "listing the disks of all domains", r)
	}
	return usersOf(string(r.Stdout), except, paths), nil
}

// onlyEnded says whether virsh complained of nothing but domains that ended
// while it was telling of them.
func onlyEnded(stderr []byte) bool {
	for line := range strings.Lines(string(stderr)) {
		if strings.TrimSpace(line) != "" && causeOf(command.Result{Stderr: []byte(line)}) != noDomain {
			return false
		}
	}
	return true
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
	var id, name string
	for line := range strings.Lines(table) {
		line = strings.TrimSuffix(line, "\n")
		if uuid, rest, ok := cutUUID(line); ok {
			id, name = uuid, rest
			// A domain that ended meanwhile has left its UUID alone.
			for uuid, rest, ok := cutUUID(name); ok && rest != ""; uuid, rest, ok = cutUUID(name) {
				id, name = uuid, rest
			}
			continue
		}
		path := sourceColumn(line)
		if (asked[path] || asked[device[path]] && device[path] != "") && name != except && id != except && !slices.Contains(users, name) {
			users = append(users, name)
		}
	}
	return users
}

// cutUUID splits a UUID off the start of a line.
func cutUUID(line string) (uuid, rest string, ok bool) {
	const length = 36
	if len(line) < length || !uuidForm.MatchString(line[:length]) {
		return "", line, false
	}
	return line[:length], line[length:], true
}

// sourceColumn is the last column of a line of domblklist --details: type,
// device, target, source.
func sourceColumn(line string) string {
	for range 3 {
		line = strings.TrimLeft(line, " ")
		_, line, _ = strings.Cut(line, " ")
	}
	return strings.TrimSpace(line)
}
