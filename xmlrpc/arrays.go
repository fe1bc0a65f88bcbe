package xmlrpc

import (
	"context"
	"encoding/xml"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Arrays brings the inventory to what a configured array says. Code:
// NotFound.
type Arrays interface {
	SyncArray(ctx context.Context, name string) (onevolume.Synced, error)
}

// arrayMethods are about storage machines.
func (s *Server) arrayMethods() []wire.Method {
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.arraysync", Help: "Brings the inventory to what an array says, and returns what was done; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.String}, Func: s.syncArray}, asksSync),
	}
}

func asksSync(call wire.Call) asked { return asks("sync", "array %q", call.Text(1)) }

func (s *Server) syncArray(ctx context.Context, call wire.Call) (any, error) {
	if who := caller(ctx); !who.IsAdmin() {
		return nil, onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform CREATE VOLUME.", who.UID).
			WithHint("only oneadmin's group has arrays read")
	}
	if s.Arrays == nil {
		return nil, onevolume.Errorf(onevolume.NotFound, "no array is configured").WithHint("arrays stand in the daemon's configuration, under arrays")
	}
	done, err := s.Arrays.SyncArray(ctx, call.Text(1))
	if err != nil {
		return nil, err
	}
	d := syncDocument{Array: cdata{done.Array}, Units: done.Units, Volumes: done.Volumes}
	for _, c := range done.Changes {
		d.Changes = append(d.Changes, syncChangeDocument{string(c.What), int(c.Volume), cdata{c.Name}, cdata{c.Target}, c.LUN, cdata{c.Text}})
	}
	return answer(d)
}

// SyncArray has the daemon bring the inventory to what the array says.
func (c *Client) SyncArray(ctx context.Context, name string) (onevolume.Synced, error) {
	var d syncDocument
	if err := c.document(ctx, &d, "one.volume.arraysync", name); err != nil {
		return onevolume.Synced{}, err
	}
	done := onevolume.Synced{Array: d.Array.Text, Units: d.Units, Volumes: d.Volumes}
	for _, c := range d.Changes {
		done.Changes = append(done.Changes, onevolume.SyncChange{What: onevolume.SyncVerb(c.What), Volume: onevolume.VolumeID(c.Volume),
			Name: c.Name.Text, Target: c.IQN.Text, LUN: c.LUN, Text: c.Text.Text})
	}
	return done, nil
}

type syncDocument struct {
	XMLName xml.Name             `xml:"SYNC"`
	Array   cdata                `xml:"ARRAY"`
	Units   int                  `xml:"UNITS"`
	Volumes int                  `xml:"VOLUMES"`
	Changes []syncChangeDocument `xml:"CHANGES>CHANGE"`
}

type syncChangeDocument struct {
	What   string `xml:"WHAT"`
	Volume int    `xml:"VOLUME_ID"`
	Name   cdata  `xml:"NAME"`
	IQN    cdata  `xml:"IQN"`
	LUN    int    `xml:"LUN"`
	Text   cdata  `xml:"TEXT"`
}
