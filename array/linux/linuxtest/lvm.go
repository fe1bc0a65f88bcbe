// Package linuxtest has a volume group made of memory, for tests of arrays on
// Linux machines: it answers LVM's commands as LVM 2.03.16 was recorded to,
// and fails the test on any other.
package linuxtest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"onevolume/array/linux"
	"onevolume/command"
	"onevolume/command/commandtest"
)

// extent is LVM's default, 4 MiB.
const extent = 4 << 20

// VG is a volume group with a thin pool or without.
type VG struct {
	Name, Pool string
	Size       int64 // of the thin pool, or of the group

	// Held says why a volume's device is in use, if it is.
	Held func(name string) bool

	mu     sync.Mutex
	t      testing.TB
	lvs    map[string]*lv
	full   float64 // percent of the pool's data
	health string
}

type lv struct {
	size   int64
	tags   []string
	origin string
	thin   bool
	active bool
	data   []byte
}

// NewVG makes a volume group; without a pool its volumes are thick.
func NewVG(t testing.TB, name, pool string, size int64) *VG {
	return &VG{Name: name, Pool: pool, Size: size, Held: func(string) bool { return false }, t: t, lvs: map[string]*lv{}}
}

// Handle answers the command, if it is one of LVM's.
func (g *VG) Handle(c command.Cmd) (command.Result, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.Name == linux.NameLVMLook && len(c.Args) == 1 {
		return g.look(c.Args[0])
	}
	if len(c.Argv) == 0 || !c.Sudo {
		return command.Result{}, commandtest.ErrUnknown
	}
	if c.Argv[0] == "lvrename" && len(c.Argv) == 4 {
		return g.rename(c.Argv[1], c.Argv[2], c.Argv[3])
	}
	a, ok := options(c.Argv[1:])
	if !ok {
		return command.Result{}, commandtest.ErrUnknown
	}
	switch c.Argv[0] {
	case "lvcreate":
		return g.create(a)
	case "lvextend":
		return g.extend(a)
	case "lvchange":
		return g.change(a)
	case "lvremove":
		return g.remove(a)
	}
	return command.Result{}, commandtest.ErrUnknown
}

// args are a command's options and its last word.
type args struct {
	opts map[string]string
	tags []string
	gone []string // tags to be taken off
	at   string
}

// options reads those that the drivers use.
func options(words []string) (a args, ok bool) {
	a.opts = map[string]string{}
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "-y", "-T", "-f", "-K", "-Wy":
			a.opts[w] = ""
		case "-n", "-L", "-V", "-k", "-a", "--snapshot":
			if i++; i == len(words) {
				return a, false
			}
			a.opts[w] = words[i]
		case "--addtag", "--deltag":
			if i++; i == len(words) || strings.Trim(words[i], tagLetters) != "" || len(words[i]) > 1024 {
				return a, false
			}
			list := map[string]*[]string{"--addtag": &a.tags, "--deltag": &a.gone}[w]
			*list = append(*list, words[i])
		default:
			if strings.HasPrefix(w, "-") || a.at != "" {
				return a, false
			}
			a.at = w
		}
	}
	return a, true
}

// tagLetters are those that lvm(8) lets tags have.
const tagLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-/=!:#&"

func fail(code int, format string, words ...any) (command.Result, error) {
	return commandtest.Fail(code, "  "+fmt.Sprintf(format, words...)+"\n")
}

// bytes reads a size of the form 123b and rounds it up to extents.
func bytes(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, "b"), 10, 64)
	return (n + extent - 1) / extent * extent, err == nil && strings.HasSuffix(s, "b") && n%512 == 0
}

func (g *VG) create(a args) (command.Result, error) {
	name := a.opts["-n"]
	if g.lvs[name] != nil {
		return fail(5, `Logical Volume "%s" already exists in volume group "%s"`, name, g.Name)
	}
	source, isSnapshot := a.opts["--snapshot"]
	_, isThin := a.opts["-T"]
	if (isSnapshot || isThin) && g.health == "out_of_data" {
		return fail(5, "Cannot create new thin volume, free space in thin pool %s/%s reached threshold.", g.Name, g.Pool)
	}
	l := &lv{tags: a.tags, active: true}
	switch {
	case isSnapshot:
		from := g.lvs[strings.TrimPrefix(source, g.Name+"/")]
		if from == nil {
			return fail(5, "Failed to find logical volume \"%s\"", source)
		}
		if !from.thin { // a thick snapshot would need a size
			return fail(3, "Please specify either size or extents with snapshots.")
		}
		l.size, l.thin, l.origin, l.active = from.size, true, strings.TrimPrefix(source, g.Name+"/"), a.opts["-k"] == "n"
		l.data = slices.Clone(from.data)
	case isThin:
		size, ok := bytes(a.opts["-V"])
		if !ok || a.at != g.Name+"/"+g.Pool {
			return command.Result{}, commandtest.ErrUnknown
		}
		l.size, l.thin = size, true
	default:
		size, ok := bytes(a.opts["-L"])
		if !ok || a.at != g.Name {
			return command.Result{}, commandtest.ErrUnknown
		}
		if l.size = size; size > g.Size-g.thick() {
			return fail(5, `Volume group "%s" has insufficient free space (%d extents): %d required.`, g.Name, (g.Size-g.thick())/extent, size/extent)
		}
	}
	g.lvs[name] = l
	return commandtest.OK(fmt.Sprintf("  Logical volume \"%s\" created.\n", name))
}

// thick is what thick volumes take.
func (g *VG) thick() (n int64) {
	for _, l := range g.lvs {
		if !l.thin {
			n += l.size
		}
	}
	return n
}

// get finds the volume that VG/NAME names.
func (g *VG) get(at string) (*lv, string) {
	name, ok := strings.CutPrefix(at, g.Name+"/")
	if !ok {
		return nil, at
	}
	return g.lvs[name], name
}

func (g *VG) extend(a args) (command.Result, error) {
	size, ok := bytes(a.opts["-L"])
	if !ok {
		return command.Result{}, commandtest.ErrUnknown
	}
	l, name := g.get(a.at)
	switch {
	case l == nil:
		return fail(5, "Logical volume %s not found in volume group %s.", name, g.Name)
	case size == l.size:
		return fail(5, "New size (%d extents) matches existing size (%d extents).", size/extent, l.size/extent)
	case size < l.size:
		return fail(5, "New size given (%d extents) not larger than existing size (%d extents)", size/extent, l.size/extent)
	case !l.thin && size-l.size > g.Size-g.thick():
		return fail(5, "Insufficient free space: %d extents needed, but only %d available", (size-l.size)/extent, (g.Size-g.thick())/extent)
	}
	l.size = size
	return commandtest.OK(fmt.Sprintf("  Logical volume %s/%s successfully resized.\n", g.Name, name))
}

func (g *VG) change(a args) (command.Result, error) {
	l, _ := g.get(a.at)
	active, tagged := a.opts["-a"] == "y", len(a.tags)+len(a.gone) > 0
	if l == nil || active == tagged {
		return command.Result{}, commandtest.ErrUnknown
	}
	if active {
		l.active = true
		return commandtest.OK("")
	}
	l.tags = slices.DeleteFunc(append(l.tags, a.tags...), func(tag string) bool { return slices.Contains(a.gone, tag) })
	return commandtest.OK(fmt.Sprintf("  Logical volume %s changed.\n", a.at))
}

func (g *VG) rename(vg, from, to string) (command.Result, error) {
	l := g.lvs[from]
	switch {
	case vg != g.Name || l == nil:
		return fail(5, `Existing logical volume "%s" not found in volume group "%s"`, from, vg)
	case g.lvs[to] != nil:
		return fail(5, `Logical volume "%s" already exists in volume group "%s"`, to, vg)
	}
	delete(g.lvs, from)
	g.lvs[to] = l
	for _, o := range g.lvs {
		if o.origin == from {
			o.origin = to
		}
	}
	return commandtest.OK(fmt.Sprintf("  Renamed \"%s\" to \"%s\" in volume group \"%s\"\n", from, to, vg))
}

func (g *VG) remove(a args) (command.Result, error) {
	if _, force := a.opts["-f"]; !force {
		return fail(5, "Logical volume %s not removed.", a.at)
	}
	l, name := g.get(a.at)
	if l == nil {
		return fail(5, `Failed to find logical volume "%s"`, a.at)
	}
	if g.Held(name) {
		return fail(5, "Logical volume %s in use.", a.at)
	}
	delete(g.lvs, name)
	for _, other := range slices.Sorted(maps.Keys(g.lvs)) {
		if o := g.lvs[other]; o.origin == name {
			if o.origin = ""; !o.thin { // which LVM takes along without a word
				delete(g.lvs, other)
			}
		}
	}
	return commandtest.OK(fmt.Sprintf("  Logical volume %q successfully removed.\n", name))
}

// look answers with the reports on the group and on its volumes.
func (g *VG) look(vg string) (command.Result, error) {
	if vg != g.Name {
		return commandtest.Fail(5, "  Volume group \""+vg+"\" not found\n  Cannot process volume group "+vg+"\n")
	}
	size := g.Size
	if g.Pool != "" {
		size *= 2
	}
	var b strings.Builder
	fmt.Fprintf(&b, `{"report": [{"vg": [{"vg_name":%q, "vg_size":"%d", "vg_free":"%d", "vg_extent_size":"%d"}]}]}`+"\n", vg, size, size-g.thick(), extent)
	var rows []string
	row := func(name string, size int64, attr, origin, pool, data, meta, health string, tags []string) {
		rows = append(rows, fmt.Sprintf(`{"lv_name":%q, "lv_size":"%d", "lv_attr":%q, "origin":%q, "pool_lv":%q, "data_percent":%q, "metadata_percent":%q, "lv_health_status":%q, "lv_tags":%q}`,
			name, size, attr, origin, pool, data, meta, health, strings.Join(tags, ",")))
	}
	if g.Pool != "" {
		row(g.Pool, g.Size, "twi-aotz--", "", "", fmt.Sprintf("%.2f", g.full), "10.94", g.health, nil)
	}
	for _, name := range slices.Sorted(maps.Keys(g.lvs)) {
		l := g.lvs[name]
		switch {
		case !l.thin && l.origin != "":
			row(name, l.size, "swi-a-s---", l.origin, "", "0.00", "", "", l.tags)
		case !l.thin:
			row(name, l.size, "-wi-a-----", "", "", "", "", "", l.tags)
		case l.active:
			row(name, l.size, "Vwi-a-tz--", l.origin, g.Pool, "0.00", "", "", l.tags)
		default:
			row(name, l.size, "Vwi---tz-k", l.origin, g.Pool, "", "", "", l.tags)
		}
	}
	fmt.Fprintf(&b, `{"report": [{"lv": [%s]}]}`+"\n", strings.Join(rows, ","))
	return commandtest.OK(b.String())
}

// Fill says how full the thin pool is, in percent, and its health.
func (g *VG) Fill(percent float64, health string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.full, g.health = percent, health
}

// Add makes a volume of somebody else's; with an origin, a thick snapshot.
func (g *VG) Add(name, origin string, size int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lvs[name] = &lv{size: size, thin: g.Pool != "" && origin == "", origin: origin, active: true}
}

// Del takes it away again.
func (g *VG) Del(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.lvs, name)
}

// Has says whether there is such a volume.
func (g *VG) Has(name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lvs[name] != nil
}

// Write writes to the beginning of a volume, Read reads there.
func (g *VG) Write(name string, data []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lvs[name] == nil {
		g.t.Fatalf("there is no volume %s", name)
	}
	g.lvs[name].data = slices.Clone(data)
}

// Read gives the first n bytes.
func (g *VG) Read(name string, n int) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	data := make([]byte, n)
	if l := g.lvs[name]; l != nil {
		copy(data, l.data)
	}
	return data
}

// State lists all volumes.
func (g *VG) State() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(g.lvs)) {
		l := g.lvs[name]
		fmt.Fprintf(&b, "%s %d %v %q\n", name, l.size, l.tags, l.origin)
	}
	return b.String()
}
