package workflow_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/workflow"
)

// mishap is what happens to one call of a process: to a command on a host or
// to a write to the inventory.
type mishap int

const (
	fine     mishap = iota
	dies            // the process dies before the call; nothing of it happens any more
	notDone         // the call does not get through; the connection breaks
	lost            // it gets through and its answer does not; the connection breaks
	broken          // on a host alone: the command is killed before it does anything
	hostDown        // the host cannot be reached from now on
	dbDown          // the inventory cannot be reached from now on
	cancel          // the user presses Ctrl-C before the call
	during          // the user presses Ctrl-C while the host is at it
	late            // the user presses Ctrl-C after the call
)

func (m mishap) String() string {
	return [...]string{"fine", "dies", "not done", "lost", "broken", "host down", "inventory down", "Ctrl-C before", "Ctrl-C during", "Ctrl-C after"}[m]
}

// process is a program that runs operations in the cloud: its engine reaches
// hosts and inventory through it. The call of a number meets with a mishap.
type process struct {
	c      *cloud
	owner  string
	engine *workflow.Engine
	at     int // the call with the mishap, counted from 1; 0 for none
	what   mishap
	cancel context.CancelFunc

	mu     sync.Mutex
	calls  []string
	dead   bool
	noDB   bool
	conns  []command.Host
	dials  int
	before func(n int, call string) // when set, is told of each call
	writes []string                 // to the journal, so far
	crash  crash                    // around one of them
}

// crash is a process's death around a write to the journal.
type crash struct {
	at    int  // the write's number, counted from 1; 0 for none
	after bool // the write is done before the process dies
}

func (c *cloud) process(owner string) *process {
	p := &process{c: c, owner: owner}
	p.engine = c.engine(mortalLedger{p, c.service.Ledger(root)}, p)
	p.engine.Access = mortalAccess{mortalLedger{p, nil}, c.access}
	p.engine.Grower = mortalGrower{mortalLedger{p, nil}, c}
	return p
}

// with has the nth call go wrong.
func (p *process) with(n int, m mishap) *process {
	p.at, p.what = n, m
	return p
}

// run does what is asked, as a client would.
func (p *process) run(ctx context.Context, req onevolume.Request) (workflow.Outcome, error) {
	ctx, p.cancel = context.WithCancel(ctx)
	defer p.cancel()
	req.Owner = p.owner
	job, err := p.engine.Begin(ctx, req)
	if err != nil {
		return workflow.Outcome{}, err
	}
	return job.Run(ctx)
}

// resume takes the operation over and ends it, as the daemon does.
func (p *process) resume(op onevolume.Operation) error {
	ctx, cancel := context.WithCancel(p.c.Context())
	defer cancel()
	p.cancel = cancel
	op, err := p.c.db.TakeOver(ctx, op.Ref(), p.owner, limit.Lease, time.Time{})
	if err != nil {
		return err
	}
	journal, err := p.c.db.Journal(ctx, op.ID)
	if err != nil {
		p.c.Fatal(err)
	}
	_, err = p.engine.Resume(ctx, op, p.c.read(op.Volume), journal)
	return err
}

// begin counts a call and says what happens to it.
func (p *process) begin(call string) mishap {
	p.mu.Lock()
	p.calls = append(p.calls, call)
	n, before := len(p.calls), p.before
	m := fine
	if n == p.at {
		m = p.what
	}
	p.dead = p.dead || m == dies
	p.noDB = p.noDB || m == dbDown
	if p.dead {
		m = dies
	}
	p.mu.Unlock()
	if before != nil {
		before(n, call)
	}
	switch m {
	case dies:
		p.hangUp()
	case cancel:
		p.cancel()
	}
	return m
}

// hangUp ends all connections, as the end of a process does.
func (p *process) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, h := range p.conns {
		h.Close()
	}
}

// writing numbers the writes to the journal; 0 is none. A lease renewed is
// none, nor is what an array is asked.
func (p *process) writing(call string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if call == "record" || call == "grant" || call == "revoke" || call == "cut off" || call == "extend" || call == "size" {
		return 0
	}
	p.writes = append(p.writes, call)
	return len(p.writes)
}

// dies ends the process if it is to crash before, or after, the write of this
// number.
func (p *process) dies(write int, after bool) bool {
	if write == 0 || p.crash != (crash{write, after}) {
		return false
	}
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.hangUp()
	return true
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// turn waits until it is the process's turn, where turns are given.
func (p *process) turn(ctx context.Context, call string) {
	if p.c.storm != nil {
		p.c.storm.turn(ctx, p.owner, call)
	}
}

// Dial connects to a host.
func (p *process) Dial(ctx context.Context, host string) (command.Host, error) {
	p.turn(ctx, "dial "+host)
	if p.gone() {
		return nil, &command.DialError{Host: host, Kind: command.KindCancelled, Err: errDead}
	}
	h, err := p.c.net.Dial(ctx, host)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, h)
	p.dials++
	return &mortalHost{h, p, p.dials}, nil
}

// mortalHost is a connection of a process.
type mortalHost struct {
	command.Host
	p      *process
	number int // of the process's connections, from 1
}

// turn waits for the process's turn to use the connection.
func (h *mortalHost) turn(ctx context.Context, call string) {
	h.p.turn(ctx, fmt.Sprintf("%s, connection %d: %s", h.Name(), h.number, call))
}

func (h *mortalHost) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	if h.p.c.storm != nil {
		return h.p.c.storm.lock(ctx, h, name, wait)
	}
	return h.lock(ctx, name, wait)
}

func (h *mortalHost) lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	if h.p.gone() {
		return nil, h.broke(command.Cmd{Name: "lock"}, command.ErrNotRun)
	}
	return h.Host.Lock(ctx, name, wait)
}

func (h *mortalHost) Run(ctx context.Context, cmd command.Cmd) (command.Result, error) {
	what := cmd.Name
	if what == "" {
		what = cmd.String()
	}
	h.turn(ctx, what)
	m := h.p.begin("command " + what)
	switch m {
	case dies, notDone:
		return command.Result{Code: -1}, h.broke(cmd, command.ErrNotRun)
	case hostDown:
		h.p.c.net.Down(h.Name(), command.KindTimeout)
	case broken:
		return command.Result{Code: 137}, nil
	case during:
		h.p.c.interrupt = h.p.cancel
	}
	res, err := h.Host.Run(ctx, cmd)
	h.p.c.invariants("after "+what, false, false)
	switch m {
	case lost:
		return command.Result{Code: -1}, h.broke(cmd, command.ErrUnknownOutcome)
	case late:
		h.p.cancel()
	}
	return res, err
}

// broke gives the connection up.
func (h *mortalHost) broke(cmd command.Cmd, err error) error {
	h.Close()
	return &command.RunError{Host: h.Name(), Cmd: cmd.String(), Code: -1, Err: fmt.Errorf("%w: the test broke the connection", err)}
}

// mortalLedger is the inventory as a process reaches it.
type mortalLedger struct {
	p *process
	onevolume.Ledger
}

// call makes a call through the process's mishaps.
func (l mortalLedger) call(ctx context.Context, about any, name string, f func() error) error {
	l.p.turn(ctx, fmt.Sprintf("%s %v", name, about))
	m := l.p.begin(name)
	l.p.mu.Lock()
	down := l.p.noDB
	l.p.mu.Unlock()
	switch {
	case m == dies:
		return errDead
	case down || m == notDone:
		return onevolume.Errorf(onevolume.Unreachable, "the test: no way to the daemon")
	}
	write := l.p.writing(name)
	if l.p.dies(write, false) {
		return errDead
	}
	err := f()
	l.p.c.invariants("after "+name, true, false)
	if l.p.dies(write, true) {
		return errDead
	}
	switch {
	case err == nil && m == lost:
		return onevolume.Errorf(onevolume.Unknown, "the test: no answer from the daemon").WithHint("look")
	case m == late:
		l.p.cancel()
	}
	return err
}

func (l mortalLedger) Reserve(ctx context.Context, r onevolume.Request) (op onevolume.Operation, v onevolume.Volume, err error) {
	err = l.call(ctx, r, "reserve", func() error {
		op, v, err = l.Ledger.Reserve(ctx, r)
		return err
	})
	return op, v, err
}

func (l mortalLedger) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	name := "record"
	for _, e := range entries {
		name += fmt.Sprintf(" %s %s", e.Event, e.Step)
	}
	return l.call(ctx, op, name, func() error { return l.Ledger.Record(ctx, op, entries, note) })
}

func (l mortalLedger) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	return l.call(ctx, op, "finish "+string(e.Status), func() error { return l.Ledger.Finish(ctx, op, e) })
}

// mortalAccess is the daemon's word with arrays as a process reaches it.
type mortalAccess struct {
	mortalLedger
	workflow.Access
}

func (a mortalAccess) Grant(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) (got onevolume.Access, err error) {
	err = a.call(ctx, op, "grant", func() error {
		got, err = a.Access.Grant(ctx, op, initiator)
		return err
	})
	return got, err
}

func (a mortalAccess) Revoke(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) error {
	return a.call(ctx, op, "revoke", func() error { return a.Access.Revoke(ctx, op, initiator) })
}

// Fence may die after the array did what it was told, too.
func (a mortalAccess) Fence(ctx context.Context, op onevolume.OperationRef) error {
	return a.call(ctx, op, "cut off", func() error { return a.Access.(workflow.Fencer).Fence(ctx, op) })
}
