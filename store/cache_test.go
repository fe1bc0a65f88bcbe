package store_test

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
	"onevolume/store"
)

// TestCacheIsNeverStale: two stores on one file, as two processes have them,
// are read and written in turn, by one volume and by pages of lists. What
// each reads is what a third one reads that has no cache. They go on with the
// same file: what was is never to be seen again.
func TestCacheIsNeverStale(t *testing.T) {
	w := open(t, sqliteOptions(t))
	stores := []*store.Store{w.Store, w.again(t)}
	either := func(rt *rapid.T) *store.Store { return stores[rapid.IntRange(0, 1).Draw(rt, "writer")] }
	plain := w.again(t)
	if err := plain.WithoutCache(); err != nil {
		t.Fatal(err)
	}
	n := 0
	add := func(s *store.Store) {
		v := volume(n, gib)
		if n%2 == 0 {
			v.Attributes = map[string]string{"N": fmt.Sprint(n)}
			v.Target.CHAP = onevolume.CHAP{User: "one", Secret: fmt.Sprint("a-long-secret-", n)}
		}
		if _, err := s.Allocate(t.Context(), v); err != nil {
			t.Fatal(err)
		}
		n++
	}
	for range 5 {
		add(w.Store)
	}
	rapid.Check(t, func(rt *rapid.T) {
		caller := rapid.SampledFrom([]onevolume.Caller{root, alice, bob})
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) {},
			"write": func(rt *rapid.T) {
				s := either(rt)
				id := onevolume.VolumeID(rapid.IntRange(0, n-1).Draw(rt, "id"))
				err := s.Update(t.Context(), id, func(v *onevolume.Volume) error {
					v.Permissions = onevolume.Permissions(rapid.IntRange(0, 0o777).Draw(rt, "permissions"))
					v.Reason = rapid.StringN(0, 4, -1).Draw(rt, "reason")
					return nil
				})
				if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
					rt.Fatal(err)
				}
			},
			"add": func(rt *rapid.T) {
				if n < 20 {
					add(either(rt))
				}
			},
			"delete": func(rt *rapid.T) {
				id := onevolume.VolumeID(rapid.IntRange(0, n-1).Draw(rt, "id") / 3 * 3) // some stay
				if err := either(rt).Delete(t.Context(), id, func(*onevolume.Volume) error { return nil }); err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
					rt.Fatal(err)
				}
			},
			"read": func(rt *rapid.T) {
				id := onevolume.VolumeID(rapid.IntRange(0, n-1).Draw(rt, "id"))
				want, wantErr := plain.Volume(t.Context(), id)
				for _, s := range stores {
					got, err := s.Volume(t.Context(), id)
					if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
						rt.Fatalf("volume %d is %+v, %v, not %+v, %v", id, got, err, want, wantErr)
					}
					// What a caller does to it is his own.
					if len(got.Target.Portals) > 0 {
						got.Target.Portals[0], got.Target.CHAP.Secret = onevolume.Portal{}, "x"
					}
					if got.Attributes != nil {
						got.Attributes["N"] = "x"
					}
				}
			},
			"pages": func(rt *rapid.T) {
				who, size := caller.Draw(rt, "viewer"), rapid.IntRange(1, 4).Draw(rt, "size")
				whole, err := plain.Volumes(t.Context(), everything(who))
				if err != nil {
					rt.Fatal(err)
				}
				for i, s := range stores {
					var got []onevolume.Volume
					for offset := 0; offset <= len(whole); offset += size {
						f := everything(who)
						f.Limit, f.Offset = size, offset
						page, err := s.Volumes(t.Context(), f)
						if err != nil {
							rt.Fatal(err)
						}
						got = append(got, page...)
					}
					if len(got) != len(whole) || len(got) > 0 && !reflect.DeepEqual(got, whole) {
						rt.Fatalf("store %d, pages of %d for %s:\n%+v, not\n%+v", i, size, who.User, got, whole)
					}
				}
			},
		})
	})
}

// TestCacheIsBounded: whoever asks for everything does not fill the memory.
func TestCacheIsBounded(t *testing.T) {
	w := open(t, sqliteOptions(t))
	const volumes, most = 30, 8
	for i := range volumes {
		w.allocate(t, volume(i, gib))
	}
	w.CacheAtMost(most)
	for range 2 {
		for i := range volumes {
			v, err := w.Volume(t.Context(), onevolume.VolumeID(i))
			if err != nil || v.Name != volume(i, gib).Name {
				t.Fatal(v.Name, err)
			}
			if n := w.Cached(); n < 1 || n > most {
				t.Fatalf("%d volumes are cached", n)
			}
		}
	}
}
