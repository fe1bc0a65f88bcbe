package xmlrpc

import (
	"context"
	"encoding/xml"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// careMethods are for those who look after volumes: what was done, what is
// wrong, and what to do about it.
func (s *Server) careMethods() []wire.Method {
	id := []wire.Kind{wire.Session, wire.Int}
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.resume", Help: "Carries a parked operation on; for oneadmin's group",
			Params: id, Func: s.settle(func(ctx context.Context, who onevolume.Caller, op int) error {
				return s.Operator.Resume(ctx, who, op)
			})}, asksOperation("resume")),
		s.audited(wire.Method{Name: "one.volume.abort", Help: "Takes a parked operation back; for oneadmin's group",
			Params: id, Func: s.settle(func(ctx context.Context, who onevolume.Caller, op int) error {
				return s.Operator.Abort(ctx, who, op)
			})}, asksOperation("abort")),
		s.audited(wire.Method{Name: "one.volume.recover", Help: "Writes what is true of a volume into the inventory and touches no host; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.Int, wire.String}, Func: s.recover}, asksRecover),
		s.audited(wire.Method{Name: "one.volume.lift", Help: "Ends the hold that a restored inventory is on; for oneadmin's group",
			Params: []wire.Kind{wire.Session}, Func: s.lift}, asksLift),
		{Name: "one.volume.history", Help: "Returns who asked for what, of a volume, a VM or a user, or of all with -1",
			Params: []wire.Kind{wire.Session, wire.Int, wire.Int, wire.Int, wire.Int, wire.Int}, Optional: 5, Func: s.history},
		{Name: "one.volume.health", Help: "Returns the last comparison of the inventory with its hosts; its findings go to oneadmin's group",
			Params: []wire.Kind{wire.Session}, Func: s.health},
		{Name: "one.volume.running", Help: "Returns the operations that have not ended; for oneadmin's group",
			Params: []wire.Kind{wire.Session}, Func: s.running},
	}
}

// settle makes the methods that decide on a parked operation, which answer
// with its volume.
func (s *Server) settle(act func(ctx context.Context, who onevolume.Caller, op int) error) func(context.Context, wire.Call) (any, error) {
	return func(ctx context.Context, call wire.Call) (any, error) {
		who := caller(ctx)
		if !who.IsAdmin() {
			return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
				WithHint("only oneadmin's group decides on a parked operation")
		}
		op, _, err := s.Inventory.Operation(ctx, who, call.Int(1, -1))
		if err != nil {
			return nil, err
		}
		return done(op.Volume, act(ctx, who, op.ID))
	}
}

func (s *Server) recover(ctx context.Context, call wire.Call) (any, error) {
	var d recoveryDocument
	if err := unmarshal(call.Text(2), &d); err != nil {
		return nil, err
	}
	return done(volumeID(call), s.Inventory.Recover(ctx, caller(ctx), volumeID(call), d.recovery()))
}

// lift answers with 0, there being no object to name.
func (s *Server) lift(ctx context.Context, _ wire.Call) (any, error) {
	return done(0, s.Inventory.Lift(ctx, caller(ctx)))
}

func (s *Server) history(ctx context.Context, call wire.Call) (any, error) {
	list, err := s.Inventory.History(ctx, caller(ctx), onevolume.History{
		Volume: onevolume.VolumeID(call.Int(1, -1)), VM: onevolume.VMID(call.Int(2, -1)), UID: call.Int(3, -1),
		Before: call.Int(4, 0), Limit: call.Int(5, 0)})
	if err != nil {
		return nil, err
	}
	return answer(deedsToXML(list))
}

func (s *Server) health(ctx context.Context, _ wire.Call) (any, error) {
	hold, err := s.Inventory.Hold(ctx)
	if err != nil {
		return nil, err
	}
	h := onevolume.Health{Hold: hold}
	if s.Health != nil {
		h.Checkup = s.Health.Checkup()
	}
	h.Differences = len(h.Checkup.Findings)
	if !caller(ctx).IsAdmin() {
		h.Checkup.Findings = nil
	}
	return answer(healthToXML(h))
}

func (s *Server) running(ctx context.Context, _ wire.Call) (any, error) {
	list, err := s.Inventory.Running(ctx, caller(ctx))
	if err != nil {
		return nil, err
	}
	pool := operationPoolDocument{XMLName: xml.Name{Local: "OPERATION_POOL"}}
	for i := range list {
		pool.Operations = append(pool.Operations, operationToXML(list[i], nil))
	}
	return answer(pool)
}
