// Package onetest is a stand-in for oned: it keeps users, groups, hosts and
// VMs in memory and answers the calls that this project makes with the
// documents, the checks in their order and the error texts that were recorded
// from oned 7.4.0. It can be slow, lose answers and move VMs about, which a
// real one does only when it is least convenient.
package onetest

import (
	"bytes"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// World is what the stand-in knows when it starts. It is read from YAML or
// JSON with the keys in lower case, as the tags say.
type World struct {
	Users  []User  `yaml:"users"`
	Groups []Group `yaml:"groups"`
	Hosts  []Host  `yaml:"hosts"`
	VMs    []VM    `yaml:"vms"`
}

// User is somebody with a password. UID 0 is oneadmin.
type User struct {
	ID       int     `yaml:"id"`
	Name     string  `yaml:"name"`
	Password string  `yaml:"password"`
	Groups   []int   `yaml:"groups"` // the primary one first
	Umask    string  `yaml:"umask"`  // octal; empty for oned's default
	Disabled bool    `yaml:"disabled"`
	Tokens   []Token `yaml:"tokens"`
}

// Token is a login token.
type Token struct {
	Text    string `yaml:"text"`
	Group   *int   `yaml:"group"`   // the only group that counts; nil for all
	Expires int64  `yaml:"expires"` // seconds since 1970; 0 for never
}

// Group is a group; who is in it stands with the users.
type Group struct {
	ID   int    `yaml:"id"`
	Name string `yaml:"name"`
}

// Host is a hypervisor host.
type Host struct {
	ID    int    `yaml:"id"`
	Name  string `yaml:"name"`
	State int    `yaml:"state"`  // 2 (MONITORED) is the usual
	VMMad string `yaml:"vm_mad"` // kvm when empty
}

// VM is a virtual machine. With a host but no state it is ACTIVE and RUNNING.
type VM struct {
	ID           int    `yaml:"id"`
	Name         string `yaml:"name"`
	UID          int    `yaml:"uid"`
	GID          int    `yaml:"gid"`
	Permissions  string `yaml:"permissions"` // octal; 600 when empty
	State        int    `yaml:"state"`
	LCMState     int    `yaml:"lcm_state"`
	Host         string `yaml:"host"` // a host's name; empty when it was on none
	DeployID     string `yaml:"deploy_id"`
	Lock         int    `yaml:"lock"`          // 1 USE, 2 MANAGE, 3 ADMIN, 4 all; 0 none
	Template     string `yaml:"template"`      // text; a small one when empty
	UserTemplate string `yaml:"user_template"` // text
	// Started is STIME of the VM and of its first history record.
	Started int64 `yaml:"started"`
}

// Small is a world with oneadmin (password opennebula), alice (alicepw) and
// bob (bobpw) in the group users, two KVM hosts, and a running VM for each
// of oneadmin (0) and alice (1) on host01.
func Small() World {
	return World{
		Users: []User{
			{ID: 0, Name: "oneadmin", Password: "opennebula", Groups: []int{0}},
			{ID: 2, Name: "alice", Password: "alicepw", Groups: []int{1}},
			{ID: 3, Name: "bob", Password: "bobpw", Groups: []int{1}},
		},
		Groups: []Group{{0, "oneadmin"}, {1, "users"}},
		Hosts:  []Host{{ID: 0, Name: "host01", State: 2}, {ID: 1, Name: "host02", State: 2}},
		VMs: []VM{
			{ID: 0, Name: "vm-admin", Host: "host01"},
			{ID: 1, Name: "vm-alice", UID: 2, GID: 1, Host: "host01"},
		},
	}
}

// ParseWorld reads a world from YAML or JSON.
func ParseWorld(text []byte) (World, error) {
	var w World
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&w); err != nil {
		return World{}, fmt.Errorf("world: %w", err)
	}
	return w, w.check()
}

// check finds what the stand-in could not answer for.
func (w *World) check() error {
	groups := map[int]bool{}
	for _, g := range w.Groups {
		groups[g.ID] = true
	}
	users := map[int]bool{}
	for _, u := range w.Users {
		users[u.ID] = true
		if len(u.Groups) == 0 {
			return fmt.Errorf("world: user %q is in no group", u.Name)
		}
		for _, g := range u.Groups {
			if !groups[g] {
				return fmt.Errorf("world: user %q is in group %d, which does not exist", u.Name, g)
			}
		}
	}
	hosts := map[string]bool{"": true}
	for _, h := range w.Hosts {
		hosts[h.Name] = true
	}
	for _, v := range w.VMs {
		if !hosts[v.Host] || !users[v.UID] || !groups[v.GID] {
			return fmt.Errorf("world: VM %d has a host, owner or group that does not exist", v.ID)
		}
		if _, err := octal(v.Permissions); err != nil {
			return fmt.Errorf("world: VM %d: permissions %q", v.ID, v.Permissions)
		}
	}
	return nil
}

func octal(s string) (int, error) {
	if s == "" {
		return 0o600, nil
	}
	n, err := strconv.ParseInt(s, 8, 32)
	return int(n), err
}
