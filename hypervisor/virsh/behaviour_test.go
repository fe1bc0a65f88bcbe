package virsh_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
)

var (
	vm    = onevolume.VM{ID: 17, DeployID: uuid}
	disk  = hypervisor.Disk{Source: byPath, Serial: "onevolume-7"}
	errNo = errors.New("no answer")
)

// try runs a test in a bubble of its own time.
func try(t *testing.T, name string, test func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, h := memory(t)
			test(t, m, h, virsh.New(virsh.Options{}))
		})
	})
}

// trouble puts a Handler before the memory's own.
func trouble(m *hypervisortest.Memory, h *commandtest.Host, before func(command.Cmd) error, after func(command.Cmd) error) {
	h.Net().Add("host01", func(c command.Cmd) (command.Result, error) {
		if before != nil {
			if err := before(c); err != nil {
				return command.Result{}, err
			}
		}
		r, ok := m.Handle(c)
		if !ok {
			return r, commandtest.ErrUnknown
		}
		if after != nil {
			return r, after(c)
		}
		return r, nil
	})
}

// mentions is an error for the commands whose text has the word.
func mentions(word string, err error) func(command.Cmd) error {
	return func(c command.Cmd) error {
		if strings.Contains(c.String(), word) {
			return err
		}
		return nil
	}
}

// expect fails the test unless err has the code and its text and hint hold
// the words.
func expect(t *testing.T, err error, code onevolume.Code, words ...string) {
	t.Helper()
	text := fmt.Sprint(err, "; ", onevolume.HintOf(err))
	if err == nil || onevolume.CodeOf(err) != code {
		t.Errorf("error is %s: %s; expected %s", onevolume.CodeOf(err), text, code)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("error does not say %q: %s", w, text)
		}
	}
}

func lookup(t *testing.T, h command.Host, v *virsh.Driver) hypervisor.Domain {
	t.Helper()
	dom, err := v.Domain(t.Context(), h, vm)
	if err != nil {
		t.Fatal(err)
	}
	return dom
}

func TestLostAnswers(t *testing.T) {
	try(t, "plug, connection gone", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		dom := lookup(t, h, v)
		trouble(m, h, nil, mentions("attach-device", errNo))
		_, err := v.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unknown, "host01", "one-17", "virsh domblklist one-17")
		if !errors.Is(err, command.ErrUnknownOutcome) {
			t.Errorf("the cause is lost: %v", err)
		}
		again, err := h.Net().Dial(t.Context(), "host01")
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		trouble(m, h, nil, nil)
		if k, err := v.Plug(t.Context(), again, dom, disk); err != nil || k.Target != "sdiv" {
			t.Errorf("plug again: %+v, %v", k, err)
		}
	})
	try(t, "plug, connection there", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		dom := lookup(t, h, v)
		trouble(m, h, nil, mentions("attach-device", command.ErrOutputTooBig)) // which leaves the connection
		if k, err := v.Plug(t.Context(), h, dom, disk); err != nil || k.Target != "sdiv" {
			t.Errorf("%+v, %v", k, err)
		}
	})
	try(t, "unplug, connection gone", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		if _, err := v.Plug(t.Context(), h, lookup(t, h, v), disk); err != nil {
			t.Fatal(err)
		}
		trouble(m, h, nil, mentions("detach-disk", errNo))
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Unknown, "host01")
	})
	try(t, "never sent", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		dom := lookup(t, h, v)
		trouble(m, h, mentions("attach-device", command.ErrNotRun), nil)
		_, err := v.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unreachable, "host01")
	})
	try(t, "look", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		trouble(m, h, mentions("dumpxml", errNo), nil)
		_, err := v.Domain(t.Context(), h, vm)
		expect(t, err, onevolume.Unreachable, "host01")
	})
}

// A virsh that was given up leaves libvirt attaching, with nothing of it to
// be seen in the XML (seen with libvirt 9.0 and a QEMU that was stopped).
func TestLateAttach(t *testing.T) {
	try(t, "comes while we wait", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Control = "occupied (1.642s)" })
		go func() {
			time.Sleep(10 * time.Second)
			m.Edit("one-17", func(d *hypervisortest.Domain) {
				d.Control, d.Disks = "", append(d.Disks, hypervisortest.Disk{Disk: disk})
			})
		}()
		if err := v.Unplug(t.Context(), h, vm, disk, time.Minute); err != nil {
			t.Fatal(err)
		}
		if d, _ := m.Domain("one-17"); len(d.Disks) > 0 || time.Since(start(t)) < 10*time.Second {
			t.Errorf("disks left: %+v", d.Disks)
		}
	})
	try(t, "does not end", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Control = "occupied (1.642s)" })
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Busy, "occupied", "virsh domcontrol one-17")
	})
	try(t, "plug sees it", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		dom := lookup(t, h, v)
		trouble(m, h, nil, func(c command.Cmd) error {
			if !strings.Contains(c.String(), "attach-device") {
				return nil
			}
			m.Edit("one-17", func(d *hypervisortest.Domain) { d.Control, d.Disks = "occupied (60.003s)", nil })
			return command.ErrOutputTooBig // stands for a time-out that leaves the connection
		})
		_, err := v.Plug(t.Context(), h, dom, disk)
		expect(t, err, onevolume.Unknown, "has not finished")
	})
}

// start is the time at which a bubble begins (see testing/synctest).
func start(t *testing.T) time.Time {
	t.Helper()
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
}

func TestGuests(t *testing.T) {
	plugged := func(t *testing.T, m *hypervisortest.Memory, h command.Host, v *virsh.Driver, g hypervisortest.Guest, state string) {
		t.Helper()
		if _, err := v.Plug(t.Context(), h, lookup(t, h, v), disk); err != nil {
			t.Fatal(err)
		}
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Guest, d.State = g, state })
	}
	try(t, "slow", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		plugged(t, m, h, v, hypervisortest.Slow, "running (booted)")
		if err := v.Unplug(t.Context(), h, vm, disk, time.Minute); err != nil {
			t.Error(err)
		}
		if took := time.Since(start(t)); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
	try(t, "refuses", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		plugged(t, m, h, v, hypervisortest.Refuses, "running (booted)")
		h.Net().Forget()
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Held, "one-17", "sdiv", "within 1m0s", "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_onevolume-7")
		asked := 0
		for _, line := range h.Net().Lines("host01") {
			if strings.Contains(line, "detach-disk") {
				asked++
			}
		}
		if all := len(h.Net().Calls()); asked < 5 || asked > 7 || all > 50 {
			t.Errorf("asked the guest %d times with %d commands in a minute", asked, all)
		}
	})
	try(t, "paused", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		plugged(t, m, h, v, hypervisortest.Refuses, "paused (I/O error)")
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Second), onevolume.Held, "paused (I/O error)", "virsh resume one-17")
	})
	try(t, "already asked", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		plugged(t, m, h, v, hypervisortest.Refuses, "running (booted)")
		inTheWay(m, h, "detach-disk", "error: Failed to detach disk\nerror: internal error: unable to execute QEMU command 'device_del': Device scsi0-0-255-0 is already in the process of unplug\n")
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Held)
	})
	try(t, "nobody waits", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		plugged(t, m, h, v, hypervisortest.Refuses, "running (booted)")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := v.Unplug(ctx, h, vm, disk, time.Minute)
		expect(t, err, onevolume.Unknown)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause is lost: %v", err)
		}
	})
}

// inTheWay has virsh complain of the first command of chains that mention the
// word, in place of doing it.
func inTheWay(m *hypervisortest.Memory, h *commandtest.Host, word, stderr string) {
	h.Net().Add("host01", func(c command.Cmd) (command.Result, error) {
		hit := len(c.Argv) > 4 && strings.Contains(c.Argv[4], word)
		if hit {
			_, c.Argv[4], _ = strings.Cut(c.Argv[4], "; ")
		}
		r, ok := m.Handle(c)
		if !ok {
			return r, commandtest.ErrUnknown
		}
		if hit {
			r.Stderr = append([]byte(stderr), r.Stderr...)
		}
		return r, nil
	})
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]onevolume.Code{
		"error: Failed to attach device from /dev/stdin\nerror: internal error: unable to execute QEMU command 'blockdev-add': Could not open '/dev/sdb': Permission denied\n":                                 onevolume.Refused,
		"error: Failed to attach device from /dev/stdin\nerror: internal error: unable to execute QEMU command 'blockdev-add': Failed to get \"write\" lock\nIs another process using the image [/dev/sdb]?\n": onevolume.Held,
		"error: Failed to attach device from /dev/stdin\nerror: Timed out during operation: cannot acquire state change lock (held by monitor=remoteDispatchDomainMigratePerform3Params)\n":                    onevolume.Busy,
		"error: Failed to attach device from /dev/stdin\nerror: unsupported configuration: something new\n":                                                                                                    onevolume.Refused,
		"error: Failed to attach device from /dev/stdin\nerror: XML error: target 'sdiv' duplicated for disk sources 'a' and 'b'\n":                                                                            onevolume.Action, // every slot
		"": onevolume.Refused,
	} {
		try(t, text, func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
			dom := lookup(t, h, v)
			inTheWay(m, h, "attach-device", text)
			_, err := v.Plug(t.Context(), h, dom, disk)
			expect(t, err, want, "host01", "one-17")
			if strings.Contains(err.Error(), "Failed to attach") {
				t.Errorf("error says twice that it failed: %v", err)
			}
			if n := len(h.Net().Calls()); n > 12 {
				t.Errorf("%d commands", n)
			}
		})
	}
	try(t, "detach", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		if _, err := v.Plug(t.Context(), h, lookup(t, h, v), disk); err != nil {
			t.Fatal(err)
		}
		inTheWay(m, h, "detach-disk", "error: Failed to detach disk\nerror: operation failed: something new\n")
		expect(t, v.Unplug(t.Context(), h, vm, disk, time.Minute), onevolume.Refused, "something new")
	})
	try(t, "no controller", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		m.Edit("one-17", func(d *hypervisortest.Domain) { d.Controllers = []int{} })
		_, err := v.Plug(t.Context(), h, lookup(t, h, v), disk)
		expect(t, err, onevolume.Action, "virtio-scsi", "power")
		if c := v.PlugCommands(lookup(t, h, v), disk); c != nil {
			t.Errorf("dry run: %v", c)
		}
	})
}

func TestDaemonTrouble(t *testing.T) {
	for text, want := range map[string]onevolume.Code{
		"error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/libvirt-sock': No such file or directory\n": onevolume.Unreachable,
		"error: failed to connect to the hypervisor\nerror: Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied\n":         onevolume.Refused,
	} {
		try(t, text, func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
			dom := lookup(t, h, v)
			m.Down(text)
			_, err := v.Domain(t.Context(), h, vm)
			expect(t, err, want, "host01", "libvirt")
			_, err = v.Plug(t.Context(), h, dom, disk)
			expect(t, err, want, "host01", "libvirt")
			expect(t, v.Unplug(t.Context(), h, vm, disk, time.Second), want, "host01", "libvirt")
			_, err = v.Users(t.Context(), h, "", []string{byPath})
			expect(t, err, want, "host01", "libvirt")
		})
	}
	try(t, "no virsh", func(t *testing.T, m *hypervisortest.Memory, h *commandtest.Host, v *virsh.Driver) {
		h.Net().Add("host01", func(command.Cmd) (command.Result, error) {
			return commandtest.Fail(127, "sh: 1: virsh: not found\n")
		})
		_, err := v.Domain(t.Context(), h, vm)
		expect(t, err, onevolume.Unreachable, "install virsh")
	})
}

func TestOptions(t *testing.T) {
	m := hypervisortest.NewMemory(t)
	m.AddDomain(hypervisortest.Domain{Name: "one-17", UUID: uuid})
	var seen command.Cmd
	h := commandtest.NewHost(t, "host01", func(c command.Cmd) (command.Result, error) {
		seen = c
		r, _ := m.Handle(c)
		return r, nil
	})
	v := virsh.New(virsh.Options{URI: "qemu:///session", Sudo: true, Timeout: 7 * time.Second})
	lookup(t, h, v)
	if !seen.Sudo || seen.Timeout != 7*time.Second || seen.Argv[2] != "qemu:///session" || !seen.ReadOnly {
		t.Errorf("ran %+v", seen)
	}
}
