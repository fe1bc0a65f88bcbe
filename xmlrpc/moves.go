package xmlrpc

import (
	"context"
	"encoding/xml"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Mover is told of VMs that move, by OpenNebula's own scripts (package daemon,
// which documents the methods). Each gives a number of volumes.
type Mover interface {
	Premigrate(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error)
	Prerestore(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error)
	Predeploy(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error)
	Settle(ctx context.Context, who onevolume.Caller, vm onevolume.VMID) (int, error)
	MigrateCheck(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) ([]onevolume.Check, error)
}

// mover is a method of Mover.
type mover func(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (int, error)

// moveMethods are what OpenNebula's scripts call around what they do to a VM.
func (s *Server) moveMethods() []wire.Method {
	settle := func(m Mover) mover {
		return func(ctx context.Context, who onevolume.Caller, _ string, vm onevolume.VMID, _ string) (int, error) {
			return m.Settle(ctx, who, vm)
		}
	}
	return []wire.Method{
		s.moveMethod("premigrate", "Gets a VM's volumes ready on the host that it is about to move to while it runs, all or none; for oneadmin's group",
			func(m Mover) mover { return m.Premigrate }),
		s.moveMethod("postmigrate", "Says that a VM has moved: its volumes are left where it is not found; for oneadmin's group", settle),
		s.moveMethod("failmigrate", "Says that a VM did not move: its volumes are left where it is not found; for oneadmin's group", settle),
		s.moveMethod("prerestore", "Gets the volumes of a saved VM ready on the host that it is about to be restored on, all or none; for oneadmin's group",
			func(m Mover) mover { return m.Prerestore }),
		s.moveMethod("predeploy", "Logs former hosts out before a VM is started anew on a host; for oneadmin's group",
			func(m Mover) mover { return m.Predeploy }),
		s.aboutMove("migratecheck", "Tries whether a VM's volumes could be had on a host, and takes that back; for oneadmin's group", s.migrateCheck),
	}
}

// moveMethod is one of them: it answers with the number of volumes that
// something was done about.
func (s *Server) moveMethod(name, help string, of func(Mover) mover) wire.Method {
	return s.aboutMove(name, help, func(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (any, error) {
		n, err := of(s.Moves)(ctx, who, session, vm, host)
		if err != nil {
			return nil, err
		}
		return n, nil
	})
}

// aboutMove is a method that takes a VM and a host, for oneadmin's group.
func (s *Server) aboutMove(name, help string, do func(context.Context, onevolume.Caller, string, onevolume.VMID, string) (any, error)) wire.Method {
	return s.audited(wire.Method{Name: "one.volume." + name, Help: help, Params: []wire.Kind{wire.Session, wire.Int, wire.String},
		Func: func(ctx context.Context, call wire.Call) (any, error) {
			who := caller(ctx)
			if !who.IsAdmin() {
				return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
					WithHint("OpenNebula's scripts call this as oneadmin when a VM moves: onevm migrate")
			}
			return do(ctx, who, call.Session(), onevolume.VMID(call.Int(1, -1)), call.Text(2))
		}}, func(call wire.Call) asked {
		a := asks(name, "host %q", call.Text(2))
		a.vm = onevolume.VMID(call.Int(1, -1))
		return a
	})
}

func (s *Server) migrateCheck(ctx context.Context, who onevolume.Caller, session string, vm onevolume.VMID, host string) (any, error) {
	list, err := s.Moves.MigrateCheck(ctx, who, session, vm, host)
	if err != nil {
		return nil, err
	}
	d := checkListDocument{XMLName: xml.Name{Local: "CHECK_POOL"}}
	for _, c := range list {
		d.Checks = append(d.Checks, checkDocument{cdata{c.What}, c.OK, cdata{c.Text}, cdata{c.Hint}})
	}
	return answer(d)
}

type checkListDocument struct {
	XMLName xml.Name        `xml:"CHECK_POOL"`
	Checks  []checkDocument `xml:"CHECK"`
}

type checkDocument struct {
	What cdata `xml:"WHAT"`
	OK   bool  `xml:"OK"`
	Text cdata `xml:"TEXT"`
	Hint cdata `xml:"HINT"`
}

// MigrateCheck says whether a VM with its volumes could migrate to a host, as
// a list of what was looked at. The VM is not touched.
func (c *Client) MigrateCheck(ctx context.Context, vm onevolume.VMID, host string) ([]onevolume.Check, error) {
	var d checkListDocument
	if err := c.document(ctx, &d, "one.volume.migratecheck", int(vm), host); err != nil {
		return nil, err
	}
	list := make([]onevolume.Check, len(d.Checks))
	for i, one := range d.Checks {
		list[i] = onevolume.Check{What: one.What.Text, OK: one.OK, Text: one.Text.Text, Hint: one.Hint.Text}
	}
	return list, nil
}

// Premigrate gets the volumes of a VM ready on the host that it is about to
// move to while it runs, and gives their number. With an error nothing of it
// is left on that host, and the VM must not move. It may be repeated.
func (c *Client) Premigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
	return c.id(ctx, "one.volume.premigrate", int(vm), host)
}

// Prerestore does the same for a VM that is saved.
func (c *Client) Prerestore(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
	return c.id(ctx, "one.volume.prerestore", int(vm), host)
}

// Predeploy logs former hosts out before a VM is started anew on a host, and
// gives their number. It may be repeated.
func (c *Client) Predeploy(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
	return c.id(ctx, "one.volume.predeploy", int(vm), host)
}

// Postmigrate says that a VM has moved, and gives the number of volumes that
// have settled. Not all may have, with an error, and go on to; the VM is not
// touched. It may be repeated.
func (c *Client) Postmigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
	return c.id(ctx, "one.volume.postmigrate", int(vm), host)
}

// Failmigrate says that a VM did not move, likewise.
func (c *Client) Failmigrate(ctx context.Context, vm onevolume.VMID, host string) (int, error) {
	return c.id(ctx, "one.volume.failmigrate", int(vm), host)
}
