package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/rogpeppe/go-internal/testscript"

	"onevolume"
	"onevolume/store"
	"onevolume/store/storetest"
)

// The scripts type onevolumed as administrators do, on SQLite and on MariaDB.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	testscript.Main(m, map[string]func(){"onevolumed": main})
}

func TestScripts(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		run(t, func(env *testscript.Env, name string) (store.Options, string, error) {
			path := filepath.Join(env.WorkDir, name+".db")
			return store.Options{Driver: store.SQLite, Path: path}, "sqlite:" + path, nil
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
		run(t, func(*testscript.Env, string) (store.Options, string, error) {
			dsn, _, err := server.Database(context.Background())
			if err != nil {
				return store.Options{}, "", err
			}
			c, err := mysql.ParseDSN(dsn)
			if err != nil {
				return store.Options{}, "", err
			}
			u := url.URL{Scheme: "mysql", User: url.UserPassword(c.User, "secretpw"), Host: "localhost", Path: "/" + c.DBName,
				RawQuery: url.Values{"socket": {c.Addr}}.Encode()}
			return store.Options{Driver: store.MySQL, DSN: dsn}, u.String(), nil
		})
	})
}

// run gives each script an inventory that has lived (full.conf), one in which
// nothing runs (calm.conf), an empty one (empty.conf) and one whose key is
// another (other.conf).
func run(t *testing.T, database func(env *testscript.Env, name string) (store.Options, string, error)) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"full", "calm", "empty", "other"} {
				o, source, err := database(env, name)
				if err != nil {
					return err
				}
				key := filepath.Join(env.WorkDir, "key")
				if name == "other" {
					key += ".other"
				}
				conf := fmt.Sprintf("database: %q\nkey_file: %q\nlisten: 127.0.0.1:0\n", source, key)
				if err := os.WriteFile(filepath.Join(env.WorkDir, name+".conf"), []byte(conf), 0o600); err != nil {
					return err
				}
				if o.Key, err = store.LoadKey(key, true); err != nil {
					return err
				}
				if name == "empty" {
					continue
				}
				if err := live(o, name != "calm"); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"same": same,
		},
	})
}

// live fills an inventory with volumes, and may leave an operation running
// whose owner died.
func live(o store.Options, running bool) error {
	ctx := context.Background()
	o.Clock = func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
	s, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range 3 {
		_, err := s.Allocate(ctx, onevolume.Volume{
			Name: fmt.Sprintf("disk%d.x", i), Size: onevolume.GiB, Permissions: 0o600,
			Target: onevolume.Target{IQN: "iqn.2026-11.org.example:store", LUN: onevolume.LUN(i),
				Portals: []onevolume.Portal{{AddrPort: netip.MustParseAddrPort("10.0.0.1:3260")}}, CHAP: onevolume.CHAP{User: "u", Secret: "hidden-secret"}},
		})
		if err != nil {
			return err
		}
	}
	operations := 1
	if running {
		operations++
	}
	for i := range operations {
		op, _, err := s.Reserve(ctx, onevolume.Caller{}, onevolume.Request{Kind: onevolume.Attach, Owner: fmt.Sprint("dead ", i), Lease: time.Second,
			VM: onevolume.VM{ID: onevolume.VMID(17 + i), Host: "host01"}, Pick: onevolume.Pick{Size: onevolume.GiB}})
		if err != nil {
			return err
		}
		if i > 0 {
			break // it goes on running
		}
		if err := s.Finish(ctx, op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}); err != nil {
			return err
		}
	}
	return nil
}

// same compares a file with what it was when it was named first.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: same file")
	}
	first := ts.MkAbs("." + strings.ReplaceAll(args[0], "/", "_") + ".first")
	now := ts.ReadFile(args[0])
	if _, err := os.Stat(first); err != nil {
		ts.Check(os.WriteFile(first, []byte(now), 0o600))
		return
	}
	if ts.ReadFile(first) != now {
		ts.Fatalf("%s was changed", args[0])
	}
}
