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
// the world can be reached. more is added to the configuration.
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
	ssh := write("ssh_config", "Host *\n  HostName 127.0.0.1\n  Port 1\n")
	conf := write("conf", fmt.Sprintf("listen: %s\none_xmlrpc: %s\ndatabase: sqlite:%s\nkey_file: %s\nshutdown: 100ms\n"+
		"operations: {checkup: 0s}\nhosts: {ssh_config: %s}\n%s", addr, oned.Endpoint, filepath.Join(dir, "db"), filepath.Join(dir, "key"), ssh, more))

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(context.WithoutCancel(t.Context()), self, "--config", conf)
	c.Env = append(os.Environ(), asDaemon+"=1")
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
