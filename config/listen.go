package config

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Listen are the addresses of the server. In the file it is one, or a list.
type Listen []Listener

// Listener is one address: host:port, or unix:PATH. In the file it may be
// the address alone.
type Listener struct {
	Address string `yaml:"address"`
	// Certificate and Key are files in PEM, for TLS. They are read again
	// when they change.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	// Mode is a unix socket's, in octal; 0660 when it is left out.
	Mode string `yaml:"mode"`
}

// At listens on addresses, without TLS.
func At(addresses ...string) Listen {
	var l Listen
	for _, a := range addresses {
		l = append(l, Listener{Address: a})
	}
	return l
}

// UnmarshalYAML takes one listener, or a list.
func (l *Listen) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		*l = make(Listen, 1)
		return (*l)[0].UnmarshalYAML(n)
	}
	*l = make(Listen, len(n.Content))
	for i, item := range n.Content {
		if err := (*l)[i].UnmarshalYAML(item); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalYAML takes an address, or a mapping.
func (l *Listener) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return n.Decode(&l.Address)
	}
	// A node does not know that unknown keys are errors.
	fields := map[string]*string{"address": &l.Address, "certificate": &l.Certificate, "key": &l.Key, "mode": &l.Mode}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		field, ok := fields[key.Value]
		if !ok {
			return fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
		}
		if value.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: %s is no text", value.Line, key.Value)
		}
		*field = value.Value
	}
	return nil
}

// Socket is the path of a unix socket; "" when it is none.
func (l Listener) Socket() string {
	path, ok := strings.CutPrefix(l.Address, "unix:")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(path, "//")
}

// FileMode is Mode as a number; 0 when it is left out.
func (l Listener) FileMode() fs.FileMode {
	n, _ := strconv.ParseUint(l.Mode, 8, 9) // checked when it was read
	return fs.FileMode(n)
}

func (l Listener) check() error {
	unix := strings.HasPrefix(l.Address, "unix:")
	if _, _, err := net.SplitHostPort(l.Address); !unix && err != nil {
		return fmt.Errorf("listen: %q is neither host:port nor unix:PATH", l.Address)
	}
	if unix && !filepath.IsAbs(l.Socket()) {
		return fmt.Errorf("listen: %q has no absolute path", l.Address)
	}
	if (l.Certificate == "") != (l.Key == "") {
		return fmt.Errorf("listen: %s: certificate and key go together", l.Address)
	}
	if l.Mode != "" {
		if _, err := strconv.ParseUint(l.Mode, 8, 9); err != nil || !unix {
			return fmt.Errorf("listen: %s: mode %q is no octal mode of a unix socket", l.Address, l.Mode)
		}
	}
	return nil
}

// Limits keep clients from harming each other, and oned.
type Limits struct {
	// Connections is how many there may be in all, PerAddress from one.
	Connections int `yaml:"connections"`
	PerAddress  int `yaml:"connections_per_address"`
	// FailedLogins is how many of one user from one address may fail within
	// Window before more are refused unseen, and ten times as many from one
	// address in all; 0 for any number.
	FailedLogins int           `yaml:"failed_logins"`
	Window       time.Duration `yaml:"failed_logins_window"`
	// Trusted networks are bound by neither PerAddress nor FailedLogins:
	// many users may share an address there.
	Trusted []string `yaml:"trusted"`
	// OnedConnections is how many calls are passed on to oned at once, and
	// OnedRequest how many MiB one may have.
	OnedConnections int `yaml:"oned_connections"`
	OnedRequest     int `yaml:"oned_request_mib"`
}

func (l Limits) check() error {
	for key, n := range map[string]struct{ is, least, most int }{
		"connections": {l.Connections, 1, 1 << 20}, "connections_per_address": {l.PerAddress, 1, 1 << 20},
		"failed_logins": {l.FailedLogins, 0, 10_000}, "oned_connections": {l.OnedConnections, 1, 1000}, "oned_request_mib": {l.OnedRequest, 1, 1024},
	} {
		if n.is < n.least || n.is > n.most {
			return fmt.Errorf("limits.%s: %d is not from %d to %d", key, n.is, n.least, n.most)
		}
	}
	if l.Window < time.Second || l.Window > time.Hour {
		return fmt.Errorf("limits.failed_logins_window: %s is not from 1s to 1h", l.Window)
	}
	for _, text := range l.Trusted {
		if _, err := netip.ParsePrefix(text); err == nil {
			continue
		}
		if _, err := netip.ParseAddr(text); err != nil {
			return fmt.Errorf("limits.trusted: %q is neither a network such as 10.0.0.0/24 nor an address", text)
		}
	}
	return nil
}
