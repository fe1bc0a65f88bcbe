package provision

import (
	"context"

	"onevolume"
	"onevolume/array"
	"onevolume/saga"
)

type step = saga.Step[onevolume.Made]

// steps are those of the run's kind of operation. There is one on the array
// for each: what an array does in several requests, its driver repeats as a
// whole.
func (r *run) steps() []step {
	switch r.op.Kind {
	case onevolume.Create:
		return []step{{Name: "make", Do: r.make, Undo: r.unmake}}
	case onevolume.Delete:
		return []step{{Name: "remove", Do: r.remove, Undo: r.stillThere}}
	case onevolume.Resize:
		return []step{{Name: "extend", Do: r.extend, Undo: r.notGrown}}
	case onevolume.SnapshotCreate:
		return []step{{Name: "snapshot", Do: r.snapshot, Undo: func(ctx context.Context, _ *onevolume.Made) error {
			return r.unlessUnsupported(func(s array.Snapshotter) error { return s.DeleteSnapshot(ctx, array.ID(r.task.SnapshotUUID)) })
		}}}
	case onevolume.SnapshotDelete:
		return []step{{Name: "remove-snapshot", Do: r.removeSnapshot, Undo: r.snapshotStillThere}}
	case onevolume.SnapshotRevert:
		return []step{{Name: "revert", Do: r.revert, Undo: r.notReverted}}
	}
	return []step{{Name: "begin", Do: func(context.Context, *onevolume.Made) error {
		return onevolume.Errorf(onevolume.Invalid, "no such kind of operation: %q", r.op.Kind).WithHint("a newer onevolumed began it: let that one end it")
	}}}
}

func (r *run) id() array.ID { return array.ID(r.task.ArrayID) }

// request is the volume to be made. Its label is cut to what the array keeps.
func (r *run) request(caps array.Capabilities) array.Request {
	return array.Request{ID: r.id(), Size: r.task.Size, Label: caps.CutLabel(r.task.Label)}
}

// make makes the volume, empty or with a copy.
func (r *run) make(ctx context.Context, m *onevolume.Made) error {
	caps, err := r.array.Capabilities(ctx)
	if err != nil {
		return err
	}
	var v array.Volume
	switch {
	case r.task.FromSnapshot != "":
		s, ok := r.array.(array.Snapshotter)
		if !ok || !caps.Snapshots {
			return r.cannot("has no snapshots")
		}
		v, err = s.FromSnapshot(ctx, r.request(caps), array.ID(r.task.FromSnapshot))
	case r.task.FromVolume != "":
		c, ok := r.array.(array.Cloner)
		if !ok || !caps.Clones {
			return r.cannot("does not copy volumes")
		}
		v, err = c.Clone(ctx, r.request(caps), array.ID(r.task.FromVolume))
	case !caps.Zeroed:
		return r.cannot("does not give out volumes that read as zeroes").WithHint("somebody's data could be on them: use a thin pool, or register volumes that were wiped")
	default:
		v, err = r.array.Create(ctx, r.request(caps))
	}
	if err == nil {
		m.Size, m.Target = v.Size, r.array.Target(r.id())
	}
	return err
}

func (r *run) unmake(ctx context.Context, _ *onevolume.Made) error {
	return r.array.Delete(ctx, r.id())
}

func (r *run) cannot(what string) *onevolume.Error {
	return onevolume.Errorf(onevolume.Action, "array %s %s", r.task.Array, what)
}

// remove deletes the volume. Whom it was exported to and who is logged in no
// more, loses that first; whoever is keeps it from being deleted.
func (r *run) remove(ctx context.Context, _ *onevolume.Made) error {
	if err := shut(ctx, r.array, r.id()); err != nil {
		return err
	}
	return r.array.Delete(ctx, r.id())
}

// shut takes all rights on the volume away. Error: Busy, by a session.
func shut(ctx context.Context, a array.Array, id array.ID) error {
	list, err := a.Exports(ctx, id)
	if array.Is(err, array.NotFound) {
		return nil
	}
	for _, e := range list {
		if err == nil {
			err = a.Unexport(ctx, id, e.Initiator, false)
		}
	}
	return err
}

// stillThere is what there is to undo when deleting failed: nothing, as long
// as the volume is there. One that is gone cannot come back.
func (r *run) stillThere(ctx context.Context, _ *onevolume.Made) error {
	_, err := r.array.Lookup(ctx, r.id())
	return r.gone(err, "volume "+r.task.ArrayID)
}

func (r *run) gone(err error, what string) error {
	if array.Is(err, array.NotFound) {
		return onevolume.Errorf(onevolume.Unknown, "%s is gone from array %s: it cannot be taken back", what, r.task.Array)
	}
	return err
}

func (r *run) extend(ctx context.Context, m *onevolume.Made) error {
	e, ok := r.array.(array.Extender)
	if !ok {
		return r.cannot("does not let volumes grow")
	}
	v, err := e.Extend(ctx, r.id(), r.task.Size)
	m.Size = v.Size
	return err
}

// notGrown asks that the volume is as large as it was, or has to become: one
// that has grown must be recorded so.
func (r *run) notGrown(ctx context.Context, _ *onevolume.Made) error {
	v, err := r.array.Lookup(ctx, r.id())
	if err == nil && v.Size >= r.task.Size {
		return onevolume.Errorf(onevolume.Unknown, "volume %s has grown to %s on array %s", r.id(), v.Size.Exact(), r.task.Array)
	}
	return err
}

func (r *run) snapshotter(ctx context.Context) (array.Snapshotter, error) {
	caps, err := r.array.Capabilities(ctx)
	if err != nil {
		return nil, err
	}
	s, ok := r.array.(array.Snapshotter)
	if !ok || !caps.Snapshots {
		return nil, r.cannot("has no snapshots")
	}
	return s, nil
}

func (r *run) unlessUnsupported(do func(array.Snapshotter) error) error {
	s, ok := r.array.(array.Snapshotter)
	if !ok {
		return nil
	}
	err := do(s)
	if array.Is(err, array.Unsupported) {
		return nil
	}
	return err
}

func (r *run) snapshot(ctx context.Context, m *onevolume.Made) error {
	s, err := r.snapshotter(ctx)
	if err != nil {
		return err
	}
	shot, err := s.Snapshot(ctx, array.ID(r.task.SnapshotUUID), r.id())
	m.Size = shot.Size
	return err
}

func (r *run) removeSnapshot(ctx context.Context, _ *onevolume.Made) error {
	s, err := r.snapshotter(ctx)
	if err == nil {
		err = s.DeleteSnapshot(ctx, array.ID(r.task.SnapshotUUID))
	}
	return err
}

func (r *run) snapshotStillThere(ctx context.Context, _ *onevolume.Made) error {
	return r.unlessUnsupported(func(s array.Snapshotter) error {
		_, err := s.LookupSnapshot(ctx, array.ID(r.task.SnapshotUUID))
		return r.gone(err, "snapshot "+r.task.SnapshotUUID)
	})
}

func (r *run) revert(ctx context.Context, m *onevolume.Made) error {
	b, ok := r.array.(array.Reverter)
	if !ok {
		return r.cannot("does not bring a volume back to a snapshot").WithHint("make a volume from the snapshot instead: onevolume create --snapshot %d", r.task.Snapshot)
	}
	v, err := b.Revert(ctx, r.id(), array.ID(r.task.SnapshotUUID))
	m.Size = v.Size
	if err != nil && !array.Is(err, array.Unknown) {
		m.Size = 0 // nothing was done
		return err
	}
	if err != nil {
		m.Size = -1
	}
	return err
}

// notReverted: what was on the volume before is gone once the array has been
// asked and the answer was lost. Repeating the call is the only way to know.
func (r *run) notReverted(_ context.Context, m *onevolume.Made) error {
	if m.Size < 0 {
		return onevolume.Errorf(onevolume.Unknown, "whether volume %s was brought back is not known", r.id())
	}
	return nil
}
