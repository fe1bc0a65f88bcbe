package assemble

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/array/openfiler/standin"
	"onevolume/command/ssh/sshtest"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/inventory"
	"onevolume/openfiler"
	"onevolume/openfiler/openfilertest"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// serveOned serves the stand-in for oned, and gives its endpoint.
func serveOned(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- onetest.New(onetest.Small()).Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	return "http://" + l.Addr().String() + "/RPC2"
}

// An array of the configuration is read over SSH when the daemon starts, in
// its interval, and when a client asks for it.
func TestArrayOfTheConfiguration(t *testing.T) {
	array := openfilertest.New(t)
	server := &sshtest.Server{Env: array.Env()}
	key, public, _ := sshtest.KeyFile(t, "")
	server.Authorized = append(server.Authorized, public)
	server.Start(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	c := testConfig(t)
	c.OneXMLRPC = serveOned(t)
	c.Operations.Checkup = 0
	c.Hosts.SSHConfig = sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n IdentityAgent none\n", host, port))
	c.Hosts.KnownHosts, c.Hosts.Identities = []string{server.KnownHosts(t)}, []string{key}
	every := 200 * time.Millisecond
	c.Arrays = []config.Array{{Name: "store1", Kind: "openfiler", Host: "filer", Portals: []string{"10.0.0.5"}, Every: &every}}
	d, err := OpenDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	d.arrays.Watched["store1"].Syncer.(*openfiler.Syncer).Array.Root = array.Dir
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w, err := wire.NewClient(wire.Config{Endpoint: fmt.Sprintf("http://%s/RPC2", d.Addr())})
	if err != nil {
		t.Fatal(err)
	}
	client := &xmlrpc.Client{Wire: w, Session: "oneadmin:opennebula"}
	waitFor(t, "three volumes", func() bool {
		list, err := client.Pool(t.Context(), -2, -1, -1)
		return err == nil && len(list) == 3 && list[0].Array == "store1" && list[0].Permissions == 0o600
	})
	array.Unmap(openfilertest.Disk10Line, openfilertest.Disk10Lun)
	waitFor(t, "ERROR", func() bool {
		list, err := client.Pool(t.Context(), -2, -1, -1)
		return err == nil && list[0].State == onevolume.Failed && strings.Contains(list[0].Reason, "store1")
	})
	array.Write(openfilertest.Sizes+"/dev/vg0/disk1", "34359738368\n")
	done, err := client.SyncArray(t.Context(), "store1")
	if err != nil || done.Units != 4 || done.Volumes != 3 {
		t.Errorf("synced %+v, %v", done, err)
	}
	if v, err := client.Info(t.Context(), 0); err != nil || v.Size != 32*onevolume.GiB {
		t.Errorf("after the sync volume 0 has %d bytes, %v", v.Size, err)
	}
	if _, err := client.SyncArray(t.Context(), "store2"); onevolume.CodeOf(err) != onevolume.NotFound || !strings.Contains(err.Error(), "known are store1") {
		t.Errorf("another array: %v", err)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// An Openfiler with a volume group makes volumes, and is read only if the
// configuration says which targets.
func TestOpenfilerThatMakesVolumes(t *testing.T) {
	m := standin.New(t)
	server := &sshtest.Server{Env: m.Env()}
	key, public, _ := sshtest.KeyFile(t, "")
	server.Authorized = append(server.Authorized, public)
	server.Start(t)
	host, port, _ := net.SplitHostPort(server.Addr)
	c := testConfig(t)
	c.Hosts.SSHConfig = sshtest.WriteFile(t, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n IdentityAgent none\n", host, port))
	c.Hosts.KnownHosts, c.Hosts.Identities = []string{server.KnownHosts(t)}, []string{key}
	c.Arrays = []config.Array{{Name: "store2", Kind: "openfiler", Host: "filer", Portals: []string{"10.0.0.5"}, VG: standin.VG,
		IQN: "iqn.2006-01.com.openfiler:tsn", Users: true, AutoCreate: true}}
	makers, err := makers(c, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	maker := makers["store2"]
	defer maker.Array.(io.Closer).Close()
	stats, err := maker.Array.Stats(t.Context())
	if free, _ := stats.Free.Get(); err != nil || free != standin.Size || maker.Kind != "openfiler" || !maker.AutoCreate || !maker.Anybody {
		t.Errorf("%+v: %+v, %v", maker, stats, err)
	}
	for targets, reads := range map[string]int{"": 0, "*": 1} {
		c.Arrays[0].Targets = targets
		if a, err := arrays(c, &inventory.Service{}, zap.NewNop(), "test"); err != nil || len(a.Watched) != reads {
			t.Errorf("with targets %q %d are read, %v", targets, len(a.Watched), err)
		}
	}
}

func TestArrayWithBadPortal(t *testing.T) {
	c := testConfig(t)
	c.Arrays = []config.Array{{Name: "store1", Kind: "openfiler", Host: "filer", Portals: []string{"filer"}}}
	d, err := OpenDaemon(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), `arrays: store1: portal "filer"`) {
		t.Errorf("error %v, daemon %v", err, d)
	}
}

var _ daemon.Syncer = (*openfiler.Syncer)(nil)
