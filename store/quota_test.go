package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"onevolume"
	"onevolume/store"
)

func user(id int) onevolume.QuotaOf  { return onevolume.QuotaOf{Kind: onevolume.UserQuota, ID: id} }
func group(id int) onevolume.QuotaOf { return onevolume.QuotaOf{Kind: onevolume.GroupQuota, ID: id} }

var (
	everyUser  = onevolume.QuotaOf{Kind: onevolume.DefaultUserQuota, ID: onevolume.DefaultID}
	everyGroup = onevolume.QuotaOf{Kind: onevolume.DefaultGroupQuota, ID: onevolume.DefaultID}
)

func (w *world) limit(t tester, of onevolume.QuotaOf, volumes, sizeMB int64) {
	t.Helper()
	err := w.SetLimits(t.Context(), of, func(l *onevolume.Limits) error {
		*l = onevolume.Limits{Volumes: volumes, SizeMB: sizeMB}
		return nil
	})
	if err != nil {
		t.Fatalf("SetLimits(%+v): %v", of, err)
	}
}

func (w *world) wantUsed(t tester, of onevolume.QuotaOf, volumes int64, size onevolume.Size) {
	t.Helper()
	q, err := w.Quota(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	if want := (onevolume.Usage{Volumes: volumes, Size: size}); q.Used != want {
		t.Fatalf("%s %d uses %+v, want %+v", of.Kind, of.ID, q.Used, want)
	}
}

// chown gives a volume to somebody, as a method that changes owners does.
func (w *world) chown(ctx context.Context, id onevolume.VolumeID, to onevolume.Owner) error {
	return w.Update(ctx, id, func(v *onevolume.Volume) error {
		v.Owner = to
		return nil
	})
}

type limits map[onevolume.QuotaOf]onevolume.Limits

func most(volumes, sizeMB int64) onevolume.Limits {
	return onevolume.Limits{Volumes: volumes, SizeMB: sizeMB}
}

func TestQuotaLimits(t *testing.T) {
	const def, none = onevolume.DefaultLimit, onevolume.Unlimited
	for _, c := range []struct {
		name string
		set  limits
		want string // the error of the third volume of 1 GB; empty when it is given
	}{
		{"no quota at all", nil, ""},
		{"own number", limits{user(2): most(2, def)},
			"User [2] : user [2] limit of 2 reached for VOLUMES quota in VOLUME."},
		{"own size", limits{user(2): most(def, 2500)},
			"User [2] : user [2] limit of 2500 reached for SIZE quota in VOLUME."},
		{"exactly as much", limits{user(2): most(3, 3072)}, ""},
		{"one MB less", limits{user(2): most(3, 3071)},
			"User [2] : user [2] limit of 3071 reached for SIZE quota in VOLUME."},
		{"default", limits{everyUser: most(2, def)},
			"User [2] : user [2] limit of 2 reached for VOLUMES quota in VOLUME."},
		{"unlimited over a default", limits{everyUser: most(1, 1), user(2): most(none, none)}, ""},
		{"default for one of both", limits{everyUser: most(1, 2048), user(2): most(none, def)},
			"User [2] : user [2] limit of 2048 reached for SIZE quota in VOLUME."},
		{"more than the default", limits{everyUser: most(1, def), user(2): most(3, def)}, ""},
		{"somebody else's", limits{user(3): most(0, 0), group(102): most(0, 0), user(100): most(0, 0)}, ""},
		{"group", limits{group(100): most(2, def)},
			"User [2] : group [100] limit of 2 reached for VOLUMES quota in VOLUME."},
		{"default of groups", limits{everyGroup: most(def, 2048)},
			"User [2] : group [100] limit of 2048 reached for SIZE quota in VOLUME."},
		{"a group that is not the primary one", limits{group(101): most(0, 0)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t, sqliteOptions(t))
			w.fill(t, gib, gib, gib)
			w.attached(t, alice, attach(1, gib))
			w.attached(t, alice, attach(2, gib))
			for of, l := range c.set {
				w.limit(t, of, l.Volumes, l.SizeMB)
			}
			r := attach(3, gib)
			r.DryRun = true
			for range 2 { // first the dry run, which must say the same
				_, _, err := w.Reserve(t.Context(), alice, r)
				r.DryRun = false
				if c.want != "" {
					wantCode(t, err, onevolume.Forbidden, c.want)
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// What is used follows the rows: what is given back makes room, and what
// cannot be refused is not.
func TestQuotaFollowsTheRows(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, 3*gib)
		w.limit(t, user(alice.UID), 1, onevolume.DefaultLimit)
		v := w.attached(t, alice, attach(1, gib))
		w.wantUsed(t, user(alice.UID), 1, gib)
		w.wantUsed(t, group(alice.GID), 1, gib)
		_, _, err := w.Reserve(t.Context(), alice, attach(1, gib))
		wantCode(t, err, onevolume.Forbidden, "User [2] : user [2] limit of 1 reached for VOLUMES quota in VOLUME.")
		// An administrator who attaches for her is bound by her quota too.
		_, _, err = w.Reserve(t.Context(), root, attach(1, gib))
		wantCode(t, err, onevolume.Forbidden, "User [0] : user [2] limit of 1 reached for VOLUMES quota in VOLUME.")
		// Nothing is left of what was refused.
		if free := w.volume(t, 1); free.State != onevolume.Available || free.Owner != root.Owner || free.Version != 1 {
			t.Errorf("a refused attach left %+v", free)
		}

		// Her own volume changes no hands.
		op, _ := w.reserve(t, alice, detachKeeping(1, v))
		w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Retained})
		w.wantUsed(t, user(alice.UID), 1, gib)
		v = w.attached(t, alice, attachNamed(1, fmt.Sprint(int(v.ID))))

		// One that goes home makes room.
		op, _ = w.reserve(t, alice, detach(1, fmt.Sprint(int(v.ID))))
		w.record(t, op, nil, onevolume.Note{State: onevolume.Wiping})
		w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Available})
		w.wantUsed(t, user(alice.UID), 0, 0)
		w.wantUsed(t, group(alice.GID), 0, 0)
		v = w.attached(t, alice, attach(1, gib))

		// Lower limits take nothing away, and do not hinder what takes nothing.
		w.limit(t, user(alice.UID), 0, 0)
		if err := w.chown(t.Context(), v.ID, onevolume.Owner{UID: alice.UID, GID: 101, User: "alice", Group: "more"}); err != nil {
			t.Errorf("chgrp of a volume whose owner is above the limit: %v", err)
		}
		w.wantUsed(t, group(alice.GID), 0, 0)
		w.wantUsed(t, group(101), 1, gib)

		// Growth counts, also by less than a MB.
		w.limit(t, user(alice.UID), 0, 1024)
		err = w.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Size += 512; return nil })
		wantCode(t, err, onevolume.Forbidden, "User [2] : user [2] limit of 1024 reached for SIZE quota in VOLUME.")
		w.limit(t, user(alice.UID), 0, 1025)
		if err = w.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Size += 512; return nil }); err != nil {
			t.Error(err)
		}
	})
}

// detachKeeping is a detach that leaves the data.
func detachKeeping(vm onevolume.VMID, v onevolume.Volume) onevolume.Request {
	r := detach(vm, fmt.Sprint(int(v.ID)))
	r.Leave = onevolume.LeaveData
	return r
}

func TestQuotaOfNewOwners(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.limit(t, everyUser, 1, 2048)
		w.limit(t, everyGroup, onevolume.DefaultLimit, 3072)
		for i := range 3 { // oneadmin's own are never counted against anybody
			w.allocate(t, volume(i, 2*gib))
		}
		if err := w.chown(t.Context(), 0, alice.Owner); err != nil {
			t.Fatal(err)
		}
		wantCode(t, w.chown(t.Context(), 1, alice.Owner), onevolume.Forbidden, "")
		// bob has room, the group of alice has not.
		mixed := onevolume.Owner{UID: bob.UID, GID: alice.GID, User: "bob", Group: "staff"}
		wantCode(t, w.chown(t.Context(), 1, mixed), onevolume.Forbidden, "User [0] : group [100] limit of 3072 reached for SIZE quota in VOLUME.")
		if err := w.chown(t.Context(), 1, bob.Owner); err != nil {
			t.Fatal(err)
		}
		v := volume(9, gib)
		v.Owner = bob.Owner
		_, err := w.Allocate(t.Context(), v)
		wantCode(t, err, onevolume.Forbidden, "User [3] : user [3] limit of 1 reached for VOLUMES quota in VOLUME.")
		// Who registers for oneadmin's group knows no limit, but has volumes.
		storage := onevolume.Owner{UID: 9, GID: 0, User: "storage", Group: "oneadmin"}
		for n := 10; n < 13; n++ {
			v := volume(n, 2*gib)
			v.Owner = storage
			w.allocate(t, v)
		}
		w.wantUsed(t, user(9), 3, 6*gib)
		wantCode(t, w.chown(t.Context(), 2, storage), onevolume.Forbidden, "User [0] : user [9] limit of 1 reached for VOLUMES quota in VOLUME.")
		// A volume whose group stays oneadmin's counts for its user.
		carol := onevolume.Owner{UID: 8, GID: 0, User: "carol", Group: "oneadmin"}
		if err := w.chown(t.Context(), 2, carol); err != nil {
			t.Fatal(err)
		}
		wantCode(t, w.chown(t.Context(), 3, carol), onevolume.Forbidden, "User [9] : user [8] limit of 1 reached for VOLUMES quota in VOLUME.")
	})
}

func TestSetLimits(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		q, err := w.Quota(t.Context(), user(2))
		if err != nil || q.Limits != onevolume.NoLimits() || q.Defaults != onevolume.NoLimits() || q.Used != (onevolume.Usage{}) {
			t.Fatalf("a quota that nobody set: %+v, %v", q, err)
		}
		w.limit(t, user(2), 3, onevolume.Unlimited)
		w.limit(t, everyUser, 5, 100)
		w.limit(t, group(2), 7, 8)
		q, err = w.Quota(t.Context(), user(2))
		if want := (onevolume.Quota{Of: user(2), Limits: onevolume.Limits{Volumes: 3, SizeMB: onevolume.Unlimited},
			Defaults: onevolume.Limits{Volumes: 5, SizeMB: 100}}); err != nil || q != want {
			t.Errorf("quota %+v, %v, want %+v", q, err, want)
		}
		q, err = w.Quota(t.Context(), everyUser)
		if want := (onevolume.Limits{Volumes: 5, SizeMB: 100}); err != nil || q.Limits != want || q.Defaults != want {
			t.Errorf("defaults %+v, %v", q, err)
		}
		own := onevolume.Errorf(onevolume.Invalid, "no")
		if err := w.SetLimits(t.Context(), user(2), func(l *onevolume.Limits) error { l.Volumes = 99; return own }); !errors.Is(err, own) {
			t.Errorf("error %v, want that of the change", err)
		}
		if q, _ = w.Quota(t.Context(), user(2)); q.Limits.Volumes != 3 {
			t.Errorf("a refused change set %+v", q.Limits)
		}
		wantCode(t, w.SetLimits(t.Context(), user(-1), func(*onevolume.Limits) error { return nil }), onevolume.Invalid, "")
		wantCode(t, w.SetLimits(t.Context(), user(-2), func(*onevolume.Limits) error { return nil }), onevolume.Invalid, "")
	})
}

// crowd is one case of many who ask at once: for volumes of a size of its own,
// for an owner or a group of its own.
type crowd struct {
	size  onevolume.Size
	base  onevolume.VolumeID // the first of the volumes
	owner onevolume.Owner
	many  bool // owners, who have the group in common
}

const crowdSize, crowdLimit = 12, 5

func (c crowd) ownerOf(n int) onevolume.Owner {
	o := c.owner
	if c.many {
		o.UID, o.User = o.UID+n, fmt.Sprint("user", n)
	}
	return o
}

func (c crowd) attach(ctx context.Context, s *store.Store, n int) error {
	r := attach(onevolume.VMID(n), c.size)
	r.Pick.Exact, r.VM.Owner = true, c.ownerOf(n)
	_, _, err := s.Reserve(ctx, alice, r)
	return err
}

func (c crowd) chown(ctx context.Context, s *store.Store, n int) error {
	return (&world{Store: s}).chown(ctx, c.base+onevolume.VolumeID(n), c.ownerOf(n))
}

func (c crowd) allocate(ctx context.Context, s *store.Store, n int) error {
	v := volume(10_000+c.owner.UID*100+n, c.size)
	v.Owner = c.ownerOf(n)
	_, err := s.Allocate(ctx, v)
	return err
}

// Of many who ask at once, through two daemons, as many get a volume as the
// limit says, and the others hear of the quota and of nothing else.
func TestQuotaHoldsWhenManyAskAtOnce(t *testing.T) {
	ways := map[string]func(c crowd, ctx context.Context, s *store.Store, n int) error{
		"attach": crowd.attach, "chown": crowd.chown, "allocate": crowd.allocate}
	backends(t, func(t *testing.T, w *world) {
		stores := []*store.Store{w.Store, w.again(t)}
		cases := 0
		for way, ask := range ways {
			for _, which := range []string{"own limits", "defaults", "group limits"} {
				cases++
				c := crowd{size: onevolume.Size(cases) * gib, owner: onevolume.Owner{UID: cases * 100, GID: cases, User: "u", Group: "g"},
					many: which == "group limits"}
				for n := range crowdSize {
					id := w.allocate(t, volume(cases*100+n, c.size))
					if n == 0 {
						c.base = id
					}
				}
				t.Run(way+" by "+which, func(t *testing.T) {
					of := user(c.owner.UID)
					switch which {
					case "own limits":
						w.limit(t, of, crowdLimit, onevolume.DefaultLimit)
					case "defaults":
						w.limit(t, everyUser, onevolume.DefaultLimit, crowdLimit*c.size.MB())
						defer w.limit(t, everyUser, onevolume.DefaultLimit, onevolume.DefaultLimit)
					default:
						of = group(c.owner.GID)
						w.limit(t, of, crowdLimit, onevolume.DefaultLimit)
					}
					errs, begin := make([]error, crowdSize), make(chan struct{})
					var all sync.WaitGroup
					for n := range crowdSize {
						all.Go(func() {
							<-begin
							errs[n] = ask(c, t.Context(), stores[n%2], n)
						})
					}
					close(begin)
					all.Wait()
					given := 0
					for _, err := range errs {
						if err == nil {
							given++
						} else {
							wantCode(t, err, onevolume.Forbidden, "")
						}
					}
					if given != crowdLimit {
						t.Errorf("%d of %d were given a volume, the limit is %d", given, crowdSize, crowdLimit)
					}
					w.wantUsed(t, of, crowdLimit, crowdLimit*c.size)
				})
			}
		}
	})
}
