package inventory

import (
	"context"

	"onevolume"
)

// Arrays is the inventory for those who bring it to what an array says
// (package openfiler): with an administrator's rights, and with a line in the
// audit for each change.
type Arrays struct {
	Service *Service
	Name    string // of this process, for the audit
	Umask   int    // of what it registers, as a Caller's
}

func (a Arrays) admin() onevolume.Caller {
	return onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}, Umask: a.Umask}
}

// ask says in the audit who does what: whoever asked for it, else this
// process. The note holds no secret.
func (a Arrays) ask(ctx context.Context, note string) context.Context {
	ask, ok := onevolume.AskOf(ctx)
	if !ok {
		ask = onevolume.Ask{By: a.admin().Owner, From: a.Name, Action: "sync"}
	}
	ask.Text = note
	return onevolume.WithAsk(ctx, ask)
}

// Volumes lists all volumes with their CHAP secrets.
func (a Arrays) Volumes(ctx context.Context) ([]onevolume.Volume, error) {
	return a.Service.Store.Volumes(ctx, onevolume.Filter{Viewer: a.admin(), Flag: -2, FirstID: -1, LastID: -1})
}

// Allocate is Service.Allocate for oneadmin.
func (a Arrays) Allocate(ctx context.Context, note, template string) (onevolume.VolumeID, error) {
	return a.Service.Allocate(a.ask(ctx, note), a.admin(), template)
}

// Update is Service.Update for oneadmin, appending.
func (a Arrays) Update(ctx context.Context, id onevolume.VolumeID, note, template string) error {
	return a.Service.Update(a.ask(ctx, note), a.admin(), id, template, onevolume.Append)
}

// Fail sets a volume that is in no VM to ERROR, if it still is in the state
// in which it was seen. Code: Action (it is in another).
func (a Arrays) Fail(ctx context.Context, id onevolume.VolumeID, was onevolume.State, note, reason string) error {
	return a.Service.Store.Update(a.ask(ctx, note), id, func(v *onevolume.Volume) error {
		if v.State != was || !v.State.Free() {
			return onevolume.Errorf(onevolume.Action, "Volume %d has become %s meanwhile.", id, v.State)
		}
		v.State, v.Reason = onevolume.Failed, reason
		return nil
	})
}
