package store_test

import (
	"testing"
	"time"

	"onevolume"
)

// A lock is kept with whose it is and since when, and binds what Reserve
// does; so is what keeps a volume from being attached.
func TestLocks(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, 2*gib)
		set := func(id onevolume.VolumeID, change func(v *onevolume.Volume)) {
			t.Helper()
			if err := w.Update(t.Context(), id, func(v *onevolume.Volume) error { change(v); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		lock := func(id onevolume.VolumeID, level onevolume.LockLevel) {
			t.Helper()
			set(id, func(v *onevolume.Volume) { v.Lock = onevolume.Lock{Level: level, UID: 3} })
		}
		lock(0, onevolume.LockUse)
		want := onevolume.Lock{Level: onevolume.LockUse, UID: 3, Time: w.clock.Now()}
		if got := w.volume(t, 0).Lock; got != want {
			t.Errorf("lock %+v, want %+v", got, want)
		}
		w.clock.advance(time.Minute)
		set(0, func(v *onevolume.Volume) { v.Array = "a" })
		if got := w.volume(t, 0).Lock; got != want {
			t.Errorf("another change made the lock %+v", got)
		}
		set(1, func(v *onevolume.Volume) { v.Disabled = true })
		if v := w.volume(t, 1); !v.Disabled || v.Lock != (onevolume.Lock{}) {
			t.Errorf("%+v", v)
		}
		if _, v := w.reserve(t, root, attach(17, gib)); v.ID != 2 {
			t.Errorf("volume %d was picked", v.ID)
		}
		for name, words := range map[string]string{"0": "User [0] : VOLUME is locked. [0].", "1": "Volume 1 is disabled."} {
			_, _, err := w.Reserve(t.Context(), root, attachNamed(18, name))
			if err == nil || err.Error() != words {
				t.Errorf("volume %s: %v", name, err)
			}
		}
		set(0, func(v *onevolume.Volume) { v.Lock = onevolume.Lock{} })
		w.attached(t, root, attachNamed(19, "0"))
		keep := detach(19, "0")
		keep.Leave = onevolume.LeaveData
		for _, c := range []struct {
			level       onevolume.LockLevel
			wipes, ends bool
		}{{onevolume.LockUse, false, false}, {onevolume.LockManage, false, true}, {onevolume.LockAdmin, true, true}} {
			lock(0, c.level)
			for _, r := range []onevolume.Request{detach(19, "0"), keep} {
				r.DryRun = true
				may := c.ends
				if r.Leave == onevolume.LeaveZeroes {
					may = c.wipes
				}
				_, _, err := w.Reserve(t.Context(), root, r)
				if may != (err == nil) {
					t.Errorf("lock %s, leaving %q: %v", c.level, r.Leave, err)
				}
				if err != nil {
					wantCode(t, err, onevolume.Forbidden, "User [0] : VOLUME is locked. [0].")
				}
			}
		}
		// What is deleted is judged as it is then.
		wantCode(t, w.Delete(t.Context(), 1, func(v *onevolume.Volume) error { return bob.Check(onevolume.Manage, v) }), onevolume.Forbidden, "")
		if err := w.Delete(t.Context(), 1, func(v *onevolume.Volume) error { return root.Check(onevolume.Manage, v) }); err != nil {
			t.Error(err)
		}
	})
}
