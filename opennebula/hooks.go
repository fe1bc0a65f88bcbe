package opennebula

import (
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"onevolume"
	"onevolume/template"
)

// Hooks lists the hooks that oned has on states of VMs and hosts, in the order
// of their ids. Codes: Forbidden (it is for administrators).
func (c *Client) Hooks(ctx context.Context) ([]onevolume.Hook, error) {
	const method = "one.hookpool.info"
	text, err := c.text(ctx, method)
	if err != nil {
		return nil, err
	}
	var pool struct {
		Hooks []struct {
			ID        int    `xml:"ID"`
			Name      string `xml:"NAME"`
			Type      string `xml:"TYPE"`
			Resource  string `xml:"TEMPLATE>RESOURCE"`
			State     string `xml:"TEMPLATE>STATE"`
			LCMState  string `xml:"TEMPLATE>LCM_STATE"`
			Command   string `xml:"TEMPLATE>COMMAND"`
			Arguments string `xml:"TEMPLATE>ARGUMENTS"`
			Stdin     string `xml:"TEMPLATE>ARGUMENTS_STDIN"`
			Remote    string `xml:"TEMPLATE>REMOTE"`
		} `xml:"HOOK"`
	}
	if err := xml.Unmarshal([]byte(text), &pool); err != nil {
		return nil, unreadable(method, err)
	}
	var list []onevolume.Hook
	for _, h := range pool.Hooks {
		if h.Type == "state" {
			list = append(list, onevolume.Hook{ID: h.ID, Name: h.Name, Resource: h.Resource, State: h.State, LCMState: h.LCMState, Command: h.Command,
				Piped: h.Arguments == hookArguments && isYes(h.Stdin) && !isYes(h.Remote)})
		}
	}
	return list, nil
}

// hookArguments is what a hook is given: the VM's or the host's document, in
// base64.
const hookArguments = "$TEMPLATE"

// isYes reads a switch as oned and its hook manager do (onehem-server.rb).
func isYes(s string) bool { return strings.EqualFold(s, "yes") }

// AllocateHook registers a hook that is given its document on standard input.
// Codes: Forbidden, Invalid (the name is taken, or oned does
// not know the state), Unknown (no answer came: look).
func (c *Client) AllocateHook(ctx context.Context, h onevolume.Hook) error {
	t := template.Template{{Key: "NAME", Value: h.Name}, {Key: "TYPE", Value: "state"}, {Key: "RESOURCE", Value: h.Resource}}
	if h.Resource == "VM" {
		t = append(t, template.Attribute{Key: "ON", Value: "CUSTOM"}, template.Attribute{Key: "LCM_STATE", Value: h.LCMState})
	}
	t = append(t, template.Attribute{Key: "STATE", Value: h.State}, template.Attribute{Key: "COMMAND", Value: h.Command},
		template.Attribute{Key: "ARGUMENTS", Value: hookArguments}, template.Attribute{Key: "ARGUMENTS_STDIN", Value: "yes"})
	if err := c.change(ctx, "one.hook.allocate", t.String()); err != nil {
		return fmt.Errorf("hook %s: %w", h.Name, err)
	}
	return nil
}

// DeleteHook takes a hook away. Codes: Forbidden, NotFound, Unknown.
func (c *Client) DeleteHook(ctx context.Context, id int) error {
	return c.change(ctx, "one.hook.delete", id)
}

// Shown is how many volumes the VM's template shows (Labels). Codes: as of
// VMInfo.
func (c *Client) Shown(ctx context.Context, id onevolume.VMID) (int, error) {
	vm, err := c.VMInfo(ctx, id)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, a := range vm.UserTemplate.Vectors(labelKey) {
		if labelOf(a) != nil {
			n++
		}
	}
	return n, nil
}
