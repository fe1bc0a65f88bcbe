package assemble

import (
	"context"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/config"
	"onevolume/daemon/labels"
	"onevolume/inventory"
	"onevolume/opennebula"
	"onevolume/store"
)

// shown is the inventory as callers have it, which tells of all that changes
// what VMs show: an operation's end, whoever runs it, and an administrator's
// word.
type shown struct {
	*inventory.Service
	labels *labels.Labels
}

func (s shown) Ledger(who onevolume.Caller) onevolume.Ledger {
	return s.labels.Ledger(s.Service.Ledger(who))
}

func (s shown) Rename(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) error {
	defer s.labels.Changed(id)
	return s.Service.Rename(ctx, who, id, name)
}

func (s shown) Recover(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, r onevolume.Recovery) error {
	defer s.labels.Changed(id)
	return s.Service.Recover(ctx, who, id, r)
}

// newLabels keeps what VMs show, with the daemon's own session at oned, which
// is looked for when it is needed: the file may come later, and change.
func newLabels(conf config.Config, db *store.Store, one *opennebula.Client, log *zap.Logger) *labels.Labels {
	session := func() (string, error) { return opennebula.SystemEnvironment().Session("", "") }
	return &labels.Labels{Inventory: db, Cloud: opennebula.Labels{Client: one, Session: session}, Log: log,
		Retry: conf.Operations.Sweep, Every: conf.Operations.Labels}
}
