package openfiler

import (
	"os"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
)

func golden(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testdata/ietd.conf is what xsltproc made with the style sheet of Openfiler
// 2.99, but for the first line.
func TestConf(t *testing.T) {
	s, err := parseSettings(golden(t, "iscsi_settings.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.conf(), golden(t, "ietd.conf"); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

const anID = array.ID("01234567-89ab-cdef-0123-456789abcdef")

func aTarget() (*target, record) {
	g := &target{opt: Options{IQN: "iqn.2006-01.com.openfiler:tsn"}, vg: "vg0"}
	r := record{settings: defaults, units: []unit{g.unit(linux.Unit{ID: anID, Device: "/dev/vg0/" + anID.Name()})}}
	r.grant(array.Grant{Initiator: "iqn.2026-11.org.example:host01", CHAP: onevolume.CHAP{User: "u&1", Secret: "secretsecret1"}})
	return g, r
}

// What was put in is found, and taken out again it leaves all else as it was.
func TestPut(t *testing.T) {
	g, r := aTarget()
	iqn := g.iqn(anID)
	for name, text := range map[string]string{
		"recorded": golden(t, "iscsi_settings.xml"),
		"latin":    "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<iet><!-- caf\xe9 --><globalsettings/><targets>\n</targets></iet>\n",
		"none":     "<iet>\n  <targets/>\n</iet>\n",
	} {
		s, err := parseSettings(text)
		if err != nil {
			t.Fatal(name, err)
		}
		with := s.put(nil, "    ", r.element(iqn))
		if s, err = parseSettings(with); err != nil {
			t.Fatal(name, err)
		}
		old, got := s.find(iqn)
		if old == nil || len(got.grants) != 1 || got.grants[0] != r.grants[0] || len(got.units) != 1 || got.units[0] != r.units[0] || len(got.settings) != 17 {
			t.Errorf("%s: %+v of\n%s", name, got, with)
		}
		if again := s.put(old, "    ", got.element(iqn)); again != with {
			t.Errorf("%s: the same again changed it:\n%s", name, again)
		}
		if back := s.put(old, "    ", ""); back != text && name != "none" {
			t.Errorf("%s became\n%s", name, back)
		}
	}
	for _, text := range []string{"", "<iet>", "<iet/>", "<volumes><targets/></volumes>", "<iet><targets/><targets/></iet>", "<iet><targets/></iet><iet/>", "x"} {
		if _, err := parseSettings(text); err == nil {
			t.Errorf("%q is taken for settings", text)
		}
	}
}

func TestParseLook(t *testing.T) {
	const ok = "\nvolume\ntid:1 name:iqn.a\n\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/x\nsession\ntid:1 name:iqn.a\n\tsid:5 initiator:iqn.B\n\t\tcid:0 ip:[fd00::1] state:active hd:none dd:none\nend\n"
	l, err := parseLook("ietadm version 1.4.20.2" + ok)
	if err != nil || !l.names || len(l.targets) != 1 || l.find("iqn.a").Paths[0] != "/dev/x" || l.find("iqn.a").Sessions[0].Initiator != "iqn.b" || l.find("iqn.a").Sessions[0].Address != "fd00::1" {
		t.Errorf("%+v %v", l, err)
	}
	if l, err = parseLook("ietadm version 0.4.17" + ok); err != nil || l.names {
		t.Errorf("%+v %v", l, err)
	}
	for _, text := range []string{"", "ietadm version 1.4.20" + strings.TrimSuffix(ok, "end\n"), "1.4.20" + ok, "ietadm version 0.4.16" + ok, "ietadm version x" + ok, "ietadm version 1.4.20\nvolume\nwhat\nsession\nend\n"} {
		if l, err := parseLook(text); err == nil {
			t.Errorf("%q gave %+v", text, l)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("/etc/x 123 3\nab\nend\n"))
	f.Add([]byte("/etc/x none 0\nend\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseFiles(b)
		n := 0
		for _, x := range list {
			n += len(x.text)
		}
		if err == nil && n > len(b) {
			t.Errorf("%q: %d bytes", b, n)
		}
	})
}

// Whatever is in the file, putting something in and out spoils nothing.
func FuzzSettings(f *testing.F) {
	f.Add(golden(f, "iscsi_settings.xml"))
	f.Add("<iet><targets\n/></iet>")
	g, r := aTarget()
	iqn := g.iqn(anID)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings(text)
		if err != nil {
			return
		}
		if old, _ := s.find(iqn); old != nil {
			return
		}
		count := len(s.list.kids)
		with, err := parseSettings(s.put(nil, "    ", r.element(iqn)))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		old, _ := with.find(iqn)
		if old == nil {
			t.Fatalf("%q: it is not there", text)
		}
		back, err := parseSettings(with.put(old, "    ", ""))
		if err != nil || len(back.list.kids) != count || back.conf() != s.conf() {
			t.Errorf("%q: %v", text, err)
		}
	})
}
