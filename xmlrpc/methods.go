package xmlrpc

import (
	"context"

	"onevolume"
	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// methods are those that oned's users know from other objects.
func (s *Server) methods() []wire.Method {
	id := []wire.Kind{wire.Session, wire.Int}
	with := func(more ...wire.Kind) []wire.Kind { return append(append([]wire.Kind{}, id...), more...) }
	nine := []wire.Kind{wire.Int, wire.Int, wire.Int, wire.Int, wire.Int, wire.Int, wire.Int, wire.Int, wire.Int}
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.allocate", Help: "Registers the logical unit that the template describes as a volume, or has an array make one",
			Params: []wire.Kind{wire.Session, wire.String}, Func: s.allocate}, asksAllocate),
		{Name: "one.volume.info", Help: "Returns a volume; with decrypt, administrators see its CHAP secrets, and the audit keeps that",
			Params: with(wire.Bool), Optional: 1, Func: s.info},
		s.audited(wire.Method{Name: "one.volume.update", Help: "Replaces (0) or extends (1) the template of a volume",
			Params: with(wire.String, wire.Int), Optional: 1, Func: s.update}, asksUpdate),
		s.audited(wire.Method{Name: "one.volume.rename", Help: "Renames a volume",
			Params: with(wire.String), Func: s.rename}, asksRename),
		s.audited(wire.Method{Name: "one.volume.chmod", Help: "Changes the permission bits of a volume: 1, 0, or -1 to leave them",
			Params: with(nine...), Func: s.chmod}, asksChmod),
		s.audited(wire.Method{Name: "one.volume.chown", Help: "Changes the owner and the group of a volume; -1 leaves either",
			Params: with(wire.Int, wire.Int), Func: s.chown}, asksChown),
		s.audited(wire.Method{Name: "one.volume.lock", Help: "Locks a volume: 1 USE, 2 MANAGE, 3 ADMIN, 4 ALL; with test fails when it is locked already",
			Params: with(wire.Int, wire.Bool), Optional: 1, Func: s.lock}, asksLock),
		s.audited(wire.Method{Name: "one.volume.unlock", Help: "Unlocks a volume",
			Params: id, Func: s.unlock}, asksUnlock),
		s.audited(wire.Method{Name: "one.volume.enable", Help: "Lets a volume be attached, or keeps it from being picked and attached",
			Params: with(wire.Bool), Func: s.enable}, asksEnable),
		s.audited(wire.Method{Name: "one.volume.resize", Help: "Makes a volume larger on its array, or records that the logical unit of a registered one is",
			Params: with(wire.String), Func: s.resize}, asksResize),
		s.audited(wire.Method{Name: "one.volume.delete", Help: "Deletes a volume on its array, or takes a registered one out of the inventory",
			Params: id, Func: s.delete}, asksDelete),
		s.audited(wire.Method{Name: "one.volume.attach", Help: "Attaches a volume, or with -1 the smallest free one of at least so many MB, to a VM",
			Params: with(wire.Int, wire.Int, wire.String), Optional: 2, Func: s.attach}, asksAttach),
		s.audited(wire.Method{Name: "one.volume.detach", Help: "Detaches a volume from a VM and wipes it unless FORMAT says otherwise",
			Params: with(wire.Int, wire.String), Optional: 1, Func: s.detach}, asksDetach),
		{Name: "one.volumepool.info", Help: "Returns the volumes that the caller may use",
			Params: with(wire.Int, wire.Int, wire.Int, wire.String), Optional: 2, Func: s.pool},
		{Name: "one.volumepool.infoextended", Help: "Returns the volumes that the caller may use, each with its newest operation",
			Params: with(wire.Int, wire.Int, wire.Int, wire.String), Optional: 2, Func: s.poolExtended},
	}
}

func volumeID(call wire.Call) onevolume.VolumeID { return onevolume.VolumeID(call.Int(1, -1)) }

// done answers a method that changed a volume with its id, as oned does.
func done(id onevolume.VolumeID, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return int(id), nil
}

func (s *Server) allocate(ctx context.Context, call wire.Call) (any, error) {
	return done(s.Inventory.Allocate(ctx, caller(ctx), call.Text(1)))
}

func (s *Server) info(ctx context.Context, call wire.Call) (any, error) {
	decrypt := call.Bool(2, false) && caller(ctx).IsAdmin()
	v, err := s.Inventory.Info(ctx, caller(ctx), volumeID(call), decrypt)
	if err != nil {
		return nil, err
	}
	if decrypt && v.Target.CHAP != (onevolume.CHAP{}) {
		// Nobody sees a secret without a trace.
		by := onevolume.Ask{By: caller(ctx).Owner, From: address(wire.Peer(ctx)), Action: "decrypt", Text: "the CHAP secrets"}
		if err := s.Inventory.Audit(ctx, onevolume.Deed{Ask: by, Volume: v.ID, VM: onevolume.NoVM, Result: "ok"}); err != nil {
			return nil, err
		}
	}
	d := volumeToXML(&v, decrypt)
	if v.ArrayID != "" {
		shots, err := s.Inventory.Snapshots(ctx, caller(ctx), v.ID)
		if err != nil {
			return nil, err
		}
		d.Snapshots = snapshotsToXML(shots)
	}
	return answer(d)
}

func (s *Server) update(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Update(ctx, caller(ctx), volumeID(call), call.Text(2), onevolume.UpdateMode(call.Int(3, 0))))
}

func (s *Server) rename(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Rename(ctx, caller(ctx), volumeID(call), call.Text(2)))
}

func (s *Server) chmod(ctx context.Context, call wire.Call) (any, error) {
	var bits [9]int
	for i := range bits {
		bits[i] = call.Int(2+i, -1)
	}
	return done(volumeID(call), s.Inventory.Chmod(ctx, caller(ctx), volumeID(call), bits))
}

func (s *Server) delete(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Delete(ctx, caller(ctx), volumeID(call)))
}

func (s *Server) chown(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Chown(ctx, caller(ctx), call.Session(), volumeID(call), call.Int(2, -1), call.Int(3, -1)))
}

func (s *Server) lock(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Lock(ctx, caller(ctx), volumeID(call), onevolume.LockLevel(call.Int(2, 0)), call.Bool(3, false)))
}

func (s *Server) unlock(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Unlock(ctx, caller(ctx), volumeID(call)))
}

func (s *Server) enable(ctx context.Context, call wire.Call) (any, error) {
	return done(volumeID(call), s.Inventory.Enable(ctx, caller(ctx), volumeID(call), call.Bool(2, true)))
}

// resize takes the new size as a text, as one.vm.diskresize does: MB unless
// it has a unit. A volume that is in a VM grows there.
func (s *Server) resize(ctx context.Context, call wire.Call) (any, error) {
	v, err := s.Inventory.Info(ctx, caller(ctx), volumeID(call), false)
	if err != nil || v.State != onevolume.Attached {
		return done(volumeID(call), s.Inventory.Resize(ctx, caller(ctx), volumeID(call), call.Text(2)))
	}
	size, err := onevolume.ParseSize(call.Text(2))
	if err != nil {
		return nil, err
	}
	return done(v.ID, s.Operator.Grow(ctx, caller(ctx), call.Session(), v.ID, size))
}

// attach takes the VM's id, the volume's or -1, the size in MB for -1, and a
// template with EXACT, ARRAY and SIZE_BYTES, which stands before the MB. It
// answers with the volume's id when that is reserved; the volume's OPERATION
// tells how it goes on.
func (s *Server) attach(ctx context.Context, call wire.Call) (any, error) {
	pick, err := pickOf(call)
	if err != nil {
		return nil, err
	}
	return done(s.Operator.Attach(ctx, caller(ctx), call.Session(), onevolume.VMID(call.Int(1, -1)), pick))
}

// pickOf says which volume attach is to take.
func pickOf(call wire.Call) (onevolume.Pick, error) {
	opts, err := options(call.Text(4), "EXACT", "ARRAY", "SIZE_BYTES")
	if err != nil {
		return onevolume.Pick{}, err
	}
	pick := onevolume.Pick{Exact: opts["EXACT"] == "YES", Array: opts["ARRAY"]}
	if mb := call.Int(3, 0); mb > 0 {
		pick.Size = onevolume.Size(mb) * onevolume.MiB
	}
	if text, ok := opts["SIZE_BYTES"]; ok {
		if pick.Size, err = onevolume.ParseSize(text + "B"); err != nil {
			return pick, err
		}
	}
	switch id := call.Int(2, -1); {
	case id >= 0:
		pick.Volume = idText(id)
	case pick.Size == 0:
		return pick, onevolume.Errorf(onevolume.Invalid, "neither a volume nor a size in MB is given")
	}
	return pick, nil
}

// detach takes the VM's id, the volume's, and a template with FORMAT: zero
// (the default), ext4, xfs or none, and FORCE: YES takes it from a guest that
// does not let go.
func (s *Server) detach(ctx context.Context, call wire.Call) (any, error) {
	opts, err := options(call.Text(3), "FORMAT", "FORCE")
	if err != nil {
		return nil, err
	}
	leave, err := onevolume.ParseLeave(opts["FORMAT"])
	if err != nil {
		return nil, err
	}
	return done(s.Operator.Detach(ctx, caller(ctx), call.Session(), onevolume.VMID(call.Int(1, -1)),
		onevolume.VolumeID(call.Int(2, -1)), leave, opts["FORCE"] == "YES"))
}

// options reads a template that may hold the given keys alone, once each.
func options(text string, keys ...string) (map[string]string, error) {
	m, err := template.Options(text, keys...)
	if err != nil {
		return nil, onevolume.Errorf(onevolume.Invalid, "%w", err)
	}
	return m, nil
}
