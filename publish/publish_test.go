package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"onevolume"
)

// table is a store of events, bounded as the real one.
type table struct {
	mu   sync.Mutex
	list []onevolume.Change
	next int
	err  error
}

func (s *table) Changes(_ context.Context, after, most int) ([]onevolume.Change, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []onevolume.Change
	for _, c := range s.list {
		if c.ID > after && len(list) < most {
			list = append(list, c)
		}
	}
	return list, s.next, s.err
}

// add commits n changes of volume 3, which alice owns, and keeps the newest.
func (s *table) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.next++
		s.list = append(s.list, onevolume.Change{ID: s.next, Time: time.Unix(int64(s.next), 0), Volume: 3, Name: "disk3", State: onevolume.Attached,
			VM: 17, Host: "n1", UID: alice.UID, GID: alice.GID, Permissions: 0o600, By: -1})
	}
	if n := len(s.list) - 10000; n > 0 {
		s.list = s.list[n:]
	}
}

func (s *table) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{UID: 0, GID: 0, User: "oneadmin"}, Groups: []int{0}}
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 2, GID: 100, User: "alice"}, Groups: []int{100}}
	bob   = onevolume.Caller{Owner: onevolume.Owner{UID: 3, GID: 101, User: "bob"}, Groups: []int{101}}
)

// hub runs one until the test ends.
func hub(t testing.TB, s *table) (*Hub, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	h := &Hub{Store: s, Log: zap.New(core), Every: time.Millisecond}
	h.Start()
	t.Cleanup(h.Stop)
	if _, err := h.Place(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, logs
}

// read reads so many events from a place on.
func read(t *testing.T, h *Hub, place, n int) (ids []int, missed bool, next int) {
	t.Helper()
	for len(ids) < n {
		b, err := h.After(t.Context(), place, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Changes {
			ids = append(ids, c.ID)
		}
		missed, place = missed || b.Missed, b.Next
	}
	return ids, missed, place
}

func TestHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		s.add(5)
		h, _ := hub(t, s)
		if place, _ := h.Place(t.Context()); place != 5 {
			t.Errorf("the place is %d", place)
		}
		s.add(3)
		ids, missed, next := read(t, h, 2, 6)
		if fmt.Sprint(ids) != "[3 4 5 6 7 8]" || missed || next != 8 {
			t.Errorf("read %v, %v, next %d", ids, missed, next)
		}
		if list, place := h.Last(2, func(c *onevolume.Change) bool { return c.ID < 8 }); len(list) != 2 || list[0].ID != 6 || place != 8 {
			t.Errorf("the last are %v, place %d", list, place)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.After(ctx, 8, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting gave %v", err)
		}
	})
}

// Who falls behind, or comes with a place that nobody gave, is told so.
func TestHubSaysWhatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		h, _ := hub(t, s)
		s.add(ringSize + 100)
		time.Sleep(time.Second)
		ids, missed, next := read(t, h, 50, ringSize)
		if !missed || ids[0] != 101 || next != ringSize+100 {
			t.Errorf("from %d, %v, next %d", ids[0], missed, next)
		}
		if b, err := h.After(t.Context(), 1<<30, 10); err != nil || !b.Missed || len(b.Changes) != 0 || b.Next != ringSize+100 {
			t.Errorf("a place in the future gave %+v, %v", b, err)
		}
		// Another inventory takes its place, with other numbers.
		s.mu.Lock()
		s.list, s.next = nil, 7
		s.mu.Unlock()
		b, err := h.After(t.Context(), ringSize+100, 10)
		if err != nil || !b.Missed || b.Next != 7 {
			t.Errorf("after a restore %+v, %v", b, err)
		}
		// More than is kept while the database was away.
		s.fail(errors.New("away"))
		time.Sleep(time.Second)
		s.add(30000)
		s.fail(nil)
		ids, missed, _ = read(t, h, 7, 1)
		if !missed || ids[0] != 30007-ringSize+1 && ids[0] < 20008 {
			t.Errorf("read from %d on, missed %v", ids[0], missed)
		}
	})
}

// A database that is away is said once, and again when it is back.
func TestHubIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &table{}
		h, logs := hub(t, s)
		s.fail(errors.New("away"))
		time.Sleep(time.Second)
		s.add(1)
		s.fail(nil)
		if ids, missed, _ := read(t, h, 0, 1); ids[0] != 1 || missed {
			t.Errorf("read %v, %v", ids, missed)
		}
		if n := logs.Len(); n != 2 {
			t.Errorf("%d lines: %v", n, logs.All())
		}
	})
}
