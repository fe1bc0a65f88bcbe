package doctor_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/commandtest"
	"onevolume/doctor"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
	"onevolume/inventory"
	"onevolume/iscsi"
	"onevolume/iscsi/iscsitest"
	"onevolume/store"
	"onevolume/workflow"
)

// world is a real inventory with two hosts and an array of memory, and a
// doctor for them.
type world struct {
	*testing.T
	db      *store.Store
	service *inventory.Service
	net     *commandtest.Net
	array   *iscsitest.Array
	iscsi   map[string]*iscsitest.Host
	virt    map[string]*hypervisortest.Memory
	units   map[onevolume.VolumeID]*iscsitest.Unit
	mu      sync.Mutex
	runs    int
	late    time.Duration // how far the doctor's clock is ahead
	places  []doctor.Place
	between func() // is called once, when hosts are asked
	*doctor.Doctor
}

var root = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}

func newWorld(t *testing.T) *world {
	w := &world{T: t, net: commandtest.NewNet(t), array: iscsitest.NewArray(t), iscsi: map[string]*iscsitest.Host{},
		virt: map[string]*hypervisortest.Memory{}, units: map[onevolume.VolumeID]*iscsitest.Unit{},
		places: []doctor.Place{{Host: "host01", Hypervisor: "kvm"}, {Host: "host02"}, {Host: "other", Hypervisor: "vcenter"}, {Host: "left", Past: true}}}
	var err error
	w.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	w.service = &inventory.Service{Store: w.db}
	for i, name := range []string{"host01", "host02"} {
		host, virt := iscsitest.NewHost(name, w.array), hypervisortest.NewMemory(t)
		w.iscsi[name], w.virt[name] = host, virt
		virt.UseDevices(func(path string) (string, bool) {
			u := host.UnitAt(path)
			return fmt.Sprintf("%p", u), u != nil
		})
		virt.AddDomain(hypervisortest.Domain{Name: fmt.Sprintf("one-%d", 17+i), UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", 17+i)})
		w.net.Add(name, func(c command.Cmd) (command.Result, error) {
			w.mu.Lock()
			hook := w.between
			w.between = nil
			w.mu.Unlock()
			if hook != nil {
				hook()
			}
			if res, mine := virt.Handle(c); mine {
				return res, nil
			}
			return host.Handle(c)
		})
	}
	driver := func(vm onevolume.VM) (hypervisor.Driver, error) {
		if vm.Hypervisor != "kvm" {
			return nil, onevolume.Errorf(onevolume.Invalid, "hypervisor %q is not supported", vm.Hypervisor)
		}
		return virsh.New(virsh.Options{}), nil
	}
	w.Doctor = &doctor.Doctor{
		Inventory: records{w.db}, Hosts: w.net, Initiator: iscsi.New(iscsi.Options{}), Driver: driver,
		Places: func(context.Context) ([]doctor.Place, error) { return w.places, nil },
		Replug: func(ctx context.Context, v onevolume.Volume) error {
			return w.run(ctx, onevolume.Request{Kind: onevolume.Replug, VM: vmOn(v.Attachment.Host), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}})
		},
		Now:    func() time.Time { return time.Now().Add(w.late) },
		Limits: doctor.Limits{Lock: 5 * time.Second, Unplug: time.Second, Term: 2 * time.Second},
	}
	return w
}

// records is the inventory as an administrator has it.
type records struct{ *store.Store }

func (r records) Volumes(ctx context.Context) ([]onevolume.Volume, error) {
	return r.Store.Volumes(ctx, onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
}

func (r records) Credentials(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	return r.Volume(ctx, id)
}

func vmOn(host string) onevolume.VM {
	id := onevolume.VMID(17)
	if host == "host02" {
		id = 18
	}
	return onevolume.VM{ID: id, Name: "web", Host: host, Hypervisor: "kvm", DeployID: fmt.Sprintf("one-%d", id), Owner: root.Owner, Running: true}
}

// run runs an operation.
func (w *world) run(ctx context.Context, req onevolume.Request) error {
	e := &workflow.Engine{
		Ledger: w.service.Ledger(root), Hosts: w.net, Initiator: iscsi.New(iscsi.Options{}), Wiper: blockdev.Wiper{},
		Driver: w.Doctor.Driver, Now: time.Now, Limits: workflow.Limits{Lease: time.Minute, Lock: 20 * time.Second, Unplug: time.Second},
	}
	w.mu.Lock()
	w.runs++
	req.Owner = fmt.Sprint("client ", w.runs) // the same one again would be taken for the same call
	w.mu.Unlock()
	job, err := e.Begin(ctx, req)
	if err != nil {
		return err
	}
	_, err = job.Run(ctx)
	return err
}

// volume registers and serves a logical unit.
func (w *world) volume(target int, lun onevolume.LUN) onevolume.Volume {
	w.Helper()
	portals, err := onevolume.ParsePortals("10.0.0.1")
	if err != nil {
		w.Fatal(err)
	}
	v := onevolume.Volume{
		Name: fmt.Sprintf("disk%d.%d", target, lun), Size: 64 * onevolume.MiB, State: onevolume.Available,
		Owner: root.Owner, Home: root.Owner, Permissions: 0o600, Array: fmt.Sprintf("array%d", target),
		Target:     onevolume.Target{IQN: onevolume.IQN(fmt.Sprintf("iqn.2026-11.test:%d", target)), LUN: lun, Portals: portals},
		Attachment: onevolume.Attachment{VM: onevolume.NoVM},
		Identity:   onevolume.Identity{Serial: fmt.Sprintf("SN%d.%d", target, lun), WWID: fmt.Sprintf("naa.600%d%d", target, lun)},
	}
	if v.ID, err = w.db.Allocate(w.Context(), v); err != nil {
		w.Fatal(err)
	}
	u := w.array.Serve(v)
	w.units[v.ID] = u
	return v
}

// stranger serves a logical unit that is in no inventory.
func (w *world) stranger(target int, lun onevolume.LUN) onevolume.Target {
	portals, _ := onevolume.ParsePortals("10.0.0.1")
	v := onevolume.Volume{Size: 64 * onevolume.MiB, Identity: onevolume.Identity{Serial: fmt.Sprintf("X%d.%d", target, lun)},
		Target: onevolume.Target{IQN: onevolume.IQN(fmt.Sprintf("iqn.2026-11.test:%d", target)), LUN: lun, Portals: portals}}
	w.array.Serve(v)
	return v.Target
}

func (w *world) read(id onevolume.VolumeID) onevolume.Volume {
	w.Helper()
	v, err := w.db.Volume(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) attach(v onevolume.Volume, host string) onevolume.Volume {
	w.Helper()
	if err := w.run(w.Context(), onevolume.Request{Kind: onevolume.Attach, VM: vmOn(host), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}); err != nil {
		w.Fatal(err)
	}
	w.units[v.ID].Content = "the guest's data"
	return w.read(v.ID)
}

func (w *world) detach(v onevolume.Volume, host string) {
	w.Helper()
	if err := w.run(w.Context(), onevolume.Request{Kind: onevolume.Detach, VM: vmOn(host), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}); err != nil {
		w.Fatal(err)
	}
}

// plug gives a domain the volume's disk by hand, from the host's own session.
func (w *world) plug(v onevolume.Volume, host, domain string, more ...func(*hypervisor.Disk)) {
	w.Helper()
	if w.iscsi[host].UnitAt(path(v)) == nil {
		w.iscsi[host].Login(v.Target)
	}
	k := hypervisor.Disk{Source: path(v), Target: "sdx", Bus: "scsi", Serial: onevolume.Serial(v.ID)}
	for _, f := range more {
		f(&k)
	}
	w.virt[host].Edit(domain, func(d *hypervisortest.Domain) { d.Disks = append(d.Disks, hypervisortest.Disk{Disk: k}) })
}

// pull takes all disks from a domain by hand.
func (w *world) pull(host, domain string) {
	w.virt[host].Edit(domain, func(d *hypervisortest.Domain) { d.Disks = nil })
}

func path(v onevolume.Volume) string { return iscsi.New(iscsi.Options{}).Path(v.Target) }

// examine gives what a checkup of everything finds.
func (w *world) examine() []onevolume.Finding {
	w.Helper()
	c, err := w.Examine(w.Context(), doctor.All())
	if err != nil {
		w.Fatal(err)
	}
	return c.Findings
}

// finds wants exactly the troubles, and that each is told in full.
func (w *world) finds(want ...onevolume.Trouble) []onevolume.Finding {
	w.Helper()
	list := w.examine()
	var got []onevolume.Trouble
	for _, f := range list {
		got = append(got, f.Trouble)
		if f.Cause == "" || f.Risk == "" || len(f.Repair) == 0 || f.Harmless && !f.Fixable {
			w.Errorf("not told in full: %+v", f)
		}
	}
	if !slices.Equal(got, want) {
		w.Fatalf("found %q, want %q:\n%s", got, want, told(list))
	}
	return list
}

func told(list []onevolume.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s on %q, volume %d, VM %d: %s\n  risk: %s\n  %s\n", f.Trouble, f.Host, f.Volume, f.VM, f.Cause, f.Risk, strings.Join(f.Repair, "\n  "))
	}
	return b.String()
}

// fix wants a finding to be repaired, and then no longer true.
func (w *world) fix(f onevolume.Finding) {
	w.Helper()
	r, err := w.Fix(w.Context(), doctor.All(), f)
	if err != nil || r != doctor.Fixed {
		w.Fatalf("%s: %q, %v (%s)", f.Trouble, r, err, onevolume.HintOf(err))
	}
	for _, now := range w.examine() {
		if now.Trouble == f.Trouble && now.Host == f.Host && now.Volume == f.Volume && slices.Equal(now.Repair, f.Repair) {
			w.Errorf("it is still so: %s", now.Cause)
		}
	}
	// Once more does nothing.
	before := w.state()
	if r, err := w.Fix(w.Context(), doctor.All(), f); err != nil && onevolume.CodeOf(err) != onevolume.Action && onevolume.CodeOf(err) != onevolume.Busy || r == doctor.Fixed {
		w.Errorf("again: %q, %v", r, err)
	}
	if after := w.state(); after != before {
		w.Errorf("again changed something:\n%s\nwas\n%s", after, before)
	}
}

// state is all there is, in words.
func (w *world) state() string {
	var b strings.Builder
	for _, id := range slices.Sorted(maps.Keys(w.units)) {
		v := w.read(id)
		fmt.Fprintf(&b, "volume %d %s %+v %q holds %q\n", id, v.State, v.Attachment, v.Reason, w.units[id].Content)
	}
	for _, name := range []string{"host01", "host02"} {
		w.iscsi[name].Change(func(s *iscsitest.State) { fmt.Fprintf(&b, "%s: %v %s\n", name, s.Stale, s.Initiator) })
		for _, left := range w.iscsi[name].Left() {
			fmt.Fprintf(&b, "%s: %s\n", name, left)
		}
		for _, dom := range []string{"one-17", "one-18"} {
			if d, ok := w.virt[name].Domain(dom); ok {
				for _, k := range d.Disks {
					fmt.Fprintf(&b, "%s: %s has %s %s\n", name, dom, k.Target, k.Serial)
				}
			}
		}
	}
	return b.String()
}

// empty wants nothing of iSCSI on the host.
func (w *world) empty(hosts ...string) {
	w.Helper()
	for _, h := range hosts {
		if left := w.iscsi[h].Left(); len(left) > 0 {
			w.Errorf("%s has %q", h, left)
		}
	}
}

// says wants words in what a finding tells.
func (w *world) says(f onevolume.Finding, words ...string) {
	w.Helper()
	for _, word := range words {
		if !strings.Contains(told([]onevolume.Finding{f}), word) {
			w.Errorf("nothing of %q in\n%s", word, told([]onevolume.Finding{f}))
		}
	}
}
