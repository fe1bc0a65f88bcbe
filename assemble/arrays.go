package assemble

import (
	"fmt"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/command"
	"onevolume/command/ssh"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/inventory"
	"onevolume/openfiler"
	"onevolume/opennebula"
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

// dialer reaches machines as the section hosts says.
func dialer(c config.Hosts) *ssh.Dialer {
	return ssh.NewDialer(ssh.Config{
		User: c.User, ConfigFile: c.SSHConfig, KnownHostsFiles: c.KnownHosts,
		IdentityFiles: c.Identities, ConnectTimeout: c.Connect,
	})
}
