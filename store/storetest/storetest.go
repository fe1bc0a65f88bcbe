// Package storetest starts a MariaDB of a test's own: empty, in a directory
// that goes away with it, on a unix socket and a free port of the loopback
// address. It needs the binaries of Debian's mariadb-server and no service.
package storetest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
)

// ErrNoServer says that mariadbd is not installed.
var ErrNoServer = errors.New("mariadbd is not installed (Debian: mariadb-server)")

// Server is a running MariaDB. Everybody on this machine may use it as root
// without a password.
type Server struct {
	Socket string
	Port   int // on 127.0.0.1

	dir     string
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	made    atomic.Int64
}

const (
	startTime = 60 * time.Second
	stopTime  = 20 * time.Second
)

// Start runs a server until Stop. ctx bounds the start only.
func Start(ctx context.Context) (*Server, error) {
	binary, err := find("mariadbd", "mysqld")
	if err != nil {
		return nil, err
	}
	// A unix socket's path has room for 107 bytes, which TMPDIR may exceed.
	dir, err := os.MkdirTemp("/tmp", "onevolume-mariadb-")
	if err != nil {
		return nil, err
	}
	s := &Server{Socket: filepath.Join(dir, "sock"), dir: dir, ended: make(chan struct{})}
	if err := s.start(ctx, binary); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log.err"))
		return nil, errors.Join(fmt.Errorf("starting %s: %w\n%s", binary, err, log), s.Stop())
	}
	return s, nil
}

func find(names ...string) (string, error) {
	for _, name := range names {
		for _, dir := range []string{"", "/usr/sbin/", "/usr/libexec/", "/usr/local/sbin/"} {
			if path, err := exec.LookPath(dir + name); err == nil {
				return path, nil
			}
		}
	}
	return "", ErrNoServer
}

func (s *Server) start(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	data := filepath.Join(s.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	var err error
	if s.Port, err = freePort(); err != nil {
		return err
	}
	// Without grant tables the server starts on an empty directory, which
	// saves initialising one. Tests need no durability.
	args := []string{
		"--no-defaults", "--skip-grant-tables", "--datadir=" + data, "--socket=" + s.Socket,
		"--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.Port), "--skip-name-resolve", "--pid-file=" + filepath.Join(s.dir, "pid"),
		"--log-error=" + filepath.Join(s.dir, "log.err"), "--performance-schema=OFF", "--innodb-stats-persistent=OFF",
		"--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-buffer-pool-size=32M",
		"--innodb-log-file-size=16M", "--skip-innodb-doublewrite", "--skip-log-bin",
	}
	if os.Getuid() == 0 {
		args = append(args, "--user=root")
	}
	process := exec.Command(binary, args...)
	// The server goes when the test binary does, however that ends.
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if err := process.Start(); err != nil {
		return err
	}
	s.process = process
	go func() {
		defer close(s.ended)
		_ = process.Wait() // how it ended is in its log
	}()
	return s.await(ctx)
}

// await waits until the server answers.
func (s *Server) await(ctx context.Context) error {
	db, err := sql.Open("mysql", s.dsn(""))
	if err != nil {
		return err
	}
	defer db.Close()
	for {
		if db.PingContext(ctx) == nil {
			return nil
		}
		select {
		case <-s.ended:
			return errors.New("it ended by itself")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *Server) dsn(database string) string {
	return fmt.Sprintf("root@unix(%s)/%s", s.Socket, database)
}

// Database makes an empty database and gives the DSN to it.
func (s *Server) Database(ctx context.Context) (dsn, name string, err error) {
	db, err := sql.Open("mysql", s.dsn(""))
	if err != nil {
		return "", "", err
	}
	defer db.Close()
	name = fmt.Sprintf("onevolume_%d", s.made.Add(1))
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name)
	return s.dsn(name), name, err
}

// Stop ends the server and removes what it kept.
func (s *Server) Stop() error {
	var err error
	if s.process != nil {
		err = s.process.Process.Signal(syscall.SIGTERM)
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		select {
		case <-s.ended:
		case <-time.After(stopTime):
			err = errors.Join(fmt.Errorf("the server did not stop in %s", stopTime), s.process.Process.Kill())
			<-s.ended
		}
		s.process = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
