//go:build lab

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onevolume/lab"
)

// workflow is one way through a workflow, with all writes to its journal. A
// point is a place just before or just after such a write, where the process
// that runs it is killed by SIGKILL.
type workflow struct {
	name string
	args []string // of onevolume; VM and volume are filled in
	// begin is what the volume is before: AVAILABLE or ATTACHED.
	begin string
	// stubborn names what the host's virsh does not do meanwhile.
	stubborn string
	// orphan, when set, is the point at which a client is killed first; the
	// one that is killed here is then the daemon that takes over from it.
	orphan string
	writes int
	// ends is what the volume must be in the end when the process is killed
	// at a point.
	ends func(p point) string
	// ci are the points that are tried unless ONEVOLUME_EVERY is set.
	ci string
}

type point struct {
	n      int
	before bool
}

func (p point) String() string {
	if p.before {
		return fmt.Sprintf("%d/before", p.n)
	}
	return fmt.Sprintf("%d/after", p.n)
}

// from gives one end to the points from the first one on, another to those
// before it.
func from(n int, before bool, earlier, then string) func(point) string {
	return func(p point) string {
		if p.n > n || p.n == n && (p.before == before || before) {
			return then
		}
		return earlier
	}
}

func always(end string) func(point) string { return func(point) string { return end } }

// workflows are those of one process: the client's or the daemon's. What has
// reached the guest stays there; whatever has not is taken back. A detach that
// has begun is carried on.
var workflows = []workflow{
	{name: "attach", args: []string{"attach", "VM", "--volume", "VOLUME"}, begin: "AVAILABLE", writes: 6,
		ends: from(5, true, "AVAILABLE", "ATTACHED"), ci: "1/after 3/before 4/after 5/before 6/before"},
	{name: "detach", args: []string{"detach", "VM", "VOLUME", "--yes"}, begin: "ATTACHED", writes: 7,
		ends: from(1, false, "ATTACHED", "AVAILABLE"), ci: "1/after 2/after 3/before 4/after 5/before 6/before 7/before"},
	{name: "attach, refused by the domain", args: []string{"attach", "VM", "--volume", "VOLUME"}, begin: "AVAILABLE",
		stubborn: "attach-device", writes: 8, ends: always("AVAILABLE"), ci: "3/before 5/before 6/before 7/after"},
	{name: "detach, refused by the guest", args: []string{"detach", "VM", "VOLUME", "--yes"}, begin: "ATTACHED",
		stubborn: "detach-disk", writes: 5, ends: always("ATTACHED"), ci: "1/after 3/after 5/before"},
}

// resumes are those of a daemon that takes over from a client.
var resumes = []workflow{
	{name: "take an attach back", args: workflows[0].args, begin: "AVAILABLE", orphan: "4/after", writes: 5,
		ends: always("AVAILABLE"), ci: "1/after 3/before 5/before"},
	{name: "complete an attach", args: workflows[0].args, begin: "AVAILABLE", orphan: "5/before", writes: 6,
		ends: always("ATTACHED"), ci: "1/before 3/after 5/before 6/before"},
	{name: "carry a detach on", args: workflows[1].args, begin: "ATTACHED", orphan: "3/before", writes: 7,
		ends: always("AVAILABLE"), ci: "2/after 4/before 5/after 7/before"},
}

// points are those to try.
func (w workflow) points() []point {
	var list []point
	for n := 1; n <= w.writes; n++ {
		for _, p := range []point{{n, true}, {n, false}} {
			if os.Getenv("ONEVOLUME_EVERY") != "" || slices.Contains(strings.Fields(w.ci), p.String()) {
				list = append(list, p)
			}
		}
	}
	return list
}

// withEnd adds one point past the last, to see that there are no more writes
// than are known.
func (w workflow) withEnd() []point { return append(w.points(), point{w.writes + 1, true}) }

// site is one host with its guest, a unit of its own and an inventory of its
// own, so that two of them can be worked on side by side.
type site struct {
	*cloud
	vm           int
	host, target string
}

// TestCrashPoints kills the real processes at exact points of every workflow
// and has others carry on: a client by the living daemon, when its lease has
// ended; a daemon by its successor, at once; and a daemon while it carries on
// for a client. A third of all points, chosen by hand, unless ONEVOLUME_EVERY
// asks for all.
func TestCrashPoints(t *testing.T) {
	l := lab.Open(t)
	(&cloud{Lab: l, t: t}).fresh()
	l.AddTarget("crash17", 16)
	l.AddTarget("crash18", 16)
	t.Run("side by side", func(t *testing.T) {
		t.Run("client", func(t *testing.T) {
			t.Parallel()
			s := crashSite(t, l, 17, "host01")
			for _, w := range workflows {
				s.run(w, "client", w.withEnd(), s.clientDies)
			}
			for _, w := range resumes[:1] {
				s.run(w, "daemon after a client", w.withEnd(), s.successorDies)
			}
			s.off()
		})
		t.Run("daemon", func(t *testing.T) {
			t.Parallel()
			s := crashSite(t, l, 18, "host02")
			for _, w := range workflows { // which have as many writes as in the client
				s.run(w, "daemon", w.points(), s.daemonDies)
			}
			for _, w := range resumes[1:] {
				s.run(w, "daemon after a client", w.withEnd(), s.successorDies)
			}
			s.off()
		})
	})
	if t.Failed() {
		l.Reset()
	}
}

// openSite starts a daemon for the site, after what else is to be changed.
func openSite(t *testing.T, l *lab.Lab, vm int, host string, change ...func(*site)) *site {
	s := &site{cloud: open(t, l.For(t)), vm: vm, host: host}
	s.operations = "lease: 3s, sweep: 500ms, unplug: 2s, lock: 20s"
	for _, f := range change {
		f(s)
	}
	s.configure("")
	s.startDaemon()
	t.Cleanup(func() {
		s.obeys()
		s.untrap()
		s.down()
		if t.Failed() {
			s.tellLog()
		} else {
			s.Clean(t, host)
		}
	})
	return s
}

// crashSite is a site with a unit of its own.
func crashSite(t *testing.T, l *lab.Lab, vm int, host string) *site {
	s := openSite(t, l, vm, host)
	s.target = fmt.Sprint("crash", vm)
	s.volume("disk", s.target, 1, 16)
	return s
}

// run tries points of a workflow. kill runs the workflow in a process that
// dies at the point, has another carry on, and says what the dead one was
// about to write or had written; nothing when it lived.
func (s *site) run(w workflow, who string, points []point, kill func(w workflow, p point) string) {
	for _, p := range points {
		name := fmt.Sprintf("%s by %s, killed %s", w.name, who, p)
		s.part(name, func(t *testing.T) {
			s.brings(w.begin)
			s.refuses(w.stubborn)
			wrote := kill(w, p)
			end := ""
			s.eventually("no operation has the volume", func() bool {
				end = s.show("disk")["STATUS"]
				return !strings.HasSuffix(end, "ING")
			})
			s.obeys()
			switch {
			case p.n > w.writes && wrote != "":
				t.Fatalf("there is a write %d, %s: count it, and choose its points", p.n, wrote)
			case p.n > w.writes:
				p.n, wrote = w.writes, "not killed"
			case wrote == "":
				t.Fatalf("not killed: it ended before write %d", p.n)
			}
			s.truly(end, w.ends(p))
			t.Logf("point | %-32s | %-21s | %-50s | %s", w.name, who, wrote, end)
		})
		if s.t.Failed() {
			s.t.FailNow() // the next point would begin on what this one left
		}
	}
}

// truly wants the volume to have ended so, and looks whether that is so. The
// domain has no other disk, unless more are given.
func (s *site) truly(end, want string, disks ...int) {
	s.t.Helper()
	if end != want {
		s.t.Errorf("the volume is %s (%s), want %s", end, s.show("disk")["REASON"], want)
	}
	v := s.show("disk")
	switch end {
	case "ATTACHED":
		text := fmt.Sprint("written ", time.Now().UnixNano())
		s.pattern(s.vm, "onevolume-0", text)
		if !s.holds(s.target, 1, text) {
			s.t.Error("ATTACHED, but what the guest writes is not in the backing store")
		}
		if n := len(s.Disks(s.host, s.vm)); n != append(disks, 1)[0] {
			s.t.Errorf("ATTACHED, and the domain has %d disks", n)
		}
		if v["VM_ID"] != fmt.Sprint(s.vm) || v["HOST"] != s.host {
			s.t.Errorf("ATTACHED, and the inventory has %v", v)
		}
	case "AVAILABLE":
		s.Clean(s.t, s.host)
		if v["VM_ID"] != "-1" || v["HOST"] != "" {
			s.t.Errorf("AVAILABLE, and the inventory has %v", v)
		}
		if !s.zero(s.target, 1) {
			s.t.Error("AVAILABLE, and not blank")
		}
	}
}

// brings makes the volume AVAILABLE, or ATTACHED with data of the guest's.
func (s *site) brings(state string) {
	s.t.Helper()
	if strings.Contains(strings.Join(s.meddled, " "), "ONEVOLUME_CRASH=") {
		s.t.Fatal("the daemon is to kill itself still")
	}
	switch is := s.show("disk")["STATUS"]; {
	case is == state:
	case state == "ATTACHED":
		s.must("attach", fmt.Sprint(s.vm), "--volume", "disk")
		s.pattern(s.vm, "onevolume-0", "to-be-wiped")
	default:
		s.must("detach", fmt.Sprint(s.vm), "disk", "--yes")
	}
}

// refuses puts a virsh before the host's own that does not do the named: it
// is led to what is not there.
func (s *site) refuses(what string) {
	s.t.Helper()
	if what == "" {
		return
	}
	script := "#!/bin/bash\nargs=(\"$@\")\nfor i in \"${!args[@]}\"; do\n" +
		"case ${args[i]} in *" + what + "*) args[i]=$(sed -E 's,(attach-device [^ ]+) [^ ]+,\\1 /nonexistent,; s,(detach-disk [^ ]+) [^ ]+,\\1 sdnone,' <<<\"${args[i]}\") ;; esac\n" +
		"done\nexec /usr/bin/virsh \"${args[@]}\"\n"
	s.Must(s.Exec(s.host, "cat >/usr/local/bin/virsh <<'END'\n"+script+"END\nchmod 755 /usr/local/bin/virsh"))
}

func (s *site) obeys() { s.Must(s.Exec(s.host, "rm", "-f", "/usr/local/bin/virsh")) }

func (s *site) words(w workflow, more ...string) []string {
	args := append(slices.Clone(w.args), more...)
	for i := range args {
		args[i] = strings.NewReplacer("VM", fmt.Sprint(s.vm), "VOLUME", "disk").Replace(args[i])
	}
	return args
}

// client runs a workflow in a client that dies at the point, and says what it
// was killed at.
func (s *site) client(w workflow, point string) string {
	s.t.Helper()
	cmd := exec.Command(bin("crash/onevolume"), append([]string{"--config", s.conf}, s.words(w)...)...)
	cmd.Env = append(s.env, "ONE_AUTH="+s.dir+"/oneadmin.auth", "ONEVOLUME_CRASH="+point)
	out, _ := cmd.CombinedOutput()
	return s.killed(cmd, string(out))
}

const mark = "crashpoint: killed "

// killed reads in the output of a process that has ended at which point it
// was killed; nothing when it was not.
func (s *site) killed(cmd *exec.Cmd, said string) string {
	s.t.Helper()
	_, at, dead := strings.Cut(said, mark)
	at, _, _ = strings.Cut(at, "\n")
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || dead != (status.Signaled() && status.Signal() == syscall.SIGKILL) {
		s.t.Fatalf("it ended with %v, and said\n%s", cmd.ProcessState, said)
	}
	if !dead {
		s.t.Logf("it ended with %v\n%s", cmd.ProcessState, said)
	}
	return at
}

func (s *site) clientDies(w workflow, p point) string { return s.client(w, p.String()) }

// daemonDies has the daemon do the work and die of it.
func (s *site) daemonDies(w workflow, p point) string {
	s.t.Helper()
	s.restart("ONEVOLUME_CRASH=" + p.String())
	client := s.command(s.t.Context(), "oneadmin", s.words(w, "--server")...)
	out, _ := client.CombinedOutput()
	s.t.Logf("the client ended with %v\n%s", client.ProcessState, out)
	return s.diedOrNot(p.n > w.writes)
}

// successorDies has the daemon take over from a client, and die of that.
func (s *site) successorDies(w workflow, p point) string {
	s.t.Helper()
	s.restart("ONEVOLUME_CRASH=" + p.String())
	if at := s.client(w, w.orphan); at == "" {
		s.t.Fatal("the client did not die")
	}
	if p.n > w.writes {
		s.settles("disk", w.ends(p))
	}
	return s.diedOrNot(p.n > w.writes)
}

// restart begins a daemon anew, that may be meddled with.
func (s *site) restart(meddled ...string) {
	s.t.Helper()
	s.down()
	s.meddled = meddled
	s.startDaemon()
}

// diedOrNot waits for the daemon's death, unless it is to live, and starts
// its successor.
func (s *site) diedOrNot(lives bool) string {
	s.t.Helper()
	if lives {
		select {
		case <-s.ended:
		default:
			s.down()
		}
	}
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		s.t.Fatal("the daemon was not killed")
	}
	text, err := os.ReadFile(s.dir + "/daemon.log")
	if err != nil {
		s.t.Fatal(err)
	}
	said := string(text[strings.LastIndex(string(text), started)+1:])
	at := s.killed(s.process, said)
	s.restart()
	return at
}

// started is in the daemon's log once for each start.
const started = "onevolumed serves"
