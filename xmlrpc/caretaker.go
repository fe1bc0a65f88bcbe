package xmlrpc

import (
	"context"

	"onevolume"
)

// What administrators ask of the daemon when something went wrong, and what
// everybody may ask about what was done.

// Resume has the daemon carry a parked operation on, and Abort take it back.
// Both answer with the operation's volume as soon as the daemon has begun;
// Operation tells how it goes on.
func (c *Client) Resume(ctx context.Context, op int) (onevolume.VolumeID, error) {
	n, err := c.id(ctx, "one.volume.resume", op)
	return onevolume.VolumeID(n), err
}

// Abort is Resume the other way.
func (c *Client) Abort(ctx context.Context, op int) (onevolume.VolumeID, error) {
	n, err := c.id(ctx, "one.volume.abort", op)
	return onevolume.VolumeID(n), err
}

// Recover writes what is true of a volume into the inventory, which touches
// no host.
func (c *Client) Recover(ctx context.Context, id onevolume.VolumeID, r onevolume.Recovery) error {
	text, err := marshal(recoveryToXML(r))
	if err != nil {
		return err
	}
	_, err = c.id(ctx, "one.volume.recover", int(id), text)
	return err
}

// HistoryXML gives the document of deeds as the daemon sent it; h.Viewer is
// the session's.
func (c *Client) HistoryXML(ctx context.Context, h onevolume.History) (string, error) {
	return c.text(ctx, "one.volume.history", int(h.Volume), int(h.VM), h.UID, h.Before, h.Limit)
}

// History lists deeds, the newest first. The daemon gives no more than 1000
// at once: ask again with Before.
func (c *Client) History(ctx context.Context, h onevolume.History) ([]onevolume.Deed, error) {
	var d deedPoolDocument
	err := c.document(ctx, &d, "one.volume.history", int(h.Volume), int(h.VM), h.UID, h.Before, h.Limit)
	if err != nil {
		return nil, err
	}
	return d.deeds(), nil
}

// Health gives what the daemon's last checkup found, and whether the
// inventory is on hold.
func (c *Client) Health(ctx context.Context) (onevolume.Health, error) {
	var d checkupDocument
	if err := c.document(ctx, &d, "one.volume.health"); err != nil {
		return onevolume.Health{}, err
	}
	return d.health(), nil
}

// Lift ends the hold on the inventory.
func (c *Client) Lift(ctx context.Context) error {
	_, err := c.id(ctx, "one.volume.lift")
	return err
}

// Running lists the operations that have not ended.
func (c *Client) Running(ctx context.Context) ([]onevolume.Operation, error) {
	var d operationPoolDocument
	if err := c.document(ctx, &d, "one.volume.running"); err != nil {
		return nil, err
	}
	list := make([]onevolume.Operation, len(d.Operations))
	for i := range d.Operations {
		list[i], _ = d.Operations[i].operation()
	}
	return list, nil
}
