package tgt

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/array/linux"
	"onevolume/command/local"
)

const prefix = "iqn.2026-11.org.example.array2"

// rig is a real tgtd of the test's own, with volumes in files.
type rig struct {
	t      *testing.T
	dir    string
	port   int
	socket string
	daemon *exec.Cmd
	lossy  *arraytest.Lossy
	array  *linux.Machine
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("tgtd runs as root only")
	}
	r := &rig{t: t, dir: memory(t), port: freePort(t)}
	for _, dir := range []string{"volumes", "conf.d", "lock"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	main := "include " + r.dir + "/conf.d/*.conf\ndefault-driver iscsi\n"
	if err := os.WriteFile(filepath.Join(r.dir, "targets.conf"), []byte(main), 0o600); err != nil {
		t.Fatal(err)
	}
	r.socket = "TGT_IPC_SOCKET=" + filepath.Join(r.dir, "socket")
	r.start()
	t.Cleanup(r.stop)
	r.lossy = arraytest.NewLossy(&local.Dialer{LockDirs: []string{filepath.Join(r.dir, "lock")}, Env: []string{r.socket}})
	r.lossy.ChangesOnly = true // each command is a process
	portal, err := onevolume.ParsePortal(fmt.Sprintf("127.0.0.1:%d", r.port))
	if err != nil {
		t.Fatal(err)
	}
	r.array, err = New(linux.Options{Host: "here", Dialer: r.lossy, PageSize: 3, MinFree: 0.01}, linux.Files{Dir: filepath.Join(r.dir, "volumes")},
		Options{IQN: prefix, Portals: []onevolume.Portal{portal}, ConfDir: filepath.Join(r.dir, "conf.d")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.array.Close() })
	return r
}

// memory gives a directory that a busy disk does not slow down: every change
// is synced.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "onevolume-tgt-") //nolint:usetesting // in memory
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func (r *rig) start() {
	r.t.Helper()
	log, err := os.Create(filepath.Join(r.dir, "tgtd.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	r.daemon = exec.Command("tgtd", "-f", "--iscsi", fmt.Sprintf("portal=127.0.0.1:%d", r.port))
	r.daemon.Env = append(os.Environ(), r.socket)
	r.daemon.Stdout, r.daemon.Stderr = log, log
	if err := r.daemon.Start(); err != nil {
		r.t.Fatalf("%v: scripts/deps installs tgt", err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := r.tool("tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target"); err == nil {
			return
		} else if time.Now().After(end) {
			r.t.Fatal(err)
		}
	}
}

// stop kills it, as a power cut does: it ends on no other signal while it has
// targets.
func (r *rig) stop() {
	_ = r.daemon.Process.Signal(syscall.SIGKILL)
	_ = r.daemon.Wait()
	left, _ := filepath.Glob(filepath.Join(r.dir, "socket*"))
	for _, f := range left {
		os.Remove(f)
	}
}

// boot is what Debian's service does.
func (r *rig) boot() {
	r.t.Helper()
	r.stop()
	r.start()
	if out, err := r.tool("tgt-admin", "-e", "-c", filepath.Join(r.dir, "targets.conf")); err != nil {
		r.t.Fatalf("%v: %s", err, out)
	}
}

func (r *rig) tool(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), r.socket, "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *rig) must(argv ...string) string {
	r.t.Helper()
	out, err := r.tool(argv...)
	if err != nil {
		r.t.Fatalf("%v: %v: %s", argv, err, out)
	}
	return out
}

func (r *rig) image(id array.ID) string { return filepath.Join(r.dir, "volumes", id.Name()+".img") }

func (r *rig) state() string {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.dir, "*", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	hidden, _ := filepath.Glob(filepath.Join(r.dir, "*", ".*"))
	var list []string
	for _, f := range append(files, hidden...) {
		if !strings.Contains(f, "/lock/") {
			list = append(list, f)
		}
	}
	adm := []string{"tgtadm", "--lld", "iscsi", "--op", "show", "--mode"}
	return strings.Join(list, "\n") + "\n" + r.must(append(adm, "target")...) + r.must(append(adm, "account")...)
}

func (r *rig) fixture() arraytest.Fixture {
	return arraytest.Fixture{
		Array:      r.array,
		Initiators: [2]onevolume.IQN{"iqn.2026-11.org.example:host01", "iqn.2026-11.org.example:host02"},
		Write: func(id array.ID, data []byte) {
			file, err := os.OpenFile(r.image(id), os.O_WRONLY, 0)
			if err != nil {
				r.t.Fatal(err)
			}
			defer file.Close()
			if _, err := file.WriteAt(data, 0); err != nil {
				r.t.Fatal(err)
			}
		},
		Read: func(id array.ID, n int) []byte {
			file, err := os.Open(r.image(id))
			if err != nil {
				r.t.Fatal(err)
			}
			defer file.Close()
			data := make([]byte, n)
			if _, err := file.ReadAt(data, 0); err != nil {
				r.t.Fatal(err)
			}
			return data
		},
		Squat: func(id array.ID) (func() bool, func()) {
			if err := os.WriteFile(r.image(id), []byte("theirs"), 0o600); err != nil {
				r.t.Fatal(err)
			}
			return func() bool {
				text, err := os.ReadFile(r.image(id))
				return err == nil && bytes.Equal(text, []byte("theirs"))
			}, func() { os.Remove(r.image(id)) }
		},
		Lose:            r.lossy.Lose,
		LoseAnswersOnly: true,
		Restart:         r.boot,
		State:           r.state,
	}
}

// TestSuite runs on a real tgtd. Real initiators are for the tests on real
// hosts.
func TestSuite(t *testing.T) {
	r := newRig(t)
	arraytest.Run(t, func(t *testing.T) arraytest.Fixture { return r.fixture() })
}

func (r *rig) volume() array.Volume {
	r.t.Helper()
	v, err := r.array.Create(r.t.Context(), array.Request{ID: array.NewID(), Size: 16 << 20})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// What tgtd says of an export is what the export says, before a restart and
// after it.
func TestExported(t *testing.T) {
	r := newRig(t)
	// Somebody else's target has the first number.
	r.must("tgtadm", "--lld", "iscsi", "--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2026-11.org.example:theirs")
	v := r.volume()
	g := array.Grant{Initiator: "iqn.2026-11.org.example:host01", CHAP: array.NewCHAP(v.ID)}
	e, err := r.array.Export(t.Context(), v.ID, g)
	if err != nil {
		t.Fatal(err)
	}
	look := func(rule string) {
		t.Helper()
		list, err := parse(r.must("tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target"))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list {
			if l.iqn != e.Target.IQN {
				continue
			}
			u := l.units[int(e.Target.LUN)]
			if u.path != r.image(v.ID) || u.serial != e.Identity.Serial || u.size != megabytes(v.Size) ||
				len(l.accounts) != 1 || l.accounts[0] != g.CHAP.User || strings.Join(l.acl, " ") != rule {
				t.Errorf("%+v, want the rules %q", l, rule)
			}
			return
		}
		t.Errorf("there is no target %s: %+v", e.Target.IQN, list)
	}
	look(string(g.Initiator))
	v, err = r.array.Extend(t.Context(), v.ID, 32<<20)
	if err != nil {
		t.Fatal(err)
	}
	look(string(g.Initiator))
	r.boot()
	look(nobody + " " + string(g.Initiator))
	info, err := os.Stat(filepath.Join(r.dir, "conf.d", "onevolume-"+v.Name+".conf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// Again after the restart, and away.
	if _, err := r.array.Export(t.Context(), v.ID, g); err != nil {
		t.Error(err)
	}
	if err := r.array.Unexport(t.Context(), v.ID, g.Initiator, false); err != nil {
		t.Error(err)
	}
	if out := r.must("tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "account"); strings.Contains(out, g.CHAP.User) {
		t.Errorf("the account stays: %s", out)
	}
}

func TestErrors(t *testing.T) {
	r := newRig(t)
	v, w := r.volume(), r.volume()
	g := array.Grant{Initiator: "iqn.2026-11.org.example:host01", CHAP: array.NewCHAP(v.ID)}
	if _, err := r.array.Export(t.Context(), v.ID, g); err != nil {
		t.Fatal(err)
	}
	// An account is one of all targets.
	if _, err := r.array.Export(t.Context(), w.ID, g); !array.Is(err, array.Exists) || !strings.Contains(err.Error(), g.CHAP.User) {
		t.Error(err)
	}
	if err := r.array.Unexport(t.Context(), w.ID, g.Initiator, false); err != nil {
		t.Error(err)
	}
	odd := g
	odd.CHAP.Secret = "secret=$123456"
	if _, err := r.array.Export(t.Context(), v.ID, odd); !array.Is(err, array.Invalid) {
		t.Error(err)
	}
	// Another unit where ours should be.
	tid := r.must("tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target")
	number := strings.Fields(strings.Split(tid, ":")[0])[1]
	adm := []string{"tgtadm", "--lld", "iscsi", "--mode", "logicalunit", "--tid", number, "--lun", "1"}
	r.must(append(adm, "--op", "delete")...)
	r.must(append(adm, "--op", "new", "-b", r.image(w.ID))...)
	if _, err := r.array.Export(t.Context(), v.ID, g); !array.Is(err, array.Exists) {
		t.Error(err)
	}
	// A file that somebody has put his hands on.
	conf := filepath.Join(r.dir, "conf.d", "onevolume-"+v.Name+".conf")
	if err := os.WriteFile(conf, []byte(ours+"grant x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.array.Export(t.Context(), v.ID, g); !array.Is(err, array.Refused) || onevolume.HintOf(err) == "" {
		t.Error(err)
	}
	r.stop()
	if _, err := r.array.Exports(t.Context(), v.ID); !array.Is(err, array.Transient) || !strings.Contains(err.Error(), "tgtd does not answer") {
		t.Error(err)
	}
	r.start()
}

func TestParse(t *testing.T) {
	text, err := os.ReadFile("testdata/show.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, err := parse(string(text))
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	l := list[0]
	if l.tid != 1 || l.iqn != "iqn.2010-10.org.example:vol1" || l.units[1] != (unit{"/path", "beaf11", "17 MB"}) ||
		len(l.sessions) != 1 || l.sessions[0].sid != 9 || l.sessions[0].initiator != "iqn.1993-08.org.debian:01:aaa" ||
		l.sessions[0].address != "127.0.0.1" || fmt.Sprint(l.sessions[0].connections, l.accounts, l.acl) != "[0] [u1] [ALL]" {
		t.Errorf("%+v", l)
	}
	if l := list[1]; l.tid != 12 || l.iqn != "iqn.2010-10.org.example:vol2" || len(l.sessions)+len(l.accounts)+len(l.acl) != 0 || l.units[1].path != "" {
		t.Errorf("%+v", l)
	}
	for _, s := range []string{"x\n", "Target x: y\n", "Target 1: a\n" + nexuses + "\nI_T nexus: x\n", "Target 1: a\n" + units + "\nLUN: x\n", "Target 1: a\n" + nexuses + "\nInitiator: a\n"} {
		if list, err := parse(s); err == nil {
			t.Errorf("%q gave %+v", s, list)
		}
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/show.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Fuzz(func(t *testing.T, s string) {
		list, err := parse(s)
		if err == nil && len(list) > strings.Count(s, "Target ") {
			t.Errorf("%q gave %d", s, len(list))
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add("iqn.a.b:c", "user", "secret123456")
	f.Fuzz(func(t *testing.T, initiator, user, secret string) {
		g := array.Grant{Initiator: onevolume.IQN(initiator), CHAP: onevolume.CHAP{User: user, Secret: secret}}
		if array.CheckGrant(g) != nil || !writable(user) || !writable(secret) {
			return
		}
		x := &target{Options{IQN: prefix}}
		id := array.NewID()
		r, err := parseRecord(x.render(id, record{"/dev/x", []array.Grant{g}}))
		if err != nil || r.device != "/dev/x" || len(r.grants) != 1 || r.grants[0] != g {
			t.Errorf("%+v became %+v, %v", g, r, err)
		}
	})
}
