package xmlrpc

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"onevolume"
	"onevolume/template"
	"onevolume/xmlrpc/wire"
)

// A pool call takes oned's filter flag and two numbers, and, as
// one.vmpool.info does, a state and KEY=VALUE.

// anyState and notDone are oned's words for every state; a volume that is
// gone is in no state, so they are the same here.
const (
	anyState = -2
	notDone  = -1
)

func (s *Server) pool(ctx context.Context, call wire.Call) (any, error) {
	f, err := poolFilter(call)
	if err != nil {
		return nil, err
	}
	list, err := s.Inventory.Pool(ctx, caller(ctx), f)
	if err != nil {
		return nil, err
	}
	pool := poolDocument{XMLName: xml.Name{Local: "VOLUME_POOL"}}
	for i := range list {
		pool.Volumes = append(pool.Volumes, volumeToXML(&list[i], false))
	}
	return answer(pool)
}

func (s *Server) poolExtended(ctx context.Context, call wire.Call) (any, error) {
	f, err := poolFilter(call)
	if err != nil {
		return nil, err
	}
	list, newest, err := s.Inventory.PoolExtended(ctx, caller(ctx), f)
	if err != nil {
		return nil, err
	}
	pool := poolDocument{XMLName: xml.Name{Local: "VOLUME_POOL"}}
	for i := range list {
		d := volumeToXML(&list[i], false)
		if op, ok := newest[list[i].ID]; ok {
			d.Newest = &newestDocument{op.ID, string(op.Kind), string(op.Status), int(op.VM.ID), millis(op.Started), millis(op.Ended), cdata{op.Error}}
		}
		pool.Volumes = append(pool.Volumes, d)
	}
	return answer(pool)
}

// poolFilter reads the parameters of a pool call.
func poolFilter(call wire.Call) (onevolume.Filter, error) {
	f, err := onevolume.PoolFilter(call.Int(1, -3), call.Int(2, -1), call.Int(3, -1))
	if err != nil {
		return f, err
	}
	states := onevolume.States()
	switch n := call.Int(4, notDone); {
	case n == anyState || n == notDone:
	case n >= 0 && n < len(states):
		f.States = []onevolume.State{states[n]}
	default:
		return f, onevolume.Errorf(onevolume.Invalid, "Incorrect filter_flag, state").WithHint("states are -2 or -1 for all, and 0 to %d", len(states)-1)
	}
	text := call.Text(5)
	if text == "" {
		return f, nil
	}
	key, value, ok := strings.Cut(text, "=")
	switch {
	case ok && key == "NAME" && value != "":
		f.Name = value
	case ok && key == "VM_ID":
		vm, err := strconv.Atoi(value)
		if err != nil {
			return f, onevolume.Errorf(onevolume.Invalid, "VM_ID=%s: not the number of a VM", template.Quote(value))
		}
		f.VMs = []onevolume.VMID{onevolume.VMID(vm)}
	default:
		return f, onevolume.Errorf(onevolume.Invalid, "volumes cannot be searched by %s", template.Quote(text)).WithHint("say NAME=… or VM_ID=…")
	}
	return f, nil
}

// Query says which volumes a pool call of a client lists.
type Query struct {
	// Flag, First and Last are oned's: onevolume.PoolFilter.
	Flag, First, Last int
	State             onevolume.State // "" for all
	// Search is KEY=VALUE: NAME=disk3 or VM_ID=17; "" for all.
	Search string
	// Extended asks for the newest operation of each volume as well, by
	// one.volumepool.infoextended. Only ListXML gives it.
	Extended bool
}

// ListXML gives the document of a pool call as the daemon sent it.
func (c *Client) ListXML(ctx context.Context, q Query) (string, error) {
	method, params := q.call()
	return c.text(ctx, method, params...)
}

// List gives the volumes of a pool call, the newest first.
func (c *Client) List(ctx context.Context, q Query) ([]onevolume.Volume, error) {
	method, params := q.call()
	var pool poolDocument
	if err := c.document(ctx, &pool, method, params...); err != nil {
		return nil, err
	}
	list := make([]onevolume.Volume, 0, len(pool.Volumes))
	for i := range pool.Volumes {
		v, err := pool.Volumes[i].volume()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (q Query) call() (method string, params []any) {
	method, params = "one.volumepool.info", []any{q.Flag, q.First, q.Last}
	if q.Extended {
		method = "one.volumepool.infoextended"
	}
	if q.State != "" || q.Search != "" {
		state := notDone
		if q.State != "" {
			state = q.State.Number()
		}
		params = append(params, state, q.Search)
	}
	return method, params
}

// PoolXML gives the pool's document as the daemon sent it; the parameters
// are oned's.
func (c *Client) PoolXML(ctx context.Context, flag, first, last int) (string, error) {
	return c.ListXML(ctx, Query{Flag: flag, First: first, Last: last})
}

// Pool gives the volumes of a pool call.
func (c *Client) Pool(ctx context.Context, flag, first, last int) ([]onevolume.Volume, error) {
	return c.List(ctx, Query{Flag: flag, First: first, Last: last})
}

// VolumeID is the id of the volume that people name by id or by name: digits
// alone are an id, which is not looked up. Codes: NotFound, Invalid (several
// have the name), in the words of OpenNebula's tools.
func (c *Client) VolumeID(ctx context.Context, ref string) (onevolume.VolumeID, error) {
	if ref != "" && strings.Trim(ref, "0123456789") == "" {
		if id, err := strconv.Atoi(ref); err == nil {
			return onevolume.VolumeID(id), nil
		}
	}
	const all = -2
	list, err := c.List(ctx, Query{Flag: all, First: -1, Last: -1, Search: fmt.Sprintf("NAME=%s", ref)})
	if err != nil {
		return 0, err
	}
	ids := make([]onevolume.VolumeID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	return onevolume.OnlyOne("VOLUME", ref, ids)
}
