package iscsi

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"onevolume"
	"onevolume/command"
)

// Connect makes the volume's device appear on the host and proves that it is
// the volume: the target's name, the LUN, the exact size, and the serial
// number and WWID as recorded. It uses a session that is there, and otherwise
// logs in at the first portal that lets it. Calling it again gives the same
// device again.
//
// Codes: Mismatch (not the volume; both values are shown), Held (in use on
// the host itself), Refused (by the target, the host or its sudo),
// Unreachable (no portal, or the host), Busy, Invalid, and Unknown (the
// connection to the host broke: look with Find). What a failed Connect
// changed has been changed back, except after Unknown and Held.
func (i *Initiator) Connect(ctx context.Context, h command.Host, t onevolume.Target, w Want) (Device, error) {
	c := &connecting{call: call{Initiator: i, h: h, t: t, w: w}}
	dev, err := c.connect(ctx)
	if err != nil {
		return dev, c.undo(context.WithoutCancel(ctx), err)
	}
	return dev, nil
}

// connecting is a Connect under way, with what must be undone.
type connecting struct {
	call
	session int  // the one in use; 0 is no session's number
	made    bool // we made the session
	fresh   bool // we made the device appear
}

func (c *connecting) connect(ctx context.Context) (Device, error) {
	rep, err := c.appear(ctx)
	if err != nil {
		return Device{}, err
	}
	dev, err := c.judge(rep, c.session)
	if twin := c.twin(rep); err != nil && twin != nil {
		if rep, err = c.prepare(ctx, twin, nothing); err != nil {
			return dev, err
		}
		dev, err = c.judge(rep, c.session)
	}
	if c.locked(rep) {
		if rep, err = c.prepare(ctx, rep.byID(c.session), permit); err != nil {
			return dev, err
		}
		dev, err = c.judge(rep, c.session)
	}
	if onevolume.CodeOf(err) != onevolume.Mismatch && !c.locked(rep) {
		return dev, err
	}
	// What the kernel remembers may be of a unit that had this number
	// before. It is made to forget, and looks once more.
	if rep, err = c.prepare(ctx, rep.byID(c.session), purge); err != nil {
		return dev, err
	}
	return c.judge(rep, c.session)
}

// twin gives another session at the same portal when udev's link, which can
// only lead to one of the disks of such sessions, leads to none of ours: then
// it leads to the other's.
func (c *connecting) twin(r *report) *session {
	d, mine := r.in(c.session, c.t.LUN), r.byID(c.session)
	if d == nil || d.link != "" || mine == nil {
		return nil
	}
	for i := range r.sessions {
		if s := &r.sessions[i]; s.id != mine.id && s.portal == mine.portal && s.state == loggedIn {
			return s
		}
	}
	return nil
}

// locked says whether a device that was there before us may not be opened.
// libvirt leaves it to root when a domain that had it lets go of it (its
// dynamic_ownership); udev sets the group again when it is told to add it again.
// A device that appeared anew would have the rights too, but also the name of
// one that died in a domain, which libvirt refuses there.
func (c *connecting) locked(r *report) bool {
	d := r.in(c.session, c.t.LUN)
	return d != nil && !c.fresh && d.read > 0 && strings.Contains(c.said(), "Permission denied")
}

// appear brings the device about, by the session that is there or a new one.
// Most often there is none, so the first question is a login at once if so.
func (c *connecting) appear(ctx context.Context) (*report, error) {
	if err := check(c.t); err != nil {
		return nil, err
	}
	rep, err := c.run(ctx, "log in to", c.loginCmd(c.t, c.t.Portals[0], true))
	switch {
	case err != nil:
		return nil, err
	case rep.tried("probe") || rep.tried("new"):
		return c.login(ctx, rep)
	}
	if err := c.held(rep); err != nil {
		return nil, err
	}
	if s := rep.best(c.t); s != nil {
		return c.prepare(ctx, s, nothing)
	}
	return c.login(ctx, nil)
}

// prepare makes the unit appear in a session that is there.
func (c *connecting) prepare(ctx context.Context, s *session, do chore) (*report, error) {
	c.session = s.id
	rep, err := c.run(ctx, "prepare", c.prepareCmd(c.t, s.id, do))
	if err != nil {
		return nil, err
	}
	c.fresh = c.fresh || len(rep.fresh) > 0
	if c.sudoRefused() {
		return nil, c.denied()
	}
	if rep.stuck != "" {
		return nil, c.errorf(onevolume.Held, "the kernel would not forget the device %s", rep.stuck).
			WithHint("look at dmesg on host %s", c.h.Name())
	}
	now := rep.byID(s.id)
	if now != nil && now.state != loggedIn && do == nothing && abandoned(now) {
		// Nobody has a disk there: a new session harms no one.
		if err := c.leave(ctx, now); err != nil {
			return nil, err
		}
		return c.login(ctx, nil)
	}
	return rep, nil
}

// abandoned says whether the session has no disk at all.
func abandoned(s *session) bool {
	for _, u := range s.units {
		if u.disk != "" {
			return false
		}
	}
	return true
}

// leave logs out of a session that is lost.
func (c *connecting) leave(ctx context.Context, s *session) error {
	c.session = 0
	_, err := c.release(ctx, orderly, []int{s.id}, []onevolume.Portal{s.portal})
	return err
}

// login tries the portals in their order; rep is what came of the first, if
// that was tried already. A script that fails leaves nothing behind.
func (c *connecting) login(ctx context.Context, rep *report) (*report, error) {
	var failed []string
	var last *onevolume.Error
	for n, p := range c.t.Portals {
		if n > 0 || rep == nil {
			var err error
			if rep, err = c.run(ctx, "log in to", c.loginCmd(c.t, p, false)); err != nil {
				return nil, err
			}
		}
		if s := sessionAt(rep, p); s != nil {
			c.session = s.id
			c.made = s.id == rep.made || rep.made == 0 && rep.tried("login") && rep.code("login") == 0
			c.fresh = len(rep.fresh) > 0
			if rep.in(s.id, c.t.LUN) == nil && len(rep.fresh) == 0 {
				// The script did not know the session by its portal.
				return c.prepare(ctx, s, nothing)
			}
			return rep, nil
		}
		o, why := c.refusal(rep)
		failed = append(failed, fmt.Sprintf("portal %s: %s", p, why))
		last = c.errorf(o.code, "%s", strings.Join(failed, "; ")).WithHint("%s", o.hint)
		if o.stop {
			break
		}
	}
	return nil, last
}

// sessionAt gives the working session at the portal.
func sessionAt(r *report, p onevolume.Portal) *session {
	return r.best(onevolume.Target{Portals: []onevolume.Portal{p}})
}

// refusal says why a login script came to no session.
func (c *connecting) refusal(rep *report) (outcome, string) {
	if c.sudoRefused() {
		return outcome{code: onevolume.Refused, stop: true, hint: hintSudo}, "sudo refuses the user" + c.said()
	}
	for _, d := range slices.Backward(rep.did) {
		switch {
		case d.code == 0 || d.what == "login" && d.code == exitSessExists:
			continue
		case d.what == "probe":
			return meaning(exitTransTimeout), "nobody listens there" + c.said()
		case d.what == "set":
			return outcome{code: onevolume.Refused, stop: true, hint: "the record data base must be in /etc/iscsi/nodes or /var/lib/iscsi/nodes"},
				"the settings could not be written to the node record" + c.said()
		case d.what == "hidden":
			return outcome{code: onevolume.Refused, hint: "delete it: iscsiadm -m node -T " + string(c.t.IQN) + " -o delete"},
				"another node record of this portal goes before ours"
		case d.what == "forget":
			continue
		}
		o := meaning(d.code)
		why := o.text
		if rep.initiator != "" {
			why += "; the host is " + rep.initiator
		}
		if d.what != "login" {
			why += " (making the node record)"
		}
		return o, why + c.said()
	}
	return outcome{code: onevolume.Unreachable, hint: hintPortal}, "logged in, but no session is there" + c.said()
}

// undo takes back what a Connect that failed has done.
func (c *connecting) undo(ctx context.Context, cause error) error {
	switch code := onevolume.CodeOf(cause); {
	case code == onevolume.Unknown || c.session == 0:
		return cause
	case code == onevolume.Held:
		// Something on the host took hold of the disk as it appeared, and
		// would be left without it.
		return cause
	case c.made:
		_, err := c.release(ctx, forced, []int{c.session}, c.t.Portals)
		return c.join(cause, err)
	case c.fresh:
		_, err := c.release(ctx, diskOnly, []int{c.session}, nil)
		return c.join(cause, err)
	}
	return cause
}
