package openfiler_test

import (
	"fmt"
	"net"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/array/linux"
	"onevolume/array/openfiler"
	"onevolume/array/openfiler/standin"
	"onevolume/command/ssh"
	"onevolume/command/ssh/sshtest"
)

const prefix = "iqn.2006-01.com.openfiler:tsn"

// rig is an Openfiler behind a real SSH server.
type rig struct {
	*testing.T
	*standin.Machine
	server *sshtest.Server
	lossy  *arraytest.Lossy
	array  *linux.Machine
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{T: t, Machine: standin.New(t)}
	r.server = &sshtest.Server{Env: r.Env()}
	key, public, _ := sshtest.KeyFile(t, "")
	r.server.Authorized = append(r.server.Authorized, public)
	r.server.Start(t)
	r.connect(key, r.server.KnownHosts(t))
	return r
}

// connect makes the driver, which logs in with the key.
func (r *rig) connect(key, knownHosts string) {
	r.Helper()
	host, port, _ := net.SplitHostPort(r.server.Addr)
	r.lossy = arraytest.NewLossy(ssh.NewDialer(ssh.Config{
		Home: r.TempDir(), ConfigFile: sshtest.WriteFile(r, "config", fmt.Appendf(nil, "Host filer\n HostName %s\n Port %s\n", host, port)),
		KnownHostsFiles: []string{knownHosts}, IdentityFiles: []string{key}, AgentSocket: "none", LockDirs: []string{r.TempDir()},
	}))
	r.lossy.ChangesOnly = true // each command is a few processes
	portals, err := onevolume.ParsePortals("10.0.0.5,10.0.1.5")
	if err != nil {
		r.Fatal(err)
	}
	r.array, err = openfiler.New(linux.Options{Host: "filer", Dialer: r.lossy, PageSize: 3}, standin.VG,
		openfiler.Options{IQN: prefix, Portals: portals, Root: r.Dir})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { r.array.Close() })
}

var initiators = [2]onevolume.IQN{"iqn.2026-11.org.example:host01", "iqn.2026-11.org.example:host02"}

func TestSuite(t *testing.T) {
	r := newRig(t)
	arraytest.Run(t, func(*testing.T) arraytest.Fixture {
		return arraytest.Fixture{
			Array: r.array, Initiators: initiators, Login: r.Login,
			Write: func(id array.ID, data []byte) { r.WriteLV(id.Name(), data) },
			Read:  func(id array.ID, n int) []byte { return r.ReadLV(id.Name(), n) },
			Squat: func(id array.ID) (func() bool, func()) {
				r.AddLV(id.Name(), "", standin.Extent)
				return func() bool { return r.HasLV(id.Name()) }, func() { r.DelLV(id.Name()) }
			},
			Lose: r.lossy.Lose, LoseAnswersOnly: true, Chores: []string{"create", "export", "unexport", "extend"},
			Restart: func() { r.Stop(); r.Start() },
			State:   r.State,
		}
	})
}
