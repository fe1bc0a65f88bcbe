package inventory_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"onevolume"
)

// cloud knows users and groups as oned does.
type cloud struct{ callers map[string]onevolume.Caller } // by session

func (c cloud) UserName(_ context.Context, _ string, uid int) (string, error) {
	for _, who := range c.callers {
		if who.UID == uid {
			return who.User, nil
		}
	}
	return "", onevolume.Missing("user", uid)
}

func (c cloud) MayManageUser(_ context.Context, session string, uid int) error {
	if who := c.callers[session]; !who.IsAdmin() && who.UID != uid {
		return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform MANAGE USER [%d].", who.UID, uid)
	}
	return nil
}

func (c cloud) GroupName(_ context.Context, session string, gid int) (string, error) {
	me := c.callers[session]
	for _, who := range c.callers {
		switch {
		case who.GID != gid:
		case me.IsAdmin() || me.GID == gid:
			return who.Group, nil
		default:
			return "", onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform USE GROUP [%d].", me.UID, gid)
		}
	}
	return "", onevolume.Missing("group", gid)
}

var member = onevolume.Caller{Owner: onevolume.Owner{UID: 7, GID: 102, User: "carol", Group: "third"}, Groups: []int{102, 100}, Umask: 0o177}

func newCloud() cloud {
	return cloud{map[string]onevolume.Caller{"oneadmin": root, "eve": admin, "alice": alice, "bob": bob, "carol": member}}
}

// deed is something to do with a volume: the right that it needs, whether a
// lock keeps from it, and whether oneadmin's group alone may.
type deed struct {
	name   string
	right  onevolume.Right
	heeds  bool
	admins bool
	in     onevolume.State // the state that the volume must be in
	do     func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error
}

func deeds() []deed {
	const use, manage, adm = onevolume.Use, onevolume.Manage, onevolume.Admin
	free, attached := onevolume.Available, onevolume.Attached
	keep := [9]int{-1, -1, -1, -1, -1, -1, -1, -1, -1}
	operate := func(kind onevolume.Kind, leave onevolume.Leave) func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
		return func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			_, _, err := b.Ledger(who).Reserve(b.Context(), onevolume.Request{Kind: kind, Leave: leave, DryRun: true,
				VM: onevolume.VM{ID: 17, Host: "host01"}, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))}})
			return err
		}
	}
	return []deed{
		{"info", use, false, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			_, err := b.Info(b.Context(), who, id, false)
			return err
		}},
		{"rename", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			b.next++
			return b.Rename(b.Context(), who, id, fmt.Sprintf("new-%d", b.next))
		}},
		{"update", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			b.next++
			return b.Update(b.Context(), who, id, fmt.Sprintf("A = %d", b.next), onevolume.Replace)
		}},
		{"update of what it is", adm, true, true, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			b.next++
			return b.Update(b.Context(), who, id, fmt.Sprintf("ARRAY = a%d", b.next), onevolume.Append)
		}},
		{"chmod", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Chmod(b.Context(), who, id, keep)
		}},
		{"chmod of an admin bit", adm, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			v, _ := b.db.Volume(b.Context(), id) // which may not exist
			bits := keep
			bits[8] = 1 - int(v.Permissions)&1
			return b.Chmod(b.Context(), who, id, bits)
		}},
		{"chown to oneself", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Chown(b.Context(), who, who.User, id, who.UID, -1)
		}},
		{"chgrp to one's group", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Chown(b.Context(), who, who.User, id, -1, who.GID)
		}},
		{"lock", manage, false, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Lock(b.Context(), who, id, onevolume.LockAdmin, false)
		}},
		{"unlock", manage, false, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Unlock(b.Context(), who, id)
		}},
		{"disable", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Enable(b.Context(), who, id, false)
		}},
		{"enable", manage, true, false, attached, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Enable(b.Context(), who, id, true)
		}},
		{"resize", adm, true, true, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			b.next++
			return b.Resize(b.Context(), who, id, fmt.Sprint(64+b.next))
		}},
		{"delete", manage, true, false, free, func(b *bench, who onevolume.Caller, id onevolume.VolumeID) error {
			return b.Delete(b.Context(), who, id)
		}},
		{"attach", use, true, false, free, operate(onevolume.Attach, "")},
		// The right to detach is the VM's to give.
		{"detach and wipe", manage, true, false, attached, operate(onevolume.Detach, onevolume.LeaveZeroes)},
		{"detach and keep", use, true, false, attached, operate(onevolume.Detach, onevolume.LeaveData)},
		{"replug", 0, false, false, attached, operate(onevolume.Replug, "")},
	}
}

// may is the rule again, from OpenNebula's documentation: any of the owner's,
// the group's and the others' bits is enough.
func may(who onevolume.Caller, right onevolume.Right, owner onevolume.Owner, octal int) bool {
	digit := map[onevolume.Right]int{onevolume.Use: 4, onevolume.Manage: 2, onevolume.Admin: 1}[right]
	has := octal%8&digit != 0
	for _, g := range who.Groups {
		has = has || g == 0 || g == owner.GID && octal/8%8&digit != 0
	}
	return has || who.UID == 0 || who.UID == owner.UID && octal/64&digit != 0
}

// keeps is the rule of locks: what needs the lock's right or a higher one.
func keeps(lock onevolume.LockLevel, right onevolume.Right) bool {
	order := map[onevolume.Right]onevolume.LockLevel{onevolume.Use: 1, onevolume.Manage: 2, onevolume.Admin: 3}
	return lock != 0 && lock <= order[right]
}

// Everybody tries everything on volumes with every kind of permissions and
// every lock.
func TestRightsAndLocks(t *testing.T) {
	callers := []onevolume.Caller{root, admin, alice, member, bob}
	octals := []int{0o000, 0o777, 0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o600, 0o640, 0o664}
	for _, d := range deeds() {
		t.Run(d.name, func(t *testing.T) {
			b := newBench(t)
			b.People = newCloud()
			id := onevolume.VolumeID(-1)
			for lock := onevolume.NoLock; lock <= onevolume.LockAdmin; lock++ {
				for _, octal := range octals {
					for _, who := range callers {
						if id < 0 {
							if id = b.given(alice, ""); d.in == onevolume.Attached {
								b.bring(id, onevolume.Attached)
							}
						}
						b.set(id, octal, lock)
						err := d.do(b, who, id)
						locked := d.heeds && keeps(lock, d.right)
						allowed := d.right == 0 || d.in == onevolume.Attached && d.name != "enable" || may(who, d.right, alice.Owner, octal)
						allowed = allowed && (!d.admins || who.IsAdmin())
						// Somebody else's lock stays, but for administrators.
						alien := (d.name == "lock" || d.name == "unlock") && lock != onevolume.NoLock && who.UID != lockOwner.UID && !who.IsAdmin()
						what := fmt.Sprintf("%s by %s on %03o with the lock %s", d.name, who.User, octal, lock)
						switch {
						case (locked || !allowed) && d.name == "update of what it is": // MANAGE is looked at first, then ADMIN
							b.wants(err, onevolume.Forbidden)
						case locked:
							b.wants(err, onevolume.Forbidden, fmt.Sprintf("User [%d] : VOLUME is locked. [%d].", who.UID, id))
						case !allowed:
							b.wants(err, onevolume.Forbidden, fmt.Sprintf("User [%d] : Not authorized to perform", who.UID), fmt.Sprintf("VOLUME [%d].", id))
						case alien:
							b.wants(err, onevolume.Action, "ock")
						case err != nil:
							t.Errorf("%s: %v", what, err)
						}
						if t.Failed() {
							t.Fatal(what)
						}
						if err == nil && d.name == "delete" {
							id = -1
						}
					}
				}
			}
		})
	}
}

// lockOwner has locked every volume that is locked.
var lockOwner = member

// set makes a volume alice's, with permissions and a lock.
func (b *bench) set(id onevolume.VolumeID, octal int, lock onevolume.LockLevel) {
	b.Helper()
	err := b.db.Update(b.Context(), id, func(v *onevolume.Volume) error {
		v.Owner, v.Permissions, v.Disabled, v.Lock = alice.Owner, onevolume.Permissions(octal), false, onevolume.Lock{}
		if lock != onevolume.NoLock {
			v.Lock = onevolume.Lock{Level: lock, UID: lockOwner.UID}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// Nobody learns of a right on what does not exist.
func TestWhatDoesNotExist(t *testing.T) {
	b := newBench(t)
	b.People = newCloud()
	for _, d := range deeds() {
		for _, id := range []onevolume.VolumeID{-1, 9999} {
			if d.name == "attach" && id < 0 {
				continue // no volume is named so
			}
			b.wants(d.do(b, bob, id), onevolume.NotFound, "Error getting volume")
		}
	}
}

func TestLock(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	before := time.Now().Add(-time.Second)
	for _, c := range []struct {
		who   onevolume.Caller
		level onevolume.LockLevel
		test  bool
		code  onevolume.Code // Internal: none
		want  onevolume.LockLevel
	}{
		{alice, 0, false, onevolume.Action, 0}, {alice, 5, false, onevolume.Action, 0}, {alice, -1, false, onevolume.Action, 0},
		{alice, 2, true, onevolume.Internal, 2},
		{alice, 3, true, onevolume.Action, 2},    // it is locked already
		{alice, 3, false, onevolume.Internal, 3}, // one's own may be changed
		{root, 1, false, onevolume.Internal, 1},  // and anybody's by administrators
		{alice, 2, false, onevolume.Action, 1},
		{admin, 4, false, onevolume.Internal, 1}, // ALL is USE
	} {
		err := b.Lock(t.Context(), c.who, id, c.level, c.test)
		if c.code == onevolume.Internal && err != nil || c.code != onevolume.Internal && onevolume.CodeOf(err) != c.code {
			t.Errorf("%s, %d: %v", c.who.User, c.level, err)
		}
		if l := b.read(id).Lock; l.Level != c.want || l.Level != 0 && l.Time.Before(before) {
			t.Errorf("%s, %d: %+v, want %d", c.who.User, c.level, l, c.want)
		}
	}
	b.wants(b.Unlock(t.Context(), alice, id), onevolume.Action, "Cannot unlock: Lock is owned by another user")
	if err := b.Unlock(t.Context(), root, id); err != nil || b.read(id).Lock != (onevolume.Lock{}) {
		t.Errorf("%v, %+v", err, b.read(id).Lock)
	}
	if err := b.Unlock(t.Context(), alice, id); err != nil {
		t.Errorf("what is not locked is unlocked already: %v", err)
	}
}

// Picking by size passes over what is locked or disabled, and says so of one
// that is named.
func TestDisabledAndLockedAreNotPicked(t *testing.T) {
	b := newBench(t)
	first, second := b.given(root, ""), b.given(root, "")
	pick := func(volume string) (onevolume.VolumeID, error) {
		p := onevolume.Pick{Volume: volume}
		if volume == "" {
			p.Size = onevolume.MiB
		}
		_, v, err := b.Ledger(root).Reserve(t.Context(), onevolume.Request{Kind: onevolume.Attach, DryRun: true, Pick: p, VM: onevolume.VM{ID: 17, Host: "host01"}})
		return v.ID, err
	}
	if id, err := pick(""); err != nil || id != first {
		t.Fatal(id, err)
	}
	if err := b.Enable(t.Context(), root, first, false); err != nil {
		t.Fatal(err)
	}
	if v := b.read(first); !v.Disabled || v.State != onevolume.Available {
		t.Errorf("disabled %v, %s", v.Disabled, v.State)
	}
	if id, err := pick(""); err != nil || id != second {
		t.Error(id, err)
	}
	_, err := pick("disk-1")
	b.wants(err, onevolume.Action, "is disabled")
	if err := b.Lock(t.Context(), root, second, onevolume.LockUse, false); err != nil {
		t.Fatal(err)
	}
	_, err = pick("")
	b.wants(err, onevolume.NoneFits)
	if err := b.Lock(t.Context(), root, second, onevolume.LockManage, false); err != nil {
		t.Fatal(err)
	}
	if id, err := pick(""); err != nil || id != second {
		t.Error(id, err)
	}
	if err := b.Enable(t.Context(), root, first, true); err != nil {
		t.Fatal(err)
	}
	if id, err := pick(""); err != nil || id != first {
		t.Error(id, err)
	}
	b.bring(first, onevolume.Attached)
	b.wants(b.Enable(t.Context(), root, first, false), onevolume.Internal, "Could not disable volume: Volume cannot be in state ATTACHED.")
}

func TestResize(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	for _, c := range []struct {
		who  onevolume.Caller
		size string
		code onevolume.Code
		word string
	}{
		{alice, "128", onevolume.Forbidden, "ADMIN VOLUME"}, {root, "x", onevolume.Invalid, "size"}, {root, "63", onevolume.Action, "cannot shrink"},
	} {
		b.wants(b.Resize(t.Context(), c.who, id, c.size), c.code, c.word)
	}
	for _, size := range []string{"128", "128", "1G"} { // twice the same is once
		if err := b.Resize(t.Context(), root, id, size); err != nil {
			t.Error(err)
		}
	}
	if v := b.read(id); v.Size != onevolume.GiB {
		t.Errorf("%s", v.Size)
	}
	for _, state := range []onevolume.State{onevolume.Attached, onevolume.Attaching} {
		other := b.given(alice, "")
		if b.reserve(other); state == onevolume.Attached {
			other = b.given(alice, "")
			b.bring(other, state)
		}
		b.wants(b.Resize(t.Context(), root, other, "128"), onevolume.Action, string(state))
	}
}

func TestChown(t *testing.T) {
	b := newBench(t)
	b.People = newCloud()
	id := b.given(alice, "")
	chown := func(who onevolume.Caller, uid, gid int) error {
		return b.Chown(t.Context(), who, who.User, id, uid, gid)
	}
	// Who it goes to must exist, before anything else is looked at.
	b.wants(chown(bob, 77, 78), onevolume.NotFound, "Error getting user [77].")
	b.wants(chown(bob, 6, 78), onevolume.NotFound, "Error getting group [78].")
	b.wants(chown(bob, 6, 101), onevolume.Forbidden, "MANAGE VOLUME")
	b.wants(chown(alice, 6, -1), onevolume.Forbidden, "User [5] : Not authorized to perform MANAGE USER [6].")
	b.wants(chown(alice, -1, 101), onevolume.Forbidden, "User [5] : Not authorized to perform USE GROUP [101].")
	for _, nothing := range [][2]int{{-1, -1}, {5, 100}, {5, -1}, {-1, 100}} { // what is so already needs no right
		if err := chown(alice, nothing[0], nothing[1]); err != nil {
			t.Errorf("%v: %v", nothing, err)
		}
	}
	if v := b.read(id); v.Owner != alice.Owner {
		t.Errorf("%+v", v.Owner)
	}
	if err := chown(root, 6, -1); err != nil {
		t.Fatal(err)
	}
	// It was registered by oneadmin and only lent: it still goes home.
	want := onevolume.Owner{UID: 6, GID: 100, User: "bob", Group: "users"}
	if v := b.read(id); v.Owner != want || v.Home != root.Owner {
		t.Errorf("%+v, home %+v", v.Owner, v.Home)
	}
	// One that is at home is given for good.
	b.set(id, 0o600, onevolume.NoLock)
	if err := b.db.Update(t.Context(), id, func(v *onevolume.Volume) error { v.Home = v.Owner; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := chown(admin, 6, 101); err != nil {
		t.Fatal(err)
	}
	if v := b.read(id); v.Owner != bob.Owner || v.Home != bob.Owner {
		t.Errorf("%+v, home %+v", v.Owner, v.Home)
	}
	// A name is unique for each owner.
	other := b.given(alice, "")
	if err := b.Rename(t.Context(), alice, other, b.read(id).Name); err != nil {
		t.Fatal(err)
	}
	b.wants(b.Chown(t.Context(), root, "oneadmin", other, 6, -1), onevolume.Internal,
		fmt.Sprintf("user [6] already owns volume [%d] with NAME %s", id, b.read(id).Name))
}
