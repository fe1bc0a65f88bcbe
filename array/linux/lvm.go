package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/array"
	"onevolume/command"
)

// LVM keeps volumes as logical volumes of a volume group: thin ones in the
// thin pool, or without a pool thick ones. Thick ones have neither snapshots
// nor copies: LVM's thick snapshots slow their origin down, block its growth
// and vanish when they run full.
//
// Ours are known by their tags (lvm(8)), not by their names: which volume or
// snapshot it is, what it was made from, and the label.
type LVM struct {
	VG   string
	Pool string // the thin pool's name, or empty
}

func (l LVM) open(o Options) pool { return &lvm{l, o} }

type lvm struct {
	LVM
	opt Options
}

// The tags. Their values may have letters, digits and _+.-/=!:#& (lvm(8)).
const (
	tagVolume   = "onevolume.volume="
	tagSnapshot = "onevolume.snapshot="
	tagOf       = "onevolume.of="
	tagFrom     = "onevolume.from="
	tagLabel    = "onevolume.label="
	tagRevert   = "onevolume.revert="
	tagTo       = "onevolume.to="
)

// maxLVMLabel lets three characters for each byte fit into the 1024 of a tag.
const maxLVMLabel = 255

// lvmLook asks for all in one process, of which LVM takes a tenth of a second to
// start, and at one moment: lvm-fullreport(8) locks the volume group once. The
// parts that are of no use have to have a column all the same.
const lvmLook = `exec lvm fullreport --reportformat json --units b --nosuffix --configreport vg -o vg_name,vg_size,vg_free,vg_extent_size \
--configreport lv -o lv_name,lv_size,lv_attr,origin,pool_lv,data_percent,metadata_percent,lv_health_status,lv_tags \
--configreport pv -o pv_name --configreport pvseg -o pvseg_start --configreport seg -o seg_start "$1"
`

// NameLVMLook is what logs call the look at a volume group, and fakes know.
const NameLVMLook = "lvm-look"

// report is what LVM prints by --reportformat json (2.03.16): all values are
// strings.
type report struct {
	Report []struct {
		VG []struct {
			Name   string `json:"vg_name"`
			Size   string `json:"vg_size"`
			Free   string `json:"vg_free"`
			Extent string `json:"vg_extent_size"`
		} `json:"vg"`
		LV []lv `json:"lv"`
	} `json:"report"`
}

type lv struct {
	Name     string `json:"lv_name"`
	Size     string `json:"lv_size"`
	Attr     string `json:"lv_attr"`
	Origin   string `json:"origin"`
	Pool     string `json:"pool_lv"`
	Data     string `json:"data_percent"`
	Metadata string `json:"metadata_percent"`
	Health   string `json:"lv_health_status"`
	Tags     string `json:"lv_tags"`
}

func (p *lvm) look(ctx context.Context, o *Op) (*content, error) {
	c := Script(NameLVMLook, lvmLook, true, p.VG)
	r, err := o.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := p.judge(o, c, r); err != nil {
		return nil, err
	}
	content, err := p.parse(r.Stdout)
	if err != nil {
		return nil, o.Fail(array.Refused, "%s: what LVM said: %w", p.opt.Host, err)
	}
	return content, nil
}

// parse reads the report.
func (p *lvm) parse(out []byte) (*content, error) {
	var all report
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var r report
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		all.Report = append(all.Report, r.Report...)
	}
	c := &content{}
	var vgs int
	shadows := map[string][]string{}
	var pool *lv
	var extent, size, free, provisioned onevolume.Size
	for _, part := range all.Report {
		for _, v := range part.VG {
			vgs++
			if err := sizes(v.Extent, &extent, v.Size, &size, v.Free, &free); err != nil {
				return nil, err
			}
		}
		for _, l := range part.LV {
			if l.Name == p.Pool {
				pool = &l
				continue
			}
			u, err := p.unit(l)
			if err != nil {
				return nil, err
			}
			if p.Pool != "" && l.Pool == p.Pool {
				provisioned += u.Size
			}
			c.units = append(c.units, u)
			// Of a thick snapshot the first attribute is s, or S when it is
			// to be merged or is broken.
			if l.Origin != "" && strings.HasPrefix(strings.ToLower(l.Attr), "s") {
				shadows[l.Origin] = append(shadows[l.Origin], l.Name)
			}
		}
	}
	for i := range c.units {
		c.units[i].shadows = shadows[c.units[i].Name]
	}
	c.succeed()
	if vgs != 1 || extent <= 0 {
		return nil, fmt.Errorf("%d volume groups, extents of %d bytes", vgs, int64(extent))
	}
	c.caps = array.Capabilities{Granule: extent, MinSize: extent, MaxLabel: maxLVMLabel}
	if p.Pool == "" {
		c.stats = array.Stats{
			Model: "LVM", Total: array.Known(size), Free: array.Known(free), Used: array.Known(size - free),
			Provisioned: array.Known(size - free), Limit: array.Known(size),
		}
		return c, nil
	}
	if pool == nil {
		return nil, fmt.Errorf("there is no thin pool %s in the volume group %s", p.Pool, p.VG)
	}
	return c, p.thin(c, *pool, provisioned)
}

// thin fills in what the pool says. Of its attributes (lvs(8)) the first says
// what it is, the eighth that new blocks are zeroed.
func (p *lvm) thin(c *content, l lv, provisioned onevolume.Size) error {
	var size onevolume.Size
	if err := sizes(l.Size, &size); err != nil {
		return err
	}
	if len(l.Attr) < 9 || l.Attr[0] != 't' {
		return fmt.Errorf("%s is no thin pool: its attributes are %q", p.Pool, l.Attr)
	}
	c.caps.Snapshots, c.caps.Clones, c.caps.Thin, c.caps.Zeroed = true, true, true, l.Attr[7] == 'z'
	c.stats = array.Stats{
		Model: "LVM-thin", Total: array.Known(size), Provisioned: array.Known(provisioned),
		Limit: array.Known(onevolume.Size(float64(size) * p.opt.Overprovision)),
	}
	pool := p.VG + "/" + p.Pool
	data, ok := percent(l.Data)
	if !ok {
		c.room = array.Errorf(array.Refused, "the thin pool %s is not active: how full it is cannot be told", pool)
		c.stats.Trouble = "the thin pool is not active"
		return nil
	}
	used := onevolume.Size(float64(size) * data / 100)
	c.stats.Used, c.stats.Free = array.Known(used), array.Known(size-used)
	meta, _ := percent(l.Metadata)
	switch {
	case l.Health != "":
		c.stats.Trouble = "the thin pool's health is " + l.Health
		c.room = array.Errorf(array.NoSpace, "the thin pool %s: its health is %s", pool, l.Health)
	case 100-data < p.opt.MinFree:
		c.stats.Trouble = fmt.Sprintf("the thin pool is %s %% full", l.Data)
		c.room = array.Errorf(array.NoSpace, "the thin pool %s is %s %% full, and %g %% are kept free", pool, l.Data, p.opt.MinFree)
	case 100-meta < p.opt.MinFree:
		c.stats.Trouble = fmt.Sprintf("the thin pool's metadata is %s %% full", l.Metadata)
		c.room = array.Errorf(array.NoSpace, "the metadata of the thin pool %s is %s %% full", pool, l.Metadata)
	}
	return nil
}

// unit makes a unit of a logical volume.
func (p *lvm) unit(l lv) (Unit, error) {
	u := Unit{Name: l.Name, Device: "/dev/" + p.VG + "/" + l.Name, Active: len(l.Attr) > 4 && l.Attr[4] == 'a'}
	if err := sizes(l.Size, &u.Size); err != nil {
		return u, err
	}
	if p.Pool == "" {
		u.Used = array.Known(u.Size)
	} else if data, ok := percent(l.Data); ok {
		u.Used = array.Known(onevolume.Size(float64(u.Size) * data / 100))
	}
	if p.Pool != l.Pool { // in another pool, or in none: not ours here
		return u, nil
	}
	for _, tag := range strings.Split(l.Tags, ",") {
		for prefix, set := range map[string]func(string){
			tagVolume:   func(v string) { u.ID = array.ID(v) },
			tagSnapshot: func(v string) { u.ID, u.Shot = array.ID(v), true },
			tagOf:       func(v string) { u.Of = array.ID(v) },
			tagFrom:     func(v string) { u.From = array.ID(v) },
			tagLabel:    func(v string) { u.Label = decode(v) },
			tagRevert:   func(v string) { u.heir = array.ID(v) },
			tagTo:       func(v string) { u.to = array.ID(v) },
		} {
			if v, ok := strings.CutPrefix(tag, prefix); ok {
				set(v)
			}
		}
	}
	return u, nil
}

// tags are the options that mark a unit as ours.
func tags(u Unit) (args []string) {
	add := func(tag, value string) {
		if value != "" {
			args = append(args, "--addtag", tag+value)
		}
	}
	if u.Shot {
		add(tagSnapshot, string(u.ID))
	} else {
		add(tagVolume, string(u.ID))
	}
	add(tagOf, string(u.Of))
	add(tagFrom, string(u.From))
	add(tagLabel, encode(u.Label))
	add(tagRevert, string(u.heir))
	add(tagTo, string(u.to))
	return args
}

// encode writes a label with the characters that tags have: whatever else as
// # and two hexadecimal digits.
func encode(label string) string {
	var b strings.Builder
	for i := range len(label) {
		switch c := label[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '.', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "#%02x", c)
		}
	}
	return b.String()
}

func decode(tag string) string {
	var b strings.Builder
	for i := 0; i < len(tag); i++ {
		if tag[i] == '#' && i+2 < len(tag) {
			if n, err := strconv.ParseUint(tag[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(tag[i])
	}
	return b.String()
}

func inBytes(n onevolume.Size) string { return strconv.FormatInt(int64(n), 10) + "b" }

func (p *lvm) create(ctx context.Context, o *Op, u Unit) error {
	// Signatures of what was there before are wiped, or udev would find
	// somebody's file system on it.
	argv := []string{"lvcreate", "-y", "-n", u.Name, "-L", inBytes(u.Size), "-Wy", p.VG}
	if p.Pool != "" {
		argv = []string{"lvcreate", "-y", "-T", "-V", inBytes(u.Size), "-n", u.Name, p.VG + "/" + p.Pool}
	}
	return p.run(ctx, o, append(argv, tags(u)...)...)
}

// copy makes a thin snapshot, which is as good as a volume: it depends on
// nothing. Ours that are snapshots are not activated, so that nobody writes to
// them.
func (p *lvm) copy(ctx context.Context, o *Op, u, source Unit) error {
	skip := "n"
	if u.Shot {
		skip = "y"
	}
	argv := []string{"lvcreate", "-y", "-n", u.Name, "-k", skip, "--snapshot", p.VG + "/" + source.Name}
	return p.run(ctx, o, append(argv, tags(u)...)...)
}

// extend never makes anything smaller: lvextend does not.
func (p *lvm) extend(ctx context.Context, o *Op, u Unit, size onevolume.Size) error {
	return p.run(ctx, o, "lvextend", "-L", inBytes(size), p.VG+"/"+u.Name)
}

func (p *lvm) activate(ctx context.Context, o *Op, u Unit) error {
	return p.run(ctx, o, "lvchange", "-y", "-a", "y", "-K", p.VG+"/"+u.Name)
}

// succeed gives a copy of a snapshot the volume's name and its tag.
func (p *lvm) succeed(ctx context.Context, o *Op, u Unit) error {
	name := u.heir.Name()
	if u.Name != name {
		if err := p.run(ctx, o, "lvrename", p.VG, u.Name, name); err != nil {
			return err
		}
	}
	return p.run(ctx, o, "lvchange", "--addtag", tagVolume+string(u.heir), "--deltag", tagRevert+string(u.heir),
		"--deltag", tagTo+string(u.to), p.VG+"/"+name)
}

// remove looks for thick snapshots of somebody's first, which lvremove -f
// would take along without a word.
func (p *lvm) remove(ctx context.Context, o *Op, u Unit) error {
	if len(u.shadows) > 0 {
		return array.InUse("volume "+string(u.ID), array.Holders{Other: "the LVM snapshot " + u.shadows[0]})
	}
	err := p.run(ctx, o, "lvremove", "-f", p.VG+"/"+u.Name)
	if array.Is(err, array.NotFound) {
		return nil
	}
	return err
}

func (p *lvm) run(ctx context.Context, o *Op, argv ...string) error {
	c := command.Cmd{Argv: argv, Sudo: true}
	r, err := o.Run(ctx, c)
	if err != nil {
		return err
	}
	return p.judge(o, c, r)
}

// judge makes an error of how an LVM command ended: 5 for what failed, 3 for
// arguments that cannot be (recorded with LVM 2.03.16).
func (p *lvm) judge(o *Op, c command.Cmd, r command.Result) error {
	if r.Code == 0 {
		return nil
	}
	text := string(r.Stderr)
	kind := array.Refused
	for _, k := range []struct {
		words string
		kind  array.Kind
	}{
		{" matches existing size", -1},
		{"not larger than existing size", array.Invalid},
		{" already exists in volume group ", array.Exists},
		{"insufficient free space", array.NoSpace},
		{"Insufficient free ", array.NoSpace}, // space, or extents (2.02)
		{"is out of data space", array.NoSpace},
		{"free space in thin pool", array.NoSpace},
		{"Failed to find logical volume ", array.NotFound},
		{"specified logical volume(s) not found", array.NotFound},
		{" in use.", array.Busy},
		{"Can't remove open logical volume", array.Busy}, // 2.02
		{"contains a filesystem in use", array.Busy},
	} {
		if strings.Contains(text, k.words) {
			kind = k.kind
			break
		}
	}
	if kind == -1 {
		return nil
	}
	e := o.Fail(kind, "%w", command.Check(p.opt.Host, c, r, nil))
	if kind == array.Busy {
		e.By.Other = strings.TrimSpace(text)
	}
	if strings.Contains(text, "Volume group ") && strings.Contains(text, " not found") {
		e.Hint = "see to it that " + p.opt.Host + " has the volume group " + p.VG + ", or name another in the configuration"
	}
	return e
}

// sizes reads pairs of a text and where its number goes.
func sizes(pairs ...any) error {
	for i := 0; i < len(pairs); i += 2 {
		text, to := pairs[i].(string), pairs[i+1].(*onevolume.Size)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no number of bytes", text)
		}
		*to = onevolume.Size(n)
	}
	return nil
}

// percent reads one; LVM leaves it empty when it does not know.
func percent(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f >= 0 && f <= 100
}
