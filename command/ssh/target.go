package ssh

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// target is one machine to log in to: the host, or a jump host on the way.
type target struct {
	alias          string // as it was asked for
	host, port     string
	user           string
	keyAlias       string // HostKeyAlias
	identities     []string
	explicit       bool // the identities were configured, and are no defaults
	identitiesOnly bool
	agent          string // socket; empty for none
	knownHosts     []string
	jumps          []string
	connectTimeout time.Duration
	keepAlive      time.Duration
	login          string // the local user's name
}

// addr is where to connect to.
func (t *target) addr() string { return net.JoinHostPort(t.host, t.port) }

// knownAs is the name under which known_hosts has the machine.
func (t *target) knownAs() string {
	if t.keyAlias != "" {
		return net.JoinHostPort(t.keyAlias, "22")
	}
	return t.addr()
}

// target finds out all about a machine. spec is a name, for a jump host
// possibly with a user before it and a port behind it.
func (d *Dialer) target(spec string, isJump bool) (*target, error) {
	t := &target{alias: spec, login: d.login}
	if isJump {
		if err := t.splitJump(spec); err != nil {
			return nil, err
		}
	} else {
		t.user = d.config.User
	}
	if t.alias == "" || strings.ContainsAny(t.alias, " \t\n/@") {
		return nil, fmt.Errorf("%q is no host name", spec)
	}
	files := []string{filepath.Join(d.config.Home, ".ssh", "config"), "/etc/ssh/ssh_config"}
	if d.config.ConfigFile != "" {
		files = []string{d.config.ConfigFile}
	}
	s, err := readSettings(t.alias, d.login, d.config.Home, files...)
	if err != nil {
		return nil, err
	}
	return t, d.fill(t, s)
}

// splitJump takes [user@]name[:port] or ssh://… apart.
func (t *target) splitJump(spec string) error {
	spec = strings.TrimPrefix(strings.TrimSpace(spec), "ssh://")
	if i := strings.LastIndexByte(spec, '@'); i >= 0 {
		t.user, spec = spec[:i], spec[i+1:]
	}
	t.alias = strings.Trim(spec, "[]")
	if strings.Count(spec, ":") == 1 || strings.Contains(spec, "]:") {
		host, port, err := net.SplitHostPort(spec)
		if err != nil {
			return err
		}
		t.alias, t.port = host, port
	}
	return nil
}

// fill sets what the configuration leaves to ssh_config and to defaults.
func (d *Dialer) fill(t *target, s *settings) error {
	c := d.config
	t.host = firstOf(strings.NewReplacer("%h", t.alias, "%n", t.alias, "%%", "%").Replace(s.first("hostname")), t.alias)
	t.port = firstOf(t.port, s.first("port"), "22")
	if n, err := strconv.ParseUint(t.port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q is no number from 1 to 65535", t.port)
	}
	t.user = firstOf(t.user, s.first("user"), d.login)
	t.keyAlias = s.first("hostkeyalias")
	t.identitiesOnly = s.yes("identitiesonly") || c.IdentityFiles != nil
	t.identities = t.expand(c.Home, c.IdentityFiles, s.values["identityfile"])
	t.explicit = len(t.identities) > 0
	if c.IdentityFiles == nil && s.values["identityfile"] == nil {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			t.identities = append(t.identities, filepath.Join(c.Home, ".ssh", name))
		}
	}
	t.agent = d.agentSocket(t, s)
	t.knownHosts = t.expand(c.Home, c.KnownHostsFiles, slices.Concat(
		orElse(s.values["userknownhostsfile"], "~/.ssh/known_hosts", "~/.ssh/known_hosts2"),
		orElse(s.values["globalknownhostsfile"], "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")))
	jump, proxy := s.first("proxyjump"), s.first("proxycommand")
	switch {
	case jump != "" && jump != "none":
		t.jumps = strings.Split(jump, ",")
		// "Host *" with a ProxyJump is meant for all but the jump host.
		if last := (&target{}); last.splitJump(t.jumps[len(t.jumps)-1]) == nil && last.alias == t.alias {
			t.jumps = nil
		}
	case jump == "" && proxy != "" && proxy != "none":
		return fmt.Errorf("ssh_config sets ProxyCommand for %s, which is not supported; use ProxyJump", t.alias)
	}
	t.connectTimeout = duration(c.ConnectTimeout, s.first("connecttimeout"), defaultConnectTimeout)
	t.keepAlive = duration(c.KeepAlive, s.first("serveraliveinterval"), defaultKeepAlive)
	return nil
}

// agentSocket is where the agent listens, or "".
func (d *Dialer) agentSocket(t *target, s *settings) string {
	socket := firstOf(d.config.AgentSocket, s.first("identityagent"), "SSH_AUTH_SOCK")
	switch {
	case socket == "none":
		return ""
	case socket == "SSH_AUTH_SOCK":
		return os.Getenv("SSH_AUTH_SOCK")
	case strings.HasPrefix(socket, "$"):
		return os.Getenv(strings.Trim(socket, "${}"))
	}
	return t.expand(d.config.Home, []string{socket}, nil)[0]
}

// expand gives the paths of instead, or of names where that is nil, with the
// home directory and the tokens of ssh_config(5) put in. "none" is left out.
func (t *target) expand(home string, instead, names []string) []string {
	if instead != nil {
		names = instead
	}
	tokens := strings.NewReplacer("%%", "%", "%d", home, "%h", t.host, "%n", t.alias,
		"%p", t.port, "%r", t.user, "%u", t.login, "%k", firstOf(t.keyAlias, t.host))
	var paths []string
	for _, name := range names {
		if name == "none" {
			continue
		}
		name = tokens.Replace(name)
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			name = filepath.Join(home, rest)
		}
		if strings.Contains(name, "${") {
			name = os.ExpandEnv(name)
		}
		paths = append(paths, name)
	}
	return paths
}

// firstOf gives the first that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func orElse(values []string, defaults ...string) []string {
	if len(values) > 0 {
		return values
	}
	return defaults
}

// duration gives the configured time, else ssh_config's seconds, else the
// default.
func duration(configured time.Duration, seconds string, otherwise time.Duration) time.Duration {
	if configured > 0 {
		return configured
	}
	if n, err := strconv.Atoi(seconds); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	return otherwise
}
