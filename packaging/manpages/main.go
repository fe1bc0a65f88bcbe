// Command manpages writes the manual page of onevolume, in the manner of those
// of OpenNebula's tools: one page with every command. It is made of the
// commands themselves when the programs are built, so that it cannot be out of
// date.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"onevolume/cli"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: manpages FOLDER")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manpages:", err)
		os.Exit(1)
	}
}

func write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "onevolume.1"), []byte(page((&cli.App{}).Command())), 0o644)
}
