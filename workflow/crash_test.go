package workflow_test

import (
	"errors"
	"fmt"
	"testing"

	"onevolume"
)

// A process dies before each of its calls, which is the same as after the one
// before; another one takes over, dies at each of its own, and a third ends
// it. An attach is completed exactly when the disk was in the guest, a detach
// always.
func TestDeathAtEachCallAndAgain(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			s.eachCall(t, g, 1, func(t *testing.T, c *cloud, n int, req onevolume.Request, v onevolume.Volume) {
				c.death(s, req, v, n, 0)
				for second := 1; second <= 60; second++ {
					if !g.turn(14) {
						continue
					}
					c := newCloud(t, g)
					req, v := s.set(c)
					if !c.death(s, req, v, n, second) {
						return
					}
					if t.Failed() {
						t.Fatalf("dying again at call %d", second)
					}
				}
			})
		})
	}
}

// death has a client die at call first, and whoever resumes its work at call
// second. It says whether that one died.
func (c *cloud) death(s scene, req onevolume.Request, v onevolume.Volume, first, second int) bool {
	c.Helper()
	prior := c.read(v.ID)
	p := c.process("client").with(first, dies)
	_, err := p.run(c.Context(), req)
	if p.dead && err == nil && !c.finished(v, prior) {
		c.Error("a dead process tells of success")
	}
	plugged := len(c.plugged()[v.ID]) > 0
	again := false
	c.clock.advance(2 * limit.Lease)
	for _, op := range c.expired() {
		q := c.process("daemon").with(second, dies)
		err := q.resume(op)
		if second == 0 && onevolume.CodeOf(err) == onevolume.Unknown {
			c.Errorf("nothing is wrong with the host, and resuming ended with %v", err)
		}
		again = q.dead
	}
	c.settle()
	want := s.done
	if req.Kind == onevolume.Attach && !plugged {
		want = prior.State
	}
	if c.read(v.ID).Operation == prior.Operation {
		want = prior.State // it never began
	}
	if got := c.read(v.ID); got.State != want && !again || again && got.State != want && got.State != prior.State {
		c.Errorf("the volume is %s (%s), want %s; disk in the guest when the first died: %v", got.State, got.Reason, want, plugged)
	}
	return again
}

func (c *cloud) finished(v, prior onevolume.Volume) bool {
	return c.read(v.ID).Operation != prior.Operation && c.operation(v.ID).Status == onevolume.Done
}

// Whoever resumes meets with a mishap at each call; the next one ends it.
func TestMishapsWhileResuming(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			s.eachCall(t, g, 1, func(t *testing.T, _ *cloud, n int, _ onevolume.Request, _ onevolume.Volume) {
				for _, m := range []mishap{notDone, lost, hostDown} {
					for second := 1; second <= 60; second++ {
						if !g.turn(28) {
							continue
						}
						c := newCloud(t, g)
						req, v := s.set(c)
						if c.resumeWith(s, req, v, n, second, m) <= second || t.Failed() {
							break
						}
					}
				}
			})
		})
	}
}

// resumeWith gives the number of calls of the one who resumed.
func (c *cloud) resumeWith(s scene, req onevolume.Request, v onevolume.Volume, first, second int, m mishap) (calls int) {
	c.Helper()
	prior := c.read(v.ID).State
	_, _ = c.process("client").with(first, dies).run(c.Context(), req)
	c.clock.advance(2 * limit.Lease)
	for _, op := range c.expired() {
		q := c.process("daemon").with(second, m)
		_ = q.resume(op)
		calls = len(q.calls)
	}
	c.net.Down("host01", "")
	c.settle()
	if got := c.read(v.ID); got.State != prior && got.State != s.done {
		c.Errorf("%s at call %d: the volume is %s (%s)", m, second, got.State, got.Reason)
	}
	return calls
}

// The owner comes back when another has taken over: at each of its calls.
// While its connection holds the lock of the host, the other waits for that;
// afterwards nothing that the old one writes is taken.
func TestStaleOwnerChangesNothing(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t)
			s.eachCall(t, g, 3, func(t *testing.T, _ *cloud, n int, _ onevolume.Request, _ onevolume.Volume) {
				for _, hungUp := range []bool{false, true} {
					c := newCloud(t, g)
					req, v := s.set(c)
					c.stale(s, req, v, n, hungUp)
				}
			})
		})
	}
}

func (c *cloud) stale(s scene, req onevolume.Request, v onevolume.Volume, n int, hungUp bool) {
	c.Helper()
	prior := c.read(v.ID).State
	old := c.process("client")
	took, ended := false, false
	old.before = func(call int, _ string) {
		if call != n {
			return
		}
		c.clock.advance(2 * limit.Lease)
		if hungUp {
			old.hangUp() // sshd gave the connection up meanwhile
		}
		for _, op := range c.expired() {
			took = true
			ended = onevolume.CodeOf(c.process("daemon").resume(op)) != onevolume.Unknown
		}
	}
	out, err := old.run(c.Context(), req)
	if took && (err == nil || onevolume.CodeOf(err) != onevolume.Stale) && !errors.Is(err, errDead) {
		c.Errorf("hung up %v: the old owner gets %+v, %v", hungUp, out, err)
	}
	if took && hungUp && !ended {
		c.Error("the new owner did not get through")
	}
	c.settle()
	if got := c.read(v.ID); got.State != prior && got.State != s.done {
		c.Errorf("hung up %v: the volume is %s (%s)", hungUp, got.State, got.Reason)
	}
}

// An answer of the inventory's that is lost is asked for again, as the client
// over XML-RPC does; that changes nothing.
func TestLostAnswersOfTheInventory(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, newGround(t))
			req, v := s.set(c)
			p := c.process("client")
			p.engine.Ledger = twice{p.engine.Ledger}
			if _, err := p.run(t.Context(), req); err != nil {
				t.Fatal(err)
			}
			c.settle()
			if got := c.read(v.ID); got.State != s.done {
				t.Errorf("the volume is %s", got.State)
			}
			journal, err := c.db.Journal(t.Context(), c.read(v.ID).Operation)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, e := range journal {
				if line := fmt.Sprint(e.Event, e.Step); seen[line] {
					t.Errorf("%s stands twice in the journal", line)
				} else {
					seen[line] = true
				}
			}
		})
	}
}
