package cli_test

import (
	"context"
	"testing"

	"onevolume"
)

// fenced is what the daemon did about one host.
type fenced []onevolume.Fenced

func (f fenced) Fence(_ context.Context, host string, off bool) ([]onevolume.Fenced, error) {
	if host == "host09" {
		return nil, nil
	}
	if !off {
		return nil, onevolume.Errorf(onevolume.Action, "oned has host %s in sight", host).WithHint("onehost offline")
	}
	return f, nil
}

func TestFence(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.api.Fencer = fenced{{Volume: 3, Name: "data", VM: 17}}
	s := w.ok("fence", "--off", "--yes", "host01")
	s.has(w, "stdout", s.out, "VOLUME 3 (data) of VM 17: host host01 is cut off\n")
	s = w.ok("fence", "--yes", "host09")
	s.has(w, "stdout", s.out, "No volume is on record on host host09.\n")
	w.fails([]string{"in sight", "Onehost offline"}, "fence", "--yes", "host01")
	w.fails([]string{"asks before it acts", "--yes"}, "fence", "host01")
	w.api.Fencer = fenced{{Volume: 3, Name: "data", VM: 17}, {Volume: 4, Name: "logs", VM: 18, Error: "a session is left", Hint: "end it"}}
	s = w.types("fence", "--off", "--yes", "host01")
	if s.status != 1 {
		t.Errorf("status %d when a volume is left, want 1", s.status)
	}
	s.has(w, "stdout", s.out, "VOLUME 4 (logs) of VM 18: NOT fenced: a session is left\n")
	s = w.ok("fence")
	s.has(w, "stdout", s.out, "No host is fenced.\n")
}
