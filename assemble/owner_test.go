package assemble

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Owners on this machine are told dead exactly when they are: after a reboot,
// when their pid is free, and when another process has it.
func TestDeadOwners(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	}()
	boot, self, alive := bootID(), startOf(os.Getpid()), sleeper.Process.Pid
	if boot == "" || self == "" || startOf(alive) == "" || startOf(alive) == self {
		t.Fatalf("boot %q, starts %q and %q", boot, self, startOf(alive))
	}
	owner := func(program string, pid int, more string) string {
		return fmt.Sprintf("%s@%s user one pid %d since 1%s", program, host, pid, more)
	}
	here := fmt.Sprintf(" boot %s start %s", boot, startOf(alive))
	for owner, want := range map[string]bool{
		process("onevolumed"):                                                                   false,
		process("onevolume") + " request 4":                                                     false,
		owner("onevolumed", dead.Process.Pid, " request 4"):                                     true,
		owner("onevolume", dead.Process.Pid, ""):                                                true,
		owner("onevolumed", dead.Process.Pid, here):                                             true,
		owner("onevolumed", alive, ""):                                                          false, // may be it
		owner("onevolumed", alive, here):                                                        false,
		owner("onevolume", alive, here+" request 7"):                                            false,
		owner("onevolumed", alive, fmt.Sprintf(" boot %s start 1", boot)):                       true, // its pid is another's now
		owner("onevolumed", os.Getpid(), fmt.Sprintf(" boot %s start 1", boot)):                 true, // ours, even
		owner("onevolumed", alive, " boot 00000000 start "+startOf(alive)):                      true, // before the machine booted
		owner("onevolumed", alive, " boot "+boot):                                               false,
		strings.Replace(owner("onevolumed", dead.Process.Pid, here), "@"+host, "@elsewhere", 1): false,
		"somebody": false, "": false, "onevolumed@" + host + " pid x": false, "onevolumed@" + host + " pid -1": false,
	} {
		if got := deadHere(owner); got != want {
			t.Errorf("%q: dead %v, want %v", owner, got, want)
		}
	}
}

// A program's name may hold anything.
func TestStartOfOddlyNamedProcess(t *testing.T) {
	name := t.TempDir() + "/a) R 1 (b"
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(sleep, name); err != nil {
		t.Fatal(err)
	}
	odd, plain := exec.Command(name, "60"), exec.Command(sleep, "60")
	for _, c := range []*exec.Cmd{odd, plain} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		}()
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", odd.Process.Pid))
	if err != nil || !strings.Contains(string(text), ") R 1 (") {
		t.Fatalf("%s %v", text, err)
	}
	var a, b int
	if _, err := fmt.Sscan(startOf(odd.Process.Pid)+" "+startOf(plain.Process.Pid), &a, &b); err != nil || b < a || b-a > 6000 {
		t.Errorf("started at %d and %d: %v", a, b, err)
	}
}
