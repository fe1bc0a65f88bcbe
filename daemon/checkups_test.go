package daemon_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"onevolume"
	"onevolume/daemon"
	"onevolume/doctor"
)

// ward is a doctor who finds what the test says.
type ward struct {
	mu     sync.Mutex // time that passes orders nothing between goroutines
	finds  []onevolume.Finding
	err    error
	wrong  error // of Fix
	looks  int
	within int // examinations at the same time
	fixed  []onevolume.Trouble
	slow   time.Duration
}

// set changes what the doctor finds while checkups run.
func (w *ward) set(finds []onevolume.Finding, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finds, w.err = finds, err
}

// did says what was repaired, and how often the doctor looked.
func (w *ward) did() ([]onevolume.Trouble, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.fixed), w.looks
}

func (w *ward) Examine(ctx context.Context, s doctor.Scope) (onevolume.Checkup, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looks++
	w.within++
	defer func() { w.within-- }()
	if w.within > 1 || !s.Whole() {
		panic("two at once, or not all")
	}
	w.mu.Unlock()
	select {
	case <-time.After(w.slow):
	case <-ctx.Done():
	}
	w.mu.Lock()
	return onevolume.Checkup{Time: time.Now(), Hosts: 2, Findings: slices.Clone(w.finds)}, w.err
}

func (w *ward) Fix(_ context.Context, _ doctor.Scope, f onevolume.Finding) (doctor.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrong != nil {
		return "", w.wrong
	}
	w.fixed = append(w.fixed, f.Trouble)
	w.finds = slices.DeleteFunc(w.finds, func(g onevolume.Finding) bool { return g.Trouble == f.Trouble && g.Host == f.Host })
	return doctor.Fixed, nil
}

type wardTest struct {
	*testing.T
	*ward
	*daemon.Checkups
	deeds []onevolume.Deed
	logs  *observer.ObservedLogs
}

const every = 10 * time.Minute

func onWard(t *testing.T, test func(w *wardTest)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		w := &wardTest{T: t, ward: &ward{}, logs: logs}
		w.Checkups = &daemon.Checkups{Doctor: w.ward, Log: zap.New(core), Name: "onevolumed@here", Every: every, First: 10 * time.Second,
			Audit: func(_ context.Context, d onevolume.Deed) error { w.deeds = append(w.deeds, d); return nil }}
		test(w)
	})
}

func (w *wardTest) logged(text string, want int) {
	w.Helper()
	if n := w.logs.FilterMessageSnippet(text).Len(); n != want {
		w.Errorf("%q is in the log %d times, want %d", text, n, want)
	}
}

func finding(t onevolume.Trouble, harmless bool) onevolume.Finding {
	return onevolume.Finding{Trouble: t, Host: "host01", Volume: 3, VM: onevolume.NoVM, Cause: "c", Risk: "r", Repair: []string{"do it"}, Fixable: true, Harmless: harmless}
}

// What is harmless is repaired, what needs a person is left, what somebody
// may be at by hand waits for the next checkup; each is logged once and each
// repair is in the audit.
func TestCheckups(t *testing.T) {
	onWard(t, func(w *wardTest) {
		w.finds = []onevolume.Finding{finding(onevolume.TwoDomains, false), finding(onevolume.OrphanRecord, true), finding(onevolume.IdleSession, true)}
		if !w.Checkup().Time.IsZero() {
			w.Error("a checkup before there was one")
		}
		w.Start()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		fixed, _ := w.did()
		if got := w.Checkup(); len(got.Findings) != 2 || got.Hosts != 2 || !slices.Equal(fixed, []onevolume.Trouble{onevolume.OrphanRecord}) {
			w.Errorf("%+v, repaired %q", got, fixed)
		}
		w.logged("hosts differ", 3)
		w.logged("was repaired", 1)
		time.Sleep(every)
		synctest.Wait()
		fixed, _ = w.did()
		if got := w.Checkup(); len(got.Findings) != 1 || !slices.Equal(fixed, []onevolume.Trouble{onevolume.OrphanRecord, onevolume.IdleSession}) {
			w.Errorf("%+v, repaired %q", got, fixed)
		}
		w.logged("hosts differ", 3)
		w.set(nil, nil)
		time.Sleep(every)
		synctest.Wait()
		w.logged("is gone", 3)
		_, looks := w.did()
		if got := w.Checkup(); len(got.Findings) != 0 || looks != 3 {
			w.Errorf("%+v after %d", got, looks)
		}
		w.Stop(w.Context())
		if len(w.deeds) != 2 {
			w.Fatalf("%+v", w.deeds)
		}
		if d := w.deeds[0]; d.Action != "repair" || d.From != "onevolumed@here" || d.Volume != 3 || d.Result != "ok" || d.Text == "" {
			w.Errorf("%+v", d)
		}
	})
}

// A session that is gone and comes again is not there twice in a row.
func TestCheckupsWaitsAnew(t *testing.T) {
	onWard(t, func(w *wardTest) {
		w.Start()
		for i := range 6 {
			w.set(nil, nil)
			if i%2 == 0 {
				w.set([]onevolume.Finding{finding(onevolume.IdleSession, true)}, nil)
			}
			time.Sleep(every)
			synctest.Wait()
		}
		w.Stop(w.Context())
		if len(w.fixed) > 0 {
			w.Errorf("repaired %q", w.fixed)
		}
	})
}

func TestCheckupsFail(t *testing.T) {
	onWard(t, func(w *wardTest) {
		w.finds, w.wrong = []onevolume.Finding{finding(onevolume.StaleLink, true)}, errors.New("sudo refuses")
		w.Start()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := w.Checkup(); len(got.Findings) != 1 {
			w.Errorf("%+v", got)
		}
		w.logged("could not be repaired", 1)
		if len(w.deeds) != 1 || w.deeds[0].Result != "sudo refuses" {
			w.Errorf("%+v", w.deeds)
		}
		at := w.Checkup().Time
		w.set(nil, errors.New("the database is locked"))
		time.Sleep(every)
		synctest.Wait()
		w.logged("comparing", 1)
		if !w.Checkup().Time.Equal(at) {
			w.Error("the last whole checkup is forgotten")
		}
		w.Stop(w.Context())
	})
}

// It never holds up the end of the daemon, and what it did not ask any more
// is no finding.
func TestCheckupsStop(t *testing.T) {
	onWard(t, func(w *wardTest) {
		w.slow, w.finds = time.Hour, []onevolume.Finding{finding(onevolume.HostSilent, false)}
		w.Start()
		time.Sleep(time.Minute)
		start := time.Now()
		w.Stop(w.Context())
		if d := time.Since(start); d > time.Second || w.looks != 1 {
			w.Errorf("it took %s, %d looks", d, w.looks)
		}
		w.logged("hosts differ", 0)
		if !w.Checkup().Time.IsZero() {
			w.Error("half a checkup counts")
		}
	})
}

func TestCheckupsOff(t *testing.T) {
	onWard(t, func(w *wardTest) {
		w.Every = 0
		w.Start()
		time.Sleep(24 * time.Hour)
		w.Stop(w.Context())
		if w.looks != 0 {
			w.Errorf("%d looks", w.looks)
		}
	})
}
