package store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"onevolume"
)

// A fence takes the host off the record and puts the host on one of its own,
// until it is clean; meanwhile nothing is plugged there.
func TestFence(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib)
		first, _ := w.reserve(t, root, attachNamed(17, "0"))
		note := onevolume.Note{Host: "host01", Device: "sdiv", Source: "/dev/disk/by-path/x", Serial: onevolume.Serial(0)}
		if err := w.Finish(t.Context(), first.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: note}); err != nil {
			t.Fatal(err)
		}
		before := w.volume(t, 0)
		fence := detach(17, "0")
		fence.Kind, fence.VM.Host, fence.VM.DeployID, fence.VM.Hypervisor = onevolume.Fence, "host02", "one-17", "kvm"
		if _, _, err := w.Reserve(t.Context(), root, fence); onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "host01") {
			t.Errorf("of another host: %v", err)
		}
		fence.VM.Host = "host01"
		fences := func(want int) []onevolume.FenceRecord {
			t.Helper()
			list, err := w.Fences(t.Context())
			if err != nil || len(list) != want {
				t.Fatalf("%+v, %v; want %d", list, err, want)
			}
			return list
		}
		op, _ := w.reserve(t, root, fence)
		if err := w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached, Error: "why"}); err != nil {
			t.Fatal(err)
		}
		fences(0)
		if got := w.volume(t, 0); got.Attachment != before.Attachment {
			t.Errorf("undone: %+v", got.Attachment)
		}
		op, _ = w.reserve(t, root, fence)
		for range 2 { // the same word twice
			if err := w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}); err != nil {
				t.Fatal(err)
			}
		}
		got := w.volume(t, 0)
		if got.State != onevolume.Attached || got.Attachment.Host != "" || got.Attachment.VM != 17 || got.Attachment.Source == "" {
			t.Errorf("%s with %+v", got.State, got.Attachment)
		}
		f := fences(1)[0]
		if f.Host != "host01" || f.Volume != 0 || f.Operation != op.ID || f.VM.ID != 17 || f.VM.DeployID != "one-17" || f.VM.Hypervisor != "kvm" ||
			f.VM.Host != "host01" || f.Target.IQN != before.Target.IQN || !slices.Equal(f.Target.Portals, before.Target.Portals) || f.Source != note.Source || f.Since.IsZero() {
			t.Errorf("%+v", f)
		}
		// Nothing is done on that host.
		for _, r := range []onevolume.Request{attachNamed(18, "1"), {Kind: onevolume.Replug, VM: onevolume.VM{ID: 17}, Pick: onevolume.Pick{Volume: "0"}}, detach(17, "0")} {
			r.VM.Host, r.Owner, r.Lease = "host01", "x", time.Minute
			if _, _, err := w.Reserve(t.Context(), root, r); onevolume.CodeOf(err) != onevolume.Action || !strings.Contains(err.Error(), "was fenced at") {
				t.Errorf("%s: %v", r.Kind, err)
			}
		}
		// What another fence left is not taken away by who cleaned after this one.
		old := f
		old.Operation--
		if err := w.Clean(t.Context(), old); err != nil {
			t.Error(err)
		}
		fences(1)
		for range 2 {
			if err := w.Clean(t.Context(), f); err != nil {
				t.Error(err)
			}
		}
		fences(0)
		replug := fence
		replug.Kind = onevolume.Replug
		w.reserve(t, root, replug)
	})
}
