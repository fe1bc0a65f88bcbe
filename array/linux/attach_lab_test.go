//go:build lab

package linux_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/hypervisor/virsh"
	"onevolume/inventory"
	"onevolume/iscsi"
	"onevolume/lab"
	"onevolume/provision"
	"onevolume/store"
	"onevolume/workflow"
)

var root = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}

// cloud is an inventory over a real array, and a real initiator whose guests
// are made of memory: the lab's storage host has no hypervisor beside it.
type cloud struct {
	*rig
	db     *store.Store
	virt   *hypervisortest.Memory
	engine workflow.Engine
	access *provision.Access
	asked  int
}

// Dial reaches the initiator. What a hypervisor is asked, memory answers.
func (c *cloud) Dial(ctx context.Context, host string) (command.Host, error) {
	h, err := ssh.NewDialer(ssh.Config{User: "oneadmin", ConfigFile: c.SSHConfig(), AgentSocket: "none", ConnectTimeout: time.Minute}).Dial(ctx, host)
	if err != nil {
		return nil, err
	}
	return &guests{h, c.virt}, nil
}

type guests struct {
	command.Host
	virt *hypervisortest.Memory
}

func (g *guests) Run(ctx context.Context, cmd command.Cmd) (command.Result, error) {
	if res, mine := g.virt.Handle(cmd); mine {
		return res, nil
	}
	return g.Host.Run(ctx, cmd)
}

func newCloud(r *rig) *cloud {
	r.t.Helper()
	c := &cloud{rig: r, virt: hypervisortest.NewMemory(r.t)}
	var err error
	c.db, err = store.Open(r.t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(r.t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.db.Close() })
	limits := workflow.DefaultLimits()
	c.access = &provision.Access{Engine: &provision.Engine{Ledger: c.db, Arrays: map[string]array.Array{"san1": r.array}, Lease: limits.Lease, Now: time.Now},
		Volume: c.db.Volume, Operation: c.db.Operation}
	c.engine = workflow.Engine{Ledger: (&inventory.Service{Store: c.db}).Ledger(root), Access: c.access, Hosts: c,
		Initiator: iscsi.New(iscsi.Options{}), Wiper: blockdev.Wiper{}, Now: time.Now, Limits: limits,
		Driver: func(onevolume.VM) (hypervisor.Driver, error) { return virsh.New(virsh.Options{}), nil }}
	c.virt.UseDevices(func(path string) (string, bool) {
		res := c.Exec(lab.Initiator, "readlink -e "+path)
		return strings.TrimSpace(res.Stdout), res.Code == 0
	})
	c.udev()
	return c
}

// linkRules make the links in /dev/disk/by-path as Debian's do, which the
// lab's storage hosts do without. What is imported is not yet known in the same
// rule.
const linkRules = `SUBSYSTEM=="block", KERNEL=="sd*", IMPORT{builtin}="path_id"
SUBSYSTEM=="block", ENV{ID_PATH}=="?*", SYMLINK+="disk/by-path/$env{ID_PATH}"
`

// udev makes the links on the initiator, and gives the disks to their group.
func (c *cloud) udev() {
	c.t.Helper()
	c.Must(c.Exec(lab.Initiator, "mkdir -p /run/udev/rules.d && echo '"+linkRules+"' >/run/udev/rules.d/60-links.rules && "+
		"{ pidof systemd-udevd || /lib/systemd/systemd-udevd --daemon; } && udevadm control --reload"))
}

// task has the array do something to its end.
func (c *cloud) task(r onevolume.TaskRequest) onevolume.Operation {
	c.t.Helper()
	c.asked++
	r.Owner, r.Lease = fmt.Sprint("task ", c.asked), time.Minute
	op, _, err := c.db.BeginTask(c.t.Context(), root, r)
	if err == nil {
		err = c.access.Run(c.t.Context(), op)
	}
	if err != nil {
		c.t.Fatalf("%s: %v", r.Kind, err)
	}
	return op
}

func (c *cloud) create(name string, from onevolume.SnapshotID) onevolume.Volume {
	c.t.Helper()
	id := array.NewID()
	v := onevolume.Volume{Name: name, Array: "san1", ArrayID: string(id), Size: 16 * onevolume.MiB, Owner: root.Owner, Permissions: 0o600, Target: c.array.Target(id)}
	op := c.task(onevolume.TaskRequest{Kind: onevolume.Create, New: &v, From: from, Task: onevolume.Task{Array: "san1", ArrayID: string(id), Size: v.Size, Label: name}})
	return c.read(op.Volume)
}

func (c *cloud) read(id onevolume.VolumeID) onevolume.Volume {
	c.t.Helper()
	v, err := c.db.Volume(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// do attaches a volume to a guest, or detaches it.
func (c *cloud) do(kind onevolume.Kind, vm onevolume.VMID, v onevolume.Volume) onevolume.Volume {
	c.t.Helper()
	c.asked++
	job, err := c.engine.Begin(c.t.Context(), onevolume.Request{Kind: kind, Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}, Owner: fmt.Sprint("client ", c.asked),
		VM: onevolume.VM{ID: vm, Host: lab.Initiator, Hypervisor: "kvm", DeployID: fmt.Sprintf("one-%d", vm), Owner: root.Owner, Running: true}})
	if err == nil {
		_, err = job.Run(c.t.Context())
	}
	// What waits for the array is gone on with, as the daemon does.
	for range 12 {
		if onevolume.CodeOf(err) != onevolume.Unknown {
			break
		}
		c.t.Log(err)
		err = c.resume(job.Operation())
	}
	if err != nil {
		c.t.Fatalf("%s: %v (%s)", kind, err, onevolume.HintOf(err))
	}
	return c.read(v.ID)
}

func (c *cloud) resume(op onevolume.Operation) error {
	now, err := c.db.Operation(c.t.Context(), op.ID)
	if err != nil {
		return err
	}
	if now, err = c.db.TakeOver(c.t.Context(), now.Ref(), "daemon", time.Minute, now.Lease); err != nil {
		return err
	}
	journal, err := c.db.Journal(c.t.Context(), op.ID)
	if err != nil {
		return err
	}
	_, err = c.engine.Resume(c.t.Context(), now, c.read(op.Volume), journal)
	return err
}

// admits asks that the array lets in the lab's initiator alone, or nobody,
// and that just as many sessions are open.
func (c *cloud) admits(v onevolume.Volume, want ...onevolume.IQN) {
	c.t.Helper()
	exports, err := c.array.Exports(c.t.Context(), array.ID(v.ArrayID))
	if err != nil {
		c.t.Fatal(err)
	}
	sessions, err := c.array.Sessions(c.t.Context(), array.ID(v.ArrayID))
	if err != nil {
		c.t.Fatal(err)
	}
	var in, open []onevolume.IQN
	for _, e := range exports {
		in = append(in, e.Initiator)
	}
	for _, s := range sessions {
		open = append(open, s.Initiator)
	}
	if fmt.Sprint(in) != fmt.Sprint(want) || fmt.Sprint(open) != fmt.Sprint(want) {
		c.t.Errorf("volume %d: let in are %v, logged in %v, want %v", v.ID, in, open, want)
	}
}

// write and look are what a guest does with its disk, past all caches.
func (c *cloud) write(v onevolume.Volume, letter string) {
	c.t.Helper()
	c.Must(c.Exec(lab.Initiator, fmt.Sprintf("head -c 65536 /dev/zero | tr '\\0' %s | dd of=%s bs=64k oflag=direct iflag=fullblock status=none", letter, v.Attachment.Source)))
}

func (c *cloud) look(v onevolume.Volume) string {
	c.t.Helper()
	return c.Must(c.Exec(lab.Initiator, fmt.Sprintf("dd if=%s bs=64k count=1 iflag=direct status=none | tr '\\0' 0 | head -c 8", v.Attachment.Source)))
}

// TestLabAttach takes volumes of both arrays through their lives: they are
// made, attached, written to, kept as they are, overwritten, brought into a
// second guest as they were, detached, and deleted. In the end the array and
// the initiator are as before (see open).
func TestLabAttach(t *testing.T) {
	l := open(t)
	for name, make := range map[string]func(*testing.T, *lab.Lab, setting) *rig{"lio": newLIO, "tgt": newTgt} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(make(t, l, setting{}))
			c.virt.AddDomain(hypervisortest.Domain{Name: "one-1"})
			c.virt.AddDomain(hypervisortest.Domain{Name: "one-2"})
			host := onevolume.IQN(lab.IQNPrefix + lab.Initiator)

			v := c.create("disk1", -1)
			c.admits(v)
			v = c.do(onevolume.Attach, 1, v)
			c.admits(v, host)
			if v.State != onevolume.Attached || v.Identity.Serial == "" || v.Target.CHAP.User != "" {
				t.Errorf("%s with %+v and %v", v.State, v.Identity, v.Target.CHAP)
			}
			if got := c.look(v); got != "00000000" {
				t.Errorf("a new volume reads as %q", got)
			}
			c.write(v, "a")
			snap := c.task(onevolume.TaskRequest{Kind: onevolume.SnapshotCreate, Volume: v.ID, From: -1,
				Task: onevolume.Task{SnapshotName: "before", SnapshotUUID: string(array.NewID())}}).Task.Snapshot
			c.write(v, "b")
			old := c.do(onevolume.Attach, 2, c.create("disk2", snap))
			c.admits(old, host)
			if was, is := c.look(old), c.look(v); was != "aaaaaaaa" || is != "bbbbbbbb" {
				t.Errorf("the snapshot's volume reads as %q, the other one as %q", was, is)
			}
			old = c.do(onevolume.Detach, 2, old)
			c.admits(old)

			// The initiator loses its power. It is let in again, with other
			// credentials, for the wipe.
			c.Command("node", "kill", lab.Initiator)
			c.Command("node", "start", lab.Initiator)
			c.udev()
			c.virt.Edit("one-1", func(d *hypervisortest.Domain) { d.Disks = nil })
			v = c.do(onevolume.Detach, 1, v)
			c.admits(v)
			if v.State != onevolume.Available || old.State != onevolume.Available {
				t.Errorf("%s and %s", v.State, old.State)
			}

			c.task(onevolume.TaskRequest{Kind: onevolume.Delete, Volume: old.ID, From: -1})
			c.task(onevolume.TaskRequest{Kind: onevolume.SnapshotDelete, Volume: v.ID, From: -1, Task: onevolume.Task{Snapshot: snap}})
			c.task(onevolume.TaskRequest{Kind: onevolume.Delete, Volume: v.ID, From: -1})
			if left := append(c.Sessions(lab.Initiator), c.Records(lab.Initiator)...); len(left) > 0 {
				t.Errorf("the initiator has %q", left)
			}
		})
	}
}
