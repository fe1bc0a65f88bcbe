package linux

import (
	"context"

	"onevolume/array"
)

// A volume is brought back to a snapshot by a copy of it that takes the
// volume's place: the copy is made with a name and tags of its own, the volume
// is removed, and the copy gets its name and its tag. When the second of these
// is done the copy is the volume, whatever it is called, and the next call that
// changes it carries the rest out.

// heirName is what the copy is called until then.
func heirName(volume array.ID) string { return volume.Name() + "-revert" }

// succeed finds the copies that are volumes already, since theirs are gone.
func (c *content) succeed() {
	for i, u := range c.units {
		if u.heir == "" {
			continue
		}
		if _, there := c.find(u.heir, false); !there {
			c.units[i].ID = u.heir
		}
	}
}

// heir gives the copy that a call left which died, while the volume is there.
func (c *content) heir(volume array.ID) (Unit, bool) {
	for _, u := range c.units {
		if u.heir == volume && u.ID == "" {
			return u, true
		}
	}
	return Unit{}, false
}

// Revert as in array.Reverter. It is Busy also by exports: targets hold the
// device.
func (m *Machine) Revert(ctx context.Context, volume, snapshot array.ID) (v array.Volume, err error) {
	for _, id := range []array.ID{volume, snapshot} {
		if err := id.Check(); err != nil {
			return v, err
		}
	}
	err = m.changing(ctx, "bring volume "+string(volume)+" back to a snapshot", func(o *Op) error {
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		if !c.caps.Snapshots {
			return o.Fail(array.Unsupported, "%s has no snapshots", c.stats.Model)
		}
		u, there := c.find(volume, false)
		if !there {
			return missing("volume", volume)
		}
		shot, there := c.find(snapshot, true)
		if !there || shot.Of != volume {
			return missing("snapshot of volume "+string(volume), snapshot)
		}
		by := array.Holders{}
		if err := m.users(ctx, o, volume, &by); err != nil {
			return err
		}
		if by.Any() {
			return array.InUse("volume "+string(volume), by)
		}
		done := u.heir != "" && u.to == snapshot
		if u, err = m.finish(ctx, o, u, u.Size); err != nil {
			return err
		}
		if !done {
			if u, err = m.replace(ctx, o, c, u, shot); err != nil {
				return err
			}
		}
		v = u.volume()
		return nil
	})
	return v, err
}

// replace puts a copy of the snapshot into the volume's place.
func (m *Machine) replace(ctx context.Context, o *Op, c *content, u, shot Unit) (Unit, error) {
	heir, there := c.heir(u.ID)
	if there && heir.to != shot.ID {
		if err := m.pool.remove(ctx, o, heir); err != nil {
			return u, err
		}
		there = false
	}
	if !there {
		if err := c.fits(shot.Size); err != nil {
			return u, err
		}
		heir = Unit{Name: heirName(u.ID), From: u.From, Label: u.Label, heir: u.ID, to: shot.ID}
		if err := m.pool.copy(ctx, o, heir, shot); err != nil {
			return u, err
		}
	}
	heir, err := m.made(ctx, o, u, m.pool.remove(ctx, o, u))
	if err != nil {
		return u, err
	}
	return m.finish(ctx, o, heir, heir.Size)
}
