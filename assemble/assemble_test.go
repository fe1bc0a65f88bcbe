package assemble

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume/config"
	"onevolume/store"
)

func testConfig(t *testing.T) config.Config {
	t.Helper()
	c := config.Default()
	c.Listen, c.OneXMLRPC = config.At("127.0.0.1:0"), "http://127.0.0.1:1/RPC2"
	c.Database, c.KeyFile = "sqlite:"+filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "key")
	c.Log.File = filepath.Join(t.TempDir(), "log")
	c.Shutdown = 2 * time.Second
	return c
}

func TestDaemonServesAndStops(t *testing.T) {
	c := testConfig(t)
	d, err := OpenDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	resp, err := http.Post(fmt.Sprintf("http://%s/RPC2", d.Addr()), "text/xml",
		strings.NewReader("<methodCall><methodName>one.volume.nosuch</methodName></methodCall>"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the daemon did not stop")
	}
	log, err := os.ReadFile(c.Log.File)
	if err != nil || !strings.Contains(string(log), "onevolumed has stopped") {
		t.Errorf("log: %v\n%s", err, log)
	}
}

func TestDaemonSaysWhyItDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"address taken":       {func(c *config.Config) { c.Listen = config.At("127.0.0.1:0", taken.Addr().String()) }, "address already in use"},
		"no such directory":   {func(c *config.Config) { c.Database = "sqlite:/nowhere/at/all.db" }, "/nowhere/at"},
		"key others can read": {func(c *config.Config) { mustWrite(t, c.KeyFile, "x", 0o644) }, "key"},
		"log in no directory": {func(c *config.Config) { c.Log.File = "/nowhere/log" }, "/nowhere/log"},
		"MariaDB not there":   {func(c *config.Config) { c.Database = "mysql://one:secretpw@127.0.0.1:1/opennebula" }, "127.0.0.1:1"},
		"database is no file": {func(c *config.Config) {
			mustWrite(t, c.Database[len("sqlite:"):], strings.Repeat("no database\n", 100), 0o600)
		}, "database"},
		"MariaDB by bad port": {func(c *config.Config) { c.Database = "mysql://one@h:99999/x" }, "99999"},
		"endpoint is no URL":  {func(c *config.Config) { c.OneXMLRPC = "gopher://x" }, "gopher"},
	} {
		c := testConfig(t)
		test.change(&c)
		d, err := OpenDaemon(t.Context(), c)
		if err == nil {
			d.closeListeners()
			t.Errorf("%s: it starts", name)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secretpw") {
			t.Errorf("%s: %v; want something of %q, and no password", name, err, test.want)
		}
	}
}

func mustWrite(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestServerURL(t *testing.T) {
	for source, want := range map[string]store.Server{
		"mysql://one:p%40ss@db:3307/opennebula":      {Host: "db", Port: 3307, User: "one", Password: "p@ss", Database: "opennebula"},
		"mysql://one@localhost/o?socket=/run/m.sock": {Host: "localhost", Socket: "/run/m.sock", User: "one", Database: "o"},
	} {
		if got, err := server(source); err != nil || got != want {
			t.Errorf("%s: %#v, %v", source, got, err)
		}
	}
}
