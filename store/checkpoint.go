package store

import (
	"context"
	"fmt"
	"time"
)

const (
	// copyAt is how many pages in SQLite's log are waited for before they are
	// copied into the database. It is SQLite's own number.
	copyAt = 1000
	// longestLog is how many pages the log may have before writers wait until
	// it is all copied, from when on it begins anew: else those who always
	// write would make it longer for ever.
	longestLog = 8 * copyAt
	// copyAgain is how long it takes until what could not be copied, because
	// somebody reads an older moment, is tried again.
	copyAgain = time.Second
)

// checkpointer copies SQLite's log into the database, beside those who write:
// by itself SQLite would have that done by whoever writes when it is due, who
// would wait for a thousand pages and for the disk twice.
type checkpointer struct {
	s     *Store
	index *walIndex
	wake  chan struct{} // that there may be something to do
	stop  context.CancelFunc
	done  chan struct{}
	ill   bool // the last time failed
}

// newCheckpointer begins to copy the log of s, until close.
func newCheckpointer(ctx context.Context, s *Store) (*checkpointer, error) {
	s.turn <- struct{}{} // nobody else has s yet
	err := s.writer.leaveLog(ctx)
	<-s.turn
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &checkpointer{s: s, index: s.cache.index, wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{})}
	go c.run(ctx)
	return c, nil
}

func (c *checkpointer) close() {
	if c != nil {
		c.stop()
		<-c.done
	}
}

// look is called after each commit.
func (c *checkpointer) look() {
	if c == nil {
		return
	}
	if _, waiting := c.index.log(); waiting < copyAt {
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) run(ctx context.Context) {
	defer close(c.done)
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return
		}
		err := c.copy(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !c.ill {
			c.s.tell(fmt.Sprintf("the log of the database %s cannot be copied into it, so that it grows: %v", c.s.kind.name, err))
		}
		c.ill = err != nil
		if _, waiting := c.index.log(); err == nil && waiting < copyAt {
			continue
		}
		select {
		case <-time.After(copyAgain):
			c.look()
		case <-ctx.Done():
			return
		}
	}
}

// copy copies what there is, and the rest with the right to write when the log
// is long.
func (c *checkpointer) copy(ctx context.Context) error {
	// It waits for nobody, and nobody for it.
	const passive = "PRAGMA wal_checkpoint(PASSIVE)"
	if _, err := c.s.db.ExecContext(ctx, passive); err != nil {
		return err
	}
	if pages, waiting := c.index.log(); pages < longestLog || waiting == 0 || waiting >= copyAt {
		return nil
	}
	select {
	case c.s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.s.turn }()
	_, err := c.s.db.ExecContext(ctx, passive)
	return err
}
