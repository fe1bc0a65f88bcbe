package linux

import (
	"context"
	"errors"
	"fmt"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/command"
)

// raw says of a unit that what stands behind a place on it is of whoever had
// the space before. It stays so until that is overwritten with zeroes, however
// often somebody dies meanwhile, and nobody is let in to it.
type raw struct {
	is   bool
	from onevolume.Size // what is before it is zeroes, or its owner's
}

// blanker is a pool whose units are raw when they are made or have grown.
type blanker interface {
	// block is what is written at once: it divides all sizes.
	block(c *content) onevolume.Size
	// blanked takes the mark off a unit on which all is zeroes.
	blanked(ctx context.Context, o *Op, u Unit) error
}

// Of the zeroes so much is written by one command, which may take so long: one
// that is cut off goes on for no longer on the machine.
const (
	blankPiece = 4 * onevolume.GiB
	blankTime  = 15 * time.Minute
)

// blank overwrites what is raw of the unit with zeroes. Others may change the
// machine meanwhile, but nobody this unit: whoever is replaced here must have
// ended before somebody writes to it, and the lock is held by the shell that
// writes, as long as it writes. It may be repeated, and begins anew then.
func (m *Machine) blank(ctx context.Context, what string, id array.ID) error {
	return m.reading(ctx, what, func(o *Op) error {
		unlock, err := o.host.Lock(ctx, command.LockName("array-blank-"+id.Name()), m.opt.LockWait)
		if err != nil {
			if _, held := errors.AsType[*command.LockedError](err); held {
				return o.Lost(fmt.Errorf("it is being overwritten with zeroes by somebody else"))
			}
			o.drop()
			return o.Lost(err)
		}
		defer unlock()
		c, err := m.look(ctx, o)
		if err != nil {
			return err
		}
		u, there := c.find(id, false)
		b, can := m.pool.(blanker)
		switch {
		case !there:
			return missing("volume", id)
		case !u.raw.is || !can:
			return nil
		}
		bs := b.block(c)
		for at := u.raw.from; at < u.Size; at += blankPiece {
			n := min(blankPiece, u.Size-at)
			_, err := o.Do(ctx, command.Cmd{Sudo: true, Timeout: blankTime, Argv: []string{"dd", "if=/dev/zero", "of=" + u.Device,
				fmt.Sprintf("bs=%d", bs), fmt.Sprintf("seek=%d", at/bs), fmt.Sprintf("count=%d", n/bs), "oflag=direct", "conv=notrunc"}})
			if err != nil {
				return err
			}
		}
		return b.blanked(ctx, o, u)
	})
}
