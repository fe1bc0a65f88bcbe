package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"onevolume/xmlrpc/wire"
)

// process is a server that was started.
type process struct {
	cmd  *exec.Cmd
	addr string
	log  string
}

// start runs a server that will listen on addr, and waits until it does.
func start(ctx context.Context, log, addr string, command ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{cmd: exec.Command(command[0], command[1:]...), addr: addr, log: log}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	gone := make(chan error, 1)
	go func() { gone <- p.cmd.Wait() }()
	// A large database is checked before it is served.
	deadline := time.After(2 * time.Minute)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return p, conn.Close()
		}
		select {
		case err := <-gone:
			text, _ := os.ReadFile(log)
			return nil, fmt.Errorf("%s: %w\n%s", command[0], err, text)
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), p.stop())
		case <-deadline:
			return nil, errors.Join(fmt.Errorf("%s does not listen on %s", command[0], addr), p.stop())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process; it may be called on none.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	return p.cmd.Process.Signal(syscall.SIGTERM)
}

// peak is the most memory that the process has had resident, in MB.
func (p *process) peak() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var kB float64
	if _, rest, ok := bytes.Cut(text, []byte("VmHWM:")); ok {
		_, err = fmt.Sscan(string(rest), &kB)
	}
	return kB / 1024, err
}

// spent is the processor time that the process has used, to a hundredth of a
// second (proc(5): fields 14 and 15 of stat, in ticks of which Linux always
// tells a hundred a second). Other work on the machine changes it little.
func (p *process) spent() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte(") ")) // the name may have blanks in it
	fields := bytes.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %q", p.cmd.Process.Pid, text)
	}
	ticks := 0
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(string(f))
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil
}

// servers are what is measured.
type servers struct{ oned, daemon, cold *process }

const daemonConf = `listen: %s
one_xmlrpc: http://%s/RPC2
database: sqlite:%s
key_file: %s
auth_cache: %s
operations: {checkup: 0s}
log: {level: warn}
`

// open starts the stand-in for oned, and onevolumed.
func (s *servers) open(ctx context.Context, o *options, i inventory, dir string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	if s.oned, err = start(ctx, filepath.Join(dir, "oned.log"), addr, filepath.Join(o.bin, "onetestd"), "-listen", addr); err != nil {
		return err
	}
	s.daemon, err = s.onevolumed(ctx, o, i, dir, "daemon", "1m")
	return err
}

// onevolumed starts a daemon that believes oned for so long.
func (s *servers) onevolumed(ctx context.Context, o *options, i inventory, dir, name, authCache string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, name+".conf")
	text := fmt.Sprintf(daemonConf, addr, s.oned.addr, i.db, i.key, authCache)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, filepath.Join(dir, name+".log"), addr, filepath.Join(o.bin, "onevolumed"), "--config", conf)
}

func (s *servers) close() {
	for _, p := range []*process{s.cold, s.daemon, s.oned} {
		_ = p.stop()
	}
}

// ceiling starts this program as the server that answers with answer.
func ceiling(ctx context.Context, dir string, answer []byte) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "answer")
	if err := os.WriteFile(file, append([]byte(addr+"\n"), answer...), 0o600); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, filepath.Join(dir, "ceiling.log"), addr, self, "-ceiling", file)
}

// serveCeiling is that server: the first line of the file is its address.
func serveCeiling(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	addr, answer, _ := bytes.Cut(text, []byte("\n"))
	return http.ListenAndServe(string(addr), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, err = wire.ParseCall(body, wire.Limits{})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer)
	}))
}
