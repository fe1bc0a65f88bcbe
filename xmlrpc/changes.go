package xmlrpc

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"onevolume"
)

// VolumeDocument is a volume's XML document as one.volume.info gives it to
// who sees no secrets.
func VolumeDocument(v *onevolume.Volume) (string, error) { return marshal(volumeToXML(v, false)) }

// ChangeDocument is what an event says of a volume that is no more, in the
// elements of a volume's document.
func ChangeDocument(c *onevolume.Change) string {
	text, err := marshal(struct {
		XMLName   xml.Name `xml:"VOLUME"`
		ID        int      `xml:"ID"`
		UID       int      `xml:"UID"`
		GID       int      `xml:"GID"`
		Name      string   `xml:"NAME"`
		Status    string   `xml:"STATUS"`
		VMID      int      `xml:"VM_ID"`
		Operation int      `xml:"OPERATION"`
	}{ID: int(c.Volume), UID: c.UID, GID: c.GID, Name: c.Name, Status: c.Word(), VMID: int(c.VM), Operation: c.Operation})
	if err != nil {
		return "<VOLUME><ID>" + strconv.Itoa(int(c.Volume)) + "</ID></VOLUME>"
	}
	return text
}

// silence is how long a stream of events may be silent: the daemon says every
// 15 s that it lives.
const silence = time.Minute

// Changes calls hear with the events that the caller may know of, the oldest
// first, until ctx ends, hear fails, or, without Follow, all were given. A
// stream that breaks off is taken up where it was; hear gets nil when events
// were lost between. Its first failure is the error, with the code
// Unreachable when there is no daemon.
func (c *Client) Changes(ctx context.Context, w onevolume.Watch, hear func(*onevolume.Change) error) error {
	s := &changes{client: c, watch: w, hear: hear, place: -1}
	wait := time.Second
	for tries := 0; ; tries++ {
		was := s.place
		err := s.read(ctx)
		if s.own != nil || ctx.Err() != nil || err == nil && !w.Follow || s.place < 0 {
			return errors.Join(s.own, ctx.Err(), err)
		}
		if code := onevolume.CodeOf(err); err != nil && code != onevolume.Unreachable && code != onevolume.Busy {
			return err
		}
		if s.place != was {
			wait = time.Second
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// changes is a stream that is read, as often as it must be opened.
type changes struct {
	client *Client
	watch  onevolume.Watch
	hear   func(*onevolume.Change) error
	place  int // of the last that was read; -1 for none yet
	own    error
}

// read opens the stream and reads it to its end. Nil is an orderly end.
func (s *changes) read(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u := s.client.Wire.URL()
	u.Path = path.Join("/", path.Dir(u.Path), "events")
	q := url.Values{}
	if s.watch.Volume >= 0 {
		q.Set("volume", strconv.Itoa(int(s.watch.Volume)))
	}
	if !s.watch.Follow {
		q.Set("follow", "0")
	}
	if s.place < 0 && s.watch.Last > 0 {
		q.Set("last", strconv.Itoa(s.watch.Last))
	}
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return onevolume.Errorf(onevolume.Invalid, "the endpoint is not a URL")
	}
	user, password, _ := strings.Cut(s.client.Session, ":")
	req.SetBasicAuth(user, password)
	req.Header.Set("Accept", "text/event-stream")
	if s.place >= 0 {
		req.Header.Set("Last-Event-ID", strconv.Itoa(s.place))
	}
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	resp, err := s.client.Wire.HTTP.Do(req)
	if err != nil {
		return s.broken(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	return s.events(resp.Body, func() { alive.Reset(silence) })
}

// broken is a stream that ended before its end.
func (s *changes) broken(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // the rest is the address
	}
	return onevolume.Errorf(onevolume.Unreachable, "%s: the stream of events: %w", s.client.Wire.Endpoint, err).
		WithHint("is onevolumed running, and does ONEVOLUME_XMLRPC name it?")
}

// refusal is an answer that is no stream.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	why := strings.TrimSpace(string(text))
	switch resp.StatusCode {
	case http.StatusUnauthorized:
		return onevolume.Errorf(onevolume.Unauthenticated, "User couldn't be authenticated, aborting call.")
	case http.StatusBadRequest:
		return onevolume.Errorf(onevolume.Invalid, "%s", why)
	case http.StatusTooManyRequests:
		return onevolume.Errorf(onevolume.Busy, "%s", why).WithHint("try again later")
	case http.StatusNotFound:
		return onevolume.Errorf(onevolume.Action, "This onevolumed gives no events.").WithHint("publish: streams in its configuration says how many streams there may be")
	case http.StatusServiceUnavailable:
		return onevolume.Errorf(onevolume.Unreachable, "%s", why)
	}
	return onevolume.Errorf(onevolume.Internal, "the daemon answered %s", resp.Status)
}

// events reads server-sent events: of their fields those that the daemon
// writes.
func (s *changes) events(body io.Reader, alive func()) error {
	in := bufio.NewScanner(body)
	in.Buffer(nil, 64<<10)
	var name, data, id string
	for in.Scan() {
		alive()
		field, value, _ := strings.Cut(in.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case in.Text() != "":
			switch field {
			case "event":
				name = value
			case "data":
				data = value
			case "id":
				id = value
			}
			continue
		case name == "missed":
			s.own = s.hear(nil)
		case name == "volume":
			c := &onevolume.Change{}
			if err := json.Unmarshal([]byte(data), c); err != nil {
				return onevolume.Errorf(onevolume.Internal, "an event of the daemon: %w", err)
			}
			s.own = s.hear(c)
		}
		if s.own != nil {
			return nil //nolint:nilerr // it is the listener's, and kept
		}
		if n, notNumber := strconv.Atoi(id); notNumber == nil {
			s.place = n
		}
		name, data, id = "", "", ""
	}
	if err := in.Err(); err != nil || s.watch.Follow {
		return s.broken(fmt.Errorf("it ended: %w", errors.Join(err, io.ErrUnexpectedEOF)))
	}
	return nil
}
