//go:build lab

// Package e2e tests the programs as their users run them: onevolume and
// onevolumed as processes, real hosts, targets and guests of the lab, and a
// stand-in for oned.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onevolume/lab"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// cloud is a lab with oned's stand-in and a daemon.
type cloud struct {
	*lab.Lab
	t       *testing.T
	dir     string
	conf    string
	oned    *onetest.Oned
	env     []string
	down    func() // stops the daemon
	process *exec.Cmd
	ended   chan struct{} // closed when the daemon's process has ended

	endpoint   string
	operations string   // of the configuration: how long things take
	iscsi      string   // likewise; empty for the usual
	disk       string   // the directory of the database; empty for dir
	meddled    []string // what ONEVOLUME_… has the daemon do against itself; see assemble/meddle.go
}

// fast makes leases short, so that a test need not wait for half a minute.
const fast = "lease: 3s, sweep: 1s, unplug: 6s, lock: 20s"

func bin(name string) string {
	dir := os.Getenv("ONEVOLUME_BIN")
	if dir == "" {
		dir = filepath.Join("..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		panic(err)
	}
	return path
}

// start brings a cloud up. When the test ends nothing may be left on any host.
func start(t *testing.T) *cloud {
	t.Helper()
	c := open(t, lab.Open(t))
	c.fresh()
	c.startDaemon()
	t.Cleanup(func() {
		c.down()
		if t.Failed() {
			c.tellLog()
			c.Reset()
			return
		}
		c.Clean(t)
	})
	return c
}

// open is start without a daemon and without a look at the hosts, for those
// who do these in their own way.
func open(t *testing.T, l *lab.Lab) *cloud {
	t.Helper()
	c := &cloud{Lab: l, t: t, dir: t.TempDir(), operations: fast, down: func() {}}
	c.oned = onetest.Start(t, world())
	c.settle()
	return c
}

// settle fills in what follows from the rest.
func (c *cloud) settle() {
	c.t.Helper()
	c.conf = filepath.Join(c.dir, "conf")
	c.endpoint = "http://" + freeAddr(c.t) + "/RPC2"
	c.configure("")
	for user, password := range map[string]string{"oneadmin": "opennebula", "alice": "alicepw", "bob": "bobpw"} {
		c.write(user+".auth", user+":"+password+"\n")
	}
	c.env = slices.Clip(append(os.Environ(), "HOME="+c.dir, "TZ=UTC", "ONE_XMLRPC="+c.oned.Endpoint, "ONEVOLUME_XMLRPC="+c.endpoint))
}

// fresh resets a lab in which an earlier test left something.
func (c *cloud) fresh() {
	c.t.Helper()
	if left := c.Left(lab.Hosts()...); len(left) > 0 {
		c.t.Logf("the lab was not clean and is reset: %q", left)
		c.Reset()
	}
}

func (c *cloud) tellLog() {
	text, _ := os.ReadFile(filepath.Join(c.dir, "daemon.log"))
	c.t.Logf("onevolumed's log:\n%s", text)
}

func world() onetest.World {
	w := onetest.Small()
	w.Hosts = append(w.Hosts, onetest.Host{ID: 2, Name: "host03", State: 2}, onetest.Host{ID: 3, Name: "10.77.0.11", State: 2})
	w.VMs = []onetest.VM{
		{ID: 17, Name: "web", UID: 2, GID: 1, Host: "host01", DeployID: "one-17"},
		{ID: 18, Name: `db "$(touch /tmp/pwned)'`, Host: "host02", DeployID: "one-18"},
		{ID: 20, Name: "gone", Host: "host01", DeployID: "one-20"},
		{ID: 21, Name: "elsewhere", Host: "host03", DeployID: "one-21"},
		{ID: 22, Name: "off", Host: "host01", DeployID: "one-22", State: 8},
		{ID: 23, Name: "evil", Host: "host01", DeployID: "$(touch /tmp/pwned)\n'; reboot #"},
	}
	return w
}

// configure writes the configuration file; more is added to it.
func (c *cloud) configure(hosts string) {
	if hosts == "" {
		hosts = "user: oneadmin, ssh_config: " + c.SSHConfig()
	}
	c.write("conf", fmt.Sprintf("listen: %s\none_xmlrpc: %s\ndatabase: sqlite:%s\nkey_file: %s/key\noperations: {%s}\nlog: {level: debug}\n"+
		"shutdown: 5s\nhosts: {%s, connect: 15s, iscsi: {%s}}\n",
		strings.TrimSuffix(strings.TrimPrefix(c.endpoint, "http://"), "/RPC2"), c.oned.Endpoint, c.database(), c.dir, c.operations, hosts, cmp.Or(c.iscsi, "login_timeout: 3s")))
}

func (c *cloud) database() string { return filepath.Join(cmp.Or(c.disk, c.dir), "inventory.db") }

func (c *cloud) write(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startDaemon runs onevolumed until it answers.
func (c *cloud) startDaemon() {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, "daemon.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	program := bin("onevolumed")
	if len(c.meddled) > 0 {
		program = bin("crash/onevolumed")
	}
	cmd := exec.Command(program, "--config", c.conf)
	cmd.Env = append(append([]string{}, c.env...), c.meddled...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.process = cmd
	c.ended = make(chan struct{})
	ended := c.ended
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	c.down = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			c.t.Error("onevolumed did not end within 15 s of SIGTERM")
			_ = cmd.Process.Kill()
		}
		log.Close()
	}
	addr := strings.TrimSuffix(strings.TrimPrefix(c.endpoint, "http://"), "/RPC2")
	c.eventually("onevolumed answers", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// patience is how long to wait for what must happen. Commands on hosts that
// take 50 ms have been seen to take 7 s on a machine with much else to do.
const patience = 2 * time.Minute

// eventually waits for a condition. Most conditions are a run of onevolume,
// which the hosts need the processor for as well.
func (c *cloud) eventually(what string, condition func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(150 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// output is what a run of onevolume printed.
type output struct {
	out, err string
	code     int
}

// command prepares a run of onevolume as a user.
func (c *cloud) command(ctx context.Context, user string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, bin("onevolume"), append([]string{"--config", c.conf}, args...)...)
	cmd.Env = append(c.env, "ONE_AUTH="+filepath.Join(c.dir, user+".auth"))
	return cmd
}

func (c *cloud) runAs(user string, args ...string) output {
	c.t.Helper()
	var out, errs bytes.Buffer
	cmd := c.command(c.t.Context(), user, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return output{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func (c *cloud) run(args ...string) output {
	c.t.Helper()
	return c.runAs("oneadmin", args...)
}

// must runs onevolume and fails the test when that fails.
func (c *cloud) must(args ...string) string {
	c.t.Helper()
	o := c.run(args...)
	if o.code != 0 {
		c.t.Fatalf("onevolume %q: exit status %d\n%s%s", args, o.code, o.out, o.err)
	}
	return o.out
}

// refused runs onevolume and wants exit status 255, each of the words on
// standard error, and nothing on standard output.
func (c *cloud) refused(args []string, words ...string) {
	c.t.Helper()
	o := c.run(args...)
	if o.code != 255 || o.out != "" {
		c.t.Errorf("onevolume %q: exit status %d, want 255 and no output\n%s%s", args, o.code, o.out, o.err)
	}
	for _, w := range words {
		if !strings.Contains(o.err, w) {
			c.t.Errorf("onevolume %q: nothing of %q in\n%s", args, w, o.err)
		}
	}
	c.t.Logf("onevolume %s\n%s", strings.Join(args, " "), o.err)
}

// volume registers a logical unit of one of the lab's targets.
func (c *cloud) volume(name, target string, lun, sizeMiB int, more ...string) {
	c.t.Helper()
	c.must(append([]string{"create", "--name", name, "--iqn", lab.IQNPrefix + target, "--lun", fmt.Sprint(lun),
		"--portal", lab.Portal, "--size", fmt.Sprint(sizeMiB)}, more...)...)
}

// show gives a volume's fields as onevolume show -j prints them.
func (c *cloud) show(volume string) map[string]string {
	c.t.Helper()
	var doc struct{ VOLUME map[string]any }
	if err := json.Unmarshal([]byte(c.must("show", "-j", volume)), &doc); err != nil {
		c.t.Fatal(err)
	}
	fields := map[string]string{}
	for k, v := range doc.VOLUME {
		fields[k] = fmt.Sprint(v)
	}
	return fields
}

// state wants the volume to be in a state.
func (c *cloud) state(volume, want string) {
	c.t.Helper()
	if v := c.show(volume); v["STATUS"] != want {
		c.t.Errorf("volume %s is %s, want %s (%s)", volume, v["STATUS"], want, v["REASON"])
	}
}

// settles waits until the volume is in a state.
func (c *cloud) settles(volume, want string) {
	c.t.Helper()
	c.eventually("volume "+volume+" is "+want, func() bool { return c.status(volume) == want })
}

// status is a volume's state, asked of the daemon without a process for it:
// whoever waits asks often, and takes from the hosts what they need to get on.
func (c *cloud) status(volume string) string {
	c.t.Helper()
	rpc, err := wire.NewClient(wire.Config{Endpoint: c.endpoint})
	if err != nil {
		c.t.Fatal(err)
	}
	defer rpc.Close()
	list, err := (&xmlrpc.Client{Wire: rpc, Session: "oneadmin:opennebula"}).Pool(c.t.Context(), -2, -1, -1)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, v := range list {
		if v.Name == volume {
			return string(v.State)
		}
	}
	c.t.Fatalf("there is no volume %s", volume)
	return ""
}

// untouched wants the volume free and all hosts clean, as before an attach.
func (c *cloud) untouched(volume string) {
	c.t.Helper()
	c.state(volume, "AVAILABLE")
	c.Clean(c.t)
}

// pattern has the guest write a text to the disk with the serial number.
func (c *cloud) pattern(vm int, serial, text string) {
	c.t.Helper()
	out, code := c.Guest(vm, fmt.Sprintf("for i in $(seq 100); do d=$(disk %s) && break; sleep 0.2; done; echo %s | dd of=$d bs=512 seek=100 conv=sync,fsync",
		serial, text)) // the guest may need a moment to see a new disk
	if code != 0 {
		c.t.Fatalf("the guest could not write: %s", out)
	}
}

// holds says whether the target's backing store has the text where pattern
// puts it.
func (c *cloud) holds(target string, lun int, text string) bool {
	return strings.HasPrefix(string(c.Read(target, lun, 51200, 512)), text)
}

// zero says whether the whole backing store is zero.
func (c *cloud) zero(target string, lun int) bool {
	c.t.Helper()
	info, err := os.Stat(c.Backing(target, lun))
	if err != nil {
		c.t.Fatal(err)
	}
	return exec.Command("cmp", "-s", "-n", fmt.Sprint(info.Size()), c.Backing(target, lun), "/dev/zero").Run() == nil
}
