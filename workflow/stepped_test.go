package workflow_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
)

// stepper gives turns: of all who are about to make a call, one makes it,
// whom its seed chooses, and nobody else moves meanwhile. What happens
// follows from the seed alone.
type stepper struct {
	rng   *rand.Rand
	mu    sync.Mutex
	queue []*waiter
	trace []string
	start time.Time
}

// waiter waits for a turn.
type waiter struct {
	who, call string
	since     int // the turn that had been given last when it came
	given     chan struct{}
}

// wait waits for a turn, or until ctx ends.
func (st *stepper) wait(ctx context.Context, who, call string) {
	st.mu.Lock()
	w := &waiter{who, call, len(st.trace), make(chan struct{})}
	st.queue = append(st.queue, w)
	st.mu.Unlock()
	select {
	case <-w.given:
	case <-ctx.Done():
		st.mu.Lock()
		defer st.mu.Unlock()
		st.queue = slices.DeleteFunc(st.queue, func(o *waiter) bool { return o == w })
	}
}

// step gives one turn. It says false when nobody wants any.
func (st *stepper) step() bool {
	synctest.Wait()
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.queue) == 0 {
		return false
	}
	// Who came first since the turn before is chance.
	slices.SortStableFunc(st.queue, func(a, b *waiter) int {
		return cmp.Or(cmp.Compare(a.who, b.who), cmp.Compare(a.call, b.call), cmp.Compare(a.since, b.since))
	})
	i := st.rng.IntN(len(st.queue))
	w := st.queue[i]
	st.queue = slices.Delete(st.queue, i, i+1)
	st.note("%s: %s", w.who, w.call)
	close(w.given)
	return true
}

func (st *stepper) note(format string, args ...any) {
	st.trace = append(st.trace, fmt.Sprintf("%v ", time.Since(st.start))+fmt.Sprintf(format, args...))
}

// stepped runs a storm in which everything follows from the seed, and gives
// what happened.
func stepped(t *testing.T, seed uint64, steps int) (trace []string) {
	synctest.Test(t, func(t *testing.T) {
		s := newStorm(t, seed, size{clients: 8, volumes: 16, vms: 4, hosts: 2})
		st := &stepper{rng: rand.New(rand.NewPCG(seed, 1<<33)), start: time.Now()}
		s.stepper = st
		defer s.keep()
		s.limits.Lease = 30 * time.Second
		s.sweep = 10 * time.Second
		s.serve()
		var working sync.WaitGroup
		var busy atomic.Bool
		busy.Store(true)
		for n := range s.size.clients {
			working.Go(func() { s.client(n) })
		}
		go func() {
			working.Wait()
			busy.Store(false)
		}()
		for n := range steps {
			synctest.Wait() // until whoever had the turn has used it
			switch r := st.rng.IntN(400); {
			case r < 4:
				s.mischief(st.rng)
			case r == 4:
				time.Sleep(s.limits.Lease * 3 / 2) // whoever holds a lease is late
			case !st.step():
				time.Sleep(10 * time.Millisecond)
			}
			if n%50 == 0 {
				synctest.Wait()
				s.sample(st.rng)
			}
		}
		synctest.Wait()
		s.ended.Store(true)
		s.calm()
		pause := func() {
			for st.step() {
			}
			time.Sleep(100 * time.Millisecond)
		}
		for busy.Load() {
			pause()
		}
		s.rest(pause)
		s.stop(pause)
		trace = append(st.trace, s.dump()...)
		tellStorm(t, "memory, in turns | seed %d | %d turns | %s", seed, len(st.trace), &s.counts)
	})
	return trace
}

// keep leaves what happened in a file when the storm found something.
func (s *storm) keep() {
	if !s.Failed() {
		return
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("onevolume-storm-%d.txt", s.seed))
	text := strings.Join(append(s.stepper.trace, s.dump()...), "\n")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		s.Error(err)
	}
	s.Logf("seed %d: what happened is in %s", s.seed, path)
}

// stop ends the server, which needs turns for that.
func (s *storm) stop(pause func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serving().halt()
	}()
	for {
		pause()
		select {
		case <-done:
			return
		default:
		}
	}
}

// dump is the inventory and the hosts as they are.
func (s *storm) dump() (lines []string) {
	list, err := s.db.Volumes(s.Context(), onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
	if err != nil {
		s.Fatal(err)
	}
	for _, v := range list {
		lines = append(lines, fmt.Sprintf("%+v", v))
	}
	for id := 1; ; id++ {
		op, err := s.db.Operation(s.Context(), id)
		if err != nil {
			return lines
		}
		lines = append(lines, fmt.Sprintf("%+v", op))
		journal, err := s.db.Journal(s.Context(), id)
		if err != nil {
			s.Fatal(err)
		}
		for _, e := range journal {
			lines = append(lines, fmt.Sprintf("operation %d: %+v", id, e))
		}
	}
}

var steppedFlag = flag.Duration("stepped", 0, "how long TestSteppedStorm goes on with one seed after the other")

// TestSteppedStorm runs a storm twice from each seed: what happens is the
// same, call by call, so that whatever a storm finds can be replayed.
func TestSteppedStorm(t *testing.T) {
	turns := 4000
	if raceDetector {
		turns /= 4
	}
	start := time.Now()
	for seed := *seedFlag; seed == *seedFlag || time.Since(start) < *steppedFlag; seed++ {
		t.Logf("replay with: go test ./workflow -run '^TestSteppedStorm$' -seed=%d", seed)
		first, second := stepped(t, seed, turns), stepped(t, seed, turns)
		for i := range max(len(first), len(second)) {
			if i >= len(first) || i >= len(second) || first[i] != second[i] {
				t.Fatalf("seed %d: the storms part at line %d:\n%s\n%s", seed, i, until(first, i), until(second, i))
			}
		}
		if len(first) < turns/2 {
			t.Errorf("seed %d: only %d lines of trace", seed, len(first))
		}
	}
}

// until is the end of what happened up to a line.
func until(lines []string, i int) string {
	return strings.Join(lines[max(0, min(i-5, len(lines))):min(i+1, len(lines))], "\n")
}
