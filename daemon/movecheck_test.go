package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"onevolume"
	"onevolume/command"
)

// A check says of each thing whether it is right, and what to do; whatever it
// finds, the VM and both hosts are as they were.
func TestMigrateCheck(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *trip)
		bad   string // what is not right; empty for nothing
		words string
	}{
		"it would work":      {func(*trip) {}, "", ""},
		"unknown host":       {func(t *trip) { t.seen = map[string]bool{"host01": true} }, "host", "oned has no host"},
		"lost host":          {func(t *trip) { t.seen = map[string]bool{"host02": false} }, "host", "lost sight"},
		"silent host":        {func(t *trip) { t.net.Down("host02", command.KindTimeout) }, "connection", "host02"},
		"no hypervisor":      {func(t *trip) { t.places[1].virt.Down("error: failed to connect to the hypervisor\n") }, "connection", "host02"},
		"one initiator name": {func(t *trip) { t.places[1].host.State.Initiator = string(t.places[0].host.Initiator()) }, "initiator", "doctor --host host02 --fix"},
		"older QEMU":         {func(t *trip) { t.places[1].virt.Version("6.2.0") }, "version", "QEMU 6.2.0"},
		"another size": {func(t *trip) {
			if err := t.db.Update(t.Context(), t.volumes[1].ID, func(v *onevolume.Volume) error { v.Size *= 2; return nil }); err != nil {
				t.Fatal(err)
			}
		}, "volume 1", "size"},
		"no target": {func(t *trip) {
			for _, p := range t.volumes[0].Target.Portals {
				t.array.Down(p, true)
			}
		}, "volume 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(_ *testing.T, w *world) {
				t := newTrip(w, 2)
				defer w.halt()
				t.seen = map[string]bool{"host01": true, "host02": true}
				test.spoil(t)
				domain, _ := w.virt.Domain(vm.DeployID)
				list, err := w.MigrateCheck(t.Context(), root, session, vm.ID, "host02")
				if err != nil || len(list) == 0 {
					t.Fatalf("%+v, %v", list, err)
				}
				bad := ""
				for _, c := range list {
					if !c.OK && bad == "" {
						if bad = c.What; c.Hint == "" || !strings.Contains(c.Text+c.Hint, test.words) {
							t.Errorf("%+v", c)
						}
					}
				}
				if bad != test.bad {
					t.Errorf("%q is not right in %+v", bad, list)
				}
				w.net.Down("host02", "")
				if now, _ := w.virt.Domain(vm.DeployID); fmt.Sprint(now) != fmt.Sprint(domain) || len(t.places[1].host.Left()) > 0 {
					t.Errorf("the domain was %+v and is %+v, and host02 has %q", domain, now, t.places[1].host.Left())
				}
				for _, v := range t.volumes {
					if now, _ := w.read(v.ID); now.State != onevolume.Attached || now.Attachment != v.Attachment || now.Reason != "" {
						t.Errorf("the volume is %s (%s) with %+v", now.State, now.Reason, now.Attachment)
					}
				}
			})
		})
	}
}

// What is only tried never passes for what is to stay: a VM that moves in that
// moment has its volumes prepared once more.
func TestMigrateCheckIsNoMigration(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		t := newTrip(w, 1)
		defer w.halt()
		ended := make(chan error)
		go func() {
			_, err := w.MigrateCheck(context.WithoutCancel(t.Context()), root, session, vm.ID, "host02")
			ended <- err
		}()
		t.premigrates(1)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		t.ready()
		t.moves(0, 1)
		t.settles()
		t.on(1, onevolume.Done)
	})
}
