package iscsi

import (
	"context"
	"slices"

	"onevolume"
	"onevolume/command"
)

// Release takes the volume's devices off the host: it flushes each, makes the
// kernel forget it, logs out of the sessions that no other disk needs, and
// deletes the node records of the target's portals. The caller has seen to it
// that no guest has the device; what the host itself holds is refused with
// the code Held and left as it is. What is gone already is success, so it may
// be called at any time and again.
//
// Unreachable also means that the disk's last writes do not get through: it
// stays, and may be tried again or, when its data does not matter any more,
// given to ReleaseForced.
func (i *Initiator) Release(ctx context.Context, h command.Host, t onevolume.Target) error {
	return i.releaseAll(ctx, h, t, orderly)
}

// ReleaseForced is Release for a device whose guest is gone for good: it goes
// on when the last writes cannot be flushed, and they are lost then.
func (i *Initiator) ReleaseForced(ctx context.Context, h command.Host, t onevolume.Target) error {
	return i.releaseAll(ctx, h, t, forced)
}

func (i *Initiator) releaseAll(ctx context.Context, h command.Host, t onevolume.Target, mode string) error {
	c := &call{Initiator: i, h: h, t: t}
	rep, err := i.look(ctx, h, t, true)
	if err != nil {
		return err
	}
	if err := c.held(rep); err != nil {
		return err
	}
	// A session at another portal may be from before the volume's portals
	// changed; it is ours if our disk is on it.
	var ids []int
	portals := slices.Clone(t.Portals)
	for _, s := range rep.sessions {
		ours := slices.Contains(t.Portals, s.portal)
		if !ours && rep.in(s.id, t.LUN) == nil {
			continue
		}
		ids = append(ids, s.id)
		if !ours && s.portal.IsValid() {
			portals = append(portals, s.portal)
		}
	}
	_, err = c.release(ctx, mode, ids, portals)
	return err
}

// release runs the script and judges what it did.
func (c *call) release(ctx context.Context, mode string, ids []int, portals []onevolume.Portal) (*report, error) {
	rep, err := c.run(ctx, "release", c.releaseCmd(c.t, mode, ids, portals))
	if err != nil {
		return nil, err
	}
	if c.sudoRefused() {
		return rep, c.denied()
	}
	if code := rep.code("flush"); code != 0 && mode == orderly && len(rep.disks) > 0 {
		why := "could not be flushed"
		if code == exitTimedOut {
			why = "could not be flushed within " + c.opt.FlushTimeout.String()
		}
		return rep, c.errorf(onevolume.Unreachable, "%s %s%s: it stays, since its last writes would be lost", rep.disks[0].name, why, c.said()).
			WithHint("see that the target answers, then try again")
	}
	if rep.stuck != "" || rep.tried("delete") {
		return rep, c.errorf(onevolume.Held, "the kernel would not forget the device %s%s", rep.stuck, c.said()).
			WithHint("look at dmesg on host %s, then try again", c.h.Name())
	}
	for _, id := range ids {
		if rep.byID(id) != nil && !slices.Contains(rep.kept, id) {
			return rep, c.errorf(onevolume.Refused, "session %d did not end: %s%s", id, logoutText(rep.code("logout")), c.said()).
				WithHint("try again; iscsiadm -m session -P 3 on host %s shows what it waits for", c.h.Name())
		}
	}
	for _, d := range rep.did {
		// 15: a session of somebody else at the same portal uses it.
		if d.what == "forget" && d.code != 0 && d.code != exitNoObjects && d.code != exitSessExists {
			o := meaning(d.code)
			return rep, c.errorf(o.code, "the node record could not be deleted: %s%s", o.text, c.said()).WithHint("%s", o.hint)
		}
	}
	return rep, nil
}

// logoutText says what a logout ended with.
func logoutText(code int) string {
	switch code {
	case 0:
		return "iscsiadm says that it has"
	case exitNoObjects, exitSessNotFound:
		return "iscsid does not know it"
	case exitLogout:
		return "the logout failed"
	}
	return meaning(code).text
}
