package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"onevolume/config"
)

// The file we install shows the defaults; when one changes, so must the other.
func TestInstalledFileHoldsTheDefaults(t *testing.T) {
	c, err := config.Load(filepath.Join("..", "packaging", "onevolumed.conf"), true)
	if err != nil {
		t.Fatal(err)
	}
	if want := config.Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("the file gives\n%+v\nand the defaults are\n%+v", c, want)
	}
}

func TestParse(t *testing.T) {
	c, err := config.Parse([]byte("listen: '[::1]:2475'\ndatabase: mysql://one:p%40ss@db:3306/opennebula\noperations: {lease: 45s}\n" +
		"hosts: {hypervisors: {host01: virsh}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Operations.Lease != 45*time.Second || c.Operations.Unplug != time.Minute || c.Hosts.Hypervisors["host01"] != "virsh" {
		t.Errorf("got %+v", c)
	}
	if driver, source, err := c.DB(); driver != "mysql" || !strings.HasPrefix(source, "mysql://") || err != nil {
		t.Errorf("database is %s %s %v", driver, source, err)
	}
}

func TestListen(t *testing.T) {
	for text, want := range map[string]config.Listen{
		"listen: 0.0.0.0:2475":    config.At("0.0.0.0:2475"),
		"listen: ['[::]:1', h:2]": config.At("[::]:1", "h:2"),
		"listen: [unix:///run/s, {address: 'unix:/run/t', mode: 0600}, {address: ':2476', certificate: c, key: k}]": {
			{Address: "unix:///run/s"}, {Address: "unix:/run/t", Mode: "0600"}, {Address: ":2476", Certificate: "c", Key: "k"}},
	} {
		c, err := config.Parse([]byte(text))
		if err != nil || !reflect.DeepEqual(c.Listen, want) {
			t.Errorf("%s: %+v, %v", text, c.Listen, err)
		}
	}
	if l := (config.Listener{Address: "unix:///run/s", Mode: "0600"}); l.Socket() != "/run/s" || l.FileMode() != 0o600 {
		t.Errorf("%s %o", l.Socket(), l.FileMode())
	}
}

func TestBadConfigurationIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"lisen: 1":                                 `unknown key "lisen"`,
		"operations: {leese: 3s}":                  `unknown key "leese"`,
		"listen: nowhere":                          "listen:",
		"listen: []":                               "listen:",
		"listen: unix:relative":                    "absolute",
		"listen: {address: 'h:1', tls: 1}":         `unknown key "tls"`,
		"listen: {address: [1]}":                   "line 1",
		"listen: [{address: 'h:1', key: k}]":       "certificate and key",
		"listen: [{address: 'h:1', mode: 0660}]":   "mode",
		"listen: [{address: 'unix:/s', mode: 99}]": "mode",
		"limits: {connections: 0}":                 "limits.connections",
		"limits: {failed_logins_window: 1ms}":      "limits.failed_logins_window",
		"limits: {trusted: [localhost]}":           "limits.trusted",
		"limits: {oned_request_mib: 2048}":         "limits.oned_request_mib",
		"database: oracle:x":                       "database:",
		"database: 'sqlite:'":                      "database:",
		"database: mysql://host":                   "database:",
		"operations: {lease: 1ms}":                 "operations.lease",
		"operations: {unplug: -1s}":                "operations.unplug",
		"operations: {labels: 1ms}":                "operations.labels",
		"operations: {follow: 1ms}":                "operations.follow",
		"events: localhost:2101":                   "events:",
		"log: {level: loud}":                       "log.level",
		"log: {format: xml}":                       "log.format",
		"hosts: {connections: 0}":                  "hosts.connections",
		"hosts: {cool_down: 0s}":                   "hosts.cool_down",
		"auth_cache: 1h":                           "auth_cache",
		"default_umask: 189":                       "default_umask",
		"default_umask: 1777":                      "default_umask",
		"shutdown: soon":                           "line 1",
		"listen: [":                                "line",
		"hosts: {iscsi: {login_timeout: 0s}}":      "hosts.iscsi.login_timeout",
	} {
		if _, err := config.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that has %q", text, err, want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.conf")
	if c, err := config.Load(path, false); err != nil || !reflect.DeepEqual(c, config.Default()) {
		t.Errorf("a file that need not be: %v", err)
	}
	if _, err := config.Load(path, true); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that must be: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path, true); err != nil {
		t.Errorf("an empty file: %v", err)
	}
}
