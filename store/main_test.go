package store_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"onevolume/store"
	"onevolume/store/storetest"
)

// server is the MariaDB of this test binary, started when the first test
// asks for it.
var server struct {
	once sync.Once
	*storetest.Server
	err error
}

func TestMain(m *testing.M) {
	flag.Parse()
	if path := os.Getenv(writesTo); path != "" {
		os.Exit(writeOnce(path))
	}
	if f := flag.Lookup("rapid.checks"); raceDetector && f.Value.String() == f.DefValue {
		_ = flag.Set("rapid.checks", "30") // of sequences that are long
	}
	code := m.Run()
	if server.Server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping MariaDB:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// mariadbOptions name a new database. Without a server the test is skipped,
// where CI runs it fails.
func mariadbOptions(t testing.TB) store.Options {
	t.Helper()
	server.once.Do(func() { server.Server, server.err = storetest.Start(t.Context()) })
	if errors.Is(server.err, storetest.ErrNoServer) && os.Getenv("CI") == "" {
		t.Skip("not tested on MariaDB: ", server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	dsn, _, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return store.Options{Driver: store.MySQL, DSN: dsn, Key: testKey}
}
