// Command onevolumed keeps the inventory of volumes and serves it over
// XML-RPC, beside oned; it also makes backups of it and restores them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"onevolume"
	"onevolume/assemble"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := assemble.Onevolumed(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "onevolumed:", err)
		if hint := onevolume.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "Hint:", hint)
		}
		os.Exit(1)
	}
}
