package xmlrpc

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"time"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

// Client calls the daemon with one session. It is a Ledger as well, for
// workflows that run in the client; that part needs oneadmin's group. Its
// errors are *onevolume.Error with the daemon's text.
type Client struct {
	Wire    *wire.Client
	Session string
}

var _ onevolume.Ledger = (*Client)(nil)

// call makes a call and turns refusals into errors of the domain.
func (c *Client) call(ctx context.Context, method string, params ...any) (any, error) {
	v, err := c.Wire.Call(ctx, method, append([]any{c.Session}, params...)...)
	var api *wire.APIError
	var fault *wire.Fault
	switch {
	case err == nil:
		return v, nil
	case errors.As(err, &api):
		e := onevolume.Errorf(onevolume.CodeOfOned(api.Code), "%s", api.Message)
		e.ID = api.ObjectID
		return nil, e
	case errors.As(err, &fault):
		return nil, onevolume.Errorf(onevolume.Internal, "%s: %w", method, err)
	}
	code := onevolume.Unreachable
	if t, ok := errors.AsType[*wire.TransportError](err); ok && t.Sent {
		code = onevolume.Unknown
	}
	return nil, onevolume.Errorf(code, "%w", err).
		WithHint("is onevolumed running, and does ONEVOLUME_XMLRPC name it?")
}

// id makes a call that answers with an object's id.
func (c *Client) id(ctx context.Context, method string, params ...any) (int, error) {
	v, err := c.call(ctx, method, params...)
	if err != nil {
		return 0, err
	}
	switch n := v.(type) {
	case int:
		return n, nil
	case int64:
		return int(n), nil
	}
	return 0, onevolume.Errorf(onevolume.Internal, "%s: the daemon answered with %T instead of an id", method, v)
}

// document makes a call that answers with an XML document and reads it.
func (c *Client) document(ctx context.Context, into any, method string, params ...any) error {
	text, err := c.text(ctx, method, params...)
	if err != nil {
		return err
	}
	if err := unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	return nil
}

func (c *Client) text(ctx context.Context, method string, params ...any) (string, error) {
	v, err := c.call(ctx, method, params...)
	if err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", onevolume.Errorf(onevolume.Internal, "%s: the daemon answered with %T instead of a document", method, v)
	}
	return text, nil
}

// Allocate registers the volume that the template describes.
func (c *Client) Allocate(ctx context.Context, template string) (onevolume.VolumeID, error) {
	n, err := c.id(ctx, "one.volume.allocate", template)
	return onevolume.VolumeID(n), err
}

// InfoXML gives a volume's document as the daemon sent it.
func (c *Client) InfoXML(ctx context.Context, id onevolume.VolumeID) (string, error) {
	return c.text(ctx, "one.volume.info", int(id))
}

// Info gives a volume.
func (c *Client) Info(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	var d volumeDocument
	if err := c.document(ctx, &d, "one.volume.info", int(id)); err != nil {
		return onevolume.Volume{}, err
	}
	return d.volume()
}

// Credentials gives a volume with its CHAP secrets, to administrators.
func (c *Client) Credentials(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	var d volumeDocument
	if err := c.document(ctx, &d, "one.volume.info", int(id), true); err != nil {
		return onevolume.Volume{}, err
	}
	return d.volume()
}

// Update changes a volume's template: the attributes given replace all
// (appending: join) those there are.
func (c *Client) Update(ctx context.Context, id onevolume.VolumeID, template string, appending bool) error {
	mode := 0
	if appending {
		mode = 1
	}
	_, err := c.id(ctx, "one.volume.update", int(id), template, mode)
	return err
}

// Rename gives a volume another name.
func (c *Client) Rename(ctx context.Context, id onevolume.VolumeID, name string) error {
	_, err := c.id(ctx, "one.volume.rename", int(id), name)
	return err
}

// Chmod sets the bits of a volume's permissions that are 0 or 1 and leaves
// those that are -1.
func (c *Client) Chmod(ctx context.Context, id onevolume.VolumeID, bits [9]int) error {
	params := []any{int(id)}
	for _, b := range bits {
		params = append(params, b)
	}
	_, err := c.id(ctx, "one.volume.chmod", params...)
	return err
}

// Chown gives a volume to a user and to a group; -1 leaves either.
func (c *Client) Chown(ctx context.Context, id onevolume.VolumeID, uid, gid int) error {
	_, err := c.id(ctx, "one.volume.chown", int(id), uid, gid)
	return err
}

// Lock locks a volume: level is 1 (USE), 2 (MANAGE), 3 (ADMIN) or 4 (ALL).
// With test it fails when the volume is locked already.
func (c *Client) Lock(ctx context.Context, id onevolume.VolumeID, level onevolume.LockLevel, test bool) error {
	_, err := c.id(ctx, "one.volume.lock", int(id), int(level), test)
	return err
}

// Unlock takes a volume's lock off.
func (c *Client) Unlock(ctx context.Context, id onevolume.VolumeID) error {
	_, err := c.id(ctx, "one.volume.unlock", int(id))
	return err
}

// Enable lets a volume be attached, or keeps it from that.
func (c *Client) Enable(ctx context.Context, id onevolume.VolumeID, enable bool) error {
	_, err := c.id(ctx, "one.volume.enable", int(id), enable)
	return err
}

// Resize records the size that a volume's logical unit has now.
func (c *Client) Resize(ctx context.Context, id onevolume.VolumeID, size onevolume.Size) error {
	_, err := c.id(ctx, "one.volume.resize", int(id), fmt.Sprintf("%dB", int64(size)))
	return err
}

// Delete takes a volume out of the inventory.
func (c *Client) Delete(ctx context.Context, id onevolume.VolumeID) error {
	_, err := c.id(ctx, "one.volume.delete", int(id))
	return err
}

// Attach has the daemon attach a volume: it answers when the volume is
// reserved, with its id, and works on. volume -1 lets it choose one.
func (c *Client) Attach(ctx context.Context, vm onevolume.VMID, volume onevolume.VolumeID, size onevolume.Size, template string) (onevolume.VolumeID, error) {
	n, err := c.id(ctx, "one.volume.attach", int(vm), int(volume), int(size.MB()), template)
	return onevolume.VolumeID(n), err
}

// Detach has the daemon detach a volume: it answers when the operation has
// begun.
func (c *Client) Detach(ctx context.Context, vm onevolume.VMID, volume onevolume.VolumeID, template string) error {
	_, err := c.id(ctx, "one.volume.detach", int(vm), int(volume), template)
	return err
}

// Operation gives an operation and its journal.
func (c *Client) Operation(ctx context.Context, id int) (onevolume.Operation, []onevolume.Entry, error) {
	var d operationDocument
	if err := c.document(ctx, &d, "one.volume.operation", id); err != nil {
		return onevolume.Operation{}, nil, err
	}
	op, journal := d.operation()
	return op, journal, nil
}

// Reserve is onevolume.Ledger's, by the daemon.
func (c *Client) Reserve(ctx context.Context, r onevolume.Request) (onevolume.Operation, onevolume.Volume, error) {
	text, err := marshal(requestToXML(r))
	if err != nil {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	var d reservationDocument
	err = c.document(ctx, &d, "one.volume.reserve", text)
	if onevolume.CodeOf(err) == onevolume.Unknown { // the daemon knows a repeated request by its owner
		err = c.document(ctx, &d, "one.volume.reserve", text)
	}
	if err != nil {
		return onevolume.Operation{}, onevolume.Volume{}, err
	}
	v, err := d.Volume.volume()
	op, _ := d.Operation.operation()
	return op, v, err
}

// Record is onevolume.Ledger's, by the daemon.
func (c *Client) Record(ctx context.Context, op onevolume.OperationRef, list []onevolume.Entry, note onevolume.Note) error {
	text, err := marshal(recordDocument{Entries: entriesToXML(list), Note: noteToXML(note)})
	if err != nil {
		return err
	}
	return c.again(ctx, "one.volume.journal", op.ID, op.Generation, text)
}

// Finish is onevolume.Ledger's, by the daemon: done operations are
// confirmed, others released.
func (c *Client) Finish(ctx context.Context, op onevolume.OperationRef, e onevolume.Ending) error {
	text, err := marshal(endingDocument{XMLName: xml.Name{Local: "ENDING"}, Status: string(e.Status), State: string(e.State),
		Error: cdata{e.Error}, Note: noteToXML(e.Note)})
	if err != nil {
		return err
	}
	method := "one.volume.release"
	if e.Status == onevolume.Done {
		method = "one.volume.confirm"
	}
	return c.again(ctx, method, op.ID, op.Generation, text)
}

// again makes a call that may be repeated, and repeats it while the daemon
// cannot be reached: it may just be restarting, and work on a host hangs on
// the answer.
func (c *Client) again(ctx context.Context, method string, params ...any) error {
	const tries, pause = 5, 2 * time.Second
	var err error
	for i := range tries {
		_, err = c.id(ctx, method, params...)
		if code := onevolume.CodeOf(err); code != onevolume.Unreachable && code != onevolume.Unknown {
			return err
		}
		if i == tries-1 {
			break
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
	return err
}
