// Package openfiler_test runs what is installed on an Openfiler under the PHP
// of this machine, against a real daemon.
package openfiler_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"onevolume"
	"onevolume/assemble"
	"onevolume/config"
	"onevolume/openfiler/openfilertest"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

const prefix = openfilertest.Prefix

// php gives PHP's path. In CI it must be there: scripts/deps installs it.
func php(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("php")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no php; scripts/deps installs it")
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// world is an Openfiler's files, and a daemon on SQLite with a stand-in for
// oned behind it.
type world struct {
	*testing.T
	array  *openfilertest.Array
	client *xmlrpc.Client
	url    string
	conf   string
	php    string
	db     string // the daemon's database
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, php: php(t), array: openfilertest.New(t)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	small := onetest.Small()
	small.Users[0].Tokens = []onetest.Token{{Text: "a-login-token"}}
	go func() { ended <- onetest.New(small).Serve(ctx, l) }()
	c := config.Default()
	c.Listen, c.OneXMLRPC = config.At("127.0.0.1:0"), "http://"+l.Addr().String()+"/RPC2"
	w.db = filepath.Join(t.TempDir(), "db")
	c.Database, c.KeyFile = "sqlite:"+w.db, filepath.Join(t.TempDir(), "key")
	c.Log.File = filepath.Join(t.TempDir(), "log")
	c.Operations.Checkup = 0
	d, err := assemble.OpenDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(errors.Join(err, l.Close()))
	}
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-ended
		<-ended
	})
	w.url = fmt.Sprintf("http://%s/RPC2", d.Addr())
	rpc, err := wire.NewClient(wire.Config{Endpoint: w.url})
	if err != nil {
		t.Fatal(err)
	}
	w.client = &xmlrpc.Client{Wire: rpc, Session: "oneadmin:opennebula"}
	w.conf = filepath.Join(t.TempDir(), "onevolume.conf")
	w.configure()
	return w
}

// configure writes the configuration, with more lines.
func (w *world) configure(more ...string) {
	w.Helper()
	text := fmt.Sprintf("# of a test\nendpoint = %s\nsession = oneadmin:a-login-token\narray = store1\nportals = 10.0.0.5, 10.0.1.5:3260\nroot = %s\n",
		w.url, w.array.Dir) + strings.Join(more, "\n")
	if err := os.WriteFile(w.conf, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// runs pushes, and gives what is said and the exit status.
func (w *world) runs(args ...string) (string, int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.php, append([]string{"onevolume.php", "--config", w.conf}, args...)...)
	cmd.Env = append(os.Environ(), w.array.Env()...)
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		w.Fatal(err)
	}
	return string(out), 0
}

// want pushes, and compares the status and the lines, of which each may end in
// … after a part.
func (w *world) want(status int, lines ...string) {
	w.Helper()
	out, code := w.runs()
	out = strings.ReplaceAll(out, prefix, "")
	got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if got[0] == "" {
		got = nil
	}
	same := len(got) == len(lines) && code == status
	for i := 0; same && i < len(got); i++ {
		part, open := strings.CutSuffix(lines[i], "…")
		same = got[i] == lines[i] || open && strings.HasPrefix(got[i], part)
	}
	if !same {
		w.Fatalf("status %d, and it says\n  %s\nwant %d and\n  %s", code, strings.Join(got, "\n  "), status, strings.Join(lines, "\n  "))
	}
}

func (w *world) volume(id onevolume.VolumeID) onevolume.Volume {
	w.Helper()
	v, err := w.client.Credentials(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// gone asks that the volume is not in the inventory any more.
func (w *world) gone(id onevolume.VolumeID) {
	w.Helper()
	if _, err := w.client.Info(w.Context(), id); onevolume.CodeOf(err) != onevolume.NotFound {
		w.Errorf("volume %d: %v", id, err)
	}
}

// declare gives the volume a state; ATTACHED is in VM 0.
func (w *world) declare(id onevolume.VolumeID, state onevolume.State) {
	w.Helper()
	r := onevolume.Recovery{State: state, Attachment: onevolume.Attachment{VM: onevolume.NoVM}, Reason: "a test"}
	if state == onevolume.Attached {
		r.Attachment = onevolume.Attachment{VM: 0, Host: "host01"}
	}
	if err := w.client.Recover(w.Context(), id, r); err != nil {
		w.Fatal(err)
	}
}
