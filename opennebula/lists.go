package opennebula

import (
	"context"

	"onevolume"
)

// VMs lists the VMs that are not DONE and that the session may USE, the newest
// first, as far as oned's short documents tell of them.
func (c *Client) VMs(ctx context.Context) ([]onevolume.VM, error) {
	vms, err := c.VMPoolInfo(ctx)
	list := make([]onevolume.VM, len(vms))
	for i := range vms {
		list[i] = vms[i].Domain()
	}
	return list, err
}

// UserNames lists the users whom the session may see.
func (c *Client) UserNames(ctx context.Context) ([]string, error) {
	return namesOf(c.names(ctx, "one.userpool.info", userWord))
}

// GroupNames lists the groups that the session may see.
func (c *Client) GroupNames(ctx context.Context) ([]string, error) {
	return namesOf(c.names(ctx, "one.grouppool.info", groupWord))
}

func namesOf(list []named, err error) ([]string, error) {
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Name
	}
	return names, err
}
