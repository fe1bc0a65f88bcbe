package inventory_test

import (
	"maps"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
)

func typed(t *testing.T) (*bench, *makers) {
	b, m := withArrays(t)
	tune, err := onevolume.ParseIOTune(map[string]string{"total_iops_sec": "100"})
	if err != nil {
		t.Fatal(err)
	}
	m.types = []onevolume.VolumeType{{Name: "slow", Arrays: []string{"b"}, Tune: tune}, {Name: "kept", Needs: []string{onevolume.HasSnapshots}}}
	for i := range m.spaces {
		m.spaces[i].AutoCreate = false // which is for attach alone
	}
	return b, m
}

// Without an array, the one with most free space is taken of those that the
// type may be made on; the volume gets the type's limits.
func TestTypes(t *testing.T) {
	b, m := typed(t)
	for text, want := range map[string]struct {
		array string
		tuned map[string]string
	}{
		`NAME=v1 SIZE=1`:                       {"a", nil},
		`NAME=v2 SIZE=1 ARRAY=b`:               {"b", nil},
		`NAME=v3 SIZE=1 TYPE=slow`:             {"b", map[string]string{"TYPE": "slow", "TOTAL_IOPS_SEC": "100"}},
		`NAME=v4 SIZE=1 TYPE=slow COLOUR=blue`: {"b", map[string]string{"TYPE": "slow", "TOTAL_IOPS_SEC": "100", "COLOUR": "blue"}},
	} {
		id, err := b.Allocate(t.Context(), alice, text)
		if err != nil {
			t.Fatal(text, err)
		}
		v, err := b.Info(t.Context(), alice, id, false)
		if err != nil || v.Array != want.array || !maps.Equal(v.Attributes, want.tuned) {
			t.Errorf("%s: on %s with %v, %v", text, v.Array, v.Attributes, err)
		}
	}
	// The named array must be one of the type's; what is full sends to the next.
	_, err := b.Allocate(t.Context(), alice, `NAME=x SIZE=1 TYPE=slow ARRAY=a`)
	b.wants(err, onevolume.NoneFits, "type slow is not made there")
	_, err = b.Allocate(t.Context(), alice, `NAME=x SIZE=1 TYPE=kept`)
	b.wants(err, onevolume.NoneFits, "needs snapshots, which it does not have")
	_, err = b.Allocate(t.Context(), alice, `NAME=x SIZE=1 TYPE=gold`)
	b.wants(err, onevolume.NotFound, `"gold"; known are slow, kept`)
	if id, err := b.Allocate(t.Context(), alice, `NAME=v5 SIZE=127`); err != nil {
		t.Error(err)
	} else if v, _ := b.Info(t.Context(), alice, id, false); v.Array != "a" && v.Array != "b" {
		t.Errorf("%+v", v)
	}
	_, err = b.Allocate(t.Context(), alice, `NAME=x SIZE=127`)
	b.wants(err, onevolume.NoneFits)
	m.spaces[1].Has = []string{onevolume.HasSnapshots}
	list, err := b.Candidates(t.Context(), alice, `NAME=x SIZE=1 TYPE=kept`)
	if err != nil || len(list) != 2 || list[0].Array != "a" || list[0].Why != "" || list[1].Why == "" {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = b.Candidates(t.Context(), root, `NAME=x SIZE=1 IQN="iqn.2026-11.test:x" PORTALS=10.0.0.1`)
	b.wants(err, onevolume.Invalid, "registered")
}

// Limits are the administrators' to set and to lift; nobody else's update
// loses them, and a copy has them too.
func TestLimitsAreKept(t *testing.T) {
	b, _ := typed(t)
	id, err := b.Allocate(t.Context(), alice, `NAME=v SIZE=1 TYPE=slow`)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), alice, id, `COLOUR=red`, onevolume.Replace); err != nil {
		t.Fatal(err)
	}
	has := func(want map[string]string) {
		t.Helper()
		if v, err := b.Info(t.Context(), alice, id, false); err != nil || !maps.Equal(v.Attributes, want) {
			t.Errorf("attributes %v, want %v; %v", v.Attributes, want, err)
		}
	}
	has(map[string]string{"TYPE": "slow", "TOTAL_IOPS_SEC": "100", "COLOUR": "red"})
	for _, text := range []string{`TOTAL_IOPS_SEC=0`, `TOTAL_IOPS_SEC=1000`, `TYPE=""`, `READ_BYTES_SEC=5`} {
		b.wants(b.Update(t.Context(), alice, id, text, onevolume.Append), onevolume.Forbidden)
	}
	if err := b.Update(t.Context(), alice, id, `TOTAL_IOPS_SEC=100`, onevolume.Append); err != nil {
		t.Errorf("as it is: %v", err)
	}
	_, err = b.Allocate(t.Context(), alice, `NAME=w SIZE=1 TYPE=slow TOTAL_IOPS_SEC=0`)
	b.wants(err, onevolume.Forbidden, "TOTAL_IOPS_SEC")
	b.wants(b.Update(t.Context(), root, id, `READ_IOPS_SEC=5`, onevolume.Append), onevolume.Invalid, "TOTAL_IOPS_SEC")
	b.wants(b.Update(t.Context(), root, id, `WRITE_BYTES_SEC=many`, onevolume.Append), onevolume.Invalid, "WRITE_BYTES_SEC")
	if err := b.Update(t.Context(), root, id, `TOTAL_IOPS_SEC=0 READ_IOPS_SEC=5`, onevolume.Append); err != nil {
		t.Fatal(err)
	}
	has(map[string]string{"TYPE": "slow", "READ_IOPS_SEC": "5", "COLOUR": "red"})
	if err := b.Update(t.Context(), root, id, `TYPE="" READ_IOPS_SEC=0`, onevolume.Append); err != nil {
		t.Fatal(err)
	}
	has(map[string]string{"COLOUR": "red"})
	// A unit that is registered may have a type's limits, too.
	id, err = b.Allocate(t.Context(), root, `NAME=unit SIZE=1 IQN="iqn.2026-11.test:x" PORTALS=10.0.0.1 TYPE=slow`)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := b.Info(t.Context(), root, id, false); v.Attributes["TOTAL_IOPS_SEC"] != "100" || v.Array != "" {
		t.Errorf("%+v", v)
	}
}

func TestCopiesHaveTheLimits(t *testing.T) {
	b, m := typed(t)
	m.arrays["b"] = arraytest.NewMemory(array.Capabilities{Granule: onevolume.MiB, MinSize: onevolume.MiB, MaxLabel: 8, PageSize: 10, Zeroed: true, Clones: true}, onevolume.GiB)
	id, err := b.Allocate(t.Context(), alice, `NAME=v SIZE=1 TYPE=slow`)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := b.Clone(t.Context(), alice, id, "w")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := b.Info(t.Context(), alice, copied, false); err != nil || v.Attributes["TOTAL_IOPS_SEC"] != "100" || v.Attributes["TYPE"] != "slow" {
		t.Errorf("the copy has %v, %v", v.Attributes, err)
	}
}
