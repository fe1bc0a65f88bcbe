package xmlrpc_test

import (
	"context"
	"reflect"
	"testing"

	"onevolume"
)

// fencer knows one host.
type fencer struct {
	list []onevolume.Fenced
	off  bool
}

func (f fencer) Fence(ctx context.Context, host string, off bool) ([]onevolume.Fenced, error) {
	if ask, ok := onevolume.AskOf(ctx); !ok || ask.Action != "fence" || ask.By.UID != 0 {
		return nil, onevolume.Errorf(onevolume.Internal, "the context does not say who asks: %+v", ask)
	}
	if host != "node4" || off != f.off {
		return nil, onevolume.Errorf(onevolume.Action, "oned has host %s in sight, %v", host, off)
	}
	return f.list, nil
}

func TestFence(t *testing.T) {
	w := newWorld(t)
	if _, err := w.client(asRoot).Fence(t.Context(), "node4", true); onevolume.CodeOf(err) != onevolume.Action {
		t.Errorf("without a follower: %v", err)
	}
	want := []onevolume.Fenced{{Volume: 3, Name: "a<&]]>", VM: 17}, {Volume: 4, Name: "b", VM: 18, Error: "why <&]]>", Hint: "what"}}
	for _, off := range []bool{true, false} {
		w.Fencer = fencer{want, off}
		c := w.client(asRoot)
		if got, err := c.Fence(t.Context(), "node4", off); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, err := c.Fence(t.Context(), "node5", off); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("another: %v", err)
		}
		if _, err := c.Fence(t.Context(), "", off); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("none: %v", err)
		}
	}
	for name, call := range map[string]func() error{
		"fence":  func() error { _, err := w.client(asAlice).Fence(t.Context(), "node4", false); return err },
		"fences": func() error { _, err := w.client(asAlice).Fences(t.Context()); return err },
	} {
		if err := call(); onevolume.CodeOf(err) != onevolume.Forbidden {
			t.Errorf("alice, %s: %v", name, err)
		}
	}
	if list, err := w.client(asRoot).Fences(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
