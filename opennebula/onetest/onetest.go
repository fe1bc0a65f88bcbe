package onetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-zeromq/zmq4"

	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// Oned is the stand-in. Its methods change what it knows while it serves.
type Oned struct {
	// Endpoint is set by Start.
	Endpoint string

	rpc *wire.Server

	mu    sync.Mutex
	users []User
	group []Group
	hosts []Host
	vms   map[int]*machine
	calls map[string]int
	slow  time.Duration
	drop  int
	down  bool
	pub   zmq4.Socket // nil while no events are published

	hooks    []hook
	nextHook int
}

// machine is a VM with what grows while it lives.
type machine struct {
	VM
	history []record
	tpl     template.Template
	user    template.Template
	ended   int64
}

// record is one stay on a host.
type record struct {
	seq        int
	host       Host
	start, end int64
}

// New makes a stand-in of a world that ParseWorld would take; it panics on
// another.
func New(w World) *Oned {
	if err := w.check(); err != nil {
		panic(err)
	}
	o := &Oned{users: slices.Clone(w.Users), group: slices.Clone(w.Groups), hosts: slices.Clone(w.Hosts),
		vms: map[int]*machine{}, calls: map[string]int{}, rpc: &wire.Server{}}
	for i := range o.hosts {
		if o.hosts[i].VMMad == "" {
			o.hosts[i].VMMad = "kvm"
		}
	}
	for _, v := range w.VMs {
		o.add(v)
	}
	o.register()
	return o
}

// Start serves a world on loopback until the test ends.
func Start(t testing.TB, w World) *Oned {
	t.Helper()
	o := New(w)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoint = "http://" + l.Addr().String() + wire.Path
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("onetest: %v", err)
		}
	})
	return o
}

// Serve answers on l until ctx ends. Like oned it closes each connection
// after one answer.
func (o *Oned) Serve(ctx context.Context, l net.Listener) error {
	server := wire.HTTPServer("", o)
	server.SetKeepAlivesEnabled(false)
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return fmt.Errorf("onetest: %w", err)
	}
	return nil
}

// ServeHTTP is wire's, with oned's dislike of requests without a length, and
// with what Slow, Drop and Down ask for.
func (o *Oned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	slow, down := o.slow, o.down
	o.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodPost && r.ContentLength < 0 {
		http.Error(w, "You must send a content-length HTTP header in an XML-RPC call.", http.StatusLengthRequired)
		return
	}
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	o.mu.Lock()
	lose := o.drop > 0
	if lose {
		o.drop--
	}
	o.mu.Unlock()
	if lose {
		o.rpc.ServeHTTP(&sink{header: http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
	o.rpc.ServeHTTP(w, r)
}

// sink takes the answer that is lost.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// Slow makes every answer wait.
func (o *Oned) Slow(d time.Duration) { o.lock(func() { o.slow = d }) }

// Drop loses the next n answers: the calls are carried out, and the
// connection is closed instead of an answer.
func (o *Oned) Drop(n int) { o.lock(func() { o.drop = n }) }

// Down makes every call fail before it is read, until it is called again
// with false.
func (o *Oned) Down(down bool) { o.lock(func() { o.down = down }) }

// Calls is how often a method was called, successfully or not.
func (o *Oned) Calls(method string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls[method]
}

// SetUser adds a user, or replaces the one with the same id.
func (o *Oned) SetUser(u User) {
	o.lock(func() {
		o.users = slices.DeleteFunc(o.users, func(old User) bool { return old.ID == u.ID })
		o.users = append(o.users, u)
	})
}

// SetVM adds a VM, or replaces the one with the same id and its history.
func (o *Oned) SetVM(v VM) { o.lock(func() { o.add(v) }) }

// SetVMState puts a VM in a state; it panics when there is none.
func (o *Oned) SetVMState(id, state, lcm int) {
	o.lock(func() { o.enter(o.vms[id], state, lcm) })
}

// enter puts a VM in a state, and says so. One that boots gets a new history
// record on its host, as oned's does when it comes back from anywhere.
func (o *Oned) enter(m *machine, state, lcm int) {
	booted := state == active && lcm == running && m.State != active
	m.State, m.LCMState = state, lcm
	if booted && m.Host != "" {
		o.stay(m, m.Host)
	}
	o.tell(m)
}

// stay begins a new history record.
func (o *Oned) stay(m *machine, host string) {
	now := time.Now().Unix()
	if n := len(m.history); n > 0 {
		m.history[n-1].end = now
	}
	m.Host = host
	m.history = append(m.history, record{seq: len(m.history), host: o.host(host), start: now})
}

// MoveVM puts a VM on another host, with a new history record; it panics
// when there is no such VM or host.
func (o *Oned) MoveVM(id int, host string) {
	o.lock(func() {
		o.stay(o.vms[id], host)
		o.tell(o.vms[id])
	})
}

// UserTemplate is what one.vm.update left in the VM's USER_TEMPLATE.
func (o *Oned) UserTemplate(id int) template.Template {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.vms[id].user)
}

func (o *Oned) lock(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

// add makes a machine of a VM. The lock is held, or nobody else knows o yet.
func (o *Oned) add(v VM) {
	if v.Started == 0 {
		v.Started = time.Now().Unix()
	}
	if v.Permissions == "" {
		v.Permissions = "600"
	}
	m := &machine{VM: v}
	if v.Host != "" {
		m.history = []record{{host: o.host(v.Host), start: v.Started}}
		if v.State == 0 {
			m.State, m.LCMState = active, running
		}
	}
	text := v.Template
	if text == "" {
		text = fmt.Sprintf("AUTOMATIC_REQUIREMENTS=\"!(PIN_POLICY = PINNED)\"\nCPU=1\nMEMORY=128\n"+
			"OS=[UUID=00000000-0000-4000-8000-%012d]\nSUBMIT_ON_HOLD=YES\nTM_MAD_SYSTEM=shared\nVMID=%[1]d", v.ID)
	}
	m.tpl, m.user = mustParse(text), mustParse(v.UserTemplate)
	o.vms[v.ID] = m
}

// mustParse reads a template that a test wrote.
func mustParse(text string) template.Template {
	t, err := template.Parse(text)
	if err != nil {
		panic(err)
	}
	return t
}

func (o *Oned) host(name string) Host {
	i := slices.IndexFunc(o.hosts, func(h Host) bool { return h.Name == name })
	if i < 0 {
		panic("onetest: no host " + name)
	}
	return o.hosts[i]
}
