package xmlrpc

import (
	"context"
	"encoding/xml"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Access lets hosts in to volumes that were made on arrays (package
// provision).
type Access interface {
	Grant(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) (onevolume.Access, error)
	Revoke(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) error
	// Compare says in what an array differs from the inventory.
	Compare(ctx context.Context, array string) ([]string, error)
}

// accessMethods are what a workflow in a client has the daemon do on arrays.
func (s *Server) accessMethods() []wire.Method {
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.grant", Help: "Has an array let an initiator in to an operation's volume; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.Int, wire.Int, wire.String}, Func: s.grant}, asksOperation("grant")),
		s.audited(wire.Method{Name: "one.volume.revoke", Help: "Has an array let an initiator, or everybody, in to an operation's volume no more; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.Int, wire.Int, wire.String}, Func: s.revoke}, asksOperation("revoke")),
	}
}

type accessDocument struct {
	XMLName    xml.Name     `xml:"ACCESS"`
	CHAP       chapDocument `xml:"CHAP"`
	UnitSerial cdata        `xml:"UNIT_SERIAL"`
	WWID       cdata        `xml:"WWID"`
}

// access is what works on arrays, for oneadmin's group alone.
func (s *Server) access(ctx context.Context) (Access, error) {
	if _, err := s.admin(ctx); err != nil {
		return nil, err
	}
	if s.Access == nil {
		return nil, onevolume.Errorf(onevolume.NotFound, "no array that makes volumes is configured").
			WithHint("arrays stand in the daemon's configuration, under arrays")
	}
	return s.Access, nil
}

func (s *Server) grant(ctx context.Context, call wire.Call) (any, error) {
	to, err := s.access(ctx)
	if err != nil {
		return nil, err
	}
	initiator, err := onevolume.ParseIQN(call.Text(3))
	if err != nil {
		return nil, err
	}
	a, err := to.Grant(ctx, ref(call), initiator)
	if err != nil {
		return nil, err
	}
	return answer(accessToXML(a))
}

func (s *Server) revoke(ctx context.Context, call wire.Call) (any, error) {
	to, err := s.access(ctx)
	if err != nil {
		return nil, err
	}
	initiator := onevolume.IQN("")
	if name := call.Text(3); name != "" {
		if initiator, err = onevolume.ParseIQN(name); err != nil {
			return nil, err
		}
	}
	return done(onevolume.VolumeID(ref(call).ID), to.Revoke(ctx, ref(call), initiator))
}

func accessToXML(a onevolume.Access) accessDocument {
	return accessDocument{CHAP: chapToXML(a.CHAP, true), UnitSerial: cdata{a.Identity.Serial}, WWID: cdata{a.Identity.WWID}}
}

// Grant has the daemon do it.
func (c *Client) Grant(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) (onevolume.Access, error) {
	var d accessDocument
	if err := c.document(ctx, &d, "one.volume.grant", op.ID, op.Generation, string(initiator)); err != nil {
		return onevolume.Access{}, unsure(err)
	}
	return onevolume.Access{CHAP: d.CHAP.chap(), Identity: onevolume.Identity{Serial: d.UnitSerial.Text, WWID: d.WWID.Text}}, nil
}

// Revoke has the daemon do it.
func (c *Client) Revoke(ctx context.Context, op onevolume.OperationRef, initiator onevolume.IQN) error {
	_, err := c.id(ctx, "one.volume.revoke", op.ID, op.Generation, string(initiator))
	return unsure(err)
}

// unsure makes Unknown of what crosses the wire as an internal error: an array
// that does not answer is one. The operation is left to the daemon then, which
// knows better.
func unsure(err error) error {
	if err == nil || onevolume.CodeOf(err) != onevolume.Internal {
		return err
	}
	return onevolume.Errorf(onevolume.Unknown, "%w", err)
}
