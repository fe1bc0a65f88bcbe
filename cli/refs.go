package cli

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// refsHelp says how several volumes are named.
const refsHelp = "Volumes are given by ids and ranges of ids (0..3 or 1,8..15), or by names and ids with commas between them."

// ranges is what OpenNebula's tools take for ids and ranges (command_parser.rb).
var ranges = regexp.MustCompile(`^(\d+(\.\.\d+)?)(,\d+(\.\.\d+)?)*$`)

// maxRange is how many volumes one command names by ranges. It is a typing
// error that it guards against.
const maxRange = 100_000

// volumeIDs reads a list of volumes, each once: ids and ranges of ids, or ids
// and names.
func (s *Session) volumeIDs(ctx context.Context, list string) ([]onevolume.VolumeID, error) {
	var ids []onevolume.VolumeID
	seen := map[onevolume.VolumeID]bool{}
	add := func(id onevolume.VolumeID) {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	spaceless := strings.ReplaceAll(list, " ", "")
	if !ranges.MatchString(spaceless) {
		for _, ref := range strings.Split(list, ",") {
			id, err := s.volume(ctx, ref)
			if err != nil {
				return nil, err
			}
			add(id)
		}
		return ids, nil
	}
	for _, part := range strings.Split(spaceless, ",") {
		from, to, err := bounds(part)
		if err != nil {
			return nil, err
		}
		if to-from >= maxRange-len(ids) {
			return nil, onevolume.Errorf(onevolume.Invalid, "range %s: more than %d volumes at once", list, maxRange)
		}
		for id := from; id <= to; id++ {
			add(onevolume.VolumeID(id))
		}
	}
	return ids, nil
}

// bounds reads an id, or a range as 0..3.
func bounds(part string) (from, to int, err error) {
	low, high, isRange := strings.Cut(part, "..")
	if !isRange {
		high = low
	}
	if from, err = strconv.Atoi(low); err == nil {
		to, err = strconv.Atoi(high)
	}
	switch {
	case err != nil:
		return 0, 0, onevolume.Errorf(onevolume.Invalid, "range %s: too large a number", part)
	case from > to:
		return 0, 0, onevolume.Errorf(onevolume.Invalid, "range %s: it ends before it begins", part).WithHint("did you mean %s..%s?", high, low)
	}
	return from, to, nil
}

// octet reads permissions as OpenNebula's tools do: three octal digits, or
// u=rw,g=r,o=, in which r is use, w manage and x admin.
func octet(s string) ([9]int, error) {
	var bits [9]int
	bad := func(why string) ([9]int, error) {
		return bits, onevolume.Errorf(onevolume.Invalid, "Error in permissions format: octet %q: %s", s, why).WithHint("write 640, or u=rw,g=r")
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 8, 16)
		if err != nil || n > 0o777 || len(s) < 3 {
			return bad("must be three digits from 0 to 7")
		}
		for i := range bits {
			bits[i] = int(n) >> (8 - i) & 1
		}
		return bits, nil
	}
	for _, part := range strings.Split(s, ",") {
		who, letters, ok := strings.Cut(part, "=")
		at := slices.Index([]string{"u", "g", "o"}, who)
		if !ok || at < 0 || strings.Trim(letters, "rwx") != "" {
			return bad("it is made of u=, g= and o= with letters of rwx")
		}
		for i, letter := range "rwx" {
			if strings.ContainsRune(letters, letter) {
				bits[3*at+i] = 1
			}
		}
	}
	return bits, nil
}
