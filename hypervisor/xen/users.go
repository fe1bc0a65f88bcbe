package xen

import (
	"context"
	"fmt"
	"slices"

	"onevolume/command"
)

// Users tells the domains that have one of the paths, or a link to the same
// device, as a disk: those of xenstore, and those for which the kernel has the
// device open, which may be gone from there.
func (x *Driver) Users(ctx context.Context, h command.Host, except string, paths []string) ([]string, error) {
	v, err := x.look(ctx, h, "of any name", "listing the disks of all domains", paths...)
	if err != nil {
		return nil, err
	}
	return v.users(except, paths), nil
}

func (v view) users(except string, paths []string) []string {
	asked := map[string]bool{}
	for _, p := range paths {
		asked[p] = p != ""
		if n := v.devices[p]; n != "" {
			asked[n] = true
		}
	}
	var users []string
	add := func(name string) {
		if name != except && !slices.Contains(users, name) {
			users = append(users, name)
		}
	}
	names := map[int]string{}
	for _, d := range v.domains {
		names[d.id] = d.Name
		for _, k := range d.disks {
			if asked[k.Source] || asked[k.device] {
				add(d.Name)
			}
		}
	}
	for _, b := range v.backends {
		if name, ok := names[b.id]; asked[b.device] && ok {
			add(name)
		} else if asked[b.device] {
			add(fmt.Sprintf("(domain %d, which has ended: %s)", b.id, b.name))
		}
	}
	return users
}
