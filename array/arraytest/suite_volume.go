package arraytest

import (
	"fmt"
	"strings"
	"sync"

	"onevolume"
	"onevolume/array"
)

// figures: the capabilities make sense, and so does the space.
func (s *suite) figures() {
	c := s.caps
	if c.Granule <= 0 || c.Granule%512 != 0 || c.MinSize <= 0 || c.PageSize <= 0 || c.MaxLabel < 0 {
		s.Errorf("%+v", c)
	}
	if _, can := s.Array.(array.Extender); !can && c.Extend != array.ExtendNever {
		s.Error("it says that volumes grow, and has no Extend")
	}
	if _, can := s.Array.(array.Snapshotter); !can && c.Snapshots {
		s.Error("it says that it has snapshots, and is no Snapshotter")
	}
	if _, can := s.Array.(array.Cloner); !can && c.Clones {
		s.Error("it says that it clones, and is no Cloner")
	}
	before := must[array.Stats](s)(s.Array.Stats(s.ctx))
	if before.Vendor == "" || before.Model == "" {
		s.Errorf("%+v says not what it is", before)
	}
	total, ok1 := before.Total.Get()
	free, ok2 := before.Free.Get()
	if ok1 && total <= 0 || ok1 && ok2 && (free < 0 || free > total) {
		s.Errorf("%s free of %s", before.Free, before.Total)
	}
	v := s.volume()
	after := must[array.Stats](s)(s.Array.Stats(s.ctx))
	p1, ok1 := before.Provisioned.Get()
	p2, ok2 := after.Provisioned.Get()
	if ok1 != ok2 || ok1 && p2-p1 != v.Size {
		s.Errorf("%s were provisioned and %s are, with a volume of %s more", before.Provisioned, after.Provisioned, v.Size.Exact())
	}
}

// create: the same volume twice is one, deleted twice it is gone.
func (s *suite) create() {
	r := array.Request{ID: s.id(), Size: s.unit(), Label: s.caps.CutLabel("web data")}
	v := must[array.Volume](s)(s.Array.Create(s.ctx, r))
	if v.ID != r.ID || v.Size != r.Size || v.Name == "" || v.From != "" || s.caps.MaxLabel > 0 && v.Label != r.Label {
		s.Errorf("%+v was asked for, %+v came", r, v)
	}
	again := must[array.Volume](s)(s.Array.Create(s.ctx, r))
	if again.Used, v.Used = (array.Figure{}), (array.Figure{}); again != v {
		s.Errorf("%+v at first and %+v then", v, again)
	}
	s.there(v)
	if got, ok := s.volumes()[r.ID]; !ok || got.Size != v.Size {
		s.Errorf("it is listed as %+v", got)
	}
	other := r
	other.Size += s.caps.Granule
	_, err := s.Array.Create(s.ctx, other)
	s.fails(array.Exists, "create with another size", err)
	s.there(v)
	s.ok(s.Array.Delete(s.ctx, r.ID))
	s.ok(s.Array.Delete(s.ctx, r.ID))
	s.gone(r.ID)
	if _, ok := s.volumes()[r.ID]; ok {
		s.Error("it is listed still")
	}
}

// sizes are rounded up, and the exact one is told.
func (s *suite) sizes() {
	unit := s.unit()
	for _, ask := range []onevolume.Size{1, s.caps.MinSize, unit - 1, unit, unit + 1} {
		v := must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: s.id(), Size: ask}))
		if want := s.round(ask); v.Size != want || v.Size < ask {
			s.Errorf("%s were asked for, %s came, want %s", ask.Exact(), v.Size.Exact(), want.Exact())
		}
		s.there(v)
		// Any size that comes to the same is the same request.
		same := must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: v.ID, Size: v.Size}))
		if same.Size != v.Size {
			s.Errorf("%s, and then %s", v.Size.Exact(), same.Size.Exact())
		}
		s.ok(s.Array.Delete(s.ctx, v.ID))
	}
}

func (s *suite) labels() {
	for _, label := range []string{"", "x", "a b", `$(id) 'q' "d" \ #x & ; é 日本`, strings.Repeat("n", s.caps.MaxLabel), strings.Repeat("\"", s.caps.MaxLabel)} {
		label = s.caps.CutLabel(label)
		v := must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: s.id(), Size: s.unit(), Label: label}))
		if got := must[array.Volume](s)(s.Array.Lookup(s.ctx, v.ID)); got.Label != label || v.Label != label {
			s.Errorf("the label %q became %q and %q", label, v.Label, got.Label)
		}
		s.ok(s.Array.Delete(s.ctx, v.ID))
	}
	for _, label := range []string{"a\nb", "\xff", strings.Repeat("n", s.caps.MaxLabel+1)} {
		if s.caps.MaxLabel == 0 && len(label) == 1 && label != "\xff" {
			continue // an array that keeps none may be given any
		}
		id := s.id()
		_, err := s.Array.Create(s.ctx, array.Request{ID: id, Size: s.unit(), Label: label})
		s.fails(array.Invalid, fmt.Sprintf("create with the label %.9q", label), err)
		s.gone(id)
	}
}

// invalid: nothing comes of requests that cannot be.
func (s *suite) invalid() {
	before := s.state()
	for _, r := range []array.Request{
		{Size: s.unit()}, {ID: "disk1", Size: s.unit()}, {ID: "../../etc/passwd", Size: s.unit()},
		{ID: s.id()}, {ID: s.id(), Size: -1}, {ID: s.id(), Size: 1<<63 - 1},
	} {
		_, err := s.Array.Create(s.ctx, r)
		if !array.Is(err, array.Invalid) && !array.Is(err, array.NoSpace) {
			s.Errorf("%+v: %v", r, err)
		}
	}
	for _, id := range []array.ID{"", "disk1", "*", "$(id)"} {
		s.fails(array.Invalid, "delete "+string(id), s.Array.Delete(s.ctx, id))
	}
	_, err := s.Array.Lookup(s.ctx, array.NewID())
	s.fails(array.NotFound, "look for what never was", err)
	s.ok(s.Array.Delete(s.ctx, array.NewID()))
	if after := s.state(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// squatted: what is not ours is never taken over, listed or removed.
func (s *suite) squatted() {
	id := s.id()
	still, remove := s.Squat(id)
	_, err := s.Array.Create(s.ctx, array.Request{ID: id, Size: s.unit()})
	s.fails(array.Exists, "create over somebody else's", err)
	if _, err := s.Array.Lookup(s.ctx, id); !array.Is(err, array.NotFound) {
		s.Errorf("it is found: %v", err)
	}
	if _, err := s.Array.Export(s.ctx, id, s.grant(0, id)); err == nil {
		s.Error("it was exported")
	}
	if err := s.Array.Delete(s.ctx, id); err != nil && !array.Is(err, array.Exists) {
		s.Errorf("delete: %v", err)
	}
	if _, ok := s.volumes()[id]; ok {
		s.Error("it is listed")
	}
	if !still() {
		s.Fatal("it was removed")
	}
	remove()
	v := must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: id, Size: s.unit()}))
	s.there(v)
}

func (s *suite) list() {
	want := map[array.ID]bool{}
	for range 2*min(s.caps.PageSize, 4) + 1 {
		v := must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: s.id(), Size: 1}))
		want[v.ID] = true
	}
	list := s.volumes()
	for id := range want {
		if _, ok := list[id]; !ok {
			s.Errorf("%s is not listed", id)
		}
	}
}

// full: what does not fit is refused, and leaves nothing behind.
func (s *suite) full() {
	stats := must[array.Stats](s)(s.Array.Stats(s.ctx))
	limit, ok := stats.Limit.Get()
	if !ok {
		limit, ok = stats.Total.Get()
	}
	if !ok {
		s.Fatal("neither its limit nor its size is known")
	}
	before := s.state()
	id := s.id()
	_, err := s.Array.Create(s.ctx, array.Request{ID: id, Size: limit + s.caps.Granule})
	s.fails(array.NoSpace, "create what does not fit", err)
	s.gone(id)
	if after := s.state(); after != before {
		s.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	v := s.volume()
	if grow, can := s.Array.(array.Extender); can && s.caps.Extend != array.ExtendNever {
		_, err := grow.Extend(s.ctx, v.ID, limit+s.caps.Granule)
		s.fails(array.NoSpace, "extend to what does not fit", err)
	}
	s.there(v)
	if shots, can := s.Array.(array.Snapshotter); can && s.caps.Snapshots {
		shot, id := s.id(), s.id()
		must[array.Snapshot](s)(shots.Snapshot(s.ctx, shot, v.ID))
		_, err := shots.FromSnapshot(s.ctx, array.Request{ID: id, Size: limit + s.caps.Granule}, shot)
		s.fails(array.NoSpace, "a copy that does not fit", err)
		s.gone(id)
	}
}

func (s *suite) extend() {
	grow, can := s.Array.(array.Extender)
	if !can || s.caps.Extend == array.ExtendNever {
		return
	}
	v := s.volume()
	if s.Write != nil {
		s.Write(v.ID, pattern('e'))
	}
	step := max(s.caps.Granule, 4<<20)
	want := s.round(v.Size + step)
	for range 2 {
		v = must[array.Volume](s)(grow.Extend(s.ctx, v.ID, want-1))
		if v.Size != want {
			s.Errorf("it has %s, want %s", v.Size.Exact(), want.Exact())
		}
		s.there(v)
	}
	_, err := grow.Extend(s.ctx, v.ID, want-s.caps.Granule)
	s.fails(array.Invalid, "shrink", err)
	_, err = grow.Extend(s.ctx, v.ID, 0)
	s.fails(array.Invalid, "shrink to nothing", err)
	_, err = grow.Extend(s.ctx, array.NewID(), want)
	s.fails(array.NotFound, "extend what never was", err)
	s.there(v)
	if s.Read != nil {
		s.reads(v.ID, 'e')
	}
}

// together: several who want the same get one; several who want others do not
// disturb each other.
func (s *suite) together() {
	same, others := s.id(), []array.ID{s.id(), s.id(), s.id()}
	unit := s.unit()
	// Whoever was kept out for a moment asks again.
	create := func(id array.ID) (err error) {
		for range 10 {
			if _, err = s.Array.Create(s.ctx, array.Request{ID: id, Size: unit}); !array.Is(err, array.Transient) {
				return err
			}
		}
		return err
	}
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			if err := create(same); err != nil {
				s.Errorf("the same: %v", err)
			}
			if err := create(others[n]); err != nil {
				s.Errorf("another: %v", err)
			}
			if _, err := s.Array.Export(s.ctx, same, s.grant(n%2, same)); err != nil {
				s.Errorf("export: %v", err)
			}
		})
	}
	wg.Wait()
	list := s.volumes()
	for _, id := range append(others, same) {
		if list[id].Size != unit {
			s.Errorf("%s is listed as %+v", id, list[id])
		}
	}
	if got := must[[]array.Export](s)(s.Array.Exports(s.ctx, same)); len(got) != 2 {
		s.Errorf("two were let in, %d are", len(got))
	}
}
