// Package doctor compares the inventory with what is true on hosts: sessions,
// node records, devices, links and domains' disks. It says what differs, why
// that matters and which commands would put it right, and can run them. It
// touches nothing that is not of a target in the inventory, and trusts no
// difference that an operation may be the cause of.
package doctor

import (
	"cmp"
	"context"
	"slices"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

// Inventory is what the doctor asks of it, with an administrator's rights.
type Inventory interface {
	// Volumes lists all volumes; secrets are left out.
	Volumes(ctx context.Context) ([]onevolume.Volume, error)
	Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	// Credentials gives a volume with its CHAP secrets.
	Credentials(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	// Running lists the operations that have not ended.
	Running(ctx context.Context) ([]onevolume.Operation, error)
	// Fences lists the hosts that were cut off from volumes and are not clean.
	Fences(ctx context.Context) ([]onevolume.FenceRecord, error)
	Operation(ctx context.Context, id int) (onevolume.Operation, error)
	Recover(ctx context.Context, id onevolume.VolumeID, r onevolume.Recovery) error
}

// Initiator is the iSCSI initiator of a host (see package iscsi, which
// documents what each method promises).
type Initiator interface {
	LockName(t onevolume.Target) string
	Path(t onevolume.Target) string
	Survey(ctx context.Context, h command.Host) (iscsi.HostFacts, error)
	Connect(ctx context.Context, h command.Host, t onevolume.Target, w iscsi.Want) (iscsi.Device, error)
	Prove(ctx context.Context, h command.Host, t onevolume.Target, w iscsi.Want) (iscsi.Device, error)
	Release(ctx context.Context, h command.Host, t onevolume.Target) error
	SetManual(ctx context.Context, h command.Host, r iscsi.Record) error
	Forget(ctx context.Context, h command.Host, r iscsi.Record) error
	RemoveLink(ctx context.Context, h command.Host, l iscsi.Link) error
	Rename(ctx context.Context, h command.Host, name onevolume.IQN) error
	ConnectCommands(t onevolume.Target) []command.Cmd
}

// Place is a host to look at.
type Place struct {
	Host       string
	Hypervisor string // what OpenNebula says runs there (VM_MAD); empty when it did not say
	// Past says that only the history of operations names the host: it may
	// have left the cloud, so it is no finding when it does not answer.
	Past bool
}

// Doctor examines and repairs. All fields but Replug must be set.
type Doctor struct {
	Inventory Inventory
	Hosts     command.Dialer
	Initiator Initiator
	// Driver gives the hypervisor's driver of a VM.
	Driver func(vm onevolume.VM) (hypervisor.Driver, error)
	// Places lists the hosts of the cloud. Those that the inventory names
	// are looked at in any case.
	Places func(ctx context.Context) ([]Place, error)
	// Replug puts an attached volume's disk into its VM again, by an
	// operation of its own.
	Replug func(ctx context.Context, v onevolume.Volume) error
	Now    func() time.Time
	Limits Limits
}

// Limits bound how long the doctor waits, and how much it does at once. Zero
// values mean the defaults.
type Limits struct {
	Host   time.Duration // for all that one host is asked: a minute
	Lock   time.Duration // for an operation on the same target and host: a minute
	Unplug time.Duration // for a guest to let go of a disk: a minute
	Term   time.Duration // after the end of its lease, until an operation counts as without owner: 30 s
	// AtOnce is how many hosts are looked at together: 8.
	AtOnce int
}

func (l Limits) filled() Limits {
	l.Host = cmp.Or(l.Host, time.Minute)
	l.Lock = cmp.Or(l.Lock, time.Minute)
	l.Unplug = cmp.Or(l.Unplug, time.Minute)
	l.Term = cmp.Or(l.Term, 30*time.Second)
	l.AtOnce = cmp.Or(l.AtOnce, 8)
	return l
}

// Scope says what to look at. The zero Scope looks at volume 0: use All.
type Scope struct {
	Host   string             // only this host
	Array  string             // only volumes of this array, on all hosts
	Volume onevolume.VolumeID // only this volume, on all hosts; NoVolume for all
}

// All is everything.
func All() Scope { return Scope{Volume: onevolume.NoVolume} }

// Whole says whether nothing is left out.
func (s Scope) Whole() bool { return s == All() }

func (s Scope) has(v onevolume.Volume) bool {
	return (s.Array == "" || v.Array == s.Array) && (s.Volume == onevolume.NoVolume || v.ID == s.Volume)
}

// Examine compares the inventory with its hosts. It changes nothing. A
// difference counts only when the volume was the same before and after the
// hosts were looked at, and no operation had it; a host that does not answer
// is a finding itself, and makes nothing else look lost. The error is only
// about the inventory and the scope.
func (d *Doctor) Examine(ctx context.Context, s Scope) (onevolume.Checkup, error) {
	w, err := d.look(ctx, s)
	if err != nil {
		return onevolume.Checkup{}, err
	}
	c := onevolume.Checkup{Time: d.Now(), Hosts: len(w.hosts), Volumes: len(w.volumes)}
	for _, x := range w.differences(ctx) {
		c.Findings = append(c.Findings, x.Finding)
	}
	return c, nil
}

// Dangerous says whether a difference may be a volume in use that looks free,
// or may hide one: until it is put right, nothing should be handed out by an
// inventory that came from a backup.
func Dangerous(f onevolume.Finding) bool {
	return f.Fixable || slices.Contains([]onevolume.Trouble{onevolume.HostSilent, onevolume.StrayDisk, onevolume.TwoDomains,
		onevolume.IdleSession, onevolume.OrphanDevice, onevolume.OtherIdentity, onevolume.NoOwner}, f.Trouble)
}
