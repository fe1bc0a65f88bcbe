package openfiler_test

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"onevolume"
	"onevolume/command/ssh"
	"onevolume/command/ssh/sshtest"
	"onevolume/inventory"
	"onevolume/openfiler"
	"onevolume/openfiler/openfilertest"
	"onevolume/store"
)

const prefix = openfilertest.Prefix

// world is an Openfiler behind a real SSH server, whose files are those in
// testdata until a test changes them, and a real inventory.
type world struct {
	*testing.T
	*openfiler.Syncer
	db    *store.Store
	array *openfilertest.Array
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, array: openfilertest.New(t)}
	server := &sshtest.Server{Env: w.array.Env()}
	key, public, _ := sshtest.KeyFile(t, "")
	server.Authorized = append(server.Authorized, public)
	server.Start(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	dialer := ssh.NewDialer(ssh.Config{
		Home: t.TempDir(), ConfigFile: sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n", host, port)),
		KnownHostsFiles: []string{server.KnownHosts(t)}, IdentityFiles: []string{key}, AgentSocket: "none", LockDirs: []string{t.TempDir()},
	})
	var err error
	w.db, err = store.Open(t.Context(), store.Options{Driver: store.SQLite, Path: filepath.Join(t.TempDir(), "one.db"),
		Key: []byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	portals, err := onevolume.ParsePortals("10.0.0.5,10.0.1.5")
	if err != nil {
		t.Fatal(err)
	}
	w.Syncer = &openfiler.Syncer{
		Array: openfiler.Array{Name: "store1", Host: "filer", Portals: portals, Root: w.array.Dir},
		Hosts: dialer, Inventory: inventory.Arrays{Service: &inventory.Service{Store: w.db}, Name: "onevolumed@test", Umask: 0o137},
	}
	return w
}

// sync syncs, and gives the changes as lines.
func (w *world) sync() string {
	w.Helper()
	done, err := w.Syncer.Sync(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	var b strings.Builder
	for _, c := range done.Changes {
		fmt.Fprintf(&b, "%s %d %q %s %d: %s\n", c.What, c.Volume, c.Name, strings.TrimPrefix(c.Target, prefix), c.LUN, c.Text)
	}
	return b.String()
}

// want syncs and compares the lines, of which each may end in … after a part.
func (w *world) want(lines ...string) {
	w.Helper()
	got := strings.Split(strings.TrimSuffix(w.sync(), "\n"), "\n")
	if got[0] == "" {
		got = nil
	}
	same := len(got) == len(lines)
	for i := 0; same && i < len(got); i++ {
		part, open := strings.CutSuffix(lines[i], "…")
		same = got[i] == lines[i] || open && strings.HasPrefix(got[i], part)
	}
	if !same {
		w.Fatalf("the sync did\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

func (w *world) volume(id onevolume.VolumeID) onevolume.Volume {
	w.Helper()
	v, err := w.db.Volume(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

// attach puts the volume into VM 17.
func (w *world) attach(id onevolume.VolumeID) {
	w.Helper()
	admin := onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
	op, _, err := w.db.Reserve(w.Context(), admin, onevolume.Request{Kind: onevolume.Attach, Owner: "test", Lease: 1 << 40,
		VM: onevolume.VM{ID: 17, Host: "host01"}, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))}})
	if err != nil {
		w.Fatal(err)
	}
	if err := w.db.Finish(w.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}); err != nil {
		w.Fatal(err)
	}
}

// recover declares the volume's state.
func (w *world) recover(id onevolume.VolumeID, state onevolume.State) {
	w.Helper()
	if err := w.db.Recover(w.Context(), id, onevolume.Recovery{State: state}); err != nil {
		w.Fatal(err)
	}
}

// made has the volume be one that was made on the array.
func (w *world) made(id onevolume.VolumeID, what string) {
	w.Helper()
	if err := w.db.Update(w.Context(), id, func(v *onevolume.Volume) error { v.ArrayID = what; return nil }); err != nil {
		w.Fatal(err)
	}
}
