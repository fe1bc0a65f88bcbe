package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/rogpeppe/go-internal/testscript"

	"onevolume"
	"onevolume/assemble"
	"onevolume/config"
	"onevolume/opennebula/onetest"
	"onevolume/store/storetest"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// The scripts type onevolume as its users do, against the real daemon on
// SQLite and a stand-in for oned. Hosts cannot be reached from here: what
// needs one is tested in the lab.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"onevolume": func() {
		// Tables are as wide as the terminal that a process belongs to, which
		// must not be that of whoever runs the tests.
		if os.Getenv("TERMINAL_OF_SCRIPT") == "" {
			_, _ = syscall.Setsid() // fails for one that leads a session already
		}
		main()
	}})
}

func TestScripts(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		run(t, func(env *testscript.Env) (string, error) {
			return "sqlite:" + filepath.Join(env.WorkDir, "inventory.db"), nil
		})
	})
	t.Run("mariadb", func(t *testing.T) {
		server, err := storetest.Start(t.Context())
		if errors.Is(err, storetest.ErrNoServer) && os.Getenv("CI") == "" {
			t.Skip("not tested on MariaDB: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Stop(); err != nil {
				t.Error(err)
			}
		})
		run(t, func(*testscript.Env) (string, error) { return mariadb(server) })
	})
}

// mariadb makes a new database and names it as the configuration does.
func mariadb(server *storetest.Server) (string, error) {
	dsn, _, err := server.Database(context.Background())
	if err != nil {
		return "", err
	}
	c, err := mysql.ParseDSN(dsn)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "mysql", User: url.UserPassword(c.User, c.Passwd), Host: "localhost", Path: "/" + c.DBName}
	if c.Net == "unix" {
		u.RawQuery = url.Values{"socket": {c.Addr}}.Encode()
	} else {
		u.Host = c.Addr
	}
	return u.String(), nil
}

func run(t *testing.T, database func(*testscript.Env) (string, error)) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			source, err := database(env)
			if err != nil {
				return err
			}
			return setup(env, source)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as":      as,
			"checkup": checkup,
			"park":    park,
		},
	})
}

// setup gives each script a cloud and a daemon of its own.
func setup(env *testscript.Env, database string) error {
	small := onetest.Small()
	// Its volume is in another daemon's inventory.
	small.VMs = append(small.VMs, onetest.VM{ID: 9, Name: "vm-shows", Host: "host01",
		UserTemplate: `ONEVOLUME=[ID="3",NAME="data",SERIAL="onevolume-3",SIZE="65536",TARGET="sdiv"]`})
	o := onetest.New(small)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return err
	}
	go func() { ended <- o.Serve(ctx, l) }()
	endpoint := "http://" + l.Addr().String() + "/RPC2"
	conf := config.Default()
	conf.Listen, conf.OneXMLRPC = config.At("127.0.0.1:0"), endpoint
	conf.Database = database
	conf.KeyFile = filepath.Join(env.WorkDir, "key")
	conf.Log.File = filepath.Join(env.WorkDir, "onevolumed.log")
	conf.Shutdown = time.Second
	// No host answers. An operation that the daemon is to decide on is parked
	// again soon.
	conf.Hosts.SSHConfig = filepath.Join(env.WorkDir, "no_hosts")
	conf.Operations.Checkup = time.Second
	conf.Operations.Lease, conf.Operations.Sweep, conf.Operations.GiveUp = time.Second, 100*time.Millisecond, 300*time.Millisecond
	if err := os.WriteFile(conf.Hosts.SSHConfig, []byte("Host *\n  HostName 127.0.0.1\n  Port 1\n"), 0o600); err != nil {
		stop()
		return err
	}
	d, err := assemble.OpenDaemon(ctx, conf)
	if err != nil {
		stop()
		return err
	}
	go func() { ended <- d.Run(ctx) }()
	env.Defer(func() {
		stop()
		for range 2 {
			<-ended
		}
	})
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("ONE_LOCATION", env.WorkDir)
	env.Setenv("TZ", "UTC")
	env.Setenv("ONE_XMLRPC", endpoint)
	env.Setenv("ONEVOLUME_XMLRPC", fmt.Sprintf("http://%s/RPC2", d.Addr()))
	for user, password := range map[string]string{"oneadmin": "opennebula", "alice": "alicepw", "bob": "bobpw"} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, user+".auth"), []byte(user+":"+password+"\n"), 0o600); err != nil {
			return err
		}
	}
	env.Setenv("ONE_AUTH", filepath.Join(env.WorkDir, "oneadmin.auth"))
	return nil
}

// as changes who runs what follows.
func as(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: as user")
	}
	file := ts.MkAbs(args[0] + ".auth")
	if strings.Contains(args[0], "/") {
		ts.Fatalf("no such user: %s", args[0])
	}
	ts.Setenv("ONE_AUTH", file)
}

// client calls the daemon as oneadmin.
func client(ts *testscript.TestScript) *xmlrpc.Client {
	rpc, err := wire.NewClient(wire.Config{Endpoint: ts.Getenv("ONEVOLUME_XMLRPC")})
	ts.Check(err)
	ts.Defer(rpc.Close)
	return &xmlrpc.Client{Wire: rpc, Session: "oneadmin:opennebula"}
}

// checkup waits until the daemon has compared the inventory with its hosts
// and found so many differences.
func checkup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: checkup differences")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	c, deadline := client(ts), time.Now().Add(30*time.Second)
	for {
		h, err := c.Health(context.Background())
		ts.Check(err)
		if !h.Checkup.Time.IsZero() && h.Differences == want {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the last checkup found %d differences: %+v", h.Differences, h.Checkup)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// park begins an operation on a volume as a client would, and leaves it as
// one that could neither be completed nor undone.
func park(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: park attach|detach vm volume")
	}
	id, err := strconv.Atoi(args[1])
	ts.Check(err)
	ctx, c := context.Background(), client(ts)
	op, _, err := c.Reserve(ctx, onevolume.Request{Kind: onevolume.Kind(args[0]), Owner: "onevolume@front user oneadmin pid 1 since 1", Lease: time.Minute,
		VM: onevolume.VM{ID: onevolume.VMID(id), Name: "web", Host: "host01", Hypervisor: "kvm", DeployID: "one-" + args[1]}, Pick: onevolume.Pick{Volume: args[2]}})
	ts.Check(err)
	now := time.Now()
	ts.Check(c.Record(ctx, op.Ref(), []onevolume.Entry{
		{Step: "connect", Event: onevolume.StepStarted, Time: now},
		{Step: "connect", Event: onevolume.StepFailed, Time: now.Add(1500 * time.Millisecond), Detail: "host host01: login: exit status 8", Commands: []onevolume.Command{
			{Host: "host01", Text: "iscsiadm -m node -T iqn.2026-11.org.example:disk1 --login", Started: now, Took: 1200 * time.Millisecond, Code: 8,
				Stderr: "iscsiadm: Could not login\niscsiadm: initiator reported error (8 - connection timed out)"}}},
	}, onevolume.Note{Host: "host01"}))
	ts.Check(c.Finish(ctx, op.Ref(), onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "step connect: host host01: login: exit status 8"}))
}
