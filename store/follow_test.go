package store_test

import (
	"testing"

	"onevolume"
)

// A release leaves the volume ATTACHED and on no host; a replug puts it back
// on one.
func TestRelease(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		first, _ := w.reserve(t, root, attachNamed(17, "0"))
		err := w.Finish(t.Context(), first.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached,
			Note: onevolume.Note{Host: "host01", Device: "sdiv", Source: "/dev/disk/by-path/x", Serial: onevolume.Serial(0)}})
		if err != nil {
			t.Fatal(err)
		}
		before := w.volume(t, 0)
		if before.Attachment.Host == "" || before.Attachment.Source == "" {
			t.Fatalf("%+v", before.Attachment)
		}
		release := detach(17, "0")
		release.Kind = onevolume.Release
		other := release
		other.VM.ID = 18
		if _, _, err := w.Reserve(t.Context(), root, other); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("of another VM: %v", err)
		}
		run := func(r onevolume.Request, e onevolume.Ending) {
			t.Helper()
			op, _, err := w.Reserve(t.Context(), root, r)
			if err == nil {
				err = w.Finish(t.Context(), op.Ref(), e)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		op, v := w.reserve(t, root, release)
		if v.State != onevolume.Detaching || op.Prior != onevolume.Attached {
			t.Errorf("%s, before %s", v.State, op.Prior)
		}
		if err := w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Available}); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("a release that frees it: %v", err)
		}
		if err := w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached, Error: "why"}); err != nil {
			t.Fatal(err)
		}
		if got := w.volume(t, 0); got.Attachment != before.Attachment || got.Reason != "why" {
			t.Errorf("undone: %+v", got)
		}
		run(release, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
		want := before.Attachment
		want.Host, want.Device = "", ""
		if got := w.volume(t, 0); got.State != onevolume.Attached || got.Attachment != want || got.Reason != "" {
			t.Errorf("%s with %+v", got.State, got.Attachment)
		}
		replug := release
		replug.Kind = onevolume.Replug
		run(replug, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Host: "host02", Device: "sdiv"}})
		if got := w.volume(t, 0).Attachment; got.Host != "host02" || got.Device != "sdiv" || got.VM != 17 {
			t.Errorf("%+v", got)
		}
	})
}

func TestAttached(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib, gib)
		w.attached(t, root, attachNamed(17, "0"))
		w.attached(t, root, attachNamed(18, "1"))
		many := []onevolume.VMID{18}
		for i := range 1200 {
			many = append(many, onevolume.VMID(1000+i))
		}
		for _, c := range []struct {
			vms  []onevolume.VMID
			want int
		}{{nil, 2}, {[]onevolume.VMID{17}, 1}, {[]onevolume.VMID{17, 18, 19}, 2}, {many, 1}, {[]onevolume.VMID{5}, 0}} {
			if list, err := w.Attached(t.Context(), c.vms...); err != nil || len(list) != c.want {
				t.Errorf("in %d VMs: %d, %v", len(c.vms), len(list), err)
			}
		}
		for id, want := range []string{"why", "why", ""} { // volume 2 is in no VM
			if err := w.Explain(t.Context(), onevolume.VolumeID(id), "why"); err != nil {
				t.Fatal(err)
			}
			if got := w.volume(t, onevolume.VolumeID(id)).Reason; got != want {
				t.Errorf("volume %d: %q", id, got)
			}
		}
		if err := w.Explain(t.Context(), 99, "why"); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("%v", err)
		}
	})
}

// What a tenant said of the end is not the next one's word.
func TestPolicyGoesHome(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		w.attached(t, root, attachNamed(17, "0"))
		err := w.Update(t.Context(), 0, func(v *onevolume.Volume) error {
			v.Attributes = map[string]string{onevolume.PolicyKey: "delete", "NOTE": "x"}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		op, _ := w.reserve(t, root, detach(17, "0"))
		if err := w.Record(t.Context(), op.Ref(), nil, onevolume.Note{State: onevolume.Wiping}); err != nil {
			t.Fatal(err)
		}
		if err := w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Available}); err != nil {
			t.Fatal(err)
		}
		if got := w.volume(t, 0).Attributes; len(got) != 1 || got["NOTE"] != "x" {
			t.Errorf("attributes %v", got)
		}
	})
}
