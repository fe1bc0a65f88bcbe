// Command onetestd serves the stand-in for oned of package onetest, for
// demonstrations and for trying out by hand.
//
//	onetestd -listen 127.0.0.1:2633 -world world.yaml
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"onevolume/opennebula/onetest"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:2633", "address to listen on")
	file := flag.String("world", "", "file with users, groups, hosts and VMs; a small world when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *listen, *file); err != nil {
		fmt.Fprintln(os.Stderr, "onetestd:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, listen, file string) error {
	world := onetest.Small()
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if world, err = onetest.ParseWorld(text); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "onetestd: http://%s/RPC2\n", l.Addr())
	return onetest.New(world).Serve(ctx, l)
}
