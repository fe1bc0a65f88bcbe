package assemble

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"onevolume"
	"onevolume/config"
	"onevolume/opennebula/onetest"
	"onevolume/publish"
	"onevolume/store"
	"onevolume/xmlrpc"
)

// hears waits for something that is said until it is heard.
func hears[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// TestPublish: what another process writes into the database is told on all
// ways, to each who may know of it.
func TestPublish(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	type post struct {
		body, signature, at string
	}
	posts := make(chan post, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		posts <- post{string(b), r.Header.Get("X-Onevolume-Signature"), r.Header.Get("X-Onevolume-Timestamp")}
	}))
	t.Cleanup(hook.Close)
	c := testConfig(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "socket")
	c.OneXMLRPC, c.Listen = oned.Endpoint, config.At("127.0.0.1:0", "unix:"+socket)
	c.Publish.ZeroMQ, c.Publish.Webhooks = "tcp://127.0.0.1:0", []config.Webhook{{URL: hook.URL, SecretFile: secret}}
	d := start(t, c)

	// Alice's and root's streams, the one over TCP, the other over a socket.
	events := map[string]chan onevolume.Change{}
	for session, endpoint := range map[string]string{"alice:alicepw": fmt.Sprintf("http://%s/RPC2", d.Addr()), "oneadmin:opennebula": "unix://" + socket} {
		heard := make(chan onevolume.Change, 100)
		events[session] = heard
		client := &xmlrpc.Client{Wire: caller(t, endpoint), Session: session}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- client.Changes(ctx, onevolume.Watch{Follow: true, Volume: onevolume.NoVolume}, func(c *onevolume.Change) error {
				heard <- *c
				return nil
			})
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-ended; err == nil || ctx.Err() == nil {
				t.Errorf("%s: %v", session, err)
			}
		})
	}
	sub := zmq4.NewSub(context.Background())
	t.Cleanup(func() { sub.Close() })
	if err := sub.Dial("tcp://" + d.publish.socket.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if err := sub.SetOption(zmq4.OptionSubscribe, "EVENT VOLUME "); err != nil {
		t.Fatal(err)
	}
	for d.publish.streams.Open() < 2 || d.publish.zeromq.Subscribers() < 1 {
		time.Sleep(5 * time.Millisecond)
	}
	messages := make(chan zmq4.Msg, 100)
	go func() {
		for {
			msg, err := sub.Recv()
			if err != nil {
				return
			}
			messages <- msg
		}
	}()

	other, err := openStore(t.Context(), c, store.Options{Opening: store.Look})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	target := onevolume.Target{IQN: "iqn.2026-11.org.example:v", Portals: []onevolume.Portal{portal(t)}, CHAP: onevolume.CHAP{User: "u", Secret: "chapsecret1"}}
	who := onevolume.Owner{UID: 2, GID: 100, User: "alice", Group: "users"}
	ids := map[string]onevolume.VolumeID{}
	for i, owner := range []onevolume.Owner{{User: "oneadmin", Group: "oneadmin"}, who} {
		target.LUN = onevolume.LUN(i)
		name := fmt.Sprintf("v%d", i)
		if ids[name], err = other.Allocate(t.Context(), onevolume.Volume{Name: name, Target: target, Size: 1 << 30, Owner: owner, Permissions: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	if first := hears(t, events["alice:alicepw"], "alice's event"); first.Name != "v1" || first.State != onevolume.Available || first.ID != 2 {
		t.Errorf("alice heard %+v", first)
	}
	for _, name := range []string{"v0", "v1"} {
		if e := hears(t, events["oneadmin:opennebula"], "root's event"); e.Name != name {
			t.Errorf("root heard %+v, want %s", e, name)
		}
	}
	for got := 0; got < 2; {
		p := hears(t, posts, "the receiver's events")
		var m struct{ Events []onevolume.Change }
		if err := json.Unmarshal([]byte(p.body), &m); err != nil || p.signature != publish.Signature([]byte("hush"), p.at, []byte(p.body)) {
			t.Errorf("%+v, %v", p, err)
		}
		for _, e := range m.Events {
			if got++; e.ID != got {
				t.Errorf("event %d is %+v", got, e)
			}
		}
	}
	// The publisher may know of the subscription only now.
	for i := 0; ; i++ {
		if err := other.Update(t.Context(), ids["v1"], func(v *onevolume.Volume) error { v.Name = fmt.Sprint("w", i); return nil }); err != nil {
			t.Fatal(err)
		}
		var msg zmq4.Msg
		select {
		case msg = <-messages:
		case <-time.After(200 * time.Millisecond):
			continue
		}
		body, err := base64.StdEncoding.DecodeString(string(msg.Frames[1]))
		key := string(msg.Frames[0])
		if err != nil || !strings.HasSuffix(key, "/AVAILABLE ") || !strings.HasPrefix(string(body), "<VOLUME><ID>") || strings.Contains(string(body), "chapsecret1") {
			t.Errorf("%q %s, %v", key, body, err)
		}
		break
	}
	if err := other.Delete(t.Context(), ids["v1"], nil); err != nil {
		t.Fatal(err)
	}
	for {
		msg := hears(t, messages, "the deletion")
		if string(msg.Frames[0]) != "EVENT VOLUME 1/DELETED " {
			continue
		}
		if body, _ := base64.StdEncoding.DecodeString(string(msg.Frames[1])); !strings.Contains(string(body), "<STATUS>DELETED</STATUS>") {
			t.Errorf("%s", body)
		}
		break
	}
	for {
		if e := hears(t, events["alice:alicepw"], "the deletion"); e.Deleted && e.Volume == ids["v1"] {
			break
		}
	}
}

// TestNoStreams: the daemon says so where there are none, and who is nobody
// hears nothing.
func TestNoStreams(t *testing.T) {
	oned := onetest.Start(t, onetest.Small())
	for session, want := range map[string]onevolume.Code{"alice:alicepw": onevolume.Action, "alice:wrong": onevolume.Unauthenticated} {
		c := testConfig(t)
		c.OneXMLRPC = oned.Endpoint
		if want == onevolume.Action {
			c.Publish.Streams = 0
		}
		client := &xmlrpc.Client{Wire: caller(t, fmt.Sprintf("http://%s/RPC2", start(t, c).Addr())), Session: session}
		err := client.Changes(t.Context(), onevolume.Watch{Follow: true, Volume: onevolume.NoVolume}, func(*onevolume.Change) error { return nil })
		if onevolume.CodeOf(err) != want {
			t.Errorf("%s: %v", session, err)
		}
	}
}

func portal(t *testing.T) onevolume.Portal {
	t.Helper()
	p, err := onevolume.ParsePortal("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
