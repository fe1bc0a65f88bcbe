package xmlrpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/inventory"
	"onevolume/store"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

var (
	root  = onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}, Umask: 0o177}
	alice = onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100, User: "alice", Group: "users"}, Groups: []int{100}, Umask: 0o177}
	bob   = onevolume.Caller{Owner: onevolume.Owner{UID: 6, GID: 101, User: "bob", Group: "other"}, Groups: []int{101}, Umask: 0o177}
)

const (
	asRoot  = "oneadmin:pw"
	asAlice = "alice:pw"
	asBob   = "bob:pw"
)

// sessions stands in for oned.
type sessions map[string]onevolume.Caller

func (s sessions) Authenticate(_ context.Context, session string) (onevolume.Caller, error) {
	if session == "down:pw" {
		return onevolume.Caller{}, onevolume.Errorf(onevolume.Unreachable, "oned does not answer")
	}
	if who, ok := s[session]; ok {
		return who, nil
	}
	return onevolume.Caller{}, onevolume.Errorf(onevolume.Unauthenticated, "not this one")
}

// people stand in for the cloud's users and groups.
type people struct{ sessions }

func (p people) UserName(_ context.Context, _ string, uid int) (string, error) {
	for _, who := range p.sessions {
		if who.UID == uid {
			return who.User, nil
		}
	}
	return "", onevolume.Missing("user", uid)
}

func (p people) MayManageUser(_ context.Context, session string, uid int) error {
	if who := p.sessions[session]; !who.IsAdmin() && who.UID != uid {
		return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform MANAGE USER [%d].", who.UID, uid)
	}
	return nil
}

func (p people) GroupName(_ context.Context, session string, gid int) (string, error) {
	for _, who := range p.sessions {
		if me := p.sessions[session]; who.GID == gid && (me.IsAdmin() || me.GID == gid) {
			return who.Group, nil
		} else if who.GID == gid {
			return "", onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform USE GROUP [%d].", me.UID, gid)
		}
	}
	return "", onevolume.Missing("group", gid)
}

// operator notes what it is asked to do.
type operator struct {
	who     onevolume.Caller
	session string
	vm      onevolume.VMID
	volume  onevolume.VolumeID
	pick    onevolume.Pick
	leave   onevolume.Leave
	did     string // resume or abort, and of what
	err     error
}

func (o *operator) Attach(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, pick onevolume.Pick) (onevolume.VolumeID, error) {
	o.who, o.session, o.vm, o.pick = who, session, vm, pick
	return 42, o.err
}

func (o *operator) Detach(_ context.Context, who onevolume.Caller, session string, vm onevolume.VMID, volume onevolume.VolumeID, leave onevolume.Leave, force bool) (onevolume.VolumeID, error) {
	o.who, o.session, o.vm, o.volume, o.leave = who, session, vm, volume, leave
	return volume, o.err
}

func (o *operator) Resume(_ context.Context, who onevolume.Caller, op int) error {
	o.who, o.did = who, fmt.Sprint("resume ", op)
	return o.err
}

func (o *operator) Abort(_ context.Context, who onevolume.Caller, op int) error {
	o.who, o.did = who, fmt.Sprint("abort ", op)
	return o.err
}

// world is a server over a real inventory.
type world struct {
	testing.TB
	db  *store.Store
	op  *operator
	api *wire.Server
	xmlrpc.Server
	lost []onevolume.Deed // that could not be written down
}

func newWorld(t testing.TB) *world { return newWorldAt(t, nil) }

// newWorldAt is a world at the time of a clock.
func newWorldAt(t testing.TB, clock func() time.Time) *world {
	db, err := store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef"), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	w := &world{TB: t, db: db, op: &operator{}, api: &wire.Server{}}
	w.api.Panicked = func(method string, value any, stack []byte) { t.Errorf("%s panicked: %v\n%s", method, value, stack) }
	all := sessions{asRoot: root, asAlice: alice, asBob: bob}
	w.Server = xmlrpc.Server{Auth: all, Inventory: &inventory.Service{Store: db, People: people{all}}, Operator: w.op,
		Unaudited: func(d onevolume.Deed, _ error) { w.lost = append(w.lost, d) }}
	w.Register(w.api)
	return w
}

// serve puts the server on a port.
func (w *world) serve() (url string) {
	s := httptest.NewServer(w.api)
	w.Cleanup(s.Close)
	return s.URL + wire.Path
}

// client is a client over the network.
func (w *world) client(session string) *xmlrpc.Client { return w.dial(w.serve(), session, nil) }

func (w *world) dial(url, session string, by http.RoundTripper) *xmlrpc.Client {
	w.Helper()
	c, err := wire.NewClient(wire.Config{Endpoint: url})
	if err != nil {
		w.Fatal(err)
	}
	if by != nil {
		c.HTTP.Transport = by
	}
	w.Cleanup(c.Close)
	return &xmlrpc.Client{Wire: c, Session: session}
}

// raw posts a body and gives the answer's.
func (w *world) raw(body string) string {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), http.MethodPost, wire.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/xml")
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	if rec.Code != http.StatusOK {
		w.Errorf("HTTP status %d", rec.Code)
	}
	return rec.Body.String()
}

// template is that of a logical unit.
func template(name string) string {
	return "NAME = \"" + name + "\"\nIQN = \"iqn.2026-11.test:" + name + "\"\nPORTALS = \"10.0.0.1\"\nSIZE = 64\n" +
		"CHAP_USER = u\nCHAP_SECRET = the-first-secret\n"
}

// given registers a volume and gives it to alice.
func (w *world) given(name string) onevolume.VolumeID {
	w.Helper()
	id, err := (&inventory.Service{Store: w.db}).Allocate(w.Context(), root, template(name))
	if err != nil {
		w.Fatal(err)
	}
	err = w.db.Update(w.Context(), id, func(v *onevolume.Volume) error {
		v.Owner = alice.Owner
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// wants asks for an error with the code and the words.
func (w *world) wants(err error, code onevolume.Code, words ...string) {
	w.Helper()
	if err == nil || onevolume.CodeOf(err) != code {
		w.Errorf("code %s, want %s: %v", onevolume.CodeOf(err), code, err)
	}
	for _, word := range words {
		if err != nil && !strings.Contains(err.Error(), word) {
			w.Errorf("no %q in %q", word, err)
		}
	}
}

// direct takes a request to the server without a network, and loses answers,
// or requests, when told to.
type direct struct {
	h      http.Handler
	answer int // so many answers are lost
	ask    int // so many requests get nowhere
	calls  int
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.calls++
	if d.ask > 0 {
		d.ask--
		return nil, errors.New("connection refused")
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	again := r.Clone(r.Context())
	again.Body, again.RequestURI, again.RemoteAddr = io.NopCloser(bytes.NewReader(body)), wire.Path, "192.0.2.1:1"
	d.h.ServeHTTP(rec, again)
	if d.answer > 0 {
		d.answer--
		return nil, io.ErrUnexpectedEOF
	}
	return rec.Result(), nil
}

func (o *operator) Grow(_ context.Context, who onevolume.Caller, session string, volume onevolume.VolumeID, size onevolume.Size) error {
	o.who, o.session, o.volume, o.did = who, session, volume, fmt.Sprint("grow ", int64(size))
	return o.err
}
