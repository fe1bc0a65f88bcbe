package assemble

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"time"

	"onevolume/daemon"
)

// process names this process in journals: program, host, user and pid, and
// for people since when. The boot and the process's start in clock ticks after
// it tell it from all others that have had or will have its pid, whatever the
// time of the day does.
func process(program string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	owner := fmt.Sprintf("%s@%s user %s pid %d since %d", program, host, name, os.Getpid(), time.Now().Unix())
	boot, start := bootID(), startOf(os.Getpid())
	if boot != "" && start != "" {
		owner += " boot " + boot + " start " + start
	}
	return owner
}

// deadHere says whether an operation's owner was a process of this machine
// that is surely gone, so that its lease need not be waited for: the machine
// has booted since, nothing has the pid, or something else has. Owners on
// other machines are told apart by the host's name, which must be its own.
func deadHere(owner string) bool {
	host, err := os.Hostname()
	if err != nil {
		return false
	}
	for _, program := range []string{"onevolumed", "onevolume"} {
		if rest, ok := daemon.OwnerAt(owner, program, host); ok {
			return gone(rest)
		}
	}
	return false
}

// gone says whether the process with these words of its name is.
func gone(words string) bool {
	pid, err := strconv.Atoi(wordAfter(words, "pid"))
	if err != nil || pid <= 0 {
		return false
	}
	boot, start := wordAfter(words, "boot"), wordAfter(words, "start")
	if now := bootID(); boot != "" && now != "" && boot != now {
		return true
	}
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	// Without these words the pid alone says who it is, and may be another's.
	now := startOf(pid)
	return boot != "" && start != "" && now != "" && start != now
}

// wordAfter gives the word behind a word.
func wordAfter(text, word string) string {
	fields := strings.Fields(text)
	for i, f := range fields {
		if f == word && i+1 < len(fields) {
			return fields[i+1]
		}
	}
	return ""
}

// bootID gives eight digits of the kernel's random name of this boot; nothing
// when it cannot be read. The time of the boot would do as well, but moves
// when the clock is set.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(text) < 8 {
		return ""
	}
	return string(text[:8])
}

// startOf gives when a process started, in clock ticks after the boot
// (proc_pid_stat(5), field 22); nothing when that is not known. The second
// field is the program's name in brackets, with whatever characters it has.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const start = 22 - 3 // counted from the third, which is the first here
	if len(fields) <= start {
		return ""
	}
	return fields[start]
}
