package virsh_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"onevolume"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
)

const (
	uuid    = "56480758-ff82-49f2-b371-835a858b2fe6"
	byPath  = "/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol1-lun-1"
	byPath2 = "/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol2-lun-1"
	odd     = `/dev/disk/it's "$(touch ` + hypervisortest.Injection + `)" & <so> on`
)

// memory is a host with the VM 17 and two devices.
func memory(t *testing.T) (*hypervisortest.Memory, *commandtest.Host) {
	m := hypervisortest.NewMemory(t)
	m.AddDomain(hypervisortest.Domain{Name: "one-16"})
	m.AddDomain(hypervisortest.Domain{Name: "one-17", UUID: uuid})
	m.AddDomain(hypervisortest.Domain{Name: "one-18", State: "shut off"})
	m.AddDevice(byPath, "8:0")
	m.AddDevice("/dev/sda", "8:0")
	m.AddDevice(byPath2, "8:10")
	m.AddDevice("/dev/other", "8:20")
	m.AddDevice(odd, "8:30")
	m.SetSize("8:0", onevolume.GiB)
	return m, commandtest.NewHost(t, "host01", func(c command.Cmd) (command.Result, error) {
		if r, ok := m.Handle(c); ok {
			return r, nil
		}
		if len(c.Argv) > 0 && c.Argv[0] == "test" {
			return commandtest.Fail(1, "")
		}
		return command.Result{}, commandtest.ErrUnknown
	})
}

func fixture(t *testing.T) hypervisortest.Fixture {
	m, h := memory(t)
	return hypervisortest.Fixture{
		Driver: virsh.New(virsh.Options{}), Host: h,
		VM:      onevolume.VM{ID: 17, DeployID: uuid},
		Sources: [2]string{byPath, byPath2}, Alias: "/dev/sda", Odd: odd,
		Stopped: onevolume.VM{ID: 18},
		TakeTarget: func(t *testing.T, target string) {
			m.Edit("one-17", func(d *hypervisortest.Domain) {
				d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: "/dev/foreign", Target: target, Bus: "scsi"}})
			})
		},
		Stuck: func(t *testing.T) (hypervisor.Disk, func()) {
			k := hypervisor.Disk{Source: byPath, Target: "vdz", Bus: "virtio", Serial: "onevolume-9"}
			m.Edit("one-17", func(d *hypervisortest.Domain) {
				d.Guest, d.Disks = hypervisortest.Refuses, append(d.Disks, hypervisortest.Disk{Disk: k})
			})
			return k, func() { m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo }) }
		},
		Grow: func(*testing.T) onevolume.Size {
			m.SetSize("8:0", onevolume.GiB+512)
			return onevolume.GiB + 512
		},
		Sees: func(t *testing.T, serial string) onevolume.Size {
			d, _ := m.Domain("one-17")
			for _, k := range d.Disks {
				if k.Serial == serial {
					return k.Capacity
				}
			}
			t.Fatalf("the guest has no disk %s: %+v", serial, d.Disks)
			return 0
		},
		Remove: func(t *testing.T) { m.RemoveDomain("one-17") },
	}
}

func TestSuite(t *testing.T) {
	hypervisortest.Run(t, virsh.New(virsh.Options{}), fixture)
}

// The exact commands, once.
func TestCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, h := memory(t)
		v, vm := virsh.New(virsh.Options{}), onevolume.VM{ID: 17, DeployID: uuid}
		dom, err := v.Domain(t.Context(), h, vm)
		if err != nil {
			t.Fatal(err)
		}
		d := hypervisor.Disk{Source: byPath, Serial: "onevolume-7"}
		if _, err := v.Plug(t.Context(), h, dom, d); err != nil {
			t.Fatal(err)
		}
		m.SetSize("8:0", 2*onevolume.GiB)
		if err := v.Resize(t.Context(), h, vm, d, 2*onevolume.GiB); err != nil {
			t.Fatal(err)
		}
		if err := v.Unplug(t.Context(), h, vm, d, 0); err != nil {
			t.Fatal(err)
		}
		look := "domcontrol " + uuid + "; domstate " + uuid + " --reason; dumpxml " + uuid + "'"
		want := []string{
			"virsh -c qemu:///system -q '" + look,
			"virsh -c qemu:///system -q 'attach-device " + uuid + " /dev/stdin --live; " + look,
			"virsh -c qemu:///system -q '" + look,
			"virsh -c qemu:///system -q 'domblkinfo " + uuid + " sdiv'",
			"virsh -c qemu:///system -q 'blockresize " + uuid + " sdiv 2147483648B; " + look,
			"virsh -c qemu:///system -q 'domblkinfo " + uuid + " sdiv'",
			"virsh -c qemu:///system -q 'detach-disk " + uuid + " " + byPath + " --live; " + look,
		}
		if got := h.Net().Lines("host01"); !slices.Equal(got, want) {
			t.Errorf("ran\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		const xml = `<disk type="block" device="disk" snapshot="no">
  <driver name="qemu" type="raw" cache="none" error_policy="stop" io="native" discard="unmap"></driver>
  <source dev="` + byPath + `"></source>
  <target dev="sdiv" bus="scsi"></target>
  <serial>onevolume-7</serial>
  <address type="drive" controller="0" bus="0" target="255" unit="0"></address>
</disk>
`
		if got := string(h.Net().Calls()[1].Cmd.Stdin); got != xml {
			t.Errorf("attached\n%s\nexpected\n%s", got, xml)
		}
		plug := v.PlugCommands(dom, d)
		if len(plug) != 1 || plug[0].String() != want[1] || string(plug[0].Stdin) != xml {
			t.Errorf("dry run of plug: %v", plug)
		}
		dom.Disks = []hypervisor.Disk{d}
		if unplug := v.UnplugCommands(dom, d); len(unplug) != 1 || unplug[0].String() != want[6] {
			t.Errorf("dry run of unplug: %v", unplug)
		}
	})
}

// A domain that its disk has paused is told from one that somebody paused, and
// is resumed by UUID.
func TestVersion(t *testing.T) {
	t.Parallel()
	m, h := memory(t)
	v := virsh.New(virsh.Options{})
	if got, err := v.Version(t.Context(), h); got != "QEMU 7.2.22" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	m.Down("error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Connection refused\n")
	if got, err := v.Version(t.Context(), h); got != "" || onevolume.CodeOf(err) != onevolume.Unreachable {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWake(t *testing.T) {
	m, h := memory(t)
	v, vm := virsh.New(virsh.Options{}), onevolume.VM{ID: 17, DeployID: uuid}
	state := func(state string, failing map[string]string, recovers bool) {
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.State, d.Failing, d.Recovers = state, failing, recovers })
	}
	both := map[string]string{"sda": "no space", "sdiv": "unspecified error"}
	for _, test := range []struct {
		state   string
		paused  int
		failing []string
	}{
		{"running (booted)", 0, nil},
		{"paused (user)", 1, nil},
		{"paused (I/O error)", 1, []string{"sda"}},
	} {
		state(test.state, both, false)
		list, err := v.Paused(t.Context(), h)
		if err != nil || len(list) != test.paused {
			t.Errorf("%s: paused are %+v, %v", test.state, list, err)
		}
		m.Edit("one-17", func(d *hypervisortest.Domain) {
			d.Disks = nil
			d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: "/var/a", Target: "sda", Bus: "scsi"}})
		})
		dom, failing, err := v.Failing(t.Context(), h, vm)
		if err != nil || !slices.Equal(failing, test.failing) || dom.Stopped != (test.failing != nil) {
			t.Errorf("%s: %v failed, %+v, %v", test.state, failing, dom, err)
		}
	}
	h.Net().Forget()
	if err := v.Wake(t.Context(), h, vm); onevolume.CodeOf(err) != onevolume.Refused || onevolume.HintOf(err) == "" {
		t.Errorf("one that stops again: %v (%s)", err, onevolume.HintOf(err))
	}
	want := "virsh -c qemu:///system -q 'resume " + uuid + "; domcontrol " + uuid + "; domstate " + uuid + " --reason; dumpxml " + uuid + "'"
	if got := h.Net().Lines("host01"); len(got) != 2 || got[1] != want {
		t.Errorf("ran\n%s", strings.Join(got, "\n"))
	}
	state("paused (I/O error)", both, true)
	if err := v.Wake(t.Context(), h, vm); err != nil {
		t.Error(err)
	}
	m.RemoveDomain("one-17")
	if err := v.Wake(t.Context(), h, vm); onevolume.CodeOf(err) != onevolume.NotFound {
		t.Errorf("one that is gone: %v", err)
	}
}
