// Command load measures how fast onevolumed answers, as a process of its own
// on SQLite beside the stand-in for oned, over loopback: one.volume.info,
// allocate, a page of 200 and the best-fitting reserve, with few and with a
// million volumes, by one client and by sixteen. In the same run, in turn, the
// same requests go to the ceiling: a bare net/http server that reads each with
// the same codec and answers the same bytes. Figures are medians of the rounds.
//
//	load [-bin DIR] [-cache DIR] [-rounds N] [-time D] [-volumes N,N] [-info | -reserve]
//
// Lines "bench: NAME NUMBER UNIT" are the figures.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	cache, _ := os.UserCacheDir()
	flag.StringVar(&o.bin, "bin", "bin", "folder with onevolumed and onetestd")
	flag.StringVar(&o.cache, "cache", filepath.Join(cache, "onevolume-bench"), "folder in which filled databases are kept")
	flag.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; medians count")
	flag.DurationVar(&o.time, "time", time.Second, "how long each is measured in a round")
	flag.BoolVar(&o.info, "info", false, "measure one.volume.info and its ceiling alone, for work on the server")
	flag.BoolVar(&o.reserve, "reserve", false, "measure one.volume.reserve alone, for work on the store")
	sizes := flag.String("volumes", "10000,1000000", "how many volumes, a list; the last gives the headline figures")
	ceiling := flag.String("ceiling", "", "be the ceiling: answer every call on standard output's address with the bytes of this file")
	flag.Parse()
	err := func() error {
		if *ceiling != "" {
			stop() // a signal ends it
			return serveCeiling(*ceiling)
		}
		for _, text := range strings.Split(*sizes, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1000 {
				return fmt.Errorf("-volumes: %q is no number from 1000 up", text)
			}
			o.volumes = append(o.volumes, n)
		}
		return o.run(ctx)
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// options are what was typed.
type options struct {
	bin, cache string
	rounds     int
	time       time.Duration
	volumes    []int
	info       bool
	reserve    bool
}

func (o *options) run(ctx context.Context) error {
	for i, n := range o.volumes {
		prefix := ""
		if i < len(o.volumes)-1 {
			prefix = short(n) + "."
		}
		if err := o.measure(ctx, n, prefix); err != nil {
			return fmt.Errorf("%d volumes: %w", n, err)
		}
	}
	return nil
}

// short is a count as the names of figures have it: 10k, 1m.
func short(n int) string {
	switch {
	case n%1_000_000 == 0:
		return fmt.Sprint(n/1_000_000, "m")
	case n%1000 == 0:
		return fmt.Sprint(n/1000, "k")
	}
	return fmt.Sprint(n)
}

func figure(name string, n float64, unit string) {
	format := "%.0f"
	switch {
	case n < 10:
		format = "%.2f"
	case n < 1000:
		format = "%.1f"
	}
	fmt.Printf("bench: %s "+format+" %s\n", name, n, unit)
}

// freeAddr is an address on loopback that nobody listens on.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
