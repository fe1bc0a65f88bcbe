package arraytest

import (
	"fmt"
	"slices"

	"onevolume/array"
)

// chore is something that a request may be lost of.
type chore struct {
	name string
	// ready arranges what the chore needs and gives the chore, and what must
	// be so when it is done.
	ready func(s *suite) (do func() error, check func())
}

// most requests that any chore may take: a driver that never comes to an end
// must not keep the test.
const mostRequests = 60

func (s *suite) answersLost()  { s.lost(true) }
func (s *suite) requestsLost() { s.lost(false) }

// lost loses each request of each chore in turn. The caller hears of it, or
// the driver has put it right by itself; the same call again must come to what
// it would have come to, and leave nothing else.
func (s *suite) lost(done bool) {
	for _, c := range s.chores() {
		if len(s.Chores) > 0 && !slices.Contains(s.Chores, c.name) {
			continue
		}
		for n := 1; ; n++ {
			if n > mostRequests {
				s.Fatalf("%s: more than %d requests", c.name, mostRequests)
			}
			do, check := c.ready(s)
			what := fmt.Sprintf("%s, request %d lost (done: %t)", c.name, n, done)
			came := s.Lose(n, done)
			err := do()
			if !came() {
				if err != nil {
					s.Fatalf("%s: nothing was lost, but %v", what, err)
				}
				check()
				break
			}
			if err != nil && !array.Is(err, array.Unknown) && !array.Is(err, array.Transient) {
				s.Errorf("%s: %v (%s), want unknown outcome, or transient when nothing was sent", what, err, array.KindOf(err))
			}
			if err := do(); err != nil {
				s.Fatalf("%s, and again: %v", what, err)
			}
			check()
		}
	}
}

func (s *suite) chores() []chore {
	list := []chore{
		{"create", func(s *suite) (func() error, func()) {
			r := array.Request{ID: s.id(), Size: s.unit()}
			return func() error { _, err := s.Array.Create(s.ctx, r); return err },
				func() { s.there(array.Volume{ID: r.ID, Name: s.nameOf(r.ID), Size: r.Size}) }
		}},
		{"delete", func(s *suite) (func() error, func()) {
			v := s.volume()
			return func() error { return s.Array.Delete(s.ctx, v.ID) }, func() { s.gone(v.ID) }
		}},
		{"export", func(s *suite) (func() error, func()) {
			v := s.volume()
			g := s.grant(0, v.ID)
			return func() error { _, err := s.Array.Export(s.ctx, v.ID, g); return err },
				func() { s.exported(v.ID, 0); s.lets(v, g) }
		}},
		{"unexport", func(s *suite) (func() error, func()) {
			v := s.volume()
			must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
			return func() error { return s.Array.Unexport(s.ctx, v.ID, s.Initiators[0], false) },
				func() {
					s.exported(v.ID)
					s.ok(s.Array.Delete(s.ctx, v.ID))
				}
		}},
		{"unexport of one of two", func(s *suite) (func() error, func()) {
			v := s.volume()
			must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
			g := s.grant(1, v.ID)
			must[array.Export](s)(s.Array.Export(s.ctx, v.ID, g))
			return func() error { return s.Array.Unexport(s.ctx, v.ID, s.Initiators[0], false) },
				func() { s.exported(v.ID, 1); s.lets(v, g) }
		}},
	}
	if grow, can := s.Array.(array.Extender); can && s.caps.Extend != array.ExtendNever {
		list = append(list, chore{"extend", func(s *suite) (func() error, func()) {
			v := s.volume()
			must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
			v.Size += s.caps.Granule
			return func() error { _, err := grow.Extend(s.ctx, v.ID, v.Size); return err }, func() { s.there(v) }
		}})
	}
	c := s.copier()
	if c.Cloner != nil {
		list = append(list, chore{"clone", func(s *suite) (func() error, func()) {
			v := s.volume()
			r := array.Request{ID: s.id(), Size: v.Size + s.caps.Granule}
			return func() error { _, err := c.Clone(s.ctx, r, v.ID); return err },
				func() { s.there(array.Volume{ID: r.ID, Name: s.nameOf(r.ID), Size: r.Size, From: v.ID}) }
		}})
	}
	if c.Snapshotter != nil {
		list = append(list, s.snapshotChores(c)...)
	}
	return list
}

func (s *suite) snapshotChores(c copier) []chore {
	list := []chore{
		{"snapshot", func(s *suite) (func() error, func()) {
			v, id := s.volume(), s.id()
			return func() error { _, err := c.Snapshot(s.ctx, id, v.ID); return err }, func() {
				if got := must[array.Snapshot](s)(c.LookupSnapshot(s.ctx, id)); got.Volume != v.ID || got.Size != v.Size {
					s.Errorf("%+v", got)
				}
			}
		}},
		{"volume from snapshot", func(s *suite) (func() error, func()) {
			v := s.volume()
			shot := must[array.Snapshot](s)(c.Snapshot(s.ctx, s.id(), v.ID))
			r := array.Request{ID: s.id(), Size: v.Size + s.caps.Granule}
			return func() error { _, err := c.FromSnapshot(s.ctx, r, shot.ID); return err },
				func() { s.there(array.Volume{ID: r.ID, Name: s.nameOf(r.ID), Size: r.Size, From: shot.ID}) }
		}},
		{"delete a snapshot", func(s *suite) (func() error, func()) {
			v := s.volume()
			shot := must[array.Snapshot](s)(c.Snapshot(s.ctx, s.id(), v.ID))
			return func() error { return c.DeleteSnapshot(s.ctx, shot.ID) }, func() {
				_, err := c.LookupSnapshot(s.ctx, shot.ID)
				s.fails(array.NotFound, "look for a snapshot that is gone", err)
				s.ok(s.Array.Delete(s.ctx, v.ID))
			}
		}},
	}
	if back, can := s.Array.(array.Reverter); can && s.Write != nil {
		list = append(list, chore{"revert", func(s *suite) (func() error, func()) {
			v := s.volume()
			s.Write(v.ID, pattern('a'))
			shot := must[array.Snapshot](s)(c.Snapshot(s.ctx, s.id(), v.ID))
			s.Write(v.ID, pattern('b'))
			return func() error { _, err := back.Revert(s.ctx, v.ID, shot.ID); return err },
				func() { s.there(v); s.reads(v.ID, 'a') }
		}})
	}
	return list
}

// nameOf is what the array calls a volume.
func (s *suite) nameOf(id array.ID) string {
	s.Helper()
	return must[array.Volume](s)(s.Array.Lookup(s.ctx, id)).Name
}

// lets proves that the initiator gets in.
func (s *suite) lets(v array.Volume, g array.Grant) {
	s.Helper()
	if s.Login == nil {
		return
	}
	for _, e := range must[[]array.Export](s)(s.Array.Exports(s.ctx, v.ID)) {
		if e.Initiator == g.Initiator {
			e.Target.CHAP = g.CHAP
			must[func()](s)(s.Login(e))()
		}
	}
}
