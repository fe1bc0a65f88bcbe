package publish

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume"
)

// people knows the sessions of a test.
type people struct {
	mu   sync.Mutex
	gone map[string]bool
}

func (p *people) authenticate(_ context.Context, _, session string) (onevolume.Caller, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who := map[string]onevolume.Caller{"oneadmin:x": root, "alice:to:ken": alice, "bob:x": bob}[session]
	if who.User == "" || p.gone[session] {
		return who, onevolume.Errorf(onevolume.Unauthenticated, "no such user")
	}
	return who, nil
}

// serve runs a server of streams until the test ends.
func serve(t *testing.T, s *table) (*Streams, string, *people) {
	t.Helper()
	h, _ := hub(t, s)
	p := &people{gone: map[string]bool{}}
	streams := &Streams{Hub: h, Authenticate: p.authenticate, Most: 20, Beat: 20 * time.Millisecond}
	server := httptest.NewUnstartedServer(streams)
	server.Config.ReadTimeout = 100 * time.Millisecond // of a request, not of a stream
	server.Start()
	t.Cleanup(func() { streams.Close(); server.Close() })
	return streams, server.URL, p
}

// get opens a stream; its lines come on the channel, which ends with it.
func get(t *testing.T, url, session string, header ...string) (*http.Response, <-chan string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := strings.Cut(session, ":"); ok {
		req.SetBasicAuth(user, password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		in := bufio.NewScanner(resp.Body)
		for in.Scan() {
			lines <- in.Text()
		}
	}()
	return resp, lines
}

// awaits reads lines until one begins so.
func awaits(t *testing.T, lines <-chan string, begin string) string {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("the stream ended before %q", begin)
			}
			if strings.HasPrefix(line, begin) {
				return line
			}
		case <-end:
			t.Fatalf("%q did not come", begin)
		}
	}
}

func TestStream(t *testing.T) {
	s := &table{}
	s.add(3)
	_, url, _ := serve(t, s)
	resp, lines := get(t, url, "alice:to:ken")
	if resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("header %v", resp.Header)
	}
	awaits(t, lines, "id: 3") // only what is new
	s.add(1)
	awaits(t, lines, "event: volume")
	if line := awaits(t, lines, "data: "); !strings.Contains(line, `"id":4`) || !strings.Contains(line, `"state":"ATTACHED"`) || !strings.Contains(line, `"host":"n1"`) {
		t.Errorf("%s", line)
	}
	// Longer than the server gives a request.
	time.Sleep(150 * time.Millisecond)
	s.add(1)
	awaits(t, lines, "id: 5")

	// Bob may see nothing of it, and still knows where he is.
	_, of := get(t, url, "bob:x")
	awaits(t, of, "id: 5")
	s.add(1)
	for line := awaits(t, of, "id: "); line != "id: 6"; line = awaits(t, of, "id: ") {
		if line != "id: 5" {
			t.Fatalf("%q", line)
		}
	}
	for len(of) > 0 {
		if line := <-of; strings.HasPrefix(line, "data") {
			t.Errorf("bob was told %q", line)
		}
	}
}

// A client that comes back is told what was in between, or that it missed
// something.
func TestStreamResumes(t *testing.T) {
	s := &table{}
	s.add(10)
	_, url, _ := serve(t, s)
	for place, want := range map[string]string{"4": "5 6 7 8 9 10", "10": "", "99": "missed"} {
		_, lines := get(t, url+"?follow=0", "oneadmin:x", "Last-Event-ID", place)
		var got []string
		for line := range lines {
			if id, ok := strings.CutPrefix(line, "data: {\"id\":"); ok {
				id, _, _ = strings.Cut(id, ",")
				got = append(got, id)
			}
			if line == "event: missed" {
				got = append(got, "missed")
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("from %s on: %q, want %q", place, got, want)
		}
	}
	_, lines := get(t, url+"?follow=0&last=2&volume=3", "oneadmin:x")
	if a, b := awaits(t, lines, "data: "), awaits(t, lines, "data: "); !strings.Contains(a, `"id":9`) || !strings.Contains(b, `"id":10`) {
		t.Errorf("the last two are %s, %s", a, b)
	}
	_, lines = get(t, url+"?follow=0&last=2&volume=4", "oneadmin:x")
	for line := range lines {
		if strings.HasPrefix(line, "data") {
			t.Errorf("of volume 4: %s", line)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	s := &table{}
	streams, url, p := serve(t, s)
	for _, c := range []struct {
		session, query string
		status         int
	}{
		{"", "", 401}, {"alice:wrong", "", 401}, {"alice:to:ken", "?last=-1", 400}, {"alice:to:ken", "?last=99999", 400},
		{"alice:to:ken", "?colour=red", 400}, {"alice:to:ken", "?volume=x", 400},
	} {
		if resp, _ := get(t, url+c.query, c.session); resp.StatusCode != c.status {
			t.Errorf("%q %q: %s", c.session, c.query, resp.Status)
		}
	}
	// One user cannot have them all, and together they cannot have more.
	open := map[string]int{}
	for _, session := range []string{"alice:to:ken", "oneadmin:x"} {
		for range 30 {
			resp, _ := get(t, url, session)
			if resp.StatusCode == 200 {
				open[session]++
			} else if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" {
				t.Errorf("%s", resp.Status)
			}
		}
	}
	if fmt.Sprint(open) != "map[alice:to:ken:16 oneadmin:x:4]" || streams.Open() != 20 {
		t.Errorf("open are %v, %d", open, streams.Open())
	}
	// A session that ends takes its streams with it.
	p.mu.Lock()
	p.gone["alice:to:ken"] = true
	p.mu.Unlock()
	end := time.Now().Add(20 * time.Second)
	for streams.Open() > 4 && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
	if n := streams.Open(); n != 4 {
		t.Errorf("%d are open", n)
	}
}

// A daemon that stops ends its streams.
func TestStreamsEnd(t *testing.T) {
	streams, url, _ := serve(t, &table{})
	_, lines := get(t, url, "alice:to:ken")
	awaits(t, lines, "id: 0")
	streams.Close()
	for range lines {
	}
	if resp, lines := get(t, url, "alice:to:ken"); resp.StatusCode != 200 {
		t.Errorf("%s", resp.Status)
	} else {
		for range lines { // it ends at once
		}
	}
}
