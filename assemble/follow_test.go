package assemble

import (
	"context"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/daemon/follower"
	"onevolume/follow"
	"onevolume/opennebula"
	"onevolume/opennebula/onetest"
)

// world is an inventory with one volume, and hosts where all succeeds.
type followedWorld struct {
	mu   sync.Mutex
	v    onevolume.Volume
	does chan onevolume.Request
}

func (w *followedWorld) Attached(ctx context.Context, vms ...onevolume.VMID) ([]onevolume.Volume, error) {
	v, err := w.Volume(ctx, w.v.ID)
	return []onevolume.Volume{v}, err
}

func (w *followedWorld) Volume(context.Context, onevolume.VolumeID) (onevolume.Volume, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.v, nil
}

func (w *followedWorld) Explain(_ context.Context, _ onevolume.VolumeID, reason string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.v.Reason = reason
	return nil
}

func (w *followedWorld) Delete(context.Context, onevolume.VolumeID) error { return nil }

func (w *followedWorld) Do(_ context.Context, r onevolume.Request) error {
	w.mu.Lock()
	switch r.Kind {
	case onevolume.Release:
		w.v.Attachment.Host = ""
	case onevolume.Replug:
		w.v.Attachment.Host = r.VM.Host
	}
	w.mu.Unlock()
	w.does <- r
	return nil
}

func (w *followedWorld) OnHost(context.Context, string) ([]onevolume.Volume, error) { return nil, nil }

func (w *followedWorld) Fences(context.Context) ([]onevolume.FenceRecord, error) { return nil, nil }

func (w *followedWorld) Clean(context.Context, onevolume.FenceRecord) error { return nil }

func (w *followedWorld) HasDisk(context.Context, onevolume.VM, onevolume.Volume) (bool, error) {
	return true, nil
}

// What oned says by ZeroMQ is followed within moments, and what it says while
// nobody hears by the look at everything.
func TestFollower(t *testing.T) {
	one := onetest.Start(t, onetest.Small())
	client, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: one.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	cloud := followed{client, func() (string, error) { return "oneadmin:opennebula", nil }}
	w := &followedWorld{does: make(chan onevolume.Request, 10),
		v: onevolume.Volume{ID: 3, State: onevolume.Attached, Attachment: onevolume.Attachment{VM: 1, Host: "host01"}}}
	next := func(kind onevolume.Kind, host string) {
		t.Helper()
		select {
		case r := <-w.does:
			if r.Kind != kind || r.VM.Host != host || r.VM.ID != 1 || r.Pick.Volume != "3" {
				t.Errorf("done was %+v, want %s on %s", r, kind, host)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("no %s on %s", kind, host)
		}
	}
	f := &follower.Follower{Cloud: cloud, Inventory: w, Operator: w, Log: zap.NewNop(), Every: time.Hour, Again: time.Hour}
	f.Start()
	defer f.Stop(t.Context())

	// Where nobody hears it, its hooks tell of the same.
	hooks := told{f, &daemon.Daemon{}}
	one.SetVMState(1, 8, 0)
	hooks.HearVM(1)
	next(onevolume.Release, "host01")
	one.SetVMState(1, 3, 3)
	hooks.HearHost(0)
	next(onevolume.Replug, "host01")

	conf := config.Default()
	conf.Events = one.StartEvents(t)
	s := newSubscriber(conf, f, &daemon.Daemon{}, zap.NewNop())
	up, look := make(chan struct{}, 1), s.Up
	s.Up = func() {
		look()
		select {
		case up <- struct{}{}:
		default:
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	<-up
	one.SetVMState(1, 8, 0) // while the subscription may not have come through
	f.LookAtAll()
	next(onevolume.Release, "host01")

	for len(w.does) == 0 { // until the publisher knows its subscriber
		one.SetVMState(1, 3, 3)
		time.Sleep(10 * time.Millisecond)
	}
	next(onevolume.Replug, "host01")

	// Its host is lost and it runs on another: that waits for the first.
	one.SetHostState("host01", 3)
	one.MoveVM(1, "host02")
	deadline := time.Now().Add(20 * time.Second)
	for reason := ""; reason == ""; {
		v, _ := w.Volume(ctx, 3)
		reason = v.Reason
		if time.Now().After(deadline) {
			t.Fatal("nobody says why the volume is not plugged")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if len(w.does) > 0 {
		t.Errorf("done was %+v", <-w.does)
	}
	one.SetHostState("host01", 2)
	next(onevolume.Release, "host01")
	next(onevolume.Replug, "host02")
	one.SetVMState(1, 6, 0)
	next(onevolume.Release, "host02")
	next(onevolume.Detach, "host02")
}

func TestFollowedCloud(t *testing.T) {
	one := onetest.Start(t, onetest.Small())
	client, err := opennebula.NewClient(opennebula.OneConfig{Endpoint: one.Endpoint})
	if err != nil {
		t.Fatal(err)
	}
	cloud := followed{client, func() (string, error) { return "oneadmin:opennebula", nil }}
	boots := map[string]bool{}
	for _, change := range []func(){func() {}, func() { one.SetVMState(0, 8, 0); one.SetVMState(0, 3, 3) }, func() { one.MoveVM(0, "host02") }} {
		change()
		vms, err := cloud.VMs(t.Context(), []onevolume.VMID{0, 77})
		if err != nil || len(vms) != 1 || vms[0].Stage != follow.Runs || !vms[0].Running {
			t.Fatalf("%+v, %v", vms, err)
		}
		boots[vms[0].Host+vms[0].Boot] = true
	}
	if len(boots) != 3 {
		t.Errorf("boots %v", boots)
	}
	one.SetHostState("host02", 8)
	if seen, err := cloud.Seen(t.Context()); err != nil || !seen["host01"] || seen["host02"] || seen["host03"] {
		t.Errorf("seen %v, %v", seen, err)
	}
	nobody := followed{client, func() (string, error) { return "", onevolume.Errorf(onevolume.Unauthenticated, "no file") }}
	if _, err := nobody.VMs(t.Context(), nil); err == nil {
		t.Error("asked without a session")
	}
}
