package clients

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onevolume/assemble"
	"onevolume/command/ssh/sshtest"
	"onevolume/openfiler/openfilertest"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc/wire"
)

// asDaemon makes the test binary onevolumed itself.
const asDaemon = "CLIENTS_IS_ONEVOLUMED"

func TestMain(m *testing.M) {
	if os.Getenv(asDaemon) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := assemble.Onevolumed(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startDaemon runs onevolumed as a process of its own, on a new SQLite file,
// beside a stand-in for oned that knows world, until the test ends. No host of
// the world can be reached; the array of1, which is read only when it is asked
// for, is an Openfiler. more is added to the configuration.
func startDaemon(t *testing.T, world onetest.World, more string) (endpoint string) {
	t.Helper()
	oned := onetest.Start(t, world)
	dir, addr := t.TempDir(), freeAddr(t)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	filer, known, key := startOpenfiler(t)
	host, port, _ := net.SplitHostPort(filer)
	ssh := write("ssh_config", fmt.Sprintf("Host filer\n  HostName %s\n  Port %s\n  IdentityAgent none\nHost *\n  HostName 127.0.0.1\n  Port 1\n", host, port))
	conf := write("conf", fmt.Sprintf("listen: %s\none_xmlrpc: %s\ndatabase: sqlite:%s\nkey_file: %s\nshutdown: 100ms\n"+
		"operations: {checkup: 0s}\nhosts: {ssh_config: %s, known_hosts: [%s], identities: [%s]}\n"+
		"arrays: [{name: of1, kind: openfiler, host: filer, portals: [10.0.0.5], every: 0s}]\n%s",
		addr, oned.Endpoint, filepath.Join(dir, "db"), filepath.Join(dir, "key"), ssh, known, key, more))

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(context.WithoutCancel(t.Context()), self, "--config", conf)
	c.Env = append(os.Environ(), asDaemon+"=1", "ONE_AUTH="+write("auth", "oneadmin:opennebula\n"))
	log, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	heard := make(chan string, 1)
	go func() {
		serving := ready
		var all strings.Builder
		for lines := bufio.NewScanner(log); lines.Scan(); {
			fmt.Fprintln(&all, lines.Text())
			if serving != nil && strings.Contains(lines.Text(), "onevolumed serves") {
				close(serving)
				serving = nil
			}
		}
		heard <- all.String()
		close(heard)
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		all := <-heard
		if err := c.Wait(); err != nil || strings.Contains(all, "panicked") {
			t.Errorf("onevolumed: %v\n%s", err, all)
		}
	})
	select {
	case <-ready:
	case all := <-heard:
		t.Fatalf("onevolumed does not serve:\n%s", all)
	case <-time.After(time.Minute):
		t.Fatal("onevolumed does not serve within a minute")
	}
	return "http://" + addr + wire.Path
}

// startOpenfiler puts the files of an Openfiler behind an SSH server, and gives
// its address, the file of its host key and that of a key that logs in. The
// daemon reads the places where an Openfiler has them, so the shell there finds
// them in the test's folder.
func startOpenfiler(t *testing.T) (addr, known, key string) {
	t.Helper()
	array := openfilertest.New(t)
	elsewhere := fmt.Sprintf(`sed -u "s#/proc/net/iet/#%s&#g; s#/opt/openfiler/#%[1]s&#g" | /bin/sh`, array.Dir)
	s := &sshtest.Server{Env: array.Env(), Shell: []string{"sh", "-c", elsewhere}}
	key, public, _ := sshtest.KeyFile(t, "")
	s.Authorized = append(s.Authorized, public)
	s.Start(t)
	return s.Addr, s.KnownHosts(t), key
}

// freeAddr is an address on loopback that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
