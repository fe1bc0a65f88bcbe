package config

import (
	"fmt"
	"path"
	"strings"
	"time"
)

// Array is a storage machine that the daemon reads.
type Array struct {
	// Name is what volumes have as their ARRAY.
	Name string `yaml:"name"`
	// Kind is the driver: openfiler.
	Kind string `yaml:"kind"`
	// Host is how SSH reaches it, and User who logs in there; root when empty.
	Host string `yaml:"host"`
	User string `yaml:"user"`
	// Portals are the addresses of its targets, as 10.0.0.1:3260.
	Portals []string `yaml:"portals"`
	// Targets is a pattern with * and ? over the IQNs of targets that may
	// become volumes; all when empty.
	Targets string `yaml:"targets"`
	// Every is how often it is read; 0 for only when it is asked for. Nil is
	// five minutes.
	Every *time.Duration `yaml:"every"`
}

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
		case a.Kind != "openfiler":
			return fmt.Errorf("%s: kind: %q is not openfiler", key, a.Kind)
		case a.Host == "":
			return fmt.Errorf("%s: its host is missing", key)
		case len(a.Portals) == 0:
			return fmt.Errorf("%s: its portals are missing", key)
		case every != 0 && every < time.Second:
			return fmt.Errorf("%s: every: %s is neither 0 nor at least 1s", key, every)
		}
		if _, err := path.Match(a.Targets, ""); err != nil {
			return fmt.Errorf("%s: targets: %q is no pattern", key, a.Targets)
		}
		seen[a.Name] = true
	}
	return nil
}
