package iscsi

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

// recorded is what login.sh printed on a host with open-iscsi 2.1.8 (Linux
// 6.1) at tgt 1.0.85, with lines for what else may stand there.
const recorded = `did new 0
did update 0
did login 0
made 3
fresh 3
did scan 0
device 3 0:0:0:1 sda
size 131072
ro 0
dev 8:0
state running
wwid naa.60000000000000000e00000000010001
pg80 00 80 00 24 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 20 62 65 61 66 31 31
link /dev/disk/by-path/ip-10.79.0.1:3260-iscsi-iqn.2024-01.lab:vol1-lun-1
read 0
holder vg0-lv1
36 25 8:0 / /mnt/a\040b rw,relatime shared:1 - ext4 /dev/sda rw
/dev/sda2                               partition	1048572		0		-2
/dev/sda
session 3 0 0 10.79.0.1 3260 10.79.0.1 3260 LOGGED_IN
unit 3 0:0:0:0 -
unit 3 0:0:0:1 sda
session 4 - 0 fd00::1 3260 - - FAILED
end
`

func TestParse(t *testing.T) {
	r, err := parse([]byte(recorded))
	if err != nil {
		t.Fatal(err)
	}
	d := r.device(*r.in(3, 1))
	want := []string{"device-mapper vg0-lv1", "mounted on /mnt/a b", "swap on /dev/sda2", "a loop device on /dev/sda"}
	if !slices.Equal(d.Holders, want) {
		t.Errorf("%q", d.Holders)
	}
	if d.Identity.Serial != "beaf11" || d.Size != 64*onevolume.MiB || !d.Fresh || r.made != 3 || d.Portal.String() != "10.79.0.1:3260" || d.Number != "8:0" {
		t.Errorf("%+v", d)
	}
	if r.code("login") != 0 || !r.tried("scan") || r.tried("secret") {
		t.Errorf("%+v", r.did)
	}
	six, _ := onevolume.ParsePortal("[fd00::1]:3260")
	if s := r.best(onevolume.Target{Portals: []onevolume.Portal{six}}); s == nil || s.id != 4 {
		t.Errorf("%+v", r.sessions)
	}
}

// An output cut anywhere is not taken for a whole one.
func TestParseCut(t *testing.T) {
	for n := range len(recorded) - len("\n") {
		if _, err := parse([]byte(recorded[:n])); err == nil {
			t.Fatalf("cut after %q", recorded[max(0, n-20):n])
		}
	}
}

func TestSerial(t *testing.T) {
	for dump, want := range map[string]string{
		"":                                "",
		"00 80 00 04 41 42 43 44":         "ABCD",
		"00 80 00 02 41 42 43 44":         "AB", // longer than it says
		"00 80 00 24 41 42":               "AB", // shorter
		"00 80 00 06 20 41 20 42 00 00":   "A B",
		"00 80 00 00":                     "",
		"00 80 00 04 ff fe 41 42":         "AB",
		"0c 80 00 04 4c 4f 4e 47 20 20":   "LONG",
		"00 80 00 08 00 00 00 00 00 00 0": "!",
		"00 83 00 04 41 42 43 44":         "!", // another page
		"00 80":                           "!",
		"xx":                              "!",
	} {
		got, err := serial(dump)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q: %q, not %q (%v)", dump, got, want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(recorded))
	f.Add([]byte("device 1 0:0:0:1 sda\npg80 00\nend\n"))
	f.Add([]byte("kept 1\nstuck 0:0:0:1\ninitiator x\nend\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parse(data)
		if err != nil {
			return
		}
		for _, d := range r.disks {
			dev := r.device(d)
			if dev.Size < 0 || strings.ContainsAny(dev.Identity.Serial, "\n\x00") {
				t.Errorf("%+v", dev)
			}
		}
	})
}

func TestPath(t *testing.T) {
	p, _ := onevolume.ParsePortal("10.0.0.1")
	six, _ := onevolume.ParsePortal("fd00::1")
	for _, tt := range []struct {
		portal onevolume.Portal
		lun    onevolume.LUN
		want   string
	}{
		{p, 1, "ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-1"},
		{p, 255, "ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-255"},
		{p, 256, "ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:a-lun-0x0100000000000000"},
		{six, 1, "ip-fd00::1:3260-iscsi-iqn.2026-11.test:a-lun-1"},
	} {
		tg := onevolume.Target{IQN: "iqn.2026-11.test:a", LUN: tt.lun, Portals: []onevolume.Portal{tt.portal}}
		if got := New(Options{}).Path(tg); got != "/dev/disk/by-path/"+tt.want {
			t.Errorf("%s, not %s", got, tt.want)
		}
	}
}

var all = map[string]string{
	NameLook: lookScript, NamePrepare: prepareScript, NameLogin: loginScript,
	NameRelease: releaseScript, NameCheck: checkScript, NameSurvey: surveyScript,
}

func TestScriptsParse(t *testing.T) {
	for name, script := range all {
		for _, shell := range []string{"dash", "bash"} {
			if _, err := exec.LookPath(shell); err != nil {
				continue
			}
			if out, err := exec.Command(shell, "-n", "-c", script).CombinedOutput(); err != nil {
				t.Errorf("%s in %s: %v\n%s", name, shell, err, out)
			}
		}
	}
}

// fakeSudo stands for sudo: it logs what it would run, with its environment,
// and does nothing.
const fakeSudo = `#!/bin/sh
echo "sudo $*" >>"$LOG"
env >>"$LOG.env"
`

// runScript runs a script as a host would, with the sudo above, and gives the
// commands that would have been run as root.
func runScript(t *testing.T, shell, script, stdin string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte(fakeSudo), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(shell, append([]string{"-c", script, "sh"}, args...)...)
	log := filepath.Join(dir, "log")
	cmd.Env = append(os.Environ(), "SUDO=sudo -n", "LOG="+log, "PATH="+dir+":"+os.Getenv("PATH"), "LC_ALL=C")
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, err := parse(out); err != nil {
		t.Errorf("%v in\n%s", err, out)
	}
	lines, _ := os.ReadFile(log)
	env, _ := os.ReadFile(log + ".env")
	if strings.Contains(string(env)+string(out), "secret-") {
		t.Error("a secret in the environment or the output")
	}
	return strings.Split(strings.TrimSpace(string(lines)), "\n")
}

// The scripts run exactly the commands that a dry run shows. The target is
// one that this machine has no session with.
func TestScriptsRunWhatIsShown(t *testing.T) {
	for _, shell := range []string{"sh", "dash", "bash"} {
		if _, err := exec.LookPath(shell); err == nil {
			t.Run(shell, func(t *testing.T) { runsWhatIsShown(t, shell) })
		}
	}
}

func runsWhatIsShown(t *testing.T, shell string) {
	portal, _ := onevolume.ParsePortal("192.0.2.1")
	tg := onevolume.Target{IQN: "iqn.2026-11.test:none", LUN: 1, Portals: []onevolume.Portal{portal}}
	tg.CHAP = onevolume.CHAP{User: "user", Secret: "secret-one", UserIn: "user2", SecretIn: "secret-two"}
	i := New(Options{})
	plain := func(s string) string { return strings.ReplaceAll(s, "'", "") }
	var want []string
	for _, c := range i.ConnectCommands(tg)[:3] { // the scan needs a session
		want = append(want, plain(c.String()))
	}
	login := i.loginCmd(tg, portal, true)
	if got := runScript(t, shell, loginScript, string(login.Stdin), login.Args...); !slices.Equal(got, want) {
		t.Errorf("login ran\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	cmds := i.ReleaseCommands(tg)
	want = []string{plain(cmds[len(cmds)-1].String())}
	if got := runScript(t, shell, releaseScript, "", i.releaseCmd(tg, orderly, nil, tg.Portals).Args...); !slices.Equal(got, want) {
		t.Errorf("release ran %q, not %q", got, want)
	}
	if got := runScript(t, shell, lookScript, "", lookCmd(tg, false).Args...); !slices.Equal(got, []string{""}) {
		t.Errorf("look ran %q as root", got)
	}
}

func TestNewEnough(t *testing.T) {
	for version, want := range map[string]bool{
		"2.1.8": true, "2.0.874": true, "2.0.873": false, "6.2.0.874-22": true, "6.2.0.873-35": false,
		"6.2.1.9": true, "3.0": true, "": true, "git": true,
	} {
		if got := newEnough(version); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
}
