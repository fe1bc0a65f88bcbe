package workflow_test

import (
	"fmt"
	"testing"

	"onevolume"
	"onevolume/hypervisor/hypervisortest"
)

// A process dies before each of its calls, the operation is parked, and an
// administrator has it carried on or taken back, by a daemon that dies too
// now and then: the way that was chosen is gone. A detach whose guest has let
// go can only be carried on.
func TestWays(t *testing.T) {
	for _, s := range scenes {
		for _, way := range []onevolume.Way{onevolume.Forward, onevolume.Back} {
			t.Run(fmt.Sprintf("%s, %s", s.name, way), func(t *testing.T) {
				t.Parallel()
				g := newGround(t)
				s.eachCall(t, g, 3, func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume) {
					for second := 0; second <= 24; second++ {
						if second > 0 && !g.turn(24) {
							continue
						}
						c := newCloud(t, g)
						req, v := s.set(c)
						c.goes(s, req, v, way, n, second)
						if t.Failed() {
							t.Fatalf("the daemon died at call %d", second)
						}
					}
				})
			})
		}
	}
}

func (c *cloud) goes(s scene, req onevolume.Request, v onevolume.Volume, way onevolume.Way, first, second int) {
	c.Helper()
	prior := c.read(v.ID)
	_, _ = c.process("client").with(first, dies).run(c.Context(), req)
	if c.read(v.ID).Operation == prior.Operation {
		return // it never began
	}
	op := c.operation(v.ID)
	if op.Status != onevolume.Running {
		return // it has ended
	}
	letGo := req.Kind == onevolume.Detach && len(c.plugged()[v.ID]) == 0
	if req.Kind == onevolume.Attach && len(c.plugged()[v.ID]) > 0 {
		c.write(v) // which nobody else may ever read
	}
	if err := c.db.Finish(c.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "the test"}); err != nil {
		c.Fatal(err)
	}
	if _, err := c.db.Reopen(c.Context(), op.ID, way, "dead as well", limit.Lease); err != nil {
		c.Fatal(err)
	}
	c.clock.advance(2 * limit.Lease)
	for _, op := range c.expired() {
		_ = c.process("daemon").with(second, dies).resume(op) // what comes of it is looked at below
	}
	c.settle()
	want, status := s.done, onevolume.Done
	switch {
	case way == onevolume.Back && letGo:
		want, status = onevolume.Failed, onevolume.Parked
	case way == onevolume.Back:
		want, status = prior.State, onevolume.Undone
	}
	if got, op := c.read(v.ID), c.operation(v.ID); got.State != want || op.Status != status || op.Way != way {
		c.Errorf("the volume is %s (%s), its operation %s %q; want %s, %s", got.State, got.Reason, op.Status, op.Way, want, status)
	}
}

// A guest had the volume and may have written to it before the attach was
// taken back: a volume that was blank is wiped, by whoever ends it, also when
// that one dies at any call.
func TestWhatAGuestWroteIsWiped(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for name, then := range map[string]func(c *cloud, v onevolume.Volume){
		"the VM has ended": func(c *cloud, v onevolume.Volume) {
			c.hosts[0].virt.RemoveDomain(c.operation(v.ID).VM.DeployID)
		},
		"the VM is off": func(c *cloud, v onevolume.Volume) {
			c.hosts[0].virt.Edit(c.operation(v.ID).VM.DeployID, func(d *hypervisortest.Domain) { d.State, d.Disks = "shut off", nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCloud(t, g)
				v := c.halfAttached()
				c.write(v)
				then(c, v)
				q := c.process("daemon").with(n, dies)
				for _, op := range c.expired() {
					_ = q.resume(op)
				}
				c.settle()
				if got := c.read(v.ID); got.State != onevolume.Available || c.units[v.ID].Content != "" {
					t.Errorf("dying at %d: the volume is %s (%s) with %q", n, got.State, got.Reason, c.units[v.ID].Content)
				}
				if !q.dead {
					if n < 8 {
						t.Errorf("only %d calls", n)
					}
					return
				}
			}
		})
	}
}

// A guest that writes whenever it has the disk leaves nothing behind on a
// volume that an attach gives back, whatever went wrong with the attach and
// whoever took it back.
func TestNothingStaysOfAnAttachTakenBack(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	for _, m := range []mishap{dies, notDone, lost, broken, cancel, during, late} {
		for name, begin := range map[string]func(c *cloud) (onevolume.Volume, func(p *process)){
			"by who attaches": func(c *cloud) (onevolume.Volume, func(p *process)) {
				v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
				return v, func(p *process) { _, _ = p.run(c.Context(), attachRequest(vm, v)) }
			},
			"by who takes over": func(c *cloud) (onevolume.Volume, func(p *process)) {
				v := c.halfAttached()
				return v, func(p *process) {
					for _, op := range c.expired() {
						_ = p.resume(op)
					}
				}
			},
		} {
			t.Run(name+", "+m.String(), func(t *testing.T) {
				kept := 0
				for n := 1; ; n++ {
					c := newCloud(t, g)
					v, run := begin(c)
					p := c.process("owner").with(n, m)
					p.before = func(int, string) {
						if len(c.plugged()[v.ID]) > 0 {
							c.write(v)
						}
					}
					p.before(0, "")
					run(p) // what comes of it is looked at below
					p.before(0, "")
					c.settle()
					if got := c.read(v.ID).State; got == onevolume.Attached {
						kept++
					} else if got == onevolume.Available && c.units[v.ID].Content != "" {
						t.Errorf("call %d: the volume is free and holds %q", n, c.units[v.ID].Content)
					}
					if len(p.calls) < n {
						if n < 8 || kept == 0 {
							t.Errorf("only %d calls; %d times the guest kept the disk", n, kept)
						}
						return
					}
				}
			})
		}
	}
}

// What an attach of retained data was about is never wiped.
func TestRetainedDataOutlivesAnAbort(t *testing.T) {
	t.Parallel()
	c := newCloud(t, newGround(t))
	v, vm := c.volume(1, 1), c.vm(c.hosts[0], hypervisortest.Domain{})
	c.must(attachRequest(vm, v))
	c.write(v)
	c.must(detachRequest(vm, v, onevolume.LeaveData))
	p := c.process("client").with(len(scenes[0].calls(t, c.ground)), dies)
	_, _ = p.run(t.Context(), attachRequest(vm, v))
	if len(c.plugged()[v.ID]) != 1 {
		t.Fatalf("plugged %v", c.plugged())
	}
	c.abort(v)
	c.settle()
	if got := c.read(v.ID); got.State != onevolume.Retained || c.units[v.ID].Content == "" || len(c.plugged()[v.ID]) != 0 {
		t.Errorf("the volume is %s (%s) with %q", got.State, got.Reason, c.units[v.ID].Content)
	}
}
