package store_test

import (
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
)

func ids(list []onevolume.Volume) []int {
	found := []int{}
	for _, v := range list {
		found = append(found, int(v.ID))
	}
	return found
}

// everything is a filter without conditions.
func everything(who onevolume.Caller) onevolume.Filter {
	return onevolume.Filter{Viewer: who, Flag: -2, FirstID: -1, LastID: -1}
}

func TestVolumes(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		inSecondGroup := alice.Owner
		inSecondGroup.UID, inSecondGroup.GID = 9, 101
		for i, owner := range []onevolume.Owner{root.Owner, alice.Owner, bob.Owner, inSecondGroup, alice.Owner, root.Owner} {
			v := volume(i, onevolume.GiB)
			v.Owner, v.Permissions = owner, 0o640
			w.allocate(t, v)
		}
		w.reserve(t, root, attachNamed(1, "4"))
		for _, c := range []struct {
			name string
			f    func(f *onevolume.Filter)
			want []int
		}{
			{"all", func(f *onevolume.Filter) {}, []int{4, 3, 1}},
			{"mine", func(f *onevolume.Filter) { f.Flag = -3 }, []int{4, 1}},
			{"mine and groups", func(f *onevolume.Filter) { f.Flag = -1 }, []int{4, 3, 1}},
			{"primary group", func(f *onevolume.Filter) { f.Flag = -4 }, []int{4, 1}},
			{"user", func(f *onevolume.Filter) { f.Flag = 9 }, []int{3}},
			{"unseen user", func(f *onevolume.Filter) { f.Flag = 3 }, []int{}},
			{"admin", func(f *onevolume.Filter) { f.Viewer = root }, []int{5, 4, 3, 2, 1, 0}},
			{"admin of a user", func(f *onevolume.Filter) { f.Viewer, f.Flag = root, 3 }, []int{2}},
			{"admin's own", func(f *onevolume.Filter) { f.Viewer, f.Flag = root, -3 }, []int{5, 0}},
			{"range", func(f *onevolume.Filter) { f.Viewer, f.FirstID, f.LastID = root, 1, 3 }, []int{3, 2, 1}},
			{"from", func(f *onevolume.Filter) { f.Viewer, f.FirstID = root, 4 }, []int{5, 4}},
			{"only 0", func(f *onevolume.Filter) { f.Viewer, f.FirstID, f.LastID = root, 0, 0 }, []int{0}},
			{"page", func(f *onevolume.Filter) { f.Viewer, f.Offset, f.Limit = root, 1, 2 }, []int{4, 3}},
			{"page of what is seen", func(f *onevolume.Filter) { f.Offset, f.Limit = 1, 5 }, []int{3, 1}},
			{"offset alone", func(f *onevolume.Filter) { f.Viewer, f.Offset = root, 4 }, []int{1, 0}},
			{"states", func(f *onevolume.Filter) { f.States = []onevolume.State{onevolume.Attaching, onevolume.Attached} }, []int{4}},
		} {
			f := everything(alice)
			c.f(&f)
			list, err := w.Volumes(t.Context(), f)
			if err != nil || !slices.Equal(ids(list), c.want) {
				t.Errorf("%s: %v, %v, want %v", c.name, ids(list), err, c.want)
			}
		}
		f := everything(alice)
		f.Flag = -5
		_, err := w.Volumes(t.Context(), f)
		wantCode(t, err, onevolume.Invalid, "Incorrect filter_flag")
	})
}

// What SQL shows is what is one's own and what Caller.May allows, for any
// permissions and groups.
func TestVolumesShowsWhatMayBeUsed(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			small := rapid.IntRange(0, 4)
			for range 4 {
				v := volume(n, onevolume.GiB)
				n++
				v.Owner = onevolume.Owner{UID: small.Draw(t, "uid"), GID: small.Draw(t, "gid")}
				v.Permissions = onevolume.Permissions(rapid.IntRange(0, 0o777).Draw(t, "permissions"))
				w.allocate(t, v)
			}
			who := onevolume.Caller{Owner: onevolume.Owner{UID: small.Draw(t, "viewer"), GID: small.Draw(t, "group")}}
			who.Groups = rapid.SliceOfNDistinct(small, 0, 4, rapid.ID).Draw(t, "groups")
			all, err := w.Volumes(t.Context(), everything(root))
			if err != nil {
				t.Fatal(err)
			}
			all = slices.DeleteFunc(all, func(v onevolume.Volume) bool { return v.Owner.UID != who.UID && !who.May(onevolume.Use, &v) })
			seen, err := w.Volumes(t.Context(), everything(who))
			if err != nil || !slices.Equal(ids(seen), ids(all)) {
				t.Fatalf("%+v sees %v, %v, should see %v", who, ids(seen), err, ids(all))
			}
		})
	})
}

// shows is oned's rule for a pool call, volume by volume, but that the flag of
// the primary group shows nothing which could not be seen otherwise.
func shows(f onevolume.Filter, v *onevolume.Volume) bool {
	who := f.Viewer
	mine, group, all := v.Owner.UID == who.UID, slices.Contains(who.Groups, v.Owner.GID), who.UID == 0 || slices.Contains(who.Groups, 0)
	seen := all || mine || group && v.Permissions&0o040 != 0 || v.Permissions&0o004 != 0
	switch {
	case f.Flag == -3 && !mine, f.Flag == -4 && v.Owner.GID != who.GID, f.Flag == -1 && !mine && !group, f.Flag >= 0 && v.Owner.UID != f.Flag,
		f.FirstID >= 0 && int(v.ID) < f.FirstID, f.LastID >= 0 && int(v.ID) > f.LastID,
		len(f.States) > 0 && !slices.Contains(f.States, v.State), f.Name != "" && v.Name != f.Name, len(f.VMs) > 0 && !slices.Contains(f.VMs, v.Attachment.VM):
		return false
	}
	return seen
}

// Pool calls with any parameters show what a walk through all volumes finds,
// the newest first, and pages put together are the whole.
func TestPoolCalls(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		small := rapid.IntRange(0, 3)
		n := 0
		rapid.Check(t, func(t *rapid.T) {
			for range 3 {
				v := volume(n, onevolume.GiB)
				n++
				v.Owner = onevolume.Owner{UID: small.Draw(t, "uid"), GID: small.Draw(t, "gid")}
				v.Permissions = onevolume.Permissions(rapid.SampledFrom([]int{0, 0o600, 0o640, 0o604, 0o440, 0o777}).Draw(t, "permissions"))
				id := w.allocate(t, v)
				if rapid.IntRange(0, 2).Draw(t, "attach") == 0 {
					w.attached(t, root, attachNamed(onevolume.VMID(17+n%2), strconv.Itoa(int(id))))
				}
			}
			all, err := w.Volumes(t.Context(), everything(root))
			if err != nil {
				t.Fatal(err)
			}
			who := onevolume.Caller{Owner: onevolume.Owner{UID: small.Draw(t, "viewer"), GID: small.Draw(t, "group")}}
			who.Groups = rapid.SliceOfNDistinct(small, 0, 3, rapid.ID).Draw(t, "groups")
			edge := rapid.IntRange(-1, n+1)
			f, err := onevolume.PoolFilter(rapid.IntRange(-4, 3).Draw(t, "flag"), edge.Draw(t, "first"), edge.Draw(t, "last"))
			if err != nil {
				t.Fatal(err)
			}
			f.Viewer = who
			if rapid.Bool().Draw(t, "narrow") {
				f.States = []onevolume.State{rapid.SampledFrom([]onevolume.State{onevolume.Available, onevolume.Attached}).Draw(t, "state")}
			}
			switch rapid.IntRange(0, 3).Draw(t, "search") {
			case 1:
				f.Name = all[rapid.IntRange(0, len(all)-1).Draw(t, "of")].Name
			case 2:
				f.VMs = []onevolume.VMID{onevolume.VMID(rapid.IntRange(16, 18).Draw(t, "vm"))}
			}
			want := []int{}
			for i := range all {
				if shows(f, &all[i]) {
					want = append(want, int(all[i].ID))
				}
			}
			list, err := w.Volumes(t.Context(), f)
			if err != nil || !slices.Equal(ids(list), want) {
				t.Fatalf("%+v: %v, %v, want %v", f, ids(list), err, want)
			}
			size, pages := rapid.IntRange(2, 7).Draw(t, "page"), []int{}
			for {
				p, err := onevolume.PoolFilter(f.Flag, len(pages), -size)
				if err != nil {
					t.Fatal(err)
				}
				p.Viewer, p.States, p.Name, p.VMs, p.FirstID, p.LastID = f.Viewer, f.States, f.Name, f.VMs, f.FirstID, f.LastID
				page, err := w.Volumes(t.Context(), p)
				if err != nil || len(page) > size {
					t.Fatalf("%d volumes on a page of %d, %v", len(page), size, err)
				}
				pages = append(pages, ids(page)...)
				if len(page) < size {
					break
				}
			}
			if !slices.Equal(pages, want) {
				t.Fatalf("%+v: pages %v, want %v", f, pages, want)
			}
		})
	})
}

// oned's numbers, as it reads them.
func TestPoolFilter(t *testing.T) {
	for _, c := range []struct{ flag, first, last, from, to, offset, limit int }{
		{-2, -1, -1, -1, -1, 0, 0}, {-2, 3, -1, 3, -1, 0, 0}, {-2, 3, 7, 3, 7, 0, 0}, {-2, -1, 7, -1, -1, 0, 0},
		{5, 0, -200, -1, -1, 0, 200}, {-4, 400, -2, -1, -1, 400, 2}, {0, -7, -3, -1, -1, 0, 3},
	} {
		f, err := onevolume.PoolFilter(c.flag, c.first, c.last)
		if err != nil || f.Flag != c.flag || f.FirstID != c.from || f.LastID != c.to || f.Offset != c.offset || f.Limit != c.limit {
			t.Errorf("%+v: %+v, %v", c, f, err)
		}
	}
	_, err := onevolume.PoolFilter(-5, -1, -1)
	wantCode(t, err, onevolume.Invalid, "Incorrect filter_flag")
}
