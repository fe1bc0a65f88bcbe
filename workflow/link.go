package workflow

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"onevolume/command"
	"onevolume/hypervisor"
)

// link is the connection to one host: dialled in the background, and dropped
// for a new one after it broke.
type link struct {
	ready  chan struct{}
	cancel context.CancelFunc // ends the dialling, not the connection
	host   command.Host
	err    error
	broken atomic.Bool
	mu     sync.Mutex
	locks  map[string]func()
}

// dial begins to connect to the host, unless there is a connection already.
func (r *run) dial(ctx context.Context, host string) *link {
	if l := r.hosts[host]; l != nil && !l.broken.Load() {
		return l
	}
	if old := r.hosts[host]; old != nil {
		old.close()
	}
	dialling, cancel := context.WithCancel(ctx)
	l := &link{ready: make(chan struct{}), cancel: cancel, locks: map[string]func(){}}
	r.hosts[host] = l
	go func() {
		defer close(l.ready)
		l.host, l.err = r.Hosts.Dial(dialling, host)
		if l.err != nil {
			l.broken.Store(true)
		}
	}()
	return l
}

// on gives the host, connected, with the lock on the run's target held.
func (r *run) on(ctx context.Context, host string) (command.Host, error) {
	l := r.dial(ctx, host)
	select {
	case <-l.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.err != nil {
		return nil, hostError(l.err)
	}
	h := &watched{Host: l.host, link: l}
	if r.unlocked {
		return h, nil
	}
	return h, hostError(l.lock(ctx, h, r.Initiator.LockName(r.vol.Target), r.Limits.Lock))
}

// onVM gives the host as on does, with the lock on the VM held as well: the
// target's comes first, for all, so that no two wait for each other. Whoever
// has it may be waiting for a guest to let go of a disk.
func (r *run) onVM(ctx context.Context, host string) (command.Host, error) {
	h, err := r.on(ctx, host)
	if err != nil || r.unlocked {
		return h, err
	}
	return h, hostError(r.hosts[host].lock(ctx, h, hypervisor.LockName(r.op.VM.ID), r.Limits.Lock+r.Limits.Unplug))
}

// leaveVM gives the lock on the VM back.
func (r *run) leaveVM(host string) {
	if l := r.hosts[host]; l != nil {
		l.unlock(hypervisor.LockName(r.op.VM.ID))
	}
}

// lock takes a lock on the host unless this link has it already.
func (l *link) lock(ctx context.Context, h command.Host, name string, wait time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks[name] != nil {
		return nil
	}
	unlock, err := h.Lock(ctx, name, wait)
	if err != nil {
		return err
	}
	l.locks[name] = unlock
	return nil
}

// unlock gives a lock back, if this link has it.
func (l *link) unlock(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if unlock := l.locks[name]; unlock != nil {
		unlock()
		delete(l.locks, name)
	}
}

// close gives the locks back with the shell that holds them. A host that does
// not answer is no longer waited for.
func (l *link) close() {
	l.cancel()
	<-l.ready
	if l.host != nil {
		_ = l.host.Close() // whatever it says, the shell is gone
	}
}

func (r *run) close() {
	for _, l := range r.hosts {
		l.close()
	}
}

// watched notices that a connection broke, so that the next step dials anew.
type watched struct {
	command.Host
	link *link
}

func (w *watched) Run(ctx context.Context, c command.Cmd) (command.Result, error) {
	res, err := w.Host.Run(ctx, c)
	if err != nil {
		w.link.broken.Store(true)
	}
	return res, err
}
