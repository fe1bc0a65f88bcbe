//go:build crashpoint

package assemble

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"onevolume"
	"onevolume/daemon"
)

// meddler is in binaries that tests on real hosts build for themselves, by
// the tag crashpoint. It obeys two variables of the environment:
//
//	ONEVOLUME_CRASH=N[/before|/after]  the process kills itself by SIGKILL
//	    just before or just after its Nth write to a journal: taking over,
//	    reserving, recording steps, finishing. What renews a lease alone does
//	    not count.
//	ONEVOLUME_CLOCK=FILE  what the file holds, such as -1h, is added to the
//	    time of the day, now and whenever it changes.
type meddler struct {
	at     int64
	before bool
	writes atomic.Int64
	file   string
}

func newMeddler() *meddler {
	m := &meddler{file: os.Getenv("ONEVOLUME_CLOCK")}
	point, where, _ := strings.Cut(os.Getenv("ONEVOLUME_CRASH"), "/")
	if point == "" {
		return m
	}
	at, err := strconv.ParseInt(point, 10, 64)
	if err != nil || at < 1 || where != "" && where != "before" && where != "after" {
		panic("ONEVOLUME_CRASH is not of the form N[/before|/after]")
	}
	m.at, m.before = at, where == "before"
	return m
}

// write makes one write, or dies beside it.
func (m *meddler) write(what string, do func() error) error {
	n := m.writes.Add(1)
	if n != m.at {
		return do()
	}
	where := "before"
	if !m.before {
		where = "after"
		if err := do(); err != nil {
			return err // not written: there is no after
		}
	}
	fmt.Fprintf(os.Stderr, "crashpoint: killed %s write %d: %s\n", where, n, what)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (m *meddler) ledger(l onevolume.Ledger) onevolume.Ledger { return &meddledLedger{l, m} }

type meddledLedger struct {
	onevolume.Ledger
	m *meddler
}

func (l *meddledLedger) Reserve(ctx context.Context, r onevolume.Request) (op onevolume.Operation, v onevolume.Volume, err error) {
	if r.DryRun {
		return l.Ledger.Reserve(ctx, r)
	}
	err = l.m.write("reserve", func() error {
		op, v, err = l.Ledger.Reserve(ctx, r)
		return err
	})
	return op, v, err
}

func (l *meddledLedger) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	record := func() error { return l.Ledger.Record(ctx, op, entries, note) }
	if len(entries) == 0 {
		return record()
	}
	var words []string
	for _, e := range entries {
		words = append(words, e.Step+" "+string(e.Event))
	}
	return l.m.write(strings.Join(words, ", "), record)
}

func (l *meddledLedger) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	return l.m.write("finish "+string(e.Status), func() error { return l.Ledger.Finish(ctx, op, e) })
}

func (m *meddler) store(s daemon.Store) daemon.Store { return &meddledStore{s, m} }

type meddledStore struct {
	daemon.Store
	m *meddler
}

func (s *meddledStore) TakeOver(ctx context.Context, op onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (taken onevolume.Operation, err error) {
	err = s.m.write("take over", func() error {
		taken, err = s.Store.TakeOver(ctx, op, owner, lease, dead)
		return err
	})
	return taken, err
}

// now is the time of a clock that somebody may have set: the time of the day
// moves, and what a process measures by its monotonic clock does not. No
// function of package time makes such a time, so its first word is changed:
// with a monotonic reading (its highest bit) it counts seconds from bit 30 on.
func (m *meddler) now() time.Time {
	t := time.Now()
	text, err := os.ReadFile(m.file)
	if m.file == "" || err != nil {
		return t
	}
	moved, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic("ONEVOLUME_CLOCK: " + err.Error())
	}
	word := (*uint64)(unsafe.Pointer(&t))
	if *word>>63 != 1 {
		panic("time.Now has no monotonic reading")
	}
	*word += uint64(int64(moved/time.Second)) << 30
	return t
}
