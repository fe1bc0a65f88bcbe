package cli

import (
	"fmt"
	"io"
	"os"

	"onevolume"
)

// maxText is the largest template or document read from a file: the daemon
// takes calls of 1 MiB.
const maxText = 1 << 20

// readText reads a file, or standard input when it is named -.
func (a *App) readText(name string) (string, error) {
	if name == "-" {
		return read(a.In, "standard input")
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return read(f, name)
}

func read(in io.Reader, name string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	if len(text) > maxText {
		return "", onevolume.Errorf(onevolume.Invalid, "%s is larger than %d bytes", name, maxText)
	}
	return string(text), nil
}

// piped is what somebody sends to standard input: nothing when that is a
// terminal or another device. It waits for the end.
func (a *App) piped() (string, error) {
	if a.Piped == nil || a.Piped() == NothingPiped {
		return "", nil
	}
	return read(a.In, "standard input")
}

// Piping says what stands at standard input.
type Piping int

// What stands there: a device, such as a terminal or /dev/null; a pipe, a
// socket or a file; one that holds something, which can be read without
// waiting.
const (
	NothingPiped Piping = iota
	MayBePiped
	SomethingPiped
)
