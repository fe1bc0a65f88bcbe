package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

// sighting is a volume's disk in a domain.
type sighting struct {
	host *host
	dom  hypervisor.Domain
	disk hypervisor.Disk
	vm   onevolume.VMID // NoVM when it cannot be told
	// ours says that the disk's source is a path of the volume's device, and
	// not only its serial number the volume's.
	ours bool
}

func (s sighting) String() string {
	return fmt.Sprintf("disk %s of domain %s on host %s", s.disk.Target, s.dom.Name, s.host.name)
}

// sight finds the volumes' disks in all domains.
func (w *world) sight(ctx context.Context) {
	w.seen = map[onevolume.VolumeID][]sighting{}
	for _, h := range w.hosts {
		paths := w.paths(h)
		for _, dom := range h.domains {
			if w.arriving(h, dom) {
				continue
			}
			for _, k := range dom.Disks {
				id, ours := paths[k.Source]
				if l, ok := iscsi.ParseLink(k.Source); ok && !ours {
					id, ours = w.unit(l.IQN, l.LUN) // its device is gone
				}
				if !ours {
					var ok bool
					if id, ok = w.numbered(k.Serial); !ok {
						continue
					}
				}
				w.seen[id] = append(w.seen[id], sighting{h, dom, k, w.vmOf(ctx, dom, id), ours})
			}
		}
	}
}

// paths are the names of the volumes' devices on a host.
func (w *world) paths(h *host) map[string]onevolume.VolumeID {
	found := map[string]onevolume.VolumeID{}
	for _, s := range h.iscsi.Sessions {
		for _, u := range s.Units {
			if id, ok := w.unit(s.IQN, u.LUN); ok && u.Name != "" {
				found["/dev/"+u.Name] = id
				if u.Path != "" {
					found[u.Path] = id
				}
			}
		}
	}
	return found
}

// unit gives the volume that is a target's logical unit.
func (w *world) unit(iqn onevolume.IQN, lun onevolume.LUN) (onevolume.VolumeID, bool) {
	for _, v := range w.targets[iqn] {
		if v.Target.LUN == lun {
			return v.ID, true
		}
	}
	return onevolume.NoVolume, false
}

// numbered gives the volume that a serial number names.
func (w *world) numbered(serial string) (onevolume.VolumeID, bool) {
	var id onevolume.VolumeID
	if _, err := fmt.Sscanf(serial, "onevolume-%d", &id); err != nil || onevolume.Serial(id) != serial {
		return onevolume.NoVolume, false
	}
	_, ok := w.known[id]
	return id, ok
}

// arriving says whether a domain is one half of a move: the same domain runs
// elsewhere, and this half does not. It touches no disk.
func (w *world) arriving(h *host, dom hypervisor.Domain) bool {
	if !strings.HasPrefix(dom.State, "paused") {
		return false
	}
	return slices.ContainsFunc(w.hosts, func(other *host) bool {
		return other != h && slices.ContainsFunc(other.domains, func(o hypervisor.Domain) bool {
			return o.UUID == dom.UUID && o.Running && !strings.HasPrefix(o.State, "paused")
		})
	})
}

// vmOf tells whose domain it is: by OpenNebula's name for it, or because the
// volume's last operation knew it by its deploy id.
func (w *world) vmOf(ctx context.Context, dom hypervisor.Domain, id onevolume.VolumeID) onevolume.VMID {
	var n onevolume.VMID
	if _, err := fmt.Sscanf(dom.Name, "one-%d", &n); err == nil && fmt.Sprintf("one-%d", n) == dom.Name {
		return n
	}
	v := w.known[id]
	if v.Attachment.VM == onevolume.NoVM {
		return onevolume.NoVM
	}
	if deploy := w.deployID(ctx, v); deploy != "" && (deploy == dom.UUID || deploy == dom.Name) {
		return v.Attachment.VM
	}
	return onevolume.NoVM
}

// deployID is what the volume's newest operation knows its VM's domain by.
func (w *world) deployID(ctx context.Context, v onevolume.Volume) string {
	id, asked := w.domains[v.ID]
	if !asked {
		if op, err := w.Inventory.Operation(ctx, v.Operation); err == nil && op.VM.ID == v.Attachment.VM {
			id = op.VM.DeployID
		}
		w.domains[v.ID] = id
	}
	return id
}

// domainOf finds the domain of the volume's VM on any host.
func (w *world) domainOf(ctx context.Context, v onevolume.Volume) (*host, hypervisor.Domain, bool) {
	name, deploy := fmt.Sprintf("one-%d", v.Attachment.VM), w.deployID(ctx, v)
	var found *host
	var domain hypervisor.Domain
	for _, h := range w.hosts {
		for _, dom := range h.domains {
			if (dom.Name == name || deploy != "" && (dom.UUID == deploy || dom.Name == deploy)) && (found == nil || dom.Running && !domain.Running) {
				found, domain = h, dom
			}
		}
	}
	return found, domain, found != nil
}

// device finds the volume's device on a host, with its session. Without one,
// the session is that with its target, if there is any.
func (h *host) device(t onevolume.Target) (*iscsi.Session, *iscsi.Unit) {
	var with *iscsi.Session
	for i := range h.iscsi.Sessions {
		s := &h.iscsi.Sessions[i]
		if s.IQN != t.IQN {
			continue
		}
		if with == nil || s.Working() {
			with = s
		}
		for j := range s.Units {
			if u := &s.Units[j]; u.LUN == t.LUN && u.Name != "" {
				return s, u
			}
		}
	}
	return with, nil
}

// needs says whether the volume belongs on the host, or may: it is attached
// there, a running domain has it, or it is not known what is with it. A host
// of another name that was not looked at may be this one.
func (w *world) needs(v onevolume.Volume, h *host) bool {
	if w.restless[v.ID] || v.State == onevolume.Failed {
		return true
	}
	if at := w.host(v.Attachment.Host); v.State == onevolume.Attached && (at == h || at == nil) {
		return true
	}
	return slices.ContainsFunc(w.seen[v.ID], func(s sighting) bool { return s.host == h && s.dom.Running })
}
