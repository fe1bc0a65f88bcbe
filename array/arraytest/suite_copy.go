package arraytest

import (
	"bytes"

	"onevolume"
	"onevolume/array"
)

// pattern is a block that can be told from others.
func pattern(letter byte) []byte { return bytes.Repeat([]byte{letter}, 4096) }

func (s *suite) reads(id array.ID, letter byte) {
	s.Helper()
	if got := s.Read(id, 4096); !bytes.Equal(got, pattern(letter)) {
		s.Errorf("%s begins with %q, want %q", id, got[:8], string(letter))
	}
}

// copier is an array that makes volumes from others, as far as it can.
type copier struct {
	array.Snapshotter
	array.Cloner
}

func (s *suite) copier() copier {
	var c copier
	if s.caps.Snapshots {
		c.Snapshotter = s.Array.(array.Snapshotter)
	}
	if s.caps.Clones {
		c.Cloner = s.Array.(array.Cloner)
	}
	return c
}

// revert: what was there is there again, as often as one likes, and other
// snapshots stay what they are.
func (s *suite) revert(back array.Reverter, shots array.Snapshotter) {
	v := s.volume()
	first, second := s.id(), s.id()
	s.Write(v.ID, pattern('a'))
	s.ok(errOf(shots.Snapshot(s.ctx, first, v.ID)))
	s.Write(v.ID, pattern('b'))
	s.ok(errOf(shots.Snapshot(s.ctx, second, v.ID)))
	for _, to := range []struct {
		id     array.ID
		letter byte
	}{{first, 'a'}, {first, 'a'}, {second, 'b'}} {
		got, err := back.Revert(s.ctx, v.ID, to.id)
		s.ok(err)
		if got.Size != v.Size {
			s.Errorf("it has %d bytes afterwards, it had %d", got.Size, v.Size)
		}
		s.reads(v.ID, to.letter)
	}
	_, err := back.Revert(s.ctx, v.ID, s.id())
	s.fails(array.NotFound, "revert to nothing", err)
	w := s.volume()
	_, err = back.Revert(s.ctx, w.ID, first)
	s.fails(array.NotFound, "revert to another volume's snapshot", err)
	_, err = back.Revert(s.ctx, s.id(), first)
	s.fails(array.NotFound, "revert what never was", err)
	if s.Login != nil {
		e := must[array.Export](s)(s.Array.Export(s.ctx, v.ID, s.grant(0, v.ID)))
		logout := must[func()](s)(s.Login(e))
		_, err := back.Revert(s.ctx, v.ID, first)
		s.held("revert with a session", err)
		logout()
		s.ok(s.Array.Unexport(s.ctx, v.ID, e.Initiator, false))
		s.reads(v.ID, 'b')
	}
	for _, id := range []array.ID{first, second} {
		s.ok(shots.DeleteSnapshot(s.ctx, id))
	}
}

func errOf[T any](_ T, err error) error { return err }

// snapshot: each of these twice, and what an array cannot it says.
func (s *suite) snapshot() {
	v := s.volume()
	s.clone(v)
	shots, can := s.Array.(array.Snapshotter)
	if !can {
		return
	}
	if back, can := s.Array.(array.Reverter); can && s.caps.Snapshots && s.Write != nil {
		s.revert(back, shots)
	}
	id := s.id()
	shot, err := shots.Snapshot(s.ctx, id, v.ID)
	if !s.caps.Snapshots {
		s.fails(array.Unsupported, "snapshot", err)
		_, err := shots.FromSnapshot(s.ctx, array.Request{ID: s.id(), Size: v.Size}, id)
		s.fails(array.Unsupported, "volume from snapshot", err)
		return
	}
	s.ok(err)
	if shot.ID != id || shot.Volume != v.ID || shot.Size != v.Size || shot.Name == "" {
		s.Errorf("%+v", shot)
	}
	for _, got := range []array.Snapshot{
		must[array.Snapshot](s)(shots.Snapshot(s.ctx, id, v.ID)),
		must[array.Snapshot](s)(shots.LookupSnapshot(s.ctx, id)),
		s.shots(shots)[id],
	} {
		if got != shot {
			s.Errorf("%+v at first, %+v then", shot, got)
		}
	}
	// A snapshot is no volume, and a volume no snapshot.
	s.gone(id)
	if _, ok := s.volumes()[id]; ok {
		s.Error("a snapshot is listed as a volume")
	}
	_, err = shots.LookupSnapshot(s.ctx, v.ID)
	s.fails(array.NotFound, "look for a volume among snapshots", err)
	s.ok(s.Array.Delete(s.ctx, id))
	s.ok(shots.DeleteSnapshot(s.ctx, v.ID))
	must[array.Snapshot](s)(shots.LookupSnapshot(s.ctx, id))
	s.there(v)

	w := s.volume()
	_, err = shots.Snapshot(s.ctx, id, w.ID)
	s.fails(array.Exists, "a snapshot that is there, of another volume", err)
	_, err = shots.Snapshot(s.ctx, s.id(), array.NewID())
	s.fails(array.NotFound, "snapshot of what never was", err)
	s.fromSnapshot(shots, shot)
	by := s.held("delete a volume with a snapshot", s.Array.Delete(s.ctx, v.ID))
	if len(by.Snapshots) != 1 || by.Snapshots[0] != id {
		s.Errorf("held by %+v", by)
	}
	s.there(v)
	for range 2 {
		s.ok(shots.DeleteSnapshot(s.ctx, id))
	}
	_, err = shots.LookupSnapshot(s.ctx, id)
	s.fails(array.NotFound, "look for a snapshot that is gone", err)
	s.ok(s.Array.Delete(s.ctx, v.ID))
}

// fromSnapshot makes volumes of it, and deletes them again.
func (s *suite) fromSnapshot(shots array.Snapshotter, shot array.Snapshot) {
	for _, size := range []onevolume.Size{shot.Size, shot.Size + s.caps.Granule} {
		r := array.Request{ID: s.id(), Size: size, Label: s.caps.CutLabel("copy")}
		c := must[array.Volume](s)(shots.FromSnapshot(s.ctx, r, shot.ID))
		if c.Size != size || c.From != shot.ID || c.ID != r.ID || s.caps.MaxLabel > 0 && c.Label != "copy" {
			s.Errorf("%+v", c)
		}
		again := must[array.Volume](s)(shots.FromSnapshot(s.ctx, r, shot.ID))
		if again.Used, c.Used = (array.Figure{}), (array.Figure{}); again != c {
			s.Errorf("%+v at first and %+v then", c, again)
		}
		_, err := s.Array.Create(s.ctx, array.Request{ID: r.ID, Size: size})
		s.fails(array.Exists, "an empty volume in the place of a copy", err)
		s.there(c)
		s.ok(s.Array.Delete(s.ctx, c.ID))
	}
	_, err := shots.FromSnapshot(s.ctx, array.Request{ID: s.id(), Size: shot.Size - s.caps.Granule}, shot.ID)
	s.fails(array.Invalid, "a copy that is smaller", err)
	_, err = shots.FromSnapshot(s.ctx, array.Request{ID: s.id(), Size: shot.Size}, array.NewID())
	s.fails(array.NotFound, "a copy of what never was", err)
}

func (s *suite) shots(shots array.Snapshotter) map[array.ID]array.Snapshot {
	s.Helper()
	list := map[array.ID]array.Snapshot{}
	for after := ""; ; {
		p := must[array.SnapshotPage](s)(shots.ListSnapshots(s.ctx, after))
		for _, shot := range p.Snapshots {
			list[shot.ID] = shot
		}
		if p.Next == "" {
			return list
		}
		after = p.Next
	}
}

func (s *suite) clone(v array.Volume) {
	clones, can := s.Array.(array.Cloner)
	if !can {
		return
	}
	r := array.Request{ID: s.id(), Size: v.Size}
	c, err := clones.Clone(s.ctx, r, v.ID)
	if !s.caps.Clones {
		s.fails(array.Unsupported, "clone", err)
		return
	}
	s.ok(err)
	if c.Size != v.Size || c.From != v.ID {
		s.Errorf("%+v", c)
	}
	again := must[array.Volume](s)(clones.Clone(s.ctx, r, v.ID))
	if again.Used, c.Used = (array.Figure{}), (array.Figure{}); again != c {
		s.Errorf("%+v at first and %+v then", c, again)
	}
	_, err = clones.Clone(s.ctx, array.Request{ID: s.id(), Size: v.Size}, array.NewID())
	s.fails(array.NotFound, "clone what never was", err)
	_, err = clones.Clone(s.ctx, array.Request{ID: s.id(), Size: v.Size - s.caps.Granule}, v.ID)
	s.fails(array.Invalid, "a clone that is smaller", err)
	s.ok(s.Array.Delete(s.ctx, c.ID))
}

// contents: a copy has what there was at its moment, whatever is written then.
func (s *suite) contents() {
	c := s.copier()
	v := s.volume()
	if s.caps.Zeroed {
		s.reads(v.ID, 0)
	}
	s.Write(v.ID, pattern('a'))
	s.reads(v.ID, 'a')
	var clone, shot, copied array.ID
	if c.Cloner != nil {
		clone = must[array.Volume](s)(c.Clone(s.ctx, array.Request{ID: s.id(), Size: v.Size}, v.ID)).ID
	}
	if c.Snapshotter != nil {
		shot = must[array.Snapshot](s)(c.Snapshot(s.ctx, s.id(), v.ID)).ID
	}
	s.Write(v.ID, pattern('b'))
	if c.Snapshotter != nil {
		copied = must[array.Volume](s)(c.FromSnapshot(s.ctx, array.Request{ID: s.id(), Size: v.Size + s.caps.Granule}, shot)).ID
		s.reads(copied, 'a')
		s.Write(copied, pattern('c'))
		second := must[array.Volume](s)(c.FromSnapshot(s.ctx, array.Request{ID: s.id(), Size: v.Size}, shot)).ID
		s.reads(second, 'a')
		s.reads(copied, 'c')
	}
	if clone != "" {
		s.reads(clone, 'a')
		s.Write(clone, pattern('d'))
	}
	s.reads(v.ID, 'b')
}

// orders: a volume, a snapshot of it, a copy of the snapshot and a clone of
// the volume, deleted in every order. What is held stays, and what is there
// holds; after all of it nothing is left.
func (s *suite) orders() {
	c := s.copier()
	if c.Snapshotter == nil || c.Cloner == nil {
		return
	}
	const volume, shot, copied, clone = 0, 1, 2, 3
	list := permutations(4)
	if s.Brief {
		list = [][]int{{volume, shot, copied, clone}, {clone, copied, shot, volume}, {shot, volume, clone, copied}}
	}
	for _, order := range list {
		v := s.volume()
		ids := [4]array.ID{volume: v.ID, shot: s.id(), copied: s.id(), clone: s.id()}
		must[array.Snapshot](s)(c.Snapshot(s.ctx, ids[shot], v.ID))
		must[array.Volume](s)(c.FromSnapshot(s.ctx, array.Request{ID: ids[copied], Size: v.Size}, ids[shot]))
		must[array.Volume](s)(c.Clone(s.ctx, array.Request{ID: ids[clone], Size: v.Size}, v.ID))
		there := [4]bool{true, true, true, true}
		for round := 0; there != [4]bool{}; round++ {
			if round == 4 {
				s.Fatalf("order %v: %v are left", order, there)
			}
			for _, n := range order {
				holds := n == volume && (there[shot] || there[clone] && s.caps.CloneNeeds == array.NeedsOrigin) ||
					n == shot && there[copied] && s.caps.CloneNeeds != array.NeedsNothing
				remove := s.Array.Delete
				if n == shot {
					remove = c.DeleteSnapshot
				}
				err := remove(s.ctx, ids[n])
				switch {
				case there[n] && holds:
					s.held("delete what is held", err)
				default:
					s.ok(err)
					there[n] = false
				}
			}
		}
	}
}

// permutations gives all orders of the numbers below n.
func permutations(n int) (list [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for at := range n {
			list = append(list, append(append(append([]int{}, p[:at]...), n-1), p[at:]...))
		}
	}
	return list
}
