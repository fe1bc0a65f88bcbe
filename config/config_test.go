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

func TestBadConfigurationIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"lisen: 1":                            `unknown key "lisen"`,
		"operations: {leese: 3s}":             `unknown key "leese"`,
		"listen: nowhere":                     "listen:",
		"database: oracle:x":                  "database:",
		"database: 'sqlite:'":                 "database:",
		"database: mysql://host":              "database:",
		"operations: {lease: 1ms}":            "operations.lease",
		"operations: {unplug: -1s}":           "operations.unplug",
		"log: {level: loud}":                  "log.level",
		"log: {format: xml}":                  "log.format",
		"hosts: {connections: 0}":             "hosts.connections",
		"hosts: {cool_down: 0s}":              "hosts.cool_down",
		"auth_cache: 1h":                      "auth_cache",
		"shutdown: soon":                      "line 1",
		"listen: [":                           "line",
		"hosts: {iscsi: {login_timeout: 0s}}": "hosts.iscsi.login_timeout",
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
