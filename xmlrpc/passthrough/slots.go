package passthrough

import (
	"context"
	"net"
	"sync"
)

// slots bound how many calls are under way at once, and how many of them one
// address may have: three quarters, so that there is always room for others.
type slots struct {
	all chan struct{}

	mu sync.Mutex
	by map[string]*share
}

type share struct {
	slots chan struct{}
	users int // who has one or waits for one
}

func newSlots(n int) *slots { return &slots{all: make(chan struct{}, n), by: map[string]*share{}} }

// take waits for a slot; release must be called when there is no error.
func (s *slots) take(ctx context.Context, peer string) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if host, _, err := net.SplitHostPort(peer); err == nil {
		peer = host
	}
	mine := s.share(peer)
	if err := enter(ctx, mine.slots); err != nil {
		s.leave(peer, mine)
		return nil, err
	}
	if err := enter(ctx, s.all); err != nil {
		<-mine.slots
		s.leave(peer, mine)
		return nil, err
	}
	return func() {
		<-s.all
		<-mine.slots
		s.leave(peer, mine)
	}, nil
}

func enter(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errBusy
	}
}

func (s *slots) share(peer string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine, ok := s.by[peer]
	if !ok {
		mine = &share{slots: make(chan struct{}, max(1, cap(s.all)*3/4))}
		s.by[peer] = mine
	}
	mine.users++
	return mine
}

func (s *slots) leave(peer string, mine *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(s.by, peer)
	}
}
