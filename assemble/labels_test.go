package assemble

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"onevolume"
	"onevolume/opennebula/onetest"
	"onevolume/xmlrpc"
	"onevolume/xmlrpc/wire"
)

// A client that runs the operations itself, through a whole daemon: its VM
// shows the volume in oned, under its new name when it is renamed, and shows
// nothing when it is taken out.
func TestVMsShowVolumesOfClients(t *testing.T) {
	one := onetest.Start(t, onetest.Small())
	c := testConfig(t)
	c.OneXMLRPC = one.Endpoint
	auth := filepath.Join(t.TempDir(), "one_auth")
	mustWrite(t, auth, "oneadmin:opennebula\n", 0o600)
	t.Setenv("ONE_AUTH", auth)
	d, err := OpenDaemon(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	w, err := wire.NewClient(wire.Config{Endpoint: "http://" + d.Addr().String() + wire.Path})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	client := &xmlrpc.Client{Wire: w, Session: "oneadmin:opennebula"}

	id, err := client.Allocate(ctx, "NAME = data\nIQN = iqn.2026-11.test:data\nPORTALS = 10.0.0.1\nSIZE = 64")
	if err != nil {
		t.Fatal(err)
	}
	run := func(kind onevolume.Kind, e onevolume.Ending) {
		t.Helper()
		op, _, err := client.Reserve(ctx, onevolume.Request{Kind: kind, Pick: onevolume.Pick{Volume: "0"}, Leave: onevolume.LeaveData,
			VM: onevolume.VM{ID: 1, Name: "vm-alice", Host: "host01"}, Owner: "onevolume@here pid 1", Lease: time.Minute})
		if err == nil {
			err = client.Finish(ctx, op.Ref(), e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	run(onevolume.Attach, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Device: "sdiv"}})
	wantShown(t, one, "data")
	if err := client.Rename(ctx, id, "renamed"); err != nil {
		t.Fatal(err)
	}
	wantShown(t, one, "renamed")
	run(onevolume.Detach, onevolume.Ending{Status: onevolume.Done, State: onevolume.Retained})
	wantShown(t, one, "")
}

// wantShown waits until alice's VM shows one volume of this name, or none.
func wantShown(t *testing.T, one *onetest.Oned, name string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list := one.UserTemplate(1).Vectors("ONEVOLUME")
		shown := ""
		if len(list) == 1 {
			shown, _ = list[0].Get("NAME")
		}
		if shown == name && len(list) < 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the VM shows %v, want %q", one.UserTemplate(1), name)
		}
	}
}
