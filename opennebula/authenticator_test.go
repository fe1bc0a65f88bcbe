package opennebula

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
)

// oracle counts questions and answers by what the session begins with.
type oracle struct {
	asked int
	slow  time.Duration
}

func (o *oracle) lookup(ctx context.Context, session string) (onevolume.Caller, error) {
	o.asked++
	if o.slow > 0 {
		select {
		case <-time.After(o.slow):
		case <-ctx.Done():
			return onevolume.Caller{}, onevolume.Errorf(onevolume.Unreachable, "%w", ctx.Err())
		}
	}
	switch session[0] {
	case 'b':
		return onevolume.Caller{}, onevolume.Errorf(onevolume.Unauthenticated, "no")
	case 'd':
		return onevolume.Caller{}, onevolume.Errorf(onevolume.Unreachable, "down")
	}
	return onevolume.Caller{Owner: onevolume.Owner{UID: 2}}, nil
}

func TestAnswersAreKept(t *testing.T) {
	for _, c := range []struct {
		session    string
		keep, wait time.Duration
		asked      int
	}{
		{"good", 5 * time.Second, 4999 * time.Millisecond, 1},
		{"good", 5 * time.Second, 5 * time.Second, 2},
		{"good", -1, 0, 2},
		{"bad", 5 * time.Second, 999 * time.Millisecond, 1},
		{"bad", 5 * time.Second, time.Second, 2},
		{"bad", 100 * time.Millisecond, 200 * time.Millisecond, 2},
		{"down", 5 * time.Second, 0, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := &oracle{}
			a := newAuthenticator(c.keep, o.lookup)
			_, first := a.Authenticate(t.Context(), c.session)
			time.Sleep(c.wait)
			_, second := a.Authenticate(t.Context(), c.session)
			if o.asked != c.asked || onevolume.CodeOf(first) != onevolume.CodeOf(second) || (first == nil) != (c.session == "good") {
				t.Errorf("%+v: asked %d times; %v, %v", c, o.asked, first, second)
			}
		})
	}
}

// TestRecall: a session is remembered beyond the time for which it counts, but
// not beyond oned's word that it does not.
func TestRecall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := true
		a := newAuthenticator(time.Second, func(context.Context, string) (onevolume.Caller, error) {
			if good {
				return onevolume.Caller{Owner: onevolume.Owner{UID: 2}}, nil
			}
			return onevolume.Caller{}, onevolume.Errorf(onevolume.Unauthenticated, "no")
		})
		recall := func(want bool) {
			t.Helper()
			if uid, ok := a.Recall("s"); ok != want || ok && uid != 2 {
				t.Errorf("user %d, %v; want it known: %v", uid, ok, want)
			}
		}
		recall(false)
		_, _ = a.Authenticate(t.Context(), "s")
		recall(true)
		time.Sleep(time.Minute)
		recall(true)
		good = false
		_, _ = a.Authenticate(t.Context(), "s")
		recall(false)
	})
}

// TestWhoGivesUp: one who stops waiting takes the answer from nobody else.
func TestWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{slow: 2 * time.Second}
		a := newAuthenticator(time.Minute, o.lookup)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failed := make(chan error)
		go func() {
			_, err := a.Authenticate(short, "good")
			failed <- err
		}()
		synctest.Wait()
		late := make(chan error)
		go func() {
			_, err := a.Authenticate(t.Context(), "good")
			late <- err
		}()
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if err := <-late; err != nil || o.asked != 1 {
			t.Errorf("%v, asked %d times", err, o.asked)
		}
	})
}

// TestLookupEnds: nobody waits for an oned that never answers.
func TestLookupEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator(time.Minute, (&oracle{slow: time.Hour}).lookup)
		begin := time.Now()
		if _, err := a.Authenticate(t.Context(), "good"); onevolume.CodeOf(err) != onevolume.Unreachable || time.Since(begin) != lookupTime {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

// TestMemory: guessing drives out neither memory nor those who are known.
func TestMemory(t *testing.T) {
	o := &oracle{}
	a := newAuthenticator(time.Hour, o.lookup)
	for i := range known + 100 {
		_, _ = a.Authenticate(t.Context(), fmt.Sprint("b", i))
	}
	if len(a.unknown) != unknown || len(a.asking) != 0 {
		t.Errorf("%d refused are kept, %d asked", len(a.unknown), len(a.asking))
	}
	for i := range known + 100 {
		_, _ = a.Authenticate(t.Context(), fmt.Sprint("g", i))
	}
	if len(a.known) != known {
		t.Errorf("%d are kept", len(a.known))
	}
}
