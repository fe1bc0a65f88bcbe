package linux

import (
	"context"
	"fmt"
	"sort"

	"onevolume"
	"onevolume/array"
)

// Capabilities as in array.Array.
func (m *Machine) Capabilities(ctx context.Context) (caps array.Capabilities, err error) {
	err = m.reading(ctx, "look at the array", func(o *Op) error {
		c, err := m.look(ctx, o)
		if err == nil {
			caps = c.caps
		}
		return err
	})
	return caps, err
}

// Stats as in array.Array.
func (m *Machine) Stats(ctx context.Context) (s array.Stats, err error) {
	err = m.reading(ctx, "look at the array", func(o *Op) error {
		c, err := m.look(ctx, o)
		if err == nil {
			s = c.stats
		}
		return err
	})
	return s, err
}

// Create as in array.Array.
func (m *Machine) Create(ctx context.Context, r array.Request) (array.Volume, error) {
	return m.make(ctx, r, "", false)
}

// FromSnapshot as in array.Snapshotter.
func (m *Machine) FromSnapshot(ctx context.Context, r array.Request, snapshot array.ID) (array.Volume, error) {
	if err := snapshot.Check(); err != nil {
		return array.Volume{}, err
	}
	return m.make(ctx, r, snapshot, true)
}

// Clone as in array.Cloner.
func (m *Machine) Clone(ctx context.Context, r array.Request, volume array.ID) (array.Volume, error) {
	if err := volume.Check(); err != nil {
		return array.Volume{}, err
	}
	return m.make(ctx, r, volume, false)
}

// make makes a volume, of nothing or of another.
func (m *Machine) make(ctx context.Context, r array.Request, source array.ID, shot bool) (v array.Volume, err error) {
	if err := r.ID.Check(); err != nil {
		return v, err
	}
	what, raw := "create volume "+string(r.ID), false
	err = m.changing(ctx, what, func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		if err := c.caps.CheckLabel(r.Label); err != nil {
			return err
		}
		size, err := c.caps.Round(r.Size)
		if err != nil {
			return err
		}
		u, err := m.begin(ctx, o, c, r, source, shot, size)
		if err != nil {
			return err
		}
		if u, err = m.finish(ctx, o, u, size); err != nil {
			return err
		}
		v, raw = u.volume(), u.raw.is
		if k, keeps := m.target.(Keeper); keeps {
			return k.Keep(ctx, o, u)
		}
		return nil
	})
	if err == nil && raw {
		err = m.blank(ctx, what, r.ID)
	}
	return v, err
}

// begin gives the unit that is there, or makes it. A copy has the size of its
// source then.
func (m *Machine) begin(ctx context.Context, o *Op, c *content, r array.Request, source array.ID, shot bool, size onevolume.Size) (Unit, error) {
	if u, there := c.taken(r.ID); there {
		switch {
		case u.ID != r.ID || u.Shot:
			return u, o.Fail(array.Exists, "%s is on the array and is not this volume", u.Name).
				WithHint("onevolume takes nothing over that it did not make: rename or remove it, or create the volume anew")
		case u.From != source || u.Size > size || u.Size < size && source == "":
			return u, o.Fail(array.Exists, "it is there already with %s, made from %q", u.Size.Exact(), string(u.From))
		case u.Size < size: // a copy that was not grown yet
			return u, c.fits(size - u.Size)
		}
		return u, nil
	}
	u := Unit{Name: r.ID.Name(), Size: size, ID: r.ID, From: source, Label: r.Label}
	if c.caps.MaxLabel == 0 {
		u.Label = ""
	}
	if source == "" {
		if err := c.fits(size); err != nil {
			return u, err
		}
		return m.made(ctx, o, u, m.pool.create(ctx, o, u))
	}
	if shot && !c.caps.Snapshots || !shot && !c.caps.Clones {
		return u, o.Fail(array.Unsupported, "%s makes no copies of volumes", c.stats.Model)
	}
	from, there := c.find(source, shot)
	if !there {
		return u, missing(map[bool]string{true: "snapshot", false: "volume"}[shot], source)
	}
	if size < from.Size {
		return u, o.Fail(array.Invalid, "%s cannot hold what is on %s, of %s", size.Exact(), source, from.Size.Exact())
	}
	if err := c.fits(size); err != nil {
		return u, err
	}
	return m.made(ctx, o, u, m.pool.copy(ctx, o, u, from))
}

// made reads back what was made.
func (m *Machine) made(ctx context.Context, o *Op, u Unit, err error) (Unit, error) {
	if err != nil {
		return u, err
	}
	c, err := m.look(ctx, o)
	if err != nil {
		return u, err
	}
	found, there := c.find(u.ID, u.Shot)
	if !there {
		return u, o.Fail(array.Refused, "the array said that it is made, and does not show it")
	}
	return found, nil
}

// finish makes a unit as large and as ready as it has to be.
func (m *Machine) finish(ctx context.Context, o *Op, u Unit, size onevolume.Size) (Unit, error) {
	if u.heir != "" {
		var err error
		if u, err = m.made(ctx, o, u, m.pool.succeed(ctx, o, u)); err != nil {
			return u, err
		}
	}
	if !u.Active {
		if err := m.pool.activate(ctx, o, u); err != nil {
			return u, err
		}
		u.Active = true
	}
	if u.Size == size {
		return u, nil
	}
	return m.made(ctx, o, u, m.pool.extend(ctx, o, u, size))
}

// Delete as in array.Array.
func (m *Machine) Delete(ctx context.Context, id array.ID) error {
	if err := id.Check(); err != nil {
		return err
	}
	return m.changing(ctx, "delete volume "+string(id), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, false)
		if !there {
			return m.strike(ctx, o, c, id)
		}
		by := array.Holders{}
		for _, s := range c.units {
			if s.Shot && s.Of == id {
				by.Snapshots = append(by.Snapshots, s.ID)
			}
		}
		if err := m.users(ctx, o, id, &by); err != nil {
			return err
		}
		if by.Any() {
			return array.InUse("volume "+string(id), by)
		}
		if left, there := c.heir(id); there {
			if err := m.pool.remove(ctx, o, left); err != nil {
				return err
			}
		}
		if err := m.strike(ctx, o, c, id); err != nil {
			return err
		}
		return m.pool.remove(ctx, o, u)
	})
}

// strike takes the volume out of the machine's own list, unless what has its
// name there is somebody else's.
func (m *Machine) strike(ctx context.Context, o *Op, c *content, id array.ID) error {
	k, keeps := m.target.(Keeper)
	if u, there := c.taken(id); !keeps || there && u.ID != id {
		return nil
	}
	return k.Strike(ctx, o, id)
}

// users adds those who may use the volume, and who do.
func (m *Machine) users(ctx context.Context, o *Op, id array.ID, by *array.Holders) error {
	exports, sessions, err := m.target.Exports(ctx, o, id)
	for _, e := range exports {
		by.Exports = append(by.Exports, e.Initiator)
	}
	by.Sessions = initiators(sessions)
	return err
}

func initiators(sessions []array.Session) (list []onevolume.IQN) {
	for _, s := range sessions {
		list = append(list, s.Initiator)
	}
	return list
}

// Lookup as in array.Array.
func (m *Machine) Lookup(ctx context.Context, id array.ID) (v array.Volume, err error) {
	if err := id.Check(); err != nil {
		return v, err
	}
	err = m.reading(ctx, "look for volume "+string(id), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, false)
		if !there {
			return missing("volume", id)
		}
		v = u.volume()
		return nil
	})
	return v, err
}

// List as in array.Array. The place in a list is the name behind which it
// goes on.
func (m *Machine) List(ctx context.Context, after string) (p array.Page, err error) {
	list, next, err := m.page(ctx, after, false)
	for _, u := range list {
		p.Volumes = append(p.Volumes, u.volume())
	}
	p.Next = next
	return p, err
}

func (m *Machine) page(ctx context.Context, after string, shots bool) (list []Unit, next string, err error) {
	err = m.reading(ctx, "list volumes", func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		from := sort.Search(len(c.units), func(i int) bool { return c.units[i].Name > after })
		for _, u := range c.units[from:] {
			if u.ID == "" || u.Shot != shots {
				continue
			}
			if len(list) == m.opt.PageSize {
				next = list[len(list)-1].Name
				return nil
			}
			list = append(list, u)
		}
		return nil
	})
	return list, next, err
}

// Extend as in array.Extender.
func (m *Machine) Extend(ctx context.Context, id array.ID, size onevolume.Size) (v array.Volume, err error) {
	if err := id.Check(); err != nil {
		return v, err
	}
	what := "extend volume " + string(id)
	v, raw, err := m.extend(ctx, what, id, size)
	if err == nil && raw {
		if err = m.blank(ctx, what, id); err == nil {
			v, raw, err = m.extend(ctx, what, id, size)
		}
		if err == nil && raw {
			err = array.Errorf(array.Transient, "%s: somebody else extends it", what)
		}
	}
	return v, err
}

// extend makes the volume larger. What it has got may be raw; else those it is
// exported to are shown its new size.
func (m *Machine) extend(ctx context.Context, what string, id array.ID, size onevolume.Size) (v array.Volume, raw bool, err error) {
	err = m.changing(ctx, what, func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, false)
		if !there {
			return missing("volume", id)
		}
		if size, err = c.caps.Round(size); err != nil {
			return err
		}
		if size < u.Size {
			return o.Fail(array.Invalid, "it has %s and does not shrink to %s", u.Size.Exact(), size.Exact())
		}
		if m.target.Extend() == array.ExtendOffline {
			_, sessions, err := m.target.Exports(ctx, o, id)
			if err != nil {
				return err
			}
			if len(sessions) > 0 {
				return array.InUse("volume "+string(id), array.Holders{Sessions: initiators(sessions)})
			}
		}
		if size > u.Size {
			if err := c.fits(size - u.Size); err != nil {
				return err
			}
		}
		if u, err = m.finish(ctx, o, u, size); err != nil {
			return err
		}
		if v, raw = u.volume(), u.raw.is; raw {
			return nil
		}
		// Also when it had the size already: the call before this one may
		// have died in between.
		return m.target.Grown(ctx, o, u)
	})
	return v, raw, err
}

// Snapshot as in array.Snapshotter.
func (m *Machine) Snapshot(ctx context.Context, id, volume array.ID) (s array.Snapshot, err error) {
	for _, id := range []array.ID{id, volume} {
		if err := id.Check(); err != nil {
			return s, err
		}
	}
	err = m.changing(ctx, "snapshot volume "+string(volume), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		if !c.caps.Snapshots {
			return o.Fail(array.Unsupported, "%s has no snapshots", c.stats.Model)
		}
		u, there := c.taken(id)
		if there && (u.ID != id || !u.Shot || u.Of != volume) {
			return o.Fail(array.Exists, "%s is on the array and is not this snapshot", u.Name)
		}
		if !there {
			v, ok := c.find(volume, false)
			if !ok {
				return missing("volume", volume)
			}
			if err := c.fits(v.Size); err != nil {
				return err
			}
			u = Unit{Name: id.Name(), Size: v.Size, ID: id, Shot: true, Of: volume}
			if u, err = m.made(ctx, o, u, m.pool.copy(ctx, o, u, v)); err != nil {
				return err
			}
		}
		s = u.snapshot()
		return nil
	})
	return s, err
}

// DeleteSnapshot as in array.Snapshotter.
func (m *Machine) DeleteSnapshot(ctx context.Context, id array.ID) error {
	if err := id.Check(); err != nil {
		return err
	}
	return m.changing(ctx, "delete snapshot "+string(id), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, true)
		if !there {
			return nil
		}
		return m.pool.remove(ctx, o, u)
	})
}

// LookupSnapshot as in array.Snapshotter.
func (m *Machine) LookupSnapshot(ctx context.Context, id array.ID) (s array.Snapshot, err error) {
	if err := id.Check(); err != nil {
		return s, err
	}
	err = m.reading(ctx, "look for snapshot "+string(id), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, true)
		if !there {
			return missing("snapshot", id)
		}
		s = u.snapshot()
		return nil
	})
	return s, err
}

// ListSnapshots as in array.Snapshotter.
func (m *Machine) ListSnapshots(ctx context.Context, after string) (p array.SnapshotPage, err error) {
	list, next, err := m.page(ctx, after, true)
	for _, u := range list {
		p.Snapshots = append(p.Snapshots, u.snapshot())
	}
	p.Next = next
	return p, err
}

// Target as in array.Exporter.
func (m *Machine) Target(id array.ID) onevolume.Target { return m.target.Target(id) }

// Export as in array.Exporter.
func (m *Machine) Export(ctx context.Context, id array.ID, g array.Grant) (e array.Export, err error) {
	if err := id.Check(); err != nil {
		return e, err
	}
	if err := array.CheckGrant(g); err != nil {
		return e, err
	}
	what := fmt.Sprintf("export volume %s to %s", id, g.Initiator)
	err = m.changing(ctx, what, func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, false)
		if !there {
			return missing("volume", id)
		}
		if u.raw.is {
			e := o.Fail(array.Busy, "not all of it is overwritten with zeroes yet").WithHint("create it, or extend it, again")
			e.By.Other = "what somebody had there before"
			return e
		}
		if u, err = m.finish(ctx, o, u, u.Size); err != nil {
			return err
		}
		e, err = m.target.Export(ctx, o, u, g)
		return err
	})
	return e, err
}

// Unexport as in array.Exporter. It does not ask whether there is such a
// volume: what is left of an export goes in any case.
func (m *Machine) Unexport(ctx context.Context, id array.ID, initiator onevolume.IQN, force bool) error {
	if err := id.Check(); err != nil {
		return err
	}
	if name, err := onevolume.ParseIQN(string(initiator)); err != nil || name != initiator {
		return array.Errorf(array.Invalid, "the initiator %q is not an iSCSI name in lower case", string(initiator))
	}
	what := fmt.Sprintf("take volume %s away from %s", id, initiator)
	return m.changing(ctx, what, func(o *Op) error {
		return m.target.Unexport(ctx, o, id, initiator, force)
	})
}

// Exports as in array.Exporter.
func (m *Machine) Exports(ctx context.Context, id array.ID) (list []array.Export, err error) {
	list, _, err = m.exports(ctx, id)
	return list, err
}

// Sessions as in array.Exporter.
func (m *Machine) Sessions(ctx context.Context, id array.ID) (list []array.Session, err error) {
	_, list, err = m.exports(ctx, id)
	return list, err
}

func (m *Machine) exports(ctx context.Context, id array.ID) (exports []array.Export, sessions []array.Session, err error) {
	if err := id.Check(); err != nil {
		return nil, nil, err
	}
	err = m.reading(ctx, "look at the exports of volume "+string(id), func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		if _, there := c.find(id, false); !there {
			return missing("volume", id)
		}
		exports, sessions, err = m.target.Exports(ctx, o, id)
		return err
	})
	return exports, sessions, err
}
