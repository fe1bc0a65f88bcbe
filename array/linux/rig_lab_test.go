//go:build lab

package linux_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/array/linux"
	"onevolume/array/lio"
	"onevolume/array/tgt"
	"onevolume/command/ssh"
	"onevolume/lab"
)

// initiators are the names by which the lab's initiator logs in.
var initiators = [2]onevolume.IQN{lab.IQNPrefix + "initiator1", lab.IQNPrefix + "initiator2"}

// rig is the lab's storage host with one driver.
type rig struct {
	*lab.Lab
	t     *testing.T
	vg    string
	array *linux.Machine
	lossy *arraytest.Lossy
}

// open takes the lab for a test and checks that nothing is left of it.
func open(t *testing.T) *lab.Lab {
	t.Helper()
	l := lab.Open(t)
	before := state(l)
	t.Cleanup(func() {
		l.Clean(t, lab.Initiator)
		if after := state(l); after != before {
			t.Errorf("the array is not as it was. Before:\n%s\nafter:\n%s", before, after)
		}
	})
	return l
}

// setting is what a rig's driver is told beyond where the lab has it.
type setting struct {
	user          string // root when empty
	overprovision float64
	vg, pool      string // the thin pool when empty
}

func (s setting) options(l *lab.Lab) (linux.Options, *arraytest.Lossy) {
	if s.user == "" {
		s.user = "root"
	}
	lossy := arraytest.NewLossy(ssh.NewDialer(ssh.Config{User: s.user, ConfigFile: l.SSHConfig(), AgentSocket: "none", ConnectTimeout: time.Minute}))
	lossy.ChangesOnly = true // each command takes tens of milliseconds
	return linux.Options{Host: lab.ArrayHost, Dialer: lossy, PageSize: 3, Overprovision: s.overprovision}, lossy
}

func (s setting) lvm() linux.LVM {
	if s.vg == "" {
		return linux.LVM{VG: "thin", Pool: "pool"}
	}
	return linux.LVM{VG: s.vg, Pool: s.pool}
}

func portal(t *testing.T, s string) []onevolume.Portal {
	t.Helper()
	list, err := onevolume.ParsePortals(s)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func newLIO(t *testing.T, l *lab.Lab, s setting) *rig {
	t.Helper()
	o, lossy := s.options(l)
	m, err := lio.New(o, s.lvm(), lio.Options{IQN: "iqn.2026-11.lab.onevolume.lio", Portals: portal(t, lab.LIOPortal)})
	return newRig(t, l, s, m, lossy, err)
}

func newTgt(t *testing.T, l *lab.Lab, s setting) *rig {
	t.Helper()
	o, lossy := s.options(l)
	m, err := tgt.New(o, s.lvm(), tgt.Options{IQN: "iqn.2026-11.lab.onevolume.tgt", Portals: portal(t, lab.TgtPortal)})
	return newRig(t, l, s, m, lossy, err)
}

func newRig(t *testing.T, l *lab.Lab, s setting, m *linux.Machine, lossy *arraytest.Lossy, err error) *rig {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &rig{Lab: l.For(t), t: t, vg: s.lvm().VG, array: m, lossy: lossy}
}

// on runs a line on the storage host as root.
func (r *rig) on(line string, args ...any) string {
	r.t.Helper()
	return r.Must(r.Exec(lab.ArrayHost, fmt.Sprintf(line, args...)))
}

func (r *rig) device(id array.ID) string { return "/dev/" + r.vg + "/" + id.Name() }

// fixture is the rig for the suite.
func (r *rig) fixture() arraytest.Fixture {
	return arraytest.Fixture{
		Array: r.array, Initiators: initiators, Login: r.login,
		Write: func(id array.ID, data []byte) {
			// Letters that the shell can say: the suite writes blocks of one.
			r.on("head -c %d /dev/zero | tr '\\0' '\\%03o' | dd of=%s bs=4096 oflag=direct iflag=fullblock conv=notrunc status=none",
				len(data), data[0], r.device(id))
		},
		Read: func(id array.ID, n int) []byte {
			return []byte(r.on("dd if=%s bs=4096 count=%d iflag=direct status=none", r.device(id), (n+4095)/4096))[:n]
		},
		Squat: func(id array.ID) (func() bool, func()) {
			r.on("lvcreate -y -T -V 8M -n %s thin/pool", id.Name())
			return func() bool { return r.Exec(lab.ArrayHost, "test -b "+r.device(id)).Code == 0 },
				func() { r.on("lvremove -f %s/%s", r.vg, id.Name()) }
		},
		Lose: r.lossy.Lose, LoseAnswersOnly: true, Brief: true,
		Restart: r.powerCut,
		State:   func() string { return state(r.Lab) },
	}
}

// powerCut ends the storage host without a word, and boots it: what was not on
// its disks is gone.
func (r *rig) powerCut() {
	r.t.Helper()
	r.Command("node", "kill", lab.ArrayHost)
	r.Command("node", "start", lab.ArrayHost)
	r.array.Close() // to a kernel that is no more
}

// loginScript logs in to $1 at $2 by the interface $3 with the credentials on
// standard input, and is silent unless it fails.
const loginScript = `IFS= read -r user; IFS= read -r secret; IFS= read -r user_in; IFS= read -r secret_in
node() { iscsiadm -m node -T "$iqn" -p "$portal" -I "$iface" "$@"; }
iqn=$1 portal=$2 iface=$3 auth=node.session.auth
set -- -n $auth.authmethod -v CHAP -n $auth.username -v "$user" -n $auth.password -v "$secret"
# A portal that refuses is not asked again: with the target of an array goes its portal.
set -- "$@" -n node.session.initial_login_retry_max -v 1
[ -z "$user_in" ] || set -- "$@" -n $auth.username_in -v "$user_in" -n $auth.password_in -v "$secret_in"
node -o new >/dev/null && node -o update "$@" && node -l >/dev/null || { rc=$?; node -o delete >/dev/null; exit $rc; }
`

// errLogin is the answer of a target that does not let the initiator in.
var errLogin = errors.New("the target did not let it in")

// login logs the lab's initiator in by one of its names, as open-iscsi does.
func (r *rig) login(e array.Export) (func(), error) {
	r.t.Helper()
	iface := "name1"
	if e.Initiator == initiators[1] {
		iface = "name2"
	}
	c := e.Target.CHAP
	words := fmt.Sprintf("%s %s %s", e.Target.IQN, e.Target.Portals[0], iface)
	res := r.Exec(lab.Initiator, fmt.Sprintf("printf '%%s\\n' '%s' '%s' '%s' '%s' | sh -c '%s' login %s",
		c.User, c.Secret, c.UserIn, c.SecretIn, loginScript, words))
	if res.Code != 0 {
		return nil, fmt.Errorf("%w: %s", errLogin, strings.TrimSpace(res.Stderr))
	}
	return func() {
		at := fmt.Sprintf("iscsiadm -m node -T %s -p %s -I %s ", e.Target.IQN, e.Target.Portals[0], iface)
		// A session that the array has cut is sought anew for as long as it is there.
		r.Exec(lab.Initiator, at+"-u; "+at+"-o delete")
	}, nil
}

// stateScript prints all there is on the storage host.
const stateScript = `lvm fullreport --configreport vg -o vg_name,vg_free --configreport lv -o lv_name,lv_size,lv_tags \
--configreport pv -o pv_name --configreport pvseg -o pvseg_start,pvseg_size --configreport seg -o seg_start
dmsetup ls | grep ov-
cd /sys/kernel/config/target && find core iscsi -mindepth 1 -maxdepth 3 -type d ! -name discovery_auth 2>/dev/null | sort
grep -h ov- /etc/rtslib-fb-target/saveconfig.json
ls -A /etc/rtslib-fb-target /etc/tgt/conf.d
tgtadm --lld iscsi --op show --mode target
tgtadm --lld iscsi --op show --mode account
`

func state(l *lab.Lab) string {
	r := l.Exec(lab.ArrayHost, stateScript)
	// The file of LIO is there since the first export.
	return strings.ReplaceAll(l.Must(r), "saveconfig.json\n", "")
}
