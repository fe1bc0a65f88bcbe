package assemble

import (
	"fmt"
	"os"

	"golang.org/x/term"

	"onevolume"
	"onevolume/cli"
	"onevolume/config"
	"onevolume/opennebula"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// CLI makes the command line on the process's own surroundings.
func CLI() *cli.App {
	return &cli.App{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:     term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		Width:        width(),
		ReadPassword: readPassword,
		Open:         openSession,
	}
}

// width is how many columns the terminal at standard output has; 0 when there
// is none.
func width() int {
	w, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return w
}

func readPassword(prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	return string(text), err
}

// openSession finds credentials and endpoints as OpenNebula's tools do.
func openSession(o cli.Options) (*cli.Session, error) {
	path, must := o.Config, o.Config != ""
	if path == "" {
		path = config.Path
	}
	conf, err := config.Load(path, must)
	switch {
	case os.IsPermission(err) && !must:
		conf = config.Default() // the file holds secrets; those who may not read it leave the work to the daemon
	case err != nil:
		return nil, err
	}
	one, err := opennebula.NewConfig(o.User, o.Password, conf.OneXMLRPC)
	if err != nil {
		return nil, err
	}
	cloud, err := opennebula.NewClient(one)
	if err != nil {
		return nil, err
	}
	endpoint, err := opennebula.SystemEnvironment().Endpoint(opennebula.Onevolumed(), o.Endpoint)
	if err != nil {
		return nil, err
	}
	rpc, err := wire.NewClient(wire.Config{Endpoint: endpoint, KeepAlive: true, TLS: one.TLS})
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Invalid, "onevolumed: %w", err).WithHint("set ONEVOLUME_XMLRPC or say --endpoint")
	}
	daemon := &xmlrpc.Client{Wire: rpc, Session: one.Token}
	m := &meter{}
	if o.Verbose {
		m.say = os.Stderr
	}
	e := engine(conf, m.hear)
	e.Ledger = newMeddler().ledger(daemon)
	owner := process("onevolume")
	return &cli.Session{Daemon: daemon, Cloud: cloud, Engine: &e, Doctor: visiting(conf, &e, daemon, cloud, owner), Host: m.timing, Owner: owner}, nil
}
