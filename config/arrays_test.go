package config_test

import (
	"strings"
	"testing"
	"time"

	"onevolume/config"
)

const store1 = "name: store1, kind: openfiler, host: filer, portals: [10.0.0.5]"

func TestArrays(t *testing.T) {
	c, err := config.Parse([]byte("arrays: [{" + store1 + ", targets: 'iqn.2006-01.com.openfiler:*'}, {name: b, kind: openfiler, host: h, portals: [10.0.0.6], user: one, every: 0s}," +
		"{name: c, kind: openfiler, host: h, portals: [x], vg: v, iqn: i}, {name: d, kind: openfiler, host: h, portals: [x], vg: v, iqn: i, targets: x}, {name: e, kind: tgt, host: h, portals: [x], vg: v, iqn: i}]"))
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Arrays[0]; a.Interval() != 5*time.Minute || a.Login() != "root" || a.Portals[0] != "10.0.0.5" {
		t.Errorf("the first is %+v", a)
	}
	if a := c.Arrays[1]; a.Interval() != 0 || a.Login() != "one" {
		t.Errorf("the second is %+v", a)
	}
	for i, want := range []struct{ reads, makes bool }{{true, false}, {true, false}, {false, true}, {true, true}, {false, true}} {
		if a := c.Arrays[i]; a.Reads() != want.reads || a.Makes() != want.makes {
			t.Errorf("array %s is read: %t, makes volumes: %t", a.Name, a.Reads(), a.Makes())
		}
	}
}

func TestBadArrays(t *testing.T) {
	for text, want := range map[string]string{
		"{kind: openfiler, host: h}":                                                  "number 1",
		"{name: 'a b', kind: openfiler, host: h, portals: [x]}":                       "blanks",
		"{" + store1 + "}, {" + store1 + "}":                                          "store1 is there twice",
		"{name: a, kind: netapp, host: h, portals: [x]}":                              `"netapp" is none of openfiler, lio and tgt`,
		"{name: a, kind: lio, host: h, portals: [x], vg: v}":                          "iqn is missing",
		"{name: a, kind: lio, host: h, portals: [x], iqn: i}":                         "volume group",
		"{name: a, kind: lio, host: h, portals: [x], iqn: i, directory: /d}":          "only tgt",
		"{name: a, kind: tgt, host: h, portals: [x], iqn: i, directory: /d, pool: p}": "thin pool in a vg",
		"{name: a, kind: tgt, host: h, portals: [x], iqn: i, vg: v, targets: x}":      "openfiler",
		"{name: a, kind: lio, host: h, portals: [x], iqn: i, vg: v, min_free: 100}":   "min_free",
		"{name: a, kind: openfiler, host: h, portals: [x], users: true}":              "on which volumes are made",
		"{name: a, kind: openfiler, host: h, portals: [x], vg: v}":                    "iqn is missing",
		"{name: a, kind: openfiler, host: h, portals: [x], vg: v, iqn: i, pool: p}":   "thick volumes",
		"{name: a, kind: openfiler, host: h, portals: [x], auto_create: true}":        "on which volumes are made",
		"{name: a, kind: openfiler, portals: [x]}":                                    "host",
		"{name: a, kind: openfiler, host: h}":                                         "portals",
		"{" + store1 + ", every: 5ms}":                                                "every",
		"{" + store1 + ", targets: '[a'}":                                             "targets",
		"{" + store1 + ", password: x}":                                               `unknown key "password"`,
	} {
		if _, err := config.Parse([]byte("arrays: [" + text + "]")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one that has %q", text, err, want)
		}
	}
}
