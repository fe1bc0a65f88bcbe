package iscsi

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

// surveyed is what survey.sh printed on a host with open-iscsi 2.1.8 (Linux
// 6.1), with a record as IPv6 and a host name would have it added.
const surveyed = `boot fb4ec548-f535-44e9-ba0a-7dc8b343b9c4
initiator iqn.2026-11.lab.onevolume:host01
target iqn.2026-11.lab.onevolume:OPEN1
session 4 0 0 10.77.0.1 3260 10.77.0.1 3260 LOGGED_IN
unit 4 0:0:0:0 -
unit 4 0:0:0:1 sda
device 4 0:0:0:1 sda
size 131072
ro 0
dev 8:0
state running
wwid naa.6000000000000000989c456cc631c156
pg80 00 80 00 24 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 4c 41 42 2d 6f 70 65 6e 31 2d 31
link /dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2026-11.lab.onevolume:open1-lun-1
target iqn.2026-11.lab.onevolume:shared
session 5 1 0 10.77.0.1 3260 10.77.0.1 3260 FAILED
unit 5 1:0:0:0 -
unit 5 1:0:0:16640 sdc
device 5 1:0:0:16640 sdc
size 163840
ro 0
dev 8:32
state blocked
wwid naa.60000000000000004e0e05350475fb5e
/dev/sdc2                               partition	1048572		0		-2
stale link /dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol1-lun-1
stale file /dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol2-lun-0x0101000000000000
did records 0
node.name = iqn.2026-11.lab.onevolume:Big
node.startup = automatic
node.conn[0].address = 10.77.0.1
node.conn[0].port = 3261
node.name = iqn.2026-11.lab.onevolume:open1
node.startup = manual
node.conn[0].address = fd00::1
node.conn[0].port = 3260
node.name = iqn.2026-11.lab.onevolume:open1
node.startup = onboot
node.conn[0].address = array.lab
node.conn[0].port = 3260
end
`

func TestParseSurvey(t *testing.T) {
	s, err := parseSurvey([]byte(surveyed))
	if err != nil {
		t.Fatal(err)
	}
	f := s.facts()
	if f.Boot == "" || f.Initiator != "iqn.2026-11.lab.onevolume:host01" || len(f.Sessions) != 2 {
		t.Fatalf("%+v", f)
	}
	one, two := f.Sessions[0], f.Sessions[1]
	if one.IQN != "iqn.2026-11.lab.onevolume:open1" || !one.Working() || one.Portal.String() != "10.77.0.1:3260" || len(one.Units) != 2 {
		t.Errorf("%+v", one)
	}
	if u := one.Units[0]; u.LUN != 0 || u.Name != "" || u.HCTL != "0:0:0:0" {
		t.Errorf("%+v", u)
	}
	if u := one.Units[1]; u.LUN != 1 || u.Name != "sda" || u.Size != 64*onevolume.MiB || u.Identity.Serial != "LAB-open1-1" || u.Path == "" || u.Holders != nil {
		t.Errorf("%+v", u)
	}
	if u := two.Units[1]; two.Working() || u.LUN != 256 || u.State != "blocked" || !slices.Equal(u.Holders, []string{"swap on /dev/sdc2"}) {
		t.Errorf("%+v", two)
	}
	want := []Record{
		{"iqn.2026-11.lab.onevolume:Big", "iqn.2026-11.lab.onevolume:big", "10.77.0.1:3261", "automatic"},
		{"iqn.2026-11.lab.onevolume:open1", "iqn.2026-11.lab.onevolume:open1", "[fd00::1]:3260", "manual"},
		{"iqn.2026-11.lab.onevolume:open1", "iqn.2026-11.lab.onevolume:open1", "array.lab:3260", "onboot"},
	}
	if !slices.Equal(f.Records, want) || !want[0].Automatic() || want[1].Automatic() || !want[2].Automatic() {
		t.Errorf("%+v", f.Records)
	}
	if l := f.Links; len(l) != 2 || l[0].File || l[0].IQN != "iqn.2024-01.lab:vol1" || l[0].LUN != 1 || !l[1].File || l[1].LUN != 257 {
		t.Errorf("%+v", l)
	}
}

// An output cut anywhere is not taken for a whole one.
func TestParseSurveyCut(t *testing.T) {
	for n := range len(surveyed) - len("\n") {
		if _, err := parseSurvey([]byte(surveyed[:n])); err == nil {
			t.Fatalf("cut after %q", surveyed[max(0, n-20):n])
		}
	}
}

func FuzzParseSurvey(f *testing.F) {
	f.Add([]byte(surveyed))
	f.Add([]byte("target x\nsession 1 - 0 - - - - \ndid records 21\nend\n"))
	f.Add([]byte("node.name = x\nnode.conn[0].port = 1\nstale link /dev/disk/by-path/ip-1:1-iscsi-x-lun-1-part2\nend\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseSurvey(data)
		if err != nil {
			return
		}
		facts := s.facts()
		for _, x := range facts.Sessions {
			for _, u := range x.Units {
				if u.Size < 0 {
					t.Errorf("%+v", u)
				}
			}
		}
		for _, l := range facts.Links {
			if again, ok := ParseLink(l.Path); !ok || again.IQN != l.IQN || again.LUN != l.LUN || strings.ContainsAny(l.Path, "\n\x00 ") {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestParseLink(t *testing.T) {
	const dir = "/dev/disk/by-path/"
	for name, want := range map[string]onevolume.LUN{
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-1":                  1,
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-1-part3":            1,
		"ip-fd00::1:3260-iscsi-iqn.2026-11.test:a-lun-0x0101000000000000":  257,
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-7-lun-2":            2,
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-0x0101000100000000": -1,
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-1 b":                -1,
		"ip-10.0.0.1:3260-iscsi-../../x-lun-1":                             -1,
		"pci-0000:00:05.0-scsi-0:0:0:0":                                    -1,
		"ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-":                   -1,
	} {
		l, ok := ParseLink(dir + name)
		if ok != (want >= 0) || ok && l.LUN != want {
			t.Errorf("%s: %+v, %v", name, l, ok)
		}
	}
	if _, ok := ParseLink("/etc/passwd"); ok {
		t.Error("a path elsewhere")
	}
}

// The survey runs nothing as root but what reads.
func TestSurveyOnlyReads(t *testing.T) {
	for _, shell := range []string{"sh", "dash", "bash"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/sudo", []byte(fakeSudo), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(shell, "-c", surveyScript, "sh")
		cmd.Env = append(os.Environ(), "SUDO=sudo -n", "LOG="+dir+"/log", "PATH="+dir+":"+os.Getenv("PATH"), "LC_ALL=C")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseSurvey(out); err != nil {
			t.Errorf("%s: %v in\n%s", shell, err, out)
		}
		log, _ := os.ReadFile(dir + "/log")
		want := "sudo -n cat /etc/iscsi/initiatorname.iscsi\nsudo -n iscsiadm -m node -o show\n"
		if string(log) != want {
			t.Errorf("%s ran\n%snot\n%s", shell, log, want)
		}
	}
}

// The exact commands of what puts things right.
func TestTidyCommands(t *testing.T) {
	r := Record{Name: "iqn.2026-11.test:A", At: "10.0.0.1:3260"}
	l, _ := ParseLink("/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-1")
	for want, got := range map[string]string{
		"sudo -n iscsiadm -m node -T iqn.2026-11.test:A -p 10.0.0.1:3260 -o update -n node.startup -v manual": ManualCommands(r)[0].String(),
		"sudo -n iscsiadm -m node -T iqn.2026-11.test:A -p 10.0.0.1:3260 -o delete":                           ForgetCommands(r)[0].String(),
		"sudo -n find " + l.Path + " -maxdepth 0 -type l '!' -xtype b -delete":                                LinkCommands(l)[0].String(),
		"sudo -n iscsiadm -k 0": RenameCommands("iqn.2026-11.test:b")[1].String(),
	} {
		if got != want {
			t.Errorf("%s\nnot\n%s", got, want)
		}
	}
	set := RenameCommands("iqn.2026-11.test:b")[0]
	if set.String() != "sudo -n tee /etc/iscsi/initiatorname.iscsi" || string(set.Stdin) != "InitiatorName=iqn.2026-11.test:b\n" {
		t.Errorf("%s < %s", set, string(set.Stdin))
	}
}

func TestOwnName(t *testing.T) {
	seen := map[onevolume.IQN]bool{}
	for _, old := range []onevolume.IQN{"iqn.1993-08.org.debian:01:abc", "iqn.1994-05.com.redhat:x", "", "nonsense: x"} {
		for _, host := range []string{"host01", "host02"} {
			name := OwnName(old, host)
			if _, err := onevolume.ParseIQN(string(name)); err != nil {
				t.Error(err)
			}
			if seen[name] || OwnName(old, host) != name {
				t.Errorf("%s of %q on %s", name, old, host)
			}
			seen[name] = true
		}
	}
	if name := OwnName("iqn.1993-08.org.debian:01:abc", "host01"); !strings.HasPrefix(string(name), "iqn.1993-08.org.debian:01:") {
		t.Error(name)
	}
}
