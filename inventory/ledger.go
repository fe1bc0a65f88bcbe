package inventory

import (
	"context"
	"time"

	"onevolume"
)

// Ledger gives the inventory as a workflow needs it, on behalf of a caller:
// volumes are chosen among those the caller may USE.
func (s *Service) Ledger(who onevolume.Caller) onevolume.Ledger { return ledger{s, who} }

type ledger struct {
	*Service
	who onevolume.Caller
}

// maxLease bounds how long a dead owner can keep a volume.
const maxLease = 10 * time.Minute

func (l ledger) Reserve(ctx context.Context, r onevolume.Request) (onevolume.Operation, onevolume.Volume, error) {
	if err := checkRequest(r); err != nil {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	op, v, err := l.Store.Reserve(ctx, l.who, r)
	if onevolume.CodeOf(err) == onevolume.NoneFits && r.Kind == onevolume.Attach && r.Pick.Volume == "" && l.Makers != nil {
		return l.makeOne(ctx, r, err)
	}
	return op, v, err
}

func (l ledger) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	return l.Store.Record(ctx, op, entries, note)
}

func (l ledger) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	return l.Store.Finish(ctx, op, e)
}

// checkRequest refuses what no workflow of ours asks for.
func checkRequest(r onevolume.Request) error {
	bad := func(format string, args ...any) error { return onevolume.Errorf(onevolume.Invalid, format, args...) }
	switch {
	case r.Kind != onevolume.Attach && r.Kind != onevolume.Detach && r.Kind != onevolume.Replug && r.Kind != onevolume.Release && r.Kind != onevolume.Fence && r.Kind != onevolume.Migrate && r.Kind != onevolume.Grow:
		return bad("no such kind of operation: %q", r.Kind)
	case r.VM.ID < 0 || r.VM.Host == "":
		return bad("VM %d has no host", r.VM.ID)
	case r.Kind != onevolume.Attach && r.Pick.Volume == "":
		return bad("which volume to %s is missing", r.Kind)
	case r.Kind == onevolume.Attach && r.Pick.Volume == "" && r.Pick.Size <= 0:
		return bad("which volume to attach, or of which size, is missing")
	case r.Owner == "" && !r.DryRun:
		return bad("an operation without an owner")
	case !r.DryRun && (r.Lease < time.Second || r.Lease > maxLease):
		return bad("a lease of %s; it must be from %s to %s", r.Lease, time.Second, maxLease)
	}
	switch r.Leave {
	case onevolume.LeaveZeroes, onevolume.LeaveExt4, onevolume.LeaveXFS, onevolume.LeaveData:
		return nil
	}
	return bad("no such format: %q", r.Leave)
}

// Fences lists what hosts were cut off from and have not been cleaned of. The
// caller has looked that whoever asks is an administrator.
func (s *Service) Fences(ctx context.Context) ([]onevolume.FenceRecord, error) {
	return s.Store.Fences(ctx)
}
