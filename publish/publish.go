// Package publish tells others of what changed: those who read a stream over
// HTTP, and receivers that are called. What changed is read from where it was
// written down when it was committed, so changes by other processes are told
// of as well, and nothing that did not happen.
//
// Nobody is waited for. The newest events are kept in a ring; each reader has
// its own place in it, and one that falls behind is told that it missed some.
package publish

import (
	"context"
	"math"
	"sort"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

// Store has what changed; see Changes of package store.
type Store interface {
	Changes(ctx context.Context, after, most int) (list []onevolume.Change, newest int, err error)
}

const (
	// ringSize bounds what is kept, some 300 bytes each.
	ringSize = 4096
	// pageSize is how many are read at once.
	pageSize = 1000
	// every is how often the inventory is asked for more.
	every = 100 * time.Millisecond
	// readTime bounds one question.
	readTime = 30 * time.Second
)

// Hub has the newest events. Set the exported fields before Start.
type Hub struct {
	Store Store
	Log   *zap.Logger
	Every time.Duration // from one look to the next; a tenth of a second when zero

	looking sync.Mutex // one look at a time

	mu     sync.Mutex
	ring   []onevolume.Change // the oldest first, without a gap
	newest int                // the id of the last; -1 until the first look
	more   chan struct{}      // closed when there is more
	stop   context.CancelFunc
	done   chan struct{}
}

// Start begins to look for events, and reads the newest.
func (h *Hub) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	h.mu.Lock()
	h.newest, h.ring, h.more = -1, nil, make(chan struct{})
	h.mu.Unlock()
	h.stop, h.done = cancel, make(chan struct{})
	go func() {
		defer close(h.done)
		h.loop(ctx)
	}()
}

// Stop ends it. Those who wait for more go on waiting, each until its own end.
func (h *Hub) Stop() {
	if h.stop != nil {
		h.stop()
		<-h.done
	}
}

func (h *Hub) loop(ctx context.Context) {
	pause := h.Every
	if pause <= 0 {
		pause = every
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	silent := false
	for {
		for {
			more, err := h.look(ctx)
			if ctx.Err() != nil {
				return
			}
			if err != nil && !silent {
				h.Log.Warn("what changed cannot be read, and nobody is told of it meanwhile", zap.Error(err))
			}
			if silent && err == nil {
				h.Log.Info("what changed can be read again")
			}
			silent = err != nil
			if !more || err != nil {
				break
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh reads what was committed before it was called, without waiting for
// the next look.
func (h *Hub) Refresh(ctx context.Context) error {
	for {
		more, err := h.look(ctx)
		if !more || err != nil {
			return err
		}
	}
}

// look reads what is new, and says whether there may be more.
func (h *Hub) look(ctx context.Context) (more bool, err error) {
	h.looking.Lock()
	defer h.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	h.mu.Lock()
	after, first := h.newest, h.newest < 0
	h.mu.Unlock()
	if first {
		_, newest, err := h.Store.Changes(ctx, math.MaxInt32, 1)
		if err != nil {
			return false, err
		}
		after = max(newest-ringSize, 0)
	}
	most := pageSize
	if first {
		most = ringSize // all at once: who asks for a place before it is read would be told of what is past
	}
	list, newest, err := h.Store.Changes(ctx, after, most)
	if err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case len(list) > 0:
		if list[0].ID != after+1 {
			h.ring = nil // what is between is gone: whoever was there has missed it
		}
		h.newest = list[len(list)-1].ID
	case newest < after:
		h.ring, h.newest = nil, newest // another inventory took its place
	case newest > after && !first:
		h.ring, h.newest = nil, newest // its events went with a restore
	case first:
		h.newest = newest
	default:
		return false, nil
	}
	h.ring = append(h.ring, list...)
	if n := len(h.ring) - ringSize; n > 0 {
		h.ring = append(make([]onevolume.Change, 0, ringSize+pageSize), h.ring[n:]...)
	}
	close(h.more)
	h.more = make(chan struct{})
	return len(list) == most, nil
}

// Batch is what a reader gets.
type Batch struct {
	Changes []onevolume.Change // not to be changed; may be none
	Missed  bool               // there were more before these, which are kept no more
	Next    int                // the place to read on from
}

// After waits until there is something after a place, and gives at most so
// many events. The error is ctx's.
func (h *Hub) After(ctx context.Context, place, most int) (Batch, error) {
	for {
		b, more, ok := h.after(place, most)
		if ok {
			return b, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return b, ctx.Err()
		}
	}
}

// Place is that of the newest event: what comes after it is new. It waits for
// the first look.
func (h *Hub) Place(ctx context.Context) (int, error) {
	for {
		h.mu.Lock()
		newest, more := h.newest, h.more
		h.mu.Unlock()
		if newest >= 0 {
			return newest, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Last gives the newest events that are kept and that keep says yes to, the
// oldest first, and the place after them.
func (h *Hub) Last(most int, keep func(*onevolume.Change) bool) (list []onevolume.Change, place int) {
	h.mu.Lock()
	ring, newest := h.ring, h.newest
	h.mu.Unlock()
	for i := len(ring) - 1; i >= 0 && len(list) < most; i-- {
		if keep(&ring[i]) {
			list = append(list, ring[i])
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, max(newest, 0)
}

func (h *Hub) after(place, most int) (b Batch, more chan struct{}, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b.Next = place
	if h.newest < 0 || place == h.newest {
		return b, h.more, false
	}
	first := h.newest - len(h.ring) // the place before the ring
	if place > h.newest || place < first {
		b.Missed = true
		b.Next = first
		if place > h.newest {
			b.Next = h.newest
		}
	}
	from := b.Next - first
	to := min(from+most, len(h.ring))
	b.Changes = h.ring[from:to:to]
	b.Next += to - from
	return b, h.more, true
}
