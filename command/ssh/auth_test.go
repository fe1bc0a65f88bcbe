package ssh

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"onevolume/command"
	"onevolume/command/ssh/sshtest"
)

func ecdsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func hosts(t *testing.T, lines ...string) []string {
	t.Helper()
	return []string{sshtest.WriteFile(t, "known_hosts", []byte(strings.Join(lines, "\n")+"\n"))}
}

func TestHostKeys(t *testing.T) {
	ed, ec, other := sshtest.NewKey(t), ecdsaKey(t), sshtest.NewKey(t)
	s, c := serve(t, &sshtest.Server{HostKeys: []ssh.Signer{ec, ed}})
	line := func(k ssh.Signer) string { return knownhosts.Line([]string{s.Addr}, k.PublicKey()) }
	known := func(lines ...string) Config {
		c := c
		c.KnownHostsFiles = hosts(t, lines...)
		return c
	}
	// Whatever kind is known, the server must be asked for that one.
	for _, k := range []ssh.Signer{ed, ec} {
		dial(t, known(line(k)))
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	dial(t, known("# comment", "", "x ssh-strange AAAA", "garbage", knownhosts.HashHostname("[127.0.0.1]:"+port)+strings.TrimPrefix(line(ed), "[127.0.0.1]:"+port)))

	dialError(t, known(line(other)), command.KindHostKeyChanged, s.Addr,
		ssh.FingerprintSHA256(ed.PublicKey()), ssh.FingerprintSHA256(other.PublicKey()), "ssh-keygen -R '[127.0.0.1]:"+port+"'")
	dialError(t, known(), command.KindHostKeyUnknown, s.Addr, "SHA256:", "ssh-keyscan -p "+port)
	dialError(t, known("@revoked * "+strings.SplitN(line(ed), " ", 2)[1], line(ed)), command.KindHostKeyChanged, "revoked")
	none := c
	none.KnownHostsFiles = []string{"/dev/null"}
	dialError(t, none, command.KindHostKeyUnknown, "UserKnownHostsFile")
	none.KnownHostsFiles = []string{filepath.Join(t.TempDir(), "missing")}
	dialError(t, none, command.KindHostKeyUnknown, "missing")

	// The server has no key of the kind that is known.
	s2, c2 := serve(t, &sshtest.Server{HostKeys: []ssh.Signer{ec}})
	c2.KnownHostsFiles = hosts(t, knownhosts.Line([]string{s2.Addr}, ed.PublicKey()))
	dialError(t, c2, command.KindHostKeyUnknown, "only ssh-ed25519", ssh.FingerprintSHA256(ec.PublicKey()))
	c2.KnownHostsFiles = hosts(t, knownhosts.Line([]string{"alias"}, ec.PublicKey()))
	c2.ConfigFile = sshConfig(t, s2, " HostKeyAlias alias\n")
	dial(t, c2)
}

func TestHostCertificate(t *testing.T) {
	authority, key := sshtest.NewKey(t), sshtest.NewKey(t)
	cert := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	s, c := serve(t, &sshtest.Server{HostKeys: []ssh.Signer{signer}})
	c.KnownHostsFiles = hosts(t, "@cert-authority "+knownhosts.Line([]string{s.Addr}, authority.PublicKey()))
	dial(t, c)
	c.KnownHostsFiles = hosts(t, "@cert-authority "+knownhosts.Line([]string{s.Addr}, key.PublicKey()))
	dialError(t, c, command.KindHostKeyUnknown, "authorit")
}

func TestRefusedKeys(t *testing.T) {
	s, c := serve(t, &sshtest.Server{MaxTries: 3})
	right := c.IdentityFiles
	wrong, public, _ := sshtest.KeyFile(t, "")
	c.IdentityFiles = []string{wrong}
	dialError(t, c, command.KindKeyRefused, s.Addr, wrong, ssh.FingerprintSHA256(public), "authorized_keys")

	locked, _, _ := sshtest.KeyFile(t, "passphrase")
	c.IdentityFiles = []string{locked}
	dialError(t, c, command.KindNoKey, locked, "ssh-add "+locked)
	c.IdentityFiles = []string{wrong, locked}
	dialError(t, c, command.KindKeyRefused, wrong, locked, "ssh-add "+locked)
	c.IdentityFiles = []string{"/no/such/key"}
	dialError(t, c, command.KindNoKey, "/no/such/key", "ssh-keygen")
	c.IdentityFiles = []string{c.ConfigFile}
	dialError(t, c, command.KindNoKey, c.ConfigFile)
	c.IdentityFiles = nil
	dialError(t, c, command.KindNoKey, "no key to log in")

	c.IdentityFiles = nil
	for range 4 {
		file, _, _ := sshtest.KeyFile(t, "")
		c.IdentityFiles = append(c.IdentityFiles, file)
	}
	c.IdentityFiles = append(c.IdentityFiles, right...)
	dialError(t, c, command.KindTooManyKeys, "IdentitiesOnly", c.IdentityFiles[0])
}

// startAgent starts an agent that holds the keys, and gives its socket.
func startAgent(t *testing.T, keys ...any) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "agent") //nolint:usetesting // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, conn)
		}
	}()
	return socket
}

func TestAgent(t *testing.T) {
	locked, public, private := sshtest.KeyFile(t, "passphrase")
	var others []any
	for range 8 {
		_, _, k := sshtest.KeyFile(t, "")
		others = append(others, &k)
	}
	s, c := serve(t, &sshtest.Server{Authorized: []ssh.PublicKey{public}})
	c.IdentityFiles = nil
	c.AgentSocket = startAgent(t, &private)
	dial(t, c)

	// Among many keys, the configured one comes first.
	c.AgentSocket = startAgent(t, append(others, &private)...)
	dialError(t, c, command.KindTooManyKeys, "agent SHA256:")
	c.ConfigFile = sshConfig(t, s, " IdentityFile "+locked+"\n")
	dial(t, c)
	c.ConfigFile = sshConfig(t, s, " IdentitiesOnly yes\n IdentityFile "+locked+"\n")
	dial(t, c)

	// SSH_AUTH_SOCK, and ssh_config's way around it.
	t.Setenv("SSH_AUTH_SOCK", c.AgentSocket)
	c.AgentSocket = ""
	dial(t, c)
	c.ConfigFile = sshConfig(t, s, " IdentityAgent none\n")
	dialError(t, c, command.KindNoKey)
	c.AgentSocket = "/no/such/agent"
	dialError(t, c, command.KindNoKey, "agent (")
}

func TestDefaultKey(t *testing.T) {
	_, c := serve(t, &sshtest.Server{})
	body, err := os.ReadFile(c.IdentityFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	c.IdentityFiles = nil
	if err := os.Mkdir(filepath.Join(c.Home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Home, ".ssh", "id_ecdsa"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	dial(t, c)
}

func TestProxyJump(t *testing.T) {
	s, c := serve(t, &sshtest.Server{})
	file, public, _ := sshtest.KeyFile(t, "")
	a := (&sshtest.Server{Authorized: []ssh.PublicKey{public}}).Start(t)
	b := (&sshtest.Server{Authorized: []ssh.PublicKey{public}}).Start(t)
	key := c.IdentityFiles[0]
	c.IdentityFiles = nil
	c.KnownHostsFiles = append(c.KnownHostsFiles, a.KnownHosts(t), b.KnownHosts(t))
	config := func(jump string) Config {
		c := c
		_, portA, _ := net.SplitHostPort(a.Addr)
		c.ConfigFile = sshConfig(t, s, " IdentityFile "+key+"\n ProxyJump "+jump+
			"\nHost a\n HostName 127.0.0.1\n Port "+portA+"\nHost a 127.0.0.1\n IdentityFile "+file+"\nHost *\n ProxyJump none\n")
		return c
	}
	h := dial(t, config("a"))
	run(t, h, command.Cmd{Argv: []string{"true"}})
	h.Close()
	if a.Logins.Load() != 1 || s.Logins.Load() != 1 {
		t.Error(a.Logins.Load(), s.Logins.Load())
	}
	h = dial(t, config("a,ssh://me@"+b.Addr))
	run(t, h, command.Cmd{Argv: []string{"true"}})
	if a.Logins.Load() != 2 || b.Logins.Load() != 1 {
		t.Error(a.Logins.Load(), b.Logins.Load())
	}
	h.Close()

	// What goes wrong at the jump host says so.
	bad := config("a")
	bad.KnownHostsFiles = c.KnownHostsFiles[:1]
	dialError(t, bad, command.KindHostKeyUnknown, "jump host a", a.Addr)
	bad = config("a")
	body, _ := os.ReadFile(bad.ConfigFile)
	_, port, _ := net.SplitHostPort(s.Addr)
	bad.ConfigFile = sshtest.WriteFile(t, "config", []byte(strings.Replace(string(body), "Port "+port, "Port 1", 1)))
	dialError(t, bad, command.KindRefused, "the jump host a cannot connect", "127.0.0.1:1")
	bad.ConfigFile = sshtest.WriteFile(t, "config", []byte("Host x\n ProxyJump y\nHost y\n ProxyJump x\nHost *\nProxyJump x\n"))
	bad.ConnectTimeout = time.Second
	dialError(t, bad, command.KindConfig, "jump hosts")
}
