package workflow_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi"
)

// changes watches who changes domains, which takes a while here.
type changes struct {
	mu      sync.Mutex
	under   map[string]int // by host and VM, that are being changed
	overlap map[string]bool
	crossed bool // two of different VMs or hosts at once
	most    int
}

// watching has every change of a domain take a second, and gives what was
// seen of them.
func (c *cloud) watching() *changes {
	w := &changes{under: map[string]int{}, overlap: map[string]bool{}}
	for _, m := range c.hosts {
		c.net.Add(m.name, func(cmd command.Cmd) (command.Result, error) {
			line := cmd.String()
			if strings.Contains(line, "attach-device") || strings.Contains(line, "detach-disk") {
				words := strings.Fields(line)
				i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, "attach-device") || strings.Contains(w, "detach-disk") })
				name := words[i+1]
				for _, vm := range m.vms {
					if d, _ := m.virt.Domain(vm); d.UUID == name {
						name = vm
					}
				}
				defer w.begin(m.name + " " + name)()
				time.Sleep(time.Second)
			}
			if res, mine := m.virt.Handle(cmd); mine {
				return res, nil
			}
			return m.iscsi.Handle(cmd)
		})
	}
	return w
}

func (w *changes) begin(key string) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.under[key]++
	if w.under[key] > 1 {
		w.overlap[key] = true
	}
	w.crossed = w.crossed || len(w.under) > 1
	total := 0
	for _, n := range w.under {
		total += n
	}
	w.most = max(w.most, total)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.under[key]--; w.under[key] == 0 {
			delete(w.under, key)
		}
	}
}

// Operations on one VM change its domain one after the other; those on other
// VMs, and on other hosts, do not wait for them.
func TestOperationsOnOneVMSerialise(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		vm := c.vm(c.hosts[0], hypervisortest.Domain{})
		var reqs []onevolume.Request
		for target := 1; target <= 3; target++ {
			v := c.volume(target, 1)
			c.must(attachRequest(vm, v))
			reqs = append(reqs, detachRequest(vm, v, onevolume.LeaveData))
		}
		for target := 4; target <= 7; target++ {
			reqs = append(reqs, attachRequest(vm, c.volume(target, 1)))
		}
		beside, elsewhere := c.vm(c.hosts[0], hypervisortest.Domain{}), c.vm(c.hosts[1], hypervisortest.Domain{})
		reqs = append(reqs, attachRequest(beside, c.volume(8, 1)), attachRequest(elsewhere, c.volume(9, 1)))
		w := c.watching()
		for i, err := range c.all(t.Context(), reqs...) {
			if err != nil {
				t.Errorf("%d %s: %v", i, reqs[i].Kind, err)
			}
		}
		if len(w.overlap) > 0 || !w.crossed || w.most != 3 {
			t.Errorf("overlapping %v, different ones at once %v, %d at the most", w.overlap, w.crossed, w.most)
		}
		c.settle()
	})
}

// The lock is held for no longer than the domain is being changed: not while
// a detached volume is wiped and logged out.
func TestVMIsFreeWhileAVolumeIsWiped(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		vm := c.vm(c.hosts[0], hypervisortest.Domain{})
		v, w := c.volume(1, 1), c.volume(2, 1)
		c.must(attachRequest(vm, v))
		c.net.Forget()
		c.must(detachRequest(vm, v, onevolume.LeaveZeroes))
		c.must(attachRequest(vm, w))
		name, changed, after := hypervisor.LockName(vm.ID), 0, 0
		for _, call := range c.net.Calls() {
			line, locked := call.Cmd.String(), slices.Contains(call.Locks, name)
			if strings.Contains(line, "attach-device") || strings.Contains(line, "detach-disk") {
				if changed++; !locked {
					t.Errorf("without the lock: %s", line)
				}
			}
			if call.Cmd.Name == blockdev.NameWipe || call.Cmd.Name == iscsi.NameRelease {
				if after++; locked {
					t.Errorf("under the lock: %s", line)
				}
			}
		}
		if changed != 2 || after != 2 {
			t.Errorf("%d changes, %d after: %s", changed, after, strings.Join(c.net.Lines("host01"), "\n"))
		}
		c.settle()
	})
}

// Whoever has the VM may be waiting for its guest: that is waited for.
func TestVMIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, c *cloud) {
		vm := c.vm(c.hosts[0], hypervisortest.Domain{Guest: hypervisortest.Refuses})
		v, w := c.volume(1, 1), c.volume(2, 1)
		c.must(attachRequest(vm, v))
		errs := c.all(t.Context(), detachRequest(vm, v, onevolume.LeaveZeroes), attachRequest(vm, w))
		if onevolume.CodeOf(errs[0]) != onevolume.Held || errs[1] != nil {
			t.Error(errs)
		}
		// A lock that does not come is an error that changes nothing.
		h, err := c.net.Dial(t.Context(), "host01")
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if _, err := h.Lock(t.Context(), hypervisor.LockName(vm.ID), 0); err != nil {
			t.Fatal(err)
		}
		for _, req := range []onevolume.Request{attachRequest(vm, c.volume(3, 1)), detachRequest(vm, v, onevolume.LeaveData)} {
			if _, err := c.process("client").run(t.Context(), req); onevolume.CodeOf(err) != onevolume.Busy || onevolume.HintOf(err) == "" {
				t.Errorf("%s: %v", req.Kind, err)
			}
			if op := c.operation(map[bool]onevolume.VolumeID{true: v.ID, false: v.ID + 2}[req.Kind == onevolume.Detach]); op.Status != onevolume.Undone {
				t.Errorf("%s is %s", req.Kind, op.Status)
			}
		}
		if got := fmt.Sprintf("%s %s", c.read(v.ID).State, c.read(w.ID).State); got != "ATTACHED ATTACHED" {
			t.Errorf("the volumes are %s", got)
		}
		c.settle()
	})
}
