package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"onevolume"
)

// candidates is how many volumes a choice by size brings, so that losing a
// race costs no new choice.
const candidates = 8

// choose finds the volumes that a request may take, the best first, at least
// one or an error that says why there is none.
func (s *Store) choose(ctx context.Context, q querier, who onevolume.Caller, r onevolume.Request, limit int) ([]row, error) {
	if err := s.refuseHeld(ctx, q, r.Kind, r.Leave); err != nil {
		return nil, err
	}
	if err := refuseFenced(ctx, q, r); err != nil {
		return nil, err
	}
	if r.Kind != onevolume.Attach {
		v, err := s.chooseAttached(ctx, q, who, r)
		return []row{v}, err
	}
	if r.Pick.Volume != "" {
		v, err := s.chooseNamed(ctx, q, who, r.Pick)
		return []row{v}, err
	}
	return s.chooseSize(ctx, q, who, r.Pick, limit)
}

// chooseSize finds the smallest available volumes that fit. RETAINED ones
// hold somebody's data and are never among them.
func (s *Store) chooseSize(ctx context.Context, q querier, who onevolume.Caller, p onevolume.Pick, limit int) ([]row, error) {
	var w where
	w.and("status = ?", string(onevolume.Available))
	w.and("size >= ?", int64(p.Size))
	if p.Exact {
		w.and("size = ?", int64(p.Size))
	}
	if p.Array != "" {
		w.and("array_name = ?", p.Array)
	}
	w.mayBePicked(who)
	found, err := s.list(ctx, q, "SELECT "+volumeColumns+" FROM one_volume"+w.String()+" ORDER BY size, oid LIMIT "+strconv.Itoa(limit), w.args...)
	if err != nil || len(found) > 0 {
		return found, err
	}
	return nil, s.noneFits(ctx, q, who, p)
}

// mayBePicked keeps the volumes that the caller may attach without naming
// them.
func (w *where) mayBePicked(who onevolume.Caller) {
	w.usable(who)
	w.and("disabled = 0")
	w.and("lock_level <> ?", int(onevolume.LockUse))
}

// noneFits says what was asked for and the best there is.
func (s *Store) noneFits(ctx context.Context, q querier, who onevolume.Caller, p onevolume.Pick) error {
	var w where
	w.and("status = ?", string(onevolume.Available))
	if p.Array != "" {
		w.and("array_name = ?", p.Array)
	}
	w.mayBePicked(who)
	var id int
	var size onevolume.Size
	err := q.QueryRowContext(ctx, "SELECT oid, size FROM one_volume"+w.String()+" ORDER BY size DESC, oid LIMIT 1", w.args...).Scan(&id, &size)
	asked := "at least " + p.Size.String()
	if p.Exact {
		asked = "exactly " + p.Size.Exact()
	}
	if p.Array != "" {
		asked += " on array " + p.Array
	}
	const hint = "detach a volume that is no longer needed, or register another one; one's own retained volumes are attached by name"
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return onevolume.Errorf(onevolume.NoneFits, "No free volume of %s: none is free.", asked).WithHint(hint)
	case err != nil:
		return err
	case size == p.Size || !p.Exact && size > p.Size:
		// One came free between the two questions.
		return errLost
	case p.Exact || size.String() == p.Size.String():
		return onevolume.Errorf(onevolume.NoneFits, "No free volume of %s: the largest free one has %s (volume %d).", asked, size.Exact(), id).WithHint(hint)
	}
	return onevolume.Errorf(onevolume.NoneFits, "No free volume of %s: the largest free one has %s (volume %d).", asked, size, id).WithHint(hint)
}

// misfit says what of a volume is not as the pick wants it, or nothing.
func misfit(v *onevolume.Volume, p onevolume.Pick) string {
	switch {
	case p.Exact && p.Size > 0 && v.Size != p.Size:
		return fmt.Sprintf("has %s, not exactly %s", v.Size.Exact(), p.Size.Exact())
	case v.Size < p.Size && v.Size.String() == p.Size.String():
		return fmt.Sprintf("has %s, not at least %s", v.Size.Exact(), p.Size.Exact())
	case v.Size < p.Size:
		return fmt.Sprintf("has %s, not at least %s", v.Size, p.Size)
	case p.Array != "" && v.Array != p.Array:
		return fmt.Sprintf("is on array %q, not on %q", v.Array, p.Array)
	}
	return ""
}

// chooseNamed finds the volume with this id or name and checks that the
// caller may attach it now.
func (s *Store) chooseNamed(ctx context.Context, q querier, who onevolume.Caller, p onevolume.Pick) (row, error) {
	v, err := s.find(ctx, q, p.Volume, &who)
	if err != nil {
		return v, err
	}
	if err := who.Check(onevolume.Use, &v.Volume); err != nil {
		return v, err
	}
	if !v.State.Free() {
		return v, s.inTheWay(ctx, q, &v.Volume)
	}
	if v.Disabled {
		return v, onevolume.Errorf(onevolume.Action, "Volume %d is disabled.", v.ID).WithHint("onevolume enable lets it be attached")
	}
	if v.State == onevolume.Retained && v.Owner.UID != who.UID && !who.IsAdmin() {
		return v, onevolume.Errorf(onevolume.Forbidden,
			"User [%d] : Not authorized to perform USE VOLUME [%d]: it is retained with its owner's data.", who.UID, v.ID)
	}
	if why := misfit(&v.Volume, p); why != "" {
		return v, onevolume.Errorf(onevolume.NoneFits, "Volume %d %s.", v.ID, why)
	}
	return v, nil
}

// chooseAttached finds the volume to detach, to replug, to release, to fence or to migrate. Whoever may manage
// the VM may take a disk out of it: there is no right on the volume to check.
// But what is locked stays: a lock of level USE keeps a volume in its VM, and
// one of MANAGE keeps its data.
func (s *Store) chooseAttached(ctx context.Context, q querier, who onevolume.Caller, r onevolume.Request) (row, error) {
	v, err := s.find(ctx, q, r.Pick.Volume, nil, r.VM.ID)
	if err != nil {
		return v, err
	}
	if r.Kind == onevolume.Detach {
		takes := onevolume.Manage
		if r.Leave == onevolume.LeaveData {
			takes = onevolume.Use
		}
		if err := who.CheckLock(takes, &v.Volume); err != nil {
			return v, err
		}
	}
	if r.Kind == onevolume.Grow {
		if err := mayGrow(who, &v.Volume, r); err != nil {
			return v, err
		}
	}
	switch {
	case v.State.Moving():
		return v, s.inTheWay(ctx, q, &v.Volume)
	case v.Attachment.VM == onevolume.NoVM:
		return v, onevolume.Errorf(onevolume.Action, "Volume %d is not attached to VM %d: it is %s.", v.ID, r.VM.ID, v.State)
	case v.Attachment.VM != r.VM.ID:
		return v, onevolume.Errorf(onevolume.Action, "Volume %d is not attached to VM %d but to VM %d.", v.ID, r.VM.ID, v.Attachment.VM)
	case r.Kind != onevolume.Detach && v.State != onevolume.Attached:
		return v, s.inTheWay(ctx, q, &v.Volume)
	case r.Kind == onevolume.Fence && v.Attachment.Host != r.VM.Host:
		return v, onevolume.Errorf(onevolume.Action, "Volume %d is on record on host %q, not on %q.", v.ID, v.Attachment.Host, r.VM.Host)
	case r.Kind == onevolume.Migrate && v.Attachment.Host == "" && r.VM.Host == r.Destination: // of a VM that is restored
	case (r.Kind == onevolume.Migrate || r.Kind == onevolume.Grow) && v.Attachment.Host != r.VM.Host:
		return v, onevolume.Errorf(onevolume.Action, "Volume %d is on record on host %q, not on %q where VM %d is.",
			v.ID, v.Attachment.Host, r.VM.Host, r.VM.ID).WithHint("it follows its VM by itself: try again in a moment, see onevolume show %d", v.ID)
	}
	if running, err := runningOn(ctx, q, v.ID); err != nil || running != nil {
		return v, errors.Join(err, s.inTheWay(ctx, q, &v.Volume))
	}
	return v, nil
}

// mayGrow asks for the right to let a volume grow, which is an administrator's
// where it is said and not done, and that it does not shrink. The same size
// again brings the guest to it, if it is not there.
func mayGrow(who onevolume.Caller, v *onevolume.Volume, r onevolume.Request) error {
	right := onevolume.Admin
	if v.ArrayID != "" {
		right = onevolume.Manage
	}
	if err := who.Check(right, v); err != nil {
		return err
	}
	if r.Task.Size < v.Size {
		return onevolume.Errorf(onevolume.Invalid, "Volume %d has %s: it grows, and does not become %s.", v.ID, v.Size.Exact(), r.Task.Size.Exact()).
			WithHint("a smaller one would lose data: create another volume and copy what is on this one")
	}
	return nil
}

// find reads the volume with this id or name: of several with the name the
// only one in that VM, or the viewer's own. With a viewer, those that the
// viewer may not USE have no names.
func (s *Store) find(ctx context.Context, q querier, volume string, viewer *onevolume.Caller, in ...onevolume.VMID) (row, error) {
	if id, err := strconv.Atoi(volume); err == nil {
		return s.get(ctx, q, onevolume.VolumeID(id))
	}
	found, err := s.named(ctx, q, volume, viewer)
	if err != nil {
		return row{}, err
	}
	if len(found) == 0 {
		return row{}, onevolume.Errorf(onevolume.NotFound, "There is no volume named %q.", volume)
	}
	mine := slices.DeleteFunc(slices.Clone(found), func(r row) bool {
		return !slices.Contains(in, r.Attachment.VM) && (viewer == nil || r.Owner.UID != viewer.UID)
	})
	if len(mine) == 1 {
		return mine[0], nil
	}
	if len(found) == 1 {
		return found[0], nil
	}
	ids := ""
	for _, r := range found {
		ids += fmt.Sprintf(", %d", r.ID)
	}
	return row{}, onevolume.Errorf(onevolume.Action, "Several volumes are named %q: %s.", volume, ids[2:]).WithHint("say which by its id")
}

// inTheWay explains why a volume cannot be reserved now.
func (s *Store) inTheWay(ctx context.Context, q querier, v *onevolume.Volume) error {
	running, err := runningOn(ctx, q, v.ID)
	switch {
	case err != nil:
		return err
	case running != nil:
		return onevolume.Errorf(onevolume.Action, "Volume %d is %s: operation %d (%s, VM %d) of %s holds it.",
			v.ID, v.State, running.ID, running.Kind, running.VM.ID, running.Owner).WithHint("wait until it ends")
	case v.Attachment.VM != onevolume.NoVM:
		return onevolume.Errorf(onevolume.Action, "Volume %d is %s, in VM %d.", v.ID, v.State, v.Attachment.VM).WithHint("detach it first")
	case v.Reason != "":
		return onevolume.Errorf(onevolume.Action, "Volume %d is %s: %s", v.ID, v.State, v.Reason)
	}
	return onevolume.Errorf(onevolume.Action, "Volume %d is %s.", v.ID, v.State)
}
