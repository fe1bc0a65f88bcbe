package publish

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// receiver takes what a webhook sends, once it is well.
type receiver struct {
	mu     sync.Mutex
	ill    int // this status, when not 0
	asked  int
	ids    []int
	missed int
	bad    []string
	wake   chan struct{}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}()
	r.asked++
	body, _ := io.ReadAll(req.Body)
	if want := Signature([]byte("secret"), req.Header.Get("X-Onevolume-Timestamp"), body); req.Header.Get("X-Onevolume-Signature") != want || req.Method != http.MethodPost {
		r.bad = append(r.bad, req.Header.Get("X-Onevolume-Signature"))
	}
	if r.ill != 0 {
		w.WriteHeader(r.ill)
		return
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		r.bad = append(r.bad, err.Error())
	}
	if m.Missed {
		r.missed++
	}
	for _, c := range m.Events {
		r.ids = append(r.ids, c.ID)
	}
}

// until waits for a state of the receiver.
func (r *receiver) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		ok := is()
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-r.wake:
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("not %s", what)
		}
	}
}

func TestWebhook(t *testing.T) {
	s := &table{}
	s.add(2) // before it began
	h, _ := hub(t, s)
	r := &receiver{wake: make(chan struct{}, 1)}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	core, logs := observer.New(zap.InfoLevel)
	hook := &Webhook{Hub: h, Log: zap.New(core), URL: server.URL + "/token", Secret: []byte("secret"), Wait: time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); hook.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	time.Sleep(20 * time.Millisecond) // it has begun
	s.add(250)
	r.until(t, "all received", func() bool { return len(r.ids) == 250 && r.ids[0] == 3 && r.ids[249] == 252 })
	// A receiver that is ill gets the same again, and one that was ill for too
	// long hears that it missed some.
	r.mu.Lock()
	r.ill, r.asked = 500, 0
	r.mu.Unlock()
	s.add(1)
	r.until(t, "asked again", func() bool { return r.asked > 3 })
	r.mu.Lock()
	r.ill = 0
	r.mu.Unlock()
	r.until(t, "received after all", func() bool { return len(r.ids) == 251 })
	r.mu.Lock()
	r.ill = 404
	r.mu.Unlock()
	s.add(1)
	r.until(t, "asked", func() bool { return r.asked > 6 })
	s.add(ringSize + 50)
	for place := 0; place != 252+2+ringSize+50; place, _ = h.Place(t.Context()) {
		time.Sleep(time.Millisecond)
	}
	r.mu.Lock()
	r.ill, r.ids = 0, nil
	r.mu.Unlock()
	r.until(t, "up to date", func() bool { return len(r.ids) > 0 && r.ids[len(r.ids)-1] == 252+2+ringSize+50 })
	if r.missed != 1 || len(r.bad) > 0 {
		t.Errorf("missed %d times, bad %q", r.missed, r.bad)
	}
	for i := 1; i < len(r.ids); i++ {
		if r.ids[i] != r.ids[i-1]+1 && r.ids[i-1] != 254 {
			t.Errorf("%d follows %d", r.ids[i], r.ids[i-1])
		}
	}
	c := hook.Counts()
	if !c.Up || c.Sent < 251 || c.Failures < 6 || c.Missed != 1 || c.Receiver == "" {
		t.Errorf("%+v", c)
	}
	// Said once when it fails and once when it is well again, each time.
	if n := logs.FilterMessageSnippet("does not take").Len(); n < 2 || n > 3 {
		t.Errorf("%d lines of %d", n, logs.Len())
	}
}
