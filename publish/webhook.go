package publish

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"onevolume"
)

const (
	// postTime bounds one call of a receiver.
	postTime = 10 * time.Second
	// firstWait is the time from a failure to the next try; it doubles up to
	// longestWait.
	firstWait   = time.Second
	longestWait = time.Minute
	postBatch   = 100
)

// Webhook calls a receiver with what changed: a POST of JSON, at most a
// hundred events in one. A receiver that does not answer with 2xx within ten
// seconds is called again with the same, until it does; what the ring loses
// meanwhile it is told to have missed. It is told of what changes after Run
// began.
type Webhook struct {
	Hub    *Hub
	Log    *zap.Logger
	URL    string
	Secret []byte // signs what is sent; empty for no signature
	HTTP   *http.Client
	Wait   time.Duration // from a first failure to the next try; a second when zero

	mu     sync.Mutex
	counts Counts
}

// Counts is how a receiver fares.
type Counts struct {
	Receiver string // host of the address; the rest may be a secret
	Up       bool   // the last call went well, or there was none
	Sent     int    // events
	Failures int    // calls that failed
	Missed   int    // times that events were lost
}

// Counts is how it fares.
func (h *Webhook) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts
	c.Receiver, c.Up = h.receiver(), !c.Up // kept as "down", so that zero is well
	return c
}

func (h *Webhook) receiver() string {
	if u, err := url.Parse(h.URL); err == nil {
		return u.Host
	}
	return "?"
}

// message is what a receiver gets.
type message struct {
	Missed bool               `json:"missed,omitempty"`
	Events []onevolume.Change `json:"events"`
}

// Run calls the receiver until ctx ends.
func (h *Webhook) Run(ctx context.Context) {
	place, err := h.Hub.Place(ctx)
	missed := false // and not told yet
	for err == nil {
		var b Batch
		if b, err = h.Hub.After(ctx, place, postBatch); err != nil {
			return
		}
		if b.Missed {
			missed = true
			h.count(func(c *Counts) { c.Missed++ })
		}
		if err = h.deliver(ctx, b, missed, place); err == nil {
			place, missed = b.Next, false
		} else if errors.Is(err, errBehind) {
			err = nil // read anew what is kept
		}
	}
}

// errBehind says that what is to be delivered is kept no more.
var errBehind = errors.New("the receiver has fallen behind")

// deliver posts a batch until that succeeds.
func (h *Webhook) deliver(ctx context.Context, b Batch, missed bool, place int) error {
	body, err := json.Marshal(message{missed, b.Changes})
	if err != nil {
		return fmt.Errorf("events as JSON: %w", err)
	}
	wait := h.Wait
	if wait <= 0 {
		wait = firstWait
	}
	for tries := 1; ; tries++ {
		err := h.post(ctx, body, b.Next)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			h.count(func(c *Counts) { c.Sent, c.Up = c.Sent+len(b.Changes), false })
			if tries > 1 {
				h.Log.Info("the receiver of events answers again", zap.String("receiver", h.receiver()))
			}
			return nil
		}
		h.count(func(c *Counts) { c.Failures, c.Up = c.Failures+1, true })
		if tries == 1 {
			h.Log.Warn("a receiver of events does not take them; it is called again", zap.String("receiver", h.receiver()), zap.Error(err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, longestWait)
		if now, _, ok := h.Hub.after(place, 1); ok && now.Missed && !missed {
			return errBehind
		}
	}
}

func (h *Webhook) count(f func(*Counts)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.counts)
}

// post calls the receiver once.
func (h *Webhook) post(ctx context.Context, body []byte, id int) error {
	ctx, cancel := context.WithTimeout(ctx, postTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("the address is no URL")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "onevolumed/"+onevolume.Version)
	req.Header.Set("X-Onevolume-Last-Event", strconv.Itoa(id))
	req.Header.Set("X-Onevolume-Timestamp", at)
	if len(h.Secret) > 0 {
		req.Header.Set("X-Onevolume-Signature", Signature(h.Secret, at, body))
	}
	client := h.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the rest of its text is the address
		}
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("HTTP status %s", resp.Status)
	}
	return nil
}

// Signature is "sha256=" and the HMAC-SHA256 (RFC 2104), in hexadecimal
// digits, of the time as it stands in X-Onevolume-Timestamp, a dot, and the
// body.
func Signature(secret []byte, at string, body []byte) string {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(at + "."))
	m.Write(body)
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}
