package listen

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"onevolume/xmlrpc/wire"
)

// Logins holds off who guesses sessions: of one user from one address only so
// many may fail within a window, and ten times as many from one address in
// all. Who had a good session from there is not held off with others: it is
// remembered for a while, as a hash.
type Logins struct {
	Failures int
	Window   time.Duration
	// Trusted networks, and unix sockets, are never held off: whoever is
	// there can ask oned itself.
	Trusted Networks
	// HeldOff hears of an address when it begins to be.
	HeldOff func(address string)

	now   func() time.Time // nil for the clock
	mu    sync.Mutex
	tries map[guessed]*tries
	good  map[[sha256.Size]byte]time.Time // until when
}

var _ wire.Guard = (*Logins)(nil)

const (
	// addressTimes is how many times as many may fail from one address as of
	// one user from there.
	addressTimes = 10
	// remembered is how long a good session is, after its last use.
	remembered = 15 * time.Minute
	// mostTries and mostGood bound the memory.
	mostTries, mostGood = 16 << 10, 16 << 10
)

// guessed is who is guessed and from where; without a user it is the address
// as a whole.
type guessed struct {
	from netip.Addr
	user string
	all  bool
}

// tries are those that failed, the oldest first, and those under way.
type tries struct {
	failed []time.Time
	asking map[[sha256.Size]byte]int
}

// Try says whether a session may be tried; see wire.Guard.
func (l *Logins) Try(peer, session string) (func(wire.Verdict), error) {
	addr, known := origin(peer)
	if !known || l.Trusted.hold(addr) {
		return func(wire.Verdict) {}, nil
	}
	user, _, _ := strings.Cut(session, ":")
	if len(user) > 128 {
		user = user[:128]
	}
	one, all := guessed{from: counted(addr), user: user}, guessed{from: counted(addr), all: true}
	hash := sha256.Sum256([]byte(one.from.String() + " " + session))
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.time()
	until, good := l.good[hash]
	if !good || !now.Before(until) {
		if wait := l.held(one, hash, now, l.Failures); wait > 0 {
			return nil, fmt.Errorf("Too many failed logins of this user from %s. Try again in %s.", addr, wait)
		}
		if wait := l.held(all, hash, now, l.Failures*addressTimes); wait > 0 {
			return nil, fmt.Errorf("Too many failed logins from %s. Try again in %s.", addr, wait)
		}
	}
	for _, g := range []guessed{one, all} {
		l.of(g).asking[hash]++
	}
	return func(v wire.Verdict) { l.done(one, all, hash, v) }, nil
}

// held is how long a session must wait; 0 when it need not. Other sessions
// that are being tried count as if they had failed.
func (l *Logins) held(g guessed, hash [sha256.Size]byte, now time.Time, most int) time.Duration {
	t, ok := l.tries[g]
	if !ok {
		return 0
	}
	t.expire(now.Add(-l.Window))
	others := len(t.asking)
	if t.asking[hash] > 0 {
		others--
	}
	if len(t.failed)+others < most {
		return 0
	}
	wait := time.Second
	if len(t.failed) >= most {
		wait = t.failed[len(t.failed)-most].Add(l.Window).Sub(now)
	}
	return max(wait.Round(time.Second), time.Second)
}

func (t *tries) expire(before time.Time) {
	n := 0
	for n < len(t.failed) && !t.failed[n].After(before) {
		n++
	}
	t.failed = t.failed[n:]
}

// of finds the tries of somebody, or makes room for them.
func (l *Logins) of(g guessed) *tries {
	if l.tries == nil {
		l.tries, l.good = map[guessed]*tries{}, map[[sha256.Size]byte]time.Time{}
	}
	t, ok := l.tries[g]
	if !ok {
		shrink(l.tries, mostTries, func(t *tries) bool {
			t.expire(l.time().Add(-l.Window))
			return len(t.failed)+len(t.asking) == 0
		}, func(t *tries) bool { return len(t.asking) == 0 })
		t = &tries{asking: map[[sha256.Size]byte]int{}}
		l.tries[g] = t
	}
	return t
}

func (l *Logins) done(one, all guessed, hash [sha256.Size]byte, v wire.Verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.time()
	for g, most := range map[guessed]int{one: l.Failures, all: l.Failures * addressTimes} {
		t := l.of(g)
		if t.asking[hash]--; t.asking[hash] <= 0 {
			delete(t.asking, hash)
		}
		if v == wire.Refused {
			t.failed = append(t.failed, now)
			if t.expire(now.Add(-l.Window)); len(t.failed) == most && l.HeldOff != nil {
				go l.HeldOff(one.from.String())
			}
			if len(t.failed) > most {
				t.failed = t.failed[len(t.failed)-most:]
			}
		}
		if v == wire.Known && g == one {
			t.failed = nil
		}
		if len(t.failed)+len(t.asking) == 0 {
			delete(l.tries, g)
		}
	}
	switch v {
	case wire.Refused:
		delete(l.good, hash)
	case wire.Known:
		if _, ok := l.good[hash]; !ok {
			shrink(l.good, mostGood, func(until time.Time) bool { return !now.Before(until) }, func(time.Time) bool { return true })
		}
		l.good[hash] = now.Add(remembered)
	}
}

// shrink makes room in a map that may hold most: by what is over, else by an
// eighth of those that may go, so that it is seldom done.
func shrink[K comparable, V any](m map[K]V, most int, over, mayGo func(V) bool) {
	if len(m) < most {
		return
	}
	for k, v := range m {
		if over(v) {
			delete(m, k)
		}
	}
	for k, v := range m {
		if len(m) < most-most/8 {
			return
		}
		if mayGo(v) {
			delete(m, k)
		}
	}
}

func (l *Logins) time() time.Time {
	if l.now != nil {
		return l.now()
	}
	return time.Now()
}
