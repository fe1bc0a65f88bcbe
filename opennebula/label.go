package opennebula

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"onevolume"
	"onevolume/template"
)

// labelKey is the attribute in a VM's USER_TEMPLATE that shows a volume, once
// for each; onevm show prints it.
const labelKey = "ONEVOLUME"

// Labels shows volumes in the USER_TEMPLATE of their VMs, to people: whoever
// may MANAGE the VM can change it, so no fact is read from it while there is
// anybody else to ask. A VM that shows a volume does not move while the daemon
// is silent (Client.Shown). The attributes are
//
//	ONEVOLUME = [ ID = "3", NAME = "data", SERIAL = "onevolume-3", SIZE = "65536", TARGET = "sdiv" ]
//
// with the size in MB as on OpenNebula's own disks. An attribute of this name
// without the serial number that belongs to its ID is somebody else's.
type Labels struct {
	Client *Client
	// Session finds the session of a user who may MANAGE every VM, each time
	// anew: its password may change.
	Session func() (string, error)
}

// Show makes the VM's template show these volumes and no others, and writes
// only when it does not. It may be repeated. Codes: NotFound (there is no
// such VM any more), Forbidden (or the VM is locked), Unauthenticated,
// Unreachable, Unknown (oned got the call and did not answer).
func (l Labels) Show(ctx context.Context, id onevolume.VMID, volumes []onevolume.Volume) error {
	session, err := l.Session()
	if err != nil {
		return err
	}
	c := l.Client.As(session)
	vm, err := c.VMInfo(ctx, id)
	if err != nil {
		return err
	}
	if State(vm.StateRaw) == Done {
		return onevolume.Missing("virtual machine", int(id))
	}
	var others, shown template.Template
	for _, a := range vm.UserTemplate {
		switch {
		case a.Key != labelKey:
		case labelOf(a) != nil:
			shown = append(shown, a)
		default:
			others = append(others, a)
		}
	}
	var wanted template.Template
	for i := range volumes {
		wanted = append(wanted, label(&volumes[i]))
	}
	if slices.EqualFunc(shown, wanted, func(a, b template.Attribute) bool { return maps.Equal(labelOf(a), labelOf(b)) }) {
		return nil
	}
	// All of a name are replaced at once, so what others wrote goes along.
	set := append(others, wanted...)
	if len(set) == 0 {
		set = template.Template{{Key: labelKey, Vector: []template.Pair{}}}
	}
	return c.VMUpdate(ctx, id, set)
}

// label is the attribute that shows a volume.
func label(v *onevolume.Volume) template.Attribute {
	a := template.Attribute{Key: labelKey, Vector: []template.Pair{
		{Key: "ID", Value: strconv.Itoa(int(v.ID))},
		{Key: "NAME", Value: v.Name},
		{Key: "SERIAL", Value: onevolume.Serial(v.ID)},
		{Key: "SIZE", Value: strconv.FormatInt(v.Size.MB(), 10)},
	}}
	if v.State != onevolume.Attached {
		a.Vector = append(a.Vector, template.Pair{Key: "STATUS", Value: string(v.State)})
	}
	if v.Attachment.Device != "" {
		a.Vector = append(a.Vector, template.Pair{Key: "TARGET", Value: v.Attachment.Device})
	}
	return a
}

// labelOf gives the pairs of an attribute that we wrote, whatever their
// order: oned sorts them by name. It is nil for one of somebody else.
func labelOf(a template.Attribute) map[string]string {
	pairs := map[string]string{}
	for _, p := range a.Vector {
		pairs[p.Key] = p.Value
	}
	id, err := strconv.Atoi(pairs["ID"])
	if err != nil || pairs["SERIAL"] != onevolume.Serial(onevolume.VolumeID(id)) {
		return nil
	}
	return pairs
}
