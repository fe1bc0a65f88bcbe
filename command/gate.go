package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// gate is one host's: its connections, and whether it answers.
type gate struct {
	host  string
	opt   *GuardOptions
	slots chan struct{} // holds a token for each connection

	mu      sync.Mutex
	shut    chan struct{} // closed when the host does not answer; made anew when it does
	cause   error         // why it does not; nil while it does
	since   time.Time     // of the first failure
	until   time.Time     // when it may be tried again
	pause   time.Duration // the newest cool-down
	probing bool          // someone is trying
}

// enter waits until the caller may dial, which then has a token in slots.
// probe says that it does so alone, to see whether the host answers again.
func (t *gate) enter(ctx context.Context) (probe bool, err error) {
	late := time.NewTimer(t.opt.Wait)
	defer late.Stop()
	for {
		probe, shut, err := t.admit()
		if err != nil {
			return false, err
		}
		select {
		case <-shut:
			continue // which says why
		case t.slots <- struct{}{}:
			select {
			case <-shut: // at the same time
				<-t.slots
				continue
			default:
				return probe, nil
			}
		case <-ctx.Done():
			err = &DialError{Host: t.host, Kind: KindCancelled, Err: ctx.Err()}
		case <-late.C:
			err = &DialError{Host: t.host, Kind: KindBusy,
				Err:  fmt.Errorf("all %d connections to it are in use, and none came free within %s", t.opt.Connections, t.opt.Wait),
				Hint: "wait until operations on this host have ended; a wipe keeps its connection as long as it takes"}
		}
		if probe {
			t.tried()
		}
		return false, err
	}
}

// admit says whether the caller may dial: as all others, until shut is
// closed, or, when the cool-down is over, alone.
func (t *gate) admit() (probe bool, shut <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.cause == nil:
		return false, t.shut, nil
	case !t.probing && !time.Now().Before(t.until):
		t.probing = true
		return true, nil, nil
	}
	return false, nil, t.refusal()
}

// judge says what an attempt to dial tells of the host.
func (t *gate) judge(ctx context.Context, err error, probe bool) {
	kind := KindProtocol
	if dial, ok := errors.AsType[*DialError](err); ok {
		kind = dial.Kind
	}
	switch kind {
	case KindTimeout, KindRefused, KindNoRoute:
		if ctx.Err() == nil {
			t.silent(err, probe)
			return
		}
	case KindHostKeyUnknown, KindHostKeyChanged, KindKeyRefused, KindTooManyKeys, KindShell:
		t.answered() // if not as wished
		return
	}
	if probe {
		t.tried() // and nothing is known
	}
}

// silent notes that the host did not answer. Of those that were under way
// when it fell silent, the first counts.
func (t *gate) silent(cause error, probe bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.cause == nil:
		t.since, t.pause = time.Now(), t.opt.CoolDown
		close(t.shut)
	case probe:
		t.probing = false
		t.pause = min(2*t.pause, t.opt.MaxCoolDown)
	default:
		return
	}
	t.cause, t.until = cause, time.Now().Add(t.pause)
}

// answered notes that the host answers.
func (t *gate) answered() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != nil {
		t.cause, t.probing, t.shut = nil, false, make(chan struct{})
	}
}

// tried lets another caller try: this one came to nothing.
func (t *gate) tried() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.probing = false
}

// silence says that the host does not answer, if so.
func (t *gate) silence() *Silence {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause == nil {
		return nil
	}
	return t.state()
}

// state is what there is to say of a silent host. The mutex is the caller's.
func (t *gate) state() *Silence {
	s := &Silence{Since: t.since, Cause: t.cause}
	if !t.probing {
		s.Again = max(time.Until(t.until), 0)
	}
	return s
}

// refusal is the error for those who may not dial. The mutex is the caller's.
func (t *gate) refusal() error {
	e := &DialError{Host: t.host, Kind: KindTimeout, Err: t.state(), Hint: "see that host " + t.host + " is up and answers: ssh " + t.host + " true"}
	if dial, ok := errors.AsType[*DialError](t.cause); ok {
		e.Kind, e.Addr, e.Via = dial.Kind, dial.Addr, dial.Via
		if dial.Hint != "" {
			e.Hint = dial.Hint
		}
	}
	return e
}

// Silence says that a host is left alone because it did not answer. It is
// what a *DialError of a Guard wraps.
type Silence struct {
	Since time.Time     // of the first failure
	Cause error         // the newest
	Again time.Duration // until it is tried again; 0 when that is now
}

// Error follows the host's name.
func (s *Silence) Error() string {
	since := s.Since.Format(time.TimeOnly)
	if time.Since(s.Since) > 12*time.Hour {
		since = s.Since.Format(time.DateTime)
	}
	again := "it is being tried again now"
	if s.Again > 0 {
		again = "tried again in " + max(s.Again.Round(time.Second), time.Second).String()
	}
	return fmt.Sprintf("has not answered since %s (%s); %s", since, plainCause(s.Cause), again)
}

func (s *Silence) Unwrap() error { return s.Cause }

// plainCause is a cause without the host's name, which stands before it.
func plainCause(err error) string {
	if dial, ok := errors.AsType[*DialError](err); ok {
		text := dial.Err.Error()
		if dial.Addr != "" {
			text = dial.Addr + ": " + text
		}
		if dial.Via != "" {
			text = "jump host " + dial.Via + ": " + text
		}
		return text
	}
	if run, ok := errors.AsType[*RunError](err); ok && run.Err != nil {
		name, _, _ := strings.Cut(run.Cmd, "\n")
		return name + ": " + run.Err.Error()
	}
	return err.Error()
}
