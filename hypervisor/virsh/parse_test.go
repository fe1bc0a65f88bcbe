package virsh

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"onevolume/command"
	"onevolume/hypervisor"
)

// recorded reads an output recorded from libvirt 9.0 with QEMU 7.2: lines of
// comment with the exit status in "# rc:", then standard output and error.
func recorded(t testing.TB, name string) command.Result {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "--- stdout\n")
	out, stderr, ok2 := strings.Cut(rest, "--- stderr\n")
	_, rc, ok3 := strings.Cut(head, "# rc: ")
	rc, _, _ = strings.Cut(rc, "\n")
	code, err := strconv.Atoi(rc)
	if !ok || !ok2 || !ok3 || err != nil {
		t.Fatalf("%s is no recording", name)
	}
	return command.Result{Stdout: []byte(out), Stderr: []byte(stderr), Code: code}
}

func TestParseLook(t *testing.T) {
	disk := hypervisor.Disk{Source: "/dev/disk/ov/b", Target: "sdiu", Bus: "scsi", Serial: "onevolume-8"}
	for name, want := range map[string]struct {
		running bool
		state   string
		busy    bool
		has     bool
		slot    hypervisor.Slot
	}{
		"look":           {true, "running (unpaused)", false, false, hypervisor.Slot{Target: "sdiu", Address: "0:0:254:0"}},
		"look-shutoff":   {false, "shut off (unknown)", false, false, hypervisor.Slot{Target: "sdiv", Address: "0:0:255:0"}},
		"look-occupied":  {true, "running (unpaused)", true, false, hypervisor.Slot{Target: "sdiv", Address: "0:0:255:0"}},
		"attach-ok":      {true, "running (unpaused)", false, true, hypervisor.Slot{Target: "sdit", Address: "0:0:253:0"}},
		"attach-shutoff": {false, "shut off (unknown)", false, false, hypervisor.Slot{Target: "sdiv", Address: "0:0:255:0"}},
		"detach-ok":      {true, "running (unpaused)", false, false, hypervisor.Slot{Target: "sdiu", Address: "0:0:254:0"}},
		"dumpxml":        {true, "running", false, false, hypervisor.Slot{Target: "sdiv", Address: "0:0:255:0"}},
	} {
		l, err := parseLook(recorded(t, name).Stdout)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		k, has := l.Find(disk.Serial, "")
		if l.Running != want.running || l.State != want.state || l.busy() != want.busy || has != want.has || has && k != disk || l.Slots[0] != want.slot {
			t.Errorf("%s: read %+v", name, l)
		}
	}
	for _, name := range []string{"look-missing", "no-access", "no-libvirtd"} {
		if l, err := parseLook(recorded(t, name).Stdout); err == nil {
			t.Errorf("%s: read %+v", name, l)
		}
	}
}

func TestCauses(t *testing.T) {
	for name, want := range map[string]cause{
		"look-missing":          noDomain,
		"attach-shutoff":        notRunning,
		"attach-target-taken":   slotTaken,
		"attach-address-taken":  slotTaken,
		"attach-source-taken":   sourceTaken,
		"attach-source-missing": noSource,
		"detach-no-disk":        noDisk,
		"detach-other-disk":     noDisk,
		"detach-already":        noDisk,
		"no-access":             noAccess,
		"no-libvirtd":           noDaemon,
		"attach-ok":             unclear,
	} {
		if got := causeOf(recorded(t, name)); got != want {
			t.Errorf("%s: cause %d, expected %d", name, got, want)
		}
	}
	for text, want := range map[string]cause{
		"error: Failed to detach disk\nerror: internal error: unable to execute QEMU command 'device_del': Device virtio-disk1 is already in the process of unplug\n": detaching,
		"error: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainAttachDevice)\n":                                    busy,
		"error: internal error: unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock\nIs another process using the image [/dev/sdb]?\n":        sourceTaken,
		"error: internal error: unable to execute QEMU command 'blockdev-add': Could not open '/dev/sdb': Permission denied\n":                                        noRight,
		"error: failed to connect to the hypervisor\nerror: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.manage'\n": noAccess,
		"error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/virtqemud-sock': Permission denied\n":                       noAccess,
		"error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/virtqemud-sock': No such file or directory\n":               noDaemon,
		"sudo: a password is required\n": noSudo,
	} {
		if got := causeOf(command.Result{Stderr: []byte(text), Code: 1}); got != want {
			t.Errorf("%q: cause %d, expected %d", text, got, want)
		}
	}
	if got := causeOf(command.Result{Stderr: []byte("sh: 1: virsh: not found\n"), Code: 127}); got != noProgram {
		t.Errorf("127: cause %d", got)
	}
}

func TestSCSIName(t *testing.T) {
	for i, want := range map[int]string{0: "sda", 25: "sdz", 26: "sdaa", 51: "sdaz", 52: "sdba", 255: "sdiv", 254: "sdiu", 701: "sdzz", 702: "sdaaa"} {
		if got := scsiName(i); got != want {
			t.Errorf("scsiName(%d) = %s, expected %s", i, got, want)
		}
	}
}

func TestSlots(t *testing.T) {
	const head = `<domain id='3'><name>one-17</name><uuid>56480758-ff82-49f2-b371-835a858b2fe6</uuid><devices>`
	for name, c := range map[string]struct{ devices, want string }{
		"none":             {`<controller type='scsi' index='0' model='lsilogic'/><controller type='virtio-serial' index='0'/>`, ""},
		"second":           {`<controller type='scsi' index='0' model='lsilogic'/><controller type='scsi' index='1' model='virtio-scsi'/>`, "sdiv 1:0:255:0"},
		"lowest first":     {`<controller type='scsi' index='2' model='virtio-scsi'/><controller type='scsi' index='1' model='virtio-transitional'/>`, "sdiv 1:0:255:0"},
		"name of another":  {`<disk><target dev='sdiv' bus='sata'/></disk><controller type='scsi' index='0' model='virtio-scsi'/>`, "sdiu 0:0:254:0"},
		"address of other": {`<disk><target dev='sda' bus='scsi'/><address type='drive' controller='0' bus='0' target='255' unit='0'/></disk><controller type='scsi' index='0' model='virtio-scsi'/>`, "sdiu 0:0:254:0"},
		"passed through":   {`<hostdev><address type='drive' controller='0' bus='0' target='255' unit='0'/></hostdev><controller type='scsi' index='0' model='virtio-scsi'/>`, "sdiu 0:0:254:0"},
		"another unit":     {`<disk><target dev='sda' bus='scsi'/><address type='drive' controller='0' bus='0' target='255' unit='1'/></disk><controller type='scsi' index='0' model='virtio-scsi'/>`, "sdiv 0:0:255:0"},
		"on PCI":           {`<disk><target dev='vda' bus='virtio'/><address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/></disk><controller type='scsi' index='0' model='virtio-scsi'/>`, "sdiv 0:0:255:0"},
	} {
		l, err := parseDomain([]byte(head + c.devices + `</devices></domain>`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := ""
		if len(l.Slots) > 0 {
			got = l.Slots[0].Target + " " + l.Slots[0].Address
		}
		if got != c.want || len(l.Slots) > maxSlots {
			t.Errorf("%s: slots %v, expected %s first", name, l.Slots, c.want)
		}
	}
}

// The words of a chain must come out of virsh's own lexer as they went in;
// hypervisortest has that lexer, and this is the allow-list before it.
func TestPlain(t *testing.T) {
	for word, want := range map[string]bool{
		"56480758-ff82-49f2-b371-835a858b2fe6":                                 true,
		"/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol1-lun-1": true,
		"": false, "-h": false, "--all": false, "a b": false, "a;b": false, "a'b": false, `a"b`: false, `a\b`: false, "#": false, "a\nb": false, "ü": false, "$a": false,
	} {
		if got := plain(word); got != want {
			t.Errorf("plain(%q) = %v", word, got)
		}
	}
}

func TestGuestPath(t *testing.T) {
	v := New(Options{})
	for want, d := range map[string]hypervisor.Disk{
		"": {Source: "/dev/sda", Bus: "scsi"},
		"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_onevolume-7": {Serial: "onevolume-7", Bus: "scsi"},
		"/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_onevolume-8": {Serial: "onevolume-8"},
		"/dev/disk/by-id/virtio-onevolume-1234567890":          {Serial: "onevolume-12345678901", Bus: "virtio"},
	} {
		if got := v.GuestPath(d); got != want {
			t.Errorf("%+v is at %q, expected %q", d, got, want)
		}
	}
}

func TestUsersOf(t *testing.T) {
	const out = `Domain: 'one-17'
  block.count=3
  block.0.name=vda
  block.0.path=/dev/disk/by-path/with two blanks  in it
  block.1.name=hda
  block.1.path=/var/lib/one/datastores/0/17/disk.1
  block.2.name=hdb

Domain: 'a name; with "things" and '.path=/dev/sdb'
  block.count=1
  block.0.name=sda
  block.0.path=/dev/sdb
Domain: 'one-18'
  block.count=0
--
8:10 /dev/sdb
8:10 /dev/disk/by-id/x
0:0 /var/lib/one/datastores/0/17/disk.1
0:0 /some/file
`
	const odd = `a name; with "things" and '.path=/dev/sdb`
	for _, c := range []struct {
		except string
		paths  []string
		want   []string
	}{
		{"", []string{"/dev/disk/by-id/x"}, []string{odd}},
		{"", []string{"/dev/disk/by-path/with two blanks  in it", "/dev/sdb"}, []string{"one-17", odd}},
		{"one-17", []string{"/dev/disk/by-path/with two blanks  in it"}, nil},
		{"", []string{"/some/file", "-", ""}, nil},
		{"", nil, nil},
	} {
		if got := usersOf(out, c.except, c.paths); !slices.Equal(got, c.want) {
			t.Errorf("users of %q apart from %q: %q, expected %q", c.paths, c.except, got, c.want)
		}
	}
}

func FuzzParseLook(f *testing.F) {
	for _, name := range []string{"look", "look-shutoff", "look-missing", "attach-ok", "dumpxml"} {
		f.Add(recorded(f, name).Stdout)
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		l, err := parseLook(out)
		if err != nil {
			return
		}
		if !plain(l.UUID) || l.Name == "" {
			t.Errorf("a domain named %q, %q", l.Name, l.UUID)
		}
		for _, s := range l.Slots {
			if slotAddress(s.Address) == nil || slices.ContainsFunc(l.Disks, func(k hypervisor.Disk) bool { return k.Target == s.Target }) {
				t.Errorf("slot %+v is not free", s)
			}
		}
	})
}

// What is rendered reads back as the same disk, whatever its path.
func FuzzRender(f *testing.F) {
	f.Add("/dev/sda", "onevolume-7", false)
	f.Add(`/dev/it's "<&>" $(x) ]]>`, "a.b_c-d", true)
	f.Fuzz(func(t *testing.T, source, serial string, readOnly bool) {
		d := hypervisor.Disk{Source: source, Serial: serial, ReadOnly: readOnly}
		if checkDisk(d) != nil {
			return
		}
		text := render(d, hypervisor.Slot{Target: "sdiv", Address: "0:0:255:0"})
		l, err := parseDomain([]byte("<domain><name>n</name><uuid>56480758-ff82-49f2-b371-835a858b2fe6</uuid><devices>" + string(text) + "</devices></domain>"))
		d.Target, d.Bus = "sdiv", "scsi"
		if err != nil || len(l.Disks) != 1 || l.Disks[0] != d {
			t.Errorf("%+v came back as %+v, %v\n%s", d, l.Disks, err, text)
		}
	})
}

func FuzzUsersOf(f *testing.F) {
	f.Add("Domain: 'one-17'\n  block.0.path=/dev/sda\n--\n8:0 /dev/sda\n", "/dev/sda")
	f.Fuzz(func(t *testing.T, out, path string) { usersOf(out, "", []string{path}) })
}

func TestParseDomains(t *testing.T) {
	one := "running (unpaused)\n" + strings.TrimSpace(string(recorded(t, "dumpxml").Stdout)) + "\n"
	off := string(recorded(t, "look-shutoff").Stdout)
	off = off[strings.Index(off, "shut off"):]
	list, err := parseDomains([]byte(one + "running (booted)\n" + "\n" + off + "paused (user)\nend\n"))
	if err != nil || len(list) != 2 || !list[0].Running || list[1].Running || list[1].State != "shut off (unknown)" || list[0].State != "running (unpaused)" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := parseDomains([]byte("end\n")); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	for n := range len(one) {
		if list, err := parseDomains([]byte(one[:n] + "end\n")); err == nil && len(list) > 0 {
			t.Fatalf("cut after %q: %+v", one[max(0, n-20):n], list)
		}
		if _, err := parseDomains([]byte(one[:n])); err == nil {
			t.Fatalf("cut after %q is taken for whole", one[max(0, n-20):n])
		}
	}
}

func FuzzParseDomains(f *testing.F) {
	f.Add([]byte("running (booted)\n<domain id='1'>\n<name>a</name><uuid>c6661111-7422-4ea3-bbef-470a262cb67b</uuid>\n</domain>\nend\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseDomains(data)
		for _, d := range list {
			if err != nil || d.Name == "" || d.UUID == "" || len(d.Slots) > 0 {
				t.Errorf("%+v, %v", d, err)
			}
		}
	})
}
