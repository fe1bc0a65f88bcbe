package opennebula

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"onevolume"
)

// Keep is how long an Authenticator believes oned by default. Within that
// time a password that was changed, a token that was taken back and a user
// who was disabled still count.
const Keep = 5 * time.Second

const (
	// keepRefused is how long a session that oned did not know stays unknown:
	// enough to slow down who guesses, too short for who just got a token.
	keepRefused = time.Second
	// known and unknown bound the memory; sessions that are refused have
	// their own, so that nobody can drive the others out.
	known, unknown = 4096, 256
	// lookupTime bounds a question to oned that nobody waits for any more.
	lookupTime = 10 * time.Second
)

// Authenticator says who holds a session. It keeps oned's answers for a
// while, by the SHA-256 of the session, and asks once for all who ask at the
// same time. Only the answer that oned does not know the session is kept of
// failures.
type Authenticator struct {
	lookup func(ctx context.Context, session string) (onevolume.Caller, error)
	keep   time.Duration

	mu      sync.Mutex
	known   map[key]entry
	unknown map[key]entry
	asking  map[key]*question
}

type key [sha256.Size]byte

type entry struct {
	who   onevolume.Caller
	err   error
	until time.Time
}

// question is a look-up under way; who and err may be read when done is
// closed.
type question struct {
	done chan struct{}
	who  onevolume.Caller
	err  error
}

// NewAuthenticator asks oned through c, whose own session does not matter.
// keep is how long an answer counts; below zero none is kept.
func NewAuthenticator(c *Client, keep time.Duration) *Authenticator {
	return newAuthenticator(keep, func(ctx context.Context, session string) (onevolume.Caller, error) {
		return c.As(session).WhoAmI(ctx)
	})
}

func newAuthenticator(keep time.Duration, lookup func(context.Context, string) (onevolume.Caller, error)) *Authenticator {
	return &Authenticator{lookup: lookup, keep: keep,
		known: map[key]entry{}, unknown: map[key]entry{}, asking: map[key]*question{}}
}

// Authenticate says who holds the session. Codes: Unauthenticated, and
// Unreachable when oned does not answer. The caller must not change the
// groups.
func (a *Authenticator) Authenticate(ctx context.Context, session string) (onevolume.Caller, error) {
	k := key(sha256.Sum256([]byte(session)))
	a.mu.Lock()
	for _, kept := range []map[key]entry{a.known, a.unknown} {
		if e, ok := kept[k]; ok && time.Now().Before(e.until) {
			a.mu.Unlock()
			return e.who, e.err
		}
	}
	q, ok := a.asking[k]
	if !ok {
		q = &question{done: make(chan struct{})}
		a.asking[k] = q
		// The question outlives who asked first: others wait for it too.
		go a.ask(context.WithoutCancel(ctx), k, q, session)
	}
	a.mu.Unlock()
	select {
	case <-q.done:
		return q.who, q.err
	case <-ctx.Done():
		return onevolume.Caller{}, onevolume.Errorf(onevolume.Unreachable, "oned did not say in time who is calling: %w", ctx.Err())
	}
}

// Recall is the id of who was last found to hold the session, for logs: oned
// is not asked, and its word may be out of date. ok is false when nobody was,
// lately.
func (a *Authenticator) Recall(session string) (uid int, ok bool) {
	k := key(sha256.Sum256([]byte(session)))
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.known[k]
	return e.who.UID, ok
}

func (a *Authenticator) ask(ctx context.Context, k key, q *question, session string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			q.err = onevolume.Errorf(onevolume.Internal, "the look-up of a session panicked: %v", p)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case a.keep < 0:
		case q.err == nil:
			put(a.known, known, k, entry{who: q.who, until: time.Now().Add(a.keep)})
		case onevolume.CodeOf(q.err) == onevolume.Unauthenticated:
			delete(a.known, k)
			put(a.unknown, unknown, k, entry{err: q.err, until: time.Now().Add(min(a.keep, keepRefused))})
		}
		delete(a.asking, k)
		close(q.done)
	}()
	q.who, q.err = a.lookup(ctx, session)
}

// put adds an entry to a map that may hold most. Room is made by what is out
// of date, else by any one.
func put(m map[key]entry, most int, k key, e entry) {
	if len(m) >= most {
		now := time.Now()
		for old, kept := range m {
			if !now.Before(kept.until) {
				delete(m, old)
			}
		}
	}
	for old := range m {
		if len(m) < most {
			break
		}
		delete(m, old)
	}
	m[k] = e
}
