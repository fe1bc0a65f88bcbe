package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// Type is a kind of volume that is made on demand.
type Type struct {
	Name string `yaml:"name"`
	// Arrays are the names of those on which it is made; all when empty.
	Arrays []string `yaml:"arrays"`
	// Needs is what the array must be able to do: snapshots, clones, thin,
	// online_extend.
	Needs []string `yaml:"needs"`
	// IOTune are the limits that the hypervisor keeps, as libvirt names them:
	// total_bytes_sec, read_iops_sec, write_bytes_sec_max …
	IOTune map[string]int64 `yaml:"iotune"`
}

// VolumeType is the type in the domain's words. Its error names the key.
func (t Type) VolumeType() (v onevolume.VolumeType, err error) {
	v = onevolume.VolumeType{Name: t.Name, Arrays: t.Arrays, Needs: t.Needs}
	limits := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(t.IOTune)) {
		if !slices.Contains(onevolume.IOTuneNames(), name) {
			return v, fmt.Errorf("iotune: unknown key %q; known are %s", name, strings.Join(onevolume.IOTuneNames(), ", "))
		}
		limits[name] = strconv.FormatInt(t.IOTune[name], 10)
	}
	if v.Tune, err = onevolume.ParseIOTune(limits); err != nil {
		return v, fmt.Errorf("iotune: %w", err)
	}
	return v, nil
}

func checkTypes(list []Type, arrays []Array) error {
	seen := map[string]bool{}
	for i, t := range list {
		key := "types: " + t.Name
		switch {
		case t.Name == "" || len(t.Name) > 128 || strings.ContainsFunc(t.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("types: number %d: its name %q is not 1 to 128 printable ASCII characters without blanks", i+1, t.Name)
		case seen[t.Name]:
			return fmt.Errorf("%s is there twice", key)
		}
		seen[t.Name] = true
		for _, name := range t.Arrays {
			if !slices.ContainsFunc(arrays, func(a Array) bool { return a.Name == name && a.Makes() }) {
				return fmt.Errorf("%s: arrays: there is no array %q that makes volumes", key, name)
			}
		}
		for _, need := range t.Needs {
			if !slices.Contains(onevolume.ArrayAbilities(), need) {
				return fmt.Errorf("%s: needs: %q is none of %s", key, need, strings.Join(onevolume.ArrayAbilities(), ", "))
			}
		}
		if _, err := t.VolumeType(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
