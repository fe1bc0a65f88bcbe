package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// client calls over one connection that it keeps. It does as little as can be
// done, since it shares the processor with what it measures.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte // of the last answer
}

func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

var (
	length  = []byte("Content-Length: ")
	success = []byte("<value><boolean>1</boolean></value>")
)

// call posts a body and reads the answer, which must be a success.
func (c *client) call(body []byte) error {
	c.out = append(c.out[:0], "POST /RPC2 HTTP/1.1\r\nHost: bench\r\nContent-Type: text/xml\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	_ = c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	size := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if text, ok := bytes.CutPrefix(line, length); ok {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
				return err
			}
		}
	}
	if size < 0 {
		return errors.New("an answer without a length")
	}
	c.body = slices.Grow(c.body[:0], size)[:size]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return err
	}
	if !bytes.Contains(c.body[:min(size, 300)], success) {
		return fmt.Errorf("refused: %.400s", c.body)
	}
	return nil
}

// sample is what a number of clients did in a time.
type sample struct {
	calls         int
	rps, p50, p99 float64 // calls/s, ms, ms
	cpu           float64 // of the server, µs a call
}

// maker makes the body of a client's next call.
type maker func(into []byte) []byte

// load has n clients call for a time, each as fast as it is answered.
func load(ctx context.Context, addr string, n int, d time.Duration, calls func(i int) maker) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	took, errs := make([][]time.Duration, n), make([]error, n)
	var all sync.WaitGroup
	start := time.Now()
	for i := range n {
		all.Go(func() {
			c, err := dial(addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.conn.Close()
			next := calls(i)
			var body []byte
			for ctx.Err() == nil {
				body = next(body[:0])
				begin := time.Now()
				if err := c.call(body); err != nil {
					errs[i] = err
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	all.Wait()
	whole := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	list := slices.Concat(took...)
	if len(list) == 0 {
		return sample{}, errors.New("nothing was answered")
	}
	slices.Sort(list)
	at := func(p float64) float64 {
		return float64(list[min(len(list)-1, int(p*float64(len(list))))].Microseconds()) / 1000
	}
	return sample{calls: len(list), rps: float64(len(list)) / whole.Seconds(), p50: at(0.5), p99: at(0.99)}, nil
}

// median is that of what was measured in each round.
func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}
