package assemble

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
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
	out := int(os.Stdout.Fd())
	columns, _ := size(out)
	return &cli.App{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal:     term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		Width:        columns,
		OutTerminal:  term.IsTerminal(out),
		Size:         func() (int, int) { return size(out) },
		Console:      console,
		Piped:        piped,
		Getenv:       os.Getenv,
		ColumnFiles:  columnFiles(os.Getenv),
		ReadPassword: readPassword,
		Open:         openSession,
	}
}

// size is how many columns and rows a terminal has; 0 when it is none.
func size(fd int) (columns, rows int) {
	columns, rows, err := term.GetSize(fd)
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// console is the columns of the terminal that the process belongs to.
func console() int {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return 0
	}
	defer tty.Close()
	columns, _ := size(int(tty.Fd()))
	return columns
}

// piped looks at standard input without reading from it (FIONREAD, which Linux
// also calls TIOCINQ, is what could be read at once).
func piped() cli.Piping {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeDevice != 0 {
		return cli.NothingPiped
	}
	if n, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCINQ); err == nil && n > 0 {
		return cli.SomethingPiped
	}
	return cli.MayBePiped
}

// columnFiles are where OpenNebula's tools would look for theirs
// (one_helper.rb): the user's own file stands before the administrator's.
func columnFiles(getenv func(string) string) []string {
	const name = "onevolume.yaml"
	var files []string
	if home := getenv("HOME"); home != "" {
		files = append(files, filepath.Join(home, ".one", "cli", name))
	}
	if location := getenv("ONE_LOCATION"); location != "" {
		return append(files, filepath.Join(location, "etc", "cli", name))
	}
	return append(files, filepath.Join("/etc/one/cli", name))
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
	e.Ledger, e.Access = newMeddler().ledger(daemon), daemon
	owner := process("onevolume")
	return &cli.Session{Daemon: daemon, Cloud: cloud, Engine: &e, Doctor: visiting(conf, &e, daemon, cloud, owner), Host: m.timing, Owner: owner}, nil
}
