package assemble

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"onevolume"
	"onevolume/config"
)

const usage = `onevolumed keeps the inventory of volumes and serves it over XML-RPC, beside oned.

Usage:
  onevolumed                            serve, until SIGTERM
  onevolumed backup FILE                write the inventory to a new FILE
  onevolumed restore FILE [--replace]   make the inventory what FILE, a backup, holds

Options:
  --config FILE   configuration file (` + config.Path + `)
  --replace       restore over an inventory that holds volumes; they are saved in a backup of their own first
  --version       print the version
  -h, --help      print this

backup and restore are run as the daemon's user, with its configuration, while it serves or not. A backup is one
file, whether the inventory is in SQLite or in MariaDB, and is restored into either. CHAP secrets stay sealed in it:
keep a copy of the key file apart from it. After a restore the inventory is on hold until onevolume doctor has
compared it with the hosts.
`

// arguments are what was typed after onevolumed.
type arguments struct {
	config                 string
	given                  bool // the configuration file was named
	help, version, replace bool
	words                  []string
}

// parse reads options wherever they stand.
func parse(args []string) (arguments, error) {
	a := arguments{config: config.Path}
	f := flag.NewFlagSet("onevolumed", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&a.config, "config", a.config, "")
	f.BoolVar(&a.version, "version", false, "")
	f.BoolVar(&a.replace, "replace", false, "")
	for {
		err := f.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			a.help = true
			return a, nil
		}
		if err != nil {
			return a, misused("%w", err)
		}
		if f.NArg() == 0 {
			break
		}
		a.words, args = append(a.words, f.Arg(0)), f.Args()[1:]
	}
	f.Visit(func(o *flag.Flag) { a.given = a.given || o.Name == "config" })
	return a, a.check()
}

func misused(format string, args ...any) error {
	return onevolume.Errorf(onevolume.Invalid, format, args...).WithHint("see onevolumed -h")
}

func (a arguments) check() error {
	switch {
	case len(a.words) == 0 && a.replace, len(a.words) > 0 && a.words[0] == "backup" && a.replace:
		return misused("--replace goes with restore")
	case len(a.words) == 0:
		return nil
	case a.words[0] != "backup" && a.words[0] != "restore":
		return misused("no such command: %q", a.words[0])
	case len(a.words) == 1 || a.words[1] == "":
		return misused("%s: which file is missing", a.words[0])
	case len(a.words) > 2:
		return misused("%s takes one file", a.words[0])
	}
	return nil
}

// Onevolumed is the program: it serves, or does what the arguments say, until
// ctx ends.
func Onevolumed(ctx context.Context, args []string, out, words io.Writer) error {
	a, err := parse(args)
	switch {
	case err != nil:
		return err
	case a.help:
		fmt.Fprint(out, usage)
		return nil
	case a.version:
		fmt.Fprintln(out, "onevolumed", onevolume.Version)
		return nil
	}
	conf, err := config.Load(a.config, a.given)
	if err != nil {
		return err
	}
	switch {
	case len(a.words) == 0:
		d, err := OpenDaemon(ctx, conf)
		if err != nil {
			return err
		}
		return d.Run(ctx)
	case a.words[0] == "backup":
		return Backup(ctx, conf, a.words[1], out, words)
	}
	return Restore(ctx, conf, a.words[1], a.replace, out, words)
}
