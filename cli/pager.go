package cli

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// standardPager is that of OpenNebula's tools.
const standardPager = "more"

// paged runs print with something to write to: the pager that ONE_PAGER names,
// or standard output when that program cannot be started. Leaving the pager is
// a good end.
func (a *App) paged(print func(w io.Writer) error) error {
	words := strings.Fields(a.env("ONE_PAGER"))
	if len(words) == 0 {
		words = []string{standardPager}
	}
	cmd := exec.Command(words[0], words[1:]...) // it ends with its input, or when somebody leaves it
	cmd.Stdout, cmd.Stderr = a.Out, a.Err
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintf(a.Err, "The pager cannot be started: %s\n", err)
		return print(a.Out)
	}
	err = print(in)
	_ = in.Close()
	_ = cmd.Wait() // how it was left is its user's business
	return unlessClosed(err)
}

// unlessClosed makes nothing of the error of a reader who has seen enough.
func unlessClosed(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
