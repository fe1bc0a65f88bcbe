package workflow_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
	"onevolume/workflow"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "of the storms; every failure prints the one it was found with")
	stormFlag = flag.Duration("storm", 3*time.Second, "how long TestStorm rages")
)

// lun is a logical unit of a storm's array, and the volume it is now.
type lun struct {
	target onevolume.Target
	unit   *iscsitest.Unit
	id     onevolume.VolumeID // NoVolume while it is not registered
}

// size is how large a storm is.
type size struct{ clients, volumes, vms, hosts int }

// storm is a cloud in which many do many things at once, and in which
// processes and hosts fail.
type storm struct {
	*cloud
	size    size
	seed    uint64
	limits  workflow.Limits
	sweep   time.Duration
	guests  []onevolume.VM
	stepper *stepper // when set, gives everybody their turns

	ended  atomic.Bool  // the clients shall come to an end
	counts counts       // of what was done and what came of it
	world  sync.Mutex   // is held by each command on a host: what must hold is asked under it
	data   sync.RWMutex // guards what follows, and the cloud's units
	luns   []*lun
	wrote  map[*iscsitest.Unit]string // what a guest wrote last, or a wipe left
	// late are volumes that a guest let go of long after it was asked, when
	// nobody waited for it any more: the inventory cannot know, the doctor
	// finds them. Guarded by world.
	late   map[onevolume.VolumeID]bool
	server *server
	served int // servers so far
	down   []string
}

// counts counts words. Its zero value is ready.
type counts struct {
	mu sync.Mutex
	m  map[string]int
}

func (c *counts) add(word string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]int{}
	}
	c.m[word]++
}

func (c *counts) set(word string, n int) {
	c.add(word)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[word] = n
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var words []string
	for w, n := range c.m {
		words = append(words, fmt.Sprintf("%s %d", w, n))
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// newStorm makes hosts with guests, and an array with volumes of some sizes,
// of which several share a target.
func newStorm(t testing.TB, seed uint64, n size) *storm {
	g := newGround(t)
	g.clock.true = true
	var names []string
	for i := range n.hosts {
		names = append(names, fmt.Sprintf("host%02d", i+1))
	}
	s := &storm{size: n, seed: seed, wrote: map[*iscsitest.Unit]string{}, late: map[onevolume.VolumeID]bool{},
		limits: workflow.Limits{Lease: 3 * time.Second, Lock: 2 * time.Second, Unplug: 2 * time.Second}, sweep: 300 * time.Millisecond}
	s.cloud = newCloud(t, g, names...)
	s.storm = s
	for i := range n.vms {
		vm := s.vm(s.hosts[i%n.hosts], hypervisortest.Domain{})
		vm.Owner = onevolume.Owner{UID: 5 + i%3, GID: 100, User: fmt.Sprintf("user%d", i%3), Group: "users"}
		s.vms[vm.ID] = vm
		s.guests = append(s.guests, vm)
	}
	for i := range n.volumes {
		v := s.volume(i/3, onevolume.LUN(i%3+1))
		s.luns = append(s.luns, &lun{v.Target, s.units[v.ID], v.ID})
	}
	return s
}

// process is a client's program, or a server's.
func (s *storm) process(owner string) *process {
	p := s.cloud.process(owner)
	p.engine.Limits = s.limits
	p.engine.Now = time.Now
	return p
}

// serve starts a server in place of the one before, which is killed.
func (s *storm) serve() {
	s.data.Lock()
	old := s.server
	s.served++
	srv := s.cloud.server(fmt.Sprintf("pid %d.", s.served))
	srv.Engine.Limits, srv.Sweep = s.limits, s.sweep
	s.data.Unlock()
	if old != nil {
		s.counts.add("killed: server")
		old.die()
		go old.halt()
	}
	srv.Start()
	s.data.Lock()
	s.server = srv
	s.data.Unlock()
}

func (s *storm) serving() *server {
	s.data.RLock()
	defer s.data.RUnlock()
	return s.server
}

// die ends a process without waiting for it.
func (p *process) die() {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.hangUp()
}

// turn waits for the caller's turn, if turns are given.
func (s *storm) turn(ctx context.Context, who, call string) {
	if s.stepper != nil {
		s.stepper.wait(ctx, who, call)
	}
}

// lock takes a lock on a host. Where turns are given, it is asked for again
// and again: of several who wait, chance must not choose.
func (s *storm) lock(ctx context.Context, h *mortalHost, name string, wait time.Duration) (func(), error) {
	if s.stepper == nil {
		return h.lock(ctx, name, wait)
	}
	for start := time.Now(); ; {
		h.turn(ctx, "lock "+name)
		unlock, err := h.lock(ctx, name, 0)
		var locked *command.LockedError
		if !errors.As(err, &locked) || time.Since(start) >= wait {
			return unlock, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// mischief does one of the things that no client asks for: a server is
// killed and another started, a host goes down or up, a guest changes its
// manners.
func (s *storm) mischief(rng *rand.Rand) {
	switch n := rng.IntN(10); {
	case n < 2:
		s.serve()
	case n < 5:
		s.outage(s.hosts[rng.IntN(len(s.hosts))].name)
	default:
		vm := s.guests[rng.IntN(len(s.guests))]
		manners := []hypervisortest.Guest{hypervisortest.LetsGo, hypervisortest.LetsGo, hypervisortest.Slow, hypervisortest.Refuses}
		s.teach(vm, manners[rng.IntN(len(manners))])
	}
}

// teach gives a guest manners. What it was asked for before, and kept, it may
// let go of now.
func (s *storm) teach(vm onevolume.VM, manners hypervisortest.Guest) {
	s.world.Lock()
	defer s.world.Unlock()
	before := s.plugged()
	s.machine(vm.Host).virt.Edit(vm.DeployID, func(d *hypervisortest.Domain) { d.Guest = manners })
	after := s.plugged()
	for id := range before {
		if len(after[id]) == 0 {
			s.late[id] = true
		}
	}
}

// outage takes a host down, or up again if it is; no more than two are down.
func (s *storm) outage(host string) {
	s.data.Lock()
	defer s.data.Unlock()
	if i := slices.Index(s.down, host); i >= 0 {
		s.down = slices.Delete(s.down, i, i+1)
		s.net.Down(host, "")
		return
	}
	if len(s.down) < 2 {
		s.down = append(s.down, host)
		s.net.Down(host, command.KindTimeout)
		s.counts.add("down: host")
	}
}

// calm ends all that is wrong: hosts are up and guests let go.
func (s *storm) calm() {
	s.data.Lock()
	defer s.data.Unlock()
	for _, host := range s.down {
		s.net.Down(host, "")
	}
	s.down = nil
	for _, vm := range s.guests {
		s.teach(vm, hypervisortest.LetsGo)
	}
}

// TestStorm lets 50 clients loose on 200 volumes and 20 VMs, in real time.
// What each does follows from the seed; in which order they do it does not,
// see TestSteppedStorm.
func TestStorm(t *testing.T) {
	s := newStorm(t, *seedFlag, size{clients: 50, volumes: 200, vms: 20, hosts: 6})
	t.Logf("replay with: go test ./workflow -run '^TestStorm$' -seed=%d -storm=%s", s.seed, *stormFlag)
	s.serve()
	var clients sync.WaitGroup
	for n := range s.size.clients {
		clients.Go(func() { s.client(n) })
	}
	clients.Go(func() {
		rng := rand.New(rand.NewPCG(s.seed, 1<<32))
		for ; !s.ended.Load(); time.Sleep(300 * time.Millisecond) {
			s.mischief(rng)
		}
	})
	clients.Go(func() {
		rng := rand.New(rand.NewPCG(s.seed, 1<<33))
		for ; !s.ended.Load(); time.Sleep(100 * time.Millisecond) {
			s.sample(rng)
			s.counts.add("samples")
		}
	})
	time.Sleep(*stormFlag)
	s.ended.Store(true)
	clients.Wait()
	s.calm()
	s.rest(func() { time.Sleep(50 * time.Millisecond) })
	s.serving().halt()
	tellStorm(t, "memory | seed %d | %s | %s", s.seed, *stormFlag, &s.counts)
}

// tellStorm prints a line for the table of the output: not of the short storms
// under the race detector.
func tellStorm(t testing.TB, format string, args ...any) {
	t.Helper()
	if !raceDetector {
		t.Logf("storm | "+format, args...)
	}
}
