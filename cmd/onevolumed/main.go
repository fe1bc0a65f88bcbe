// Command onevolumed keeps the inventory of volumes and serves it over
// XML-RPC, beside oned.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"onevolume"
	"onevolume/assemble"
	"onevolume/config"
)

func main() {
	path := flag.String("config", config.Path, "configuration file")
	version := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *version {
		fmt.Println("onevolumed", onevolume.Version)
		return
	}
	if err := run(*path, flag.NArg()); err != nil {
		fmt.Fprintln(os.Stderr, "onevolumed:", err)
		if hint := onevolume.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "Hint:", hint)
		}
		os.Exit(1)
	}
}

func run(path string, extra int) error {
	if extra > 0 {
		return fmt.Errorf("unknown arguments; see onevolumed -h")
	}
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "config" })
	conf, err := config.Load(path, given)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := assemble.OpenDaemon(ctx, conf)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}
