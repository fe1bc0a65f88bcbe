package workflow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/iscsi/iscsitest"
)

// place is where a disk of ours is.
type place struct{ host, domain, target, source string }

// plugged gives where the volumes' disks are: in any domain of any host.
func (c *cloud) plugged() map[onevolume.VolumeID][]place {
	c.moving.RLock()
	defer c.moving.RUnlock()
	found := map[onevolume.VolumeID][]place{}
	for _, m := range c.hosts {
		for _, name := range m.vms {
			d, _ := m.virt.Domain(name)
			for _, k := range d.Disks {
				if m.iscsi.CutOff(k.Source) {
					continue // it is a disk in name alone
				}
				var id onevolume.VolumeID
				if _, err := fmt.Sscanf(k.Serial, "onevolume-%d", &id); err == nil || c.xen && c.servedAs(m, k.Source, &id) {
					found[id] = append(found[id], place{m.name, name, k.Target, k.Source})
				}
			}
		}
	}
	return found
}

// servedAs finds the volume whose unit a host has at a path: a disk of Xen's
// has no serial number.
func (c *cloud) servedAs(m *machine, path string, id *onevolume.VolumeID) bool {
	u := m.iscsi.UnitAt(path)
	for *id = range c.units {
		if u != nil && c.units[*id] == u {
			return true
		}
	}
	return false
}

// guard is asked before each command on a host: nothing that a guest has may
// be overwritten.
func (c *cloud) guard(on *machine, cmd command.Cmd) {
	if cmd.Name != blockdev.NameWipe && cmd.Name != blockdev.NameFormat {
		return
	}
	target := on.iscsi.UnitAt(cmd.Args[0])
	for _, m := range c.hosts {
		for _, name := range m.vms {
			d, _ := m.virt.Domain(name)
			for _, k := range d.Disks {
				if u := m.iscsi.UnitAt(k.Source); u != nil && u == target {
					c.Errorf("%s of %s, which is disk %s of %s on %s", cmd.Name, cmd.Args[0], k.Target, name, m.name)
				}
			}
		}
	}
}

// invariants asks for what must hold at every moment, whatever breaks, and,
// once all is settled, for what must hold then. changed says that the inventory
// may be another than last time.
func (c *cloud) invariants(when string, changed, settled bool) {
	c.Helper()
	if c.storm != nil && !settled {
		return // where many are at work, it asks in other ways
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	plugged := c.plugged()
	busy := map[onevolume.IQN]bool{} // targets of which a volume is in use
	for id, unit := range c.units {
		if settled || changed && !c.still[id] || c.known[id].v.ID != id {
			c.known[id] = c.look(id)
		}
		v := c.known[id].v
		c.always(when, c.known[id], unit, plugged[id])
		if settled {
			c.atRest(when, v, unit, plugged[id])
		}
		busy[v.Target.IQN] = busy[v.Target.IQN] || !v.State.Free()
	}
	if !settled {
		return
	}
	for _, m := range c.hosts {
		for _, left := range m.iscsi.Left() {
			if iqn := onevolume.IQN(strings.Fields(left)[1]); !busy[iqn] && !slices.Contains(c.strangers, iqn) {
				c.Errorf("%s: %s has a %s", when, m.name, left)
			}
		}
	}
}

// known is a volume and its newest operation as the inventory has them.
type known struct {
	v      onevolume.Volume
	status onevolume.Status
	kind   onevolume.Kind
}

// look reads both as they were at one moment, though others write.
func (c *cloud) look(id onevolume.VolumeID) known {
	c.Helper()
	ctx := context.WithoutCancel(c.Context())
	for {
		v, err := c.db.Volume(ctx, id)
		if err != nil {
			c.Error(err)
		}
		k := known{v: v}
		if v.Operation != 0 {
			op, err := c.db.Operation(ctx, v.Operation)
			if err != nil {
				c.Error(err)
			}
			k.status, k.kind = op.Status, op.Kind
		}
		if again, err := c.db.Volume(ctx, id); err != nil || again.Version == v.Version {
			return k
		}
	}
}

// always is what must hold of a volume at every moment.
func (c *cloud) always(when string, k known, unit *iscsitest.Unit, in []place) {
	c.Helper()
	v := k.v
	if len(in) > 1 {
		c.Errorf("%s: volume %d is in several places: %v", when, v.ID, in)
	}
	for _, p := range in {
		if v.State.Free() || v.State == onevolume.Wiping {
			c.Errorf("%s: volume %d is %s and a disk of %s", when, v.ID, v.State, p.domain)
		}
		if u := c.machine(p.host).iscsi.UnitAt(p.source); u != unit {
			c.Errorf("%s: %s of %s is not volume %d any more", when, p.source, p.domain, v.ID)
		}
	}
	if v.ArrayID != "" {
		most := 1
		if k.kind == onevolume.Migrate && k.status != onevolume.Done && k.status != onevolume.Undone {
			most = 2
		}
		if exports, _ := c.letIn(v); len(exports) > most {
			c.Errorf("%s: %v are let in to volume %d", when, exports, v.ID)
		}
	}
	migrates := (k.kind == onevolume.Migrate || k.kind == onevolume.Grow) && v.State == onevolume.Attached // as it is all the time
	if v.State.Moving() != (k.status == onevolume.Running) && !migrates {
		c.Errorf("%s: volume %d is %s and its operation %q", when, v.ID, v.State, k.status)
	}
}

// atRest is what must hold of a volume that no operation holds.
func (c *cloud) atRest(when string, v onevolume.Volume, unit *iscsitest.Unit, in []place) {
	c.Helper()
	if v.ArrayID != "" && v.State != onevolume.Failed {
		c.admitted(when, v, in)
	}
	switch v.State {
	case onevolume.Attached:
		a := v.Attachment
		if len(in) == 0 && (c.lost[v.ID] || c.storm.gone(v.ID)) {
			return
		}
		if len(in) != 1 {
			c.Errorf("%s: volume %d is ATTACHED and in %v", when, v.ID, in)
		} else if p := in[0]; a.Host != p.host || a.Device != p.target || a.Source != p.source || !c.xen && a.Serial != onevolume.Serial(v.ID) ||
			p.domain != fmt.Sprintf("one-%d", a.VM) {
			c.Errorf("%s: volume %d has %+v on record and is at %+v", when, v.ID, a, p)
		}
		if !v.Identity.Known() {
			c.Errorf("%s: volume %d is ATTACHED and its identity unknown", when, v.ID)
		}
	case onevolume.Available, onevolume.Retained:
		if v.Attachment != (onevolume.Attachment{VM: onevolume.NoVM}) {
			c.Errorf("%s: volume %d is %s and has %+v", when, v.ID, v.State, v.Attachment)
		}
		if v.State == onevolume.Available && strings.Contains(unit.Content, "data") {
			c.Errorf("%s: volume %d is AVAILABLE and holds %q; its last operations:\n%s", when, v.ID, unit.Content, c.past(v.ID))
		}
		c.noDisk(when, v)
	case onevolume.Failed:
		if v.Reason == "" {
			c.Errorf("%s: volume %d is in ERROR for no reason", when, v.ID)
		}
	default:
		c.Errorf("%s: volume %d is %s", when, v.ID, v.State)
	}
}

// admitted asks that an array lets in exactly the host whose guest has the
// volume, and where none has it, nobody but the host on record.
func (c *cloud) admitted(when string, v onevolume.Volume, in []place) {
	c.Helper()
	exports, sessions := c.letIn(v)
	var want []onevolume.IQN
	if v.State == onevolume.Attached && v.Attachment.Host != "" {
		want = []onevolume.IQN{c.machine(v.Attachment.Host).iscsi.Initiator()}
	}
	if len(in) > 0 && (!slices.Equal(exports, want) || !slices.Equal(sessions, want)) || len(exports) > 0 && !slices.Equal(exports, want) ||
		len(sessions) > 0 && !slices.Equal(sessions, exports) {
		c.Errorf("%s: volume %d is %s on host %q; let in are %v, and logged in %v", when, v.ID, v.State, v.Attachment.Host, exports, sessions)
	}
}

// noDisk asks that no host has the volume's device.
func (c *cloud) noDisk(when string, v onevolume.Volume) {
	c.Helper()
	if slices.Contains(c.strangers, v.Target.IQN) {
		return
	}
	disk := fmt.Sprintf("disk %s LUN %d", v.Target.IQN, v.Target.LUN)
	for _, m := range c.hosts {
		if slices.Contains(m.iscsi.Left(), disk) {
			c.Errorf("%s: %s has a %s, which is %s", when, m.name, disk, v.State)
		}
	}
}

func (c *cloud) machine(name string) *machine {
	for _, m := range c.hosts {
		if m.name == name {
			return m
		}
	}
	c.Fatalf("no host %s", name)
	return nil
}

// past tells the newest operations on a volume with their journals.
func (c *cloud) past(id onevolume.VolumeID) string {
	var stories []string
	for n := 1; ; n++ {
		op, err := c.db.Operation(c.Context(), n)
		if err != nil {
			break
		}
		if op.Volume != id {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%+v\n", op)
		journal, _ := c.db.Journal(c.Context(), n)
		for _, e := range journal {
			fmt.Fprintf(&b, "  %s %s %s by %s, generation %d: %s\n", e.Time.Format("05.000"), e.Event, e.Step, e.Owner, e.Generation, e.Detail)
		}
		stories = append(stories, b.String())
	}
	return strings.Join(stories[max(0, len(stories)-3):], "")
}
