package xen

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"onevolume/command"
	"onevolume/hypervisor"
)

func TestSlots(t *testing.T) {
	names := func(taken ...string) string {
		var disks []hypervisor.Disk
		for _, n := range taken {
			disks = append(disks, hypervisor.Disk{Target: n})
		}
		var free []string
		for _, s := range slots(disks, "xl") {
			free = append(free, s.Target)
			if s.Address != "xl" {
				t.Errorf("slot %+v", s)
			}
		}
		return strings.Join(free, " ")
	}
	var early []string
	for i := range firstLate {
		early = append(early, target(i))
	}
	for _, c := range []struct{ got, want string }{
		{names(), "xvdp xvdo xvdn xvdm xvdl xvdk xvdj xvdi"},
		{names("xvda", "xvdp", "hda"), "xvdo xvdn xvdm xvdl xvdk xvdj xvdi xvdh"},
		{names(early...), "xvdz xvdy xvdx xvdw xvdv xvdu xvdt xvds"},
		{names(early[1:]...), "xvda xvdz xvdy xvdx xvdw xvdv xvdu xvdt"},
	} {
		if c.got != c.want {
			t.Errorf("slots %s, expected %s", c.got, c.want)
		}
	}
}

func TestParseList(t *testing.T) {
	rows, err := parseList(`Name                                        ID   Mem VCPUs	State	Time(s)
Domain-0                                     0   768     1     r-----     177.1
one-17                                       3   128     1     -b----       4.0
two words                                    4   128     1     --p---       4.0
(null)                                       5     0     1     --ps-d       9.9
kept                                             128     1                   0.0
old xm                                       6   128     1     ------       1.5
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		state, running := r.words()
		if running {
			state += "!"
		}
		got = append(got, r.name+" "+state)
	}
	want := []string{"Domain-0 running!", "one-17 running!", "two words paused!", "(null) dying", "kept shut off", "old xm running!"}
	if !slices.Equal(got, want) || rows[1].id != 3 || rows[4].id != -1 {
		t.Errorf("read %q, %+v", got, rows)
	}
	for _, text := range []string{"", "Error: x\n", "Name ID\n"} {
		if rows, err := parseList(text); err == nil {
			t.Errorf("%q: read %+v", text, rows)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`a`: "a", `a\\b`: `a\b`, `\n\t\r`: "\n\t\r", `\303\274!`: "ü!", `\0x`: "\x00x", `\`: `\`, `"x"`: `"x"`} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, expected %q", in, got, want)
		}
	}
}

func TestPlain(t *testing.T) {
	for name, want := range map[string]bool{"one-17": true, "a b": true, "17": false, "": false, "-h": false, "1a": true} {
		if plain(name) != want {
			t.Errorf("plain(%q) is %v", name, !want)
		}
	}
	for source, want := range map[string]bool{"/dev/sda": true, "/dev/disk/by-path/ip-fd00::1:3260-iscsi-iqn.2024-01.lab:vol1-lun-0x0100000000000000": true,
		"/dev/a,b": false, "/dev/a b": false, "/dev/$(x)": false, "sda": false, "/dev/../sda": false, "": false} {
		if (checkDisk(hypervisor.Disk{Source: source}) == nil) != want {
			t.Errorf("checkDisk(%q): %v", source, checkDisk(hypervisor.Disk{Source: source}))
		}
	}
}

// Which tool the script takes, by a real shell with programs in the place of
// Xen's.
func TestLookScript(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, have, tool string
		code             int
		says             string
	}{
		{"xl", "xl xenstore-ls", "", 0, "tool xl\nxl list\n-- store\nxenstore-ls -f /local/domain\n-- backends\n"},
		{"both", "xl xm xenstore-ls", "", 0, "tool xl\n"},
		{"xm", "xm xenstore-ls", "", 0, "tool xm\nxm list\n"},
		{"asked for", "xl xm xenstore-ls", "xm", 0, "tool xm\nxm list\n"},
		{"asked for, missing", "xl xenstore-ls", "xm", 127, "xm: not found"},
		{"neither", "xenstore-ls", "", 127, "neither xl nor xm"},
		{"no xenstore", "xl", "", 127, "xenstore-ls: not found"},
		{"xl fails", "xl! xenstore-ls", "", 3, "tool xl\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, p := range strings.Fields(c.have) {
				end := "0"
				if name, bad := strings.CutSuffix(p, "!"); bad {
					p, end = name, "3"
				}
				if err := os.WriteFile(filepath.Join(dir, p), []byte("#!"+sh+"\necho "+p+" \"$@\"\nexit "+end+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			// Not the directories of this machine: it may have Xen's tools.
			script := strings.Replace(lookScript, ":/usr/local/sbin:/usr/sbin:/sbin", "", 1)
			cmd := exec.CommandContext(t.Context(), sh, "-c", script, "xen-look", c.tool, "/dev/null", "/nowhere")
			cmd.Env = []string{"PATH=" + dir}
			out, _ := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) || (c.code == 0) != strings.HasSuffix(string(out), "-- end\n") {
				t.Errorf("ended with %d and\n%s", cmd.ProcessState.ExitCode(), out)
			}
		})
	}
}

func TestCauses(t *testing.T) {
	for text, want := range map[string]cause{
		"one-99 is an invalid domain identifier\n":                                 noDomain,
		"Error: Domain 'one-99' does not exist.\n":                                 noDomain,
		"Error: Device xvdp (51952, vbd) is already connected.\n":                  slotTaken,
		"Error: Device xvdz not connected.\n":                                      noDisk,
		"Error: Device 51952 not connected\n":                                      noDisk,
		"Error: Device 51952 (vbd) could not be disconnected. \n":                  inUse,
		"Error: Unable to connect to xend: Connection refused. Is xend running?\n": noStore,
		"Error: Most commands need root access. Please try again as root.\n":       noAccess,
		"something new\n": unclear,
	} {
		if got := causeOf(command.Result{Stderr: []byte(text), Code: 1}); got != want {
			t.Errorf("%q: cause %d, expected %d", text, got, want)
		}
	}
}

func FuzzParseLook(f *testing.F) {
	f.Add("tool xl\nDomain-0 0 768 1 r----- 1.1\none-17 3 128 1 -b---- 4.0\n-- store\n" +
		"/local/domain/3/vm = \"/vm/u\"\n/local/domain/0/backend/vbd/3/51728/params = \"/dev/sda\"\n/local/domain/0/backend/vbd/3/51728/dev = \"xvdb\"\n" +
		"-- backends\nvbd-3-51728 8:0\n-- devices\n8:0 /dev/sda\n-- end\n")
	f.Fuzz(func(t *testing.T, out string) {
		v, err := parseLook(out)
		if err != nil {
			return
		}
		for _, d := range v.domains {
			if d.id == 0 || d.Name == "" || len(d.disks) != len(d.Disks) {
				t.Errorf("a domain %+v", d)
			}
			for _, s := range d.Slots {
				if slices.ContainsFunc(d.Disks, func(k hypervisor.Disk) bool { return k.Target == s.Target }) {
					t.Errorf("slot %+v is not free", s)
				}
			}
		}
		v.users("", []string{"/dev/sda"})
	})
}
