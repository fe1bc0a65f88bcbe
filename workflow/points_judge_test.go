package workflow_test

import (
	"strings"

	"onevolume"
)

// judge asks that the point has one of the three outcomes, and that it is the
// one that is wanted, and prints it.
func (pt *point) judge(want onevolume.State) {
	pt.Helper()
	pt.invariants(pt.what+" at "+pt.at, true, true)
	got := pt.read(pt.v.ID)
	pt.untouched()
	switch {
	case got.State == onevolume.Attached && got.Attachment.Host == "":
		got.State = noHost
	case got.State == onevolume.Attached && pt.lost[got.ID] && len(pt.plugged()[got.ID]) == 0:
		got.State = noDisk
	case got.State == onevolume.Attached && got.Attachment.Host == pt.hosts[1].name:
		got.State = moved
	}
	if pt.tb.act.kind == onevolume.Grow && got.State == onevolume.Attached {
		got.State = pt.growth(got)
	}
	outcome := string(got.State)
	switch got.State {
	case noHost:
		kept := onevolume.Attachment{VM: pt.v.Attachment.VM, Source: pt.v.Attachment.Source, Serial: pt.v.Attachment.Serial}
		if left := pt.left(got); got.Attachment != kept || len(left) > 0 || pt.units[got.ID].Content != "the guest's data" {
			pt.Errorf("%s at %s: %+v with %q, and left are %q", pt.what, pt.at, got.Attachment, pt.units[got.ID].Content, left)
		}
		outcome = "kept, on no host"
	case noDisk:
		if got.Attachment.VM != pt.v.Attachment.VM || pt.units[got.ID].Content != "the guest's data" {
			pt.Errorf("%s at %s: %+v with %q", pt.what, pt.at, got, pt.units[got.ID].Content)
		}
		outcome = "as it was: " + outcome
	case moved:
		pt.inGuest(got)
		outcome = "in the guest, " + outcome
	case grown:
		pt.inGuest(got)
		outcome = "in the guest, " + outcome
	case onevolume.Attached:
		pt.inGuest(got)
		outcome = "in the guest, ATTACHED"
	case onevolume.Available, onevolume.Retained:
		pt.nowhere(got)
		outcome = "nothing left, " + outcome
	case onevolume.Failed:
		if !strings.Contains(got.Reason, pt.reason) || pt.operation(got.ID).Status != onevolume.Parked {
			pt.Errorf("%s at %s: in ERROR with the reason %q", pt.what, pt.at, got.Reason)
		}
		outcome = "parked, ERROR with its reason"
		if pt.tb.act.kind == onevolume.Grow {
			outcome = "parked with its reason, and ATTACHED"
			pt.inGuest(got)
		}
	}
	pt.tb.row(pt.what, pt.at, outcome)
	if got.State != want {
		pt.Errorf("%s at %s: the volume is %s (%s), want %s; the caller was told %v", pt.what, pt.at, got.State, got.Reason, want, pt.err)
	}
}

// untouched asks that the VM's other volume is as it was.
func (pt *point) untouched() {
	pt.Helper()
	got := pt.read(pt.stander.ID)
	if got.Version != pt.stander.Version || got.Attachment != pt.stander.Attachment || pt.units[got.ID].Content != "the guest's data" {
		pt.Errorf("%s at %s: the VM's other volume was touched: %+v with %q", pt.what, pt.at, got, pt.units[got.ID].Content)
	}
}

// inGuest asks that the volume is in its VM, wholly, and has what the guest
// wrote, unless it came new.
func (pt *point) inGuest(v onevolume.Volume) {
	pt.Helper()
	m, content := pt.machine(v.Attachment.Host), ""
	if pt.tb.act.kind != onevolume.Attach {
		content = "the guest's data"
	}
	if m.iscsi.UnitAt(v.Attachment.Source) != pt.units[v.ID] || pt.units[v.ID].Content != content {
		pt.Errorf("%s at %s: the guest finds %q on the volume, want %q", pt.what, pt.at, pt.units[v.ID].Content, content)
	}
	if left := pt.left(v); len(left) != 3 {
		pt.Errorf("%s at %s: the host has %q, want a session, a disk and a record", pt.what, pt.at, left)
	}
}

// nowhere asks that no host has anything of the volume, that no domain has
// it, and that it holds what the operation was to leave on it.
func (pt *point) nowhere(v onevolume.Volume) {
	pt.Helper()
	if left := pt.left(v); len(left) > 0 {
		pt.Errorf("%s at %s: %s, and left are %q", pt.what, pt.at, v.State, left)
	}
	want := string(pt.tb.act.leave)
	if pt.tb.act.leave == onevolume.LeaveData {
		want = "the guest's data"
	}
	if got := pt.units[v.ID].Content; got != want {
		pt.Errorf("%s at %s: the volume holds %q, want %q", pt.what, pt.at, got, want)
	}
}

// left is what hosts have of the volume's target: sessions, disks, records,
// links and the domains' disks.
func (pt *point) left(v onevolume.Volume) []string {
	var list []string
	for _, m := range pt.hosts {
		if pt.tb.act.kind == onevolume.Fence && m.iscsi.CutOff(pt.v.Attachment.Source) {
			continue // it is dead, and cleaned when it is back
		}
		for _, l := range m.iscsi.Left() {
			if strings.Contains(l, string(v.Target.IQN)) {
				list = append(list, m.name+": "+l)
			}
		}
		if v.State.Free() && pt.v.Attachment.Source != "" && m.iscsi.UnitAt(pt.v.Attachment.Source) != nil {
			list = append(list, m.name+": link "+pt.v.Attachment.Source)
		}
	}
	if v.State.Free() {
		for _, p := range pt.plugged()[v.ID] {
			list = append(list, p.domain+": disk "+p.target)
		}
	}
	return list
}
