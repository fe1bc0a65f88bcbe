package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// raw is a connection to a server with the limits of HTTPServer.
func raw(t *testing.T, h http.Handler) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", serve(t, h).Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn, bufio.NewReader(conn)
}

// answered reads one answer and says whether the connection stays open.
func answered(t *testing.T, in *bufio.Reader) (text string, open bool) {
	t.Helper()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body)), !resp.Close
}

func request(protocol, headers, body string) string {
	return fmt.Sprintf("POST /RPC2 HTTP/%s\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", protocol, headers, len(body), body)
}

// TestConnectionsStayOpen: as HTTP/1.0 and 1.1 have it, pipelined too; oned
// closes after the first answer.
func TestConnectionsStayOpen(t *testing.T) {
	for name, c := range map[string]struct {
		protocol, headers string
		open              bool
	}{
		"1.1":             {"1.1", "", true},
		"1.1, close":      {"1.1", "Connection: close\r\n", false},
		"1.0":             {"1.0", "", false},
		"1.0, keep-alive": {"1.0", "Connection: keep-alive\r\n", true},
		"1.0, Keep-Alive": {"1.0", "Connection: Keep-Alive\r\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			conn, in := raw(t, onedLike(t))
			three := strings.Repeat(request(c.protocol, c.headers, version), 3)
			_, _ = io.WriteString(conn, three)
			for i := range 3 {
				text, open := answered(t, in)
				if !strings.HasPrefix(text, "200 ") || !strings.Contains(text, "7.4.0") || open != c.open {
					t.Errorf("answer %d: open %v, %s", i, open, text)
				}
				if !open {
					break
				}
			}
		})
	}
}

// TestGarbage behind a call, in the body and behind it.
func TestGarbage(t *testing.T) {
	conn, in := raw(t, onedLike(t))
	_, _ = io.WriteString(conn, request("1.1", "", version+"<more/>")+request("1.1", "", version)+"garbage\r\n\r\n")
	for i, want := range []string{"-503", "7.4.0", "400 "} {
		if text, open := answered(t, in); !strings.Contains(text, want) || open != (i < 2) {
			t.Errorf("answer %d: open %v, %s", i, open, text)
		}
	}
}

// TestExpect: who asks first is told before he sends what would be refused.
func TestExpect(t *testing.T) {
	conn, in := raw(t, onedLike(t))
	head := "POST /RPC2 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: "
	fmt.Fprintf(conn, "%s%d\r\n\r\n", head, len(version))
	if line, err := in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = in.ReadString('\n')
	_, _ = io.WriteString(conn, version)
	if text, open := answered(t, in); !strings.Contains(text, "7.4.0") || !open {
		t.Errorf("open %v, %s", open, text)
	}
	fmt.Fprintf(conn, "%s%d\r\n\r\n", head, 1<<30)
	if text, open := answered(t, in); !strings.HasPrefix(text, "413 ") || open {
		t.Errorf("open %v, %s", open, text)
	}
}

// TestHeardOut: who sends all of a call before it reads finds the refusal, not
// a connection that was reset.
func TestHeardOut(t *testing.T) {
	padding := strings.Repeat(" ", 1<<20)
	for name, c := range map[string]struct{ headers, want string }{
		"length": {fmt.Sprintf("Content-Length: %d\r\n\r\n", len(version)+12<<20), "413 "},
		"chunks": {"Transfer-Encoding: chunked\r\n\r\n" + "c00000\r\n", "-509"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, in := raw(t, onedLike(t))
			_, err := io.WriteString(conn, "POST /RPC2 HTTP/1.1\r\nHost: x\r\n"+c.headers)
			for i := 0; i < 12 && err == nil; i++ {
				_, err = io.WriteString(conn, padding)
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, open := answered(t, in); !strings.Contains(text, c.want) || open {
				t.Errorf("open %v, %s", open, text)
			}
		})
	}
}

// TestCompressed: for who asks, when it is worth it, and for all at once.
func TestCompressed(t *testing.T) {
	var s Server
	s.Add(Method{Name: "text", Params: []Kind{Int}, Func: func(_ context.Context, c Call) (any, error) { return strings.Repeat("<VOLUME/>", c.Int(0, 0)), nil }})
	url := serve(t, Compress(&s)).URL + Path
	ask := func(n int, accept string) (*http.Response, string) {
		body := fmt.Sprintf("<methodCall><methodName>text</methodName><params><param><value><int>%d</int></value></param></params></methodCall>", n)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var in io.Reader = resp.Body
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if in, err = gzip.NewReader(resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(in)
		if err != nil || strings.Count(string(text), "&lt;VOLUME/&gt;") != n {
			t.Errorf("%q: %d bytes, %v", accept, len(text), err)
		}
		return resp, string(text)
	}
	for accept, want := range map[string]string{
		"gzip": "gzip", "deflate, gzip;q=0.5": "gzip", "*": "gzip", "GZIP": "gzip", "x-gzip": "gzip",
		"identity": "", "gzip;q=0": "", "gzip; q=0.000, *": "", "*;q=0": "", "gzip;q=no": "",
	} {
		resp, _ := ask(1000, accept)
		if got := resp.Header.Get("Content-Encoding"); got != want || (want != "") != (resp.Header.Get("Vary") == "Accept-Encoding") {
			t.Errorf("%q: %v", accept, resp.Header)
		}
	}
	if resp, _ := ask(3, "gzip"); resp.Header.Get("Content-Encoding") != "" || resp.ContentLength <= 0 {
		t.Errorf("a small answer: %v", resp.Header)
	}
	var wg sync.WaitGroup
	for range 3 * gzipAtOnce {
		wg.Go(func() { ask(10_000, "gzip") })
	}
	wg.Wait()
}

// TestLargeBodies: they share a bounded memory, one address a part of it, and
// leave nothing behind.
func TestLargeBodies(t *testing.T) {
	s := onedLike(t)
	large := strings.Replace(version, "</methodCall>", strings.Repeat(" ", 900_000)+"</methodCall>", 1)
	post := func(from string, body io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, body)
		r.RemoteAddr = from + ":1"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	var wg sync.WaitGroup
	held := make(chan bool)
	var once sync.Once
	release := func() { once.Do(func() { close(held) }) }
	defer release()
	arrived := make(chan bool, 100)
	const slow = largePart / (1 << 20) // as many have a part whole
	for range slow {
		wg.Go(func() {
			post("192.0.2.1", io.MultiReader(strings.NewReader(large), &waiting{arrived, held}))
		})
	}
	for range slow {
		<-arrived
	}
	if w := post("192.0.2.1", strings.NewReader(large)); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("no room is left, and the answer is %d %.100s", w.Code, w.Body)
	}
	for from, body := range map[string]string{"192.0.2.1": version, "192.0.2.2": large} {
		if w := post(from, strings.NewReader(body)); !strings.Contains(w.Body.String(), "7.4.0") {
			t.Errorf("%s with %d bytes: %d %.100s", from, len(body), w.Code, w.Body)
		}
	}
	release()
	wg.Wait()
	if s.large.used != 0 || len(s.large.by) != 0 || len(s.large.slots) != 0 {
		t.Errorf("left behind: %d bytes, %d addresses, %d slots", s.large.used, len(s.large.by), len(s.large.slots))
	}
}

// waiting is the end of a body, which comes late.
type waiting struct{ arrived, held chan bool }

func (w *waiting) Read([]byte) (int, error) {
	w.arrived <- true
	<-w.held
	return 0, io.EOF
}

// TestRecords: what a log gets to see.
func TestRecords(t *testing.T) {
	s := onedLike(t)
	s.User = func(ctx context.Context) int { return len(ctx.Value(user{}).(string)) }
	var lines []string
	s.Invoked = func(r Record) {
		lines = append(lines, fmt.Sprintf("%d %d %s: %s", r.ID, r.User, r.Method, r.Params(12)))
	}
	s.Log = func(r Record) { lines = append(lines, fmt.Sprintf("%d %d %s", r.ID, r.User, r.Answer(10))) }
	s.Add(Method{Name: "one.x", Params: []Kind{Session, String}, Func: func(_ context.Context, c Call) (any, error) {
		if c.Text(1) == "int" {
			return 7, nil
		}
		return nil, apiError{"refused:\n" + "forged line", 0x800, -1}
	}})
	for _, p := range []string{"<value>alice:alicepw</value></param><param><value>secret\nx</value>", "<value>alice:alicepw</value></param><param><value>int</value>", "<value>alice:wrong</value>"} {
		post(s, []byte("<methodCall><methodName>one.x</methodName><params><param>"+p+"</param></params></methodCall>"))
	}
	body := "<value>alice:alicepw</value></param><param><value><int>1</int></value></param><param><value><boolean>1</boolean></value></param><param><value><int>123456</int></value>"
	post(s, []byte("<methodCall><methodName>one.vm.info</methodName><params><param>"+body+"</param></params></methodCall>"))
	post(s, []byte("<methodCall>"))
	want := []string{
		"1 5 one.x: ****", `1 5 FAILURE [one.x] refused:\nforged line`,
		"2 5 one.x: ****", "2 5 SUCCESS, 7",
		"3 -1 FAILURE [one.x] User couldn't be authenticated, aborting call.",
		"4 5 one.vm.info: 1, true, 123...", `4 5 SUCCESS, "<VM><ID>1<..."`,
		"5 -1 FAILURE fault -503: Call XML not a proper XML-RPC call.  Call is not valid XML.",
	}
	for i, w := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d of %q, want %q", i, lines, w)
			break
		}
	}
}

func TestWriteCallReadsBack(t *testing.T) {
	call := Call{Method: "a<b", Params: []any{"x\r\ny", 1, int64(-1), nil, true, 1.5, []byte("b"), []any{"z"}, map[string]any{"k": "v"}}}
	var b bytes.Buffer
	if err := WriteCall(&b, call); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCall(&b, Limits{})
	if err != nil || fmt.Sprintf("%#v", got.Params) != fmt.Sprintf("%#v", call.Params) || got.Method != call.Method {
		t.Errorf("%#v, %v", got.Params, err)
	}
	for text, want := range map[string]string{
		prolog + "<params><param><value><i8>5</i8></value></param></params></methodResponse>": "int64 5 <nil>",
		prolog + "<fault><value>x</value></fault></methodResponse>":                           "<nil> <nil> the answer is not XML-RPC",
		"<html/>": "<nil> <nil> the answer is not XML-RPC",
		prolog:    "<nil> <nil> XML syntax error on line 3: unexpected EOF",
	} {
		v, err := ReadResponse(strings.NewReader(text), Limits{})
		if got := fmt.Sprintf("%T %v %v", v, v, err); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
