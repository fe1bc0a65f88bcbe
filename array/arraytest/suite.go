// Package arraytest has the tests that every driver of an array passes, and
// an array made of memory that passes them, for tests of what uses arrays.
package arraytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
)

// Fixture is an array on which a driver is tested. Tests remove what they
// make, so the array may be the same for all of them. What is nil cannot be
// arranged there, and the tests that need it are not run.
type Fixture struct {
	Array array.Array
	// Initiators are two names that volumes are exported to.
	Initiators [2]onevolume.IQN

	// Login logs the initiator in that the export names, with the export's
	// credentials, or says why the target did not take it.
	Login func(e array.Export) (logout func(), err error)

	// Write writes to the beginning of a volume, past all caches, and Read
	// reads there.
	Write func(id array.ID, data []byte)
	Read  func(id array.ID, n int) []byte

	// Squat puts something that is not ours in the place of the name that
	// the ID's volume would have.
	Squat func(id array.ID) (still func() bool, remove func())

	// Lose loses the n-th request that the driver makes from now on, the
	// first being 1: with done it takes effect and its answer is lost, else
	// it never arrives. Whatever is asked of the driver afterwards arrives
	// again. The function it gives ends that, and says whether the request
	// came.
	Lose func(n int, done bool) (came func() bool)
	// LoseAnswersOnly leaves requests that never arrive to others: on real
	// hosts each test costs seconds.
	LoseAnswersOnly bool
	// Chores are those of which requests are lost; all when empty. It is for
	// drivers that share the others with one on which all are tried.
	Chores []string

	// Brief tries a few of all orders of deletion, for the same reason.
	Brief bool

	// Restart restarts the array as a power cut would.
	Restart func()

	// State is all there is on the array, ours or not, as a text. It must be
	// the same after each test as before.
	State func() string
}

// suite is one test's.
type suite struct {
	*testing.T
	Fixture
	ctx  context.Context
	caps array.Capabilities
	made []array.ID // newest last
}

// Run runs the suite. fixture may give the same array each time.
func Run(t *testing.T, fixture func(t *testing.T) Fixture) {
	able := fixture(t)
	all := func(Fixture) bool { return true }
	sessions := func(f Fixture) bool { return f.Login != nil }
	data := func(f Fixture) bool { return f.Write != nil }
	for _, c := range []struct {
		name  string
		needs func(Fixture) bool
		test  func(s *suite)
	}{
		{"capabilities and figures", all, (*suite).figures},
		{"create and delete twice", all, (*suite).create},
		{"sizes that round", all, (*suite).sizes},
		{"labels at the limit", all, (*suite).labels},
		{"requests that cannot be", all, (*suite).invalid},
		{"somebody else's name", func(f Fixture) bool { return f.Squat != nil }, (*suite).squatted},
		{"list beyond a page", all, (*suite).list},
		{"no space", all, (*suite).full},
		{"extend", all, (*suite).extend},
		{"extend with a session", sessions, (*suite).extendInUse},
		{"export twice", all, (*suite).export},
		{"sessions", sessions, (*suite).session},
		{"fence", sessions, (*suite).fence},
		{"who may log in", sessions, (*suite).admission},
		{"snapshot and copies", all, (*suite).snapshot},
		{"what snapshots hold", data, (*suite).contents},
		{"every order of deletion", all, (*suite).orders},
		{"restart", func(f Fixture) bool { return f.Restart != nil }, (*suite).restart},
		{"at the same time", all, (*suite).together},
		{"answers lost", func(f Fixture) bool { return f.Lose != nil }, (*suite).answersLost},
		{"requests lost", func(f Fixture) bool { return f.Lose != nil && !f.LoseAnswersOnly }, (*suite).requestsLost},
	} {
		if !c.needs(able) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := &suite{T: t, Fixture: fixture(t), ctx: t.Context()}
			caps, err := s.Array.Capabilities(s.ctx)
			if err != nil {
				t.Fatal(err)
			}
			s.caps = caps
			before := s.state()
			s.Cleanup(func() { s.tidy(before) })
			c.test(s)
		})
	}
}

func (s *suite) state() string {
	if s.State == nil {
		return ""
	}
	return s.State()
}

// tidy removes what the test made, whatever became of it.
func (s *suite) tidy(before string) {
	s.ctx = context.WithoutCancel(s.ctx)
	for range 3 { // what depends on others goes first
		volumes, shots := s.left()
		if len(volumes)+len(shots) == 0 {
			break
		}
		for _, id := range slices.Backward(s.made) {
			if volumes[id] {
				for _, initiator := range s.Initiators {
					_ = s.Array.Unexport(s.ctx, id, initiator, true)
				}
				_ = s.Array.Delete(s.ctx, id)
			}
			if shots[id] {
				_ = s.Array.(array.Snapshotter).DeleteSnapshot(s.ctx, id)
			}
		}
	}
	if after := s.state(); after != before {
		s.Errorf("the array is not as it was. Before:\n%s\nafter:\n%s", before, after)
	}
}

// left gives what the array lists of what the test made: on a real one each
// request that removes nothing takes its time too.
func (s *suite) left() (volumes, shots map[array.ID]bool) {
	volumes, shots = map[array.ID]bool{}, map[array.ID]bool{}
	for after := ""; ; {
		p, err := s.Array.List(s.ctx, after)
		for _, v := range p.Volumes {
			volumes[v.ID] = slices.Contains(s.made, v.ID)
		}
		if after = p.Next; err != nil || after == "" {
			break
		}
	}
	list, can := s.Array.(array.Snapshotter)
	for after := ""; can && s.caps.Snapshots; {
		p, err := list.ListSnapshots(s.ctx, after)
		for _, shot := range p.Snapshots {
			shots[shot.ID] = slices.Contains(s.made, shot.ID)
		}
		if after = p.Next; err != nil || after == "" {
			break
		}
	}
	maps.DeleteFunc(volumes, func(_ array.ID, ours bool) bool { return !ours })
	maps.DeleteFunc(shots, func(_ array.ID, ours bool) bool { return !ours })
	return volumes, shots
}

// id makes an ID of which everything is removed at the end.
func (s *suite) id() array.ID {
	id := array.NewID()
	s.made = append(s.made, id)
	return id
}

// unit is a size that is none of the granule's first few.
func (s *suite) unit() onevolume.Size { return s.round(max(16<<20, 4*s.caps.Granule)) }

func (s *suite) round(n onevolume.Size) onevolume.Size {
	s.Helper()
	n, err := s.caps.Round(n)
	if err != nil {
		s.Fatal(err)
	}
	return n
}

// must fails the test on an error.
func must[T any](s *suite) func(v T, err error) T {
	return func(v T, err error) T {
		s.Helper()
		if err != nil {
			s.Fatalf("%v (%s)", err, array.KindOf(err))
		}
		return v
	}
}

func (s *suite) ok(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v (%s)", err, array.KindOf(err))
	}
}

// fails asks for an error of the kind.
func (s *suite) fails(kind array.Kind, what string, err error) {
	s.Helper()
	if !array.Is(err, kind) {
		s.Errorf("%s: %v (%s), want an error that is %q", what, err, array.KindOf(err), kind)
	}
}

// held gives what an error says something is held by.
func (s *suite) held(what string, err error) array.Holders {
	s.Helper()
	s.fails(array.Busy, what, err)
	if e, ok := err.(*array.Error); ok { //nolint:errorlint // it must be this one
		if !e.By.Any() || !strings.Contains(e.Error(), e.By.String()) {
			s.Errorf("%s: %v does not say by what", what, err)
		}
		return e.By
	}
	return array.Holders{}
}

// volume makes one of the usual size.
func (s *suite) volume() array.Volume {
	s.Helper()
	return must[array.Volume](s)(s.Array.Create(s.ctx, array.Request{ID: s.id(), Size: s.unit()}))
}

func (s *suite) there(v array.Volume) {
	s.Helper()
	got := must[array.Volume](s)(s.Array.Lookup(s.ctx, v.ID))
	if got.Used, v.Used = (array.Figure{}), (array.Figure{}); got != v {
		s.Errorf("the array has %+v, not %+v", got, v)
	}
}

func (s *suite) gone(id array.ID) {
	s.Helper()
	_, err := s.Array.Lookup(s.ctx, id)
	s.fails(array.NotFound, "look for what is gone", err)
}

// volumes lists everything, page by page.
func (s *suite) volumes() map[array.ID]array.Volume {
	s.Helper()
	list := map[array.ID]array.Volume{}
	for after := ""; ; {
		p := must[array.Page](s)(s.Array.List(s.ctx, after))
		if s.caps.PageSize > 0 && len(p.Volumes) > s.caps.PageSize {
			s.Errorf("a page of %d, at most %d", len(p.Volumes), s.caps.PageSize)
		}
		for _, v := range p.Volumes {
			if _, twice := list[v.ID]; twice {
				s.Errorf("%s is listed twice", v.ID)
			}
			list[v.ID] = v
		}
		if p.Next == "" {
			return list
		}
		after = p.Next
	}
}

func (s *suite) grant(n int, id array.ID) array.Grant {
	return array.Grant{Initiator: s.Initiators[n], CHAP: array.NewCHAP(id)}
}
