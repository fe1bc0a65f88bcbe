package arraytest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"onevolume"
	"onevolume/array"
)

// Memory is an array made of memory. It keeps the contract, holds what is
// written to the first bytes of its volumes, and can lose requests as a
// network does. Its zero value is of no use; see NewMemory.
type Memory struct {
	caps  array.Capabilities
	total onevolume.Size

	mu     sync.Mutex
	things map[string]*thing // by name
	serial int               // counts things, for the order of lists
	lose   *loss
	down   error
}

// thing is a volume or a snapshot, or somebody else's when it has no id.
type thing struct {
	name     string
	id       array.ID
	order    int
	size     onevolume.Size
	label    string
	from, of array.ID // of a volume; of a snapshot
	depends  bool     // on from
	data     []byte
	exports  map[onevolume.IQN]onevolume.CHAP
	saved    map[onevolume.IQN]onevolume.CHAP // what survives a restart
	sessions map[onevolume.IQN]int
}

var (
	_ array.Array       = (*Memory)(nil)
	_ array.Extender    = (*Memory)(nil)
	_ array.Snapshotter = (*Memory)(nil)
	_ array.Cloner      = (*Memory)(nil)
	_ array.Reverter    = (*Memory)(nil)
)

// NewMemory makes an array with that many bytes of space, all of which may be
// provisioned once.
func NewMemory(caps array.Capabilities, total onevolume.Size) *Memory {
	return &Memory{caps: caps, total: total, things: map[string]*thing{}}
}

// loss is a request that gets lost.
type loss struct {
	left int
	done bool
	came bool
}

// Lose loses the n-th request from now on; see Fixture.Lose.
func (m *Memory) Lose(n int, done bool) func() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &loss{left: n, done: done}
	m.lose = l
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.lose = nil
		return l.came
	}
}

// Down makes every request fail with the error until it is nil.
func (m *Memory) Down(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

// request is one exchange with the array, during which nothing else happens.
func (m *Memory) request(ctx context.Context, do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return array.Errorf(array.Transient, "the array was not asked: %w", err)
	}
	if m.down != nil {
		return m.down
	}
	if l := m.lose; l != nil && !l.came {
		if l.left--; l.left == 0 {
			l.came = true
			if l.done {
				_ = do() // nobody hears of it
			}
			return array.Errorf(array.Unknown, "the array's answer was lost")
		}
	}
	return do()
}

// Capabilities gives what NewMemory was given.
func (m *Memory) Capabilities(ctx context.Context) (array.Capabilities, error) {
	return m.caps, m.request(ctx, func() error { return nil })
}

// get finds what is ours.
func (m *Memory) get(id array.ID, snapshot bool) *thing {
	if t := m.things[id.Name()]; t != nil && t.id == id && (t.of != "") == snapshot {
		return t
	}
	return nil
}

func (m *Memory) volume(id array.ID) (*thing, error) {
	if t := m.get(id, false); t != nil {
		return t, nil
	}
	return nil, array.Errorf(array.NotFound, "there is no volume %s on the array", id)
}

func (m *Memory) provisioned() (n onevolume.Size) {
	for _, t := range m.things {
		n += t.size
	}
	return n
}

// room says whether that much more may be provisioned.
func (m *Memory) room(more onevolume.Size) error {
	if used := m.provisioned(); more > m.total-used {
		return array.Errorf(array.NoSpace, "%s more do not fit into the array: %s of %s are provisioned", more.Exact(), used.Exact(), m.total.Exact())
	}
	return nil
}

func (m *Memory) add(t *thing) error {
	if err := m.room(t.size); err != nil {
		return err
	}
	m.serial++
	t.name, t.order = t.id.Name(), m.serial
	t.exports, t.saved, t.sessions = map[onevolume.IQN]onevolume.CHAP{}, map[onevolume.IQN]onevolume.CHAP{}, map[onevolume.IQN]int{}
	m.things[t.name] = t
	return nil
}

func (t *thing) volume() array.Volume {
	return array.Volume{ID: t.id, Name: t.name, Size: t.size, Used: array.Known(onevolume.Size(len(t.data))), Label: t.label, From: t.from}
}

// make makes a volume, out of another thing or of nothing, in two requests
// as most arrays need them: the copy has the size of its source at first.
func (m *Memory) make(ctx context.Context, r array.Request, source array.ID, snapshot, depends bool) (v array.Volume, err error) {
	if err := r.ID.Check(); err != nil {
		return v, err
	}
	if err := m.caps.CheckLabel(r.Label); err != nil {
		return v, err
	}
	size, err := m.caps.Round(r.Size)
	if err != nil {
		return v, err
	}
	err = m.request(ctx, func() error {
		if t := m.things[r.ID.Name()]; t != nil {
			return t.same(r.ID, size, source)
		}
		t := &thing{id: r.ID, size: size, from: source, depends: depends}
		if m.caps.MaxLabel > 0 {
			t.label = r.Label
		}
		if source != "" {
			s := m.get(source, snapshot)
			if s == nil {
				return array.Errorf(array.NotFound, "there is no %s on the array", source)
			}
			if size < s.size {
				return array.Errorf(array.Invalid, "a volume of %s cannot hold what is on %s, of %s", size.Exact(), source, s.size.Exact())
			}
			if err := m.room(size); err != nil {
				return err
			}
			t.size, t.data = s.size, bytes.Clone(s.data)
		}
		return m.add(t)
	})
	if err != nil {
		return v, err
	}
	err = m.request(ctx, func() error {
		t, err := m.volume(r.ID)
		if err != nil {
			return err
		}
		if err := m.room(max(0, size-t.size)); err != nil {
			return err
		}
		t.size = max(t.size, size)
		v = t.volume()
		return nil
	})
	return v, err
}

// same says whether what is there is what was asked for. A copy may still be
// as small as its source.
func (t *thing) same(id array.ID, size onevolume.Size, source array.ID) error {
	switch {
	case t.id != id || t.of != "":
		return array.Errorf(array.Exists, "%s is there and not ours", t.name)
	case t.from != source || t.size > size || t.size < size && source == "":
		return array.Errorf(array.Exists, "volume %s is there with %s", id, t.size.Exact())
	}
	return nil
}

// Create as in array.Array.
func (m *Memory) Create(ctx context.Context, r array.Request) (array.Volume, error) {
	return m.make(ctx, r, "", false, false)
}

// FromSnapshot as in array.Snapshotter.
func (m *Memory) FromSnapshot(ctx context.Context, r array.Request, snapshot array.ID) (array.Volume, error) {
	if !m.caps.Snapshots {
		return array.Volume{}, array.Errorf(array.Unsupported, "the array has no snapshots")
	}
	return m.make(ctx, r, snapshot, true, m.caps.CloneNeeds != array.NeedsNothing)
}

// Clone as in array.Cloner.
func (m *Memory) Clone(ctx context.Context, r array.Request, volume array.ID) (array.Volume, error) {
	if !m.caps.Clones {
		return array.Volume{}, array.Errorf(array.Unsupported, "the array has no clones")
	}
	return m.make(ctx, r, volume, false, m.caps.CloneNeeds == array.NeedsOrigin)
}

// holders is what keeps a thing from being deleted.
func (m *Memory) holders(t *thing) (by array.Holders) {
	by.Sessions = slices.Sorted(maps.Keys(t.sessions))
	by.Exports = slices.Sorted(maps.Keys(t.exports))
	for _, o := range m.ordered() {
		switch {
		case o.of == t.id:
			by.Snapshots = append(by.Snapshots, o.id)
		case o.from == t.id && o.depends:
			by.Clones = append(by.Clones, o.id)
		}
	}
	slices.Sort(by.Snapshots)
	slices.Sort(by.Clones)
	return by
}

func (m *Memory) remove(ctx context.Context, id array.ID, snapshot bool) error {
	if err := id.Check(); err != nil {
		return err
	}
	return m.request(ctx, func() error {
		t := m.get(id, snapshot)
		if t == nil {
			return nil
		}
		if by := m.holders(t); by.Any() {
			return array.InUse(t.name, by)
		}
		delete(m.things, t.name)
		return nil
	})
}

// Delete as in array.Array.
func (m *Memory) Delete(ctx context.Context, id array.ID) error { return m.remove(ctx, id, false) }

// DeleteSnapshot as in array.Snapshotter.
func (m *Memory) DeleteSnapshot(ctx context.Context, id array.ID) error {
	return m.remove(ctx, id, true)
}

// Lookup as in array.Array.
func (m *Memory) Lookup(ctx context.Context, id array.ID) (v array.Volume, err error) {
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err == nil {
			v = t.volume()
		}
		return err
	})
	return v, err
}

// ordered gives all things that are ours in the order they were made.
func (m *Memory) ordered() (list []*thing) {
	for _, t := range m.things {
		if t.id != "" {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *thing) int { return a.order - b.order })
	return list
}

// page gives the things behind a place, and the next place.
func (m *Memory) page(after string, snapshots bool) (list []*thing, next string, err error) {
	place := 0
	if after != "" {
		if _, err := fmt.Sscanf(after, "%d", &place); err != nil {
			return nil, "", array.Errorf(array.Invalid, "%q is no place in a list", after)
		}
	}
	for _, t := range m.ordered() {
		if t.order <= place || (t.of != "") != snapshots {
			continue
		}
		if len(list) == max(1, m.caps.PageSize) {
			return list, fmt.Sprint(list[len(list)-1].order), nil
		}
		list = append(list, t)
	}
	return list, "", nil
}

// List as in array.Array.
func (m *Memory) List(ctx context.Context, after string) (p array.Page, err error) {
	err = m.request(ctx, func() error {
		list, next, err := m.page(after, false)
		p.Next = next
		for _, t := range list {
			p.Volumes = append(p.Volumes, t.volume())
		}
		return err
	})
	return p, err
}

// Stats as in array.Array.
func (m *Memory) Stats(ctx context.Context) (s array.Stats, err error) {
	err = m.request(ctx, func() error {
		var used onevolume.Size
		for _, t := range m.things {
			used += onevolume.Size(len(t.data))
		}
		s = array.Stats{
			Vendor: "onevolume", Model: "memory", Total: array.Known(m.total), Used: array.Known(used), Free: array.Known(m.total - used),
			Provisioned: array.Known(m.provisioned()), Limit: array.Known(m.total),
		}
		return nil
	})
	return s, err
}

// Extend as in array.Extender.
func (m *Memory) Extend(ctx context.Context, id array.ID, size onevolume.Size) (v array.Volume, err error) {
	if m.caps.Extend == array.ExtendNever {
		return v, array.Errorf(array.Unsupported, "the array's volumes do not grow")
	}
	size, err = m.caps.Round(size)
	if err != nil {
		return v, err
	}
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err != nil {
			return err
		}
		switch {
		case size < t.size:
			return array.Errorf(array.Invalid, "volume %s has %s and cannot shrink to %s", id, t.size.Exact(), size.Exact())
		case size > t.size && m.caps.Extend == array.ExtendOffline && len(t.sessions) > 0:
			return array.InUse("volume "+string(id), array.Holders{Sessions: slices.Sorted(maps.Keys(t.sessions))})
		}
		if err := m.room(size - t.size); err != nil {
			return err
		}
		t.size = size
		v = t.volume()
		return nil
	})
	return v, err
}

// Snapshot as in array.Snapshotter.
func (m *Memory) Snapshot(ctx context.Context, id, volume array.ID) (s array.Snapshot, err error) {
	if !m.caps.Snapshots {
		return s, array.Errorf(array.Unsupported, "the array has no snapshots")
	}
	if err := id.Check(); err != nil {
		return s, err
	}
	err = m.request(ctx, func() error {
		if t := m.things[id.Name()]; t != nil {
			if t.id != id || t.of != volume {
				return array.Errorf(array.Exists, "%s is there and not that snapshot", t.name)
			}
			s = t.snapshot()
			return nil
		}
		v, err := m.volume(volume)
		if err != nil {
			return err
		}
		t := &thing{id: id, of: volume, size: v.size, data: bytes.Clone(v.data)}
		if err := m.add(t); err != nil {
			return err
		}
		s = t.snapshot()
		return nil
	})
	return s, err
}

// Revert as in array.Reverter.
func (m *Memory) Revert(ctx context.Context, volume, snapshot array.ID) (v array.Volume, err error) {
	err = m.request(ctx, func() error {
		t, err := m.volume(volume)
		if err != nil {
			return err
		}
		s := m.get(snapshot, true)
		if s == nil || s.of != volume {
			return array.Errorf(array.NotFound, "there is no snapshot %s of volume %s on the array", snapshot, volume)
		}
		if len(t.sessions) > 0 {
			return array.InUse("volume "+string(volume), array.Holders{Sessions: slices.Sorted(maps.Keys(t.sessions))})
		}
		t.size, t.data = s.size, bytes.Clone(s.data)
		v = t.volume()
		return nil
	})
	return v, err
}

func (t *thing) snapshot() array.Snapshot {
	return array.Snapshot{ID: t.id, Name: t.name, Volume: t.of, Size: t.size}
}

// LookupSnapshot as in array.Snapshotter.
func (m *Memory) LookupSnapshot(ctx context.Context, id array.ID) (s array.Snapshot, err error) {
	err = m.request(ctx, func() error {
		t := m.get(id, true)
		if t == nil {
			return array.Errorf(array.NotFound, "there is no snapshot %s on the array", id)
		}
		s = t.snapshot()
		return nil
	})
	return s, err
}

// ListSnapshots as in array.Snapshotter.
func (m *Memory) ListSnapshots(ctx context.Context, after string) (p array.SnapshotPage, err error) {
	err = m.request(ctx, func() error {
		list, next, err := m.page(after, true)
		p.Next = next
		for _, t := range list {
			p.Snapshots = append(p.Snapshots, t.snapshot())
		}
		return err
	})
	return p, err
}
