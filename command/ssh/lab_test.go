//go:build lab

package ssh_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/lab"
)

func labConfig(l *lab.Lab, user string) ssh.Config {
	return ssh.Config{User: user, ConfigFile: l.SSHConfig(), AgentSocket: "none"}
}

func labDial(t testing.TB, c ssh.Config, host string) command.Host {
	t.Helper()
	h, err := ssh.NewDialer(c).Dial(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func labRun(t testing.TB, h command.Host, c command.Cmd) command.Result {
	t.Helper()
	r, err := h.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLabSudo(t *testing.T) {
	l := lab.Open(t)
	sessions := command.Cmd{Argv: []string{"iscsiadm", "-m", "session"}, Sudo: true}
	lvs := command.Cmd{Argv: []string{"lvs"}, Sudo: true}
	for user, refused := range map[string][2]bool{
		"oneadmin": {false, true},
		"plain":    {true, true},
		"root":     {false, false},
	} {
		t.Run(user, func(t *testing.T) {
			h := labDial(t, labConfig(l, user), "host01")
			if r := labRun(t, h, command.Cmd{Argv: []string{"id", "-un"}}); string(r.Stdout) != user+"\n" {
				t.Errorf("I am %q", r.Stdout)
			}
			for i, c := range []command.Cmd{sessions, lvs} {
				if r := labRun(t, h, c); command.SudoRefused(r) != refused[i] {
					t.Errorf("%s: %d %q", c, r.Code, r.Stderr)
				}
			}
			r := labRun(t, h, command.Cmd{Name: "t", Script: "$SUDO iscsiadm -m session; virsh -c qemu:///system list --name", ReadOnly: true})
			if !strings.Contains(string(r.Stdout), "one-17\n") {
				t.Errorf("%d %q %q", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
}

func TestLabInput(t *testing.T) {
	l := lab.Open(t)
	h := labDial(t, labConfig(l, "oneadmin"), "host01")
	file := "/run/lock/onevolume-test-input"
	defer labRun(t, h, command.Cmd{Argv: []string{"rm", "-f", file}})
	input := strings.Repeat("a'b\\n%\xff\n", 5000) + "end"
	for _, c := range []command.Cmd{
		{Argv: []string{"tee", file}, Stdin: command.Secret(input)},
		{Argv: []string{"tee", file}, Stdin: command.Secret(input), Sudo: true},
	} {
		if r := labRun(t, h, c); string(r.Stdout) != input {
			t.Errorf("%s: %d, %d bytes, %q", c, r.Code, len(r.Stdout), r.Stderr)
		}
	}
	if r := labRun(t, h, command.Cmd{Argv: []string{"cat", file}}); string(r.Stdout) != input {
		t.Error("it is not in the file")
	}
}

// Users share locks, although the directory is sticky.
func TestLabLocks(t *testing.T) {
	l := lab.Open(t)
	name := command.LockName("iqn.2024-01.lab:locks")
	users := []string{"oneadmin", "plain", "root"}
	var hosts []command.Host
	for _, u := range users {
		hosts = append(hosts, labDial(t, labConfig(l, u), "host01"))
	}
	elsewhere := labDial(t, labConfig(l, "root"), "host02")
	for i, h := range hosts {
		unlock, err := h.Lock(t.Context(), name, time.Second)
		if err != nil {
			t.Fatal(users[i], err)
		}
		for j, other := range hosts {
			var locked *command.LockedError
			if _, err := other.Lock(t.Context(), name, 0); i != j && !errors.As(err, &locked) {
				t.Errorf("%s has what %s holds: %v", users[j], users[i], err)
			}
		}
		if u, err := elsewhere.Lock(t.Context(), name, 0); err != nil {
			t.Error(err)
		} else {
			u()
		}
		unlock()
	}
	// A holder that is cut off without a word gives it back.
	if _, err := hosts[0].Lock(t.Context(), name, 0); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	hosts[0].Close()
	unlock, err := hosts[1].Lock(t.Context(), name, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
	t.Logf("closing and taking over took %s", time.Since(start))
}

// A command that hangs keeps the lock with sshd as well, although the
// connection is gone, and a new connection can see it.
func TestLabHungCommand(t *testing.T) {
	l := lab.Open(t)
	a, b := labDial(t, labConfig(l, "oneadmin"), "host01"), labDial(t, labConfig(l, "oneadmin"), "host01")
	if _, err := a.Lock(t.Context(), "hung", 0); err != nil {
		t.Fatal(err)
	}
	_, err := a.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "4"}, Timeout: time.Second})
	if !errors.Is(err, command.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	a.Close()
	var locked *command.LockedError
	if _, err := b.Lock(t.Context(), "hung", 0); !errors.As(err, &locked) {
		t.Errorf("the lock is free while the command runs: %v", err)
	}
	if _, err := b.Lock(t.Context(), "hung", 20*time.Second); err != nil {
		t.Errorf("the lock is held after the command's end: %v", err)
	}
}

func TestLabDialErrors(t *testing.T) {
	l := lab.Open(t)
	own, err := os.ReadFile(l.SSHConfig())
	if err != nil {
		t.Fatal(err)
	}
	with := func(more string) ssh.Config {
		name := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(name, []byte(more+"\n"+string(own)), 0o600); err != nil {
			t.Fatal(err)
		}
		return ssh.Config{User: "oneadmin", ConfigFile: name, AgentSocket: "none"}
	}
	unknown := labConfig(l, "oneadmin")
	unknown.KnownHostsFiles = []string{filepath.Join(t.TempDir(), "known_hosts")}
	for name, c := range map[string]struct {
		config ssh.Config
		want   []command.Kind
	}{
		"unknown key":  {unknown, []command.Kind{command.KindHostKeyUnknown}},
		"changed key":  {with("Host host01\n HostKeyAlias host02\n"), []command.Kind{command.KindHostKeyChanged}},
		"refused user": {func() ssh.Config { c := labConfig(l, "nobody"); return c }(), []command.Kind{command.KindKeyRefused}},
		"closed port":  {with("Host host01\n Port 2299\n"), []command.Kind{command.KindRefused}},
		"host down":    {with("Host host01\n HostName 10.77.0.99\n ConnectTimeout 5\n"), []command.Kind{command.KindNoRoute, command.KindTimeout}},
		"no such name": {with("Host host01\n HostName host01.invalid\n ConnectTimeout 5\n"), []command.Kind{command.KindUnresolved, command.KindTimeout}},
	} {
		start := time.Now()
		_, err := ssh.NewDialer(c.config).Dial(t.Context(), "host01")
		var e *command.DialError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		ok := false
		for _, k := range c.want {
			ok = ok || e.Kind == k
		}
		if !ok || e.Hint == "" {
			t.Errorf("%s: %s", name, e.Kind)
		}
		t.Logf("%s after %s: %v\n  hint: %s", name, time.Since(start).Round(time.Millisecond), err, e.Hint)
	}
	c := with("Host host01\n ProxyJump host02\n")
	h := labDial(t, c, "host01")
	if r := labRun(t, h, command.Cmd{Argv: []string{"hostname"}}); string(r.Stdout) != "host01\n" {
		t.Errorf("%q", r.Stdout)
	}
}

// A host that is frozen looks as one that lost its power: nobody says so.
func TestLabHostGoesSilent(t *testing.T) {
	l := lab.Open(t)
	c := labConfig(l, "oneadmin")
	c.KeepAlive = time.Second
	h := labDial(t, c, "host02")
	defer l.Command("node", "thaw", "host02")
	frozen := make(chan time.Time, 1)
	go func() {
		time.Sleep(time.Second)
		l.Command("node", "freeze", "host02")
		frozen <- time.Now()
	}()
	_, err := h.Run(t.Context(), command.Cmd{Argv: []string{"sleep", "50"}})
	if !errors.Is(err, command.ErrUnknownOutcome) || !strings.Contains(err.Error(), "sign of life") {
		t.Error(err)
	}
	t.Logf("noticed %s after its end: %v", time.Since(<-frozen), err)
	_, err = ssh.NewDialer(c).Dial(t.Context(), "host02")
	t.Log(err)
	var e *command.DialError
	if !errors.As(err, &e) || e.Kind != command.KindNoRoute && e.Kind != command.KindTimeout {
		t.Error(err)
	}
}

func BenchmarkLabDial(b *testing.B) {
	l := lab.Open(b)
	d := ssh.NewDialer(labConfig(l, "oneadmin"))
	for b.Loop() {
		h, err := d.Dial(b.Context(), "host01")
		if err != nil {
			b.Fatal(err)
		}
		h.Close()
	}
}

func BenchmarkLabRun(b *testing.B) {
	l := lab.Open(b)
	h := labDial(b, labConfig(l, "oneadmin"), "host01")
	for _, c := range []command.Cmd{
		{Name: "builtin", Script: ":"},
		{Name: "true", Argv: []string{"true"}},
		{Name: "stdin", Argv: []string{"true"}, Stdin: command.Secret("x")},
		{Name: "sudo-cat", Argv: []string{"cat", "/etc/iscsi/initiatorname.iscsi"}, Sudo: true},
		{Name: "virsh-list", Argv: []string{"virsh", "-c", "qemu:///system", "list"}},
	} {
		b.Run(c.Name, func(b *testing.B) {
			for b.Loop() {
				labRun(b, h, c)
			}
		})
	}
	b.Run("lock-unlock", func(b *testing.B) {
		for b.Loop() {
			unlock, err := h.Lock(b.Context(), "bench", time.Second)
			if err != nil {
				b.Fatal(err)
			}
			unlock()
		}
	})
	// What a new ssh session on a connection that is open costs.
	b.Run("control-master", func(b *testing.B) {
		for b.Loop() {
			l.Must(l.ExecAs("oneadmin", "host01", "true"))
		}
	})
}
