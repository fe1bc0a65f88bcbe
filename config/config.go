// Package config reads the configuration file of onevolumed, of which
// onevolume reads the part about hosts too. Every key has a default that
// suits a front-end of OpenNebula; an unknown key is an error.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Path is where the file is looked for.
const Path = "/etc/one/onevolumed.conf"

// Config is the whole file. Durations are written as 30s, 2m, 500ms.
type Config struct {
	// Listen is where the XML-RPC server listens.
	Listen Listen `yaml:"listen"`
	// OneXMLRPC is oned's endpoint. Empty: as OpenNebula's tools find it.
	OneXMLRPC string `yaml:"one_xmlrpc"`
	// Events is where oned publishes its events, as tcp://host:port. Empty:
	// they are not listened to.
	Events string `yaml:"events"`
	// PassThrough passes calls of methods that are not ours on to oned, so
	// that one endpoint serves all.
	PassThrough bool    `yaml:"pass_through"`
	Limits      Limits  `yaml:"limits"`
	Publish     Publish `yaml:"publish"`
	// Database is sqlite:PATH, or mysql://user:password@host:port/database
	// (with ?socket=PATH for a local socket).
	Database string `yaml:"database"`
	// KeyFile holds the key that seals CHAP secrets in the database. It is
	// made at the first start.
	KeyFile string `yaml:"key_file"`
	Log     Log    `yaml:"log"`
	// AuthCache is how long oned's word on a session is believed.
	AuthCache time.Duration `yaml:"auth_cache"`
	// DefaultUmask is DEFAULT_UMASK of oned.conf: the permissions, in octal
	// digits, that new volumes of users without a UMASK do not get.
	DefaultUmask string `yaml:"default_umask"`
	// EnableOtherPermissions is ENABLE_OTHER_PERMISSIONS of oned.conf: false
	// leaves it to administrators to open a volume to everybody.
	EnableOtherPermissions bool `yaml:"enable_other_permissions"`
	// Shutdown is how long running operations may take to end at SIGTERM;
	// what has not ended then goes on at the next start.
	Shutdown   time.Duration `yaml:"shutdown"`
	Operations Operations    `yaml:"operations"`
	Hosts      Hosts         `yaml:"hosts"`
	// Arrays are the storage machines that the daemon reads.
	Arrays []Array `yaml:"arrays"`
	// Types are kinds of volumes that are made there.
	Types []Type `yaml:"types"`
}

// Log says where the log goes and how much of it there is.
type Log struct {
	// File is a path, or stderr.
	File string `yaml:"file"`
	// Level is debug, info, warn or error.
	Level string `yaml:"level"`
	// Format is text or json.
	Format string `yaml:"format"`
	// Requests is a file for the calls alone, in the form of oned's log; empty
	// for none.
	Requests string `yaml:"requests"`
}

// Operations bounds how long operations wait for others.
type Operations struct {
	// Lease is how long an operation lives without a word from its owner
	// before the daemon takes it over.
	Lease time.Duration `yaml:"lease"`
	// Sweep is how often the daemon looks for operations without an owner.
	Sweep time.Duration `yaml:"sweep"`
	// Checkup is how often the daemon compares the inventory with its hosts;
	// 0 for never.
	Checkup time.Duration `yaml:"checkup"`
	// Labels is how often the daemon compares what VMs show of their volumes
	// with the inventory; changes show at once. 0 for no such writing.
	Labels time.Duration `yaml:"labels"`
	// Follow is how often the daemon asks oned what happened to VMs with
	// volumes; events are followed at once. 0 for not at all.
	Follow time.Duration `yaml:"follow"`
	// GiveUp is how long the daemon tries to end such an operation before it
	// parks it for an administrator.
	GiveUp time.Duration `yaml:"give_up"`
	// Unplug is how long a guest may take to let go of a disk.
	Unplug time.Duration `yaml:"unplug"`
	// Lock is how long to wait for another operation on the same target.
	Lock time.Duration `yaml:"lock"`
}

// Hosts says how hypervisor hosts are reached and what they run.
type Hosts struct {
	// User logs in to hosts; empty takes ssh_config's, else the own user.
	User string `yaml:"user"`
	// SSHConfig, KnownHosts and Identities stand in for ~/.ssh/config,
	// ~/.ssh/known_hosts and the default keys.
	SSHConfig  string   `yaml:"ssh_config"`
	KnownHosts []string `yaml:"known_hosts"`
	Identities []string `yaml:"identities"`
	// Connect bounds the time to reach a host.
	Connect time.Duration `yaml:"connect"`
	// Connections is how many connections the daemon has to one host at the
	// same time; further operations on it wait.
	Connections int `yaml:"connections"`
	// CoolDown is how long the daemon leaves a host alone that did not
	// answer; then twice as long each time, up to 8 times as long.
	CoolDown time.Duration `yaml:"cool_down"`
	// LibvirtURI is what virsh connects to on the host.
	LibvirtURI string `yaml:"libvirt_uri"`
	// Hypervisors sets the driver of a host by its name, where the VM_MAD of
	// its VMs does not tell: {host01: virsh}.
	Hypervisors map[string]string `yaml:"hypervisors"`
	ISCSI       ISCSI             `yaml:"iscsi"`
}

// ISCSI are settings of the initiator on every host.
type ISCSI struct {
	// Login bounds one attempt to log in to one portal.
	Login time.Duration `yaml:"login_timeout"`
	// Replacement is node.session.timeo.replacement_timeout: how long I/O
	// waits for a lost portal before it fails and the VM is paused.
	Replacement time.Duration `yaml:"replacement_timeout"`
}

// Default is the configuration of an empty file.
func Default() Config {
	return Config{
		Listen:      At("127.0.0.1:2475"),
		Events:      "tcp://localhost:2101",
		PassThrough: true,
		Database:    "sqlite:/var/lib/one/onevolume.db",
		KeyFile:     "/var/lib/one/.one/onevolume_key",
		Log:         Log{File: "stderr", Level: "info", Format: "text"},
		Limits: Limits{Connections: 4096, PerAddress: 256, FailedLogins: 10, Window: time.Minute, Trusted: []string{"127.0.0.0/8", "::1"},
			OnedConnections: 8, OnedRequest: 32},
		Publish:      Publish{Streams: 256},
		AuthCache:    5 * time.Second,
		DefaultUmask: "177", EnableOtherPermissions: true,
		Shutdown: 20 * time.Second,
		Operations: Operations{Lease: 30 * time.Second, Sweep: 10 * time.Second, Checkup: 10 * time.Minute, Labels: 10 * time.Minute, Follow: 30 * time.Second, GiveUp: 10 * time.Minute,
			Unplug: time.Minute, Lock: time.Minute},
		Hosts: Hosts{Connect: 10 * time.Second, Connections: 8, CoolDown: 15 * time.Second, LibvirtURI: "qemu:///system",
			ISCSI: ISCSI{Login: 10 * time.Second, Replacement: 2 * time.Minute}},
	}
}

// Load reads the file at path over the defaults. A file that does not exist
// is an error when must is set, else an empty one.
func Load(path string, must bool) (Config, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return Default(), nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(text)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a configuration over the defaults and checks it. Its errors
// name the key and, where the text is at fault, the line.
func Parse(text []byte) (Config, error) {
	c := Default()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, plainer(err)
	}
	return c, c.check()
}

// plainer rewrites the YAML package's words on unknown keys, which speak of
// Go's types.
func plainer(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err
	}
	lines := make([]string, len(te.Errors))
	for i, e := range te.Errors {
		if at, rest, ok := strings.Cut(e, ": field "); ok {
			key, _, _ := strings.Cut(rest, " not found")
			e = fmt.Sprintf("%s: unknown key %q", at, key)
		}
		lines[i] = e
	}
	return errors.New(strings.Join(lines, "; "))
}

func (c *Config) check() error {
	if len(c.Listen) == 0 {
		return errors.New("listen: there must be an address")
	}
	for _, l := range c.Listen {
		if err := l.check(); err != nil {
			return err
		}
	}
	if err := c.Limits.check(); err != nil {
		return err
	}
	if err := c.Publish.check(); err != nil {
		return err
	}
	if _, _, err := c.DB(); err != nil {
		return err
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		return fmt.Errorf("log.level: %q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		return fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format)
	}
	for key, d := range map[string]time.Duration{
		"shutdown": c.Shutdown, "operations.sweep": c.Operations.Sweep, "operations.give_up": c.Operations.GiveUp,
		"operations.unplug": c.Operations.Unplug, "operations.lock": c.Operations.Lock, "hosts.connect": c.Hosts.Connect, "hosts.cool_down": c.Hosts.CoolDown,
		"hosts.iscsi.login_timeout": c.Hosts.ISCSI.Login, "hosts.iscsi.replacement_timeout": c.Hosts.ISCSI.Replacement,
	} {
		if d <= 0 {
			return fmt.Errorf("%s: %s is not a time to wait", key, d)
		}
	}
	if c.Operations.Lease < time.Second || c.Operations.Lease > 10*time.Minute {
		return fmt.Errorf("operations.lease: %s is not from 1s to 10m", c.Operations.Lease)
	}
	for key, d := range map[string]time.Duration{"operations.checkup": c.Operations.Checkup, "operations.labels": c.Operations.Labels, "operations.follow": c.Operations.Follow} {
		if d != 0 && d < time.Second {
			return fmt.Errorf("%s: %s is neither 0 nor at least 1s", key, d)
		}
	}
	if c.Hosts.Connections < 1 || c.Hosts.Connections > 100 {
		return fmt.Errorf("hosts.connections: %d is not from 1 to 100", c.Hosts.Connections)
	}
	if u, err := url.Parse(c.Events); c.Events != "" && (err != nil || u.Scheme != "tcp" || u.Port() == "" || u.Path != "") {
		return fmt.Errorf("events: %q is not of the form tcp://host:port", c.Events)
	}
	if c.AuthCache < 0 || c.AuthCache > time.Minute {
		return fmt.Errorf("auth_cache: %s is not from 0s to 1m", c.AuthCache)
	}
	if n, err := strconv.ParseUint(c.DefaultUmask, 8, 32); err != nil || n > 0o777 {
		return fmt.Errorf("default_umask: %q is not an octal number from 0 to 777", c.DefaultUmask)
	}
	if err := checkArrays(c.Arrays); err != nil {
		return err
	}
	return checkTypes(c.Types, c.Arrays)
}

// DB gives the database's driver, sqlite or mysql, and for sqlite the path,
// for mysql the URL.
func (c *Config) DB() (driver, source string, err error) {
	driver, rest, _ := strings.Cut(c.Database, ":")
	switch driver {
	case "sqlite":
		path := strings.TrimPrefix(rest, "//")
		if path == "" {
			return "", "", fmt.Errorf("database: sqlite: without a path")
		}
		return driver, path, nil
	case "mysql":
		if u, err := url.Parse(c.Database); err != nil || strings.Trim(u.Path, "/") == "" {
			return "", "", fmt.Errorf("database: not of the form mysql://user:password@host:port/database")
		}
		return driver, c.Database, nil
	}
	return "", "", fmt.Errorf("database: %q is neither sqlite:PATH nor mysql://…", driver)
}
