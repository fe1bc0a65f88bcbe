package store_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
)

// quotaModel is who owns what and may own how much, as it should be.
type quotaModel struct {
	w       *world
	run     int // each has users, groups and targets of its own
	made    int
	limits  limits
	volumes []*owned
}

// owned is a volume of the model.
type owned struct {
	id       onevolume.VolumeID
	uid, gid int
	size     onevolume.Size
	state    onevolume.State
}

// Whatever several users and groups do in whatever order, under limits that
// change: the usage that is shown is what their volumes add up to, and a call
// is refused if and only if somebody would be above a limit by it.
func TestQuotaModel(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		run := 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			m := &quotaModel{w: w, run: run, limits: limits{}}
			m.limit(t, everyUser)
			m.limit(t, everyGroup)
			t.Repeat(map[string]func(*rapid.T){
				"register": m.register,
				"chown":    m.chown,
				"resize":   m.resize,
				"attach":   m.attach,
				"detach":   m.detach,
				"delete":   m.delete,
				"limit":    func(t *rapid.T) { m.limit(t, rapid.SampledFrom(m.people()).Draw(t, "of")) },
				"default": func(t *rapid.T) {
					m.limit(t, rapid.SampledFrom([]onevolume.QuotaOf{everyUser, everyGroup}).Draw(t, "of"))
				},
				"": m.compare,
			})
		})
	})
}

// people are three users and two groups.
func (m *quotaModel) people() []onevolume.QuotaOf {
	n := m.run * 10
	return []onevolume.QuotaOf{user(n + 1), user(n + 2), user(n + 3), group(n + 5), group(n + 6)}
}

// owner draws one of them, oneadmin and its group among them.
func (m *quotaModel) owner(t *rapid.T) onevolume.Owner {
	n := m.run * 10
	return onevolume.Owner{UID: rapid.SampledFrom([]int{0, n + 1, n + 2, n + 3}).Draw(t, "uid"),
		GID: rapid.SampledFrom([]int{0, n + 5, n + 6}).Draw(t, "gid"), User: "u", Group: "g"}
}

func (m *quotaModel) limit(t *rapid.T, of onevolume.QuotaOf) {
	l := most(rapid.Int64Range(onevolume.Unlimited, 4).Draw(t, "volumes"), rapid.Int64Range(onevolume.Unlimited, 12).Draw(t, "MB"))
	m.w.limit(t, of, l.Volumes, l.SizeMB)
	m.limits[of] = l
}

func (m *quotaModel) used(of onevolume.QuotaOf) (u onevolume.Usage) {
	for _, v := range m.volumes {
		if of.Kind == onevolume.UserQuota && v.uid == of.ID || of.Kind == onevolume.GroupQuota && v.gid == of.ID {
			u.Volumes++
			u.Size += v.size
		}
	}
	return u
}

// most gives somebody's limit of volumes and of bytes; below zero for none.
func (m *quotaModel) most(of onevolume.QuotaOf) (volumes, bytes int64) {
	defaults := m.limits[everyUser]
	if of.Kind == onevolume.GroupQuota {
		defaults = m.limits[everyGroup]
	}
	own, ok := m.limits[of]
	if !ok || own.Volumes == onevolume.DefaultLimit {
		own.Volumes = defaults.Volumes
	}
	if !ok || own.SizeMB == onevolume.DefaultLimit {
		own.SizeMB = defaults.SizeMB
	}
	return own.Volumes, own.SizeMB * int64(onevolume.MiB)
}

// allows says whether a volume may become another; before is nil for one that
// is not registered yet.
func (m *quotaModel) allows(before *owned, after owned) bool {
	if before == nil && after.gid == 0 {
		return true // a logical unit must be known before anybody gets it
	}
	grown := after.size
	if before != nil {
		grown -= before.size
	}
	for _, g := range []struct {
		of  onevolume.QuotaOf
		new bool
	}{{user(after.uid), before == nil || before.uid != after.uid}, {group(after.gid), before == nil || before.gid != after.gid}} {
		volumes, bytes := m.most(g.of)
		has := m.used(g.of)
		switch {
		case g.of.ID == 0:
		case g.new && volumes >= 0 && has.Volumes+1 > volumes,
			g.new && bytes >= 0 && int64(has.Size+after.size) > bytes,
			!g.new && grown > 0 && bytes >= 0 && int64(has.Size+grown) > bytes:
			return false
		}
	}
	return true
}

// judge compares what came of a call with what should.
func (m *quotaModel) judge(t *rapid.T, err error, before *owned, after owned) bool {
	t.Helper()
	if !m.allows(before, after) {
		wantCode(t, err, onevolume.Forbidden, "")
		return false
	}
	if err != nil {
		t.Fatalf("from %+v to %+v: %v", before, after, err)
	}
	return true
}

func (m *quotaModel) register(t *rapid.T) {
	m.made++
	v := volume(m.made, onevolume.Size(rapid.IntRange(1, 4).Draw(t, "MB"))*onevolume.MiB)
	v.Target.IQN, v.Name, v.Owner = onevolume.IQN(fmt.Sprint("iqn.2026-11.org.example:run", m.run)), fmt.Sprintf("v%d.%d", m.run, m.made), m.owner(t)
	id, err := m.w.Allocate(t.Context(), v)
	after := owned{id: id, uid: v.Owner.UID, gid: v.Owner.GID, size: v.Size, state: onevolume.Available}
	if m.judge(t, err, nil, after) {
		m.volumes = append(m.volumes, &after)
	}
}

// pick draws a volume that is in one of the states.
func (m *quotaModel) pick(t *rapid.T, states ...onevolume.State) *owned {
	var list []*owned
	for _, v := range m.volumes {
		if slices.Contains(states, v.state) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		t.Skip("there is none")
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(t, "volume")]
}

func (m *quotaModel) chown(t *rapid.T) {
	v, to := m.pick(t, onevolume.Available, onevolume.Attached, onevolume.Retained), m.owner(t)
	after := *v
	after.uid, after.gid = to.UID, to.GID
	if m.judge(t, m.w.chown(t.Context(), v.id, to), v, after) {
		*v = after
	}
}

// resize grows by a sector or more: limits in MB are held to the byte.
func (m *quotaModel) resize(t *rapid.T) {
	v := m.pick(t, onevolume.Available, onevolume.Retained)
	after := *v
	after.size += onevolume.Size(rapid.IntRange(1, 4096).Draw(t, "sectors")) * 512
	err := m.w.Update(t.Context(), v.id, func(row *onevolume.Volume) error { row.Size = after.size; return nil })
	if m.judge(t, err, v, after) {
		*v = after
	}
}

// attach gives a blank volume to the VM's owner; what is on a retained one
// stays its owner's.
func (m *quotaModel) attach(t *rapid.T) {
	v := m.pick(t, onevolume.Available, onevolume.Retained)
	r := attachNamed(onevolume.VMID(v.id), fmt.Sprint(int(v.id)))
	m.made++
	r.Owner, r.VM.Owner = fmt.Sprintf("run %d.%d", m.run, m.made), m.owner(t)
	after := *v
	after.state = onevolume.Attached
	if v.state == onevolume.Available {
		after.uid, after.gid = r.VM.Owner.UID, r.VM.Owner.GID
	}
	op, _, err := m.w.Reserve(t.Context(), root, r)
	if m.judge(t, err, v, after) {
		m.w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
		*v = after
	}
}

// detach is never refused, even if a volume goes home to who is above a limit.
func (m *quotaModel) detach(t *rapid.T) {
	v := m.pick(t, onevolume.Attached)
	r := detach(onevolume.VMID(v.id), fmt.Sprint(int(v.id)))
	m.made++
	r.Owner, v.state = fmt.Sprintf("run %d.%d", m.run, m.made), onevolume.Available
	if rapid.Bool().Draw(t, "keep") {
		r.Leave, v.state = onevolume.LeaveData, onevolume.Retained
	}
	op, _ := m.w.reserve(t, root, r)
	if v.state == onevolume.Available {
		m.w.record(t, op, nil, onevolume.Note{State: onevolume.Wiping})
	}
	m.w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: v.state})
	home := m.w.volume(t, v.id).Owner
	v.uid, v.gid = home.UID, home.GID
}

func (m *quotaModel) delete(t *rapid.T) {
	v := m.pick(t, onevolume.Available, onevolume.Retained)
	if err := m.w.Delete(t.Context(), v.id, nil); err != nil {
		t.Fatal(err)
	}
	m.volumes = slices.DeleteFunc(m.volumes, func(o *owned) bool { return o == v })
}

// compare holds what is shown to what the volumes add up to.
func (m *quotaModel) compare(t *rapid.T) {
	for _, of := range m.people() {
		u := m.used(of)
		m.w.wantUsed(t, of, u.Volumes, u.Size)
	}
}
