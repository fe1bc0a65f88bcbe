// Package blockdev overwrites block devices on a host with zeroes, proves it
// by reading them back past all caches, and makes file systems on them. It
// works as the SSH user, who is in group disk; nothing needs sudo.
//
// Before anything is written the device is held open and compared with what
// was proven of it, so that no other disk can be met under its name.
package blockdev

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// The names of the scripts, as logs show them and fakes know them.
const (
	NameWipe   = "blockdev-wipe"
	NameFormat = "blockdev-format"
)

var (
	//go:embed scripts/hold.sh
	holdScript string
	//go:embed scripts/wipe.sh
	wipeScript string
	//go:embed scripts/format.sh
	formatScript string
)

// The phases that Wipe reports.
const (
	Writing = "overwriting with zeroes"
	Reading = "reading back"
)

// Wiper wipes and formats devices. Its zero value is ready to use.
type Wiper struct {
	// Chunk is how much is written or read by one command on the host, and
	// so how often progress shows: 1/64 of the device, between 64 MiB and
	// 1 GiB, unless set. It must be a multiple of 4 MiB.
	Chunk onevolume.Size
	// Patience is how long one chunk may take: 10 minutes unless set. An
	// array that does not answer would hang the wipe for ever.
	Patience time.Duration
}

// Wipe overwrites the whole device with zeroes and reads it back. progress,
// which may be nil, is told after each chunk; the total is that of a phase. It
// may be called again after any failure and begins anew.
//
// Codes: Mismatch (the device is not the one that was proven; nothing was
// written), Held (in use on the host), Unreachable (device or host went away), Refused (it cannot be written, or did not read back as zeroes).
func (w Wiper) Wipe(ctx context.Context, h command.Host, d iscsi.Device, progress func(phase string, done, total onevolume.Size)) error {
	watch := &watch{total: d.Size, progress: progress}
	cmd := command.Cmd{
		Name: NameWipe, Script: holdScript + wipeScript,
		Args:   append(args(d), strconv.FormatInt(int64(w.chunk(d.Size)), 10)),
		OnLine: watch.line,
		// At a MiB a second, twice. What matters is the time for a chunk.
		Timeout: time.Hour + 2*time.Duration(d.Size/onevolume.MiB)*time.Second,
	}
	return w.run(ctx, h, d, "wiped", cmd, watch)
}

// Format makes an empty file system, "ext4" or "xfs", on a device that has
// just been wiped: it takes for granted that there are zeroes everywhere.
// Codes as for Wipe; Refused also when the host lacks the tool or the device
// is too small.
func (w Wiper) Format(ctx context.Context, h command.Host, d iscsi.Device, fs string) error {
	if fs != string(onevolume.LeaveExt4) && fs != string(onevolume.LeaveXFS) {
		return onevolume.Errorf(onevolume.Invalid, "file system %q: only ext4 and xfs can be made", fs)
	}
	cmd := command.Cmd{
		Name: NameFormat, Script: holdScript + formatScript,
		Args: append(args(d), fs), Timeout: time.Hour,
	}
	return w.run(ctx, h, d, "formatted", cmd, &watch{})
}

// WipeCommands gives the commands for the first chunk of a device of the size,
// and those that make the file system, for a dry run. fs is empty when none is
// made.
func (w Wiper) WipeCommands(size onevolume.Size, fs string) []command.Cmd {
	chunk := min(w.chunk(size), size)
	const disk = "/dev/<sdX>"
	list := []command.Cmd{
		{Argv: []string{"blkdiscard", "--zeroout", "--offset", "0", "--length", strconv.FormatInt(int64(chunk), 10), disk}},
		{Argv: []string{"sync", disk}},
		{Argv: []string{"dd", "if=" + disk, "of=/dev/full", "bs=4M", "skip=0", "count=" + strconv.FormatInt(int64(chunk), 10),
			"iflag=skip_bytes,count_bytes,direct", "conv=sparse", "status=none"}},
	}
	switch onevolume.Leave(fs) {
	case onevolume.LeaveExt4:
		list = append(list, command.Cmd{Argv: []string{"mkfs.ext4", "-q", "-F", "-E", "nodiscard", disk}})
	case onevolume.LeaveXFS:
		const image = "/var/tmp/onevolume-xfs.<X>"
		list = append(list,
			command.Cmd{Argv: []string{"truncate", "-s", strconv.FormatInt(int64(size), 10), image}},
			command.Cmd{Argv: []string{"mkfs.xfs", "-q", "-f", "-K", "-s", "size=<N>", image}},
			command.Cmd{Argv: []string{"qemu-img", "convert", "-n", "--target-is-zero", "-f", "raw", "-O", "raw", image, disk}})
	}
	return list
}

func (w Wiper) chunk(size onevolume.Size) onevolume.Size {
	if w.Chunk > 0 {
		return w.Chunk
	}
	const grain = 64 * onevolume.MiB
	return min(max(size/64/grain*grain, grain), onevolume.GiB)
}

// args are the words with which each script begins.
func args(d iscsi.Device) []string {
	return []string{d.Path, d.Name, d.Number, strconv.FormatInt(int64(d.Size), 10)}
}

// watch reads what a script says while it runs.
type watch struct {
	total    onevolume.Size
	progress func(phase string, done, total onevolume.Size)
	alive    func() // told of each line

	mu     sync.Mutex
	phase  string
	done   onevolume.Size
	failed string // "WORD TEXT"
	ended  bool
}

func (w *watch) line(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.alive != nil {
		w.alive()
	}
	key, value, _ := strings.Cut(s, " ")
	switch key {
	case "phase":
		w.phase, w.done = map[string]string{"write": Writing, "read": Reading}[value], 0
	case "done":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return
		}
		w.done = onevolume.Size(n)
	case "failed":
		w.failed = value
		return
	case "end":
		w.ended = true
		return
	default:
		return
	}
	if w.progress != nil {
		w.progress(w.phase, w.done, w.total)
	}
}

// errStuck is why a run was given up that no longer said anything.
var errStuck = errors.New("no progress")

// run runs a script under watch, and says how it ended. done is what was
// going to be done to the device.
func (w Wiper) run(ctx context.Context, h command.Host, d iscsi.Device, done string, cmd command.Cmd, watch *watch) error {
	fail := func(code onevolume.Code, format string, args ...any) *onevolume.Error {
		return onevolume.Errorf(code, "%s on host %s could not be %s: %w", d.Path, h.Name(), done, fmt.Errorf(format, args...))
	}
	if d.Path == "" || d.Name == "" || d.Number == "" || d.Size <= 0 || d.Size%512 != 0 {
		return fail(onevolume.Invalid, "the device is not described in full: %+v", d)
	}
	patience := w.Patience
	if patience <= 0 {
		patience = 10 * time.Minute
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if cmd.OnLine != nil {
		timer := time.AfterFunc(patience, func() { cancel(errStuck) })
		defer timer.Stop()
		watch.alive = func() { timer.Reset(patience) }
	}
	res, err := h.Run(ctx, cmd)
	if cmd.OnLine == nil {
		for line := range strings.Lines(string(res.Stdout)) {
			watch.line(strings.TrimSuffix(line, "\n"))
		}
	}
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errStuck):
		return fail(onevolume.Unreachable, "no progress within %s, %s of %s %s", patience, watch.done, watch.total, watch.phase).
			WithHint("see that the array answers, then try again; a hung command may be left on host %s", h.Name())
	case errors.Is(err, command.ErrNotRun):
		return fail(onevolume.Unreachable, "%w", err)
	case err != nil:
		return fail(onevolume.Unknown, "%w", err).WithHint("it may be done again from the start")
	case res.Code == 0 && watch.ended:
		return nil
	}
	return explain(fail, h, watch, command.Check(h.Name(), cmd, res, nil))
}

// reasons are the words by which a script says why it failed.
var reasons = map[string]struct {
	code onevolume.Code
	hint string
}{
	"vanished": {onevolume.Unreachable, "look at dmesg on host %s; it may be done again from the start"},
	"other":    {onevolume.Mismatch, "nothing was written; another disk has its name on host %s now"},
	"busy":     {onevolume.Held, "find out who uses it on host %s: lsblk, fuser"},
	"denied":   {onevolume.Refused, "the user must be in group disk on host %s"},
	"readonly": {onevolume.Refused, "make it writable on its array, then attach it anew on host %s"},
	"missing":  {onevolume.Refused, "install e2fsprogs and xfsprogs on host %s"},
	"small":    {onevolume.Refused, "choose another file system, or none (seen on host %s)"},
	"dirty":    {onevolume.Refused, "the array does not keep what is written to it; do not use the volume (seen from host %s)"},
	"error":    {onevolume.Refused, "look at dmesg on host %s"},
}

func explain(fail func(onevolume.Code, string, ...any) *onevolume.Error, h command.Host, watch *watch, err error) error {
	word, text, _ := strings.Cut(watch.failed, " ")
	r, ok := reasons[word]
	if !ok {
		return fail(onevolume.Internal, "%w", err)
	}
	if watch.phase != "" && watch.total > 0 {
		text = fmt.Sprintf("%s (%s: %s of %s)", text, watch.phase, watch.done, watch.total)
	}
	return fail(r.code, "%s", text).WithHint(r.hint, h.Name())
}
