package linux

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/command"
)

// The report was recorded with LVM 2.03.16: a thin pool with an over-large
// volume, an inactive snapshot, and a thick volume with a snapshot of its own.
func TestParseLVM(t *testing.T) {
	text, err := os.ReadFile("testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	thin := &lvm{LVM{"vg0", "pool"}, Options{Overprovision: 2, MinFree: 5}}
	c, err := thin.parse(text)
	if err != nil {
		t.Fatal(err)
	}
	provisioned := 3*onevolume.Size(268435456) + 107374182400
	if c.caps.Granule != 4<<20 || !c.caps.Snapshots || !c.caps.Zeroed || c.stats.Total != array.Known(1<<30) ||
		c.stats.Provisioned != array.Known(provisioned) || c.stats.Limit != array.Known(2<<30) || c.stats.Free != array.Known(1<<30) {
		t.Errorf("%+v %+v", c.caps, c.stats)
	}
	if err := c.fits(1); !array.Is(err, array.NoSpace) || onevolume.HintOf(err) == "" {
		t.Error(err)
	}
	var names []string
	for _, u := range c.units {
		names = append(names, u.Name)
		if u.ID != "" || u.Active == (u.Name == "snap1") || (len(u.shadows) > 0) != (u.Name == "thick1") {
			t.Errorf("%+v", u)
		}
		if _, known := u.Used.Get(); known == (u.Name == "snap1" || u.Name == "thick1") {
			t.Errorf("%s uses %s", u.Name, u.Used)
		}
	}
	if !slices.Equal(names, []string{"clone1", "csnap", "over", "snap1", "thick1", "vol1"}) {
		t.Error(names)
	}

	thick := &lvm{LVM{"vg0", ""}, Options{}}
	if c, err = thick.parse(text); err != nil || c.caps.Snapshots || c.caps.Zeroed || c.stats.Free != array.Known(939524096) {
		t.Errorf("%+v %+v %v", c.caps, c.stats, err)
	}
	other := &lvm{LVM{"vg0", "nosuch"}, Options{}}
	if _, err := other.parse(text); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Error(err)
	}
	notPool := &lvm{LVM{"vg0", "thick1"}, Options{}}
	if _, err := notPool.parse(text); err == nil || !strings.Contains(err.Error(), "no thin pool") {
		t.Error(err)
	}
	// A pool that is not active says nothing of itself: that is not zero.
	dark := strings.Replace(string(text), `"lv_attr":"twi-aotz--", "origin":"", "pool_lv":"", "data_percent":"0.00"`, `"lv_attr":"twi---tz--", "origin":"", "pool_lv":"", "data_percent":""`, 1)
	c, err = thin.parse([]byte(dark))
	if err != nil || c.stats.Free != (array.Figure{}) || c.stats.Used != (array.Figure{}) || c.stats.Trouble == "" || !array.Is(c.fits(1), array.Refused) {
		t.Errorf("%+v %v", c.stats, err)
	}
	for _, s := range []string{"", "{", `{"report":[]}`, strings.Replace(string(text), `"4194304"`, `""`, 1), strings.Replace(string(text), `"268435456"`, `"-1"`, 1)} {
		if _, err := thin.parse([]byte(s)); err == nil {
			t.Errorf("%.60q is taken for a report", s)
		}
	}
}

// A recorded fullreport of a thin pool with a volume of ours.
func TestParseFullReport(t *testing.T) {
	text, err := os.ReadFile("testdata/fullreport.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&lvm{LVM{"thin", "pool"}, Options{Overprovision: 2, MinFree: 5}}).parse(text)
	if err != nil {
		t.Fatal(err)
	}
	u, ok := c.find("e85b2b91-1188-45da-aef5-5e32ab8fb96b", false)
	if !ok || len(c.units) != 1 || u.Size != 24<<20 || u.Label != "web data" || !u.Active || c.stats.Total != array.Known(448<<20) ||
		c.stats.Provisioned != array.Known(24<<20) || c.caps.Granule != 4<<20 {
		t.Errorf("%+v of %+v", u, c)
	}
}

// What LVM says, recorded with 2.03.16, and what it means.
func TestJudge(t *testing.T) {
	p := &lvm{LVM{"vg0", "pool"}, Options{Host: "array1"}}
	o := &Op{what: "create volume x"}
	c := command.Cmd{Argv: []string{"lvcreate"}}
	for text, want := range map[string]array.Kind{
		`  Logical Volume "vol1" already exists in volume group "vg0"`:                                                                                             array.Exists,
		`  Volume group "vg0" has insufficient free space (228 extents): 25600 required.`:                                                                          array.NoSpace,
		"  WARNING: Thin pool vg0/pool is out of data space.\n  Cannot create new thin volume, free space in thin pool vg0/pool reached threshold.":                array.NoSpace,
		`  Failed to find logical volume "vg0/nosuch"`:                                                                                                             array.NotFound,
		`  Logical volume vg0/e1 in use.`:                                                                                                                          array.Busy,
		`  New size given (64 extents) not larger than existing size (128 extents)`:                                                                                array.Invalid,
		"  Volume group \"nosuchvg\" not found\n  Cannot process volume group nosuchvg":                                                                            array.Refused,
		`  Pool nosuch not found in Volume group vg0.`:                                                                                                             array.Refused,
		`  Snapshot origin volumes can be resized only while inactive: try lvchange -an.`:                                                                          array.Refused,
		"  Size is not a multiple of 512. Try using 9999872 or 10000384.\n  Invalid argument for --size: 10000001b\n  Error during parsing of command line.":       array.Refused,
		"  Names starting \"snapshot\" are reserved. Please choose a different LV name.\n  Run `lvcreate --help' for more information.":                            array.Refused,
		"  WARNING: Sum of all thin volume sizes (272.00 MiB) exceeds the size of thin pool vg0/pool (64.00 MiB).\n  Logical volume \"x\" could not be activated.": array.Refused,
	} {
		err := p.judge(o, c, command.Result{Code: 5, Stderr: []byte(text + "\n")})
		if !array.Is(err, want) || !strings.HasPrefix(err.Error(), "create volume x: host array1: lvcreate: exit status 5: ") {
			t.Errorf("%s: %v (%s), want %s", text, err, array.KindOf(err), want)
		}
		if e, ok := errors.AsType[*array.Error](err); ok && (want == array.Busy) != e.By.Any() {
			t.Errorf("%s: held by %q", text, e.By)
		}
	}
	if err := p.judge(o, c, command.Result{Code: 5, Stderr: []byte("  New size (128 extents) matches existing size (128 extents).\n")}); err != nil {
		t.Error(err)
	}
	if err := p.judge(o, c, command.Result{Stderr: []byte("  WARNING: in use.\n")}); err != nil {
		t.Error("a warning is an error:", err)
	}
}

func TestParseFiles(t *testing.T) {
	p := &files{Files{"/srv"}, Options{Overprovision: 2, MinFree: 5}}
	id := array.ID("01234567-89ab-cdef-0123-456789abcdef")
	c, err := p.parse("fs 1000 500\nfile " + id.Name() + ".img 1048576 16 512\nfile ov-x.img 512 1 512\nid " + id.Name() + ".id " + string(id) + "  a b \nid ov-lost.id " + string(id) + "\nid ov-cut.id \nend\n")
	if err != nil || len(c.units) != 2 {
		t.Fatal(c, err)
	}
	if u := c.units[0]; u.ID != id || u.Label != " a b " || u.Size != 1<<20 || u.Used != array.Known(8192) || u.Device != "/srv/"+id.Name()+".img" {
		t.Errorf("%+v", u)
	}
	if u := c.units[1]; u.ID != "" || c.room != nil || c.stats.Provisioned != array.Known(1<<20+512) || c.stats.Limit != array.Known(2000) {
		t.Errorf("%+v %+v", u, c.stats)
	}
	if c, err = p.parse("fs 1000 40\nend\n"); err != nil || !array.Is(c.fits(1), array.NoSpace) || c.stats.Trouble == "" {
		t.Errorf("%+v %v", c.stats, err)
	}
	for _, s := range []string{"", "fs 1000 500\n", "fs x y\nend\n", "fs\nend\n", "what\nend\n", "file a b c d\nend\n"} {
		if _, err := p.parse(s); err == nil {
			t.Errorf("%q is taken for a list", s)
		}
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("web data")
	f.Add("#2")
	f.Add("é\xff\x00")
	f.Fuzz(func(t *testing.T, s string) {
		tag := encode(s)
		if decode(tag) != s || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-#") != "" {
			t.Errorf("%q became %q and %q", s, tag, decode(tag))
		}
	})
}

func FuzzParseLVM(f *testing.F) {
	text, err := os.ReadFile("testdata/report.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &lvm{LVM{"vg0", "pool"}, Options{Overprovision: 2, MinFree: 5}}
		if c, err := p.parse(b); err == nil && c.caps.Granule <= 0 {
			t.Errorf("%q has no granule", b)
		}
	})
}
