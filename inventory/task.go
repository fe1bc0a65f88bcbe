package inventory

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"onevolume"
)

// What arrays do for the inventory: volumes on demand, and their snapshots.

// Makers are the arrays that make volumes (package daemon).
type Makers interface {
	// NewOnArray chooses a UUID for a new volume, and says how it will be
	// reached. Code: NotFound.
	NewOnArray(array string) (uuid string, at onevolume.Target, err error)
	// MayCreate says whether the caller may have volumes made there.
	MayCreate(who onevolume.Caller, array string) bool
	// Types are the kinds of volumes that are made.
	Types() []onevolume.VolumeType
	// Spaces tells how much room arrays have, as they said last.
	Spaces(ctx context.Context) ([]onevolume.Space, error)
	// Task has an array do what is asked, and waits for it. Code Unknown: it
	// is not done yet, and goes on.
	Task(ctx context.Context, who onevolume.Caller, r onevolume.TaskRequest) (onevolume.Operation, error)
}

// snapshotStore keeps snapshots (package store).
type snapshotStore interface {
	Snapshot(ctx context.Context, id onevolume.SnapshotID) (onevolume.Snapshot, error)
	Snapshots(ctx context.Context, id onevolume.VolumeID) ([]onevolume.Snapshot, error)
}

// attrSnapshot is the snapshot that a new volume begins with.
const attrSnapshot = "SNAPSHOT"

// onArray says whether a template asks for a volume to be made: it names no
// target, and says where, of what type, from which snapshot, or how large.
func (s *Service) onArray(t map[string]string) bool {
	_, target := t[attrIQN]
	_, portals := t[attrPortals]
	_, from := t[attrSnapshot]
	_, sized := t[attrSize]
	return !target && !portals && (t[attrArray] != "" || from || t[onevolume.AttrType] != "" || sized && s.Makers != nil)
}

// allocateOnArray has a volume made by the template's NAME, SIZE (at least;
// MB unless it has a unit), TYPE and ARRAY; without ARRAY on the one of those
// that the type and the caller may have that has most free space. With
// SNAPSHOT it begins with what is in that, on its array, and may be larger. Administrators may, and everybody
// where the array's configuration says so. Codes: Forbidden, Invalid,
// NotFound (no such array or snapshot), Allocate (name), NoneFits (no array
// has room), Action (the array cannot do that), Unknown (it goes on).
func (s *Service) allocateOnArray(ctx context.Context, who onevolume.Caller, t map[string]string) (onevolume.VolumeID, error) {
	v, r, err := s.wanted(ctx, who, t)
	switch {
	case err != nil:
		return 0, err
	case v.Array != "" && v.Attributes[onevolume.AttrType] == "" || r.From >= 0:
		return s.create(ctx, who, v, r)
	}
	list, err := s.candidates(ctx, who, v)
	if err != nil {
		return 0, err
	}
	var full error
	for _, c := range list {
		if c.Why != "" {
			continue
		}
		v.Array = c.Array
		id, err := s.create(ctx, who, v, r)
		if onevolume.CodeOf(err) != onevolume.NoneFits {
			return id, err
		}
		full = errors.Join(full, err) // meanwhile: the next
	}
	if full != nil {
		return 0, full
	}
	return 0, onevolume.Errorf(onevolume.NoneFits, "No array makes a volume of %s. %s", v.Size, onevolume.Explain(list)).
		WithHint("onevolume create --dry-run tells it of each array; onevolume array list shows their space")
}

// Candidates are the arrays on which the volume of a template would be made,
// the one that would be taken first, and why each other would not. Nothing is
// made. Codes: those of Allocate.
func (s *Service) Candidates(ctx context.Context, who onevolume.Caller, text string) ([]onevolume.Candidate, error) {
	t, err := parse(text)
	if err != nil {
		return nil, err
	}
	if !s.onArray(t) {
		return nil, onevolume.Errorf(onevolume.Invalid, "With IQN and PORTALS a logical unit that is there is registered: no array is chosen.")
	}
	v, r, err := s.wanted(ctx, who, t)
	if err != nil {
		return nil, err
	}
	if r.From >= 0 {
		return nil, onevolume.Errorf(onevolume.Invalid, "What is in snapshot %d is on array %s: no other is chosen.", r.From, v.Array)
	}
	return s.candidates(ctx, who, v)
}

func (s *Service) candidates(ctx context.Context, who onevolume.Caller, v onevolume.Volume) ([]onevolume.Candidate, error) {
	if s.Makers == nil {
		return nil, noMakers()
	}
	spaces, err := s.Makers.Spaces(ctx)
	if err != nil {
		return nil, err
	}
	if len(spaces) == 0 {
		return nil, noMakers()
	}
	if v.Array != "" && !slices.ContainsFunc(spaces, func(x onevolume.Space) bool { return x.Array == v.Array }) {
		_, _, err := s.Makers.NewOnArray(v.Array) // which says so
		return nil, err
	}
	var of *onevolume.VolumeType
	if name := v.Attributes[onevolume.AttrType]; name != "" {
		t, err := s.volumeType(name)
		if err != nil {
			return nil, err
		}
		of = &t
	}
	return onevolume.ChooseFor(who, spaces, v.Size, v.Array, of), nil
}

// volumeType gives the type of a name. Code: NotFound.
func (s *Service) volumeType(name string) (onevolume.VolumeType, error) {
	var known []string
	if s.Makers != nil {
		for _, t := range s.Makers.Types() {
			if t.Name == name {
				return t, nil
			}
			known = append(known, t.Name)
		}
	}
	list := "none is"
	if len(known) > 0 {
		list = "known are " + strings.Join(known, ", ")
	}
	return onevolume.VolumeType{}, onevolume.Errorf(onevolume.NotFound, "There is no volume type %q; %s.", name, list).
		WithHint("types stand in the daemon's configuration, under types")
}

// ofType gives a new volume what its type says, and the limits named besides,
// which are for administrators.
func (s *Service) ofType(v *onevolume.Volume, tuning map[string]string) error {
	all := map[string]string{}
	if name := tuning[onevolume.AttrType]; name != "" {
		t, err := s.volumeType(name)
		if err != nil {
			return err
		}
		all = t.Attributes()
	}
	for k, value := range tuning {
		all[k] = value
	}
	if v.Attributes == nil {
		v.Attributes = map[string]string{}
	}
	return retune(v, all)
}

// wanted is the volume that a template asks to be made, and how.
func (s *Service) wanted(ctx context.Context, who onevolume.Caller, t map[string]string) (onevolume.Volume, onevolume.TaskRequest, error) {
	r := onevolume.TaskRequest{Kind: onevolume.Create, From: -1}
	v, err := s.shape(ctx, who, t, &r)
	return v, r, err
}

func (s *Service) shape(ctx context.Context, who onevolume.Caller, t map[string]string, r *onevolume.TaskRequest) (onevolume.Volume, error) {
	v := onevolume.Volume{Name: t[attrName], Array: t[attrArray], Owner: who.Owner, Home: who.Owner, Permissions: who.NewPermissions()}
	if err := onevolume.CheckName(v.Name); err != nil {
		return v, worded(notAllocated, onevolume.Allocate, err)
	}
	if text, ok := t[attrSnapshot]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return v, onevolume.Errorf(onevolume.Invalid, "SNAPSHOT %q: not a snapshot's id", text).WithHint("onevolume snapshot-list VOLUME tells the ids")
		}
		if v.Size, err = s.fromSnapshot(ctx, &v, onevolume.SnapshotID(n)); err != nil {
			return v, err
		}
		r.From = onevolume.SnapshotID(n)
	}
	least := v.Size
	if text, ok := t[attrSize]; ok {
		var err error
		if v.Size, err = onevolume.ParseSize(text); err != nil {
			return v, err
		}
	}
	switch {
	case v.Size <= 0:
		return v, onevolume.Errorf(onevolume.Allocate, notAllocated+"No %s in template.", attrSize)
	case v.Size < least:
		return v, onevolume.Errorf(onevolume.Invalid, "A volume of %s cannot hold snapshot %d, of %s.", v.Size.Exact(), r.From, least.Exact())
	}
	for name := range t {
		switch name {
		case attrName, attrSize, attrArray, attrSnapshot:
			delete(t, name)
		case attrLUN, attrSerial, attrWWID, attrCHAPUser, attrCHAPSecret, attrCHAPUserIn, attrCHAPSecretIn:
			return v, onevolume.Errorf(onevolume.Invalid, "%s is the array's to say of a volume that it makes", name).
				WithHint("with IQN and PORTALS a logical unit that is there is registered instead")
		}
	}
	tuning := cutTuning(t)
	for k := range tuning {
		if k != onevolume.AttrType && !who.IsAdmin() {
			return v, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to set %s.", who.UID, k).
				WithHint("limits are set by volume types and by oneadmin's group")
		}
	}
	if tuning[onevolume.AttrType] == "" {
		for k, value := range v.Attributes { // as its origin
			if _, ok := tuning[k]; !ok && k != onevolume.AttrType {
				tuning[k] = value
			}
		}
		tuning[onevolume.AttrType] = v.Attributes[onevolume.AttrType]
		v.Attributes = t
		return v, retune(&v, tuning)
	}
	v.Attributes = t
	return v, s.ofType(&v, tuning)
}

// fromSnapshot puts the volume on the snapshot's array, and gives the size
// that it must have.
func (s *Service) fromSnapshot(ctx context.Context, v *onevolume.Volume, id onevolume.SnapshotID) (onevolume.Size, error) {
	shot, err := s.Store.Snapshot(ctx, id)
	if err != nil {
		return 0, err
	}
	of, err := s.Store.Volume(ctx, shot.Volume)
	if err != nil {
		return 0, err
	}
	if v.Array != "" && v.Array != of.Array {
		return 0, onevolume.Errorf(onevolume.Invalid, "Snapshot %d is on array %s, not on %s.", id, of.Array, v.Array)
	}
	v.Array = of.Array
	v.Attributes = tuningOf(of.Attributes)
	return shot.Size, nil
}

// create has a volume made.
func (s *Service) create(ctx context.Context, who onevolume.Caller, v onevolume.Volume, r onevolume.TaskRequest) (onevolume.VolumeID, error) {
	if s.Makers == nil {
		return 0, noMakers()
	}
	if !s.Makers.MayCreate(who, v.Array) {
		return 0, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform CREATE VOLUME.", who.UID).
			WithHint("array %s makes volumes for oneadmin's group alone, unless its configuration says users: true", v.Array)
	}
	var err error
	if v.ArrayID, v.Target, err = s.Makers.NewOnArray(v.Array); err != nil {
		return 0, err
	}
	if v.Name == "" {
		v.Name = "auto-" + v.ArrayID[:8] // of a UUID, which is nobody else's
	}
	r.New = &v
	r.Task.Array, r.Task.ArrayID, r.Task.Size, r.Task.Label = v.Array, v.ArrayID, v.Size, v.Name
	op, err := s.Makers.Task(ctx, who, r)
	return op.Volume, worded(notAllocated, onevolume.Allocate, err)
}

func noMakers() error {
	return onevolume.Errorf(onevolume.NotFound, "no array that makes volumes is configured").
		WithHint("arrays stand in the daemon's configuration, under arrays")
}

// task has something done to a volume on its array.
func (s *Service) task(ctx context.Context, who onevolume.Caller, kind onevolume.Kind, id onevolume.VolumeID, t onevolume.Task) error {
	if s.Makers == nil {
		return noMakers()
	}
	_, err := s.Makers.Task(ctx, who, onevolume.TaskRequest{Kind: kind, Volume: id, From: -1, Task: t})
	return err
}

// grow has a volume made larger that is in no VM.
func (s *Service) grow(ctx context.Context, who onevolume.Caller, v *onevolume.Volume, size onevolume.Size) error {
	if v.Attachment.VM != onevolume.NoVM {
		return onevolume.Errorf(onevolume.Action, "Volume %d is %s, in VM %d: it grows in a VM while it is ATTACHED.", v.ID, v.State, v.Attachment.VM).
			WithHint("see what holds it up: onevolume explain %d", v.ID)
	}
	return s.task(ctx, who, onevolume.Resize, v.ID, onevolume.Task{Size: size})
}

// Clone makes a volume with what is on another one now, on the same array,
// for who may MANAGE that; it is as after a power cut if a guest writes to
// it. Codes as of Allocate.
func (s *Service) Clone(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) (onevolume.VolumeID, error) {
	from, err := s.get(ctx, who, id, onevolume.Manage)
	if err != nil {
		return 0, err
	}
	switch {
	case from.ArrayID == "":
		return 0, onevolume.Errorf(onevolume.Action, "Volume %d was registered, not made on an array: no array is asked to copy it.", id)
	case !from.State.Free() && from.State != onevolume.Attached:
		return 0, onevolume.Errorf(onevolume.Action, "Volume %d is %s.", id, from.State).WithHint("wait until it is in a VM, or in none")
	}
	if err := onevolume.CheckName(name); err != nil {
		return 0, worded(notAllocated, onevolume.Allocate, err)
	}
	v := onevolume.Volume{Name: name, Array: from.Array, Size: from.Size, Owner: who.Owner, Home: who.Owner, Permissions: who.NewPermissions(),
		Attributes: tuningOf(from.Attributes)}
	return s.create(ctx, who, v, onevolume.TaskRequest{Kind: onevolume.Create, From: -1, Task: onevolume.Task{FromVolume: from.ArrayID}})
}

// Snapshots lists the snapshots of a volume that the caller may USE.
func (s *Service) Snapshots(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) ([]onevolume.Snapshot, error) {
	v, err := s.read(ctx, id)
	if err == nil {
		err = who.CheckRight(onevolume.Use, &v)
	}
	if err != nil || v.ArrayID == "" {
		return nil, err
	}
	return s.Store.Snapshots(ctx, id)
}

// CreateSnapshot keeps what is on a volume now; it may be in a VM, and is then
// kept as after a power cut. Codes: NotFound, Forbidden, Allocate (the volume
// has one of that name), Action, Unknown (it goes on).
func (s *Service) CreateSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) (onevolume.SnapshotID, error) {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return 0, err
	}
	if err := onevolume.CheckName(strings.TrimSpace(name)); err != nil {
		return 0, err
	}
	if s.Makers == nil {
		return 0, noMakers()
	}
	op, err := s.Makers.Task(ctx, who, onevolume.TaskRequest{Kind: onevolume.SnapshotCreate, Volume: id, From: -1,
		Task: onevolume.Task{SnapshotName: strings.TrimSpace(name)}})
	if err != nil {
		return 0, err
	}
	return op.Task.Snapshot, nil
}

// DeleteSnapshot removes a snapshot. Codes: NotFound, Forbidden, Action, Held
// (volumes that were made from it need it), Unknown (it goes on).
func (s *Service) DeleteSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, shot onevolume.SnapshotID) error {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return err
	}
	return s.task(ctx, who, onevolume.SnapshotDelete, id, onevolume.Task{Snapshot: shot})
}

// RevertSnapshot makes what is on a volume what was on it at the snapshot. It
// must be in no VM, and becomes RETAINED, of whoever owned it then. Codes:
// NotFound, Forbidden, Action, Unknown (it goes on).
func (s *Service) RevertSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, shot onevolume.SnapshotID) error {
	if _, err := s.get(ctx, who, id, onevolume.Manage); err != nil {
		return err
	}
	return s.task(ctx, who, onevolume.SnapshotRevert, id, onevolume.Task{Snapshot: shot})
}
