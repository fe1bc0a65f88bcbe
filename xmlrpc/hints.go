package xmlrpc

import (
	"context"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Hints are told that something happened in the cloud. Neither waits.
type Hints interface {
	// HearVM says that a VM changed its state.
	HearVM(vm onevolume.VMID)
	// HearHost says that a host did.
	HearHost(id int)
}

// hintMethods are what OpenNebula's hooks call, in place of its events.
func (s *Server) hintMethods() []wire.Method {
	return []wire.Method{{Name: "one.volume.hint", Help: "Says that something happened to a VM or a host: the daemon looks for itself what; for oneadmin's group",
		Params: []wire.Kind{wire.Session, wire.String, wire.Int}, Func: s.hint}}
}

// hint is not audited, as it asks for nothing: it is as good as an event of
// oned's.
func (s *Server) hint(ctx context.Context, call wire.Call) (any, error) {
	if who := caller(ctx); !who.IsAdmin() {
		return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
			WithHint("OpenNebula's hooks call this as oneadmin")
	}
	kind, id := call.Text(1), call.Int(2, -1)
	switch {
	case id < 0:
		return nil, onevolume.Errorf(onevolume.Invalid, "%d is no id", id)
	case kind != "VM" && kind != "HOST":
		return nil, onevolume.Errorf(onevolume.Invalid, "%q: there are hints about a VM and a HOST", kind)
	case s.Hints == nil:
		return nil, onevolume.Errorf(onevolume.Action, "this onevolumed does not follow VMs").WithHint("operations: follow in its configuration is 0")
	case kind == "VM":
		s.Hints.HearVM(onevolume.VMID(id))
	default:
		s.Hints.HearHost(id)
	}
	return id, nil
}

// Hint says that something happened to a VM (kind VM) or a host (kind HOST)
// of oned's. It may be repeated, and be wrong. Codes: Invalid, Forbidden,
// Action (the daemon follows no VMs).
func (c *Client) Hint(ctx context.Context, kind string, id int) error {
	_, err := c.id(ctx, "one.volume.hint", kind, id)
	return err
}
