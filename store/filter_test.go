package store_test

import (
	"slices"
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
