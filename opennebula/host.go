package opennebula

import (
	"context"
	"encoding/xml"
)

// Host is what oned says of a hypervisor host.
type Host struct {
	ID        int    `xml:"ID"`
	Name      string `xml:"NAME"`
	StateRaw  int    `xml:"STATE"`
	VMMad     string `xml:"VM_MAD"`
	ClusterID int    `xml:"CLUSTER_ID"`
	Cluster   string `xml:"CLUSTER"`
}

// State is the host's state.
func (h *Host) State() HostState { return HostState(h.StateRaw) }

// Offline says whether an administrator took the host out of use altogether,
// so that nothing runs there.
func (h *Host) Offline() bool { return h.State() == HostOffline }

// HostInfo asks for a host, which takes oneadmin's rights. Codes: NotFound,
// Forbidden.
func (c *Client) HostInfo(ctx context.Context, id int) (*Host, error) {
	const method = "one.host.info"
	text, err := c.text(ctx, method, id, false)
	if err != nil {
		return nil, err
	}
	var h Host
	if err := xml.Unmarshal([]byte(text), &h); err != nil {
		return nil, unreadable(method, err)
	}
	return &h, nil
}

// HostPoolInfo lists the hosts that the session may USE.
func (c *Client) HostPoolInfo(ctx context.Context) ([]Host, error) {
	const method = "one.hostpool.info"
	text, err := c.text(ctx, method)
	if err != nil {
		return nil, err
	}
	var pool struct {
		Hosts []Host `xml:"HOST"`
	}
	if err := xml.Unmarshal([]byte(text), &pool); err != nil {
		return nil, unreadable(method, err)
	}
	return pool.Hosts, nil
}
