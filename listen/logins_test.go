package listen

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"onevolume/xmlrpc/wire"
)

// clock is set by hand.
type clock struct{ t time.Time }

func logins(t *testing.T) (*Logins, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}
	trusted, err := ParseNetworks([]string{"127.0.0.0/8", "2001:db8:f::1"})
	if err != nil {
		t.Fatal(err)
	}
	return &Logins{Failures: 3, Window: time.Minute, Trusted: trusted, now: func() time.Time { return c.t }}, c
}

// login tries a session whose password is right when it is "pw".
func login(l *Logins, peer, session string) bool {
	done, err := l.Try(peer, session)
	if err != nil {
		return false
	}
	v := wire.Refused
	if strings.HasSuffix(session, ":pw") {
		v = wire.Known
	}
	done(v)
	return true
}

const mallory, other = "192.0.2.66:4711", "192.0.2.7:4712"

func TestLoginsOfOneUser(t *testing.T) {
	l, c := logins(t)
	if !login(l, mallory, "carol:pw") {
		t.Fatal("the first is held off")
	}
	for i := range 3 {
		if !login(l, mallory, fmt.Sprint("alice:guess", i)) {
			t.Errorf("guess %d is held off", i)
		}
		c.t = c.t.Add(time.Second)
	}
	_, err := l.Try(mallory, "alice:pw")
	if err == nil || err.Error() != "Too many failed logins of this user from 192.0.2.66. Try again in 57s." {
		t.Errorf("%v", err)
	}
	for who, session := range map[string]string{"another user": "bob:pw", "who was known before": "carol:pw"} {
		if !login(l, mallory, session) {
			t.Errorf("%s at the same address is held off", who)
		}
	}
	if !login(l, other, "alice:pw") {
		t.Error("alice is held off elsewhere")
	}
	c.t = c.t.Add(57 * time.Second)
	if !login(l, mallory, "alice:pw") {
		t.Error("it does not end")
	}
}

// TestLoginsOfOneAddress: one guess for each of many users is guessing too,
// and those who were known go on.
func TestLoginsOfOneAddress(t *testing.T) {
	l, c := logins(t)
	if !login(l, mallory, "carol:pw") || !login(l, "[2001:db8::1]:1", "carol:pw") {
		t.Fatal("the first is held off")
	}
	for i := range 3 * addressTimes {
		if !login(l, mallory, fmt.Sprintf("user%d:x", i)) || !login(l, fmt.Sprintf("[2001:db8::%x]:1", i), fmt.Sprintf("user%d:x", i)) {
			t.Errorf("guess %d is held off", i)
		}
	}
	for _, peer := range []string{mallory, "192.0.2.66:9", "[::ffff:192.0.2.66]:9", "[2001:db8::ffff]:9"} {
		if login(l, peer, "dave:pw") {
			t.Errorf("%s is not held off", peer)
		}
	}
	if !login(l, mallory, "carol:pw") || !login(l, other, "dave:pw") || !login(l, "[2001:db8:0:1::1]:1", "dave:pw") {
		t.Error("others are held off")
	}
	c.t = c.t.Add(time.Minute)
	if !login(l, mallory, "dave:pw") {
		t.Error("it does not end")
	}
}

// TestLoginsAtOnce: those under way count, else all guesses would be made at
// the same time; one session called many times at once does not.
func TestLoginsAtOnce(t *testing.T) {
	l, _ := logins(t)
	var dones []func(wire.Verdict)
	for i := range 10 {
		if done, err := l.Try(mallory, fmt.Sprint("alice:", i)); err == nil {
			dones = append(dones, done)
		}
	}
	if len(dones) != 3 {
		t.Errorf("%d guesses at once", len(dones))
	}
	for _, done := range dones {
		done(wire.Refused)
	}
	dones = nil
	for range 10 {
		if done, err := l.Try(other, "bob:pw"); err == nil {
			dones = append(dones, done)
		}
	}
	if len(dones) != 10 {
		t.Errorf("bob is served %d times of 10", len(dones))
	}
	for _, done := range dones {
		done(wire.Unsure)
	}
	if len(l.tries) != 2 {
		t.Errorf("kept: %v", l.tries)
	}
}

func TestLoginsOfTrusted(t *testing.T) {
	l, _ := logins(t)
	for _, peer := range []string{"127.0.0.1:1", "[2001:db8:f::1]:1", "[::ffff:127.0.0.1]:1", "unix socket (uid 1000)"} {
		for range 50 {
			if !login(l, peer, "alice:x") {
				t.Fatalf("%s is held off", peer)
			}
		}
	}
	if len(l.tries)+len(l.good) != 0 {
		t.Error("something is kept")
	}
}

// TestLoginsAreBounded: in memory, whoever guesses from wherever.
func TestLoginsAreBounded(t *testing.T) {
	l, _ := logins(t)
	for i := range mostTries + 100 {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1).String()
		login(l, peer, "alice:x")
		login(l, peer, "bob:pw")
	}
	if len(l.tries) > mostTries || len(l.good) > mostGood {
		t.Errorf("%d tries, %d good", len(l.tries), len(l.good))
	}
}

func TestParseNetworks(t *testing.T) {
	if _, err := ParseNetworks([]string{"localhost"}); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("%v", err)
	}
}
