package iscsi

import (
	"context"
	"slices"

	"onevolume"
	"onevolume/command"
)

// Rescan has the kernel ask the logical unit for its size again in every
// session in which it has it, and no other unit, and proves each of its
// devices as Prove does; w.Size is the size that all of them must show, to the
// byte. It may be repeated, and does no harm to a device that is in use. It
// gives the device of the session that works best. Codes as for Prove.
func (i *Initiator) Rescan(ctx context.Context, h command.Host, t onevolume.Target, w Want) (Device, error) {
	c := &call{Initiator: i, h: h, t: t, w: w}
	rep, err := i.look(ctx, h, t, true)
	if err != nil {
		return Device{}, err
	}
	var sessions []int
	for _, s := range rep.sessions {
		has := slices.ContainsFunc(s.units, func(u unit) bool { return u.disk != "" && c.ours(u.lun) })
		switch {
		case !has:
		case s.state != loggedIn:
			return Device{}, c.lost(&s)
		default:
			sessions = append(sessions, s.id)
		}
	}
	if len(sessions) == 0 {
		return Device{}, c.errorf(onevolume.Refused, "the host has no device of it").
			WithHint("look which sessions host %s has: iscsiadm -m session -P 3", h.Name())
	}
	for _, id := range sessions {
		if _, err = c.run(ctx, "rescan", i.prepareCmd(t, id, nothing)); err != nil {
			return Device{}, err
		}
		if c.sudoRefused() {
			return Device{}, c.denied()
		}
	}
	if rep, err = c.run(ctx, "look at", lookCmd(t, false)); err != nil {
		return Device{}, err
	}
	for _, id := range sessions {
		if dev, err := c.judge(rep, id); err != nil {
			return dev, err
		}
	}
	best := sessions[0]
	if s := rep.best(t); s != nil && slices.Contains(sessions, s.id) {
		best = s.id
	}
	return c.judge(rep, best)
}

// ours says whether a number that the kernel shows is the unit's.
func (c *call) ours(lun int) bool {
	return lun == int(c.t.LUN) || c.t.LUN >= firstFlat && lun == int(c.t.LUN)|flat
}
