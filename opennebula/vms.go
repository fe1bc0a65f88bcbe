package opennebula

import (
	"context"
	"encoding/xml"
	"slices"

	"onevolume"
)

// VMsInfo asks for some VMs of many: those that oned knows of the given ones,
// whatever their state. Ids that lie close together are asked for in one call
// of one.vmpool.infoextended, which a page's worth of VMs may answer; what is
// not in its answer, since it is DONE, is asked for by itself.
func (c *Client) VMsInfo(ctx context.Context, ids []onevolume.VMID) (map[onevolume.VMID]*VM, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := map[onevolume.VMID]*VM{}
	for rest := ids; len(rest) > 0; {
		n, _ := slices.BinarySearch(rest, rest[0]+pageSize)
		if n > 1 {
			if err := c.vmRange(ctx, rest[:n], found); err != nil {
				return nil, err
			}
		}
		rest = rest[n:]
	}
	for _, id := range ids {
		if found[id] != nil {
			continue
		}
		vm, err := c.VMInfo(ctx, id)
		switch {
		case err == nil:
			found[id] = vm
		case onevolume.CodeOf(err) != onevolume.NotFound:
			return nil, err
		}
	}
	return found, nil
}

// vmRange adds what oned tells of the VMs that are not DONE.
func (c *Client) vmRange(ctx context.Context, ids []onevolume.VMID, found map[onevolume.VMID]*VM) error {
	const method, all, notDone = "one.vmpool.infoextended", -2, -1
	text, err := c.text(ctx, method, all, int(ids[0]), int(ids[len(ids)-1]), notDone)
	if err != nil {
		return err
	}
	var pool struct {
		VMs []VM `xml:"VM"`
	}
	if err := xml.Unmarshal([]byte(text), &pool); err != nil {
		return unreadable(method, err)
	}
	for i := range pool.VMs {
		vm := &pool.VMs[i]
		id := onevolume.VMID(vm.ID)
		if _, wanted := slices.BinarySearch(ids, id); wanted {
			vm.sort()
			found[id] = vm
		}
	}
	return nil
}

// Lost says whether oned has lost sight of the host, or an administrator took
// it out of use, so that what runs there is not known.
func (h *Host) Lost() bool {
	return h.State() == HostError || h.State() == HostMonitoringError || h.State() == HostOffline
}
