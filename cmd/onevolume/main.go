// Command onevolume attaches volumes on iSCSI storage to OpenNebula's virtual
// machines and detaches them, and shows the inventory.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"onevolume/assemble"
)

func main() {
	// A terminal that goes away must not stop work on a host half way.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := assemble.CLI().Main(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}
