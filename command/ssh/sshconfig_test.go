package ssh

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exampleConfig writes a home directory with a bit of everything.
func exampleConfig(t *testing.T) (home, user, system string) {
	t.Helper()
	home = t.TempDir()
	write := func(name, body string) string {
		name = filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	user = write(".ssh/config", `
# a comment
Include conf.d/*.conf ~/more
Host=host01 "host 2"
	HostName = h1.example.com
	User "a b"   # and a comment
	IdentityFile ~/.ssh/one
	IdentityFile %d/two
Host !host01 host*
	Port 2222
Host *.example.com
	Port 1
Match host *.example.com !originalhost other
	Port 33
Match exec "true"
	Port 4
Match final host *.example.com
	ConnectTimeout 7
	Port 5
host host0?
	ServerAliveInterval 3
	PROXYJUMP a,b
	hostkeyalias K
	UserKnownHostsFile ~/k1 /k2
	IdentitiesOnly yes
`)
	write(".ssh/conf.d/1.conf", "Match localuser me\n IdentityAgent ~/agent.sock\nHost x\n User wrong\n")
	write("more", "ConnectTimeout 9\nHost host01\n  IdentityFile /three\n")
	system = write("etc/ssh_config", "Match all\nUser root\nPort 44\nMatch final all\n GSSAPIAuthentication yes\n")
	return home, user, system
}

func TestSettings(t *testing.T) {
	home, user, system := exampleConfig(t)
	s, err := readSettings("host01", "me", home, user, system, filepath.Join(home, "missing"))
	if err != nil {
		t.Fatal(err)
	}
	for keyword, want := range map[string]string{
		"hostname": "h1.example.com", "user": "a b", "port": "33", "connecttimeout": "9",
		"identityfile": "/three ~/.ssh/one %d/two", "userknownhostsfile": "~/k1 /k2",
		"gssapiauthentication": "yes", "proxyjump": "a,b", "proxycommand": "",
	} {
		if got := strings.Join(s.values[keyword], " "); got != want {
			t.Errorf("%s is %q, not %q", keyword, got, want)
		}
	}
	s, err = readSettings("host9", "you", home, user, system)
	if err != nil || s.first("port") != "2222" || s.first("user") != "root" || s.first("identityagent") != "" {
		t.Error(s, err)
	}
}

func TestTarget(t *testing.T) {
	home, user, _ := exampleConfig(t)
	d := NewDialer(Config{Home: home, ConfigFile: user})
	d.login = "me"
	to, err := d.target("host01", false)
	if err != nil {
		t.Fatal(err)
	}
	if to.addr() != "h1.example.com:33" || to.knownAs() != "K:22" || to.user != "a b" || !to.identitiesOnly ||
		to.agent != home+"/agent.sock" || to.connectTimeout != 9*time.Second || to.keepAlive != 3*time.Second ||
		strings.Join(to.identities, " ") != "/three "+home+"/.ssh/one "+home+"/two" ||
		strings.Join(to.knownHosts, " ") != home+"/k1 /k2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2" ||
		strings.Join(to.jumps, " ") != "a b" {
		t.Errorf("%+v", to)
	}
	// Who is asked for by Config wins.
	d = NewDialer(Config{Home: home, ConfigFile: user, User: "oneadmin", ConnectTimeout: time.Second, KnownHostsFiles: []string{"/k"}})
	if to, err = d.target("host01", false); err != nil || to.user != "oneadmin" || to.connectTimeout != time.Second || len(to.knownHosts) != 1 {
		t.Errorf("%+v %v", to, err)
	}
}

func TestIncludeLoop(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "config")
	if err := os.WriteFile(name, []byte("Include config\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSettings("h", "u", dir, name); err == nil || !strings.Contains(err.Error(), "Include") {
		t.Error(err)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add("Host a\n Port 1\nMatch !host b,c user d\nUser=x\n")
	f.Add("Include \"a b\nHost \\[\n=\n \"\" x\nMatch\nMatch host\n")
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(strings.ToLower(body), "include") {
			return
		}
		name := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		d := NewDialer(Config{Home: "/nowhere", ConfigFile: name})
		if to, err := d.target("host01", false); err == nil && (to.host == "" || to.port == "") {
			t.Errorf("%+v", to)
		}
	})
}
