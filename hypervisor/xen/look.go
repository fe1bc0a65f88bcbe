package xen

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
)

// lookScript prints the tool of the host, what it lists, what xenstore has of
// all domains, which backends the kernel has, and then, for each path in $2
// and after that is there, the number of the device behind it. $1 is the tool
// if it is given. An end tells that nothing is missing.
//
// The directories of root's programs are not in everybody's PATH. Beside a
// running xend xl changes nothing, and looks for these two files to know (xl.c
// of Xen 4.1 to 4.4).
const lookScript = `
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
tool=$1
shift
if [ -z "$tool" ]; then
	for t in xl xm; do
		if command -v $t >/dev/null; then tool=$t; break; fi
	done
	if [ -e /var/lock/xend ] || [ -e /var/lock/subsys/xend ]; then
		if command -v xm >/dev/null; then tool=xm; fi
	fi
fi
if [ -z "$tool" ]; then
	echo "neither xl nor xm: not found" >&2
	exit 127
fi
for t in "$tool" xenstore-ls; do
	if ! command -v "$t" >/dev/null; then
		echo "$t: not found" >&2
		exit 127
	fi
done
echo "tool $tool"
$SUDO "$tool" list </dev/null || exit
echo -- store
$SUDO xenstore-ls -f /local/domain </dev/null || exit
echo -- backends
for f in /sys/bus/xen-backend/devices/*/physical_device; do
	v=
	{ read -r v <"$f"; } 2>/dev/null || [ -n "$v" ] || continue
	f=${f%/*}
	echo "${f##*/} $v"
done
echo -- devices
stat -L -c '%t:%T %n' -- "$@" 2>/dev/null
echo -- end
`

// view is a host as one look showed it.
type view struct {
	tool     string
	domains  []*domain // without domain 0
	backends []backend
	devices  map[string]string // by path; numbers as in xenstore, 8:10
}

// domain is a domain with what the contract does not ask for.
type domain struct {
	hypervisor.Domain
	id    int
	disks []disk // those of Disks, in the same order
}

// disk is what xenstore has of a disk.
type disk struct {
	hypervisor.Disk
	device string // of the source, when the backend had it
	state  int    // of the backend (xen/include/public/io/xenbus.h); 0 when there is none
}

// The states of a backend that are of use here.
const (
	stateConnected = 4
	stateClosing   = 5
	stateClosed    = 6
)

// backend is a disk's backend in the kernel.
type backend struct {
	name   string // vbd-DOMAIN-DISK
	id     int    // of the domain
	device string
}

// domain finds a domain by its name or UUID.
func (v view) domain(name string) *domain {
	for _, d := range v.domains {
		if name != "" && (d.Name == name || d.UUID == name) {
			return d
		}
	}
	return nil
}

// look runs the script; doing says what for, in errors.
func (x *Driver) look(ctx context.Context, h command.Host, name, doing string, paths ...string) (view, error) {
	r, err := h.Run(ctx, x.lookCommand(paths...))
	if err != nil {
		return view{}, onevolume.Errorf(onevolume.Unreachable, "domain %s on host %s: %s: %w", name, h.Name(), doing, err)
	}
	if r.Code != 0 {
		return view{}, failure(h, name, doing, r)
	}
	v, err := parseLook(string(r.Stdout))
	if err != nil {
		return v, onevolume.Errorf(onevolume.Internal, "domain %s on host %s: %s: %w", name, h.Name(), doing, err)
	}
	return v, nil
}

func (x *Driver) lookCommand(paths ...string) command.Cmd {
	return command.Cmd{Name: "xen-look", Script: lookScript, Args: append([]string{x.o.Tool}, paths...), ReadOnly: true, Timeout: x.o.Timeout}
}

// parseLook reads what the script printed.
func parseLook(out string) (view, error) {
	v := view{devices: map[string]string{}}
	body, whole := strings.CutSuffix(out, "-- end\n")
	if !whole {
		return v, fmt.Errorf("the output breaks off")
	}
	head, rest, _ := strings.Cut(body, "-- store\n")
	store, rest, _ := strings.Cut(rest, "-- backends\n")
	backends, devices, ok := strings.Cut(rest, "-- devices\n")
	first, list, _ := strings.Cut(head, "\n")
	v.tool, whole = strings.CutPrefix(first, "tool ")
	if !ok || !whole {
		return v, fmt.Errorf("the output is not that of the script: %.80q", out)
	}
	rows, err := parseList(list)
	if err != nil {
		return v, err
	}
	keys := parseStore(store)
	disks := keys.disks()
	for _, r := range rows {
		if r.id != 0 {
			v.domains = append(v.domains, keys.domain(r, disks[r.id], v.tool))
		}
	}
	for line := range strings.Lines(devices) {
		if number, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " "); ok && number != "0:0" {
			v.devices[path] = number
		}
	}
	for line := range strings.Lines(backends) {
		name, device, _ := strings.Cut(strings.TrimSpace(line), " ")
		var b backend
		var number int
		if _, err := fmt.Sscanf(name, "vbd-%d-%d", &b.id, &number); err == nil {
			b.name, b.device = name, device
			v.backends = append(v.backends, b)
		}
	}
	return v, nil
}

// row is a line of what xl list and xm list print. A domain that xend keeps
// and that does not run has no id: -1 here.
type row struct {
	name, state string
	id          int
}

var rowForm = regexp.MustCompile(`^(.+?)\s+(?:(\d+)\s+)?(\d+)\s+(\d+)\s+([-a-zA-Z]*)\s+([0-9.]+)$`)

func parseList(text string) (rows []row, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \r\n")
		if line == "" || strings.HasPrefix(line, "Name ") && strings.HasSuffix(line, "Time(s)") {
			continue
		}
		m := rowForm.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("no line of a list of domains: %q", line)
		}
		r := row{name: m[1], state: m[5], id: -1}
		if m[2] != "" {
			if r.id, err = strconv.Atoi(m[2]); err != nil {
				return nil, err
			}
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("the list of domains is empty: there is always domain 0")
	}
	return rows, nil
}

// words says in words what the letters of a state mean (xl(1), list), and
// whether the domain runs.
func (r row) words() (string, bool) {
	for _, s := range []struct{ letter, word string }{{"d", "dying"}, {"c", "crashed"}, {"s", "shut down"}} {
		if strings.Contains(r.state, s.letter) {
			return s.word, false
		}
	}
	switch {
	case r.id < 0:
		return "shut off", false
	case strings.Contains(r.state, "p"):
		return "paused", true
	}
	return "running", true
}

// store is a tree of xenstore, by path.
type store map[string]string

// parseStore reads what xenstore-ls -f prints: PATH = "VALUE". Quotes in a
// value are printed as they are.
func parseStore(text string) store {
	keys := store{}
	for line := range strings.Lines(text) {
		path, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ` = "`)
		if !ok {
			continue
		}
		// After the value there may be permissions, in brackets.
		if i := strings.LastIndex(value, `"`); i >= 0 {
			keys[strings.TrimSpace(path)] = unescape(value[:i])
		}
	}
	return keys
}

// unescape undoes what xenstore-ls does to characters that are not printable
// (sanitise_value in tools/xenstore/xs_lib.c).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch c := s[i]; c {
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case '0', '1', '2', '3', '4', '5', '6', '7':
			end := i + 1
			for end < len(s) && end < i+3 && s[end] >= '0' && s[end] <= '7' {
				end++
			}
			n, _ := strconv.ParseUint(s[i:end], 8, 16)
			b.WriteByte(byte(n))
			i = end - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// diskKey is a backend of a disk in domain 0: of blkback (vbd) and of QEMU.
var diskKey = regexp.MustCompile(`^/local/domain/0/backend/(?:vbd|vbd3|qdisk|tap2?)/(\d+)/(\d+)/(params|dev|mode|state|physical-device)$`)

// disks are those of all domains, by the domain's id, in the order of their
// numbers.
func (k store) disks() map[int][]disk {
	type number struct{ domain, disk int }
	keys := map[number]map[string]string{}
	for path, value := range k {
		m := diskKey.FindStringSubmatch(path)
		if m == nil {
			continue
		}
		id, err1 := strconv.Atoi(m[1])
		n, err2 := strconv.Atoi(m[2])
		if err1 != nil || err2 != nil {
			continue
		}
		if keys[number{id, n}] == nil {
			keys[number{id, n}] = map[string]string{}
		}
		keys[number{id, n}][m[3]] = value
	}
	all := map[int][]disk{}
	for _, at := range slices.SortedFunc(maps.Keys(keys), func(a, b number) int { return a.disk - b.disk }) {
		all[at.domain] = append(all[at.domain], diskOf(keys[at]))
	}
	return all
}

// domain puts together what list and store have of a domain.
func (k store) domain(r row, disks []disk, tool string) *domain {
	d := &domain{id: r.id, disks: disks, Domain: hypervisor.Domain{Name: r.name}}
	d.State, d.Running = r.words()
	d.UUID = strings.TrimPrefix(k[fmt.Sprintf("/local/domain/%d/vm", r.id)], "/vm/")
	for _, disk := range disks {
		d.Disks = append(d.Disks, disk.Disk)
	}
	if d.Running {
		d.Slots = slots(d.Disks, tool)
	}
	return d
}

// diskOf reads the keys of a backend. QEMU's have the kind of image before
// the path.
func diskOf(keys map[string]string) disk {
	source := keys["params"]
	if kind, path, ok := strings.Cut(source, ":"); ok && strings.HasPrefix(path, "/") && !strings.HasPrefix(kind, "/") {
		source = path
	}
	k := disk{device: keys["physical-device"], Disk: hypervisor.Disk{Source: source, Target: keys["dev"], Bus: "xen", ReadOnly: !strings.HasPrefix(keys["mode"], "w")}}
	k.state, _ = strconv.Atoi(keys["state"])
	return k
}
