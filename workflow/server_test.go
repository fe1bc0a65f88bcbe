package workflow_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/daemon"
)

// server is onevolumed as a process of the cloud: the daemon as it is, which
// reaches hosts and inventory through the process.
type server struct {
	*process
	*daemon.Daemon
}

// serverName begins the name of every server.
const serverName = "onevolumed@here"

func (c *cloud) server(name string) *server {
	p := c.process(serverName + " " + name)
	s := &server{process: p}
	s.Daemon = &daemon.Daemon{
		Store: mortalStore{c.db, p}, Cloud: c,
		Ledger: func(who onevolume.Caller) onevolume.Ledger { return mortalLedger{p, c.service.Ledger(who)} },
		Engine: *p.engine, Log: zap.NewNop(), Now: c.clock.Now, Name: p.owner,
		// As on one machine: of several servers only the newest lives.
		Orphan: func(owner string) bool {
			return strings.HasPrefix(owner, serverName) && !strings.HasPrefix(owner, p.owner)
		},
		Settled: c.settled,
		Sweep:   limit.Lease / 3, GiveUp: time.Hour,
	}
	return s
}

// settled is what oned says of a VM: it is at rest once what moves it is over.
func (c *cloud) settled(ctx context.Context, vm onevolume.VMID) (bool, error) {
	list, err := c.db.Running(ctx)
	if err != nil {
		return false, err
	}
	for _, op := range list {
		if op.VM.ID == vm && op.Kind == onevolume.Migrate {
			return c.wait(op)
		}
	}
	return true, nil
}

// halt waits until nothing of the server runs.
func (s *server) halt() { s.Stop(context.WithoutCancel(s.c.Context())) }

// VM is oned's answer about a VM, to everybody.
func (c *cloud) VM(_ context.Context, _ string, id onevolume.VMID, _ onevolume.Kind) (onevolume.VM, error) {
	vm, ok := c.vms[id]
	if !ok {
		return vm, onevolume.Missing("virtual machine", int(id))
	}
	return vm, nil
}

// mortalStore is the database as a server reaches it.
type mortalStore struct {
	daemon.Store
	p *process
}

func (s mortalStore) Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	if s.p.turn(ctx, fmt.Sprint("volume ", id)); s.p.gone() {
		return onevolume.Volume{}, errDead
	}
	return s.Store.Volume(ctx, id)
}

func (s mortalStore) Journal(ctx context.Context, id int) ([]onevolume.Entry, error) {
	if s.p.turn(ctx, fmt.Sprint("journal ", id)); s.p.gone() {
		return nil, errDead
	}
	return s.Store.Journal(ctx, id)
}

func (s mortalStore) Running(ctx context.Context) ([]onevolume.Operation, error) {
	if s.p.turn(ctx, "running"); s.p.gone() {
		return nil, errDead
	}
	return s.Store.Running(ctx)
}

func (s mortalStore) TakeOver(ctx context.Context, ref onevolume.OperationRef, owner string, lease time.Duration, dead time.Time) (op onevolume.Operation, err error) {
	err = mortalLedger{s.p, nil}.call(ctx, ref, "take over", func() error {
		op, err = s.Store.TakeOver(ctx, ref, owner, lease, dead)
		return err
	})
	return op, err
}

func (s mortalStore) Operation(ctx context.Context, id int) (onevolume.Operation, error) {
	if s.p.turn(ctx, fmt.Sprint("operation ", id)); s.p.gone() {
		return onevolume.Operation{}, errDead
	}
	return s.Store.Operation(ctx, id)
}

func (s mortalStore) Reopen(ctx context.Context, id int, way onevolume.Way, owner string, lease time.Duration) (op onevolume.Operation, err error) {
	err = mortalLedger{s.p, nil}.call(ctx, id, "reopen", func() error {
		op, err = s.Store.Reopen(ctx, id, way, owner, lease)
		return err
	})
	return op, err
}
