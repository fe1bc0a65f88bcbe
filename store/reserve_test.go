package store_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

const gib = onevolume.GiB

func TestReserveBySizeTakesTheSmallestThatFits(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, 8*gib, 4*gib, 2*gib, 4*gib, 16*gib)
		for i, want := range []onevolume.VolumeID{1, 3, 0, 4} {
			op, v := w.reserve(t, alice, attach(onevolume.VMID(i), 3*gib))
			if v.ID != want || op.Volume != want {
				t.Fatalf("reservation %d got volume %d, want %d", i, v.ID, want)
			}
		}
		_, _, err := w.Reserve(t.Context(), alice, attach(9, 3*gib))
		wantCode(t, err, onevolume.NoneFits, "No free volume of at least 3G: the largest free one has 2G (volume 2).")
		if onevolume.HintOf(err) == "" {
			t.Error("no hint")
		}
	})
}

func TestReserveWritesVolumeAndOperation(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		v := volume(0, 4*gib)
		v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "s"}
		w.allocate(t, v)
		r := attach(17, gib)
		r.Leave = onevolume.LeaveXFS
		op, got := w.reserve(t, bob, r)
		want := onevolume.Operation{
			ID: 1, Kind: onevolume.Attach, Volume: 0, VM: r.VM, Leave: onevolume.LeaveXFS, Status: onevolume.Running,
			Prior: onevolume.Available, By: bob.Owner, Owner: r.Owner, Generation: 1,
			Lease: w.clock.Now().Add(time.Minute), Term: time.Minute, Started: w.clock.Now(),
		}
		if op != want {
			t.Errorf("operation\n got %+v\nwant %+v", op, want)
		}
		if read, err := w.Operation(t.Context(), 1); err != nil || read != want {
			t.Errorf("operation as it is read\n got %+v, %v\nwant %+v", read, err, want)
		}
		if got.State != onevolume.Attaching || got.Attachment.VM != 17 || got.Operation != 1 || got.Target.CHAP.Secret != "s" {
			t.Errorf("volume %+v", got)
		}
		if got.Owner != alice.Owner || got.Home != root.Owner {
			t.Errorf("owner %+v, home %+v, want the VM's owner and the old one", got.Owner, got.Home)
		}
		if read := w.volume(t, 0); fmt.Sprintf("%+v", read) != fmt.Sprintf("%+v", got) {
			t.Errorf("volume\n got  %+v\nread %+v", got, read)
		}
	})
}

func TestReservePicks(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, 2*gib, 4*gib, 8*gib)
		for i, change := range []func(v *onevolume.Volume){
			func(v *onevolume.Volume) { v.Array = "of1" },
			func(v *onevolume.Volume) { v.Permissions = 0o600 },
			func(v *onevolume.Volume) { v.State, v.Owner = onevolume.Retained, alice.Owner },
			func(v *onevolume.Volume) { v.State, v.Reason = onevolume.Failed, "disk died" },
			func(v *onevolume.Volume) { v.Name, v.Size = "common", 32*gib; v.Owner = bob.Owner },
			func(v *onevolume.Volume) { v.Name, v.Size = "common", 32*gib },
		} {
			v := volume(3+i, onevolume.Size(3+i)*gib)
			change(&v)
			w.allocate(t, v)
		}
		w.attached(t, root, attachNamed(5, "0"))
		w.reserve(t, root, attachNamed(6, "1"))
		pick := func(p onevolume.Pick) onevolume.Request { r := attach(17, 0); r.Pick = p; return r }
		for _, c := range []struct {
			name string
			who  onevolume.Caller
			r    onevolume.Request
			want onevolume.VolumeID // when code is 0
			code onevolume.Code
			text string
		}{
			{"exact", alice, pick(onevolume.Pick{Size: 8 * gib, Exact: true}), 2, 0, ""},
			{"exact misses", alice, pick(onevolume.Pick{Size: 5 * gib, Exact: true}), 0, onevolume.NoneFits,
				"No free volume of exactly 5G (5368709120 bytes): the largest free one has 32G (34359738368 bytes) (volume 7)."},
			{"array", alice, pick(onevolume.Pick{Size: gib, Array: "of1"}), 3, 0, ""},
			{"array too small", alice, pick(onevolume.Pick{Size: 4 * gib, Array: "of1"}), 0, onevolume.NoneFits,
				"No free volume of at least 4G on array of1: the largest free one has 3G (volume 3)."},
			{"no such array", alice, pick(onevolume.Pick{Size: gib, Array: "of2"}), 0, onevolume.NoneFits,
				"No free volume of at least 1G on array of2: none is free."},
			{"hair too large", alice, pick(onevolume.Pick{Size: 32*gib + 512}), 0, onevolume.NoneFits,
				"No free volume of at least 32G: the largest free one has 32G (34359738368 bytes) (volume 7)."},
			{"not another's", alice, pick(onevolume.Pick{Size: 4 * gib, Exact: true}), 0, onevolume.NoneFits, ""},
			{"admin's may", root, pick(onevolume.Pick{Size: 4 * gib, Exact: true}), 4, 0, ""},
			{"by id", alice, pick(onevolume.Pick{Volume: "2"}), 2, 0, ""},
			{"by name", alice, pick(onevolume.Pick{Volume: "disk2.x", Size: 8 * gib}), 2, 0, ""},
			{"by name too small", alice, pick(onevolume.Pick{Volume: "disk2.x", Size: 9 * gib}), 0, onevolume.NoneFits, "Volume 2 has 8G, not at least 9G."},
			{"by name not exact", alice, pick(onevolume.Pick{Volume: "2", Size: 7 * gib, Exact: true}), 0, onevolume.NoneFits, ""},
			{"by name elsewhere", alice, pick(onevolume.Pick{Volume: "2", Array: "of1"}), 0, onevolume.NoneFits, `Volume 2 is on array "", not on "of1".`},
			{"missing id", alice, pick(onevolume.Pick{Volume: "99"}), 0, onevolume.NotFound, "Error getting volume [99]."},
			{"missing name", alice, pick(onevolume.Pick{Volume: "no"}), 0, onevolume.NotFound, `There is no volume named "no".`},
			{"unseen name", alice, pick(onevolume.Pick{Volume: "disk4.x"}), 0, onevolume.NotFound, ""},
			{"unseen id", alice, pick(onevolume.Pick{Volume: "4"}), 0, onevolume.Forbidden, "User [2] : Not authorized to perform USE VOLUME [4]."},
			{"retained by owner", alice, pick(onevolume.Pick{Volume: "disk5.x"}), 5, 0, ""},
			{"retained by admin", root, pick(onevolume.Pick{Volume: "5"}), 5, 0, ""},
			{"retained by another", bob, pick(onevolume.Pick{Volume: "5"}), 0, onevolume.Forbidden, ""},
			{"own of a common name", bob, pick(onevolume.Pick{Volume: "common"}), 7, 0, ""},
			{"a common name", alice, pick(onevolume.Pick{Volume: "common"}), 0, onevolume.Action, `Several volumes are named "common": 7, 8.`},
			{"in a VM", alice, pick(onevolume.Pick{Volume: "0"}), 0, onevolume.Action, "Volume 0 is ATTACHED, in VM 5."},
			{"in an operation", alice, pick(onevolume.Pick{Volume: "1"}), 0, onevolume.Action,
				"Volume 1 is ATTACHING: operation 2 (attach, VM 6) of test@host/6 holds it."},
			{"in error", alice, pick(onevolume.Pick{Volume: "6"}), 0, onevolume.Action, "Volume 6 is ERROR: disk died"},
			{"nothing asked", alice, pick(onevolume.Pick{}), 0, onevolume.Invalid, ""},
			{"detach of a free one", root, detach(17, "2"), 0, onevolume.Action, "Volume 2 is not attached to VM 17: it is AVAILABLE."},
			{"detach from another VM", root, detach(17, "0"), 0, onevolume.Action, "Volume 0 is not attached to VM 17 but to VM 5."},
			{"detach of a moving one", root, detach(6, "1"), 0, onevolume.Action, "Volume 1 is ATTACHING: operation 2 (attach, VM 6) of test@host/6 holds it."},
			{"detach", bob, detach(5, "disk0.x"), 0, 0, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				// A dry run chooses and refuses as the real one, and writes nothing.
				c.r.DryRun = true
				before := w.volume(t, c.want)
				op, v, err := w.Reserve(t.Context(), c.who, c.r)
				if c.text != "" || c.code != 0 {
					wantCode(t, err, c.code, c.text)
					return
				}
				if err != nil || v.ID != c.want || op != (onevolume.Operation{}) {
					t.Fatalf("volume %d, operation %+v, %v, want volume %d", v.ID, op, err, c.want)
				}
				if after := w.volume(t, c.want); after.Version != before.Version || v.State != before.State {
					t.Errorf("the dry run wrote version %d over %d", after.Version, before.Version)
				}
			})
		}
		for _, r := range []onevolume.Request{{Kind: "move"}, {Kind: onevolume.Detach}, {Kind: onevolume.Attach, VM: onevolume.VM{ID: -1}},
			{Kind: onevolume.Attach, Pick: onevolume.Pick{Size: 1}}, {Kind: onevolume.Attach, Pick: onevolume.Pick{Size: 1}, Owner: "x"}} {
			_, _, err := w.Reserve(t.Context(), root, r)
			wantCode(t, err, onevolume.Invalid, "")
		}
	})
}

func TestReserveAgainAfterALostAnswer(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib, gib)
		op, v := w.reserve(t, alice, attach(17, gib))
		w.clock.advance(10 * time.Second)
		same, v2 := w.reserve(t, alice, attach(17, gib))
		if same.ID != op.ID || v2.ID != v.ID || !same.Lease.Equal(op.Lease.Add(10*time.Second)) {
			t.Errorf("the same request got operation %d on volume %d with the lease %s", same.ID, v2.ID, same.Lease)
		}
		other := attach(17, gib)
		other.Owner = "test@host/17 #2"
		if op2, _ := w.reserve(t, alice, other); op2.ID == op.ID {
			t.Error("another owner's request got the same operation")
		}
		if op3, _ := w.reserve(t, bob, attach(17, gib)); op3.ID == op.ID {
			t.Error("another caller's request got the same operation")
		}
		w.record(t, op, []onevolume.Entry{{Step: "login", Event: onevolume.StepStarted}}, onevolume.Note{})
		if op4, _ := w.reserve(t, alice, attach(17, gib)); op4.ID == op.ID {
			t.Error("an operation that has begun was given out again")
		}
	})
}

func TestReserveSurvivesNameCollisions(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		inTheWay := volume(1, 9*gib)
		inTheWay.Name, inTheWay.Owner = "disk0.x", alice.Owner
		w.allocate(t, inTheWay)
		inTheWay = volume(2, 9*gib)
		inTheWay.Name, inTheWay.Owner = "disk0.x-0", alice.Owner
		w.allocate(t, inTheWay)
		op, v := w.reserve(t, alice, attach(17, gib))
		if v.ID != 0 || v.Name != "disk0.x-0-2" {
			t.Errorf("volume %d is named %q, want 0 and disk0.x-0-2", v.ID, v.Name)
		}
		// Meanwhile its old name is given to another one at home.
		taker := volume(3, 9*gib)
		taker.Name = "disk0.x"
		w.allocate(t, taker)
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		if v := w.volume(t, 0); v.Name != "disk0.x-0" || v.Owner != root.Owner {
			t.Errorf("at home it is %q of %s", v.Name, v.Owner.User)
		}
		if err := w.Delete(t.Context(), 3, nil); err != nil {
			t.Fatal(err)
		}
		op, _ = w.reserve(t, alice, attach(17, gib))
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		if v := w.volume(t, 0); v.Name != "disk0.x" {
			t.Errorf("with its name free again it is %q", v.Name)
		}
	})
}

func TestReserveShortensLongNames(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		long := strings.Repeat("ü", 128)
		for i, owner := range []onevolume.Owner{root.Owner, alice.Owner} {
			v := volume(i, onevolume.Size(1+i)*gib)
			v.Name, v.Owner = long, owner
			w.allocate(t, v)
		}
		_, v := w.reserve(t, alice, attach(17, gib))
		if want := strings.Repeat("ü", 126) + "-0"; v.Name != want {
			t.Errorf("named %q", v.Name)
		}
	})
}

// However many want them, no volume is had twice and none is left over.
func TestReserveAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, w *world) { reserveAtOnce(t, w, w.Store, w.again(t)) })
}

func reserveAtOnce(t *testing.T, w *world, stores ...*store.Store) {
	const volumes, callers = 8, 16
	for i := range volumes {
		w.allocate(t, volume(i, onevolume.Size(1+i/2)*gib))
	}
	var mu sync.Mutex
	got := map[onevolume.VolumeID]int{}
	operations := map[int]bool{}
	none := 0
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			op, v, err := stores[i%len(stores)].Reserve(t.Context(), root, attach(onevolume.VMID(i), gib))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				got[v.ID]++
				operations[op.ID] = true
			case onevolume.CodeOf(err) == onevolume.NoneFits:
				none++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(got) != volumes || len(operations) != volumes || none != callers-volumes {
		t.Errorf("volumes %v in %d operations, %d went without", got, len(operations), none)
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("volume %d was had %d times", id, n)
		}
	}
}
