package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kolo/xmlrpc"
)

// session is oneadmin's in the stand-in's small world.
const session = "oneadmin:opennebula"

// hot is how many volumes one.volume.info is asked about: in a cloud most
// calls are about those few that just now change hands, and these are asked
// about once before. info.all asks about all alike.
const hot = 1000

// calls makes the bodies of a method's calls: parameters with %d in their
// place get what number gives.
func calls(number func() int, method string, params ...any) (maker, error) {
	body, err := xmlrpc.EncodeMethodCall(method, append([]any{session}, params...)...)
	if err != nil {
		return nil, err
	}
	parts := bytes.Split(body, []byte("424242"))
	return func(into []byte) []byte {
		n := number()
		for i, part := range parts {
			if i > 0 {
				into = fmt.Append(into, n)
			}
			into = append(into, part...)
		}
		return into
	}, nil
}

// number stands for what calls replaces.
const number = 424242

// run is the measuring of one inventory.
type run struct {
	*options
	servers
	volumes int
	prefix  string
	ceiling *process
	next    atomic.Int64 // the volume that allocate makes next
	figures map[string][]float64
}

// measure measures with n volumes; figures have the prefix.
func (o *options) measure(ctx context.Context, n int, prefix string) (err error) {
	dir, err := os.MkdirTemp("", "onevolume-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	i, err := o.filled(ctx, n, dir)
	if err != nil {
		return err
	}
	r := &run{options: o, volumes: n, prefix: prefix, figures: map[string][]float64{}}
	defer r.close()
	if err := r.open(ctx, o, i, dir); err != nil {
		return err
	}
	if r.cold, err = r.onevolumed(ctx, o, i, dir, "cold", "0s"); err != nil {
		return err
	}
	c, err := dial(r.daemon.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	ask, err := calls(func() int { return n / 2 }, "one.volume.info", number, false)
	if err != nil {
		return err
	}
	if err := c.call(ask(nil)); err != nil {
		return err
	}
	if r.ceiling, err = ceiling(ctx, dir, c.body); err != nil {
		return err
	}
	defer func() { _ = r.ceiling.stop() }()
	if err := r.rounds(ctx); err != nil {
		return err
	}
	return r.print()
}

// rounds measures everything in turn, and once before for nothing.
func (r *run) rounds(ctx context.Context) error {
	for n := range r.options.rounds + 1 {
		start := time.Now()
		if err := r.round(ctx); err != nil {
			return err
		}
		if n == 0 {
			clear(r.figures)
		}
		fmt.Fprintf(os.Stderr, "load: %d volumes, round %d of %d took %s\n", r.volumes, n, r.options.rounds, time.Since(start).Round(100*time.Millisecond))
	}
	return nil
}

func (r *run) note(name string, n float64) { r.figures[name] = append(r.figures[name], n) }

func (r *run) round(ctx context.Context) error {
	if r.options.reserve {
		return r.reserve(ctx)
	}
	var one, all = make([]int, hot), func() int { return rand.IntN(r.volumes) }
	seed := rand.New(rand.NewPCG(1, 2))
	for i := range one {
		one[i] = seed.IntN(r.volumes)
	}
	few := func() int { return one[rand.IntN(hot)] }
	for _, n := range []int{1, 16} {
		// What was written in the round before is forgotten, and the caller
		// is known.
		if err := r.warm(one); err != nil {
			return err
		}
		bare, err := r.load(ctx, r.ceiling, n, few, "one.volume.info", number, false)
		if err != nil {
			return err
		}
		info, err := r.load(ctx, r.daemon, n, few, "one.volume.info", number, false)
		if err != nil {
			return err
		}
		cold, err := r.load(ctx, r.daemon, n, all, "one.volume.info", number, false)
		if err != nil {
			return err
		}
		r.note(fmt.Sprintf("info.rps.%d", n), info.rps)
		r.note(fmt.Sprintf("info.cpu.%d", n), info.cpu)
		r.note(fmt.Sprintf("bare.cpu.%d", n), bare.cpu)
		r.note(fmt.Sprintf("info.all.cpu.%d", n), cold.cpu)
		r.note(fmt.Sprintf("info.p50.%d", n), info.p50)
		r.note(fmt.Sprintf("info.p99.%d", n), info.p99)
		r.note(fmt.Sprintf("bare.rps.%d", n), bare.rps)
		r.note(fmt.Sprintf("info.ceiling.%d", n), info.rps/bare.rps)
		r.note(fmt.Sprintf("info.all.rps.%d", n), cold.rps)
		r.note(fmt.Sprintf("info.all.ceiling.%d", n), cold.rps/bare.rps)
		r.note(fmt.Sprintf("info.all.p99.%d", n), cold.p99)
		if r.options.info {
			continue
		}

		miss, err := r.load(ctx, r.cold, n, few, "one.volume.info", number, false)
		if err != nil {
			return err
		}
		r.note(fmt.Sprintf("info.miss.rps.%d", n), miss.rps)
		r.note(fmt.Sprintf("info.miss.p99.%d", n), miss.p99)

		page, err := r.load(ctx, r.daemon, n, func() int { return 0 }, "one.volumepool.info", -2, number, -200)
		if err != nil {
			return err
		}
		r.note(fmt.Sprintf("page200.cpu.%d", n), page.cpu)
		r.note(fmt.Sprintf("page200.p50.%d", n), page.p50)
		r.note(fmt.Sprintf("page200.p99.%d", n), page.p99)
		at := -200
		deep, err := r.load(ctx, r.daemon, 1, func() int { at = (at + 200) % r.volumes; return at }, "one.volumepool.info", -2, number, -200)
		if err != nil {
			return err
		}
		r.note("page200.walk.p50", deep.p50)

		allocate, err := r.load(ctx, r.daemon, n, func() int { return int(r.next.Add(1)) }, "one.volume.allocate",
			fmt.Sprintf("NAME=new%d\nIQN=iqn.2026-11.bench:new%[1]d\nPORTALS=10.0.0.1\nSIZE=1024\n", number))
		if err != nil {
			return err
		}
		r.note(fmt.Sprintf("allocate.rps.%d", n), allocate.rps)
		r.note(fmt.Sprintf("allocate.p50.%d", n), allocate.p50)
		r.note(fmt.Sprintf("allocate.p99.%d", n), allocate.p99)
	}
	if r.options.info {
		return nil
	}
	return r.reserve(ctx)
}

// warm asks once about each of the volumes.
func (r *run) warm(ids []int) error {
	c, err := dial(r.daemon.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	id := 0
	ask, err := calls(func() int { return id }, "one.volume.info", number, false)
	if err != nil {
		return err
	}
	for _, id = range ids {
		if err := c.call(ask(nil)); err != nil {
			return err
		}
	}
	return nil
}

// load is load with one method's calls.
func (r *run) load(ctx context.Context, p *process, n int, number func() int, method string, params ...any) (sample, error) {
	make, err := calls(number, method, params...)
	if err != nil {
		return sample{}, err
	}
	before, err := p.spent()
	if err != nil {
		return sample{}, err
	}
	s, err := load(ctx, p.addr, n, r.time, func(int) maker { return make })
	if err != nil {
		return s, fmt.Errorf("%s by %d clients: %w", method, n, err)
	}
	after, err := p.spent()
	s.cpu = float64((after - before).Microseconds()) / float64(s.calls)
	return s, err
}

const (
	request = "<REQUEST><KIND>attach</KIND><VM><ID>0</ID><HOSTNAME>host01</HOSTNAME><VM_MAD>kvm</VM_MAD><RUNNING>true</RUNNING></VM>" +
		"<SIZE_BYTES>424242</SIZE_BYTES><OWNER>load</OWNER><LEASE_MS>60000</LEASE_MS><DRY_RUN>%t</DRY_RUN></REQUEST>"
	ending = "<ENDING><STATUS>UNDONE</STATUS><VOLUME_STATUS>AVAILABLE</VOLUME_STATUS></ENDING>"
)

// reserve times one.volume.reserve, the best fit out of all volumes; each is
// released again, which is not timed, but is in reserve.cpu. reserve.pick is the same without writing.
func (r *run) reserve(ctx context.Context) error {
	c, err := dial(r.daemon.addr)
	if err != nil {
		return err
	}
	defer c.conn.Close()
	size := func() int { return (1 + rand.IntN(64)) << 30 }
	for name, dry := range map[string]bool{"reserve": false, "reserve.pick": true} {
		ask, err := calls(size, "one.volume.reserve", fmt.Sprintf(request, dry))
		if err != nil {
			return err
		}
		before, err := r.daemon.spent()
		if err != nil {
			return err
		}
		var took []float64
		for until := time.Now().Add(r.time); time.Now().Before(until) && ctx.Err() == nil; {
			body := ask(nil)
			begin := time.Now()
			if err := c.call(body); err != nil {
				return err
			}
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
			if dry {
				continue
			}
			id, err := operation(c.body)
			if err != nil {
				return err
			}
			release, err := xmlrpc.EncodeMethodCall("one.volume.release", session, id, 1, ending)
			if err != nil {
				return err
			}
			if err := c.call(release); err != nil {
				return err
			}
		}
		after, err := r.daemon.spent()
		if err != nil {
			return err
		}
		r.note(name, median(took))
		r.note(name+".cpu", float64((after-before).Microseconds())/float64(len(took)))
	}
	return nil
}

// operation is the id of the operation in a reservation.
func operation(answer []byte) (id int, err error) {
	_, rest, ok := bytes.Cut(answer, []byte("OPERATION&gt;&lt;ID&gt;"))
	if !ok {
		return 0, fmt.Errorf("no operation in %.300s", answer)
	}
	_, err = fmt.Sscanf(string(rest[:min(len(rest), 20)]), "%d", &id)
	return id, err
}

// print prints the medians.
func (r *run) print() error {
	names := make([]string, 0, len(r.figures))
	for name := range r.figures {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		figure(r.prefix+name, median(r.figures[name]), unit(name))
	}
	if r.prefix == "" && len(r.figures["page200.p50.1"]) > 0 {
		figure("page200", median(r.figures["page200.p50.1"]), "ms")
	}
	peak, err := r.daemon.peak()
	if err == nil {
		figure(r.prefix+"rss.max", peak, "MB")
	}
	return err
}

func unit(name string) string {
	switch {
	case bytes.Contains([]byte(name), []byte("rps")):
		return "calls/s"
	case bytes.Contains([]byte(name), []byte("ceiling")):
		return "x"
	case bytes.Contains([]byte(name), []byte("cpu")):
		return "us"
	}
	return "ms"
}
