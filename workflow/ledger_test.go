package workflow_test

import (
	"context"

	"onevolume"
)

// twice makes every call two times and gives the second answer.
type twice struct{ onevolume.Ledger }

func (l twice) Reserve(ctx context.Context, r onevolume.Request) (onevolume.Operation, onevolume.Volume, error) {
	if op, v, err := l.Ledger.Reserve(ctx, r); err != nil {
		return op, v, err
	}
	return l.Ledger.Reserve(ctx, r)
}

func (l twice) Record(ctx context.Context, op onevolume.OperationRef, entries []onevolume.Entry, note onevolume.Note) error {
	if err := l.Ledger.Record(ctx, op, entries, note); err != nil {
		return err
	}
	return l.Ledger.Record(ctx, op, entries, note)
}

func (l twice) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	if err := l.Ledger.Finish(ctx, op, e); err != nil {
		return err
	}
	return l.Ledger.Finish(ctx, op, e)
}
