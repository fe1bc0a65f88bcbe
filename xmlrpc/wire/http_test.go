package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const version = `<methodCall><methodName>one.system.version</methodName><params><param><value>oneadmin:onetest-pw-1</value></param></params></methodCall>`

// serve starts a server on loopback with the limits of HTTPServer.
func serve(t *testing.T, h http.Handler) *httptest.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(h)
	ts.Config = HTTPServer("", h)
	ts.Start()
	t.Cleanup(ts.Close)
	return ts
}

// TestHTTPLevel sends raw requests; the answers are those of the captures,
// where ServeHTTP's comment does not say otherwise.
func TestHTTPLevel(t *testing.T) {
	ts := serve(t, onedLike(t))
	ok := "HTTP/1.1 200 OK|Content-Type: text/xml; charset=utf-8|<string>7.4.0</string>"
	post := func(line, headers, body string) string {
		return fmt.Sprintf("POST %s\r\nHost: localhost\r\n%sContent-Length: %d\r\nConnection: close\r\n\r\n%s", line, headers, len(body), body)
	}
	for name, c := range map[string]struct{ request, want string }{
		"get":         {"GET /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405|Allow: POST|text/html|<H1>Error 405</H1><P>POST is the only HTTP method this server understands</P>"},
		"head":        {"HEAD /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405"},
		"put":         {"PUT /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "405"},
		"options":     {"OPTIONS /RPC2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200|Allow: POST|Content-Length: 0"},
		"root":        {post("/ HTTP/1.1", "", version), "404|It&#39;s not the one you requested: &#39;/&#39;"},
		"markup":      {post("/<script> HTTP/1.1", "", version), "404|&lt;script&gt;"},
		"slash":       {post("/RPC2/ HTTP/1.1", "", version), "404"},
		"query":       {post("/RPC2?x=1 HTTP/1.1", "", version), ok},
		"absolute":    {post("http://127.0.0.1:2633/RPC2 HTTP/1.1", "", version), ok},
		"http10":      {post("/RPC2 HTTP/1.0", "", version), ok[len("HTTP/1.1 "):]},
		"json":        {post("/RPC2 HTTP/1.1", "Content-Type: application/json\r\n", version), ok},
		"basic":       {post("/RPC2 HTTP/1.1", "Authorization: Basic YTpi\r\n", version), ok},
		"expect":      {post("/RPC2 HTTP/1.1", "Expect: 100-continue\r\n", version), "HTTP/1.1 100 Continue|" + ok},
		"empty":       {post("/RPC2 HTTP/1.1", "", ""), "400|your request is empty (zero length)"},
		"length":      {"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", "400"},
		"negative":    {"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "400"},
		"large":       {"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741825\r\n\r\n", "413|Connection: close|XML-RPC request too large (1073741825 bytes)"},
		"large chunk": {"POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n<methodCall><methodName>" + strings.Repeat("x", 0x100001-24) + "\r\n0\r\n\r\n", "200|Connection: close|<i4>-509</i4>"},
		"chunked":     {fmt.Sprintf("POST /RPC2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(version), version), ok},
		"header":      {post("/RPC2 HTTP/1.1", "X-Big: "+strings.Repeat("a", 100_000)+"\r\n", version), "431"},
		"300 headers": {post("/RPC2 HTTP/1.1", strings.Repeat("X-H: v\r\n", 300), version), ok},
		"garbage":     {"  garbage\r\n\r\n", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", ts.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(conn, c.request)
			answer, _ := io.ReadAll(conn)
			for _, want := range strings.Split(c.want, "|") {
				if !strings.Contains(string(answer), want) {
					t.Errorf("no %q in\n%s", want, answer)
				}
			}
		})
	}
}

// TestKeepAlive: two calls on one connection, which oned does not do.
func TestKeepAlive(t *testing.T) {
	ts := serve(t, onedLike(t))
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprintf(conn, "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(version), version)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if !bytes.Contains(body, []byte("7.4.0")) {
			t.Errorf("%s", body)
		}
	}
}

// TestShortBody: a body that ends early, by hanging up or by silence.
func TestShortBody(t *testing.T) {
	ts := httptest.NewUnstartedServer(onedLike(t))
	ts.Config = HTTPServer("", onedLike(t))
	ts.Config.ReadTimeout = 200 * time.Millisecond
	ts.Start()
	defer ts.Close()
	for name, c := range map[string]struct {
		hangUp bool
		want   string
	}{"silence": {false, "408 "}, "half closed": {true, "400 "}} {
		conn, err := net.Dial("tcp", ts.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(version)+9, version[:40])
		if c.hangUp {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
		answer, _ := io.ReadAll(conn)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 "+c.want) {
			t.Errorf("%s: %s", name, answer)
		}
		conn.Close()
	}
}

// TestOrder: every check hides the ones behind it.
func TestOrder(t *testing.T) {
	s := onedLike(t)
	var log []Record
	s.Log = func(r Record) { log = append(log, r) }
	call := func(method, params string) string {
		return "<methodCall><methodName>" + method + "</methodName><params>" + params + "</params></methodCall>"
	}
	p := func(v string) string { return "<param><value>" + v + "</value></param>" }
	for i, c := range []struct {
		body string
		want int
	}{
		{"<methodCall>", FaultParse},
		{call("one.vm.nosuch", p("bad")), FaultNoMethod},
		{call("one.vm.info", p("bad")+p("text")), 0x100},
		{call("one.vm.info", p("<int>1</int>")), 0x100},
		{call("one.vm.info", ""), FaultInternal},
		{call("one.vm.info", p("alice:alicepw")+p("text")), FaultType},
		{call("one.vm.info", p("alice:alicepw")), FaultType},
		{call("one.vm.info", p("alice:alicepw")+p("<int>9999</int>")), 0x400},
		{call("one.vm.info", p("alice:alicepw")+p("<int>0</int>")), 0x200},
		{call("one.vm.info", p("alice:alicepw")+p("<int>1</int>")+p("<boolean>0</boolean>")+p("more")), 0},
	} {
		post(s, []byte(c.body))
		if len(log) != i+1 || log[i].Result != c.want {
			t.Errorf("%s: %v, want %d", c.body, log[len(log)-1], c.want)
		}
	}
	if s := fmt.Sprint(log); strings.Contains(s, "alicepw") || !strings.Contains(s, "one.vm.info") || !strings.Contains(s, "192.0.2.1") {
		t.Errorf("the log: %s", s)
	}
}

// A method knows who called, also within a multicall, and what a header says
// of it does not count.
func TestPeer(t *testing.T) {
	var s Server
	var seen []string
	s.Authenticate = func(ctx context.Context, _ string) (context.Context, error) {
		seen = append(seen, "auth "+Peer(ctx))
		return ctx, nil
	}
	s.Add(Method{Name: "a", Params: []Kind{Session}, Func: func(ctx context.Context, _ Call) (any, error) {
		seen = append(seen, Peer(ctx))
		return 1, nil
	}})
	const inner = "<value><struct><member><name>methodName</name><value>a</value></member><member><name>params</name>" +
		"<value><array><data><value>s</value></data></array></value></member></struct></value>"
	for _, body := range []string{
		"<methodCall><methodName>a</methodName><params><param><value>s</value></param></params></methodCall>",
		"<methodCall><methodName>system.multicall</methodName><params><param><value><array><data>" + inner + "</data></array></value></param></params></methodCall>",
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(body))
		r.RemoteAddr = "198.51.100.7:4711"
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		s.ServeHTTP(httptest.NewRecorder(), r)
	}
	const peer = "198.51.100.7:4711"
	if want := []string{"auth " + peer, peer, "auth " + peer, peer}; fmt.Sprint(seen) != fmt.Sprint(want) {
		t.Errorf("seen %q", seen)
	}
	if Peer(context.Background()) != "" {
		t.Error("a call from nowhere has a peer")
	}
}

func TestPanicShowsNothing(t *testing.T) {
	var s Server
	var mu sync.Mutex
	heard := ""
	s.Panicked = func(method string, v any, stack []byte) {
		mu.Lock()
		defer mu.Unlock()
		heard = fmt.Sprint(method, v, len(stack) > 0)
	}
	s.Add(Method{Name: "a", Func: func(context.Context, Call) (any, error) { panic("secret") }},
		Method{Name: "b", Func: func(context.Context, Call) (any, error) { return make(chan int), nil }},
		Method{Name: "c", Func: func(context.Context, Call) (any, error) { return nil, errors.New("secret") }})
	for _, name := range []string{"a", "b", "c"} {
		w := post(&s, []byte("<methodCall><methodName>"+name+"</methodName></methodCall>"))
		if strings.Contains(w.Body.String(), "secret") || !strings.Contains(w.Body.String(), map[string]string{"a": "8192", "b": "-500", "c": "8192"}[name]) {
			t.Errorf("%s answers %s", name, w.Body)
		}
	}
	if heard != "asecrettrue" {
		t.Errorf("heard %q", heard)
	}
}

func TestMulticallIsLimited(t *testing.T) {
	s := onedLike(t)
	s.Calls = 1
	body, err := os.ReadFile("testdata/system_multicall.request.xml")
	if err != nil {
		t.Fatal(err)
	}
	if w := post(s, body); !strings.Contains(w.Body.String(), "<i4>-509</i4>") {
		t.Errorf("%s", w.Body)
	}
	inner := `<value><struct><member><name>methodName</name><value>system.multicall</value></member><member><name>params</name><value><array><data/></array></value></member></struct></value>`
	for calls, want := range map[string]string{inner: "Recursive", "<value>x</value>": "needs the members"} {
		w := post(s, []byte("<methodCall><methodName>system.multicall</methodName><params><param><value><array><data>"+calls+"</data></array></value></param></params></methodCall>"))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s", w.Body)
		}
	}
}

func TestAddRefuses(t *testing.T) {
	f := func(context.Context, Call) (any, error) { return nil, nil }
	for _, m := range []Method{{Name: "", Func: f}, {Name: "a"}, {Name: "a", Func: f, Params: []Kind{String, Session}}, {Name: "a", Func: f, Params: []Kind{Session}, Optional: 1}, {Name: "b", Func: f}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was added", m)
				}
			}()
			var s Server
			s.Add(Method{Name: "b", Func: f})
			s.Add(m)
		}()
	}
}
