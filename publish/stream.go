package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"onevolume"
)

const (
	// beat is how often a stream says that it lives, and its caller is asked
	// for anew.
	beat = 15 * time.Second
	// sendTime is how long a reader may take for what is sent to him.
	sendTime = 10 * time.Second
	// perUser bounds the streams of one user, but for administrators.
	perUser = 16
	// mostLast bounds how many past events may be asked for.
	mostLast = 1000
	batch    = 200
)

// Streams serves what changed as server-sent events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html) to callers
// who say who they are by HTTP basic authentication. Each sees what he may
// know of.
//
// Query: last=N sends the newest N first; follow=0 ends after these;
// volume=ID is about one volume alone. A client that comes back says in
// Last-Event-ID where it was.
type Streams struct {
	Hub *Hub
	// Authenticate says who holds a session; its error has the code
	// Unauthenticated, Unreachable or Busy (too many failed).
	Authenticate func(ctx context.Context, peer, session string) (onevolume.Caller, error)
	Most         int           // at once, of all users
	Beat         time.Duration // 15 s when zero

	mu     sync.Mutex
	open   int
	of     map[int]int // open, by user
	once   sync.Once
	closed chan struct{}
}

// Open is how many streams there are.
func (s *Streams) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

func (s *Streams) ending() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = make(chan struct{})
	}
	return s.closed
}

// Close ends all streams, and lets none begin.
func (s *Streams) Close() {
	c := s.ending()
	s.once.Do(func() { close(c) })
}

// wish is what a client asked for.
type wish struct {
	session string
	last    int
	follow  bool
	volume  onevolume.VolumeID
	place   int // -1 for none
}

func wishOf(r *http.Request) (w wish, err error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return w, onevolume.Errorf(onevolume.Unauthenticated, "say who you are by HTTP basic authentication")
	}
	w = wish{session: user + ":" + password, follow: true, volume: onevolume.NoVolume, place: -1}
	number := func(text, name string, most int) int {
		n, bad := strconv.Atoi(text)
		if bad != nil || n < 0 || n > most {
			err = errors.Join(err, onevolume.Errorf(onevolume.Invalid, "%s: %q is no number from 0 to %d", name, text, most))
		}
		return n
	}
	for name, values := range r.URL.Query() {
		switch text := values[0]; name {
		case "last":
			w.last = number(text, name, mostLast)
		case "volume":
			w.volume = onevolume.VolumeID(number(text, name, 1<<31-1))
		case "follow":
			w.follow = number(text, name, 1) == 1
		default:
			err = errors.Join(err, onevolume.Errorf(onevolume.Invalid, "there is no parameter %q; there are last, follow and volume", name))
		}
	}
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		w.place = number(text, "Last-Event-ID", 1<<31-1)
	}
	return w, err
}

// ServeHTTP serves one stream to its end.
func (s *Streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	want, err := wishOf(r)
	var who onevolume.Caller
	if err == nil {
		who, err = s.Authenticate(r.Context(), r.RemoteAddr, want.session)
	}
	if err == nil && !want.follow {
		err = s.Hub.Refresh(r.Context()) // who does not wait for more gets all there is
	}
	if err == nil {
		err = s.enter(who)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	defer s.leave(who)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	closed := s.ending()
	go func() {
		select {
		case <-closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	out := &stream{w: w, control: http.NewResponseController(w)}
	// The server's time to read a request ends a connection that goes on.
	_ = out.control.SetReadDeadline(time.Time{})
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep it back
	w.WriteHeader(http.StatusOK)
	s.serve(ctx, out, r.RemoteAddr, who, want)
}

// serve writes events until the reader is gone, or slow, or no caller any
// more.
func (s *Streams) serve(ctx context.Context, out *stream, peer string, who onevolume.Caller, want wish) {
	place, err := s.Hub.Place(ctx)
	if err != nil {
		return
	}
	sees := func(c *onevolume.Change) bool {
		return c.SeenBy(who) && (want.volume == onevolume.NoVolume || c.Volume == want.volume)
	}
	switch {
	case want.place >= 0:
		place = want.place
		if !want.follow {
			s.rest(out, place, sees)
			return
		}
	case want.last > 0:
		var list []onevolume.Change
		list, place = s.Hub.Last(want.last, sees)
		for i := range list {
			out.change(&list[i])
		}
	}
	if out.mark(place); !out.flush() || !want.follow {
		return
	}
	every := s.Beat
	if every <= 0 {
		every = beat
	}
	next := time.Now().Add(every)
	for {
		wait, cancel := context.WithDeadline(ctx, next)
		b, err := s.Hub.After(wait, place, batch)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			out.batch(b, sees)
			place = b.Next
		}
		if now := time.Now(); !now.Before(next) {
			next = now.Add(every)
			// The session may have ended, and groups may have changed. oned
			// may also be away for a moment, which changes nothing.
			is, err := s.Authenticate(ctx, peer, want.session)
			if onevolume.CodeOf(err) == onevolume.Unauthenticated {
				return
			}
			if err == nil {
				who = is
			}
			out.mark(place)
		}
		if !out.flush() {
			return
		}
	}
}

// rest writes what there is after a place, and does not wait.
func (s *Streams) rest(out *stream, place int, sees func(*onevolume.Change) bool) {
	for {
		b, _, ok := s.Hub.after(place, batch)
		if ok {
			out.batch(b, sees)
			place = b.Next
		} else {
			out.mark(place)
		}
		if !out.flush() || !ok {
			return
		}
	}
}

// enter counts a stream, or says that there are too many.
func (s *Streams) enter(who onevolume.Caller) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[int]int{}
	}
	if s.open >= s.Most || s.of[who.UID] >= perUser && !who.IsAdmin() {
		return onevolume.Errorf(onevolume.Busy, "There are too many streams of events.")
	}
	s.open++
	s.of[who.UID]++
	return nil
}

func (s *Streams) leave(who onevolume.Caller) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.of[who.UID]--; s.of[who.UID] == 0 {
		delete(s.of, who.UID)
	}
}

// refuse answers who gets no stream.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch onevolume.CodeOf(err) {
	case onevolume.Unauthenticated:
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Basic realm="onevolume", charset="UTF-8"`)
	case onevolume.Invalid:
		status = http.StatusBadRequest
	case onevolume.Busy:
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "10")
	case onevolume.Unreachable:
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "10")
	}
	http.Error(w, err.Error(), status)
}

// stream writes to one reader. What is written waits for flush.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	text    strings.Builder
	failed  bool
}

func (s *stream) batch(b Batch, sees func(*onevolume.Change) bool) {
	if b.Missed {
		at := b.Next - len(b.Changes)
		fmt.Fprintf(&s.text, "event: missed\nid: %d\ndata: {\"next\":%d}\n\n", at, at+1)
	}
	for i := range b.Changes {
		if c := &b.Changes[i]; sees(c) {
			s.change(c)
		}
	}
}

func (s *stream) change(c *onevolume.Change) {
	body, err := json.Marshal(c)
	if err != nil {
		s.failed = true
		return
	}
	fmt.Fprintf(&s.text, "event: volume\nid: %d\ndata: %s\n\n", c.ID, body)
}

// mark says where the reader is, also behind events that he may not see.
func (s *stream) mark(place int) { fmt.Fprintf(&s.text, "id: %d\n\n", place) }

// flush sends, and says whether the stream may go on.
func (s *stream) flush() bool {
	if s.failed {
		return false
	}
	if s.text.Len() == 0 {
		return true
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(sendTime)) // a recorder in a test has none
	_, err := s.w.Write([]byte(s.text.String()))
	s.text.Reset()
	return err == nil && s.control.Flush() == nil
}
