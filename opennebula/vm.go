package opennebula

import (
	"context"
	"encoding/xml"
	"slices"

	"onevolume"
	"onevolume/template"
)

// VM is what oned says of a virtual machine, as far as anyone here asks.
type VM struct {
	ID           int               `xml:"ID"`
	UID          int               `xml:"UID"`
	GID          int               `xml:"GID"`
	UName        string            `xml:"UNAME"`
	GName        string            `xml:"GNAME"`
	Name         string            `xml:"NAME"`
	StateRaw     int               `xml:"STATE"`
	LCMStateRaw  int               `xml:"LCM_STATE"`
	DeployID     string            `xml:"DEPLOY_ID"`
	UserTemplate template.Template `xml:"USER_TEMPLATE"`

	// HistoryRecords say where the VM was, the newest last. While a VM
	// migrates the newest already names the host it goes to.
	HistoryRecords []HistoryRecord `xml:"HISTORY_RECORDS>HISTORY"`
}

// HistoryRecord is one stay of a VM on a host.
type HistoryRecord struct {
	SEQ      int    `xml:"SEQ"`
	Hostname string `xml:"HOSTNAME"`
	HID      int    `xml:"HID"`
	VMMad    string `xml:"VM_MAD"`
	TMMad    string `xml:"TM_MAD"`
	DSID     int    `xml:"DS_ID"`
	RSTime   int64  `xml:"RSTIME"` // when it began to run there, in seconds since 1970; not in the short form
}

// VMInfo asks for a VM. Codes: NotFound, Forbidden (no right to USE it).
func (c *Client) VMInfo(ctx context.Context, id onevolume.VMID) (*VM, error) {
	const method = "one.vm.info"
	text, err := c.text(ctx, method, int(id), false)
	if err != nil {
		return nil, err
	}
	var vm VM
	if err := xml.Unmarshal([]byte(text), &vm); err != nil {
		return nil, unreadable(method, err)
	}
	vm.sort()
	return &vm, nil
}

// pageSize is how many objects one call asks for, as OpenNebula's tools do:
// oned's memory grows by the size of an answer and does not shrink again.
const pageSize = 200

// VMPoolInfo lists the VMs that are not DONE and that the session may USE,
// the newest first. It is oned's short form, with one history record each.
func (c *Client) VMPoolInfo(ctx context.Context) ([]VM, error) {
	const method, all, notDone = "one.vmpool.info", -2, -1
	var list []VM
	for {
		text, err := c.text(ctx, method, all, len(list), -pageSize, notDone)
		if err != nil {
			return nil, err
		}
		var pool struct {
			VMs []VM `xml:"VM"`
		}
		if err := xml.Unmarshal([]byte(text), &pool); err != nil {
			return nil, unreadable(method, err)
		}
		for i := range pool.VMs {
			pool.VMs[i].sort()
		}
		list = append(list, pool.VMs...)
		if len(pool.VMs) < pageSize {
			return list, nil
		}
	}
}

func (vm *VM) sort() {
	slices.SortStableFunc(vm.HistoryRecords, func(a, b HistoryRecord) int { return a.SEQ - b.SEQ })
}

// History is the newest record; false when the VM was never on a host.
func (vm *VM) History() (HistoryRecord, bool) {
	if n := len(vm.HistoryRecords); n > 0 {
		return vm.HistoryRecords[n-1], true
	}
	return HistoryRecord{}, false
}

// StateString is the state as a person wants it: of an active VM its LCM
// state, such as RUNNING or MIGRATE, else POWEROFF, DONE …
func (vm *VM) StateString() string {
	if State(vm.StateRaw) == Active {
		return LCMState(vm.LCMStateRaw).String()
	}
	return State(vm.StateRaw).String()
}

// Running says by an error of the code Action whether a disk can be plugged
// into the VM: it must be running, and not be about to move.
func (vm *VM) Running() error {
	if State(vm.StateRaw) == Active && LCMState(vm.LCMStateRaw) == Running {
		return nil
	}
	e := onevolume.Errorf(onevolume.Action, "VM %d (%s) is %s, not RUNNING", vm.ID, vm.Name, vm.StateString())
	switch State(vm.StateRaw) {
	case Done:
		return e
	case Active:
		return e.WithHint("wait until onevm show %d says RUNNING", vm.ID)
	}
	return e.WithHint("start it with onevm resume %d", vm.ID)
}

// Detachable says by an error of the code Action whether a disk can be taken
// from the VM: it must be running, or surely not at all. A VM that is saved
// has the disk in its saved state and could not be resumed without; one that
// is on its way must arrive first.
func (vm *VM) Detachable() error {
	switch s := State(vm.StateRaw); {
	case s == Poweroff, s == Undeployed, s == Done:
		return nil
	case s == Active && (LCMState(vm.LCMStateRaw) == Running || LCMState(vm.LCMStateRaw) == Unknown):
		return nil
	}
	return onevolume.Errorf(onevolume.Action, "VM %d (%s) is %s; a volume cannot be taken from it now", vm.ID, vm.Name, vm.StateString()).
		WithHint("it can when the VM is RUNNING or POWEROFF")
}

// Movable says by an error of the code Action whether the VM may be on its way
// to a host, or soon be: who asks is OpenNebula itself in the middle of that.
func (vm *VM) Movable() error {
	switch State(vm.StateRaw) {
	case Active, Suspended, Stopped, Pending:
		return nil
	}
	return onevolume.Errorf(onevolume.Action, "VM %d (%s) is %s, and does not move", vm.ID, vm.Name, vm.StateString())
}

// Domain is the VM as workflows need it. Without a history record it has no
// host.
func (vm *VM) Domain() onevolume.VM {
	h, _ := vm.History()
	return onevolume.VM{
		ID: onevolume.VMID(vm.ID), Name: vm.Name, Host: h.Hostname, Hypervisor: h.VMMad, DeployID: vm.DeployID,
		Owner:   onevolume.Owner{UID: vm.UID, GID: vm.GID, User: vm.UName, Group: vm.GName},
		Running: vm.Running() == nil,
	}
}

// VM gives a VM if its state allows the operation. Codes: NotFound,
// Forbidden, Action.
func (c *Client) VM(ctx context.Context, id onevolume.VMID, kind onevolume.Kind) (onevolume.VM, error) {
	vm, err := c.VMInfo(ctx, id)
	if err != nil {
		return onevolume.VM{}, err
	}
	switch kind {
	case onevolume.Detach:
		err = vm.Detachable()
	case onevolume.Migrate:
		err = vm.Movable()
	default:
		err = vm.Running()
	}
	if err != nil {
		return onevolume.VM{}, err
	}
	if _, ok := vm.History(); !ok {
		return onevolume.VM{}, onevolume.Errorf(onevolume.Action, "VM %d (%s) was never on a host", vm.ID, vm.Name)
	}
	return vm.Domain(), nil
}

// MayManage asks whether the session may MANAGE the VM, by an action that
// does not exist: oned checks the right first and then finds nothing to do.
// No error means yes. Codes: Forbidden (or the VM is locked), NotFound.
func (c *Client) MayManage(ctx context.Context, id onevolume.VMID) error {
	// Never a word that oned knows: it would be done.
	const method, nothing = "one.vm.action", "zzz"
	_, err := c.call(ctx, method, nothing, int(id))
	if err == nil {
		return onevolume.Errorf(onevolume.Internal, "oned carried out the action %q, which should not exist", nothing)
	}
	if onevolume.CodeOf(err) == onevolume.Action {
		return nil
	}
	return err
}

// VMUpdate puts attributes into the VM's USER_TEMPLATE, where onevm show
// prints them; all that have the same key are replaced, so that vectors must
// be given in full. An empty vector removes. Code Unknown when oned got the
// call and did not answer.
func (c *Client) VMUpdate(ctx context.Context, id onevolume.VMID, t template.Template) error {
	const appending = 1
	return c.change(ctx, "one.vm.update", int(id), t.String(), appending)
}

// Cloud asks about VMs with the sessions of those who call the daemon.
type Cloud struct{ Client *Client }

// VM gives a VM if the session's holder may MANAGE it and its state allows
// the operation. Codes: NotFound, Forbidden, Action.
func (c Cloud) VM(ctx context.Context, session string, id onevolume.VMID, kind onevolume.Kind) (onevolume.VM, error) {
	as := c.Client.As(session)
	if err := as.MayManage(ctx, id); err != nil {
		return onevolume.VM{}, err
	}
	return as.VM(ctx, id, kind)
}
