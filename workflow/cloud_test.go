package workflow_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
	"onevolume/hypervisor/xen"
	"onevolume/inventory"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
	"onevolume/provision"
	"onevolume/store"
	"onevolume/workflow"
)

// clock is a time that tests move by hand, or one that runs ahead of the
// bubble's. It ticks with each look, so that no two journal entries are from
// the same moment.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	true   bool          // it is time.Now
	bubble bool          // now is ahead of the bubble's time
	ahead  time.Duration // by so much
}

func (c *clock) Now() time.Time { return c.advance(time.Millisecond) }

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.true {
		return time.Now()
	}
	if c.bubble {
		c.ahead += d
		return time.Now().Add(c.ahead)
	}
	c.now = c.now.Add(d)
	return c.now
}

// ground is a real inventory, on which clouds of memory may stand one after
// the other: opening a database takes longer than an attach.
type ground struct {
	db     *store.Store
	clock  *clock
	next   int      // numbers volumes and guests
	cases  int      // that could be run so far
	calls  []string // of the ground's scene, see scene.calls
	clouds int
	xen    bool // hosts run Xen
}

func newGround(t testing.TB) *ground {
	g := &ground{clock: &clock{now: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}}
	var err error
	g.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef"), Clock: g.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.db.Close() })
	return g
}

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
	limit = workflow.Limits{Lease: 30 * time.Second, Lock: 0, Unplug: 20 * time.Second}
)

// machine is a host with an initiator and guests.
type machine struct {
	name  string
	iscsi *iscsitest.Host
	virt  *hypervisortest.Memory
	vms   []string
}

// cloud is hosts and an array of memory over a ground. After every command on
// a host and every write to the inventory it asks that what must always hold
// does (see invariants).
type cloud struct {
	testing.TB
	*ground
	number  int
	net     *commandtest.Net
	array   *iscsitest.Array
	hosts   []*machine
	vms     map[onevolume.VMID]onevolume.VM // as oned knows them
	service *inventory.Service
	memory  *arraytest.Memory // makes volumes, which array serves
	access  *provision.Access

	interrupt func() // is called by the next command
	// wait is how a VM that migrates is waited for; nil if none does.
	wait   func(op onevolume.Operation) (over bool, err error)
	moving sync.RWMutex // held while a domain goes from host to host
	storm  *storm       // rages in it, or nil

	mu    sync.Mutex
	units map[onevolume.VolumeID]*iscsitest.Unit
	known map[onevolume.VolumeID]known
	// still are volumes that nobody changes: they are read at the end alone.
	still map[onevolume.VolumeID]bool
	// lost are volumes that are ATTACHED and may be in no guest.
	lost map[onevolume.VolumeID]bool
	// strangers are targets that somebody else logged a host in to.
	strangers []onevolume.IQN
}

// newCloud makes host01 and host02, or the hosts named.
func newCloud(t testing.TB, g *ground, names ...string) *cloud {
	if len(names) == 0 {
		names = []string{"host01", "host02"}
	}
	c := &cloud{TB: t, ground: g, net: commandtest.NewNet(t), array: iscsitest.NewArray(t),
		service: &inventory.Service{Store: g.db}, units: map[onevolume.VolumeID]*iscsitest.Unit{},
		vms: map[onevolume.VMID]onevolume.VM{}, still: map[onevolume.VolumeID]bool{}, lost: map[onevolume.VolumeID]bool{}, known: map[onevolume.VolumeID]known{}}
	g.clouds++
	c.number = g.clouds
	c.memory = arraytest.NewMemory(array.Capabilities{Granule: onevolume.MiB, MinSize: onevolume.MiB, MaxLabel: 8, PageSize: 10, Zeroed: true, Extend: array.ExtendOnline}, onevolume.GiB)
	c.access = &provision.Access{Engine: &provision.Engine{Ledger: g.db, Arrays: map[string]array.Array{"memory": c.memory}, Lease: limit.Lease, Now: g.clock.Now},
		Volume: g.db.Volume, Operation: g.db.Operation}
	for _, name := range names {
		m := &machine{name: name, iscsi: iscsitest.NewHost(name, c.array), virt: hypervisortest.NewMemory(t)}
		if g.xen {
			m.virt = hypervisortest.NewXenMemory(t, "xl")
		}
		m.virt.UseDevices(func(path string) (string, bool) {
			u := m.iscsi.UnitAt(path)
			return fmt.Sprintf("%p", u), u != nil
		})
		m.virt.UseSizes(m.iscsi.SizeAt)
		c.hosts = append(c.hosts, m)
		c.net.Add(name, func(cmd command.Cmd) (command.Result, error) {
			if c.storm != nil {
				return c.storm.handle(m, cmd)
			}
			c.guard(m, cmd)
			if c.interrupt != nil {
				c.interrupt()
				c.interrupt = nil
			}
			res, mine := m.virt.Handle(cmd)
			if mine {
				return res, nil
			}
			return m.iscsi.Handle(cmd)
		})
	}
	return c
}

// volume registers a logical unit and serves it; the number says which target
// of this cloud's it is on.
func (c *cloud) volume(target int, lun onevolume.LUN) onevolume.Volume {
	c.Helper()
	c.next++
	portals, err := onevolume.ParsePortals("10.0.0.1,10.0.0.2")
	if err != nil {
		c.Fatal(err)
	}
	v := onevolume.Volume{
		Name: fmt.Sprintf("disk%d", c.next), Size: 64 * onevolume.MiB, State: onevolume.Available,
		Owner: root.Owner, Home: root.Owner, Permissions: 0o600,
		Target:     onevolume.Target{IQN: onevolume.IQN(fmt.Sprintf("iqn.2026-11.test:%d.%d", c.number, target)), LUN: lun, Portals: portals},
		Attachment: onevolume.Attachment{VM: onevolume.NoVM},
	}
	id, err := c.db.Allocate(c.Context(), v)
	if err != nil {
		c.Fatal(err)
	}
	v.ID = id
	u := c.array.Serve(v)
	u.Identity = onevolume.Identity{Serial: fmt.Sprintf("SN%d", id), WWID: fmt.Sprintf("naa.600%d", id)}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.units[id] = u
	return v
}

// made has a volume made on the array, which lets in only whom it is told to.
func (c *cloud) made() onevolume.Volume {
	c.Helper()
	c.next++
	id := array.NewID()
	v := onevolume.Volume{Name: fmt.Sprintf("disk%d", c.next), Array: "memory", ArrayID: string(id), Size: 64 * onevolume.MiB,
		Owner: root.Owner, Permissions: 0o600, Target: c.memory.Target(id)}
	op, _, err := c.db.BeginTask(c.Context(), root, onevolume.TaskRequest{Kind: onevolume.Create, New: &v, From: -1, Owner: "made", Lease: limit.Lease,
		Task: onevolume.Task{Array: "memory", ArrayID: string(id), Size: v.Size}})
	if err == nil {
		err = c.access.Run(c.Context(), op)
	}
	if err != nil {
		c.Fatal(err)
	}
	v = c.read(op.Volume)
	u := c.array.Serve(v)
	u.Identity = onevolume.Identity{Serial: string(id), WWID: fmt.Sprintf("naa.600%d", v.ID)}
	c.array.Change(v.Target.IQN, func(t *iscsitest.Target) {
		t.Login = func(initiator onevolume.IQN, chap onevolume.CHAP) (func(), error) {
			at := v.Target
			at.CHAP = chap
			return c.memory.Login(array.Export{Initiator: initiator, Target: at})
		}
		t.Open = func(initiator onevolume.IQN) bool {
			_, sessions := c.letIn(v)
			return slices.Contains(sessions, initiator)
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.units[v.ID] = u
	return v
}

// letIn lists whom the array lets in to a volume that it made, and who is
// logged in.
func (c *cloud) letIn(v onevolume.Volume) (exports, sessions []onevolume.IQN) {
	return c.memory.LetIn(array.ID(v.ArrayID))
}

// vm starts a guest.
func (c *cloud) vm(m *machine, d hypervisortest.Domain) onevolume.VM {
	c.next++
	d.Name = fmt.Sprintf("one-%d", c.next)
	m.virt.AddDomain(d)
	m.vms = append(m.vms, d.Name)
	vm := onevolume.VM{ID: onevolume.VMID(c.next), Name: "web", Host: m.name, Hypervisor: "kvm", DeployID: d.Name, Owner: root.Owner, Running: true}
	c.vms[vm.ID] = vm
	return vm
}

// engine is what a process would have.
func (c *cloud) engine(l onevolume.Ledger, hosts command.Dialer) *workflow.Engine {
	return &workflow.Engine{
		Ledger: l, Hosts: hosts, Initiator: iscsi.New(iscsi.Options{}), Wiper: blockdev.Wiper{},
		Driver: func(onevolume.VM) (hypervisor.Driver, error) { return c.driver(), nil },
		Wait:   func(_ context.Context, op onevolume.Operation) (bool, error) { return c.wait(op) },
		Now:    c.clock.Now, Limits: limit,
	}
}

func (c *cloud) driver() hypervisor.Driver {
	if c.xen {
		return xen.New(xen.Options{})
	}
	return virsh.New(virsh.Options{})
}

// read gives the volume as the inventory has it.
func (c *cloud) read(id onevolume.VolumeID) onevolume.Volume {
	c.Helper()
	v, err := c.db.Volume(c.Context(), id)
	if err != nil {
		c.Fatal(err)
	}
	return v
}

// operation gives the newest operation on the volume.
func (c *cloud) operation(id onevolume.VolumeID) onevolume.Operation {
	c.Helper()
	op, err := c.db.Operation(c.Context(), c.read(id).Operation)
	if err != nil {
		c.Fatal(err)
	}
	return op
}

// attachRequest and detachRequest are what people ask for.
func attachRequest(vm onevolume.VM, v onevolume.Volume) onevolume.Request {
	return onevolume.Request{Kind: onevolume.Attach, VM: vm, Pick: onevolume.Pick{Volume: v.Name}}
}

func detachRequest(vm onevolume.VM, v onevolume.Volume, leave onevolume.Leave) onevolume.Request {
	return onevolume.Request{Kind: onevolume.Detach, VM: vm, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}, Leave: leave}
}

// must attaches or detaches without trouble.
func (c *cloud) must(req onevolume.Request) workflow.Outcome {
	c.Helper()
	out, err := c.process("good").run(c.Context(), req)
	if err != nil {
		c.Fatalf("%s: %v (%s)", req.Kind, err, onevolume.HintOf(err))
	}
	return out
}

// write has the guest of an attached volume write something.
func (c *cloud) write(v onevolume.Volume) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.units[v.ID].Content = "the guest's data"
}

// settle does what the daemon's sweep would, until no operation runs, and
// then asks that all is in order.
func (c *cloud) settle() {
	c.Helper()
	for round := 1; ; round++ {
		c.clock.advance(2 * limit.Lease)
		open := c.expired()
		if len(open) == 0 {
			break
		}
		if round > 4 {
			c.Fatalf("operation %d still runs after %d sweeps", open[0].ID, round)
		}
		for _, op := range open {
			_ = c.process(fmt.Sprintf("daemon %d", round)).resume(op) // what comes of it is looked at below
		}
	}
	c.invariants("settled", true, true)
}

func (c *cloud) expired() []onevolume.Operation {
	c.Helper()
	open, err := c.db.Expired(c.Context(), c.clock.Now())
	if err != nil {
		c.Fatal(err)
	}
	return open
}

// every runs all cases of the tests that break things in many ways at many
// points, for a minute or two. Without it a part of them is run, the same each
// time.
var every = flag.Bool("every", false, "run every combination of mishaps")

// turn says whether the next case is to be run: one of so many.
func (g *ground) turn(of int) bool {
	if raceDetector {
		of *= 16 // under which the database is that much slower
	}
	g.cases++
	return *every || g.cases%of == 0
}

var errDead = errors.New("the process is dead")
