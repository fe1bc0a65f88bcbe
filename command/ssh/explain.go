package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"onevolume/command"
)

// byContext fills in an error whose reason is that a context ended. outer is
// the caller's, limit ours.
func (t *target) byContext(outer, limit context.Context, e *command.DialError, doing string) bool {
	switch {
	case errors.Is(outer.Err(), context.Canceled):
		e.Kind, e.Err = command.KindCancelled, fmt.Errorf("%s: %w", doing, context.Cause(outer))
	case outer.Err() != nil || limit.Err() != nil:
		e.Kind = command.KindTimeout
		e.Err = fmt.Errorf("%s: no answer in time (%w)", doing, context.DeadlineExceeded)
		e.Hint = "is the host up, and does a firewall drop packets to it? ConnectTimeout sets how long to wait"
	default:
		return false
	}
	return true
}

// explainWire says why there is no network connection.
func (t *target) explainWire(outer, limit context.Context, e *command.DialError, err error) error {
	if t.byContext(outer, limit, e, "connecting") {
		return e
	}
	e.Err = err
	var dns *net.DNSError
	var refusedByJump *ssh.OpenChannelError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		e.Kind = command.KindUnresolved
		e.Err = fmt.Errorf("the name %s has no address: %w", t.host, err)
		e.Hint = "make it known to DNS or /etc/hosts, or set HostName for it in ssh_config"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Kind = command.KindRefused
		e.Hint = "the machine is there, but no sshd listens on this port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		e.Kind = command.KindNoRoute
		e.Hint = "the machine is down, or the network does not lead there"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, syscall.ETIMEDOUT):
		e.Kind = command.KindTimeout
		e.Hint = "is the host up, and does a firewall drop packets to it?"
	case errors.As(err, &refusedByJump):
		t.explainJump(e, refusedByJump)
	default:
		e.Kind = command.KindProtocol
	}
	return e
}

// explainJump says why the jump host did not connect us. OpenSSH's sshd gives
// strerror(3)'s words.
func (t *target) explainJump(e *command.DialError, err *ssh.OpenChannelError) {
	via := t.jumps[len(t.jumps)-1]
	e.Err = fmt.Errorf("the jump host %s cannot connect to it: %w", via, err)
	e.Kind = command.KindProtocol
	text := strings.ToLower(err.Message)
	switch {
	case err.Reason == ssh.Prohibited:
		e.Hint = fmt.Sprintf("sshd on %s must allow TCP forwarding (AllowTcpForwarding)", via)
	case strings.Contains(text, "refused"):
		e.Kind = command.KindRefused
	case strings.Contains(text, "no route"), strings.Contains(text, "unreachable"):
		e.Kind = command.KindNoRoute
	case strings.Contains(text, "timed out"):
		e.Kind = command.KindTimeout
	case strings.Contains(text, "not known"), strings.Contains(text, "resol"), strings.Contains(text, "no such host"):
		e.Kind = command.KindUnresolved
	}
}

// explainLogIn says why the handshake failed. keyErr is what we have against
// the host's key.
func (t *target) explainLogIn(outer, limit context.Context, e, keyErr *command.DialError, keys *keyring, err error) error {
	if keyErr != nil {
		e.Kind, e.Err, e.Hint = keyErr.Kind, keyErr.Err, keyErr.Hint
		return e
	}
	if t.byContext(outer, limit, e, "logging in as "+t.user) {
		return e
	}
	text := err.Error()
	switch {
	case strings.Contains(strings.ToLower(text), "too many authentication failures"):
		e.Kind = command.KindTooManyKeys
		e.Err = fmt.Errorf("the host gave up after too many keys for %s were refused (offered: %s): %w", t.user, list(keys.offered), err)
		e.Hint = "name the right key by IdentityFile and set IdentitiesOnly for this host in ssh_config, or take keys out of the agent"
	case strings.Contains(text, "unable to authenticate"):
		t.explainKeys(e, keys)
	default:
		e.Kind = command.KindProtocol
		e.Err = fmt.Errorf("the SSH handshake failed: %w", err)
		e.Hint = "is it an SSH server, and does it limit or ban connections (MaxStartups, fail2ban)?"
	}
	return e
}

// explainKeys says that no key did it.
func (t *target) explainKeys(e *command.DialError, keys *keyring) {
	skipped := ""
	if len(keys.skipped) > 0 {
		skipped = "; not usable: " + list(keys.skipped)
	}
	if len(keys.offered) == 0 {
		e.Kind = command.KindNoKey
		e.Err = fmt.Errorf("there is no key to log in with as %s%s", t.user, skipped)
		e.Hint = "make a key by ssh-keygen and put the public half into ~" + t.user + "/.ssh/authorized_keys on the host"
	} else {
		e.Kind = command.KindKeyRefused
		e.Err = fmt.Errorf("the host lets none of our keys in as %s (offered: %s%s)", t.user, list(keys.offered), skipped)
		e.Hint = "put one of the public keys into ~" + t.user + "/.ssh/authorized_keys on the host"
	}
	if len(keys.locked) > 0 {
		e.Hint = "nobody is asked for a passphrase: give the key to an agent by ssh-add " + command.Join(keys.locked)
	}
}

// explainShell says why there is a login but no shell.
func (t *target) explainShell(outer, limit context.Context, e *command.DialError) error {
	if t.byContext(outer, limit, e, "starting /bin/sh as "+t.user) {
		e.Hint = "does the login shell of " + t.user + " wait for something in its start-up files?"
		return e
	}
	e.Err = fmt.Errorf("logged in as %s, but there is no usable shell: %w", t.user, e.Err)
	e.Hint = "the user needs a login shell that runs /bin/sh, and no ForceCommand or command= in authorized_keys"
	return e
}

// list joins the first few.
func list(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	const most = 8
	if len(items) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:most], ", "), len(items)-most)
	}
	return strings.Join(items, ", ")
}
