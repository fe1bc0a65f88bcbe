package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"onevolume"
)

// onArray is a request to make a volume.
func onArray(name, uuid string) onevolume.TaskRequest {
	v := volume(1, onevolume.GiB)
	v.Name, v.Array, v.ArrayID = name, "a1", uuid
	v.Target.IQN = onevolume.IQN("iqn.2026-11.org.example.a1:" + uuid)
	v.Owner, v.Home = alice.Owner, onevolume.Owner{}
	v.Permissions = 0o600
	return onevolume.TaskRequest{Kind: onevolume.Create, New: &v, From: -1, Owner: "daemon " + name, Lease: time.Minute,
		Task: onevolume.Task{Array: "a1", ArrayID: uuid, Size: v.Size}}
}

func of(kind onevolume.Kind, id onevolume.VolumeID, task onevolume.Task) onevolume.TaskRequest {
	return onevolume.TaskRequest{Kind: kind, Volume: id, From: -1, Task: task, Owner: fmt.Sprint("daemon ", kind, id), Lease: time.Minute}
}

// finish ends a task well.
func finish(t *testing.T, w *world, op onevolume.Operation, made onevolume.Made) {
	t.Helper()
	for range 2 { // the answer may be lost
		if err := w.FinishTask(t.Context(), op.Ref(), onevolume.Done, made, ""); err != nil {
			t.Fatal(err)
		}
	}
}

func begin(t *testing.T, w *world, who onevolume.Caller, r onevolume.TaskRequest) (onevolume.Operation, onevolume.Volume) {
	t.Helper()
	op, v, err := w.BeginTask(t.Context(), who, r)
	if err != nil {
		t.Fatal(err)
	}
	return op, v
}

func refused(t *testing.T, w *world, who onevolume.Caller, r onevolume.TaskRequest, code onevolume.Code, words string) {
	t.Helper()
	r.Owner += " refused"
	_, _, err := w.BeginTask(t.Context(), who, r)
	if onevolume.CodeOf(err) != code || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v with code %s; want %s and %q", r.Kind, err, onevolume.CodeOf(err), code, words)
	}
}

func TestTasks(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		made := onevolume.Made{Size: onevolume.GiB + 4, Target: onArray("v", "u1").New.Target, Identity: onevolume.Identity{Serial: "s1"}}
		op, v := begin(t, w, alice, onArray("v", "u1"))
		if v.State != onevolume.Changing || op.Task == nil || op.Task.ArrayID != "u1" || op.Prior != onevolume.Changing {
			t.Fatalf("%+v %+v", v, op)
		}
		if again, _ := begin(t, w, alice, onArray("v", "u1")); again.ID != op.ID {
			t.Errorf("a repeated request opened %d beside %d", again.ID, op.ID)
		}
		refused(t, w, alice, onArray("v", "u9"), onevolume.Allocate, "taken")
		refused(t, w, alice, of(onevolume.Delete, v.ID, onevolume.Task{}), onevolume.Action, "holds it")
		finish(t, w, op, made)
		v, err := w.Volume(ctx, v.ID)
		if err != nil || v.State != onevolume.Available || v.Size != made.Size || v.Identity.Serial != "s1" || v.ArrayID != "u1" {
			t.Fatalf("%+v, %v", v, err)
		}
		id := v.ID
		if err := w.Delete(ctx, id, nil); onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("forgotten while it is on its array: %v", err)
		}

		refused(t, w, alice, of(onevolume.Resize, id, onevolume.Task{Size: onevolume.MiB}), onevolume.Invalid, "grows")
		refused(t, w, bob, of(onevolume.Resize, id, onevolume.Task{Size: 2 * onevolume.GiB}), onevolume.Forbidden, "MANAGE")
		op, _ = begin(t, w, alice, of(onevolume.Resize, id, onevolume.Task{Size: 2 * onevolume.GiB}))
		finish(t, w, op, onevolume.Made{Size: 2 * onevolume.GiB})

		shot := func(name, uuid string) onevolume.Task { return onevolume.Task{SnapshotName: name, SnapshotUUID: uuid} }
		op, _ = begin(t, w, alice, of(onevolume.SnapshotCreate, id, shot("before", "s1")))
		finish(t, w, op, onevolume.Made{Size: 2 * onevolume.GiB})
		refused(t, w, alice, of(onevolume.SnapshotCreate, id, shot("before", "s2")), onevolume.Allocate, "before")
		refused(t, w, alice, of(onevolume.Delete, id, onevolume.Task{}), onevolume.Action, "snapshots: 0 (before)")
		list, err := w.Snapshots(ctx, id)
		if err != nil || len(list) != 1 || list[0].UUID != "s1" || list[0].By.UID != alice.UID || list[0].Size != 2*onevolume.GiB {
			t.Fatalf("%+v, %v", list, err)
		}

		// The volume's next owner does not get at what it held before.
		chown := func(o onevolume.Owner) {
			if err := w.Update(ctx, id, func(v *onevolume.Volume) error { v.Owner = o; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		chown(bob.Owner)
		refused(t, w, bob, of(onevolume.SnapshotRevert, id, onevolume.Task{}), onevolume.Forbidden, "SNAPSHOT [0]")
		copied := onArray("copy", "u2")
		copied.From = 0
		copied.New.Owner = bob.Owner
		refused(t, w, bob, copied, onevolume.Forbidden, "SNAPSHOT [0]")
		copied.New.Owner = alice.Owner
		op, c := begin(t, w, alice, copied)
		if op.Task.FromSnapshot != "s1" {
			t.Errorf("%+v", op.Task)
		}
		finish(t, w, op, onevolume.Made{Size: 2 * onevolume.GiB, Target: c.Target})
		if c, _ = w.Volume(ctx, c.ID); c.State != onevolume.Retained {
			t.Errorf("a copy of data is %s", c.State)
		}
		op, _ = begin(t, w, root, of(onevolume.SnapshotRevert, id, onevolume.Task{}))
		finish(t, w, op, onevolume.Made{Size: 2 * onevolume.GiB})
		if v, _ = w.Volume(ctx, id); v.State != onevolume.Retained || v.Owner.UID != alice.UID {
			t.Errorf("after going back it is %s of %d", v.State, v.Owner.UID)
		}

		op, _ = begin(t, w, alice, of(onevolume.SnapshotDelete, id, onevolume.Task{}))
		finish(t, w, op, onevolume.Made{})
		op, _ = begin(t, w, alice, of(onevolume.Delete, id, onevolume.Task{}))
		if err := w.FinishTask(ctx, op.Ref(), onevolume.Undone, onevolume.Made{}, "a clone needs it"); err != nil {
			t.Fatal(err)
		}
		if v, _ = w.Volume(ctx, id); v.State != onevolume.Retained || v.Reason != "a clone needs it" {
			t.Errorf("%s %q", v.State, v.Reason)
		}
		req := of(onevolume.Delete, id, onevolume.Task{})
		req.Owner += " again"
		op, _ = begin(t, w, alice, req)
		if err := w.Finish(ctx, op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Available}); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("an array's work ended as a host's: %v", err)
		}
		finish(t, w, op, onevolume.Made{})
		if _, err = w.Volume(ctx, id); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("deleted, and there: %v", err)
		}
	})
}

func TestATaskThatIsParked(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		op, v := begin(t, w, alice, onArray("v", "u1"))
		if err := w.FinishTask(ctx, op.Ref(), onevolume.Parked, onevolume.Made{}, "the array is gone"); err != nil {
			t.Fatal(err)
		}
		if v, _ = w.Volume(ctx, v.ID); v.State != onevolume.Failed {
			t.Fatalf("it is %s", v.State)
		}
		again, err := w.Reopen(ctx, op.ID, onevolume.Back, "other", time.Minute)
		if err != nil || again.Task == nil || *again.Task != *op.Task {
			t.Fatalf("%+v, %v", again, err)
		}
		if err := w.FinishTask(ctx, op.Ref(), onevolume.Done, onevolume.Made{}, ""); onevolume.CodeOf(err) != onevolume.Stale {
			t.Errorf("the owner before still writes: %v", err)
		}
		if err := w.FinishTask(ctx, again.Ref(), onevolume.Undone, onevolume.Made{}, "taken back"); err != nil {
			t.Fatal(err)
		}
		if _, err = w.Volume(ctx, v.ID); onevolume.CodeOf(err) != onevolume.NotFound {
			t.Errorf("taken back, and there: %v", err)
		}
	})
}
