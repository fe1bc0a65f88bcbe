package xen_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/xen"
)

const (
	uuid    = "56480758-ff82-49f2-b371-835a858b2fe6"
	byPath  = "/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol1-lun-1"
	byPath2 = "/dev/disk/by-path/ip-10.77.0.1:3260-iscsi-iqn.2024-01.lab:vol2-lun-1"
)

var (
	vm   = onevolume.VM{ID: 17, DeployID: "one-17"}
	disk = hypervisor.Disk{Source: byPath, Serial: "onevolume-7"}
)

// memory is a host with the VM 17 and two devices.
func memory(t *testing.T, tool string) (*hypervisortest.Memory, *commandtest.Host) {
	m := hypervisortest.NewXenMemory(t, tool)
	m.AddDomain(hypervisortest.Domain{Name: "one-16", State: "running"})
	m.AddDomain(hypervisortest.Domain{Name: "one-17", State: "running", UUID: uuid})
	m.AddDomain(hypervisortest.Domain{Name: "one-18", State: "shut off"})
	m.AddDevice(byPath, "8:0")
	m.AddDevice("/dev/sda", "8:0")
	m.AddDevice(byPath2, "8:10")
	return m, commandtest.NewHost(t, "host01", handler(m))
}

func handler(m *hypervisortest.Memory) commandtest.Handler {
	return func(c command.Cmd) (command.Result, error) {
		if r, ok := m.Handle(c); ok {
			return r, nil
		}
		if len(c.Argv) > 0 && c.Argv[0] == "test" {
			return commandtest.Fail(1, "")
		}
		return command.Result{}, commandtest.ErrUnknown
	}
}

func fixture(tool string) func(t *testing.T) hypervisortest.Fixture {
	return func(t *testing.T) hypervisortest.Fixture {
		m, h := memory(t, tool)
		return hypervisortest.Fixture{
			Driver: xen.New(xen.Options{}), Host: h, VM: vm,
			Sources: [2]string{byPath, byPath2}, Alias: "/dev/sda",
			Stopped: onevolume.VM{ID: 18},
			TakeTarget: func(t *testing.T, target string) {
				m.Edit("one-17", func(d *hypervisortest.Domain) {
					d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: "/dev/foreign", Target: target}})
				})
			},
			Stuck: func(t *testing.T) (hypervisor.Disk, func()) {
				k := hypervisor.Disk{Source: byPath, Target: "xvdb", Bus: "xen"}
				m.Edit("one-17", func(d *hypervisortest.Domain) {
					d.Guest, d.Disks = hypervisortest.Refuses, append(d.Disks, hypervisortest.Disk{Disk: k})
				})
				return k, func() { m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo }) }
			},
			Remove: func(t *testing.T) { m.RemoveDomain("one-17") },
		}
	}
}

func TestSuite(t *testing.T) {
	for _, tool := range []string{"xl", "xm"} {
		t.Run(tool, func(t *testing.T) { hypervisortest.Run(t, xen.New(xen.Options{}), fixture(tool)) })
	}
}

// The exact commands, once for each tool.
func TestCommands(t *testing.T) {
	for _, tool := range []string{"xl", "xm"} {
		t.Run(tool, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, h := memory(t, tool)
				x := xen.New(xen.Options{})
				dom, err := x.Domain(t.Context(), h, vm)
				if err != nil {
					t.Fatal(err)
				}
				plug, unplug := x.PlugCommands(dom, disk), x.UnplugCommands(dom, hypervisor.Disk{Target: "xvdp"})
				if _, err := x.Plug(t.Context(), h, dom, disk); err != nil {
					t.Fatal(err)
				}
				if err := x.Unplug(t.Context(), h, vm, disk, 0); err != nil {
					t.Fatal(err)
				}
				dom, _ = x.Domain(t.Context(), h, vm)
				if _, err := x.Plug(t.Context(), h, dom, hypervisor.Disk{Source: byPath, ReadOnly: true}); err != nil {
					t.Fatal(err)
				}
				m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Refuses })
				if err := x.ForceUnplug(t.Context(), h, vm, disk, 0); err != nil {
					t.Fatal(err)
				}
				look := "sh xen-look ''"
				at := look + " " + byPath
				attach, detach := "sudo -n "+tool+" block-attach one-17 phy:"+byPath+" xvdp ", "sudo -n "+tool+" block-detach one-17 xvdp"
				force := map[string]string{"xl": "sudo -n xl block-detach --force one-17 xvdp", "xm": detach + " --force"}[tool]
				want := []string{look, attach + "w", look, at, detach, look, at, look, attach + "r", look, at, force, look, at}
				if got := h.Net().Lines("host01"); !slices.Equal(got, want) {
					t.Errorf("ran\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if len(plug) != 1 || plug[0].String() != attach+"w" || len(unplug) != 1 || unplug[0].String() != detach {
					t.Errorf("dry run: %v, %v", plug, unplug)
				}
			})
		})
	}
}

// try runs a test on a host with xl in a bubble of its own time.
func try(t *testing.T, name string, test func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, h := memory(t, "xl")
			test(t, m, h, xen.New(xen.Options{}))
		})
	})
}

func plugged(t *testing.T, h command.Host, x *xen.Driver) hypervisor.Disk {
	t.Helper()
	dom, err := x.Domain(t.Context(), h, vm)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x.Plug(t.Context(), h, dom, disk)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// expect fails the test unless err has the code and its text and hint hold
// the words.
func expect(t *testing.T, err error, code onevolume.Code, words ...string) {
	t.Helper()
	if err == nil || onevolume.CodeOf(err) != code {
		t.Errorf("error is %s: %v; expected %s", onevolume.CodeOf(err), err, code)
		return
	}
	for _, w := range words {
		if text := err.Error() + "; " + onevolume.HintOf(err); !strings.Contains(text, w) {
			t.Errorf("error does not say %q: %s", w, text)
		}
	}
}

// before puts a Handler before the memory's own; what it does not answer goes
// on to that.
func before(m *hypervisortest.Memory, h *commandtest.Host, word string, answer func(command.Cmd) (command.Result, error)) {
	h.Net().Add("host01", func(c command.Cmd) (command.Result, error) {
		if strings.Contains(c.String(), word) {
			return answer(c)
		}
		return handler(m)(c)
	})
}

func TestGuests(t *testing.T) {
	try(t, "slow", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		plugged(t, h, x)
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Slow })
		start := time.Now()
		if err := x.Unplug(t.Context(), h, vm, disk, time.Minute); err != nil || time.Since(start) > 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
	try(t, "refuses", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		plugged(t, h, x)
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Refuses })
		h.Net().Forget()
		expect(t, x.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Held, "one-17", "xvdp", "within 1m0s", "--force", "/dev/xvdp")
		asked := 0
		for _, line := range h.Net().Lines("host01") {
			if strings.Contains(line, "block-detach") {
				asked++
			}
			if strings.Contains(line, "--force") {
				t.Errorf("forced: %s", line)
			}
		}
		if asked < 5 || asked > 7 {
			t.Errorf("asked the guest %d times in a minute", asked)
		}
		// Until it lets go, nobody may take the disk for plugged or for gone.
		dom, _ := x.Domain(t.Context(), h, vm)
		_, err := x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Held, "being taken out")
	})
	try(t, "paused", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		plugged(t, h, x)
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest, d.State = hypervisortest.Refuses, "paused" })
		expect(t, x.Unplug(t.Context(), h, vm, disk, time.Second), onevolume.Held, "xl unpause one-17")
	})
	try(t, "ended, with its disks", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		plugged(t, h, x)
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest, d.State = hypervisortest.Refuses, "shut off" })
		if err := x.Unplug(t.Context(), h, vm, disk, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// A guest that lets go when nobody waits any more leaves a disk behind that is
// closed, and in the way of the next one.
func TestLetGoLater(t *testing.T) {
	for _, next := range []string{"plug", "unplug"} {
		try(t, next, func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
			plugged(t, h, x)
			m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Refuses })
			expect(t, x.Unplug(t.Context(), h, vm, disk, time.Second), onevolume.Held)
			m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo })
			if next == "unplug" {
				if err := x.Unplug(t.Context(), h, vm, disk, 0); err != nil {
					t.Error(err)
				}
			} else if k := plugged(t, h, x); k.Target != "xvdp" {
				t.Errorf("plugged as %+v", k)
			}
		})
	}
}

func TestLostAnswers(t *testing.T) {
	try(t, "plug, connection gone", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		dom, _ := x.Domain(t.Context(), h, vm)
		before(m, h, "block-attach", func(c command.Cmd) (command.Result, error) {
			m.Handle(c)
			return command.Result{}, command.ErrUnknownOutcome
		})
		_, err := x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unknown, "host01", "xl block-list one-17")
	})
	try(t, "plug, connection there", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		dom, _ := x.Domain(t.Context(), h, vm)
		before(m, h, "block-attach", func(c command.Cmd) (command.Result, error) {
			m.Handle(c)
			return command.Result{}, command.ErrOutputTooBig
		})
		if k, err := x.Plug(t.Context(), h, dom, disk); err != nil || k.Target != "xvdp" {
			t.Errorf("%+v, %v", k, err)
		}
	})
	try(t, "never sent", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		dom, _ := x.Domain(t.Context(), h, vm)
		before(m, h, "block-attach", func(command.Cmd) (command.Result, error) { return command.Result{}, command.ErrNotRun })
		_, err := x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unreachable, "host01")
	})
	try(t, "not seen afterwards", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, x *xen.Driver) {
		dom, _ := x.Domain(t.Context(), h, vm)
		before(m, h, "xen-look", func(command.Cmd) (command.Result, error) { return command.Result{}, command.ErrUnknownOutcome })
		_, err := x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unknown, "host01")
	})
}

func TestSourceElsewhere(t *testing.T) {
	for _, tool := range []string{"xl", "xm"} {
		m, h := memory(t, tool)
		x := xen.New(xen.Options{})
		m.Edit("one-16", func(d *hypervisortest.Domain) {
			d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: "/dev/sda", Target: "xvda"}})
		})
		dom, _ := x.Domain(t.Context(), h, vm)
		_, err := x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Held, "host01", "one-17", "mounted in a guest domain")
	}
}

func TestHostTrouble(t *testing.T) {
	for _, c := range []struct {
		code  int
		text  string
		want  onevolume.Code
		words []string
	}{
		{127, "neither xl nor xm: not found\n", onevolume.Unreachable, []string{"install Xen's tools", "neither xl nor xm"}},
		{127, "xenstore-ls: not found\n", onevolume.Unreachable, []string{"install Xen's tools"}},
		{1, "sudo: a password is required\n", onevolume.Refused, []string{"by sudo"}},
		{1, "Error: Unable to connect to xend: Connection refused. Is xend running?\n", onevolume.Unreachable, []string{"xend"}},
		{1, "libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: Permission denied\ncannot init xl context\n", onevolume.Refused, []string{"by sudo"}},
		{1, "something new\n", onevolume.Refused, []string{"something new", "/var/log/xen"}},
	} {
		t.Run(c.text, func(t *testing.T) {
			m, h := memory(t, "xl")
			x := xen.New(xen.Options{})
			dom, _ := x.Domain(t.Context(), h, vm)
			before(m, h, "x", func(command.Cmd) (command.Result, error) { return commandtest.Fail(c.code, c.text) })
			_, err := x.Domain(t.Context(), h, vm)
			expect(t, err, c.want, append(c.words, "host01")...)
			_, err = x.Plug(t.Context(), h, dom, disk)
			expect(t, err, c.want, append(c.words, "host01")...)
			expect(t, x.Unplug(t.Context(), h, vm, disk, time.Second), c.want, append(c.words, "host01")...)
			_, err = x.Users(t.Context(), h, "", []string{byPath})
			expect(t, err, c.want, append(c.words, "host01")...)
		})
	}
}

// A name that the tools would read as an id or an option is never given to
// them.
func TestNames(t *testing.T) {
	for _, name := range []string{"16", "-h"} {
		m, h := memory(t, "xl")
		m.AddDomain(hypervisortest.Domain{Name: name, State: "running", Disks: []hypervisortest.Disk{{Disk: hypervisor.Disk{Source: byPath2, Target: "xvda"}}}})
		x, odd := xen.New(xen.Options{}), onevolume.VM{ID: 99, DeployID: name}
		dom, err := x.Domain(t.Context(), h, odd)
		if err != nil {
			t.Fatal(err)
		}
		_, err = x.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Action, "rename")
		expect(t, x.Unplug(t.Context(), h, odd, hypervisor.Disk{Source: byPath2}, 0), onevolume.Action, "rename")
		if len(x.PlugCommands(dom, disk)) > 0 || len(x.UnplugCommands(dom, disk)) > 0 {
			t.Errorf("a dry run gives commands for a domain named %s", name)
		}
	}
}

func TestOptions(t *testing.T) {
	m, _ := memory(t, "xm")
	var seen []command.Cmd
	h := commandtest.NewHost(t, "host01", func(c command.Cmd) (command.Result, error) {
		seen = append(seen, c)
		return handler(m)(c)
	})
	x := xen.New(xen.Options{Tool: "xm", Timeout: 7 * time.Second})
	if k := plugged(t, h, x); x.GuestPath(k) != "/dev/xvdp" || x.Name() != "xm" || x.GuestPath(hypervisor.Disk{Target: "hda"}) != "" {
		t.Errorf("plugged %+v with %s", k, x.Name())
	}
	for _, c := range seen {
		if c.Timeout != 7*time.Second || c.ReadOnly != (c.Script != "") || c.Script != "" && c.Args[0] != "xm" {
			t.Errorf("ran %+v", c)
		}
	}
}
