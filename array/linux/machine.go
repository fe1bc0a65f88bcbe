// Package linux is what arrays have in common that are Linux machines: a
// connection that is kept, a lock on the machine under which whatever changes
// it is done, and volumes made of logical volumes (LVM, LVM-thin) or of files.
// How such a volume is exported is the business of a Target; the folders
// beside this one have them.
package linux

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/command"
)

// Machine is an array on a Linux machine.
type Machine struct {
	opt    Options
	pool   pool
	target Target
	idle   chan command.Host // the connection that is kept
}

// Options say where the machine is and how it is worked with.
type Options struct {
	// Host is the machine's name for Dialer, which logs in as root, or as
	// somebody who may `sudo -n` anything there.
	Host   string
	Dialer command.Dialer

	// LockWait is how long a call waits for others that change the machine:
	// 60 s when zero.
	LockWait time.Duration

	// PageSize is the most that a list gives at once: 200 when zero.
	PageSize int

	// Overprovision is how much of the space may be promised: the sum of all
	// volumes' and snapshots' sizes is at most this many times the space
	// there is. 2 when zero. Of thick volumes nothing is promised that is not
	// there.
	Overprovision float64

	// MinFree is the share of the space, in percent, that new volumes,
	// snapshots and larger sizes must leave unwritten: 5 when zero. A thin
	// pool that runs full stops everybody who writes.
	MinFree float64
}

// Target exports the volumes of a Machine. Its methods are called with the
// machine's lock held where they change something.
type Target interface {
	// Model is what the array calls itself.
	Model() string

	// CHAP says what credentials belong to, Mutual whether a target proves
	// itself, and Extend how exported volumes grow.
	CHAP() array.CHAPScope
	Mutual() bool
	Extend() array.Extend

	// Target is how the volume is reached.
	Target(id array.ID) onevolume.Target
	// Export lets the initiator in to the unit, which is there and active.
	Export(ctx context.Context, o *Op, u Unit, g array.Grant) (array.Export, error)
	// Unexport takes its right away. The last one takes the target along.
	Unexport(ctx context.Context, o *Op, id array.ID, initiator onevolume.IQN, force bool) error
	// Exports says who is let in to the volume, without secrets, and who is
	// logged in.
	Exports(ctx context.Context, o *Op, id array.ID) ([]array.Export, []array.Session, error)
	// Grown has an exported unit show its new size.
	Grown(ctx context.Context, o *Op, u Unit) error
}

// Keeper is a Target on a machine that keeps a list of its volumes elsewhere
// too. Its methods are called with the lock held and may be repeated.
type Keeper interface {
	// Keep puts the unit, which is there, into the list.
	Keep(ctx context.Context, o *Op, u Unit) error
	// Strike takes the volume out of it, which is about to be removed or gone.
	Strike(ctx context.Context, o *Op, id array.ID) error
}

// Unit is a volume or a snapshot on the machine.
type Unit struct {
	Name   string
	Size   onevolume.Size
	Device string // the path of the block device or file

	// ID is empty for what is not ours; then the rest is too.
	ID    array.ID
	Shot  bool     // it is a snapshot
	Of    array.ID // of a snapshot: the volume
	From  array.ID // of a volume: what it was made from
	Label string

	Used   array.Figure
	Active bool // there is a device

	raw     raw
	shadows []string // snapshots that would go with it

	// heir is of a copy of the snapshot to: the volume whose place it takes.
	heir, to array.ID
}

// content is all there is in a pool at one moment.
type content struct {
	units []Unit // by name, also those that are not ours
	caps  array.Capabilities
	stats array.Stats
	// room is nil, or why nothing new may be made at all.
	room error
}

// pool is where units are kept. What changes something is called with the
// lock held, with a content that was read under it.
type pool interface {
	look(ctx context.Context, o *Op) (*content, error)
	create(ctx context.Context, o *Op, u Unit) error
	// copy makes u with what is on source, and of the source's size.
	copy(ctx context.Context, o *Op, u, source Unit) error
	extend(ctx context.Context, o *Op, u Unit, size onevolume.Size) error
	activate(ctx context.Context, o *Op, u Unit) error
	remove(ctx context.Context, o *Op, u Unit) error
	// succeed makes u, whose heir is set, that volume, which is gone.
	succeed(ctx context.Context, o *Op, u Unit) error
}

var (
	_ array.Array       = (*Machine)(nil)
	_ array.Extender    = (*Machine)(nil)
	_ array.Snapshotter = (*Machine)(nil)
	_ array.Reverter    = (*Machine)(nil)
	_ array.Cloner      = (*Machine)(nil)
)

// New makes a Machine whose volumes are in the pool, which LVM and Files
// give. It connects to nothing yet.
func New(opt Options, pool Pool, target Target) *Machine {
	if opt.LockWait <= 0 {
		opt.LockWait = time.Minute
	}
	if opt.PageSize <= 0 {
		opt.PageSize = 200
	}
	if opt.Overprovision <= 0 {
		opt.Overprovision = 2
	}
	if opt.MinFree <= 0 {
		opt.MinFree = 5
	}
	return &Machine{opt: opt, pool: pool.open(opt), target: target, idle: make(chan command.Host, 1)}
}

// Pool says where the volumes of a Machine are kept; see LVM and Files.
type Pool interface{ open(o Options) pool }

// Close ends the connection that is kept.
func (m *Machine) Close() error {
	select {
	case h := <-m.idle:
		return h.Close()
	default:
		return nil
	}
}

// look is pool.look with what the target and the options say.
func (m *Machine) look(ctx context.Context, o *Op) (*content, error) {
	c, err := m.pool.look(ctx, o)
	if err != nil {
		return nil, err
	}
	c.caps.CHAP, c.caps.MutualCHAP = m.target.CHAP(), m.target.Mutual()
	c.caps.Extend = m.target.Extend()
	c.caps.PageSize = m.opt.PageSize
	c.stats.Vendor, c.stats.Model = "Linux", m.target.Model()+" on "+c.stats.Model
	slices.SortFunc(c.units, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

// find gives what has the ID, as a volume or a snapshot.
func (c *content) find(id array.ID, shot bool) (Unit, bool) {
	for _, u := range c.units {
		if u.ID == id && u.Shot == shot {
			return u, true
		}
	}
	return Unit{}, false
}

// taken gives what has the ID, or else the name that it would have, whose
// ever it is.
func (c *content) taken(id array.ID) (Unit, bool) {
	if i := slices.IndexFunc(c.units, func(u Unit) bool { return u.ID == id }); i >= 0 {
		return c.units[i], true
	}
	if i := slices.IndexFunc(c.units, func(u Unit) bool { return u.Name == id.Name() }); i >= 0 {
		return c.units[i], true
	}
	return Unit{}, false
}

// fits says whether so much more may be promised.
func (c *content) fits(more onevolume.Size) error {
	if c.room != nil {
		return c.room
	}
	limit, ok1 := c.stats.Limit.Get()
	used, ok2 := c.stats.Provisioned.Get()
	if !ok1 || !ok2 {
		return array.Errorf(array.Refused, "it is not known how much space there is: nothing is made")
	}
	if more > limit-used {
		return array.Errorf(array.NoSpace, "%s more do not fit: %s of at most %s are provisioned", more.Exact(), used.Exact(), limit.Exact()).
			WithHint("delete volumes or snapshots, or give the array more space")
	}
	return nil
}

func (u Unit) volume() array.Volume {
	return array.Volume{ID: u.ID, Name: u.Name, Size: u.Size, Used: u.Used, Label: u.Label, From: u.From}
}

func (u Unit) snapshot() array.Snapshot {
	return array.Snapshot{ID: u.ID, Name: u.Name, Volume: u.Of, Size: u.Size}
}

// missing is the error for a volume or snapshot that is not there.
func missing(what string, id array.ID) error {
	return array.Errorf(array.NotFound, "there is no %s %s on the array", what, id)
}

// asArray makes an array's error of any error, so that no caller gets another.
func asArray(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*array.Error](err); ok {
		return err
	}
	return array.Errorf(array.Refused, "%w", err)
}

// maxPrefix leaves room for a colon and a volume's name in the 223 bytes of an
// iSCSI name.
const maxPrefix = 223 - 1 - 35

// CheckTarget says whether targets can be called so and reached there; its
// error is Invalid.
func CheckTarget(iqn string, portals []onevolume.Portal) error {
	name, err := onevolume.ParseIQN(iqn)
	switch {
	case err != nil || string(name) != iqn || !strings.HasPrefix(iqn, "iqn.") || len(iqn) > maxPrefix:
		return array.Errorf(array.Invalid, "%q cannot begin the names of targets", iqn).
			WithHint("write iqn.YEAR-MONTH.DOMAIN, with the array's domain reversed, in lower case: iqn.2026-11.org.example.array1")
	case len(portals) == 0:
		return array.Errorf(array.Invalid, "the array has no portal").
			WithHint("name the addresses at which hosts reach it, such as 10.0.0.1:3260")
	}
	return nil
}
