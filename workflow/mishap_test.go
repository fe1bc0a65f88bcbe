package workflow_test

import (
	"fmt"
	"strings"
	"testing"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
)

// scene is an operation in its surroundings, to which mishaps happen.
type scene struct {
	name string
	// set puts the cloud in place and gives what is asked for.
	set func(c *cloud) (onevolume.Request, onevolume.Volume)
	// done is the volume's state when the operation succeeds.
	done onevolume.State
}

var scenes = []scene{
	{"attach", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		v := c.volume(1, 1)
		return attachRequest(c.vm(c.hosts[0], hypervisortest.Domain{}), v), v
	}, onevolume.Attached},
	{"attach a second unit", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		vm := c.vm(c.hosts[0], hypervisortest.Domain{})
		c.must(attachRequest(vm, c.volume(1, 1)))
		v := c.volume(1, 2)
		return attachRequest(vm, v), v
	}, onevolume.Attached},
	{"attach what is retained", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), c.volume(1, 1)
		c.must(attachRequest(vm, v))
		c.write(v)
		c.must(detachRequest(vm, v, onevolume.LeaveData))
		return attachRequest(vm, v), v
	}, onevolume.Attached},
	{"detach", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), c.volume(1, 1)
		c.must(attachRequest(vm, v))
		c.write(v)
		return detachRequest(vm, v, onevolume.LeaveZeroes), v
	}, onevolume.Available},
	{"detach and format", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), c.volume(1, 1)
		c.must(attachRequest(vm, v))
		c.must(attachRequest(vm, c.volume(1, 2)))
		c.write(v)
		return detachRequest(vm, v, onevolume.LeaveExt4), v
	}, onevolume.Available},
	{"detach and keep", func(c *cloud) (onevolume.Request, onevolume.Volume) {
		vm, v := c.vm(c.hosts[0], hypervisortest.Domain{}), c.volume(1, 1)
		c.must(attachRequest(vm, v))
		c.write(v)
		return detachRequest(vm, v, onevolume.LeaveData), v
	}, onevolume.Retained},
}

// eachCall runs the scene once for each of its calls, and once more; of these
// cases one of so many.
func (s scene) eachCall(t *testing.T, g *ground, of int, test func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume)) {
	calls := s.calls(t, g)
	for n := 1; n <= len(calls)+1; n++ {
		if !g.turn(of) {
			continue
		}
		name := "none"
		if n <= len(calls) {
			name, _, _ = strings.Cut(calls[n-1], " -c") // virsh's words differ each time
		}
		t.Run(fmt.Sprintf("%d %s", n, name), func(t *testing.T) {
			c := newCloud(t, g)
			req, v := s.set(c)
			test(t, c, n, req, v)
		})
	}
}

// calls lists the calls that the scene makes when nothing goes wrong.
func (s scene) calls(t *testing.T, g *ground) []string {
	t.Helper()
	if g.calls == nil {
		c := newCloud(t, g)
		req, _ := s.set(c)
		p := c.process("counts")
		if _, err := p.run(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		c.settle()
		g.calls = p.calls
	}
	return g.calls
}

// honest asks that the error tells the truth about the operation at the
// moment it is returned.
func (c *cloud) honest(v onevolume.Volume, err error) {
	c.Helper()
	got := c.read(v.ID)
	if got.Operation == 0 || c.operation(v.ID).Owner != "client" {
		if err == nil {
			c.Error("success without an operation")
		}
		return
	}
	status, code := c.operation(v.ID).Status, onevolume.CodeOf(err)
	left := err != nil && (code == onevolume.Unknown || code == onevolume.Stale)
	switch {
	case err == nil && status != onevolume.Done,
		err != nil && !left && (status == onevolume.Running || status == onevolume.Done),
		left && status == onevolume.Undone:
		c.Errorf("the operation is %s, and the error (%s) %v", status, code, err)
	}
	if left && onevolume.HintOf(err) == "" {
		c.Errorf("no hint with %v", err)
	}
}

// Whatever breaks at whichever call, the operation is undone or done, at once
// or by the daemon.
func TestMishapAtEachCall(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			for _, m := range []mishap{notDone, lost, broken, hostDown, dbDown, cancel, during, late} {
				t.Run(m.String(), func(t *testing.T) {
					s.eachCall(t, g, 4, func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume) {
						c.mishap(s, n, m, req, v)
					})
				})
			}
		})
	}
}

func (c *cloud) mishap(s scene, n int, m mishap, req onevolume.Request, v onevolume.Volume) {
	c.Helper()
	prior := c.read(v.ID).State
	_, err := c.process("client").with(n, m).run(c.Context(), req)
	c.honest(v, err)
	c.net.Down("host01", command.Kind(""))
	c.settle()
	got := c.read(v.ID)
	switch {
	case err == nil && got.State != s.done:
		c.Errorf("success, and the volume is %s", got.State)
	case got.State == prior, got.State == s.done:
	case m == broken && got.State == onevolume.Failed: // the script gave no report: an administrator must look
	default:
		c.Errorf("the volume is %s (%s); the error was %v", got.State, got.Reason, err)
	}
	if m == broken && got.State == onevolume.Failed {
		req = detachRequest(req.VM, v, req.Leave)
		s.done = map[bool]onevolume.State{true: onevolume.Retained, false: onevolume.Available}[req.Leave == onevolume.LeaveData]
	}
	if c.read(v.ID).State != s.done {
		c.must(req) // nothing is in the way of another try
		c.settle()
	}
	if got := c.read(v.ID).State; got != s.done {
		c.Errorf("in the end the volume is %s", got)
	}
}
