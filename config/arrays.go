package config

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Array is a storage machine that the daemon reads, or on which it makes
// volumes.
type Array struct {
	// Name is what volumes have as their ARRAY.
	Name string `yaml:"name"`
	// Kind is the driver: lio or tgt, on which volumes are made; openfiler,
	// whose targets are read, and on which volumes are made when it has a VG.
	Kind string `yaml:"kind"`
	// Host is how SSH reaches it, and User who logs in there; root when empty.
	Host string `yaml:"host"`
	User string `yaml:"user"`
	// Portals are the addresses of its targets, as 10.0.0.1:3260.
	Portals []string `yaml:"portals"`
	// Targets is a pattern with * and ? over the IQNs of targets of an
	// openfiler that may become volumes. When it is empty all may; on one with
	// a VG none, and it is not read.
	Targets string `yaml:"targets"`
	// Every is how often it is read, and its space looked at; 0 for only when
	// it is asked for. Nil is five minutes.
	Every *time.Duration `yaml:"every"`

	// IQN begins the names of targets that are made.
	IQN string `yaml:"iqn"`
	// VG is the volume group there, and Pool a thin pool in it, on lio and
	// tgt; Directory has files instead, on tgt.
	VG        string `yaml:"vg"`
	Pool      string `yaml:"pool"`
	Directory string `yaml:"directory"`
	// Overprovision and MinFree are as in package array/linux; 0 for its own.
	Overprovision float64 `yaml:"overprovision"`
	MinFree       float64 `yaml:"min_free"`
	// Users lets everybody have volumes made, within their quota.
	Users bool `yaml:"users"`
	// AutoCreate has a volume made for those who attach by size and find none.
	AutoCreate bool `yaml:"auto_create"`
}

// Makes says whether volumes are made on the array.
func (a Array) Makes() bool {
	return a.Kind == "lio" || a.Kind == "tgt" || a.Kind == openfiler && a.VG != ""
}

// Reads says whether what others make on the array becomes volumes.
func (a Array) Reads() bool { return a.Kind == openfiler && (a.VG == "" || a.Targets != "") }

const openfiler = "openfiler"

// Interval is how often the array is read; 0 for never by itself.
func (a Array) Interval() time.Duration {
	if a.Every == nil {
		return 5 * time.Minute
	}
	return *a.Every
}

// Login is who logs in to the array.
func (a Array) Login() string {
	if a.User == "" {
		return "root"
	}
	return a.User
}

func checkArrays(list []Array) error {
	seen := map[string]bool{}
	for i, a := range list {
		key := fmt.Sprintf("arrays: %s", a.Name)
		switch every := a.Interval(); {
		case a.Name == "" || len(a.Name) > 128 || strings.ContainsFunc(a.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
			return fmt.Errorf("arrays: number %d: its name %q is not 1 to 128 printable ASCII characters without blanks", i+1, a.Name)
		case seen[a.Name]:
			return fmt.Errorf("%s is there twice", key)
		case a.Kind != openfiler && !a.Makes():
			return fmt.Errorf("%s: kind: %q is none of openfiler, lio and tgt", key, a.Kind)
		case a.Host == "":
			return fmt.Errorf("%s: its host is missing", key)
		case len(a.Portals) == 0:
			return fmt.Errorf("%s: its portals are missing", key)
		case every != 0 && every < time.Second:
			return fmt.Errorf("%s: every: %s is neither 0 nor at least 1s", key, every)
		}
		if err := checkMaker(a); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		if _, err := path.Match(a.Targets, ""); err != nil {
			return fmt.Errorf("%s: targets: %q is no pattern", key, a.Targets)
		}
		seen[a.Name] = true
	}
	return nil
}

// checkMaker refuses what belongs to another kind of array.
func checkMaker(a Array) error {
	makes := a.IQN != "" || a.Users || a.AutoCreate
	switch thin := a.Pool != "" || a.Directory != "" || a.Overprovision != 0 || a.MinFree != 0; {
	case a.Kind == openfiler && thin:
		return fmt.Errorf("pool, directory, overprovision and min_free are for lio and tgt: an openfiler has thick volumes in a vg")
	case !a.Makes() && makes:
		return fmt.Errorf("iqn, users and auto_create are for arrays on which volumes are made: an openfiler needs its vg for that")
	case !a.Makes():
		return nil
	case a.Targets != "" && a.Kind != openfiler:
		return fmt.Errorf("targets: is for an openfiler, whose targets are read")
	case a.IQN == "":
		return fmt.Errorf("its iqn is missing, which begins the names of its targets")
	case a.Directory != "" && (a.Kind != "tgt" || a.VG != ""):
		return fmt.Errorf("directory: only tgt keeps volumes in files, and then without vg")
	case a.Directory == "" && a.VG == "":
		return fmt.Errorf("its vg, the volume group, is missing")
	case a.Pool != "" && a.VG == "":
		return fmt.Errorf("pool: is a thin pool in a vg")
	case a.Overprovision < 0, a.MinFree < 0, a.MinFree >= 100:
		return fmt.Errorf("overprovision and min_free cannot be %v and %v", a.Overprovision, a.MinFree)
	}
	return nil
}
