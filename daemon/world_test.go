package daemon_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/daemon"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
	"onevolume/inventory"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
	"onevolume/store"
	"onevolume/workflow"
)

var (
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100, User: "alice", Group: "users"}, Groups: []int{100}}
	vm    = onevolume.VM{ID: 17, Name: "web", Host: "host01", Hypervisor: "kvm", DeployID: "one-17", Owner: alice.Owner}
)

const (
	lease  = 30 * time.Second
	sweep  = 10 * time.Second
	giveUp = 10 * time.Minute
)

// world is a daemon with a real inventory and one host made of memory, in a
// time of its own.
type world struct {
	*testing.T
	db    *store.Store
	net   *commandtest.Net
	array *iscsitest.Array
	host  *iscsitest.Host
	virt  *hypervisortest.Memory
	gate  chan struct{} // when set, commands on the host wait until it is closed
	log   *observer.ObservedLogs
	taken atomic.Int64 // how often operations were taken over
	skew  atomic.Int64 // of the time of the day; what a process measures is right
	*daemon.Daemon
}

// cloud is oned: it knows one VM, or refuses.
type cloud struct {
	err  error
	also onevolume.VM
}

func (c *cloud) VM(_ context.Context, session string, id onevolume.VMID, _ onevolume.Kind) (onevolume.VM, error) {
	if c.also.ID == id {
		return c.also, nil
	}
	if c.err != nil || session != "alice:token" || id != vm.ID {
		return onevolume.VM{}, c.err
	}
	return vm, nil
}

// counting is the store, which counts what is taken over.
type counting struct {
	*store.Store
	w *world
}

func (c counting) TakeOver(ctx context.Context, op onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (onevolume.Operation, error) {
	c.w.taken.Add(1)
	return c.Store.TakeOver(ctx, op, owner, lease, dead)
}

// bubble runs a test in a world.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, net: commandtest.NewNet(t), array: iscsitest.NewArray(t), virt: hypervisortest.NewMemory(t)}
	var err error
	w.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef"), Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.host = iscsitest.NewHost("host01", w.array)
	w.virt.UseDevices(func(path string) (string, bool) {
		u := w.host.UnitAt(path)
		return fmt.Sprintf("%p", u), u != nil
	})
	w.virt.AddDomain(hypervisortest.Domain{Name: "one-17"})
	w.net.Add("host01", func(c command.Cmd) (command.Result, error) {
		if w.gate != nil {
			<-w.gate
		}
		if res, mine := w.virt.Handle(c); mine {
			return res, nil
		}
		return w.host.Handle(c)
	})
	core, logs := observer.New(zapcore.DebugLevel)
	w.log = logs
	service := &inventory.Service{Store: w.db}
	w.Daemon = &daemon.Daemon{
		Store: counting{w.db, w}, Cloud: &cloud{}, Ledger: service.Ledger, Log: zap.New(core), Now: time.Now,
		Name: "onevolumed@here pid 1", Orphan: func(string) bool { return false }, Sweep: sweep, GiveUp: giveUp,
		Engine: workflow.Engine{
			Hosts: w.net, Initiator: iscsi.New(iscsi.Options{}), Wiper: blockdev.Wiper{}, Now: time.Now,
			Driver: func(onevolume.VM) (hypervisor.Driver, error) { return virsh.New(virsh.Options{}), nil },
			Limits: workflow.Limits{Lease: lease, Lock: time.Second, Unplug: time.Minute},
		},
	}
	return w
}

// clock is the time of the day, which somebody may have set.
func (w *world) clock() time.Time { return time.Now().Add(time.Duration(w.skew.Load())).Round(0) }

// volume registers and serves a volume that alice may use.
func (w *world) volume() onevolume.Volume { return w.unit("disk", "iqn.2026-11.test:vol") }

// unit registers and serves a volume of this name on this target.
func (w *world) unit(name, iqn string) onevolume.Volume {
	w.Helper()
	portals, err := onevolume.ParsePortals("10.0.0.1")
	if err != nil {
		w.Fatal(err)
	}
	root := onevolume.Owner{User: "oneadmin", Group: "oneadmin"}
	v := onevolume.Volume{Name: name, Size: 64 * onevolume.MiB, State: onevolume.Available, Owner: root, Home: root, Permissions: 0o644,
		Target: onevolume.Target{IQN: onevolume.IQN(iqn), LUN: 1, Portals: portals}, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}
	if v.ID, err = w.db.Allocate(w.Context(), v); err != nil {
		w.Fatal(err)
	}
	w.array.Serve(v).Identity = onevolume.Identity{Serial: "SN1", WWID: "naa.6001"}
	return v
}

// orphan opens an operation as a client would that dies at once.
func (w *world) orphan(v onevolume.Volume) onevolume.Operation {
	w.Helper()
	op, _, err := w.db.Reserve(w.Context(), alice, onevolume.Request{Kind: onevolume.Attach, VM: vm,
		Pick: onevolume.Pick{Volume: v.Name}, Owner: "onevolume@there pid 2", Lease: lease})
	if err != nil {
		w.Fatal(err)
	}
	return op
}

// wants asks for the state of the volume and of its newest operation.
func (w *world) wants(id onevolume.VolumeID, state onevolume.State, status onevolume.Status) (onevolume.Volume, onevolume.Operation) {
	w.Helper()
	v, op := w.read(id)
	if v.State != state || op.Status != status {
		w.Errorf("volume is %s, its operation %s; want %s, %s (%s)", v.State, op.Status, state, status, v.Reason)
	}
	return v, op
}

// read gives the volume and its newest operation.
func (w *world) read(id onevolume.VolumeID) (onevolume.Volume, onevolume.Operation) {
	w.Helper()
	v, err := w.db.Volume(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	op, err := w.db.Operation(w.Context(), v.Operation)
	if err != nil {
		w.Fatal(err)
	}
	return v, op
}

// halt stops the daemon, which has all the time it wants.
func (w *world) halt() {
	w.Helper()
	w.Stop(w.Context())
}
