// Package ssh runs commands on hosts over SSH: one connection and one remote
// shell for each Host, in which all its commands run one after the other. It
// reads the user's own ssh_config(5), agent, keys and known_hosts, asks no
// questions, and believes no host key that it does not know.
package ssh

import (
	"context"
	"net"
	"os"
	"os/user"
	"time"

	"onevolume/command"
)

// Config says how hosts are reached. Its zero value does as ssh(1) would for
// the current user, as far as it can without asking.
type Config struct {
	// User to log in as. Empty means what ssh_config says, else the current
	// user's name.
	User string

	// ConfigFile is read in place of ~/.ssh/config and /etc/ssh/ssh_config.
	// Understood are Host, Match (without exec), Include, HostName,
	// HostKeyAlias, User, Port, IdentityFile, IdentitiesOnly,
	// IdentityAgent, ProxyJump, UserKnownHostsFile, GlobalKnownHostsFile,
	// ConnectTimeout and ServerAliveInterval. Host keys are always checked
	// strictly. ProxyCommand is refused.
	ConfigFile string

	// KnownHostsFiles and IdentityFiles replace what ssh_config says.
	// IdentityFiles also keeps other keys of the agent from being offered.
	KnownHostsFiles []string
	IdentityFiles   []string

	// AgentSocket replaces SSH_AUTH_SOCK; "none" means no agent.
	AgentSocket string

	// ConnectTimeout bounds each of connecting, logging in and starting
	// the shell. Zero means what ssh_config says, else 10 s.
	ConnectTimeout time.Duration

	// KeepAlive is the interval at which the server is asked for a sign of
	// life; after three without one the connection is given up. Zero means
	// ssh_config's ServerAliveInterval, else 10 s.
	KeepAlive time.Duration

	// LockDirs are directories for locks; the first that a host has is
	// used. All that share a host must agree on them. Nil means
	// /run/onevolume, which only root can make, then /run/lock, which
	// everybody may write to on Debian and only root on Red Hat's systems,
	// and /var/lock where there is no /run yet.
	LockDirs []string

	// Dial opens network connections; nil means net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Home replaces the current user's home directory.
	Home string
}

const (
	defaultConnectTimeout = 10 * time.Second
	defaultKeepAlive      = 10 * time.Second
	keepAliveMisses       = 3
)

// Dialer connects to hosts. It may be used from several goroutines. It reads
// configuration, keys and known hosts anew for each connection, so that a
// daemon sees what was added since.
type Dialer struct {
	config Config
	login  string // the current user's name
}

var _ command.Dialer = (*Dialer)(nil)

// NewDialer gives a Dialer. It opens nothing yet.
func NewDialer(c Config) *Dialer {
	d := &Dialer{config: c, login: os.Getenv("USER")}
	if u, err := user.Current(); err == nil {
		d.login = u.Username
		if d.config.Home == "" {
			d.config.Home = u.HomeDir
		}
	}
	if d.config.Home == "" {
		d.config.Home = os.Getenv("HOME")
	}
	if d.config.Dial == nil {
		d.config.Dial = new(net.Dialer).DialContext
	}
	if d.config.LockDirs == nil {
		d.config.LockDirs = []string{"/run/onevolume", "/run/lock", "/var/lock"}
	}
	return d
}

// Dial connects to the host and starts the shell there. The error is a
// *command.DialError.
func (d *Dialer) Dial(ctx context.Context, host string) (command.Host, error) {
	c, err := d.connect(ctx, host)
	if err != nil {
		return nil, err
	}
	shellCtx, cancel := context.WithTimeout(ctx, c.to.connectTimeout)
	defer cancel()
	h, err := open(shellCtx, host, c)
	if err != nil {
		c.Close()
		e := &command.DialError{Host: host, Addr: c.to.addr(), Kind: command.KindShell, Err: err}
		return nil, c.to.explainShell(ctx, shellCtx, e)
	}
	go h.keepAlive(c.to.keepAlive, keepAliveMisses)
	return h, nil
}
