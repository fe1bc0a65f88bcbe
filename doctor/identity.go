package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
	"onevolume/iscsi"
)

// identity compares what a volume's devices say of themselves with what is on
// record. What a device does not say proves nothing.
func (w *world) identity(v onevolume.Volume) []difference {
	if v.State == onevolume.Failed {
		return nil // nobody gets it any more
	}
	for _, h := range w.hosts {
		_, u := h.device(v.Target)
		if u == nil {
			continue
		}
		why := changed(u.Device, v)
		if why == "" {
			continue
		}
		f := about(onevolume.OtherIdentity, h.name, v.ID)
		f.VM = v.Attachment.VM
		f.Cause = fmt.Sprintf("%s on host %s is not %s, as it is on record: %s", u.Name, h.name, said(v), why)
		f.Risk = "the array shows another logical unit in its place: what is read is not the volume's data, and a wipe would destroy somebody else's"
		reason := fmt.Sprintf("identity changed on host %s: %s", h.name, why)
		f.Repair = []string{fmt.Sprintf("onevolume recover --status error --reason %s %d", command.Quote(reason), v.ID)}
		f.Fixable = true
		return []difference{{f, func(ctx context.Context) error {
			return w.unchanged(ctx, v, func() error {
				return w.Inventory.Recover(ctx, v.ID, onevolume.Recovery{State: onevolume.Failed, Attachment: v.Attachment, Reason: reason})
			})
		}}}
	}
	return nil
}

// changed says what of a device is not the volume's, with both values.
func changed(d iscsi.Device, v onevolume.Volume) string {
	var why []string
	if d.Size != 0 && d.Size != v.Size {
		why = append(why, fmt.Sprintf("its size is %s, recorded is %s", d.Size.Exact(), v.Size.Exact()))
	}
	for _, c := range []struct{ what, is, want string }{
		{"serial number", d.Identity.Serial, v.Identity.Serial}, {"WWID", d.Identity.WWID, v.Identity.WWID},
	} {
		if c.is != "" && c.want != "" && c.is != c.want {
			why = append(why, fmt.Sprintf("its %s is %q, recorded is %q", c.what, c.is, c.want))
		}
	}
	return strings.Join(why, "; ")
}

// sameInitiators finds hosts that say the same name to arrays. One of them
// keeps it: one with sessions, for those cannot change theirs.
func (w *world) sameInitiators() []difference {
	var list []difference
	for i, h := range w.hosts {
		name := h.iscsi.Initiator
		if name == "" || slices.ContainsFunc(w.hosts[:i], func(o *host) bool { return o.iscsi.Initiator == name }) {
			continue
		}
		var all []*host
		var names []string
		for _, o := range w.hosts[i:] {
			if o.iscsi.Initiator == name {
				all, names = append(all, o), append(names, o.name)
			}
		}
		keeps := max(0, slices.IndexFunc(all, func(o *host) bool { return len(o.iscsi.Sessions) > 0 }))
		for j, o := range all {
			if j != keeps {
				list = append(list, w.sameInitiator(o, names))
			}
		}
	}
	return list
}

func (w *world) sameInitiator(h *host, names []string) difference {
	f := about(onevolume.SameInitiator, h.name, onevolume.NoVolume)
	old := onevolume.IQN(h.iscsi.Initiator)
	f.Cause = fmt.Sprintf("the hosts %s have the same initiator name %s", strings.Join(names, ", "), old)
	f.Risk = "to an array they are one host: it ends the session of one when the other logs in, and shows each what only the other may see"
	own := iscsi.OwnName(old, h.name)
	f.Repair = on(h.name, iscsi.RenameCommands(own)...)
	if n := len(h.iscsi.Sessions); n > 0 {
		f.Cause += fmt.Sprintf("; host %s has %d sessions, which keep the name that they were made with", h.name, n)
		f.Repair = append([]string{"# move the VMs of host " + h.name + " to others and end its sessions first; then:"}, f.Repair...)
		return difference{Finding: f}
	}
	f.Fixable = true
	return difference{f, func(ctx context.Context) error { return w.rename(ctx, h, own) }}
}
