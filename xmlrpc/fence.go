package xmlrpc

import (
	"context"
	"encoding/xml"
	"fmt"
	"time"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Fencer cuts dead hosts off from volumes (package follower, which documents
// it).
type Fencer interface {
	Fence(ctx context.Context, host string, off bool) ([]onevolume.Fenced, error)
}

// fenceMethods are about hosts that are dead.
func (s *Server) fenceMethods() []wire.Method {
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.fence", Help: "Cuts a dead host off from its volumes, and returns of which; for oneadmin's group",
			Params: []wire.Kind{wire.Session, wire.String, wire.Bool}, Func: s.fence}, asksFence),
		{Name: "one.volume.fences", Help: "Returns the hosts that were cut off from volumes and have not been cleaned since; for oneadmin's group",
			Params: []wire.Kind{wire.Session}, Func: s.fences},
	}
}

func asksFence(call wire.Call) asked {
	word := ""
	if call.Bool(2, false) {
		word = ", which is off"
	}
	return asks("fence", "host %q%s", call.Text(1), word)
}

func (s *Server) fence(ctx context.Context, call wire.Call) (any, error) {
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	host := call.Text(1)
	switch {
	case host == "":
		return nil, onevolume.Errorf(onevolume.Invalid, "which host to fence is missing")
	case s.Fencer == nil:
		return nil, onevolume.Errorf(onevolume.Action, "this daemon follows no VMs, and fences no host")
	}
	list, err := s.Fencer.Fence(ctx, host, call.Bool(2, false))
	if err != nil {
		return nil, err
	}
	d := fencedDocument{Host: cdata{host}}
	for _, f := range list {
		d.Volumes = append(d.Volumes, fencedVolumeDocument{int(f.Volume), cdata{f.Name}, int(f.VM), f.Error == "", cdata{f.Error}, cdata{f.Hint}})
	}
	return answer(d)
}

func mayFence(ctx context.Context) error {
	who := caller(ctx)
	if who.IsAdmin() {
		return nil
	}
	return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).
		WithHint("only oneadmin's group fences hosts")
}

func (s *Server) fences(ctx context.Context, _ wire.Call) (any, error) {
	if err := mayFence(ctx); err != nil {
		return nil, err
	}
	list, err := s.Inventory.Fences(ctx)
	if err != nil {
		return nil, err
	}
	d := fencesDocument{}
	for _, f := range list {
		d.Fences = append(d.Fences, fenceDocument{cdata{f.Host}, int(f.Volume), int(f.VM.ID), f.Operation, f.Since.UnixMilli(),
			cdata{string(f.Target.IQN)}, int(f.Target.LUN)})
	}
	return answer(d)
}

// Fence has the daemon cut a dead host off from its volumes; off is an
// administrator's word that it is.
func (c *Client) Fence(ctx context.Context, host string, off bool) ([]onevolume.Fenced, error) {
	var d fencedDocument
	if err := c.document(ctx, &d, "one.volume.fence", host, off); err != nil {
		return nil, err
	}
	var list []onevolume.Fenced
	for _, v := range d.Volumes {
		f := onevolume.Fenced{Volume: onevolume.VolumeID(v.ID), Name: v.Name.Text, VM: onevolume.VMID(v.VM), Error: v.Error.Text, Hint: v.Hint.Text}
		if !v.Fenced && f.Error == "" {
			return nil, onevolume.Errorf(onevolume.Internal, "the daemon did not say why volume %d was not fenced", v.ID)
		}
		list = append(list, f)
	}
	return list, nil
}

// Fences lists the hosts that were cut off from volumes and are not clean yet.
func (c *Client) Fences(ctx context.Context) ([]onevolume.FenceRecord, error) {
	var d fencesDocument
	if err := c.document(ctx, &d, "one.volume.fences"); err != nil {
		return nil, err
	}
	var list []onevolume.FenceRecord
	for _, f := range d.Fences {
		iqn, err := onevolume.ParseIQN(f.IQN.Text)
		if err != nil {
			return nil, fmt.Errorf("the daemon's answer: %w", err)
		}
		list = append(list, onevolume.FenceRecord{Host: f.Host.Text, Volume: onevolume.VolumeID(f.Volume), Operation: f.Operation, Since: time.UnixMilli(f.Since).UTC(),
			VM: onevolume.VM{ID: onevolume.VMID(f.VM), Host: f.Host.Text}, Target: onevolume.Target{IQN: iqn, LUN: onevolume.LUN(f.LUN)}})
	}
	return list, nil
}

type fencedDocument struct {
	XMLName xml.Name               `xml:"FENCED"`
	Host    cdata                  `xml:"HOST"`
	Volumes []fencedVolumeDocument `xml:"VOLUMES>VOLUME"`
}

type fencedVolumeDocument struct {
	ID     int   `xml:"ID"`
	Name   cdata `xml:"NAME"`
	VM     int   `xml:"VM_ID"`
	Fenced bool  `xml:"FENCED"`
	Error  cdata `xml:"ERROR"`
	Hint   cdata `xml:"HINT"`
}

type fencesDocument struct {
	XMLName xml.Name        `xml:"FENCE_POOL"`
	Fences  []fenceDocument `xml:"FENCE"`
}

type fenceDocument struct {
	Host      cdata `xml:"HOST"`
	Volume    int   `xml:"VOLUME_ID"`
	VM        int   `xml:"VM_ID"`
	Operation int   `xml:"OPERATION"`
	Since     int64 `xml:"SINCE_MS"`
	IQN       cdata `xml:"IQN"`
	LUN       int   `xml:"LUN"`
}
