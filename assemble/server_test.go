package assemble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"onevolume/config"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc/wire"
)

// start runs a daemon until the test ends.
func start(t *testing.T, c config.Config) *Daemon {
	t.Helper()
	d, err := OpenDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return d
}

func caller(t *testing.T, endpoint string) *wire.Client {
	t.Helper()
	c, err := wire.NewClient(wire.Config{Endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

const (
	alice  = "alice:alicepw"
	sealed = "NAME=v1 IQN=iqn.2026-11.org.example:v1 PORTAL=10.0.0.1 SIZE=1024 CHAP_USER=u CHAP_PASSWORD=chapsecret1"
)

// TestOneEndpoint: all listeners serve our methods and oned's, and the log of
// requests tells of both, in oned's form, without a secret.
func TestOneEndpoint(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	c := testConfig(t)
	c.OneXMLRPC, c.Log.Level = oned.Endpoint, "debug"
	c.Log.Requests = filepath.Join(t.TempDir(), "requests")
	socket := filepath.Join(t.TempDir(), "socket")
	c.Listen = config.At("127.0.0.1:0", "unix:"+socket)
	d := start(t, c)
	for _, endpoint := range []string{fmt.Sprintf("http://%s/RPC2", d.Addr()), "unix://" + socket} {
		rpc := caller(t, endpoint)
		if v, err := rpc.Call(t.Context(), "one.volumepool.info", alice, -2, -1, -1); err != nil || v != "<VOLUME_POOL></VOLUME_POOL>" {
			t.Errorf("%s: %v, %v", endpoint, v, err)
		}
		if v, err := rpc.Call(t.Context(), "one.system.version", alice); err != nil || v != "7.4.0" {
			t.Errorf("%s: %v, %v", endpoint, v, err)
		}
		if _, err := rpc.Call(t.Context(), "one.volume.allocate", alice, sealed); err == nil {
			t.Error("alice makes volumes")
		}
		if _, err := rpc.Call(t.Context(), "one.vm.info", "alice:wrongpw", 0); err == nil {
			t.Error("a wrong password is taken")
		}
	}
	text, err := os.ReadFile(c.Log.Requests)
	if err != nil {
		t.Fatal(err)
	}
	date := `^[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-3][0-9] \d\d:\d\d:\d\d \d{4} \[Z0\]\[ReM\]`
	for _, want := range []string{
		date + `\[D\]: Req:0001 UID:2 IP:127\.0\.0\.1 one\.volumepool\.info invoked -2, -1, -1$`,
		date + `\[D\]: Req:0001 UID:2 one\.volumepool\.info result SUCCESS, "<VOLUME_POOL></VOLUM\.\.\."$`,
		date + `\[D\]: Req:0002 UID:2 IP:127\.0\.0\.1 one\.system\.version invoked $`,
		date + `\[D\]: Req:0002 UID:2 one\.system\.version result PASSED ON, HTTP 200, \d+ bytes$`,
		date + `\[D\]: Req:0003 UID:2 IP:127\.0\.0\.1 one\.volume\.allocate invoked \*\*\*\*$`,
		date + `\[E\]: Req:0003 UID:2 one\.volume\.allocate result FAILURE \[one\.volume\.allocate\] `,
		date + `\[E\]: Req:0004 UID:-1 one\.vm\.info result PASSED ON`,
		`IP:unix socket \(uid \d+\) one\.volumepool\.info`,
	} {
		if !regexp.MustCompile("(?m)" + want).Match(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	log, err := os.ReadFile(c.Log.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"alicepw", "wrongpw", "chapsecret1"} {
		if strings.Contains(string(text)+string(log), secret) {
			t.Errorf("%s is in the logs", secret)
		}
	}
}

// TestFailedLogins: guessing is slowed down by whichever way, and said so.
func TestFailedLogins(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	c := testConfig(t)
	c.OneXMLRPC, c.Limits.Trusted, c.Limits.FailedLogins = oned.Endpoint, nil, 4
	rpc := caller(t, fmt.Sprintf("http://%s/RPC2", start(t, c).Addr()))
	for i := range 4 {
		method := []string{"one.vm.info", "one.volume.info"}[i%2]
		_, err := rpc.Call(t.Context(), method, fmt.Sprint("alice:guess", i), 0)
		if e, ok := errors.AsType[*wire.APIError](err); !ok || e.Code != 0x100 || !strings.HasSuffix(e.Message, "aborting call.") {
			t.Errorf("guess %d: %v", i, err)
		}
	}
	for _, method := range []string{"one.vm.info", "one.volume.info"} {
		_, err := rpc.Call(t.Context(), method, alice, 0)
		if e, ok := errors.AsType[*wire.APIError](err); !ok || e.Code != 0x100 || !strings.Contains(e.Message, "Too many failed logins of this user from 127.0.0.1. Try again in ") {
			t.Errorf("%s: %v", method, err)
		}
	}
	if _, err := rpc.Call(t.Context(), "one.system.version", "bob:bobpw"); err != nil {
		t.Errorf("another user: %v", err)
	}
}

// TestNotPassedOn: one line turns it off.
func TestNotPassedOn(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	c := testConfig(t)
	c.OneXMLRPC, c.PassThrough = oned.Endpoint, false
	rpc := caller(t, fmt.Sprintf("http://%s/RPC2", start(t, c).Addr()))
	_, err := rpc.Call(t.Context(), "one.system.version", alice)
	if f, ok := errors.AsType[*wire.Fault](err); !ok || f.Code != wire.FaultNoMethod {
		t.Errorf("%v", err)
	}
}
