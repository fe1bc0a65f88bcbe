package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"

	"onevolume/command"
)

// maxJumps bounds the jump hosts on the way to a host, so that two that name
// each other come to an end.
const maxJumps = 8

// client is a connection that is logged in, with those that it goes through.
type client struct {
	*ssh.Client
	to       *target
	below    *client // the jump host's; nil when there is none
	lockDirs []string
}

// Close closes the connection and those below it.
func (c *client) Close() error {
	err := c.Client.Close()
	if c.below != nil {
		err = errors.Join(err, c.below.Close())
	}
	return err
}

// connect logs in to a host. The error is a *command.DialError.
func (d *Dialer) connect(ctx context.Context, host string) (*client, error) {
	t, err := d.target(host, false)
	if err != nil {
		return nil, &command.DialError{Host: host, Kind: command.KindConfig, Err: err}
	}
	return d.reach(ctx, host, t, 0)
}

// reach logs in to a machine, by way of its jump hosts. host is the name of
// the host it is all for.
func (d *Dialer) reach(ctx context.Context, host string, t *target, depth int) (*client, error) {
	fail := &command.DialError{Host: host, Addr: t.addr()}
	if depth > 0 {
		fail.Via = t.alias
	}
	below, err := d.jump(ctx, host, t, depth)
	if err != nil {
		return nil, err
	}
	conn, err := d.wire(ctx, t, below, fail)
	if err == nil {
		var c *ssh.Client
		if c, err = d.logIn(ctx, t, conn, fail); err == nil {
			return &client{Client: c, to: t, below: below, lockDirs: d.config.LockDirs}, nil
		}
		conn.Close()
	}
	if below != nil {
		below.Close()
	}
	return nil, err
}

// jump logs in to the last jump host before t, if there is one.
func (d *Dialer) jump(ctx context.Context, host string, t *target, depth int) (*client, error) {
	if len(t.jumps) == 0 {
		return nil, nil
	}
	last := len(t.jumps) - 1
	via, err := d.target(t.jumps[last], true)
	if err == nil && depth >= maxJumps {
		err = fmt.Errorf("more than %d jump hosts: do they name each other?", maxJumps)
	}
	if err != nil {
		return nil, &command.DialError{Host: host, Via: t.jumps[last], Kind: command.KindConfig, Err: err}
	}
	if last > 0 {
		via.jumps = t.jumps[:last]
	}
	return d.reach(ctx, host, via, depth+1)
}

// wire opens the network connection, from here or from the jump host.
func (d *Dialer) wire(ctx context.Context, t *target, below *client, fail *command.DialError) (net.Conn, error) {
	dial := d.config.Dial
	if below != nil {
		dial = below.DialContext
	}
	limit, cancel := context.WithTimeout(ctx, t.connectTimeout)
	defer cancel()
	conn, err := dial(limit, "tcp", t.addr())
	if err != nil {
		return nil, t.explainWire(ctx, limit, fail, err)
	}
	return conn, nil
}

// logIn does the SSH handshake on a connection.
func (d *Dialer) logIn(ctx context.Context, t *target, conn net.Conn, fail *command.DialError) (*ssh.Client, error) {
	known, err := readKnownHosts(t.knownHosts)
	if err != nil {
		fail.Kind, fail.Err = command.KindConfig, err
		return nil, fail
	}
	keys := t.keys()
	defer keys.close()
	limit, cancel := context.WithTimeout(ctx, t.connectTimeout)
	defer cancel()
	stop := context.AfterFunc(limit, func() { conn.Close() })
	var keyErr *command.DialError // what the callback said
	c, chans, reqs, err := ssh.NewClientConn(conn, t.addr(), &ssh.ClientConfig{
		User:              t.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeysCallback(keys.all)},
		HostKeyAlgorithms: known.algorithms(t.knownAs()),
		HostKeyCallback: func(_ string, remote net.Addr, key ssh.PublicKey) error {
			if keyErr = known.check(t, remote, key); keyErr != nil {
				return keyErr
			}
			return nil
		},
	})
	if !stop() && err == nil {
		// The time was over in the very moment of success.
		c.Close()
		err = limit.Err()
	}
	if err != nil {
		return nil, t.explainLogIn(ctx, limit, fail, keyErr, keys, err)
	}
	return ssh.NewClient(c, chans, reqs), nil
}
