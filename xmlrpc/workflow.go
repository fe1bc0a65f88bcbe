package xmlrpc

import (
	"context"
	"encoding/xml"
	"strconv"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// workflowMethods are what a workflow in a client needs. All but the first
// are for oneadmin's group: who may call them decides what is true of a
// volume.
func (s *Server) workflowMethods() []wire.Method {
	generation := []wire.Kind{wire.Session, wire.Int, wire.Int, wire.String}
	return []wire.Method{
		{Name: "one.volume.operation", Help: "Returns an operation and its journal",
			Params: []wire.Kind{wire.Session, wire.Int}, Func: s.operation},
		s.audited(wire.Method{Name: "one.volume.reserve", Help: "Chooses a volume and opens an operation on it; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.String}, Func: s.reserve}, asksReserve),
		s.audited(wire.Method{Name: "one.volume.journal", Help: "Records steps of an operation and renews its lease; for oneadmin's group",
			Params: generation, Func: s.record}, asksJournal),
		s.audited(wire.Method{Name: "one.volume.confirm", Help: "Ends an operation that did what was asked; for oneadmin's group",
			Params: generation, Func: s.finish(onevolume.Done)}, asksOperation("confirm")),
		s.audited(wire.Method{Name: "one.volume.release", Help: "Ends an operation that was undone or cannot go on; for oneadmin's group",
			Params: generation, Func: s.finish(onevolume.Undone, onevolume.Parked)}, asksOperation("release")),
	}
}

func idText(id int) string { return strconv.Itoa(id) }

// admin gives the caller's ledger, to oneadmin's group alone.
func (s *Server) admin(ctx context.Context) (onevolume.Ledger, error) {
	who := caller(ctx)
	if !who.IsAdmin() {
		return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
			WithHint("only oneadmin's group runs operations itself; leave it to the daemon: onevolume attach --server")
	}
	return s.Inventory.Ledger(who), nil
}

func ref(call wire.Call) onevolume.OperationRef {
	return onevolume.OperationRef{ID: call.Int(1, -1), Generation: call.Int(2, -1)}
}

func (s *Server) operation(ctx context.Context, call wire.Call) (any, error) {
	op, journal, err := s.Inventory.Operation(ctx, caller(ctx), call.Int(1, -1))
	if err != nil {
		return nil, err
	}
	return answer(operationToXML(op, journal))
}

func (s *Server) reserve(ctx context.Context, call wire.Call) (any, error) {
	ledger, err := s.admin(ctx)
	if err != nil {
		return nil, err
	}
	var d requestDocument
	if err := unmarshal(call.Text(1), &d); err != nil {
		return nil, err
	}
	op, v, err := ledger.Reserve(ctx, d.request())
	if err != nil {
		return nil, err
	}
	return answer(reservationDocument{XMLName: xml.Name{Local: "RESERVATION"},
		Operation: operationToXML(op, nil), Volume: volumeToXML(&v, true)})
}

func (s *Server) record(ctx context.Context, call wire.Call) (any, error) {
	ledger, err := s.admin(ctx)
	if err != nil {
		return nil, err
	}
	var d recordDocument
	if err := unmarshal(call.Text(3), &d); err != nil {
		return nil, err
	}
	return done(onevolume.VolumeID(ref(call).ID), ledger.Record(ctx, ref(call), entries(d.Entries), d.Note.note()))
}

// finish makes the method that ends operations in one of the given ways.
func (s *Server) finish(ways ...onevolume.Status) func(context.Context, wire.Call) (any, error) {
	return func(ctx context.Context, call wire.Call) (any, error) {
		ledger, err := s.admin(ctx)
		if err != nil {
			return nil, err
		}
		var d endingDocument
		if err := unmarshal(call.Text(3), &d); err != nil {
			return nil, err
		}
		for _, way := range ways {
			if onevolume.Status(d.Status) == way {
				e := onevolume.Ending{Status: way, State: onevolume.State(d.State), Error: d.Error.Text, Note: d.Note.note()}
				return done(onevolume.VolumeID(ref(call).ID), ledger.Finish(ctx, ref(call), e))
			}
		}
		return nil, onevolume.Errorf(onevolume.Invalid, "an operation cannot end so as %q", d.Status)
	}
}
