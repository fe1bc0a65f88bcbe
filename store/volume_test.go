package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"onevolume"
)

func TestAllocateKeepsEverything(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		want := volume(1, 64*onevolume.MiB)
		want.Name = "Jürgens Platte 東"
		want.Target.CHAP = onevolume.CHAP{User: "u", Secret: "topsecret-out", UserIn: "v", SecretIn: "topsecret-in"}
		want.Identity = onevolume.Identity{Serial: "s1", WWID: "naa.6001405"}
		want.Array, want.Owner, want.Home = "of1", alice.Owner, root.Owner
		want.Attributes = map[string]string{"B": "x\ny", "A": "<&>"}
		want.ID = w.allocate(t, want)
		want.State, want.Attachment.VM, want.Version = onevolume.Available, onevolume.NoVM, 1
		want.Registered, want.Modified = w.clock.Now(), w.clock.Now()
		if got := w.volume(t, want.ID); !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %#v\nwant %#v", got, want)
		}
		if want.ID != 0 {
			t.Errorf("the first id is %d, want 0", want.ID)
		}
	})
}

func TestAllocateRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, onevolume.GiB)
		sameTarget := volume(1, onevolume.GiB)
		sameTarget.Name = "other"
		sameName := volume(7, onevolume.GiB)
		sameName.Name = "disk1.x"
		othersName := sameName
		othersName.Owner = alice.Owner
		for _, c := range []struct {
			name   string
			change func(v *onevolume.Volume)
			code   onevolume.Code
			text   string
		}{
			{"same again", func(v *onevolume.Volume) { *v = volume(1, onevolume.GiB) }, onevolume.Allocate,
				"IQN iqn.2026-11.org.example:store LUN 1 is already registered as VOLUME 1."},
			{"same target", func(v *onevolume.Volume) { *v = sameTarget }, onevolume.Allocate,
				"IQN iqn.2026-11.org.example:store LUN 1 is already registered as VOLUME 1."},
			{"same name", func(v *onevolume.Volume) { *v = sameName }, onevolume.Allocate, "NAME is already taken by VOLUME 1."},
			{"bad name", func(v *onevolume.Volume) { v.Name = "a;b" }, onevolume.Allocate, ""},
			{"no IQN", func(v *onevolume.Volume) { v.Target.IQN = "" }, onevolume.Invalid, ""},
			{"no portals", func(v *onevolume.Volume) { v.Target.Portals = nil }, onevolume.Invalid, ""},
			{"no size", func(v *onevolume.Volume) { v.Size = 0 }, onevolume.Invalid, ""},
			{"permissions", func(v *onevolume.Volume) { v.Permissions = 0o1000 }, onevolume.Invalid, ""},
			{"state", func(v *onevolume.Volume) { v.State = onevolume.Attached }, onevolume.Action, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				v := volume(9, onevolume.GiB)
				c.change(&v)
				_, err := w.Allocate(t.Context(), v)
				wantCode(t, err, c.code, c.text)
			})
		}
		// Names are unique for each owner, as OpenNebula's images are.
		w.allocate(t, othersName)
	})
}

func TestIDsAreNeverUsedAgain(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, onevolume.GiB)
		if err := w.Delete(t.Context(), 1, nil); err != nil {
			t.Fatal(err)
		}
		if id := w.allocate(t, volume(1, onevolume.GiB)); id != 2 {
			t.Errorf("after deleting volume 1 the next id is %d, want 2", id)
		}
		_, err := w.Volume(t.Context(), 1)
		wantCode(t, err, onevolume.NotFound, "Error getting volume [1].")
	})
}

func TestAllocateAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		const n = 16
		ids := make([]onevolume.VolumeID, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				var err error
				if ids[i], err = w.Allocate(t.Context(), volume(i, onevolume.GiB)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		slices.Sort(ids)
		for i, id := range ids {
			if int(id) != i {
				t.Fatalf("ids %v, want 0 to %d once each", ids, n-1)
			}
		}
	})
}

func TestFind(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, onevolume.GiB)
		v, err := w.Find(t.Context(), "iqn.2026-11.org.example:store", 1)
		if err != nil || v.ID != 1 {
			t.Errorf("found volume %d, %v, want 1", v.ID, err)
		}
		_, err = w.Find(t.Context(), "iqn.2026-11.org.example:store", 2)
		wantCode(t, err, onevolume.NotFound, "IQN iqn.2026-11.org.example:store LUN 2 is not registered.")
	})
}

func TestLookup(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		for i, owner := range []onevolume.Caller{root, bob, alice} {
			v := volume(i, onevolume.GiB)
			v.Name, v.Owner, v.Permissions = "data", owner.Owner, 0o604
			if owner.UID == bob.UID {
				v.Permissions = 0o600
			}
			w.allocate(t, v)
		}
		for _, c := range []struct {
			who  onevolume.Caller
			name string
			want []onevolume.VolumeID
		}{
			{alice, "data", []onevolume.VolumeID{2, 0}},
			{bob, "data", []onevolume.VolumeID{1, 0, 2}},
			{root, "data", []onevolume.VolumeID{0, 1, 2}},
			{root, "DATA", nil},
		} {
			got, err := w.Lookup(t.Context(), c.name, c.who)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("Lookup(%s, %s) = %v, %v, want %v", c.name, c.who.User, got, err, c.want)
			}
		}
	})
}

func TestUpdate(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, onevolume.GiB)
		err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error {
			v.Name, v.Permissions, v.Version, v.Operation = "renamed", 0o600, 77, 5
			v.Attributes = map[string]string{"A": "1"}
			v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "s"}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		v := w.volume(t, 0)
		if v.Name != "renamed" || v.Permissions != 0o600 || v.Attributes["A"] != "1" || v.Target.CHAP.Secret != "s" {
			t.Errorf("not all was written: %+v", v)
		}
		if v.Version != 2 || v.Operation != 0 {
			t.Errorf("version %d and operation %d, want 2 and 0: they are the store's", v.Version, v.Operation)
		}
		if err := w.Update(t.Context(), 0, func(*onevolume.Volume) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if v := w.volume(t, 0); v.Version != 2 {
			t.Errorf("an update without a change wrote version %d", v.Version)
		}
	})
}

func TestUpdateRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, onevolume.GiB, 2*onevolume.GiB)
		w.reserve(t, root, attachNamed(17, "2"))
		own := errors.New("changed my mind")
		for _, c := range []struct {
			name   string
			id     onevolume.VolumeID
			change func(v *onevolume.Volume)
			code   onevolume.Code
			text   string
		}{
			{"id", 0, func(v *onevolume.Volume) { v.ID = 5 }, onevolume.Invalid, "Volume 0: its id cannot become 5."},
			{"transition", 0, func(v *onevolume.Volume) { v.State = onevolume.Wiping }, onevolume.Action, "Volume 0 cannot go from AVAILABLE to WIPING."},
			{"moving", 0, func(v *onevolume.Volume) { v.State = onevolume.Attaching }, onevolume.Action, "Volume 0 becomes ATTACHING by an operation only."},
			{"VM of a free one", 0, func(v *onevolume.Volume) { v.Attachment.VM = 3 }, onevolume.Invalid, ""},
			{"name", 0, func(v *onevolume.Volume) { v.Name = "disk1.x" }, onevolume.Allocate, "NAME is already taken by VOLUME 1."},
			{"target", 0, func(v *onevolume.Volume) { v.Target.LUN = 1 }, onevolume.Allocate,
				"IQN iqn.2026-11.org.example:store LUN 1 is already registered as VOLUME 1."},
			{"held", 2, func(v *onevolume.Volume) { v.State = onevolume.Failed }, onevolume.Busy, "Volume 2 is held by operation 1 (attach) of test@host/17."},
			{"missing", 9, func(v *onevolume.Volume) { v.Name = "x" }, onevolume.NotFound, "Error getting volume [9]."},
		} {
			t.Run(c.name, func(t *testing.T) {
				err := w.Update(t.Context(), c.id, func(v *onevolume.Volume) error { c.change(v); return nil })
				wantCode(t, err, c.code, c.text)
			})
		}
		if err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error { v.Name = "gone"; return own }); !errors.Is(err, own) {
			t.Errorf("error %v, want change's own", err)
		}
		if v := w.volume(t, 0); v.Name != "disk0.x" || v.Version != 1 {
			t.Errorf("a refused update left %q version %d", v.Name, v.Version)
		}
	})
}

func TestUpdateAtOnceLosesNothing(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB)
		const n = 12
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error {
					if v.Attributes == nil {
						v.Attributes = map[string]string{}
					}
					v.Attributes[fmt.Sprint("A", i)] = "1"
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if v := w.volume(t, 0); len(v.Attributes) != n || v.Version != n+1 {
			t.Errorf("%d of %d changes are there, version %d", len(v.Attributes), n, v.Version)
		}
	})
}

func TestDelete(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, onevolume.GiB, 2*onevolume.GiB, 3*onevolume.GiB)
		w.reserve(t, root, attachNamed(17, "1"))
		w.attached(t, root, attachNamed(18, "2"))
		wantCode(t, w.Delete(t.Context(), 1, nil), onevolume.Action, "Volume 1 is ATTACHING: operation 1 (attach, VM 17) of test@host/17 holds it.")
		wantCode(t, w.Delete(t.Context(), 2, nil), onevolume.Action, "Volume 2 is ATTACHED: it is attached to VM 18.")
		wantCode(t, w.Delete(t.Context(), 9, nil), onevolume.NotFound, "Error getting volume [9].")
		if err := w.Delete(t.Context(), 0, nil); err != nil {
			t.Error(err)
		}
		if err := w.Update(t.Context(), 2, func(v *onevolume.Volume) error {
			v.State, v.Reason, v.Attachment = onevolume.Failed, "its VM is gone", onevolume.Attachment{VM: onevolume.NoVM}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := w.Delete(t.Context(), 2, nil); err != nil {
			t.Error(err)
		}
		if op, err := w.Operation(t.Context(), 2); err != nil || op.Volume != 2 {
			t.Errorf("a deleted volume's operation: %+v, %v", op, err)
		}
	})
}

func TestSecretsStayOutOfTexts(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		v := volume(0, onevolume.GiB)
		v.Target.CHAP = onevolume.CHAP{User: "u", Secret: "hidden-secret"}
		w.allocate(t, v)
		_, err := w.Allocate(t.Context(), v)
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%v %+v %#v", w.options, w.options, w.options)} {
			if strings.Contains(text, "hidden-secret") {
				t.Errorf("the secret is in %q", text)
			}
		}
	})
}
