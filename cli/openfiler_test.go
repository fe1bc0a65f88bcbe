package cli_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	filer "onevolume/array/openfiler"
	"onevolume/array/openfiler/standin"
	"onevolume/command/ssh"
	"onevolume/command/ssh/sshtest"
	"onevolume/daemon"
	"onevolume/inventory"
	"onevolume/iscsi/iscsitest"
	"onevolume/openfiler"
)

// filed is an Openfiler behind a real SSH server, whose volumes the world's
// hosts reach, if it lets them in.
type filed struct {
	*linux.Machine
	on *standin.Machine
	w  *world
}

func (f *filed) Create(ctx context.Context, r array.Request) (array.Volume, error) {
	v, err := f.Machine.Create(ctx, r)
	if err != nil {
		return v, err
	}
	at := f.Target(v.ID)
	id := onevolume.Identity{Serial: v.ID.Hex()[:16]}
	f.w.array.Serve(onevolume.Volume{Target: at, Size: v.Size, Identity: id})
	f.w.array.Change(at.IQN, func(t *iscsitest.Target) {
		t.Login = func(initiator onevolume.IQN, chap onevolume.CHAP) (func(), error) {
			with := at
			with.CHAP = chap
			return f.on.Login(array.Export{Initiator: initiator, Target: with, Identity: id})
		}
	})
	return v, nil
}

// TestVolumesOnAnOpenfiler goes the whole way, from the command line by the
// daemon and SSH to the machine's programs and files, which are at the end
// what they were before. The daemon also reads what others make there, and
// takes what it has made itself for nobody else's.
func TestVolumesOnAnOpenfiler(t *testing.T) {
	w := newWorld(t)
	m := standin.New(t)
	server := &sshtest.Server{Env: m.Env()}
	key, public, _ := sshtest.KeyFile(t, "")
	server.Authorized = append(server.Authorized, public)
	server.Start(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	dialer := ssh.NewDialer(ssh.Config{
		Home: t.TempDir(), ConfigFile: sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n", host, port)),
		KnownHostsFiles: []string{server.KnownHosts(t)}, IdentityFiles: []string{key}, AgentSocket: "none", LockDirs: []string{t.TempDir()},
	})
	portals, err := onevolume.ParsePortals("10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	maker, err := filer.New(linux.Options{Host: "filer", Dialer: dialer}, standin.VG,
		filer.Options{IQN: "iqn.2006-01.com.openfiler:tsn", Portals: portals, Root: m.Dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { maker.Close() })
	w.makers = map[string]daemon.Maker{"store2": {Array: &filed{maker, m, w}, Kind: "openfiler"}}
	w.start()
	reader := openfiler.Syncer{Hosts: dialer, Inventory: inventory.Arrays{Service: &inventory.Service{Store: w.db}, Name: "test"},
		Array: openfiler.Array{Name: "store2", Host: "filer", Portals: portals, Root: m.Dir}}
	quiet := func(when string) {
		t.Helper()
		if done, err := reader.Sync(t.Context()); err != nil || len(done.Changes) > 0 {
			t.Errorf("read %s: %+v, %v", when, done.Changes, err)
		}
	}
	before := m.State()

	w.ok("create", "--name", "db", "--size", "64", "--array", "store2")
	quiet("when it was made")
	w.ok("attach", "17", "--volume", "db")
	w.wants(onevolume.Attached)
	if v := w.read(); v.Identity.Serial != strings.ReplaceAll(v.ArrayID, "-", "")[:16] || v.Size != 64*onevolume.MiB {
		t.Errorf("attached is %+v", v)
	}
	quiet("while a host has it")
	w.fails([]string{"ATTACHED"}, "delete", "db")
	w.ok("detach", "17", "0", "--yes")
	w.ok("resize", "db", "96M")
	if v := w.read(); v.Size != 96*onevolume.MiB {
		t.Errorf("it has %s", v.Size)
	}
	w.fails([]string{"array store2 has no snapshots"}, "snapshot-create", "db", "now")
	s := w.ok("array", "list")
	s.has(w, "stdout", s.out, "store2", "openfiler")
	w.ok("array", "check", "store2")
	w.ok("delete", "db")
	quiet("when it is gone")
	if after := m.State(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
}
