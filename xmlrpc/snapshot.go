package xmlrpc

import (
	"context"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// OnDemand is what arrays do with volumes that they made (package inventory).
type OnDemand interface {
	Candidates(ctx context.Context, who onevolume.Caller, template string) ([]onevolume.Candidate, error)
	Clone(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) (onevolume.VolumeID, error)
	Snapshots(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID) ([]onevolume.Snapshot, error)
	CreateSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, name string) (onevolume.SnapshotID, error)
	DeleteSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error
	RevertSnapshot(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error
}

// snapshotMethods are named as those of OpenNebula's images are, and answer as
// they do.
func (s *Server) snapshotMethods() []wire.Method {
	two := []wire.Kind{wire.Session, wire.Int, wire.Int}
	named := []wire.Kind{wire.Session, wire.Int, wire.String}
	return []wire.Method{
		s.audited(wire.Method{Name: "one.volume.clone", Help: "Makes a volume with what is on another one now, on the same array",
			Params: named, Func: s.clone}, asksNamed("clone")),
		s.audited(wire.Method{Name: "one.volume.snapshotcreate", Help: "Keeps what is on a volume now as a snapshot",
			Params: named, Func: s.createSnapshot}, asksNamed("snapshot-create")),
		s.audited(wire.Method{Name: "one.volume.snapshotdelete", Help: "Deletes a snapshot of a volume",
			Params: two, Func: s.deleteSnapshot}, asksSnapshot("snapshot-delete")),
		s.audited(wire.Method{Name: "one.volume.snapshotrevert", Help: "Makes what is on a volume what was on it at a snapshot",
			Params: two, Func: s.revertSnapshot}, asksSnapshot("snapshot-revert")),
	}
}

func asksNamed(action string) func(wire.Call) asked {
	return func(call wire.Call) asked { return asks(action, "%q", call.Text(2)).of(volumeID(call)) }
}

func asksSnapshot(action string) func(wire.Call) asked {
	return func(call wire.Call) asked { return asks(action, "snapshot %d", call.Int(2, -1)).of(volumeID(call)) }
}

func snapshotID(call wire.Call) onevolume.SnapshotID { return onevolume.SnapshotID(call.Int(2, -1)) }

func (s *Server) clone(ctx context.Context, call wire.Call) (any, error) {
	return done(s.Inventory.Clone(ctx, caller(ctx), volumeID(call), call.Text(2)))
}

func (s *Server) createSnapshot(ctx context.Context, call wire.Call) (any, error) {
	id, err := s.Inventory.CreateSnapshot(ctx, caller(ctx), volumeID(call), call.Text(2))
	return done(onevolume.VolumeID(id), err)
}

func (s *Server) deleteSnapshot(ctx context.Context, call wire.Call) (any, error) {
	return done(onevolume.VolumeID(snapshotID(call)), s.Inventory.DeleteSnapshot(ctx, caller(ctx), volumeID(call), snapshotID(call)))
}

func (s *Server) revertSnapshot(ctx context.Context, call wire.Call) (any, error) {
	return done(onevolume.VolumeID(snapshotID(call)), s.Inventory.RevertSnapshot(ctx, caller(ctx), volumeID(call), snapshotID(call)))
}

// snapshotDocument is a snapshot as oned's documents have those of images.
type snapshotDocument struct {
	ID        int   `xml:"ID"`
	Name      cdata `xml:"NAME"`
	Date      int64 `xml:"DATE"` // seconds since 1970
	Size      int64 `xml:"SIZE"` // MB, rounded up
	SizeBytes int64 `xml:"SIZE_BYTES"`
	UID       int   `xml:"UID"` // whose data it holds
}

func snapshotsToXML(list []onevolume.Snapshot) (docs []snapshotDocument) {
	for _, s := range list {
		docs = append(docs, snapshotDocument{int(s.ID), cdata{s.Name}, s.Time.Unix(), s.Size.MB(), int64(s.Size), s.By.UID})
	}
	return docs
}

// Clone makes a volume with what is on another one.
func (c *Client) Clone(ctx context.Context, id onevolume.VolumeID, name string) (onevolume.VolumeID, error) {
	n, err := c.id(ctx, "one.volume.clone", int(id), name)
	return onevolume.VolumeID(n), err
}

// CreateSnapshot keeps what is on a volume now.
func (c *Client) CreateSnapshot(ctx context.Context, id onevolume.VolumeID, name string) (onevolume.SnapshotID, error) {
	n, err := c.id(ctx, "one.volume.snapshotcreate", int(id), name)
	return onevolume.SnapshotID(n), err
}

// DeleteSnapshot deletes a snapshot of a volume.
func (c *Client) DeleteSnapshot(ctx context.Context, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error {
	_, err := c.id(ctx, "one.volume.snapshotdelete", int(id), int(snapshot))
	return err
}

// RevertSnapshot brings a volume back to a snapshot.
func (c *Client) RevertSnapshot(ctx context.Context, id onevolume.VolumeID, snapshot onevolume.SnapshotID) error {
	_, err := c.id(ctx, "one.volume.snapshotrevert", int(id), int(snapshot))
	return err
}

// Snapshots lists a volume's snapshots, the oldest first.
func (c *Client) Snapshots(ctx context.Context, id onevolume.VolumeID) ([]onevolume.Snapshot, error) {
	var d volumeDocument
	if err := c.document(ctx, &d, "one.volume.info", int(id)); err != nil {
		return nil, err
	}
	var list []onevolume.Snapshot
	for _, s := range d.Snapshots {
		list = append(list, onevolume.Snapshot{ID: onevolume.SnapshotID(s.ID), Volume: id, Name: s.Name.Text, Size: onevolume.Size(s.SizeBytes),
			Time: fromMillis(s.Date * 1000), By: onevolume.Owner{UID: s.UID}})
	}
	return list, nil
}
