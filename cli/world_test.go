package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/cli"
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
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100, User: "alice", Group: "users"}, Groups: []int{100}}
	web   = onevolume.VM{ID: 17, Name: "web", Host: "host01", Hypervisor: "kvm", DeployID: "one-17", Owner: alice.Owner, Running: true}
)

// callers are who holds a session, and the sessions' names are the users'.
type callers map[string]onevolume.Caller

func (c callers) Authenticate(_ context.Context, session string) (onevolume.Caller, error) {
	if who, ok := c[session]; ok {
		return who, nil
	}
	return onevolume.Caller{}, onevolume.Errorf(onevolume.Unauthenticated, "unknown")
}

// cloud is oned, asked by the daemon and, with nobody's session, by a client.
type cloud struct{ who onevolume.Caller }

func (c cloud) WhoAmI(context.Context) (onevolume.Caller, error) { return c.who, nil }

func (c cloud) UserID(_ context.Context, ref string) (int, error) {
	return lookUp("USER", ref, map[string]int{"oneadmin": 0, "alice": 5})
}

func (c cloud) GroupID(_ context.Context, ref string) (int, error) {
	return lookUp("GROUP", ref, map[string]int{"oneadmin": 0, "users": 100})
}

func (c cloud) VMID(_ context.Context, ref string) (onevolume.VMID, error) {
	id, err := lookUp("VM", ref, map[string]int{"web": 17})
	return onevolume.VMID(id), err
}

func (c cloud) VMs(context.Context) ([]onevolume.VM, error) { return []onevolume.VM{web}, nil }

// Nothing here is about oned's hooks: scripts of cmd/onevolume are.
func (c cloud) Shown(context.Context, onevolume.VMID) (int, error) { return 0, errNoHooks }
func (c cloud) Hooks(context.Context) ([]onevolume.Hook, error)    { return nil, errNoHooks }
func (c cloud) AllocateHook(context.Context, onevolume.Hook) error { return errNoHooks }
func (c cloud) DeleteHook(context.Context, int) error              { return errNoHooks }

var errNoHooks = errors.New("this cloud has no hooks")

func (c cloud) UserNames(context.Context) ([]string, error) {
	return []string{"oneadmin", "alice"}, nil
}

func (c cloud) GroupNames(context.Context) ([]string, error) {
	return []string{"oneadmin", "users"}, nil
}

// lookUp takes an id, or the only one of a name.
func lookUp(object, ref string, all map[string]int) (int, error) {
	if id, err := strconv.Atoi(ref); err == nil {
		return id, nil
	}
	var ids []int
	if id, ok := all[ref]; ok {
		ids = append(ids, id)
	}
	return onevolume.OnlyOne(object, ref, ids)
}

func (c cloud) VM(_ context.Context, id onevolume.VMID, _ onevolume.Kind) (onevolume.VM, error) {
	if id != web.ID {
		return onevolume.VM{}, onevolume.Missing("virtual machine", int(id))
	}
	return web, nil
}

type oned struct{}

func (oned) VM(ctx context.Context, _ string, id onevolume.VMID, kind onevolume.Kind) (onevolume.VM, error) {
	return cloud{}.VM(ctx, id, kind)
}

// checkups is what the daemon's comparison would have found.
type checkups struct {
	atomic.Pointer[onevolume.Checkup]
	slow chan struct{} // when set, nothing is known until it is closed
}

func (c *checkups) Checkup() onevolume.Checkup {
	if c.slow != nil {
		<-c.slow
	}
	if found := c.Load(); found != nil {
		return *found
	}
	return onevolume.Checkup{}
}

// world is the whole program: the command line, the daemon behind its real
// API and database, and a host made of memory.
type world struct {
	*testing.T
	db     *store.Store
	array  *iscsitest.Array
	makers map[string]daemon.Maker // arrays on which volumes are made
	spaces *daemon.Spaces
	kinds  []onevolume.VolumeType
	host   *iscsitest.Host
	virt   *hypervisortest.Memory
	api    xmlrpc.Server
	health *checkups
	url    string
	// fail, when set, may answer a command in the host's place.
	fail atomic.Pointer[func(command.Cmd) *command.Result]
	net  *commandtest.Net
	as   string // who types
	tty  bool
	cols int
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	w := &world{T: t, array: iscsitest.NewArray(t), virt: hypervisortest.NewMemory(t), health: &checkups{}, as: "oneadmin"}
	var err error
	w.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.host, w.net = iscsitest.NewHost("host01", w.array), commandtest.NewNet(t)
	w.virt.UseDevices(func(path string) (string, bool) {
		u := w.host.UnitAt(path)
		return fmt.Sprintf("%p", u), u != nil
	})
	w.virt.AddDomain(hypervisortest.Domain{Name: "one-17"})
	w.net.Add("host01", func(c command.Cmd) (command.Result, error) {
		if f := w.fail.Load(); f != nil {
			if res := (*f)(c); res != nil {
				return *res, nil
			}
		}
		if res, mine := w.virt.Handle(c); mine {
			return res, nil
		}
		return w.host.Handle(c)
	})
	w.start()
	return w
}

// start starts the daemon.
func (w *world) start() {
	service := &inventory.Service{Store: w.db}
	loops := &daemon.Daemon{
		Store: w.db, Cloud: oned{}, Ledger: service.Ledger, Log: zap.NewNop(), Now: time.Now, Name: "onevolumed@front user oneadmin pid 42 since 1764066812",
		Orphan: func(string) bool { return false }, Sweep: time.Minute, GiveUp: time.Hour, Engine: *w.engine(nil),
	}
	access := w.provide(loops, service)
	loops.Start()
	w.Cleanup(func() { loops.Stop(context.WithoutCancel(w.Context())) })
	w.api = xmlrpc.Server{Auth: callers{"oneadmin": root, "alice": alice}, Inventory: service, Operator: loops, Moves: loops, Health: w.health, Access: access, Spaces: w.spaces,
		Unaudited: func(d onevolume.Deed, err error) { w.Errorf("not audited: %+v: %v", d, err) }}
	rpc := &wire.Server{Panicked: func(method string, value any, stack []byte) { w.Errorf("%s panicked: %v\n%s", method, value, stack) }}
	w.api.Register(rpc)
	s := httptest.NewServer(rpc)
	w.Cleanup(s.Close)
	w.url = s.URL + wire.Path
}

func (w *world) engine(l onevolume.Ledger) *workflow.Engine {
	return &workflow.Engine{
		Ledger: l, Hosts: w.net, Initiator: iscsi.New(iscsi.Options{}), Wiper: blockdev.Wiper{}, Now: time.Now,
		Driver: func(onevolume.VM) (hypervisor.Driver, error) { return virsh.New(virsh.Options{}), nil },
		Limits: workflow.Limits{Lease: 30 * time.Second, Lock: time.Second, Unplug: time.Second},
	}
}

// client is the engine of a client, which has the daemon let hosts in.
func (w *world) client(api *xmlrpc.Client) *workflow.Engine {
	e := w.engine(api)
	e.Access = api
	return e
}

// said is what a command printed.
type said struct {
	out, err string
	status   int
}

// types runs a command line; what stands after "<" is typed at its questions.
func (w *world) types(args ...string) said {
	w.Helper()
	in := ""
	for i, a := range args {
		if a == "<" {
			in, args = strings.Join(args[i+1:], "\n")+"\n", args[:i]
			break
		}
	}
	var out, errs bytes.Buffer
	app := &cli.App{In: strings.NewReader(in), Out: &out, Err: &errs, Terminal: w.tty, Width: w.cols, Size: func() (int, int) { return w.cols, 0 },
		Open: func(cli.Options) (*cli.Session, error) {
			c, err := wire.NewClient(wire.Config{Endpoint: w.url, KeepAlive: true})
			if err != nil {
				return nil, err
			}
			w.Cleanup(c.Close)
			api := &xmlrpc.Client{Wire: c, Session: w.as}
			return &cli.Session{Daemon: api, Cloud: cloud{callers{"oneadmin": root, "alice": alice}[w.as]}, Engine: w.client(api),
				Host: func() cli.Timing { return cli.Timing{} }, Owner: "onevolume@front user oneadmin pid 41 since 1764066800"}, nil
		}}
	status := app.Main(w.Context(), args)
	return said{out.String(), errs.String(), status}
}

// ok runs a command line that must go well.
func (w *world) ok(args ...string) said {
	w.Helper()
	s := w.types(args...)
	if s.status != 0 {
		w.Fatalf("onevolume %s: %s%s", strings.Join(args, " "), s.out, s.err)
	}
	return s
}

// fails runs one that must fail with these words.
func (w *world) fails(words []string, args ...string) said {
	w.Helper()
	s := w.types(args...)
	if s.status != cli.Failure {
		w.Errorf("onevolume %s: status %d, want a failure: %s%s", strings.Join(args, " "), s.status, s.out, s.err)
	}
	s.has(w, "stderr of onevolume "+strings.Join(args, " "), s.err, words...)
	return s
}

// has asks for words in a text.
func (said) has(w *world, where, text string, words ...string) {
	w.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			w.Errorf("no %q in %s:\n%s", word, where, text)
		}
	}
}

// volume registers and serves disk1.
func (w *world) volume() onevolume.Volume {
	w.Helper()
	w.ok("create", "--name", "disk1", "--iqn", "iqn.2026-11.test:disk1", "--lun", "1", "--portal", "10.0.0.1", "--size", "64")
	v := w.read()
	w.array.Serve(v).Identity = onevolume.Identity{Serial: "SN1", WWID: "naa.6001"}
	return v
}

func (w *world) read() onevolume.Volume {
	w.Helper()
	v, err := w.db.Volume(w.Context(), 0)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) wants(state onevolume.State) {
	w.Helper()
	if v := w.read(); v.State != state {
		w.Errorf("the volume is %s (%s), want %s", v.State, v.Reason, state)
	}
}

// breaks has commands on the host fail that hold one of the words; heals ends
// that.
func (w *world) breaks(stderr string, words ...string) {
	f := func(c command.Cmd) *command.Result {
		for _, word := range words {
			if strings.Contains(c.String()+string(c.Stdin), word) {
				return &command.Result{Code: 1, Stderr: []byte(stderr)}
			}
		}
		return nil
	}
	w.fail.Store(&f)
}

func (w *world) heals() { w.fail.Store(nil) }

// park leaves an attach of disk1 in ERROR: neither plugging nor logging out
// works.
func (w *world) park() {
	w.Helper()
	w.volume()
	w.breaks("error: the host is sick", "attach-device", "iscsi-release")
	w.fails([]string{"volume 0 is in ERROR", "onevolume resume 1", "onevolume abort 1"}, "attach", "17", "--volume", "disk1")
	w.wants(onevolume.Failed)
}
