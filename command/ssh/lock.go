package ssh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"onevolume/command"
)

// What the lock script ends with. flock ends with 1 when the wait is over;
// another status (-E) can be chosen since util-linux 2.24 only, and its other
// failures have those of sysexits.h. The rest are our own.
const (
	lockOK     = 0
	lockHeld   = 1
	lockNoDir  = 101
	lockNoFile = 102
	lockNoTool = 127
)

// Time the lock script may take beyond the wait, and an unlock altogether.
const (
	lockGrace  = 15 * time.Second
	unlockTime = 10 * time.Second
)

// lockScript takes a lock on a descriptor of the shell itself. The words are
// the directories, the lock's file name, the descriptor and flock's options.
//
// An existing file is opened for reading only: where fs.protected_regular is
// set, opening another user's file in a sticky directory with O_CREAT is
// refused, even to root. "command" keeps a failing exec from ending the shell.
const lockScript = `for d in %[1]s; do [ -d "$d" ] && break; d=; done
f=$d/%[2]s
(
if [ -z "$d" ]; then exit 101; fi
[ -e "$f" ] || ( set -C; : >"$f" )
[ -r "$f" ] || exit 102
) </dev/null 2>&9 9>&- && {
if command exec %[3]d<"$f"; then
flock %[4]s %[3]d </dev/null 2>&9 9>&- || { r=$?; exec %[3]d<&-; (exit $r); }
else (exit 102)
fi
}
`

// Lock takes the named lock on the host by flock(1), in the file
// onevolume-NAME.lock of the first of Config.LockDirs that is there.
//
// The remote shell holds the lock. It gives it back when unlock is called, or
// when the shell ends: at once when the connection is closed or cut in order,
// and when sshd notices otherwise (its ClientAliveInterval). While a command
// runs, the shell waits for it and so keeps the lock, even when nobody
// listens any more: a hung command on the host keeps others out on purpose.
// What a command leaves in the background does not hold it.
func (h *Host) Lock(ctx context.Context, name string, wait time.Duration) (func(), error) {
	fail := func(err error) (func(), error) {
		return nil, &command.RunError{Host: h.name, Cmd: "lock " + name, Code: -1, Err: err}
	}
	if !command.ValidLockName(name) {
		return fail(fmt.Errorf("%w: the lock's name %q is not of the form [a-z0-9-]+", command.ErrNotRun, name))
	}
	if err := h.take(ctx); err != nil {
		return fail(fmt.Errorf("%w: %w", command.ErrNotRun, err))
	}
	defer h.release()
	fd := h.freeFD()
	if fd == 0 {
		return fail(fmt.Errorf("%w: one connection holds no more than %d locks", command.ErrNotRun, lastLock-firstLock+1))
	}
	options := "-n"
	if wait > 0 {
		options = fmt.Sprintf("-w %.3f", wait.Seconds())
	}
	script := fmt.Sprintf(lockScript, command.Join(h.client.lockDirs), "onevolume-"+name+".lock", fd, options)
	a, err := h.exchange(ctx, script, max(wait, 0)+lockGrace, nil)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", command.ErrUnknownOutcome, err))
	}
	if err := h.lockError(name, wait, a); err != nil {
		return nil, err
	}
	h.locks[fd] = true
	return sync.OnceFunc(func() { h.unlock(context.WithoutCancel(ctx), fd) }), nil
}

// lockError says what the script's end means.
func (h *Host) lockError(name string, wait time.Duration, a answer) error {
	var err error
	dirs := strings.Join(h.client.lockDirs, ", ")
	switch a.code {
	case lockOK:
		return nil
	case lockHeld:
		return &command.LockedError{Host: h.name, Name: name, Wait: wait}
	case lockNoDir:
		err = fmt.Errorf("the host has no directory for locks (%s)", dirs)
	case lockNoFile:
		err = fmt.Errorf("the lock's file cannot be created or read (in the first of %s that is there)", dirs)
	case lockNoTool:
		err = errors.New("the host has no flock (util-linux)")
	}
	stderr := a.err.data[:min(len(a.err.data), 500)]
	return &command.RunError{Host: h.name, Cmd: "lock " + name, Code: a.code, Stderr: string(stderr), Err: err}
}

// unlock closes the descriptor. When that is not possible the shell is given
// up, which gives the lock back as well.
func (h *Host) unlock(ctx context.Context, fd int) {
	ctx, cancel := context.WithTimeout(ctx, unlockTime)
	defer cancel()
	if err := h.take(ctx); err != nil {
		h.sh.giveUp(fmt.Errorf("a lock could not be given back: %w", err))
		return
	}
	defer h.release()
	if _, err := h.exchange(ctx, fmt.Sprintf("exec %d<&-\n", fd), unlockTime, nil); err == nil {
		h.locks[fd] = false
	}
}

// held gives the descriptors of the locks. The turn is the caller's.
func (h *Host) held() []int {
	var fds []int
	for fd := firstLock; fd <= lastLock; fd++ {
		if h.locks[fd] {
			fds = append(fds, fd)
		}
	}
	return fds
}

// freeFD gives a descriptor for a further lock, or 0. The turn is the
// caller's.
func (h *Host) freeFD() int {
	for fd := firstLock; fd <= lastLock; fd++ {
		if !h.locks[fd] {
			return fd
		}
	}
	return 0
}
