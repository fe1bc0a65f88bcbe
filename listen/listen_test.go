package listen

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// serve answers with the client's address until the test ends; /wait is
// answered then.
func serve(t *testing.T, a Address, gate *Gate, tell func(string)) net.Listener {
	t.Helper()
	l, err := Open(t.Context(), a, gate, tell)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ConnState: gate.State, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
		}
		fmt.Fprint(w, r.RemoteAddr, " TLS ", r.TLS != nil)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l
}

// get makes a request on a connection that stays open.
func get(c net.Conn) (string, error) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body), err
}

func dial(t *testing.T, network, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.DialContext(t.Context(), network, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func gateOf(total, each int) *Gate { return &Gate{Total: total, PerAddress: each} }

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	a := Address{Network: "unix", Address: path, Mode: 0o600}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), a, gateOf(9, 9), nil); err == nil || !strings.Contains(err.Error(), "already in use") {
		t.Errorf("a socket that is served: %v", err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	serve(t, a, gateOf(9, 9), nil)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	want := fmt.Sprintf("200 unix socket (uid %d) TLS false", os.Getuid())
	if got, err := get(dial(t, "unix", "", path)); got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Address{Network: "unix", Address: file}, gateOf(9, 9), nil); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
}

// TestPerAddress: an idle connection makes room for a new one of the same
// address; when all are busy the new one is refused; others are not touched.
func TestPerAddress(t *testing.T) {
	gate := gateOf(100, 2)
	var refused sync.WaitGroup
	refused.Add(1)
	gate.Refused = func(string) { refused.Done() }
	l := serve(t, Address{Network: "tcp", Address: "127.0.0.1:0"}, gate, nil)
	to := l.Addr().String()
	neighbour := dial(t, "tcp", "127.0.0.3", to)
	var list []net.Conn
	for i := range 3 {
		c := dial(t, "tcp", "127.0.0.2", to)
		if got, err := get(c); !strings.HasPrefix(got, "200 127.0.0.2:") {
			t.Fatalf("%q, %v", got, err)
		}
		untilIdle(t, gate, min(i+1, 2)+1)
		list = append(list, c)
	}
	if got, err := get(list[0]); err == nil {
		t.Errorf("the first is still open: %q", got)
	}
	for i, c := range list[1:] {
		if got, err := get(c); err != nil {
			t.Errorf("%q, %v", got, err)
		}
		fmt.Fprint(c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		untilIdle(t, gate, 2-i)
	}
	if got, err := get(dial(t, "tcp", "127.0.0.2", to)); !strings.HasPrefix(got, "503 Too many connections.") {
		t.Errorf("%q, %v", got, err)
	}
	refused.Wait()
	if got, err := get(neighbour); !strings.HasPrefix(got, "200") {
		t.Errorf("the neighbour: %q, %v", got, err)
	}
}

// untilIdle waits for what the server knows a little later than its clients.
func untilIdle(t *testing.T, g *Gate, n int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); idleOf(g) != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are idle, want %d", idleOf(g), n)
		}
	}
}

func idleOf(g *Gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, p := range g.by {
		n += p.idle.Len()
	}
	return n
}

// TestEarlyAnswer: it arrives whole, though the server does not read what is
// still being sent.
func TestEarlyAnswer(t *testing.T) {
	to := serve(t, Address{Network: "tcp", Address: "127.0.0.1:0"}, gateOf(9, 9), nil).Addr().String()
	c := dial(t, "tcp", "", to)
	go func() { fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: %s\r\n\r\n", strings.Repeat("a", 2<<20)) }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

// TestTotal: who has most connections gives one.
func TestTotal(t *testing.T) {
	gate := gateOf(4, 100)
	to := serve(t, Address{Network: "tcp", Address: "127.0.0.1:0"}, gate, nil).Addr().String()
	modest := dial(t, "tcp", "127.0.0.3", to)
	if _, err := get(modest); err != nil {
		t.Fatal(err)
	}
	untilIdle(t, gate, 1)
	var greedy []net.Conn
	for i := range 10 {
		c := dial(t, "tcp", "127.0.0.2", to)
		if _, err := get(c); err != nil {
			t.Fatal(err)
		}
		untilIdle(t, gate, min(i+2, 4))
		greedy = append(greedy, c)
	}
	if _, err := get(modest); err != nil {
		t.Errorf("the modest one: %v", err)
	}
	alive := 0
	for _, c := range greedy {
		if _, err := get(c); err == nil {
			alive++
		}
		c.Close()
	}
	if alive != 3 {
		t.Errorf("%d of the greedy one are alive", alive)
	}
	modest.Close()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		gate.mu.Lock()
		open, by := gate.open, len(gate.by)
		gate.mu.Unlock()
		if open == 0 && by == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still counted: %d connections, %d addresses", open, by)
		}
	}
}

// issue writes a self-signed certificate with its key.
func issue(t *testing.T, dir, name string, ends time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: ends.Add(-48 * time.Hour), NotAfter: ends}
	cert, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"crt": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		replace(t, filepath.Join(dir, file), pem.EncodeToMemory(block))
	}
}

// replace puts a new file in an old one's place, as those who renew do.
func replace(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// TestCertificateReload: new connections get the new certificate, old ones
// live on, and a broken file changes nothing but is told of, once.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	soon := time.Now().Add(24 * time.Hour)
	issue(t, dir, "first", soon)
	var mu sync.Mutex
	var told []string
	c, err := LoadCertificate(filepath.Join(dir, "crt"), filepath.Join(dir, "key"), func(text string) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	c.every = 0
	name := func() string {
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.Subject.CommonName
	}
	expect := func(cert, word string) {
		t.Helper()
		for range 2 {
			if got := name(); got != cert {
				t.Errorf("the certificate is %s, want %s", got, cert)
			}
		}
		if (len(told) == 1) != (word != "") || word != "" && !strings.Contains(told[0], word) {
			t.Errorf("told %q, want one of %q", told, word)
		}
		told = nil
	}
	expect("first", "")
	issue(t, dir, "second", soon)
	expect("second", "was read again")
	replace(t, filepath.Join(dir, "key"), []byte("broken"))
	expect("second", "stays as it was")
	issue(t, dir, "old", time.Now().Add(-time.Hour))
	expect("second", "is valid from")
	if err := os.Remove(filepath.Join(dir, "crt")); err != nil {
		t.Fatal(err)
	}
	expect("second", "stays as it was")
	issue(t, dir, "third", soon)
	expect("third", "was read again")
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	a := Address{Network: "tcp", Address: "[::1]:0", Certificate: filepath.Join(dir, "crt"), Key: filepath.Join(dir, "key")}
	if _, err := Open(t.Context(), a, gateOf(9, 9), nil); err == nil || !strings.Contains(err.Error(), "crt") {
		t.Errorf("no certificate: %v", err)
	}
	issue(t, dir, "localhost", time.Now().Add(24*time.Hour))
	gate := gateOf(9, 9)
	l := serve(t, a, gate, nil)
	pool := x509.NewCertPool()
	text, err := os.ReadFile(a.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	pool.AppendCertsFromPEM(text)
	secure := func(most uint16) (string, error) {
		d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "localhost", MaxVersion: most}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return "", err
		}
		defer c.Close()
		return get(c)
	}
	if got, err := secure(0); !strings.HasPrefix(got, "200 [::1]:") || !strings.HasSuffix(got, "TLS true") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := secure(tls.VersionTLS11); err == nil {
		t.Errorf("TLS 1.1 is answered: %q", got)
	}
}
