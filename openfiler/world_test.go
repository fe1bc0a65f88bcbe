package openfiler_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onevolume"
	"onevolume/command/ssh"
	"onevolume/command/ssh/sshtest"
	"onevolume/inventory"
	"onevolume/openfiler"
	"onevolume/store"
)

const (
	prefix   = "iqn.2006-01.com.openfiler:tsn."
	volume   = "/proc/net/iet/volume"
	session  = "/proc/net/iet/session"
	settings = "/opt/openfiler/etc/iscsi/targets/iscsi_settings.xml"
	names    = "/opt/openfiler/etc/volumes.xml"
)

// blockdev is util-linux's as far as it is needed: it knows the sizes in the
// folder size, and says of others what the real one says.
const blockdev = `#!/bin/sh
[ "$1" = --getsize64 ] && [ $# = 2 ] || { echo "blockdev: this stand-in does not know: $*" >&2; exit 64; }
[ -e "$ARRAY/size$2" ] || { echo "blockdev: cannot open $2: No such file or directory" >&2; exit 1; }
exec cat "$ARRAY/size$2"
`

// world is an Openfiler behind a real SSH server, whose files are those in
// testdata until a test changes them, and a real inventory.
type world struct {
	*testing.T
	dir    string // the array's root
	db     *store.Store
	server *sshtest.Server
	*openfiler.Syncer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir()}
	if err := os.CopyFS(w.dir, os.DirFS("testdata/array")); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "blockdev"), []byte(blockdev), 0o700); err != nil {
		t.Fatal(err)
	}
	w.server = &sshtest.Server{Env: []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "ARRAY=" + w.dir}}
	key, public, _ := sshtest.KeyFile(t, "")
	w.server.Authorized = append(w.server.Authorized, public)
	w.server.Start(t)
	host, port, _ := net.SplitHostPort(w.server.Addr)
	dialer := ssh.NewDialer(ssh.Config{
		Home: t.TempDir(), ConfigFile: sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n", host, port)),
		KnownHostsFiles: []string{w.server.KnownHosts(t)}, IdentityFiles: []string{key}, AgentSocket: "none", LockDirs: []string{t.TempDir()},
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
		Array: openfiler.Array{Name: "store1", Host: "filer", Portals: portals, Root: w.dir},
		Hosts: dialer, Inventory: inventory.Arrays{Service: &inventory.Service{Store: w.db}, Name: "onevolumed@test"},
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

// edit replaces text in a file of the array, which must be there once.
func (w *world) edit(name, old, by string) {
	w.Helper()
	text, err := os.ReadFile(w.dir + name)
	if err != nil {
		w.Fatal(err)
	}
	if strings.Count(string(text), old) != 1 {
		w.Fatalf("%s does not have %q once", name, old)
	}
	w.write(name, strings.Replace(string(text), old, by, 1))
}

func (w *world) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(w.dir+name, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// unmap takes a logical unit out as the web pages do.
func (w *world) unmap(volumeLine, lunElement string) {
	w.Helper()
	w.edit(volume, "\t"+volumeLine+"\n", "")
	w.edit(settings, "      "+lunElement+"\n", "")
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
