package store_test

import (
	"reflect"
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
