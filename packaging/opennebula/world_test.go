// Package opennebula_test runs the scripts that stand in the way of
// OpenNebula's and libvirt's, with sh, on a made-up front-end and host.
package opennebula_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oned's configuration, with what 7.4.0 ships for its VM drivers and what
// administrators make of it.
const onedConf = `#*******************************************************************************
# Virtualization Driver Configuration
#*******************************************************************************
LOG = [ SYSTEM = "file", DEBUG_LEVEL = 3 ]

VM_MAD = [
    NAME           = "kvm",
    SUNSTONE_NAME  = "KVM",
    EXECUTABLE     = "one_vmm_exec",
    # ARGUMENTS    = "-t 15 -r 0 kvm -p -l migrate=other", with ] and "
    ARGUMENTS      = "-t 15 -r 0 kvm -p",
    DEFAULT        = "vmm_exec/vmm_exec_kvm.conf",
    TYPE           = "kvm",
    KEEP_SNAPSHOTS = "yes",
    IMPORTED_VMS_ACTIONS = "terminate, terminate-hard, hold, release, suspend,
        resume, delete, reboot"
]

VM_MAD = [ NAME = "qemu", EXECUTABLE = "one_vmm_exec", ARGUMENTS = "-t 15 -r 0 kvm", TYPE = "qemu" ]   # nested
VM_MAD = [
    NAME       = "lxc",
    EXECUTABLE = "one_vmm_exec",
    ARGUMENTS  = "-t 15 -r 0 lxc",
    # DEFAULT  = "vmm_exec/vmm_exec_lxc.conf",
    TYPE       = "xml"
]
#VM_MAD = [ NAME="dummy", SUNSTONE_NAME="Testing", EXECUTABLE="one_vmm_dummy",
#  TYPE="xml" ]

TM_MAD = [ EXECUTABLE = "one_tm", ARGUMENTS = "-t 15 -d dummy,lvm,shared" ]
`

const ours = "-l migrate=onevolume-migrate,restore=onevolume-restore "

// place is a front-end and a host in a folder.
type place struct {
	*testing.T
	root string
	bin  string // before everything else in PATH
	env  []string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	root := t.TempDir()
	p := &place{T: t, root: root, bin: filepath.Join(root, "bin")}
	p.env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "ONE_LOCATION="+root, "LIBVIRT_HOOKS="+p.path("libvirt hooks"),
		"TMPDIR="+p.path("tmp"), "LC_ALL=C")
	p.write("etc/oned.conf", onedConf, 0o640)
	p.write("var/config", "SCRIPTS_REMOTE_DIR="+p.path("host's remotes")+"\n", 0o600)
	for _, dir := range []string{"tmp", "var/remotes/vmm/kvm"} {
		if err := os.MkdirAll(p.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// As install.sh lays it out.
	for from, to := range map[string]string{"onevolume-setup": "usr/sbin/onevolume-setup", "libvirt/qemu": "usr/share/onevolume/libvirt/qemu",
		"remotes/vmm/kvm/onevolume-migrate": "usr/share/onevolume/remotes/vmm/kvm/onevolume-migrate",
		"remotes/vmm/kvm/onevolume-restore": "usr/share/onevolume/remotes/vmm/kvm/onevolume-restore"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		p.write(to, string(text), 0o755)
	}
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.root, name) }

func (p *place) write(name, text string, mode os.FileMode) {
	p.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(text), mode); err != nil {
		p.Fatal(err)
	}
	if err := os.Chmod(p.path(name), mode); err != nil {
		p.Fatal(err)
	}
}

func (p *place) read(name string) string {
	p.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil && !os.IsNotExist(err) {
		p.Fatal(err)
	}
	return string(text)
}

// result is how a program ended.
type result struct {
	status   int
	out, err string
}

// run runs a program to its end.
func (p *place) run(stdin, name string, args ...string) result {
	p.Helper()
	var out, words bytes.Buffer
	cmd := exec.CommandContext(p.Context(), name, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.env, strings.NewReader(stdin), &out, &words
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		p.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), words.String()}
}

func (p *place) setup(args ...string) result {
	p.Helper()
	return p.run("", p.path("usr/sbin/onevolume-setup"), args...)
}

// want fails unless a program ended so, and said all of this.
func (p *place) want(r result, status int, says ...string) {
	p.Helper()
	if r.status != status {
		p.Errorf("exit status %d, want %d\n%s%s", r.status, status, r.out, r.err)
	}
	for _, s := range says {
		if !strings.Contains(r.out+r.err, s) {
			p.Errorf("%q is not in\n%s%s", s, r.out, r.err)
		}
	}
}
