// Package listen opens the addresses that a server listens on, TCP and unix
// sockets, with TLS or without, and keeps those who connect from harming each
// other: it bounds connections and failed logins by address.
package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Address is one place to listen on.
type Address struct {
	Network string // tcp or unix
	Address string // host:port, or a path
	// Certificate and Key are files in PEM, for TLS; both or none.
	Certificate, Key string
	// Mode is a unix socket's; 0660 when zero.
	Mode fs.FileMode
}

// String is the address as one configures it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// Open listens. Connections pass the gate before TLS begins; tell hears of a
// certificate that was replaced, or could not be.
func Open(ctx context.Context, a Address, gate *Gate, tell func(text string)) (net.Listener, error) {
	var certificate *Certificate
	if a.Certificate != "" {
		var err error
		if certificate, err = LoadCertificate(a.Certificate, a.Key, tell); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	if a.Network == "unix" {
		if err := clear(ctx, a.Address); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, a.Network, a.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	if a.Network == "unix" {
		mode := a.Mode
		if mode == 0 {
			mode = 0o660
		}
		if err := os.Chmod(a.Address, mode); err != nil {
			return nil, errors.Join(fmt.Errorf("listen on %s: %w", a, err), l.Close())
		}
	}
	l = gate.wrap(l)
	if certificate == nil {
		return l, nil
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.Get, NextProtos: []string{"http/1.1"}}), nil
}

// clear removes the socket that a server left which was killed, and nothing
// else.
func clear(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("there is a file that is no socket; name another path")
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(errors.New("address already in use"), c.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return err
}
