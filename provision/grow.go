package provision

import (
	"context"

	"onevolume"
	"onevolume/array"
)

// Extend makes the volume of a Grow as large as its task says, at least, and
// gives what it has become. It may be repeated. Codes: Stale, Action (a volume
// that was registered, or an array on which none grows), NotFound, and those of
// the array's Extend.
func (a *Access) Extend(ctx context.Context, ref onevolume.OperationRef) (size onevolume.Size, err error) {
	err = a.with(ctx, ref, func(ctx context.Context, op onevolume.Operation, v onevolume.Volume, on array.Array) error {
		if op.Kind != onevolume.Grow || op.Task == nil {
			return onevolume.Errorf(onevolume.Action, "operation %d (%s) lets no volume grow", op.ID, op.Kind)
		}
		caps, err := on.Capabilities(ctx)
		if err != nil {
			return err
		}
		e, ok := on.(array.Extender)
		if !ok || caps.Extend == array.ExtendNever {
			return onevolume.Errorf(onevolume.Action, "array %s does not let volumes grow", v.Array)
		}
		if caps.Extend != array.ExtendOnline {
			return onevolume.Errorf(onevolume.Action, "array %s does not let volumes grow that a guest uses (%s)", v.Array, caps.Extend).
				WithHint("detach it with --no-format, resize it, and attach it again")
		}
		// It may have more already: an array rounds up. It is asked for that
		// all the same, since it may have been cut off in the middle.
		is, err := on.Lookup(ctx, array.ID(v.ArrayID))
		if err == nil {
			is, err = e.Extend(ctx, array.ID(v.ArrayID), max(is.Size, op.Task.Size))
		}
		if err == nil && is.Size < v.Size {
			return onevolume.Errorf(onevolume.Mismatch, "volume %d has %s on array %s, and %s are on record", v.ID, is.Size.Exact(), v.Array, v.Size.Exact()).
				WithHint("somebody made it smaller there, or it is another: onevolume doctor")
		}
		size = is.Size
		return err
	})
	return size, err
}

// SizeNow is the size that the operation's volume has on its array. Codes:
// Stale, Action, NotFound, and those of the array.
func (a *Access) SizeNow(ctx context.Context, ref onevolume.OperationRef) (size onevolume.Size, err error) {
	err = a.with(ctx, ref, func(ctx context.Context, _ onevolume.Operation, v onevolume.Volume, on array.Array) error {
		is, err := on.Lookup(ctx, array.ID(v.ArrayID))
		size = is.Size
		return err
	})
	return size, err
}
