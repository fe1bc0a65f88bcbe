package inventory

import (
	"context"
	"errors"

	"onevolume"
)

// makeOne has a volume made, for an attach by size that finds none, on the
// array that says auto_create and has most free space, and reserves it. With
// DryRun it says which volume that would be: its id is NoVolume, and its
// Reason is why that array was chosen. Where none can be made, the error is
// none's, with what speaks against each array.
//
// Should the daemon die in the middle, the volume is made or taken back as
// any other; it is free then, and the next who attaches finds it.
func (l ledger) makeOne(ctx context.Context, r onevolume.Request, none error) (onevolume.Operation, onevolume.Volume, error) {
	fail := func(err error) (onevolume.Operation, onevolume.Volume, error) {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	spaces, err := l.Makers.Spaces(ctx)
	if err != nil {
		return fail(err)
	}
	list := onevolume.Choose(l.who, spaces, r.Pick)
	v := onevolume.Volume{Size: r.Pick.Size, Owner: l.who.Owner, Home: l.who.Owner, Permissions: l.who.NewPermissions()}
	if l.who.IsAdmin() && r.VM.Owner != (onevolume.Owner{}) {
		v.Owner = r.VM.Owner // whose quota it must fit in
	}
	for _, c := range list {
		if c.Why != "" {
			continue
		}
		v.Array = c.Array
		if r.DryRun {
			if v.ArrayID, v.Target, err = l.Makers.NewOnArray(c.Array); err != nil {
				return fail(err)
			}
			v.ID, v.State, v.Attachment.VM, v.Reason = onevolume.NoVolume, onevolume.Available, onevolume.NoVM, onevolume.Explain(list)
			return onevolume.Operation{}, v, nil
		}
		id, err := l.create(ctx, l.who, v, onevolume.TaskRequest{Kind: onevolume.Create, From: -1})
		if onevolume.CodeOf(err) == onevolume.NoneFits {
			none = errors.Join(none, err) // full meanwhile: the next
			continue
		}
		if err != nil {
			return fail(err)
		}
		op, v, err := l.Store.Reserve(ctx, l.who, r)
		if onevolume.CodeOf(err) == onevolume.NoneFits {
			return fail(onevolume.Errorf(onevolume.Busy, "Volume %d was made, and somebody else was quicker to attach it.", id).WithHint("try again"))
		}
		return op, v, err
	}
	if len(list) == 0 {
		return fail(none)
	}
	return fail(onevolume.Errorf(onevolume.NoneFits, "%w No array makes one. %s", none, onevolume.Explain(list)).WithHint("%s", onevolume.HintOf(none)))
}
