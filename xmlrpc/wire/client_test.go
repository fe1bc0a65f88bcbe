package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

const secret = "alice:s3cret"

func client(t *testing.T, c Config) *Client {
	t.Helper()
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// echo answers its parameters.
func echo() *Server {
	var s Server
	s.Add(Method{Name: "echo", Func: func(_ context.Context, call Call) (any, error) { return call.Params, nil }})
	return &s
}

func TestClientValues(t *testing.T) {
	ts := serve(t, echo())
	c := client(t, Config{Endpoint: ts.URL + Path})
	when := time.Date(2026, 11, 20, 17, 38, 28, 0, time.UTC)
	got, err := c.Call(t.Context(), "echo", "a <&> \"\r\n ü", "", true, 5, int64(-6), 1.5, []byte("hallo"), when,
		[]string{"x"}, []any{}, map[string]any{"<k>": 1, "e": ""})
	want := []any{"a <&> \"\r\n ü", "", true, 5, -6, 1.5, "aGFsbG8=", when, []any{"x"}, []any{}, map[string]any{"<k>": 1, "e": ""}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%#v\n%#v, %v", got, want, err)
	}
}

// TestClientRefusesToSend: what cannot be said rightly is not sent.
func TestClientRefusesToSend(t *testing.T) {
	c := client(t, Config{Endpoint: "http://127.0.0.1:1/RPC2"})
	for _, p := range []any{1 << 31, "\x00", "\xff", struct{}{}, []any{"\x01"}} {
		_, err := c.Call(t.Context(), "echo", secret, p)
		if e, ok := errors.AsType[*TransportError](err); !ok || e.Sent || !strings.Contains(err.Error(), "parameter 2") {
			t.Errorf("%#v: %v", p, err)
		}
	}
}

func TestClientErrors(t *testing.T) {
	ts := serve(t, onedLike(t))
	c := client(t, Config{Endpoint: ts.URL + Path})
	_, err := c.Call(t.Context(), "one.vm.info", "alice:alicepw", 9999)
	if e, ok := errors.AsType[*APIError](err); !ok || *e != (APIError{"one.vm.info", "[one.vm.info] Error getting virtual machine [9999].", 0x400, 9999}) {
		t.Errorf("%#v", err)
	}
	_, err = c.Call(t.Context(), "one.vm.info", "alice:alicepw", "text")
	if e, ok := errors.AsType[*Fault](err); !ok || e.Code != FaultType {
		t.Errorf("%#v", err)
	}
	v, err := c.Call(t.Context(), "system.methodHelp", "one.vm.info")
	if err != nil || v != "Returns Virtual Machine information" {
		t.Errorf("%v, %v", v, err)
	}
}

// TestOutcome: an error says whether the call may have been carried out, and
// names the endpoint but neither session nor parameter.
func TestOutcome(t *testing.T) {
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		sent    bool
	}{
		"hung up":   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, true},
		"slow":      {func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body); <-r.Context().Done() }, true},
		"not found": {answers(404, "x"), false},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, false},
		"broken": {answers(500, "x"), true},
		"no xml": {answers(200, "hello"), true},
		"cut":    {answers(200, prolog+"<params>"), true},
		"empty":  {answers(200, ""), true},
		"other":  {answers(200, prolog+"<params><param><value><int>1</int></value></param></params></methodResponse>"), true},
		"large":  {answers(200, strings.Repeat(" ", 2000)), true},
		"deep":   {answers(200, prolog+"<params><param>"+strings.Repeat("<value><array><data>", 101)), true},
	} {
		t.Run(name, func(t *testing.T) {
			ts := httptest.NewServer(c.handler)
			defer ts.Close()
			patience := time.Minute
			if name == "slow" {
				patience = 100 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := client(t, Config{Endpoint: ts.URL + Path, Response: 3000}).Call(ctx, "one.x", secret)
			if name == "large" {
				_, err = client(t, Config{Endpoint: ts.URL + Path, Response: 1000}).Call(ctx, "one.x", secret)
			}
			e, ok := errors.AsType[*TransportError](err)
			if !ok || e.Sent != c.sent || !strings.Contains(err.Error(), ts.URL) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestNotSent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = client(t, Config{Endpoint: "http://" + addr + Path}).Call(t.Context(), "one.x", secret)
	if e, ok := errors.AsType[*TransportError](err); !ok || e.Sent || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
}

// TestInFlight: no more calls than allowed, and a waiting call can be given
// up, without having been sent.
func TestInFlight(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	release := make(chan struct{})
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		<-release
		mu.Lock()
		now--
		mu.Unlock()
		_ = WriteValue(w, Success("x"))
	}))
	defer ts.Close()
	c := client(t, Config{Endpoint: ts.URL, InFlight: 2})
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if _, err := c.Call(t.Context(), "one.x"); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		mu.Lock()
		full := now == 2
		mu.Unlock()
		if full {
			break
		}
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Call(ctx, "one.x")
	if e, ok := errors.AsType[*TransportError](err); !ok || e.Sent || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	wg.Wait()
	if most != 2 {
		t.Errorf("%d calls at once", most)
	}
}

// TestConnections: one a call for oned, one for all when they are kept, and
// never a chunked request.
func TestConnections(t *testing.T) {
	for _, keep := range []bool{false, true} {
		var mu sync.Mutex
		opened := 0
		ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength <= 0 {
				t.Error("no Content-Length")
			}
			echo().ServeHTTP(w, r)
		}))
		ts.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				mu.Lock()
				opened++
				mu.Unlock()
			}
		}
		ts.Start()
		c := client(t, Config{Endpoint: ts.URL + Path, KeepAlive: keep})
		for range 3 {
			if _, err := c.Call(t.Context(), "echo", "x"); err != nil {
				t.Fatal(err)
			}
		}
		mu.Lock()
		if want := map[bool]int{false: 3, true: 1}[keep]; opened != want {
			t.Errorf("keep %v: %d connections", keep, opened)
		}
		mu.Unlock()
		ts.Close()
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := HTTPServer("", echo())
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c := client(t, Config{Endpoint: "unix://" + path})
	if v, err := c.Call(t.Context(), "echo", "x"); err != nil || fmt.Sprint(v) != "[x]" || c.Endpoint != "unix://"+path {
		t.Errorf("%v, %v", v, err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "localhost:2633", "ftp://x/", "http://", "unix://relative", "http://a:pw@[::1/"} {
		if _, err := NewClient(Config{Endpoint: bad}); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	c := client(t, Config{Endpoint: "http://u:pw@127.0.0.1:1/RPC2"})
	if _, err := c.Call(t.Context(), "one.x"); err == nil || strings.Contains(err.Error(), "pw") {
		t.Errorf("%v", err)
	}
}

// TestPython: the standard library's client of another language understands
// us.
func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	ts := serve(t, onedLike(t))
	out, err := exec.CommandContext(t.Context(), python, "-c", `
import sys, xmlrpc.client as x
s = x.ServerProxy(sys.argv[1], allow_none=True)
print(s.one.system.version("alice:alicepw"))
print(s.one.vm.info("alice:alicepw", 9999, False)[:4])
print(s.one.vm.info("alice:alicepw", 1)[1][:12])
print(s.system.methodSignature("one.vm.info"))
m = x.MultiCall(s); m.one.system.version("bad"); print(list(m()))
try: s.one.nosuch()
except x.Fault as f: print(f.faultCode, f.faultString)
`, ts.URL+Path).CombinedOutput()
	want := `[True, '7.4.0', 0]
[False, '[one.vm.info] Error getting virtual machine [9999].', 1024, 9999]
<VM><ID>1</I
[['array', 'string', 'int', 'boolean']]
[[False, "[one.system.version] User couldn't be authenticated, aborting call.", 256, -1, -1]]
-506 Method 'one.nosuch' not defined
`
	if err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}
