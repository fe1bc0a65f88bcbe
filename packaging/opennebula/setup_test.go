package opennebula_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSetup installs, looks, and takes all back.
func TestSetup(t *testing.T) {
	p := newPlace(t)
	p.write("bin/onevolume", "#!/bin/sh\n", 0o755)
	p.want(p.setup("check"), 1, "VM_MAD kvm: inactive", "VM_MAD qemu: inactive", "onevolume-migrate: missing")
	if r := p.setup("check"); strings.Contains(r.out, "lxc") {
		p.Error(r.out)
	}

	p.want(p.setup("install", "--dry-run"), 0, `>     ARGUMENTS      = "`+ours+`-t 15 -r 0 kvm -p",`, "nothing was changed")
	if p.read("etc/oned.conf") != onedConf || p.read("var/remotes/vmm/kvm/onevolume-migrate") != "" {
		p.Error("a dry run changed something")
	}

	p.want(p.setup("install"), 0, "restart oned")
	want := strings.NewReplacer(`"-t 15 -r 0 kvm -p",
    DEFAULT`, `"`+ours+`-t 15 -r 0 kvm -p",
    DEFAULT`, `"-t 15 -r 0 kvm",`, `"`+ours+`-t 15 -r 0 kvm",`).Replace(onedConf)
	if got := p.read("etc/oned.conf"); got != want || got == onedConf {
		p.Errorf("oned.conf is\n%s", got)
	}
	if info, err := os.Stat(p.path("etc/oned.conf")); err != nil || info.Mode().Perm() != 0o640 {
		p.Error(info.Mode(), err)
	}
	p.want(p.setup("install"), 0, "nothing to change")
	if p.read("etc/oned.conf") != want {
		p.Error("the second installation changed something")
	}
	p.want(p.setup("check"), 1, "VM_MAD kvm: active", "VM_MAD qemu: active", "onevolume-restore: there")

	// A new version of OpenNebula, or of onevolume.
	p.write("var/remotes/vmm/kvm/onevolume-migrate", "#!/bin/sh\n", 0o755)
	p.want(p.setup("check"), 1, "not this version's")
	p.write("etc/oned.conf", onedConf, 0o640)
	p.want(p.setup("check"), 1, "VM_MAD kvm: inactive")
	p.want(p.setup("install"), 0)

	p.want(p.setup("remove"), 0, "onevolume-migrate: removed")
	if p.read("etc/oned.conf") != onedConf {
		p.Errorf("what is left is\n%s", p.read("etc/oned.conf"))
	}
	p.want(p.setup("remove"), 0, "nothing to change")
	if left, err := os.ReadDir(p.path("var/remotes/vmm/kvm")); err != nil || len(left) != 0 {
		p.Error(left, err)
	}
	if left, err := os.ReadDir(p.path("etc")); err != nil || len(left) != 1 {
		p.Error(left, err)
	}
}

// TestSetupRunning looks at the drivers of a running oned, and leaves them
// their scripts.
func TestSetupRunning(t *testing.T) {
	p := newPlace(t)
	p.write("bin/onevolume", "#!/bin/sh\n", 0o755)
	p.write("mads/one_vmm_exec", "#!/bin/sh\nread -r _\n", 0o755)
	driver := func(args ...string) (pid string, end func()) {
		cmd := exec.CommandContext(t.Context(), p.path("mads/one_vmm_exec"), args...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return strconv.Itoa(cmd.Process.Pid), func() { _ = in.Close(); _ = cmd.Wait() }
	}
	p.want(p.setup("install"), 0)
	pid, end := driver("-t", "15", "-r", "0", "kvm", "-p")
	p.want(p.setup("check"), 1, "(process "+pid+") runs without onevolume: restart")
	end()
	pid, end = driver(append(strings.Fields(ours), "-t", "15", "-r", "0", "kvm", "-p")...)
	p.want(p.setup("check"), 0, "(process "+pid+") runs with onevolume")
	p.want(p.setup("remove"), 0, "stay until then")
	if p.read("var/remotes/vmm/kvm/onevolume-migrate") == "" {
		p.Error("the script of a running driver was removed")
	}
	end()
	p.want(p.setup("remove"), 0, "onevolume-migrate: removed")
}

// TestSetupConf edits what administrators may have written, with each awk
// that there is, and refuses what it could not take back.
func TestSetupConf(t *testing.T) {
	t.Parallel()
	mad := func(arguments string) string {
		return `VM_MAD = [ NAME = "kvm", EXECUTABLE = "/usr/lib/one/mads/one_vmm_exec", ARGUMENTS = "` + arguments + `" ]` + "\n"
	}
	type test struct{ name, conf, want, says string }
	all := []test{
		{"other local actions", mad("-l poll=x,save -t 15 kvm"), mad("-l poll=x,save,migrate=onevolume-migrate,restore=onevolume-restore -t 15 kvm"), ""},
		{"as the last word", mad("kvm -l save"), mad("kvm -l save,migrate=onevolume-migrate,restore=onevolume-restore"), ""},
		{"without blanks", "VM_MAD=[NAME=kvm,EXECUTABLE=\"one_vmm_exec\",ARGUMENTS=\"kvm\"]\n", "VM_MAD=[NAME=kvm,EXECUTABLE=\"one_vmm_exec\",ARGUMENTS=\"" + ours + "kvm\"]\n", ""},
		{"the name before the options", mad("kvm -t 15"), mad(ours + "kvm -t 15"), ""},
		{"its own migrate", mad("-l migrate=mine kvm"), "", "has a script of its own for migrate or restore"},
		{"its own restore", mad("-l save,RESTORE kvm"), "", "has a script of its own for migrate or restore"},
		{"the long form", mad("--local save kvm"), "", "write them as -l actions"},
		{"by hand", mad("-l migrate=onevolume-migrate kvm"), "", "a form that is not ours"},
		{"an escape", mad(`\"kvm\"`), "", "has a backslash in ARGUMENTS"},
		{"what is no pair", "VM_MAD = [ NAME kvm ]\n", "", "cannot be read at: NAME kvm"},
		{"no end", `VM_MAD = [ NAME = "kvm",` + "\n", "", "has no end"},
		{"no newline", strings.TrimSuffix(mad("kvm"), "\n"), "", "does not end with a newline"},
		{"no KVM", mad("lxc"), "", "no VM_MAD of KVM"},
		{"nothing", "", "", "no VM_MAD of KVM"},
	}
	for _, awk := range [][]string{{"awk"}, {"mawk"}, {"busybox", "awk"}} {
		program, err := exec.LookPath(awk[0])
		if err != nil {
			continue
		}
		t.Run(awk[0], func(t *testing.T) {
			t.Parallel()
			p, tests := newPlace(t), all
			if awk[0] != "awk" {
				p.write("bin/awk", "#!/bin/sh\nexec "+strings.Join(append([]string{program}, awk[1:]...), " ")+" \"$@\"\n", 0o755)
				tests = all[:3]
			}
			for _, test := range append([]test{{"as shipped", onedConf, "", ""}}, tests...) {
				p.write("etc/oned.conf", test.conf, 0o640)
				r := p.setup("install")
				if test.says != "" {
					p.want(r, 1, test.says)
					if p.read("etc/oned.conf") != test.conf {
						t.Errorf("%s: refused, and changed", test.name)
					}
					continue
				}
				p.want(r, 0)
				if got := p.read("etc/oned.conf"); test.want != "" && got != test.want || got == test.conf {
					t.Errorf("%s: oned.conf is\n%s", test.name, got)
				}
				p.want(p.setup("remove"), 0)
				if got := p.read("etc/oned.conf"); got != test.conf {
					t.Errorf("%s: what is left is\n%s", test.name, got)
				}
			}
		})
	}
}

// TestSetupElsewhere refuses a machine that is no front-end, and words that
// it does not know.
func TestSetupElsewhere(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.want(p.setup(), 2, "onevolume-setup install")
	p.want(p.setup("instal"), 2)
	p.want(p.setup("-h"), 0, "ONE_LOCATION")
	if err := os.Remove(p.path("etc/oned.conf")); err != nil {
		t.Fatal(err)
	}
	p.want(p.setup("check"), 1, "cannot be read")
	p.want(p.setup("remove"), 1, "is this OpenNebula's front-end?")
	if err := os.RemoveAll(p.path("var/remotes")); err != nil {
		t.Fatal(err)
	}
	p.want(p.setup("install"), 1, "is this OpenNebula's front-end?")
}

// TestSetupHost puts the hook beside others.
func TestSetupHost(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const hook = "libvirt hooks/qemu.d/onevolume"
	p.write("bin/virtqemud", "#!/bin/sh\nexit 127\n", 0o755)
	p.write("bin/libvirtd", "#!/bin/sh\necho 'libvirtd (libvirt) 6.0.0'\n", 0o755)
	p.want(p.setup("host", "install"), 1, "libvirt 6.0.0 has no folder")
	p.write("bin/libvirtd", "#!/bin/sh\necho 'libvirtd (libvirt) 10.0.0'\n", 0o755)
	p.write("libvirt hooks/qemu", "#!/bin/sh\n# somebody else's\n", 0o755)
	p.want(p.setup("host", "check"), 1, "missing")
	p.want(p.setup("host", "install"), 0, "installed")
	p.want(p.setup("host", "install"), 0, "nothing to change")
	p.want(p.setup("host", "check"), 0, "there")
	if got := p.read("libvirt hooks/qemu"); got != "#!/bin/sh\n# somebody else's\n" {
		t.Error(got)
	}
	p.write(hook, "#!/bin/sh\n", 0o755)
	p.want(p.setup("host", "check"), 1, "not this version's")
	p.want(p.setup("host", "remove"), 0, "removed")
	p.want(p.setup("host", "remove"), 0)
	if p.read(hook) != "" || p.read("libvirt hooks/qemu") == "" {
		t.Error("removed the wrong one")
	}
}

// TestSetupHostRunning sees that libvirt was started before the hook came.
func TestSetupHostRunning(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("bin/virtqemud", "#!/bin/sh\necho 'virtqemud (libvirt) 10.0.0'\n", 0o755)
	p.write("sbin/libvirtd", "#!/bin/sh\nread -r _\n", 0o755)
	cmd := exec.CommandContext(t.Context(), p.path("sbin/libvirtd"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	p.want(p.setup("host", "install"), 0)
	// Files change by the second.
	future := time.Now().Add(time.Minute).Unix()
	p.write("bin/stat", "#!/bin/sh\necho "+strconv.FormatInt(future, 10)+"\n", 0o755)
	p.want(p.setup("host", "check"), 1, "libvirt was started before it")
}
