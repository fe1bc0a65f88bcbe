package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
)

// Compare says in what an array differs from the inventory: volumes that only
// one of the two has, and who is let in to a volume that is not on a host. It
// asks the array about each volume and changes nothing. What changes while it
// looks is left out. Code: NotFound, and those of the array.
func (a *Access) Compare(ctx context.Context, name string) ([]string, error) {
	on, err := a.Array(name)
	if err != nil {
		return nil, err
	}
	volumes, err := a.Volumes(ctx)
	if err != nil {
		return nil, err
	}
	volumes = slices.DeleteFunc(volumes, func(v onevolume.Volume) bool { return v.ArrayID == "" || v.Array != name })
	found, err := a.unknown(ctx, name, on, volumes)
	if err != nil {
		return nil, err
	}
	for _, v := range volumes {
		if !v.State.Free() && v.State != onevolume.Attached {
			continue // an operation is at it, or it waits for an administrator
		}
		why, err := differs(ctx, on, v)
		if err != nil {
			return nil, err
		}
		if why == "" {
			continue
		}
		now, err := a.Volume(ctx, v.ID)
		switch {
		case onevolume.CodeOf(err) == onevolume.NotFound:
			continue // deleted meanwhile
		case err != nil:
			return nil, err
		case now.Version != v.Version:
			continue
		}
		if v.Operation != 0 {
			op, err := a.Operation(ctx, v.Operation)
			if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
				return nil, err
			}
			if err == nil && op.Status == onevolume.Running {
				continue // such as a migration, which needs two hosts
			}
		}
		found = append(found, fmt.Sprintf("volume %d (%s) is %s, and %s", v.ID, v.Name, v.State, why))
	}
	return found, nil
}

// unknown lists what is on the array under a name of ours and not in the
// inventory.
func (a *Access) unknown(ctx context.Context, name string, on array.Array, volumes []onevolume.Volume) (found []string, err error) {
	known := map[array.ID]bool{}
	for _, v := range volumes {
		known[array.ID(v.ArrayID)] = true
	}
	var extra []string
	for after := ""; ; {
		page, err := on.List(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, v := range page.Volumes {
			if !known[v.ID] {
				extra = append(extra, string(v.ID))
			}
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(extra) == 0 {
		return nil, nil
	}
	since, err := a.Ledger.OnArray(ctx, name, extra) // made since the inventory was read
	if err != nil {
		return nil, err
	}
	for _, id := range extra {
		if _, ok := since[id]; !ok {
			found = append(found, fmt.Sprintf("volume %s is on the array, and not in the inventory", id))
		}
	}
	return found, nil
}

// differs says what of a volume at rest is not as the inventory has it.
func differs(ctx context.Context, on array.Array, v onevolume.Volume) (string, error) {
	list, err := on.Exports(ctx, array.ID(v.ArrayID))
	if array.Is(err, array.NotFound) {
		return "it is not on the array", nil
	}
	if err != nil {
		return "", err
	}
	may := 0
	if v.Attachment.Host != "" {
		may = 1
	}
	if len(list) <= may {
		return "", nil
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = string(e.Initiator)
	}
	return "the array lets in " + strings.Join(names, " and "), nil
}
