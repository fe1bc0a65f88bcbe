package xmlrpc_test

import (
	"context"
	"reflect"
	"testing"

	"onevolume"
)

// arrays knows one array.
type arrays struct{ onevolume.Synced }

func (a arrays) SyncArray(ctx context.Context, name string) (onevolume.Synced, error) {
	if ask, ok := onevolume.AskOf(ctx); !ok || ask.Action != "sync" || ask.By.UID != 0 {
		return a.Synced, onevolume.Errorf(onevolume.Internal, "the context does not say who asks: %+v", ask)
	}
	if name != a.Array {
		return onevolume.Synced{}, onevolume.Errorf(onevolume.NotFound, "array %q is not configured", name)
	}
	return a.Synced, nil
}

func TestArraySync(t *testing.T) {
	w := newWorld(t)
	c := w.client(asRoot)
	if _, err := c.SyncArray(t.Context(), "store1"); onevolume.CodeOf(err) != onevolume.NotFound {
		t.Errorf("without arrays: %v", err)
	}
	want := onevolume.Synced{Array: "store1", Units: 5, Volumes: 2, Changes: []onevolume.SyncChange{
		{What: onevolume.SyncRegistered, Volume: 3, Name: "disk", Target: "iqn.2026-11.org.example:disk", LUN: 1, Text: "/dev/vg0/disk, 1G"},
		{What: onevolume.SyncReported, Volume: onevolume.NoVolume, Target: "iqn.bad_<&]]>", Text: "not registered: <&]]>"},
	}}
	w.Arrays = arrays{want}
	c = w.client(asRoot)
	if got, err := c.SyncArray(t.Context(), "store1"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := c.SyncArray(t.Context(), "store2"); onevolume.CodeOf(err) != onevolume.NotFound {
		t.Errorf("another: %v", err)
	}
	if _, err := w.client(asAlice).SyncArray(t.Context(), "store1"); onevolume.CodeOf(err) != onevolume.Forbidden {
		t.Errorf("alice: %v", err)
	}
}
