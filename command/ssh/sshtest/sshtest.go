// Package sshtest is an SSH server for tests: it listens on the loopback
// address and runs what it is told in a real shell of this machine.
package sshtest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Server is the server. Set its fields before Start.
type Server struct {
	HostKeys   []ssh.Signer    // one ed25519 key when nil
	Authorized []ssh.PublicKey // whose owners are let in, under any name
	MaxTries   int             // keys that may be refused; 6 when zero

	// Shell is what runs a command line, as the user's login shell would.
	// Nil means sh -c.
	Shell []string
	// Env is put before the environment of this process.
	Env []string

	Addr     string       // where it listens, set by Start
	Logins   atomic.Int64 // sessions logged in so far
	Sessions atomic.Int64 // shells started so far

	mu    sync.Mutex
	conns []net.Conn
	ln    net.Listener
}

// Start starts the server, which ends with the test.
func (s *Server) Start(t testing.TB) *Server {
	t.Helper()
	if s.HostKeys == nil {
		s.HostKeys = []ssh.Signer{NewKey(t)}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ln, s.Addr = ln, ln.Addr().String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			running.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		s.Cut()
		running.Wait()
	})
	return s
}

// Cut breaks all connections off.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// KnownHosts writes a file of known hosts with the server's keys, and gives
// its name.
func (s *Server) KnownHosts(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	for _, k := range s.HostKeys {
		b.WriteString(knownhosts.Line([]string{s.Addr}, k.PublicKey()) + "\n")
	}
	return WriteFile(t, "known_hosts", b.Bytes())
}

func (s *Server) config() *ssh.ServerConfig {
	c := &ssh.ServerConfig{
		MaxAuthTries: s.MaxTries,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, a := range s.Authorized {
				if bytes.Equal(a.Marshal(), key.Marshal()) {
					return nil, nil
				}
			}
			return nil, errors.New("no such key")
		},
	}
	for _, k := range s.HostKeys {
		c.AddHostKey(k)
	}
	return c
}

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	c, chans, reqs, err := ssh.NewServerConn(conn, s.config())
	if err != nil {
		return
	}
	defer c.Close()
	s.Logins.Add(1)
	go ssh.DiscardRequests(reqs)
	gone := make(chan struct{})
	defer close(gone)
	for ch := range chans {
		switch ch.ChannelType() {
		case "session":
			go s.session(ch, gone)
		case "direct-tcpip":
			go forward(ch)
		default:
			ch.Reject(ssh.UnknownChannelType, "")
		}
	}
}

// forward connects a channel with an address, as a jump host does.
func forward(ch ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(ch.ExtraData(), &to); err != nil {
		ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, reason(err))
		return
	}
	c, reqs, err := ch.Accept()
	if err != nil {
		conn.Close()
		return
	}
	go ssh.DiscardRequests(reqs)
	go func() {
		io.Copy(conn, c)
		conn.Close()
	}()
	io.Copy(c, conn)
	c.Close()
}

// reason is what sshd would say.
func reason(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "Connection refused"
	}
	return "open failed"
}

// session runs one command line. gone is closed when the connection ends.
func (s *Server) session(ch ssh.NewChannel, gone <-chan struct{}) {
	c, reqs, err := ch.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	for r := range reqs {
		if r.Type != "exec" {
			r.Reply(false, nil)
			continue
		}
		var line struct{ Line string }
		if err := ssh.Unmarshal(r.Payload, &line); err != nil {
			r.Reply(false, nil)
			return
		}
		r.Reply(true, nil)
		s.Sessions.Add(1)
		go ssh.DiscardRequests(reqs)
		s.run(c, line.Line, gone)
		return
	}
}

// run gives the shell pipes, as sshd does for a session without a terminal.
// When the connection breaks it closes them and leaves the shell alone, as
// sshd does, too.
func (s *Server) run(c ssh.Channel, line string, gone <-chan struct{}) {
	argv := append([]string{"sh", "-c"}, line)
	if s.Shell != nil {
		argv = append(append([]string(nil), s.Shell...), line)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), s.Env...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	errs, err3 := cmd.StderrPipe()
	if errors.Join(err1, err2, err3, cmd.Start()) != nil {
		return
	}
	go func() {
		io.Copy(in, c)
		in.Close()
	}()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ended:
		case <-gone:
			out.Close()
			errs.Close()
		}
	}()
	var copies sync.WaitGroup
	copies.Go(func() {
		io.Copy(c, out)
		out.Close() // the shell's next word is a broken pipe
	})
	copies.Go(func() {
		io.Copy(c.Stderr(), errs)
		errs.Close()
	})
	copies.Wait()
	go cmd.Wait() // a hung command is nobody's business any more
	c.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{0}))
}

// NewKey makes a key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, signer := newKey(t)
	return signer
}

func newKey(t testing.TB) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer
}

// KeyFile makes a key and a file of it, with a passphrase unless that is
// empty.
func KeyFile(t testing.TB, passphrase string) (name string, public ssh.PublicKey, private ed25519.PrivateKey) {
	t.Helper()
	private, signer := newKey(t)
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return WriteFile(t, "id_ed25519", pem.EncodeToMemory(block)), signer.PublicKey(), private
}

// WriteFile writes a file into a new directory of the test's own.
func WriteFile(t testing.TB, name string, body []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
