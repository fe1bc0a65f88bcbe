package passthrough

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc/wire"
)

// ask makes a call of the front and gives its answer; a fault as an error.
func ask(t *testing.T, url, method string, params ...any) (any, error) {
	t.Helper()
	resp, err := http.Post(url, "text/xml", bytes.NewReader(body(method, params...)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return wire.ReadResponse(resp.Body, wire.Limits{})
}

// TestJoined: what system.* says is of both servers.
func TestJoined(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	_, url := front(t, Config{Endpoint: oned.Endpoint})
	names, err := ask(t, url, "system.listMethods")
	if err != nil {
		t.Fatal(err)
	}
	count := map[any]int{}
	for _, name := range names.([]any) {
		count[name]++
	}
	for _, name := range []string{"one.volume.info", "one.vm.info", "system.multicall", "system.listMethods"} {
		if count[name] != 1 {
			t.Errorf("%s is listed %d times", name, count[name])
		}
	}
	for method, want := range map[string]string{"one.volume.info": "Ours", "one.vm.info": "Returns Virtual Machine information"} {
		if help, err := ask(t, url, "system.methodHelp", method); help != want {
			t.Errorf("%s: %v, %v", method, help, err)
		}
	}
	if sig, err := ask(t, url, "system.methodSignature", "one.vm.info"); fmt.Sprint(sig) != "[[array string int boolean]]" {
		t.Errorf("%v, %v", sig, err)
	}
	for _, name := range []string{"one.nosuch", "one.volume.nosuch"} {
		_, err = ask(t, url, "system.methodHelp", name)
		if f, ok := errors.AsType[*wire.Fault](err); !ok || f.Code != wire.FaultNoMethod || !strings.Contains(f.Message, name) {
			t.Errorf("%v", err)
		}
	}
}

func part(method string, params ...any) any {
	return map[string]any{"methodName": method, "params": params}
}

// TestMulticall: calls of both kinds in one answer, in order, each as it is
// answered alone, oned's in as few requests as the order allows.
func TestMulticall(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	s, url := front(t, Config{Endpoint: oned.Endpoint})
	var mu sync.Mutex
	var log []string
	s.Log = func(r wire.Record) {
		mu.Lock()
		defer mu.Unlock()
		log = append(log, fmt.Sprint(r.Method, " ", r.Result))
	}
	got, err := ask(t, url, "system.multicall", []any{
		part("one.system.version", admin),
		part("one.vm.info", admin, 9999),
		part("one.volume.info", admin, 7),
		part("one.nosuch", admin),
		part("one.vm.info", admin, "text"),
		"no call",
		part("one.volume.info", "bad", 7),
		part("one.system.version", "bad:pw"),
		part("system.multicall", []any{}),
		part("system.methodHelp", "one.vm.info"),
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(method, text string, code, object int) any {
		return []any{[]any{false, "[" + method + "] " + text, code, object, int64(-1)}}
	}
	const auth = "User couldn't be authenticated, aborting call."
	want := []any{
		[]any{[]any{true, "7.4.0", 0}},
		refused("one.vm.info", "Error getting virtual machine [9999].", 1024, 9999),
		[]any{[]any{true, "<VOLUME>7</VOLUME>", 0}},
		map[string]any{"faultCode": -506, "faultString": "Method 'one.nosuch' not defined"},
		map[string]any{"faultCode": -501, "faultString": "Parameter that is supposed to be integer is not"},
		map[string]any{"faultCode": -501, "faultString": "A call in system.multicall needs the members methodName and params"},
		refused("one.volume.info", "no", 256, -1),
		refused("one.system.version", auth, 256, -1),
		map[string]any{"faultCode": -507, "faultString": "Recursive system.multicall forbidden"},
		[]any{"Returns Virtual Machine information"},
	}
	for i, w := range want {
		if list, _ := got.([]any); len(list) != len(want) {
			t.Fatalf("%d answers, %d calls", len(list), len(want))
		} else if !reflect.DeepEqual(list[i], w) {
			t.Errorf("call %d: %#v\nwant %#v", i, list[i], w)
		}
	}
	if n := oned.Calls("one.system.version") + oned.Calls("one.vm.info"); n != 4 {
		t.Errorf("oned had %d calls of 4", n)
	}
	mu.Lock()
	text := fmt.Sprint(log)
	mu.Unlock()
	if strings.Count(text, "one.system.version 0") != 1 || strings.Count(text, "one.vm.info 1024") != 1 || strings.Contains(text, "pw") {
		t.Errorf("the log: %s", text)
	}
	oned.Down(true)
	got, err = ask(t, url, "system.multicall", []any{part("one.volume.info", admin, 7), part("one.vm.info", admin, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if list := got.([]any); !strings.Contains(fmt.Sprint(list[0]), "<VOLUME>7") || !strings.Contains(fmt.Sprint(list[1]), "does not answer") {
		t.Errorf("oned down: %v", got)
	}
}

// guard refuses one user and keeps what it hears of others.
type guard struct {
	mu    sync.Mutex
	heard []string
}

func (g *guard) Try(peer, session string) (func(wire.Verdict), error) {
	if strings.HasPrefix(session, "blocked:") {
		return nil, errors.New("Too many failed logins.")
	}
	return func(v wire.Verdict) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.heard = append(g.heard, fmt.Sprint(session, " ", v))
	}, nil
}

// TestGuard: sessions that are passed on are guarded like our own.
func TestGuard(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	s, url := front(t, Config{Endpoint: oned.Endpoint})
	g := &guard{}
	s.Guard = g
	for _, session := range []string{admin, "alice:no", "blocked:x"} {
		for _, method := range []string{"one.vm.info", "one.volume.info"} {
			v, err := ask(t, url, method, session, 0)
			if text := fmt.Sprint(v, err); strings.Contains(text, "Too many failed logins.") != (session == "blocked:x") {
				t.Errorf("%s %s: %s", method, session, text)
			}
			v, err = ask(t, url, "system.multicall", []any{part(method, session, 0), part(method, session, 0)})
			if text := fmt.Sprint(v, err); strings.Count(text, "Too many failed logins.") != map[bool]int{true: 2}[session == "blocked:x"] {
				t.Errorf("%s %s: %s", method, session, text)
			}
		}
	}
	count := map[string]int{}
	for _, line := range g.heard {
		count[line]++
	}
	if want := map[string]int{admin + " 1": 6, "alice:no 2": 6}; !reflect.DeepEqual(count, want) {
		t.Errorf("heard %v", count)
	}
	if n := oned.Calls("one.vm.info"); n != 6 {
		t.Errorf("oned had %d calls; those of the blocked are not for it", n)
	}
}

// TestGzip: an answer that is passed on is compressed for who asks for it.
func TestGzip(t *testing.T) {
	text := strings.Repeat("<VM/>", 10_000)
	_, url := front(t, Config{Endpoint: stub(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })})
	resp, got := post(t, url, bytes.NewReader(body("one.vmpool.info", admin)))
	if got != text || !resp.Uncompressed {
		t.Errorf("%d bytes, compressed: %v", len(got), resp.Uncompressed)
	}
}

// TestUserOfRecords: the records of calls that are passed on name whom this
// server knows already, but for a session that oned refuses; oned is asked
// nothing for it.
func TestUserOfRecords(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	s, url := front(t, Config{Endpoint: oned.Endpoint})
	s.Known = func(session string) (int, bool) {
		user, ok := map[string]int{admin: 0, "alice:changed": 2, "": 9}[session]
		return user, ok
	}
	var mu sync.Mutex
	var begun, ended []string
	note := func(list *[]string) func(wire.Record) {
		return func(r wire.Record) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == "one.vm.info" {
				*list = append(*list, fmt.Sprint(r.User))
			}
		}
	}
	s.Invoked, s.Log = note(&begun), note(&ended)
	for _, session := range []any{admin, "alice:alicepw", "alice:changed", "", 7} {
		_, _ = ask(t, url, "one.vm.info", session, 0)
		_, _ = ask(t, url, "system.multicall", []any{part("one.vm.info", session, 0), part("one.volume.info", admin, 7)})
	}
	mu.Lock()
	defer mu.Unlock()
	if got, want := fmt.Sprint(begun), "[0 0 -1 -1 2 2 -1 -1 -1 -1]"; got != want {
		t.Errorf("at the beginning users %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(ended), "[0 0 -1 -1 -1 -1 -1 -1 -1 -1]"; got != want {
		t.Errorf("at the end users %s, want %s", got, want)
	}
	if n := oned.Calls("one.user.info"); n != 0 {
		t.Errorf("oned was asked %d times who calls", n)
	}
}
