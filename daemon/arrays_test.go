package daemon_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"onevolume"
	"onevolume/daemon"
)

// syncer counts, and answers what it is told.
type syncer struct {
	n    int
	done onevolume.Synced
	err  error
	wait bool
}

func (s *syncer) Sync(ctx context.Context) (onevolume.Synced, error) {
	s.n++
	if s.wait {
		<-ctx.Done()
		return onevolume.Synced{}, ctx.Err()
	}
	return s.done, s.err
}

func TestArraysAreReadInTheirIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		often, seldom, never := &syncer{}, &syncer{wait: true}, &syncer{}
		a := &daemon.Arrays{Log: zap.NewNop(), Watched: map[string]daemon.Watched{
			"often": {often, time.Minute}, "seldom": {seldom, time.Hour}, "never": {never, 0}}}
		a.Start()
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		if often.n != 4 || seldom.n != 1 || never.n != 0 {
			t.Errorf("read %d, %d and %d times", often.n, seldom.n, never.n)
		}
		a.Stop(t.Context()) // one sync hangs, and lets go
	})
}

func TestWhatIsNewIsLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := &syncer{done: onevolume.Synced{Changes: []onevolume.SyncChange{{What: onevolume.SyncReported, Text: "first"}}}}
	a := &daemon.Arrays{Log: zap.New(core), Watched: map[string]daemon.Watched{"store1": {Syncer: s}}}
	lines := func(want ...string) {
		t.Helper()
		_, _ = a.SyncArray(t.Context(), "store1")
		var got []string
		for _, e := range logs.TakeAll() {
			got = append(got, e.Level.String()+" "+e.Message)
		}
		if strings.Join(got, "; ") != strings.Join(want, "; ") {
			t.Errorf("logged %q, want %q", got, want)
		}
	}
	lines("warn array: reported")
	lines()
	s.done.Changes[0].Text = "second"
	lines("warn array: reported")
	s.done.Changes, s.err = nil, errors.New("no answer")
	lines("error an array could not be read")
	lines()
	s.err = nil
	lines()
	s.err = errors.New("no answer")
	lines("error an array could not be read")
}

func TestNoSuchArray(t *testing.T) {
	a := &daemon.Arrays{Log: zap.NewNop(), Watched: map[string]daemon.Watched{"b": {}, "a": {}}}
	_, err := a.SyncArray(t.Context(), "c")
	if onevolume.CodeOf(err) != onevolume.NotFound || !strings.Contains(err.Error(), "known are a, b") {
		t.Errorf("error %v", err)
	}
}
