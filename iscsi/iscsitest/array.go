// Package iscsitest has storage arrays and hypervisor hosts made of memory,
// for tests of what attaches volumes. They know targets, node records,
// sessions and disks, answer the scripts of packages iscsi and blockdev as a
// Linux host with open-iscsi 2.1.8 would, and break when told to.
package iscsitest

import (
	"slices"
	"sync"
	"testing"

	"onevolume"
)

// Array is a storage machine. Its hosts share its lock.
type Array struct {
	t  testing.TB
	mu sync.Mutex

	targets map[onevolume.IQN]*Target
	down    map[onevolume.Portal]bool
}

// Target is a target of an array. Change it only by Array's methods once it
// is in use.
type Target struct {
	IQN     onevolume.IQN
	Portals []onevolume.Portal // where it is served; others refuse it
	CHAP    onevolume.CHAP
	Units   map[onevolume.LUN]*Unit
	// Login, when set, decides in CHAP's place whether an initiator is let in,
	// and gives what is called when its session ends.
	Login func(initiator onevolume.IQN, c onevolume.CHAP) (logout func(), err error)
	// Open, when set, says whether the target still has a session with an
	// initiator that logged in: one that it has cut reads and writes nothing.
	Open func(initiator onevolume.IQN) bool
}

// Unit is a logical unit.
type Unit struct {
	Size     onevolume.Size
	Identity onevolume.Identity
	ReadOnly bool
	// Content is what a reader finds: empty for zeroes, else whatever the
	// test wrote, or the name of a file system.
	Content string
}

// NewArray makes an array without targets.
func NewArray(t testing.TB) *Array {
	return &Array{t: t, targets: map[onevolume.IQN]*Target{}, down: map[onevolume.Portal]bool{}}
}

// Serve makes the logical unit of a volume, and its target if need be, with
// the volume's portals, credentials, size and identity.
func (a *Array) Serve(v onevolume.Volume) *Unit {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.targets[v.Target.IQN]
	if t == nil {
		t = &Target{IQN: v.Target.IQN, Portals: v.Target.Portals, CHAP: v.Target.CHAP, Units: map[onevolume.LUN]*Unit{}}
		a.targets[t.IQN] = t
	}
	u := &Unit{Size: v.Size, Identity: v.Identity}
	t.Units[v.Target.LUN] = u
	return u
}

// Change changes a target under the array's lock.
func (a *Array) Change(iqn onevolume.IQN, f func(*Target)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.targets[iqn]
	if t == nil {
		a.t.Fatalf("iscsitest: no target %s", iqn)
	}
	f(t)
}

// Remove takes a target away. Sessions with it stay, without disks that work.
func (a *Array) Remove(iqn onevolume.IQN) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.targets, iqn)
}

// Down closes a portal, or opens it again.
func (a *Array) Down(p onevolume.Portal, down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down[p] = down
}

// login gives iscsiadm's exit status for a login, and what to call when the
// session ends.
func (a *Array) login(from, iqn onevolume.IQN, p onevolume.Portal, c onevolume.CHAP) (code int, logout func()) {
	logout = func() {}
	t := a.targets[iqn]
	switch {
	case a.down[p]:
		return 8, logout
	case t == nil || !slices.Contains(t.Portals, p):
		return 19, logout
	case t.Login != nil:
		out, err := t.Login(from, c)
		if err != nil {
			return 24, logout
		}
		return 0, out
	case t.CHAP.User != "" && (c.User != t.CHAP.User || c.Secret != t.CHAP.Secret),
		c.UserIn != "" && (c.UserIn != t.CHAP.UserIn || c.SecretIn != t.CHAP.SecretIn):
		return 24, logout
	}
	return 0, logout
}
