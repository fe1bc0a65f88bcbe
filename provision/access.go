package provision

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"onevolume"
	"onevolume/array"
)

// Access lets hosts in to volumes that were made on arrays, for the
// operations that plug them in and out. At any time at most one host is let
// in to a volume, but while it moves with its VM, and a host's credentials are
// new each time: nothing keeps them but that host. Set all fields before use;
// it must not be copied.
type Access struct {
	*Engine
	// Volume, Volumes and Operation read the inventory.
	Volume    func(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error)
	Volumes   func(ctx context.Context) ([]onevolume.Volume, error)
	Operation func(ctx context.Context, id int) (onevolume.Operation, error)

	mu   sync.Mutex
	busy map[onevolume.VolumeID]chan struct{}
}

// accessTime bounds what an array may take for one call.
const accessTime = time.Minute

// A session that a host has ended may stand on the array for a moment more:
// so long, and so often, is it looked at again.
const (
	goneTime  = 10 * time.Second
	gonePause = 250 * time.Millisecond
)

// Grant lets the initiator in to the operation's volume with new credentials,
// and nobody else, unless the operation is a migration, which needs both hosts.
// What its unit will say of itself is on record when Grant
// returns. It may be repeated: the credentials are others then, and an open
// session goes on. Codes: Stale, Action (an operation that needs no device, a volume that was registered),
// Held (another host is logged in), and those of the array's Export.
func (a *Access) Grant(ctx context.Context, ref onevolume.OperationRef, initiator onevolume.IQN) (onevolume.Access, error) {
	var out onevolume.Access
	err := a.with(ctx, ref, func(ctx context.Context, op onevolume.Operation, v onevolume.Volume, on array.Array) error {
		switch op.Kind {
		case onevolume.Attach, onevolume.Replug, onevolume.Detach:
			if err := a.takeAway(ctx, on, v, func(i onevolume.IQN) bool { return i != initiator }); err != nil {
				return err
			}
		case onevolume.Migrate:
		default:
			return onevolume.Errorf(onevolume.Action, "operation %d (%s) needs no host to be let in", op.ID, op.Kind)
		}
		id := array.ID(v.ArrayID)
		e, err := on.Export(ctx, id, array.Grant{Initiator: initiator, CHAP: array.NewCHAP(id)})
		if err != nil {
			return err
		}
		if e.Target.IQN != v.Target.IQN || e.Target.LUN != v.Target.LUN {
			return onevolume.Errorf(onevolume.Mismatch, "array %s serves volume %d as %s LUN %d, and %s LUN %d is on record",
				v.Array, v.ID, e.Target.IQN, e.Target.LUN, v.Target.IQN, v.Target.LUN).
				WithHint("set the array's iqn in the configuration to what it was when the volume was made")
		}
		out = onevolume.Access{CHAP: e.Target.CHAP, Identity: e.Identity}
		// It is asked once more whose the operation is: one that was taken
		// over meanwhile must not use what another has replaced.
		return a.Ledger.Record(ctx, ref, nil, onevolume.Note{Identity: e.Identity})
	})
	if err != nil {
		return onevolume.Access{}, err
	}
	return out, nil
}

// Revoke takes away the initiator's right on the operation's volume, or with
// an empty name everybody's. None is cut off. It may be repeated. Codes: Stale,
// Held (a host is logged in), and those of the array's Unexport.
func (a *Access) Revoke(ctx context.Context, ref onevolume.OperationRef, initiator onevolume.IQN) error {
	return a.with(ctx, ref, func(ctx context.Context, _ onevolume.Operation, v onevolume.Volume, on array.Array) error {
		return a.takeAway(ctx, on, v, func(i onevolume.IQN) bool { return initiator == "" || i == initiator })
	})
}

// with calls f for an operation that the caller holds, alone on its volume.
func (a *Access) with(ctx context.Context, ref onevolume.OperationRef,
	f func(context.Context, onevolume.Operation, onevolume.Volume, array.Array) error) error {
	op, err := a.Operation(ctx, ref.ID)
	if err != nil {
		return err
	}
	leave, err := a.enter(ctx, op.Volume)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, accessTime)
	defer cancel()
	if err := a.Ledger.Record(ctx, ref, nil, onevolume.Note{}); err != nil {
		return err // Stale: it is another's
	}
	v, err := a.Volume(ctx, op.Volume)
	if err != nil {
		return err
	}
	if v.ArrayID == "" {
		return onevolume.Errorf(onevolume.Action, "volume %d was registered: it is its storage machine that lets hosts in", v.ID)
	}
	on, err := a.Array(v.Array)
	if err != nil {
		return err
	}
	return f(ctx, op, v, on)
}

// enter waits for the volume. A channel and not a mutex, so that waiting ends
// with the context.
func (a *Access) enter(ctx context.Context, id onevolume.VolumeID) (leave func(), err error) {
	a.mu.Lock()
	if a.busy == nil {
		a.busy = map[onevolume.VolumeID]chan struct{}{}
	}
	turn := a.busy[id]
	if turn == nil {
		turn = make(chan struct{}, 1)
		a.busy[id] = turn
	}
	a.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, onevolume.Errorf(onevolume.Unreachable, "volume %d: its array was not asked: %w", id, ctx.Err())
	}
}

// takeAway takes the rights of these initiators away. A volume that is not
// there lets nobody in.
func (a *Access) takeAway(ctx context.Context, on array.Array, v onevolume.Volume, of func(onevolume.IQN) bool) error {
	id := array.ID(v.ArrayID)
	list, err := on.Exports(ctx, id)
	if array.Is(err, array.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if !of(e.Initiator) {
			continue
		}
		if err := a.unexport(ctx, on, id, e.Initiator); err != nil {
			if array.Is(err, array.Busy) {
				return onevolume.Errorf(onevolume.Held, "initiator %s is logged in to volume %d on array %s: %w", e.Initiator, v.ID, v.Array, err).
					WithHint("see that the host of that name logs out of %s; its right is taken away then", v.Target.IQN)
			}
			return err
		}
	}
	return nil
}

// unexport takes one right away, as soon as its session is gone.
func (a *Access) unexport(ctx context.Context, on array.Array, id array.ID, initiator onevolume.IQN) error {
	for left := goneTime; ; left -= gonePause {
		err := on.Unexport(ctx, id, initiator, false)
		if !array.Is(err, array.Busy) || left <= 0 {
			return err
		}
		select {
		case <-time.After(gonePause):
		case <-ctx.Done():
			return err
		}
	}
}

// Fence takes the rights of all initiators on the operation's volume away, cuts
// off those that are logged in, and returns when the array shows neither a right
// nor a session any more: what a host that is thought dead does later is refused.
// It may be repeated. Codes: Stale, Action (the operation is no fence, or the
// volume was registered), Held (a session does not go), and those of the array's
// Unexport.
func (a *Access) Fence(ctx context.Context, ref onevolume.OperationRef) error {
	return a.with(ctx, ref, func(ctx context.Context, op onevolume.Operation, v onevolume.Volume, on array.Array) error {
		if op.Kind != onevolume.Fence {
			return onevolume.Errorf(onevolume.Action, "operation %d (%s) cuts nobody off", op.ID, op.Kind)
		}
		id := array.ID(v.ArrayID)
		for left := goneTime; ; left -= gonePause {
			in, err := letIn(ctx, on, id)
			if err != nil || len(in) == 0 {
				return err
			}
			if left <= 0 {
				return onevolume.Errorf(onevolume.Held, "array %s still lets %s in to volume %d, or shows a session of it", v.Array, in[0], v.ID).
					WithHint("end that session on the array, then try again")
			}
			if left < goneTime {
				select {
				case <-time.After(gonePause):
				case <-ctx.Done():
					return onevolume.Errorf(onevolume.Unreachable, "array %s did not cut %s off in time: %w", v.Array, in[0], ctx.Err())
				}
			}
			for _, initiator := range in {
				if err := on.Unexport(ctx, id, initiator, true); err != nil {
					return err
				}
			}
		}
	})
}

// letIn lists who has a right on the volume or a session with it. A volume
// that is not there lets nobody in.
func letIn(ctx context.Context, on array.Array, id array.ID) ([]onevolume.IQN, error) {
	in := map[onevolume.IQN]bool{}
	exports, err := on.Exports(ctx, id)
	for _, e := range exports {
		in[e.Initiator] = true
	}
	if err == nil {
		var sessions []array.Session
		sessions, err = on.Sessions(ctx, id)
		for _, s := range sessions {
			in[s.Initiator] = true
		}
	}
	if array.Is(err, array.NotFound) {
		return nil, nil
	}
	return slices.Sorted(maps.Keys(in)), err
}
