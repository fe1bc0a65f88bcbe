package cli

import (
	"strconv"

	"onevolume"
	"onevolume/cli/table"
)

// volumeColumns are what list and top can show, laid out as oneimage's.
// packaging/onevolume.yaml says the same, for administrators to change; a test
// compares them.
func volumeColumns(numeric bool) []table.Column[onevolume.Volume] {
	type v = *onevolume.Volume
	user, group := func(v v) string { return v.Owner.User }, func(v v) string { return v.Owner.Group }
	if numeric {
		user, group = func(v v) string { return strconv.Itoa(v.Owner.UID) }, func(v v) string { return strconv.Itoa(v.Owner.GID) }
	}
	all := []table.Column[onevolume.Volume]{
		{Name: "ID", Desc: "Identifier of the volume", Size: 4, Adjust: true, Cell: func(v v) string { return strconv.Itoa(int(v.ID)) }},
		{Name: "USER", Desc: "Owner of the volume", Size: 8, Left: true, Cell: user},
		{Name: "GROUP", Desc: "Group of the volume", Size: 8, Left: true, Cell: group},
		{Name: "NAME", Desc: "Name of the volume", Size: 15, Left: true, Expand: true, Cell: func(v v) string { return v.Name }},
		{Name: "ARRAY", Desc: "Storage machine that exports the volume", Size: 8, Left: true, Cell: func(v v) string { return v.Array }},
		{Name: "SIZE", Desc: "Size of the volume", Size: 7, Cell: func(v v) string { return v.Size.String() }},
		{Name: "STAT", Desc: "State of the volume", Size: 4, Left: true, Cell: statText},
		{Name: "VM", Desc: "VM that the volume is in", Size: 5, Adjust: true, Cell: func(v v) string { return vmText(v.Attachment.VM) }},
		{Name: "HOST", Desc: "Host of that VM", Size: 10, Left: true, Cell: func(v v) string { return v.Attachment.Host }},
		{Name: "DEVICE", Desc: "Target of the disk in that VM", Size: 6, Left: true, Cell: func(v v) string { return v.Attachment.Device }},
		{Name: "IQN", Desc: "IQN of the volume's target", Size: 30, Left: true, Adjust: true, Cell: func(v v) string { return string(v.Target.IQN) }},
		{Name: "LUN", Desc: "Logical unit number on the target", Size: 3, Adjust: true, Cell: func(v v) string { return strconv.Itoa(int(v.Target.LUN)) }},
		{Name: "PORTALS", Desc: "Addresses of the target", Size: 16, Left: true, Adjust: true, Cell: func(v v) string { return onevolume.JoinPortals(v.Target.Portals) }},
		{Name: "UNIT_SERIAL", Desc: "Unit serial number that proves the device", Size: 16, Left: true, Adjust: true, Cell: func(v v) string { return v.Identity.Serial }},
		{Name: "WWID", Desc: "Identifier that proves the device", Size: 20, Left: true, Adjust: true, Cell: func(v v) string { return v.Identity.WWID }},
		{Name: "OPERATION", Desc: "Newest operation on the volume", Size: 9, Cell: func(v v) string { return operationText(v.Operation) }},
		{Name: "LOCK", Desc: "What a lock keeps from", Size: 6, Left: true, Cell: func(v v) string { return v.Lock.Level.String() }},
		{Name: "REGTIME", Desc: "Time of registration", Size: 15, Cell: func(v v) string { return when(v.Registered) }},
		{Name: "MODTIME", Desc: "Time of the last change", Size: 15, Cell: func(v v) string { return when(v.Modified) }},
	}
	for i := range all { // what others wrote must not move a reader's cursor
		cell := all[i].Cell
		all[i].Cell = func(v v) string { return oneLine(cell(v)) }
	}
	return all
}

// standardColumns are shown when nothing else is asked for.
func standardColumns() []string {
	return []string{"ID", "USER", "GROUP", "NAME", "ARRAY", "SIZE", "STAT", "VM", "HOST"}
}

// statText is the state, in oneimage's word for a free volume that is disabled.
func statText(v *onevolume.Volume) string {
	if v.Disabled && v.State.Free() {
		return "disa"
	}
	return v.State.Short()
}

func vmText(id onevolume.VMID) string {
	if id == onevolume.NoVM {
		return "-"
	}
	return strconv.Itoa(int(id))
}

func operationText(id int) string {
	if id == 0 {
		return "-"
	}
	return strconv.Itoa(id)
}
