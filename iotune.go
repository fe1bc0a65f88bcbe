package onevolume

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ioTuneNames are the limits that a disk may have at the hypervisor, as
// libvirt names them in <iotune>: bytes and requests a second, and what they
// may come to in a burst of a second. OpenNebula names the same in a DISK in
// upper case, and so do a volume's attributes.
var ioTuneNames = [...]string{
	"total_bytes_sec", "read_bytes_sec", "write_bytes_sec", "total_iops_sec", "read_iops_sec", "write_iops_sec",
	"total_bytes_sec_max", "read_bytes_sec_max", "write_bytes_sec_max", "total_iops_sec_max", "read_iops_sec_max", "write_iops_sec_max",
}

// IOTune is the limits of a disk; zero for those that it does not have.
type IOTune [len(ioTuneNames)]int64

// IOTuneNames gives the names of an IOTune's limits, in their order.
func IOTuneNames() []string { return slices.Clone(ioTuneNames[:]) }

// ParseIOTune reads limits by their names, in lower or upper case; what has
// another name is passed over. Code: Invalid.
func ParseIOTune(limits map[string]string) (t IOTune, err error) {
	for i, name := range ioTuneNames {
		text, ok := limits[name]
		if !ok {
			text, ok = limits[strings.ToUpper(name)]
		}
		if !ok {
			continue
		}
		if t[i], err = strconv.ParseInt(text, 10, 64); err != nil || t[i] < 0 {
			return IOTune{}, Errorf(Invalid, "%s %q: not a number of bytes or requests a second; 0 is no limit", strings.ToUpper(name), text)
		}
	}
	return t, t.check()
}

// check refuses what libvirt and QEMU refuse: a total besides a limit of one
// direction, and a burst without a limit, or below it.
func (t IOTune) check() error {
	for i := 0; i < len(t); i += 3 {
		if t[i] > 0 && t[i+1]+t[i+2] > 0 {
			return Errorf(Invalid, "%s goes with no limit on reads or writes alone", strings.ToUpper(ioTuneNames[i]))
		}
	}
	for i := range len(t) / 2 {
		if most := t[i+len(t)/2]; most > 0 && (t[i] == 0 || most < t[i]) {
			return Errorf(Invalid, "%s: a burst needs the limit %s, and is not below it", strings.ToUpper(ioTuneNames[i+len(t)/2]), strings.ToUpper(ioTuneNames[i]))
		}
	}
	return nil
}

// String lists the limits that there are.
func (t IOTune) String() string {
	var list []string
	for i, n := range t {
		if n > 0 {
			list = append(list, fmt.Sprintf("%s=%d", ioTuneNames[i], n))
		}
	}
	return strings.Join(list, " ")
}

// AttrType is the attribute of a volume that names its type. Like the limits
// it is the administrators' to change.
const AttrType = "TYPE"

// Tuning says whether an attribute is the volume's type or a limit.
func Tuning(attribute string) bool {
	return attribute == AttrType || slices.Contains(ioTuneNames[:], strings.ToLower(attribute)) && attribute == strings.ToUpper(attribute)
}

// IOTune are the volume's limits, which stand among its attributes. Code:
// Invalid.
func (v *Volume) IOTune() (IOTune, error) {
	t, err := ParseIOTune(v.Attributes)
	if err != nil {
		return t, Errorf(Invalid, "volume %d: %w", v.ID, err).WithHint("an administrator corrects it: onevolume update")
	}
	return t, nil
}

// VolumeType is a kind of volume that is made on demand.
type VolumeType struct {
	Name   string
	Arrays []string // on which it is made; all when empty
	Needs  []string // what the array must be able to do: see Space.Has
	Tune   IOTune   // what its volumes get for their attributes
}

// Attributes are those that a volume of the type gets.
func (t VolumeType) Attributes() map[string]string {
	list := map[string]string{AttrType: t.Name}
	for i, n := range t.Tune {
		if n > 0 {
			list[strings.ToUpper(ioTuneNames[i])] = strconv.FormatInt(n, 10)
		}
	}
	return list
}

// The names of what arrays can do, for a type's Needs.
const (
	HasSnapshots    = "snapshots"
	HasClones       = "clones"
	HasThin         = "thin"
	HasOnlineExtend = "online_extend" // volumes grow while they are attached
)

// ArrayAbilities lists them.
func ArrayAbilities() []string {
	return []string{HasSnapshots, HasClones, HasThin, HasOnlineExtend}
}
