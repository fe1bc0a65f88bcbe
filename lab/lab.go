// Package lab gives tests real hosts: two KVM hosts with a guest each, or a Xen host with one, or a storage host with an
// initiator, and iSCSI targets, started by the command lab/lab. Tests that use it run inside the lab's network:
//
//	lab/lab start
//	lab/lab run go test -tags lab ./...
//
// The README beside this file says what is in a lab.
package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Addresses that are the same in every lab.
const (
	// IQNPrefix begins the name of every target: the target "open1" is IQNPrefix + "open1".
	IQNPrefix = "iqn.2026-11.lab.onevolume:"
	// Portal and OtherPortal serve all targets.
	Portal      = "10.77.0.1:3260"
	OtherPortal = "10.77.0.1:3261"
	// ClosedPortal refuses connections, MissingPortal is at an address that nobody has.
	ClosedPortal  = "10.77.0.1:3999"
	MissingPortal = "10.77.0.99:3260"
)

// XenHost is the host of a lab that was started by "lab/lab start xen", with the guest 19. It has no other.
const XenHost = "host03"

// ArrayHost is the storage host of a lab that was started by "lab/lab start array", and Initiator the other host in it.
// LIO and tgtd listen on a portal each.
const (
	ArrayHost = "host04"
	Initiator = "host05"
	LIOPortal = "10.77.0.14:3260"
	TgtPortal = "10.77.0.14:3261"
)

// Hosts are the names of the KVM hosts: the guest 17 is at home on the first, 18 on the second.
func Hosts() []string { return []string{"host01", "host02"} }

// Lab is a running lab, held by one test at a time.
type Lab struct {
	t   testing.TB
	dir string
}

// Open finds the lab that ONEVOLUME_LAB names and keeps it for the test until its end; other tests, also those of
// other packages, wait meanwhile. It fails the test when there is no lab: a test that was asked for is not skipped.
// A subtest uses the Lab of its parent and must not open it again.
func Open(t testing.TB) *Lab {
	t.Helper()
	dir := os.Getenv("ONEVOLUME_LAB")
	if dir == "" {
		t.Fatal("ONEVOLUME_LAB is not set: run the tests by \"lab/lab run go test -tags lab ...\"")
	}
	if !inside() {
		t.Fatalf("the test is not in the network of the lab %s: run it by lab/lab run", dir)
	}
	hold(t, filepath.Join(dir, "test.lock"))
	return &Lab{t: t, dir: dir}
}

// For is the lab for a subtest of the test that opened it: what goes wrong fails the subtest. Subtests may run side by
// side, each with things of its own.
func (l *Lab) For(t testing.TB) *Lab { return &Lab{t: t, dir: l.dir} }

// inside says whether this process has the address of the lab's portals.
func inside() bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	host, _, _ := net.SplitHostPort(Portal)
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && ip.IP.String() == host {
			return true
		}
	}
	return false
}

// lockWait leaves a test of ten minutes, Go's own limit, the time to say why it fails.
const lockWait = 9 * time.Minute

func hold(t testing.TB, path string) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(func() { _ = file.Close() }) // which gives up the lock
	deadline := time.Now().Add(lockWait)
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			t.Fatalf("lab: another test holds %s: %v", path, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// Dir is the run directory, with the logs of everything in the lab.
func (l *Lab) Dir() string { return l.dir }

// SSHConfig, KeyFile and KnownHosts are what an SSH client needs to reach host01 and host02 as root, oneadmin (who
// may sudo what OpenNebula lets her) or plain (who may not).
func (l *Lab) SSHConfig() string { return filepath.Join(l.dir, "ssh_config") }

// KeyFile is the private key, see SSHConfig.
func (l *Lab) KeyFile() string { return filepath.Join(l.dir, "id_ed25519") }

// KnownHosts has the hosts' keys by name and by address, see SSHConfig.
func (l *Lab) KnownHosts() string { return filepath.Join(l.dir, "known_hosts") }

// Result is what a command left.
type Result struct {
	Stdout, Stderr string
	// Code is the exit status. It is ssh's 255 when the host could not be reached.
	Code int
	argv []string
}

// Must returns the standard output of a command and fails the test when the command failed.
func (l *Lab) Must(r Result) string {
	l.t.Helper()
	if r.Code != 0 {
		l.t.Fatalf("lab: %q: exit status %d\n%s%s", r.argv, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Exec runs a command on a host as root. A single word is a line for the host's shell.
func (l *Lab) Exec(host string, argv ...string) Result {
	l.t.Helper()
	return l.ExecAs("root", host, argv...)
}

// ExecAs is Exec as another user: oneadmin or plain.
func (l *Lab) ExecAs(user, host string, argv ...string) Result {
	l.t.Helper()
	line := argv[0]
	if len(argv) > 1 {
		line = quoted(argv)
	}
	return l.local("ssh", "-n", "-F", l.SSHConfig(), user+"@"+host, line)
}

// quoted makes a shell's line of the words of a command.
func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, word := range argv {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(words, " ")
}

// local runs a command on this machine. Tests look at the lab in their clean-up too, when their context has ended.
func (l *Lab) local(argv ...string) Result {
	l.t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.t.Context()), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 5 * time.Second // a kept ssh connection may hold the pipes
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.t.Fatalf("lab: %q: %v", argv, err)
	}
	return Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), argv: argv}
}

// commandTime bounds one command: a reset that boots a host takes 20 s, more when the cores are busy.
const commandTime = 4 * time.Minute

// Command runs a subcommand of lab/lab on this lab, such as "target", "freeze" or "node", "kill", "host02", and
// fails the test when it fails. It returns the standard output.
func (l *Lab) Command(args ...string) string {
	l.t.Helper()
	return l.Must(l.local(append([]string{filepath.Join(l.dir, "lab")}, args...)...))
}

// Reset makes the lab as new.
func (l *Lab) Reset() {
	l.t.Helper()
	l.Command("reset")
}

// Guest runs a line in the shell of a guest (17 or 18, or 19 on the Xen host), wherever it is, and returns its output and exit status. The
// status is 124 when the guest does not answer. The shell knows "disks" (NAME SECTORS SERIAL, a line a disk), "disk
// SERIAL" (its device), "hold DEVICE" (keeps it open) and "release".
func (l *Lab) Guest(vm int, line string) (string, int) {
	l.t.Helper()
	r := l.local(filepath.Join(l.dir, "lab"), "guest", strconv.Itoa(vm), line)
	if r.Code == 124 {
		l.t.Logf("lab: %s", r.Stderr)
	}
	return r.Stdout, r.Code
}

// AddTarget makes a target with one unit, LUN 1, and returns its IQN. It is deleted when the test ends. The options
// are those of "lab/lab target add": --chap USER:SECRET and others.
func (l *Lab) AddTarget(name string, sizeMiB int, options ...string) string {
	l.t.Helper()
	l.Command(append([]string{"target", "add", name, strconv.Itoa(sizeMiB)}, options...)...)
	l.t.Cleanup(func() {
		if _, err := os.Stat(l.Backing(name, 1)); err == nil {
			// not by Command: the test's context has ended
			_ = exec.Command(filepath.Join(l.dir, "lab"), "target", "del", name).Run()
		}
	})
	return IQNPrefix + name
}

// DelTarget deletes a target; open sessions to it are cut off.
func (l *Lab) DelTarget(name string) {
	l.t.Helper()
	l.Command("target", "del", name)
}

// Backing is the file behind a unit of a target.
func (l *Lab) Backing(target string, lun int) string {
	return filepath.Join(l.dir, "targets", fmt.Sprintf("%s-lun%d.img", target, lun))
}

// Read returns length bytes at offset of what the target has stored, past all caches of hosts and guests.
func (l *Lab) Read(target string, lun int, offset int64, length int) []byte {
	l.t.Helper()
	file, err := os.Open(l.Backing(target, lun))
	if err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	defer file.Close()
	data := make([]byte, length)
	if _, err := file.ReadAt(data, offset); err != nil {
		l.t.Fatalf("lab: %v", err)
	}
	return data
}
