package assemble

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/array/lio"
	filer "onevolume/array/openfiler"
	"onevolume/array/tgt"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/inventory"
	"onevolume/openfiler"
	"onevolume/opennebula"
	"onevolume/provision"
)

// arrays are the storage machines of the configuration, ready to be read. The
// configuration has been checked, but for what only the domain knows.
func arrays(c config.Config, service *inventory.Service, log *zap.Logger, name string) (*daemon.Arrays, error) {
	umask, err := opennebula.ParseUmask(c.DefaultUmask)
	if err != nil {
		return nil, fmt.Errorf("default_umask: %w", err)
	}
	a := &daemon.Arrays{Log: log, Watched: map[string]daemon.Watched{}}
	for _, conf := range c.Arrays {
		if !conf.Reads() {
			continue
		}
		array := openfiler.Array{Name: conf.Name, Host: conf.Host, Targets: conf.Targets}
		for _, text := range conf.Portals {
			p, err := onevolume.ParsePortal(text)
			if err != nil {
				return nil, fmt.Errorf("arrays: %s: %w", conf.Name, err)
			}
			array.Portals = append(array.Portals, p)
		}
		// Arrays are logged in to as hosts are, but by another user.
		hosts := c.Hosts
		hosts.User = conf.Login()
		a.Watched[conf.Name] = daemon.Watched{Every: conf.Interval(), Syncer: &openfiler.Syncer{
			Array: array, Hosts: command.LoggedDialer(dialer(hosts), logCommands(log)),
			Inventory: inventory.Arrays{Service: service, Name: name, Umask: umask},
		}}
	}
	return a, nil
}

// makers are the arrays of the configuration on which volumes are made.
func makers(c config.Config, log *zap.Logger) (map[string]daemon.Maker, error) {
	list := map[string]daemon.Maker{}
	for _, conf := range c.Arrays {
		if !conf.Makes() {
			continue
		}
		var portals []onevolume.Portal
		for _, text := range conf.Portals {
			p, err := onevolume.ParsePortal(text)
			if err != nil {
				return nil, fmt.Errorf("arrays: %s: %w", conf.Name, err)
			}
			portals = append(portals, p)
		}
		hosts := c.Hosts
		hosts.User = conf.Login()
		o := linux.Options{Host: conf.Host, Dialer: command.LoggedDialer(dialer(hosts), logCommands(log)),
			Overprovision: conf.Overprovision, MinFree: conf.MinFree}
		lvm := linux.LVM{VG: conf.VG, Pool: conf.Pool}
		var m *linux.Machine
		var err error
		switch {
		case conf.Kind == "openfiler":
			m, err = filer.New(o, conf.VG, filer.Options{IQN: conf.IQN, Portals: portals})
		case conf.Kind == "lio":
			m, err = lio.New(o, lvm, lio.Options{IQN: conf.IQN, Portals: portals})
		case conf.Directory != "":
			m, err = tgt.New(o, linux.Files{Dir: conf.Directory}, tgt.Options{IQN: conf.IQN, Portals: portals})
		default:
			m, err = tgt.New(o, lvm, tgt.Options{IQN: conf.IQN, Portals: portals})
		}
		if err != nil {
			return nil, fmt.Errorf("arrays: %s: %w", conf.Name, err)
		}
		list[conf.Name] = daemon.Maker{Array: m, Kind: conf.Kind, Anybody: conf.Users, AutoCreate: conf.AutoCreate, Every: conf.Interval()}
	}
	return list, nil
}

// demand has arrays work for the inventory.
type demand struct {
	*daemon.Daemon
	space *daemon.Spaces
}

func (d demand) MayCreate(who onevolume.Caller, array string) bool {
	return d.space.MayCreate(who, array)
}

func (d demand) Types() []onevolume.VolumeType { return d.space.Types() }

func (d demand) Spaces(ctx context.Context) ([]onevolume.Space, error) { return d.space.Spaces(ctx) }

// provide gives the daemon the arrays that make volumes.
func (d *Daemon) provide(service *inventory.Service) error {
	list, err := makers(d.conf, d.log)
	if err != nil {
		return err
	}
	var types []onevolume.VolumeType
	for _, conf := range d.conf.Types {
		t, err := conf.VolumeType()
		if err != nil {
			return fmt.Errorf("types: %s: %w", conf.Name, err)
		}
		types = append(types, t)
	}
	arrays := map[string]array.Array{}
	for name, m := range list {
		arrays[name] = m.Array
	}
	d.loops.Tasks = d.store
	d.loops.Provision = &provision.Engine{Ledger: d.store, Arrays: arrays, Lease: d.loops.Engine.Limits.Lease, Now: d.loops.Now}
	access := &provision.Access{Engine: d.loops.Provision, Volume: d.store.Volume, Volumes: local{d.store}.Volumes, Operation: d.store.Operation}
	d.loops.Engine.Access, d.loops.Engine.Grower, d.access = access, access, access
	d.spaces = &daemon.Spaces{Makers: list, Kinds: types, Count: d.store.CountOnArrays, Log: d.log, Now: d.loops.Now}
	service.Makers = demand{d.loops, d.spaces}
	return nil
}

// dialer reaches machines as the section hosts says.
func dialer(c config.Hosts) *ssh.Dialer {
	return ssh.NewDialer(ssh.Config{
		User: c.User, ConfigFile: c.SSHConfig, KnownHostsFiles: c.KnownHosts,
		IdentityFiles: c.Identities, ConnectTimeout: c.Connect,
	})
}
