package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc/wire"
)

var hostileTime = flag.Duration("hostile", 8*time.Second, "how long the hostile clients of TestHostileClients go on")

const (
	// mostMemory is what the daemon may have at its peak, all of it: VmHWM.
	mostMemory = 150 << 20
	// mostWait is far more than a call takes beside hostile clients on a
	// machine that does much else too; how long it took is printed.
	mostWait = 30 * time.Second

	idlers, dribblers = 2000, 100
	pause             = 20 * time.Millisecond
	onGood, onHostile = "127.0.0.1", "127.0.0.2"
	session           = "oneadmin:opennebula"
)

// TestHostileClients: whatever they do, a well-behaved client beside them is
// served, and the daemon stays small. They come from one address that nothing
// bounds but the total, so that their connections are all let in. To measure:
//
//	go test -count 1 -v -run TestHostileClients ./cmd/onevolumed -hostile 30s
func TestHostileClients(t *testing.T) {
	d := daemon(t)
	quiet := d.behave(t, time.Second)
	stop := d.siege(t)
	loud := d.behave(t, *hostileTime)
	stop()
	peak := d.peak(t)
	fmt.Printf("bench: hostile.quiet.p99 %.1f ms\nbench: hostile.p99 %.1f ms\nbench: hostile.rss.max %.0f MB\n",
		p99(quiet), p99(loud), float64(peak)/(1<<20))
	t.Logf("%d calls beside hostile clients, %d before", len(loud), len(quiet))
	if peak > mostMemory {
		t.Errorf("the daemon had %d MB at its peak, more than %d", peak>>20, mostMemory>>20)
	}
	if slowest := loud[len(loud)-1]; slowest > mostWait {
		t.Errorf("a call took %s", slowest)
	}
	d.behave(t, 0) // and afterwards
}

// p99 is in milliseconds, of sorted times.
func p99(list []time.Duration) float64 {
	return float64(list[(len(list)-1)*99/100].Microseconds()) / 1000
}

// running is an onevolumed in a process of its own, on SQLite.
type running struct {
	pid  int
	addr string
	good []*wire.Client // on one connection, and on one for each call
}

func daemon(t *testing.T) *running {
	t.Helper()
	oned := onetest.Start(t, onetest.Small())
	_, conf := bench(t, 0)
	f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "listen: 127.0.0.1:0\none_xmlrpc: %s\nlog: {requests: %q}\nlimits: {connections_per_address: 4096, trusted: []}\n",
		oned.Endpoint, filepath.Join(t.TempDir(), "requests"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return launch(t, conf)
}

// launch starts the program and waits until it serves.
func launch(t *testing.T, conf string) *running {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, "--config", conf)
	c.Env = append(os.Environ(), asProgram+"=1")
	words, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	d := &running{pid: c.Process.Pid}
	serves := regexp.MustCompile(`onevolumed serves.*?(127\.0\.0\.1:\d+)`)
	in := bufio.NewScanner(words)
	for d.addr == "" && in.Scan() {
		if m := serves.FindStringSubmatch(in.Text()); m != nil {
			d.addr = m[1]
		}
	}
	if d.addr == "" {
		t.Fatal("it does not serve")
	}
	go func() { _, _ = io.Copy(io.Discard, words) }()
	for _, keep := range []bool{true, false} {
		rpc, err := wire.NewClient(wire.Config{Endpoint: "http://" + d.addr + wire.Path, KeepAlive: keep})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(rpc.Close)
		d.good = append(d.good, rpc)
	}
	return d
}

// behave calls one after the other for a while, at least ten times, and gives
// the times that our own methods took, sorted. Every 20th call goes on to oned.
func (d *running) behave(t *testing.T, long time.Duration) []time.Duration {
	t.Helper()
	var took []time.Duration
	for end, i := time.Now().Add(long), 0; i < 10 || time.Now().Before(end); i++ {
		rpc := d.good[i%len(d.good)]
		if i%20 == 19 {
			if v, err := rpc.Call(t.Context(), "one.system.version", session); err != nil || v != "7.4.0" {
				t.Errorf("call %d, of oned: %v, %v", i, v, err)
			}
			continue
		}
		start := time.Now()
		v, err := rpc.Call(t.Context(), "one.volume.info", session, i%3)
		took = append(took, time.Since(start))
		if text, _ := v.(string); err != nil || !strings.HasPrefix(text, "<VOLUME>") {
			t.Errorf("call %d: %v, %v", i, v, err)
		}
	}
	slices.Sort(took)
	return took
}

// peak is the most memory that the daemon had until now.
func (d *running) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		t.Fatal("the kernel does not say how much memory the daemon had")
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// siege lets the hostile clients loose until stop is called.
func (d *running) siege(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { d.idle(ctx, t) })
	wg.Go(func() { d.dribble(ctx, t) })
	for _, a := range attacks() {
		wg.Go(func() {
			tried, answered := 0, 0
			for ctx.Err() == nil || answered == 0 && tried < 20 {
				answer, err := d.attack(a)
				time.Sleep(pause) // it is no flood: what is sent counts, not how often
				tried++
				if err != nil {
					continue
				}
				answered++
				if !slices.ContainsFunc(strings.Split(a.want, "|"), func(w string) bool { return strings.Contains(answer, w) }) {
					t.Errorf("%s: answered with %.300s", a.name, answer)
					return
				}
			}
			if t.Logf("%s: %d times, %d answers", a.name, tried, answered); answered == 0 {
				t.Errorf("%s: never answered", a.name)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (d *running) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(onHostile)}}
	return dialer.DialContext(ctx, "tcp", d.addr)
}

// idle opens connections, says nothing, and opens others when they are closed.
func (d *running) idle(ctx context.Context, t *testing.T) {
	var wg sync.WaitGroup
	for range idlers {
		c, err := d.dial(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("an idle client: %v", err)
			}
			break
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			defer stop()
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		})
	}
	wg.Wait()
}

// dribble sends a byte a second: of a header, of a body of ours, and of one
// that is to go on to oned.
func (d *running) dribble(ctx context.Context, t *testing.T) {
	const post = "POST /RPC2 HTTP/1.1\r\nHost: x\r\n"
	var conns []net.Conn
	for i := range dribblers {
		c, err := d.dial(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("a slow client: %v", err)
			}
			break
		}
		defer c.Close()
		start := []string{
			post + "X-Slow: ",
			post + "Content-Length: 1000000\r\n\r\n<methodCall><methodName>one.volume.info</methodName>",
			post + "Content-Length: 30000000\r\n\r\n<methodCall><methodName>one.vm.info</methodName>" + strings.Repeat(" ", 16<<10),
			post + "Transfer-Encoding: chunked\r\n\r\n10000000\r\n<methodCall><methodName>one.vm.info</methodName>",
		}[i%4]
		_, _ = io.WriteString(c, start)
		conns = append(conns, c)
	}
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			for _, c := range conns {
				_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = c.Write([]byte{' '}) // closed by now, perhaps
			}
		}
	}
}

// attack is a request and what may be in its answer.
type attack struct {
	name   string
	header string
	body   func(w io.Writer) error
	want   string
}

func attacks() []attack {
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	sized := func(name, body, want string) attack {
		return attack{name, fmt.Sprintf("Content-Length: %d", len(body)), text(body), want}
	}
	call := func(method, params string) string {
		return "<methodCall><methodName>" + method + "</methodName><params><param>" + params + "</param></params></methodCall>"
	}
	gigabyte := func(method string) func(io.Writer) error {
		return func(w io.Writer) error {
			head := "<methodCall><methodName>" + method + "</methodName>"
			chunk := fmt.Sprintf("10000\r\n%s\r\n", strings.Repeat(" ", 0x10000))
			if _, err := fmt.Fprintf(w, "%x\r\n%s\r\n", len(head), head); err != nil {
				return err
			}
			for range 1 << 14 {
				if _, err := io.WriteString(w, chunk); err != nil {
					return err
				}
			}
			return nil
		}
	}
	const million = 1 << 20
	bomb := `<!DOCTYPE b [<!ENTITY a "aaaaaaaaaaaaaaaaaaaa">`
	for c := 'b'; c < 'j'; c++ {
		bomb += fmt.Sprintf(`<!ENTITY %c "%s">`, c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	bomb += "]>"
	deep := strings.Repeat("<value><array><data>", million/20-100)
	full := strings.Repeat("<value/>", million/8-100)
	return []attack{
		{"a gigabyte announced", "Content-Length: 1073741824", text("<methodCall>"), " 413 "},
		{"a gigabyte in chunks for us", "Transfer-Encoding: chunked", gigabyte("one.volume.info"), "-509| 503 "},
		{"a gigabyte in chunks for oned", "Transfer-Encoding: chunked", gigabyte("one.vm.info"), " 411 | 503 "},
		sized("deep nesting", call("one.volume.info", deep), "-503|-509| 503 "),
		sized("deep nesting in a multicall", call("system.multicall", deep), "-503|-509| 503 "),
		sized("a mebibyte of elements", call("one.volume.info", "<value><array><data>"+full+"</data></array></value>"), "-509| 503 "),
		sized("a million elements", call("one.volume.info", "<value><array><data>"+strings.Repeat("<value/>", 1_000_000)+"</data></array></value>"), " 413 "),
		sized("an entity bomb", bomb+call("one.volume.info", "<value>&i;</value>"), "-503"),
		sized("an entity bomb for oned", bomb+call("one.vm.info", "<value>&i;</value>"), "-503"),
		sized("invalid UTF-8", call("one.volume.info", "<value>\xff\xfe\xc0\x80</value>"), "-503"),
		sized("guesses", call("one.volumepool.info", "<value>oneadmin:guess</value>"), "<i4>256</i4>"),
	}
}

// attack makes one such request. An error is a connection that was cut, which
// is an answer too.
func (d *running) attack(a attack) (string, error) {
	c, err := d.dial(context.Background())
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "POST /RPC2 HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", a.header)
	sent := make(chan error, 1)
	go func() { sent <- a.body(c) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", errors.Join(err, c.Close(), <-sent)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	resp.Body.Close()
	_ = c.Close()
	<-sent
	return fmt.Sprintf(" %d %s", resp.StatusCode, body), err
}
