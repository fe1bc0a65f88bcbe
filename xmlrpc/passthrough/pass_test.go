package passthrough

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc/wire"
)

// front starts a server that has one method of its own, one.volume.info, and
// passes the others on to the endpoint.
func front(t *testing.T, c Config) (*wire.Server, string) {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return fronted(t, p)
}

func fronted(t *testing.T, p *Proxy) (*wire.Server, string) {
	t.Helper()
	s := &wire.Server{Beyond: p, Reserved: "one.volume",
		Authenticate: func(ctx context.Context, session string) (context.Context, error) {
			if session != admin {
				return nil, errors.New("no")
			}
			return ctx, nil
		},
		Describe: func(err error) (string, int, int) { return err.Error(), 0x100, -1 },
		Panicked: func(m string, v any, _ []byte) { t.Errorf("%s panicked: %v", m, v) }}
	s.Add(wire.Method{Name: "one.volume.info", Help: "Ours", Params: []wire.Kind{wire.Session, wire.Int},
		Func: func(_ context.Context, c wire.Call) (any, error) {
			return fmt.Sprintf("<VOLUME>%d</VOLUME>", c.Int(1, 0)), nil
		}})
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = wire.HTTPServer("", wire.Compress(s))
	ts.Start()
	t.Cleanup(ts.Close)
	return s, ts.URL + wire.Path
}

const admin = "oneadmin:opennebula"

func body(method string, params ...any) []byte {
	var b bytes.Buffer
	if err := wire.WriteCall(&b, wire.Call{Method: method, Params: params}); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func post(t *testing.T, url string, body io.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.Post(url, "text/xml", body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the answer ends early: %v", err)
	}
	return resp, string(text)
}

// stub is a server of raw HTTP in oned's place.
func stub(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	return ts.URL + wire.Path
}

// TestAsItCame: bytes and headers in both directions.
func TestAsItCame(t *testing.T) {
	const answer = "<?xml version='1.0'?> <methodResponse> odd \xff bytes"
	var got []byte
	var head http.Header
	var length int64
	var connections atomic.Int32
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		head, length = r.Header, r.ContentLength
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.Header().Set("Connection", "close")
		w.Header().Set("Server", "Xmlrpc-c_Abyss/1.33.14")
		_, _ = io.WriteString(w, answer)
	}))
	ts.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	ts.Start()
	defer ts.Close()
	_, url := front(t, Config{Endpoint: ts.URL + wire.Path})
	long := "<methodCall >\r\n<methodName>one.vm.info</methodName>\xff and no XML " + strings.Repeat("x", 2<<20)
	for _, sent := range []string{"<methodCall><!-- c --><methodName>one.vm.info</methodName>", long} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"User-Agent": "OpenNebula 7.4", "X-Hop": "1", "Connection": "X-Hop, Upgrade", "Upgrade": "x", "Expect": "100-continue", "X-Forwarded-For": "203.0.113.9", "Authorization": "Basic YTpi"} {
			req.Header.Set(name, value)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		back, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != sent || length != int64(len(sent)) {
			t.Errorf("oned got %d bytes, %d announced, of %d", len(got), length, len(sent))
		}
		if string(back) != answer || resp.ContentLength != int64(len(answer)) || resp.Header.Get("Server") != "Xmlrpc-c_Abyss/1.33.14" || resp.Close {
			t.Errorf("back came %q %v", back, resp.Header)
		}
		if head.Get("User-Agent") != "OpenNebula 7.4" || head.Get("Authorization") != "Basic YTpi" || head.Get("X-Forwarded-For") != "127.0.0.1" ||
			head.Get("X-Hop")+head.Get("Expect")+head.Get("Upgrade")+head.Get("Connection") != "close" {
			t.Errorf("oned got the headers %v", head)
		}
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections to oned for 2 calls", n)
	}
}

// TestRecorded: what clients of oned send gets the same answer through us as
// from it, byte by byte.
func TestRecorded(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	_, url := front(t, Config{Endpoint: oned.Endpoint})
	files, err := filepath.Glob("../wire/testdata/*.request.xml")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		request, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, want := post(t, oned.Endpoint, bytes.NewReader(request))
		if _, got := post(t, url, bytes.NewReader(request)); got != want {
			t.Errorf("%s: through us\n%s\nfrom it\n%s", file, got, want)
		}
	}
}

// TestStreaming: the first bytes arrive before the last are sent, both ways.
func TestStreaming(t *testing.T) {
	more, seen := make(chan bool), make(chan bool)
	_, url := front(t, Config{Endpoint: stub(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, held))
		seen <- true
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(make([]byte, 64<<10))
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = w.Write(make([]byte, 64<<10))
	})})
	in, out := io.Pipe()
	start := body("one.vm.info", "u:p", strings.Repeat("x", 2*held))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, in)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(start)) + 1
	go func() {
		_, _ = out.Write(start)
		<-seen
		_, _ = out.Write([]byte{'\n'})
		out.Close()
	}()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 32<<10)); err != nil {
		t.Fatal(err)
	}
	close(more)
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) != 96<<10 {
		t.Errorf("%d bytes more, %v", len(rest), err)
	}
}

// TestChunked: oned wants a length, and gets one.
func TestChunked(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	_, url := front(t, Config{Endpoint: oned.Endpoint})
	hidden := func(b []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(b)} }
	if resp, text := post(t, url, hidden(body("one.system.version", admin))); resp.StatusCode != 200 || !strings.Contains(text, "7.4.0") {
		t.Errorf("%s %s", resp.Status, text)
	}
	if resp, text := post(t, url, hidden(body("one.x", admin, strings.Repeat("x", unmeasured)))); resp.StatusCode != http.StatusLengthRequired || !strings.Contains(text, "Content-Length") {
		t.Errorf("%s %s", resp.Status, text)
	}
}

func TestTooLarge(t *testing.T) {
	oned := stub(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	_, url := front(t, Config{Endpoint: oned, Body: 3 << 20})
	large := strings.Repeat("x", 2<<20)
	for _, c := range []struct {
		body []byte
		want int
	}{
		{body("one.image.allocate", admin, large), 200},
		{body("one.image.allocate", admin, large+large), 413},
		{body("one.volume.info", admin, large), 413},
		{body("system.multicall", admin, large), 413},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		resp, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%.60s: %s, want %d", c.body, resp.Status, c.want)
		}
	}
}

// TestNoAnswer: the fault says so, names oned, and says whether the call may
// have been carried out.
func TestNoAnswer(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	_, url := front(t, Config{Endpoint: oned.Endpoint})
	_, dead := front(t, Config{Endpoint: "http://u:secretpw@127.0.0.1:1/RPC2"})
	oned.Drop(3)
	for name, c := range map[string]struct {
		url, method, want string
	}{
		"down":           {dead, "one.vm.info", "The call was not carried out"},
		"down, list":     {dead, "system.listMethods", "The call was not carried out"},
		"lost":           {url, "one.vm.info", "The call may have been carried out"},
		"lost, list":     {url, "system.listMethods", "The call may have been carried out"},
		"reserved names": {dead, "one.volume.nosuch", "Method 'one.volume.nosuch' not defined"},
	} {
		resp, text := post(t, c.url, bytes.NewReader(body(c.method, admin, 1)))
		if resp.StatusCode != 200 || !strings.Contains(text, c.want) || !strings.Contains(text, "<fault>") || strings.Contains(text, "secretpw") {
			t.Errorf("%s: %s %s", name, resp.Status, text)
		}
		if strings.Contains(c.method, ".vm.") && !strings.Contains(text, "oned (http://") {
			t.Errorf("%s: oned is not named in %s", name, text)
		}
	}
	broken := stub(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(make([]byte, 100))
	})
	_, url = front(t, Config{Endpoint: broken})
	resp, err := http.Post(url, "text/xml", bytes.NewReader(body("one.vm.info", admin)))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("an answer that was cut looks whole")
	}
}

// TestClientGoesAway ends the request to oned too.
func TestClientGoesAway(t *testing.T) {
	began, ended := make(chan bool), make(chan bool)
	_, url := front(t, Config{Endpoint: stub(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(began)
		<-r.Context().Done()
		close(ended)
	})})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body("one.vm.info", admin)))
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-began; cancel() }()
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Error("an answer came")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("oned still works for nobody")
	}
}

// TestStalled: a client that stops in the middle of its request is given up,
// and so is the request to oned.
func TestStalled(t *testing.T) {
	ended := make(chan error, 1)
	p, err := New(Config{Endpoint: stub(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ended <- err
	})})
	if err != nil {
		t.Fatal(err)
	}
	p.stall = 50 * time.Millisecond
	_, url := fronted(t, p)
	for _, part := range []int{300, 2 * held} { // oned is not connected, and is
		in, out := io.Pipe()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, in)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 4 * held
		go func() { _, _ = out.Write(body("one.vm.info", admin, strings.Repeat("x", 3*held))[:part]) }()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		out.Close()
		if resp.StatusCode != http.StatusRequestTimeout {
			t.Errorf("%d bytes: %s", part, resp.Status)
		}
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("oned got a whole request")
		}
	case <-time.After(10 * time.Second):
		t.Error("oned still waits")
	}
}

// TestSlowAnswer: a client whose request is whole waits as long as oned takes,
// beyond the time it had for its request.
func TestSlowAnswer(t *testing.T) {
	p, err := New(Config{Endpoint: stub(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(w, "late")
	})})
	if err != nil {
		t.Fatal(err)
	}
	p.stall = 50 * time.Millisecond
	_, url := fronted(t, p)
	for _, size := range []int{1, 3 * held} {
		if resp, text := post(t, url, bytes.NewReader(body("one.vm.info", admin, strings.Repeat("x", size)))); text != "late" {
			t.Errorf("%s %s", resp.Status, text)
		}
	}
}

// TestLoop: one_xmlrpc that names ourselves is seen at the second turn.
func TestLoop(t *testing.T) {
	var s atomic.Pointer[wire.Server]
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Load().ServeHTTP(w, r) }))
	defer ts.Close()
	p, err := New(Config{Endpoint: ts.URL + wire.Path, InFlight: 2})
	if err != nil {
		t.Fatal(err)
	}
	s.Store(&wire.Server{Beyond: p})
	if _, text := post(t, ts.URL+wire.Path, bytes.NewReader(body("one.vm.info", admin))); !strings.Contains(text, "names onevolumed itself") {
		t.Errorf("%s", text)
	}
}

// TestAtOnce: never more than allowed, and one address leaves room for others.
func TestAtOnce(t *testing.T) {
	s := newSlots(4)
	var held []func()
	for range 3 {
		release, err := s.take(t.Context(), "192.0.2.1:1")
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, release)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(gone, "192.0.2.1:2"); err == nil {
		t.Error("an address has all")
	}
	release, err := s.take(t.Context(), "192.0.2.2:1")
	if err != nil {
		t.Fatal(err)
	}
	held = append(held, release)
	if _, err := s.take(gone, "192.0.2.3:1"); err == nil {
		t.Error("more than allowed")
	}
	for _, release := range held {
		release()
	}
	if len(s.by) != 0 || len(s.all) != 0 {
		t.Errorf("left over: %d addresses, %d slots", len(s.by), len(s.all))
	}
}
