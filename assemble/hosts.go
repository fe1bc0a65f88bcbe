// Package assemble puts the parts together: what the configuration says into
// an engine that runs workflows, a command line and a daemon. It is the only
// package that knows them all.
package assemble

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/cli"
	"onevolume/command"
	"onevolume/config"
	"onevolume/hypervisor"
	"onevolume/hypervisor/all"
	"onevolume/workflow"
)

// engine makes the engine for workflows; its ledger is set by who runs it.
// hear is told of every command on a host.
func engine(c config.Config, hear func(command.Event)) workflow.Engine {
	return workflow.Engine{
		Hosts:     command.LoggedDialer(dialer(c.Hosts), hear),
		Initiator: initiator(c),
		Wiper:     blockdev.Wiper{},
		Driver: func(vm onevolume.VM) (hypervisor.Driver, error) {
			return all.For(vm, c.Hosts.Hypervisors, c.Hosts.LibvirtURI)
		},
		Now:    newMeddler().now,
		Limits: workflow.Limits{Lease: c.Operations.Lease, Lock: c.Operations.Lock, Unplug: c.Operations.Unplug},
	}
}

// guarded keeps a host that hangs from holding up operations on others. The
// command line has no use for it: it runs one operation and ends.
func guarded(c config.Config, hosts command.Dialer) command.Dialer {
	return command.NewGuard(hosts, command.GuardOptions{Connections: c.Hosts.Connections, CoolDown: c.Hosts.CoolDown})
}

// meter adds up what commands on hosts took, and prints them to say if that
// is set.
type meter struct {
	took, commands atomic.Int64
	say            io.Writer
}

func (m *meter) hear(e command.Event) {
	m.took.Add(int64(e.Took))
	m.commands.Add(1)
	if m.say == nil {
		return
	}
	line, _, _ := strings.Cut(e.Cmd, "\n")
	if r := []rune(line); len(r) > maxLine {
		line = string(r[:maxLine]) + "…"
	}
	fmt.Fprintf(m.say, "  %s %4d ms  %s\n", e.Host, e.Took.Milliseconds(), line)
}

// maxLine is how much of a command is printed, in characters.
const maxLine = 120

func (m *meter) timing() cli.Timing {
	return cli.Timing{Host: time.Duration(m.took.Load()), Commands: int(m.commands.Load())}
}

// logCommands logs every command on a host: at debug level what went well,
// as a warning what did not come to its end.
func logCommands(log *zap.Logger) func(command.Event) {
	return func(e command.Event) {
		fields := []zap.Field{zap.String("host", e.Host), zap.String("command", e.Cmd),
			zap.Duration("took", e.Took), zap.Int("status", e.Code)}
		if e.Err != nil {
			log.Warn("command on a host did not end well", append(fields, zap.Error(e.Err))...)
			return
		}
		log.Debug("command on a host", fields...)
	}
}
