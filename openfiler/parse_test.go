package openfiler_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"onevolume/openfiler"
	"onevolume/openfiler/openfilertest"
)

func read(t testing.TB, name string) string { return openfilertest.New(t).Read(name) }

func TestParseVolumes(t *testing.T) {
	units, err := openfiler.ParseVolumes(read(t, volume))
	if err != nil || len(units) != 5 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	want := openfiler.Unit{Target: prefix + "disk1", LUN: 1, Path: "/dev/vg1/logs", Mode: "wb", Exported: true}
	if units[2] != want {
		t.Errorf("got %+v\nwant %+v", units[2], want)
	}
	// nullio has no path, and a path may hold blanks.
	units, err = openfiler.ParseVolumes("tid:1 name:IQN.2006-01.x:Y\n\tlun:0 state:0 iotype:nullio iomode:wt sectors:8\n\tlun:7 state:0 iotype:fileio iomode:ro path:/a b:c \n")
	if err != nil || len(units) != 2 || units[0].Path != "" || units[1].Path != "/a b:c " || units[1].Target != "iqn.2006-01.x:y" {
		t.Errorf("got %+v, %v", units, err)
	}
}

func TestParseSessions(t *testing.T) {
	sessions, err := openfiler.ParseSessions(read(t, openfilertest.Session))
	if want := map[string][]string{prefix + "backup": {"iqn.1994-05.com.redhat:5a6894679665"}}; err != nil || !reflect.DeepEqual(sessions, want) {
		t.Errorf("got %v, %v", sessions, err)
	}
}

func TestParseSettings(t *testing.T) {
	units, err := openfiler.ParseSettings(read(t, settings))
	if err != nil || len(units) != 5 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	if u := units[3]; u.Serial != "b7RtYq-22Zc-Aw0n" || u.CHAP.User != "cloud" || u.CHAP.Secret != "correct-horse-1" || u.Exported || !u.Configured {
		t.Errorf("got %+v", u)
	}
	if u := units[4]; u.CHAP.User != "" {
		t.Errorf("a user for discovery became %s's", u.Target)
	}
	latin := "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><volumes><volume id=\"a\" vg=\"v\" name=\"caf\xe9\"/></volumes>"
	if names, err := openfiler.ParseNames(latin); err != nil || names["/dev/v/a"] != "café" {
		t.Errorf("got %v, %v", names, err)
	}
}

// What is not understood is an error: it must not look like nothing.
func TestRefusals(t *testing.T) {
	for what, parse := range map[string]func(string) error{
		"tid:1\n|tid:x name:y\n|tid:1 name:\n|\tlun:0 path:/x\n|tid:1 name:y\n\tlun:-1 path:/x\n|tid:1 name:y\n\tpath:/x\n" +
			"|tid:1 name:y\n\tlun:0 path:/x\n\tlun:0 path:/z\n|tid:1 name:y\n\tlun:0 lun:1 path:/x\n|tid:1 name:y\n\t\tlun:0 path:/x\n|tid:1 name:y z\n|garbage": func(s string) error {
			_, err := openfiler.ParseVolumes(s)
			return err
		},
		"\tsid:1 initiator:x\n|tid:1 name:y\n\tsid:1\n|tid:1 name:y\n\t\tcid:0 ip:x\n|tid:1 name:y\nsid:1 initiator:x": func(s string) error {
			_, err := openfiler.ParseSessions(s)
			return err
		},
		`|<iet>|<volumes/>|<iet><targets><target/></targets></iet>|<iet/><iet/>|<iet><targets><target Name="x"><lun Path="/y"/></target></targets></iet>` +
			`|<iet><targets><target Name="x"><lun Id="0"/><lun Id="0"/></target></targets></iet>|<iet><targets><target Name="x"></targets></iet>|<?xml version="1.0" encoding="utf-7"?><iet/>`: func(s string) error {
			_, err := openfiler.ParseSettings(s)
			return err
		},
		`|<iet/>|<volumes><volume></volumes>|<volumes><volume id="&nosuch;"/></volumes>`: func(s string) error {
			_, err := openfiler.ParseNames(s)
			return err
		},
	} {
		for i, text := range strings.Split(what, "|") {
			if err := parse(text); err == nil {
				t.Errorf("number %d, %q, is taken", i, text)
			}
		}
	}
}

// FuzzVolumes: what is understood can be printed as IET prints it, and is
// understood as the same.
func FuzzVolumes(f *testing.F) {
	f.Add(read(f, volume))
	f.Add("tid:1 name:x\n\tlun:0 state:0 iotype:nullio iomode:wt sectors:8\n")
	f.Fuzz(func(t *testing.T, text string) {
		units, err := openfiler.ParseVolumes(text)
		if err != nil {
			return
		}
		var b strings.Builder
		for _, u := range units {
			fmt.Fprintf(&b, "tid:1 name:%s\n\tlun:%d iomode:%s path:%s\n", u.Target, u.LUN, u.Mode, u.Path)
		}
		if again, err := openfiler.ParseVolumes(b.String()); err != nil || !reflect.DeepEqual(units, again) {
			t.Errorf("%+v became %+v, %v", units, again, err)
		}
	})
}

func FuzzSessions(f *testing.F) {
	f.Add(read(f, openfilertest.Session))
	f.Fuzz(func(t *testing.T, text string) {
		sessions, err := openfiler.ParseSessions(text)
		if err != nil {
			return
		}
		for target, initiators := range sessions {
			if target == "" || len(initiators) == 0 {
				t.Errorf("%q has %v", target, initiators)
			}
		}
	})
}

// FuzzSettings: every unit is one of a named target, and none is there twice.
func FuzzSettings(f *testing.F) {
	f.Add(read(f, settings))
	f.Fuzz(func(t *testing.T, text string) {
		units, err := openfiler.ParseSettings(text)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, u := range units {
			at := fmt.Sprint(u.Target, " ", u.LUN)
			if seen[at] || u.Target == "" || u.LUN < 0 || u.Target != strings.ToLower(u.Target) {
				t.Errorf("a unit at %q", at)
			}
			seen[at] = true
		}
	})
}

func FuzzNames(f *testing.F) {
	f.Add(read(f, openfilertest.Names))
	f.Fuzz(func(t *testing.T, text string) {
		list, err := openfiler.ParseNames(text)
		for path := range list {
			if err != nil || !strings.HasPrefix(path, "/dev/") {
				t.Errorf("%q, %v", path, err)
			}
		}
	})
}
