package opennebula

import (
	"context"
	"encoding/xml"
	"strconv"
	"strings"

	"onevolume"
)

// The words that OpenNebula's tools have for what is looked up by name.
const (
	userWord  = "USER"
	groupWord = "GROUP"
	vmWord    = "VM"
)

// UserID is the id of the user whom people name by id or by name. Codes:
// NotFound, Invalid (several have the name), in the words of OpenNebula's
// tools.
func (c *Client) UserID(ctx context.Context, ref string) (int, error) {
	return c.idOf(ctx, userWord, ref, func() ([]named, error) { return c.names(ctx, "one.userpool.info", "USER") })
}

// GroupID is UserID for a group.
func (c *Client) GroupID(ctx context.Context, ref string) (int, error) {
	return c.idOf(ctx, groupWord, ref, func() ([]named, error) { return c.names(ctx, "one.grouppool.info", "GROUP") })
}

// VMID is UserID for a VM that is not DONE.
func (c *Client) VMID(ctx context.Context, ref string) (onevolume.VMID, error) {
	id, err := c.idOf(ctx, vmWord, ref, func() ([]named, error) {
		vms, err := c.VMPoolInfo(ctx)
		list := make([]named, len(vms))
		for i := range vms {
			list[i] = named{vms[i].ID, vms[i].Name}
		}
		return list, err
	})
	return onevolume.VMID(id), err
}

// named is an object as a pool lists it.
type named struct {
	ID   int    `xml:"ID"`
	Name string `xml:"NAME"`
}

// names lists a pool that takes no parameters.
func (c *Client) names(ctx context.Context, method, element string) ([]named, error) {
	text, err := c.text(ctx, method)
	if err != nil {
		return nil, err
	}
	var pool struct {
		Objects []struct {
			XMLName xml.Name
			named
		} `xml:",any"`
	}
	if err := xml.Unmarshal([]byte(text), &pool); err != nil {
		return nil, unreadable(method, err)
	}
	var list []named
	for _, o := range pool.Objects { // the pool holds default quotas as well
		if o.XMLName.Local == element {
			list = append(list, o.named)
		}
	}
	return list, nil
}

func (c *Client) idOf(ctx context.Context, word, ref string, list func() ([]named, error)) (int, error) {
	if id, ok := asID(ref); ok {
		return id, nil
	}
	objects, err := list()
	if err != nil {
		return 0, err
	}
	ids := []int{}
	for _, o := range objects {
		if o.Name == ref {
			ids = append(ids, o.ID)
		}
	}
	return onevolume.OnlyOne(word, ref, ids)
}

// asID reads what OpenNebula's tools take for an id: digits alone.
func asID(ref string) (int, bool) {
	if ref == "" || strings.Trim(ref, "0123456789") != "" {
		return 0, false
	}
	id, err := strconv.Atoi(ref)
	return id, err == nil
}
