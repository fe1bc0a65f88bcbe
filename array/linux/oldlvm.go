package linux

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/array"
)

// OldLVM keeps volumes as thick logical volumes, on machines whose LVM (2.02,
// from 2006 on) knows neither JSON nor thin pools, and fewer letters in tags.
//
// A thick volume shows what was on its extents before: it is overwritten with
// zeroes when it is made, and so is what it gets when it grows. A tag says so
// from before it has them until that is done.
type OldLVM struct{ VG string }

func (l OldLVM) open(o Options) pool { return &oldLVM{lvm{LVM{VG: l.VG}, o}} }

type oldLVM struct{ lvm }

var _ blanker = (*oldLVM)(nil)

// The tags. Before LVM 2.02.78 they have letters, digits and _+.- only, at
// most 128 of them (lvm(8)).
const (
	oldTagVolume = "onevolume.volume."
	oldTagLabel  = "onevolume.label."
	oldTagRaw    = "onevolume.raw." // from which KiB on
	maxOldTag    = 128
	// maxOldLabel lets three characters for each byte fit in.
	maxOldLabel = (maxOldTag - len(oldTagLabel)) / 3
)

// oldLVMLook lists the volume group and its volumes, a line each.
const oldLVMLook = `show() { cmd=$1 && shift && "$cmd" --noheadings --units b --nosuffix --separator "|" -o "$@"; }
show vgs vg_name,vg_size,vg_free,vg_extent_size "$1" && echo lvs && show lvs lv_name,lv_size,lv_attr,origin,lv_tags "$1" && echo end
`

// NameOldLVMLook is what logs call it.
const NameOldLVMLook = "old-lvm-look"

func (p *oldLVM) look(ctx context.Context, o *Op) (*content, error) {
	c := Script(NameOldLVMLook, oldLVMLook, true, p.VG)
	r, err := o.Run(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := p.judge(o, c, r); err != nil {
		return nil, err
	}
	content, err := p.parse(string(r.Stdout))
	if err != nil {
		return nil, o.Fail(array.Refused, "%s: what LVM said: %w", p.opt.Host, err)
	}
	return content, nil
}

func (p *oldLVM) parse(out string) (*content, error) {
	group, rest, ok := strings.Cut(out, "\nlvs\n")
	list, after, ended := strings.Cut("\n"+rest, "\nend\n")
	vg := strings.Split(strings.TrimSpace(group), "|")
	if !ok || !ended || after != "" || len(vg) != 4 {
		return nil, fmt.Errorf("it is cut off, or not one volume group: %.200q", out)
	}
	var size, free, extent onevolume.Size
	if err := sizes(vg[1], &size, vg[2], &free, vg[3], &extent); err != nil {
		return nil, err
	}
	if extent <= 0 || extent%1024 != 0 || free > size {
		return nil, fmt.Errorf("extents of %d bytes, %d of %d bytes free", extent, free, size)
	}
	c := &content{
		caps: array.Capabilities{Granule: extent, MinSize: extent, MaxLabel: maxOldLabel, Zeroed: true},
		stats: array.Stats{
			Model: "LVM", Total: array.Known(size), Free: array.Known(free), Used: array.Known(size - free),
			Provisioned: array.Known(size - free), Limit: array.Known(size),
		},
	}
	shadows := map[string][]string{}
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		f := strings.Split(line, "|")
		if len(f) != 5 {
			return nil, fmt.Errorf("no logical volume: %q", line)
		}
		u, err := p.unit(lv{Name: f[0], Size: f[1], Attr: f[2]})
		if err != nil {
			return nil, err
		}
		for _, tag := range strings.Split(f[4], ",") {
			if v, ok := strings.CutPrefix(tag, oldTagVolume); ok {
				if id, err := array.ParseID(v); err == nil {
					u.ID = id
				}
			}
			if v, ok := strings.CutPrefix(tag, oldTagLabel); ok {
				u.Label = decode(strings.ReplaceAll(v, "+", "#"))
			}
			if v, ok := strings.CutPrefix(tag, oldTagRaw); ok {
				kib, err := strconv.ParseInt(v, 10, 64)
				if err != nil || kib < 0 || kib > int64(u.Size)>>10 {
					return nil, fmt.Errorf("%s has the tag %q", f[0], tag)
				}
				if from := onevolume.Size(kib << 10); !u.raw.is || from < u.raw.from {
					u.raw = raw{true, from}
				}
			}
		}
		if f[3] != "" {
			shadows[f[3]] = append(shadows[f[3]], f[0])
		}
		c.units = append(c.units, u)
	}
	for i := range c.units {
		c.units[i].shadows = shadows[c.units[i].Name]
	}
	return c, nil
}

// inKiB is a size as any LVM takes it; extents are never smaller.
func inKiB(n onevolume.Size) string { return fmt.Sprintf("%dk", int64(n)>>10) }

// create has none of the options against questions: nothing is asked.
func (p *oldLVM) create(ctx context.Context, o *Op, u Unit) error {
	argv := []string{"lvcreate", "-n", u.Name, "-L", inKiB(u.Size), "--addtag", oldTagVolume + string(u.ID), "--addtag", oldTagRaw + "0"}
	if u.Label != "" {
		argv = append(argv, "--addtag", oldTagLabel+strings.ReplaceAll(encode(u.Label), "#", "+"))
	}
	return p.run(ctx, o, append(argv, p.VG)...)
}

func (p *oldLVM) copy(_ context.Context, o *Op, _, _ Unit) error {
	return o.Fail(array.Unsupported, "thick volumes are not copied")
}

func rawTag(from onevolume.Size) string { return fmt.Sprintf("%s%d", oldTagRaw, int64(from)>>10) }

func (p *oldLVM) block(c *content) onevolume.Size { return min(c.caps.Granule, onevolume.MiB) }

func (p *oldLVM) blanked(ctx context.Context, o *Op, u Unit) error {
	return p.run(ctx, o, "lvchange", "--deltag", rawTag(u.raw.from), p.VG+"/"+u.Name)
}

// extend marks what will be new first. It refuses a volume with a snapshot of somebody's, which LVM would not
// extend while it is active.
func (p *oldLVM) extend(ctx context.Context, o *Op, u Unit, size onevolume.Size) error {
	if len(u.shadows) > 0 {
		return array.InUse("volume "+string(u.ID), array.Holders{Other: "the LVM snapshot " + u.shadows[0]})
	}
	if !u.raw.is {
		if err := p.run(ctx, o, "lvchange", "--addtag", rawTag(u.Size), p.VG+"/"+u.Name); err != nil {
			return err
		}
	}
	return p.run(ctx, o, "lvextend", "-L", inKiB(size), p.VG+"/"+u.Name)
}

func (p *oldLVM) activate(ctx context.Context, o *Op, u Unit) error {
	return p.run(ctx, o, "lvchange", "-a", "y", p.VG+"/"+u.Name)
}
