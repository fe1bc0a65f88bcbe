package opennebula_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// message is what oned's driver tells its scripts, with what a shell could
// make of it.
const message = "<VMM_DRIVER_ACTION_DATA><HOST><![CDATA[host01]]></HOST><VM><ID>3</ID><USER_TEMPLATE><NOTE><![CDATA[it's $HOME `id` \\n\t\"]]></NOTE>\r\n" +
	"<ONEVOLUME><ID><![CDATA[5]]></ID></ONEVOLUME></USER_TEMPLATE></VM></VMM_DRIVER_ACTION_DATA>"

// front is a front-end with the wrappers, and a host that ssh comes to.
func front(t *testing.T) *place {
	p := newPlace(t)
	p.want(p.setup("install"), 0)
	// ssh runs the command with a shell there, as sshd does, and notes what it
	// was called with.
	p.write("bin/ssh", `#!/bin/sh
[ "$1" != -n ] || { shift; exec </dev/null; }
options=
while [ "$1" = -o ]; do options="$options $2"; shift 2; done
echo "ssh$options $1" >>"`+p.path("calls")+`"
[ "$1" != lost ] || { echo "ssh: connect to host lost port 22: No route to host" >&2; exit 255; }
exec sh -c "$2"
`, 0o755)
	p.write("bin/scp", `#!/bin/sh
shift
while [ $# -gt 1 ]; do
    case $1 in */vmm) ;; *) echo "scp of $1" >&2; exit 1 ;; esac
    cp -r "$1" "${2#*:}"; shift
done
`, 0o755)
	p.script("migrate", "echo moved; echo 'INFO: 3 words' >&2; exit ${STATUS:-0}")
	p.script("restore", "echo restored; exit ${STATUS:-0}")
	p.hook("")
	return p
}

// script puts a script on the host that notes its arguments and its input.
func (p *place) script(name, rest string) {
	p.write("host's remotes/vmm/kvm/"+name, `#!/bin/sh
echo host "${0##*/}" >>"`+p.path("calls")+`"
for a; do printf '<%s>' "$a"; done >"`+p.path("arguments")+`"
cat >"`+p.path("input")+`"
`+rest+"\n", 0o755)
}

// hook is the program onevolume, which does the rest.
func (p *place) hook(rest string) {
	p.write("bin/onevolume", "#!/bin/sh\necho onevolume \"$@\" >>'"+p.path("calls")+"'\necho out\n"+rest+"\n", 0o755)
}

// call calls a wrapper as oned's driver does: by a command line for sh, with
// the parameters in quotes and the message in base64.
func (p *place) call(name, parameters string) result {
	p.Helper()
	for _, f := range []string{"calls", "arguments", "input"} {
		_ = os.Remove(p.path(f))
	}
	r := p.run(base64.StdEncoding.EncodeToString([]byte(message)), "sh", "-c",
		p.path("var/remotes/vmm/kvm/onevolume-"+name)+" "+parameters)
	if left, _ := filepath.Glob(p.path("tmp/*")); len(left) > 0 {
		p.Errorf("left behind: %v", left)
	}
	return r
}

func (p *place) calls() string {
	return strings.ReplaceAll(strings.TrimSpace(p.read("calls")), "\n", "; ")
}

const forwarding = "ssh ForwardAgent=yes ControlMaster=no ControlPath=none host01"

// TestMigrate calls the host's own script between the two words to
// onevolumed, and passes everything through as it is.
func TestMigrate(t *testing.T) {
	t.Parallel()
	p := front(t)
	const params = `'one-3 it"s' 'host02' 'host01' 3 host01`
	r := p.call("migrate", params)
	if want := (result{0, "moved\n", "INFO: 3 words\n"}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if got, want := p.calls(), "onevolume hook pre-migrate 3 host02; "+forwarding+"; host migrate; onevolume hook post-migrate 3 host02"; got != want {
		t.Errorf("calls\n%s\nwant\n%s", got, want)
	}
	if got := p.read("arguments"); got != `<one-3 it"s><host02><host01><3><host01>` {
		t.Error(got)
	}
	if got := p.read("input"); got != message+"\n" {
		t.Errorf("%q", got)
	}

	// Its failure is passed on, and onevolumed hears of it.
	p.script("migrate", "echo 'ERROR MESSAGE --8<------' >&2; exit 7")
	p.want(p.call("migrate", params), 7, "ERROR MESSAGE --8<------")
	if got := p.calls(); !strings.HasSuffix(got, "host migrate; onevolume hook fail-migrate 3 host02") {
		t.Error(got)
	}
	// So is that of ssh.
	p.want(p.call("migrate", `'one-3' 'host02' 'lost' 3 lost`), 255, "No route to host")
	if got := p.calls(); !strings.HasSuffix(got, " lost; onevolume hook fail-migrate 3 host02") {
		t.Error(got)
	}
	// A VM that has moved stays so, whatever onevolumed says to that.
	p.script("migrate", "echo moved")
	p.hook(`case $2 in post-migrate) echo 'not all have settled' >&2; exit 255 ;; esac`)
	if r, want := p.call("migrate", params), (result{0, "moved\n", "WARN: 3 onevolume: not all have settled\n"}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	// Between datastores the host stays the same.
	p.script("migrate", "")
	p.want(p.call("migrate", `'one-3' 'host01' 'host01' 3 host01`), 0)
	if got := p.calls(); got != forwarding+"; host migrate" {
		t.Error(got)
	}
}

// TestRefused moves nothing.
func TestRefused(t *testing.T) {
	t.Parallel()
	p := front(t)
	p.hook("echo 'volume 5 cannot be had on host02: no route' >&2; exit 255")
	for name, params := range map[string]string{"migrate": `'one-3' 'host02' 'host01' 3 host01`, "restore": `'/ds/0/3/checkpoint' 'host02' 'one-3' 3 host02`} {
		p.want(p.call(name, params), 1, "onevolume: volume 5 cannot be had on host02: no route")
		if got := p.calls(); got != "onevolume hook pre-"+name+" 3 host02" {
			t.Error(got)
		}
	}
	// What a successful hook says goes to the VM's log.
	p.hook("echo 'onevolumed does not answer' >&2; echo 'it goes on' >&2")
	if r := p.call("restore", `'/ds/0/3/checkpoint' 'host02' 'one-3' 3 host02`); r.err != "WARN: 3 onevolume: onevolumed does not answer\nWARN: 3 onevolume: it goes on\n" {
		t.Errorf("%+v", r)
	}
	// Without the program a VM with volumes is not moved, and others are.
	if err := os.Remove(p.path("bin/onevolume")); err != nil {
		t.Fatal(err)
	}
	p.want(p.call("migrate", `'one-3' 'host02' 'host01' 3 host01`), 1, "VM 3 has volumes, and the program onevolume is not installed")
	r := p.run(base64.StdEncoding.EncodeToString([]byte("<VM/>")), p.path("var/remotes/vmm/kvm/onevolume-migrate"), "one-3", "host02", "host01", "3", "host01")
	p.want(r, 0, "moved")
	// What does not come from the driver is refused before anything else.
	r = p.run("<VM/>", p.path("var/remotes/vmm/kvm/onevolume-migrate"), "one-3", "host02", "host01", "3", "host01")
	p.want(r, 1, "not in base64")
	p.want(p.call("migrate", `'one-3' 'host02'`), 1, "expected five arguments")
	p.want(p.call("migrate", `'one-3' 'host02' 'host01' three host01`), 1, "'three' is no VM's id")
}

// TestRestore has the volumes on the host first, and brings a host the
// scripts that it lacks.
func TestRestore(t *testing.T) {
	t.Parallel()
	p := front(t)
	const params = `'/var/lib/one//datastores/0/3/checkpoint' 'host02' 'one-3' 3 host02`
	r := p.call("restore", params)
	if want := (result{0, "restored\n", ""}); r != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	if got, want := p.calls(), "onevolume hook pre-restore 3 host02; ssh host02; host restore"; got != want {
		t.Errorf("calls\n%s\nwant\n%s", got, want)
	}
	if got := p.read("arguments"); got != `</var/lib/one//datastores/0/3/checkpoint><host02><one-3><3><host02>` {
		t.Error(got)
	}
	// The driver's word for a script that is not there may be the script's own.
	p.script("restore", "exit 42")
	p.want(p.call("restore", params), 42)
	if got := p.calls(); strings.Count(got, "host restore") != 1 {
		t.Error(got)
	}
	if err := os.RemoveAll(p.path("host's remotes")); err != nil {
		t.Fatal(err)
	}
	p.want(p.call("restore", params), 42)
	p.write("var/remotes/vmm/kvm/restore", "#!/bin/sh\ncat\n", 0o755)
	p.want(p.call("restore", params), 0, "it's $HOME `id`")
	if got := p.read("host's remotes/vmm/kvm/restore"); got == "" {
		t.Error("the remotes were not brought")
	}
}
