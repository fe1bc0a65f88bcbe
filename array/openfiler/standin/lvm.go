package standin

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (s *state) lv(name string) *lv {
	for _, l := range s.LVs {
		if l.Name == name {
			return l
		}
	}
	return nil
}

func (s *state) free() int64 {
	free := int64(Size)
	for _, l := range s.LVs {
		free -= l.Size
	}
	return free
}

// open says whether the target has it: IET holds devices for itself.
func (s *state) open(name string) bool {
	for _, t := range s.Targets {
		for _, u := range t.LUNs {
			if u.Path == "/dev/"+VG+"/"+name {
				return true
			}
		}
	}
	return false
}

func (s *state) complain(code int, format string, words ...any) int {
	fmt.Fprintf(&s.errs, format+"\n", words...)
	return code
}

func (s *state) bad(program string, args []string) int {
	return s.complain(3, "%s: unrecognized option: %q", program, args)
}

// columns reads the options of vgs and lvs that it knows.
func columns(args []string) ([]string, bool) {
	head := []string{"--noheadings", "--units", "b", "--nosuffix", "--separator", "|", "-o"}
	if len(args) != len(head)+2 || !slices.Equal(args[:len(head)], head) {
		return nil, false
	}
	return strings.Split(args[len(head)], ","), true
}

func (s *state) row(columns []string, values map[string]string) bool {
	var out []string
	for _, c := range columns {
		v, known := values[c]
		if !known {
			return false
		}
		out = append(out, v)
	}
	fmt.Fprintf(&s.out, "  %s\n", strings.Join(out, "|"))
	return true
}

func vgs(s *state, args []string) int {
	cols, ok := columns(args)
	if !ok {
		return s.bad("vgs", args)
	}
	if vg := args[len(args)-1]; vg != VG {
		return s.complain(5, "  Volume group \"%s\" not found", vg)
	}
	if !s.row(cols, map[string]string{"vg_name": VG, "vg_size": fmt.Sprint(Size), "vg_free": fmt.Sprint(s.free()), "vg_extent_size": fmt.Sprint(Extent)}) {
		return s.bad("vgs", args)
	}
	return 0
}

func lvs(s *state, args []string) int {
	cols, ok := columns(args)
	if !ok || args[len(args)-1] != VG {
		return s.bad("lvs", args)
	}
	for _, l := range s.LVs {
		attr := "-wi-a-"
		switch {
		case l.Origin != "":
			attr = "swi-a-"
		case slices.ContainsFunc(s.LVs, func(o *lv) bool { return o.Origin == l.Name }):
			attr = "owi-a-"
		}
		if s.open(l.Name) {
			attr = attr[:5] + "o"
		}
		if !s.row(cols, map[string]string{"lv_name": l.Name, "lv_size": fmt.Sprint(l.Size), "lv_attr": attr, "origin": l.Origin, "lv_tags": strings.Join(l.Tags, ",")}) {
			return s.bad("lvs", args)
		}
	}
	return 0
}

// kib reads a size of the form 123k and rounds it up to extents.
func kib(text string) (int64, bool) {
	n, err := strconv.ParseInt(strings.TrimSuffix(text, "k"), 10, 64)
	return (n<<10 + Extent - 1) / Extent * Extent, err == nil && strings.HasSuffix(text, "k")
}

var (
	lvName = regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,127}$`)
	// Before 2.02.78.
	lvTag = regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,127}$`)
)

func lvcreate(s *state, args []string) int {
	l := &lv{}
	sized := false
	for len(args) > 1 {
		switch args[0] {
		case "-n":
			l.Name = args[1]
		case "-L":
			l.Size, sized = kib(args[1])
		case "--addtag":
			if !lvTag.MatchString(args[1]) {
				return s.complain(3, "  Invalid argument for --addtag: %s\n  Error during parsing of command line.", args[1])
			}
			l.Tags = append(l.Tags, args[1])
		default:
			return s.bad("lvcreate", args)
		}
		args = args[2:]
	}
	switch {
	case len(args) != 1 || args[0] != VG || !sized:
		return s.bad("lvcreate", args)
	case !lvName.MatchString(l.Name):
		return s.complain(3, "  Logical volume name \"%s\" is invalid", l.Name)
	case s.lv(l.Name) != nil:
		return s.complain(5, "  Logical volume \"%s\" already exists in volume group \"%s\"", l.Name, VG)
	case l.Size > s.free():
		return s.complain(5, "  Insufficient free extents (%d) in volume group %s: %d required", s.free()/Extent, VG, l.Size/Extent)
	}
	l.Data, l.Foreign = []byte("somebody's data"), 0
	s.LVs = append(s.LVs, l)
	fmt.Fprintf(&s.out, "  Logical volume \"%s\" created\n", l.Name)
	return 0
}

// named gives the volume that VG/NAME says.
func (s *state) named(path string) *lv {
	name, ok := strings.CutPrefix(path, VG+"/")
	if !ok {
		return nil
	}
	return s.lv(name)
}

func lvextend(s *state, args []string) int {
	if len(args) != 3 || args[0] != "-L" {
		return s.bad("lvextend", args)
	}
	size, ok := kib(args[1])
	l := s.named(args[2])
	switch {
	case !ok:
		return s.bad("lvextend", args)
	case l == nil:
		return s.complain(5, "  Logical volume %s not found in volume group %s", strings.TrimPrefix(args[2], VG+"/"), VG)
	case size == l.Size:
		return s.complain(3, "  New size (%d extents) matches existing size (%d extents)\n  Run `lvextend --help' for more information.", size/Extent, size/Extent)
	case size < l.Size:
		return s.complain(3, "  New size given (%d extents) not larger than existing size (%d extents)\n  Run `lvextend --help' for more information.", size/Extent, l.Size/Extent)
	case slices.ContainsFunc(s.LVs, func(o *lv) bool { return o.Origin == l.Name }):
		return s.complain(5, "  Snapshot origin volumes can be resized only while inactive: try lvchange -an")
	case size-l.Size > s.free():
		return s.complain(5, "  Insufficient free space: %d extents needed, but only %d available", (size-l.Size)/Extent, s.free()/Extent)
	}
	l.Foreign, l.Size = min(l.Foreign, l.Size), size
	fmt.Fprintf(&s.out, "  Logical volume %s successfully resized\n", l.Name)
	return 0
}

func lvchange(s *state, args []string) int {
	if len(args) != 3 || s.named(args[2]) == nil {
		return s.bad("lvchange", args)
	}
	l := s.named(args[2])
	without := slices.DeleteFunc(slices.Clone(l.Tags), func(t string) bool { return t == args[1] })
	switch {
	case args[0] == "-a" && args[1] == "y":
	case args[0] == "--addtag" && lvTag.MatchString(args[1]):
		l.Tags = append(without, args[1])
	case args[0] == "--deltag":
		l.Tags = without // one that it does not have, too
	default:
		return s.bad("lvchange", args)
	}
	return 0
}

// dd writes zeroes to a volume.
func dd(s *state, args []string) int {
	v := map[string]string{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		v[key] = value
	}
	name, ok := strings.CutPrefix(v["of"], "/dev/"+VG+"/")
	bs, err1 := strconv.ParseInt(v["bs"], 10, 64)
	seek, err2 := strconv.ParseInt(v["seek"], 10, 64)
	count, err3 := strconv.ParseInt(v["count"], 10, 64)
	if len(args) != 7 || !ok || errors.Join(err1, err2, err3) != nil || v["if"] != "/dev/zero" || v["oflag"] != "direct" || v["conv"] != "notrunc" {
		return s.bad("dd", args)
	}
	l := s.lv(name)
	switch end := (seek + count) * bs; {
	case l == nil:
		return s.complain(1, "dd: opening `%s': No such file or directory", v["of"])
	case end > l.Size:
		return s.complain(1, "dd: writing `%s': No space left on device", v["of"])
	case seek*bs < l.Written:
		s.wrong = append(s.wrong, fmt.Sprintf("dd %v overwrites what initiators have written", args))
	case seek*bs <= l.Foreign:
		l.Foreign = max(end, l.Foreign)
	}
	if seek == 0 {
		l.Data = nil
	}
	return 0
}

func lvremove(s *state, args []string) int {
	if len(args) != 2 || args[0] != "-f" {
		return s.bad("lvremove", args)
	}
	l := s.named(args[1])
	switch {
	case l == nil:
		return s.complain(5, "  One or more specified logical volume(s) not found.")
	case s.open(l.Name):
		return s.complain(5, "  Can't remove open logical volume \"%s\"", l.Name)
	}
	// Snapshots go along without a word.
	s.LVs = slices.DeleteFunc(s.LVs, func(o *lv) bool { return o == l || o.Origin == l.Name })
	fmt.Fprintf(&s.out, "  Logical volume \"%s\" successfully removed\n", l.Name)
	return 0
}

// blockdev tells sizes of logical volumes.
func blockdev(s *state, args []string) int {
	if len(args) != 2 || args[0] != "--getsize64" {
		return s.bad("blockdev", args)
	}
	l := s.lv(strings.TrimPrefix(args[1], "/dev/"+VG+"/"))
	if l == nil {
		return s.complain(1, "blockdev: cannot open %s: No such file or directory", args[1])
	}
	fmt.Fprintln(&s.out, l.Size)
	return 0
}
