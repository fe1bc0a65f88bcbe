package arraytest

import (
	"strings"
	"testing"

	"onevolume/array"
)

// The kinds of arrays that there are, as reference/ of the drivers has them.
func kinds() map[string]array.Capabilities {
	all := array.Capabilities{
		Extend: array.ExtendOnline, Snapshots: true, Clones: true, Granule: 4 << 20, MinSize: 4 << 20,
		MaxLabel: 60, MutualCHAP: true, Thin: true, Zeroed: true, PageSize: 3,
	}
	snapshot, origin, offline, plain := all, all, all, all
	snapshot.CloneNeeds = array.NeedsSnapshot
	origin.CloneNeeds = array.NeedsOrigin
	offline.Extend, offline.MaxSize, offline.Granule = array.ExtendOffline, 1<<40, 512
	plain.Extend, plain.Snapshots, plain.Clones, plain.MaxLabel = array.ExtendNever, false, false, 0
	plain.MutualCHAP = false
	return map[string]array.Capabilities{"independent": all, "needs snapshot": snapshot, "needs origin": origin, "offline": offline, "plain": plain}
}

func TestMemory(t *testing.T) {
	for name, caps := range kinds() {
		t.Run(name, func(t *testing.T) {
			m := NewMemory(caps, 4<<30)
			Run(t, func(*testing.T) Fixture { return m.Fixture() })
		})
	}
}

func TestMemoryDown(t *testing.T) {
	m := NewMemory(kinds()["independent"], 1<<30)
	id := array.NewID()
	m.Down(array.Errorf(array.Auth, "wrong password"))
	if _, err := m.Create(t.Context(), array.Request{ID: id, Size: 1}); !array.Is(err, array.Auth) {
		t.Error(err)
	}
	m.Down(nil)
	if _, err := m.Create(t.Context(), array.Request{ID: id, Size: 1}); err != nil {
		t.Error(err)
	}
	if s := m.State(); !strings.Contains(s, id.Name()) {
		t.Error(s)
	}
}

func TestPermutations(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range permutations(4) {
		var b strings.Builder
		for _, n := range p {
			b.WriteByte(byte('0' + n))
		}
		seen[b.String()] = true
	}
	if len(seen) != 24 || !seen["0123"] || !seen["3210"] {
		t.Error(seen)
	}
}
