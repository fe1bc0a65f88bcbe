package workflow

import (
	"context"
	"errors"

	"onevolume"
	"onevolume/command"
)

// made says whether the volume was made on an array, which lets in only whom
// it is told to.
func (r *run) made() bool { return r.vol.ArrayID != "" }

// grantStep lets the host in before it logs in, and takes that back when it
// has logged out.
func (r *run) grantStep() step {
	return step{Name: stepGrant, Do: func(ctx context.Context, f *facts) (err error) {
		defer r.leaveVMOn(&err, f.Host)
		if r.proven != nil {
			return nil // the guest has the disk
		}
		h, err := r.on(ctx, f.Host)
		if err != nil {
			return err
		}
		return r.grant(ctx, h)
	}, Undo: func(ctx context.Context, f *facts) error {
		if r.keep {
			return nil
		}
		if r.op.Kind == onevolume.Replug {
			// What was logged in before the replug stays so, and with it the
			// right; a release takes both away.
			h, err := r.on(ctx, r.op.VM.Host)
			if err != nil {
				return err
			}
			if _, in, err := r.loggedIn(ctx, h); err != nil || in {
				return err
			}
		}
		return r.revoke(ctx, f)
	}}
}

// grant has the array let the host in, with credentials that are new. A host
// that is logged in keeps those that it has: they are in its node record, by
// which it comes back after its session broke.
func (r *run) grant(ctx context.Context, h command.Host) error {
	if !r.made() {
		return nil
	}
	own, in, err := r.loggedIn(ctx, h)
	if err != nil || in {
		return err
	}
	name, err := onevolume.ParseIQN(own)
	if err != nil {
		return onevolume.Errorf(onevolume.Refused, "host %s has no iSCSI name that array %s could let in: %w", h.Name(), r.vol.Array, err).
			WithHint("give the host a name of its own in /etc/iscsi/initiatorname.iscsi")
	}
	// No domain has the disk any more where the volume was before, unless both
	// hosts need it.
	for _, other := range r.places() {
		if other != r.op.VM.Host && r.op.Kind != onevolume.Migrate {
			if err := r.logOut(ctx, other); err != nil {
				return err
			}
		}
	}
	r.tell(Event{Text: "having array " + r.vol.Array + " let host " + h.Name() + " in"})
	a, err := r.Access.Grant(ctx, r.op.Ref(), name)
	if err != nil {
		return err
	}
	r.vol.Target.CHAP, r.vol.Identity = a.CHAP, a.Identity
	return nil
}

// loggedIn gives the host's own name and says whether it has a session with
// the volume's target. One that is broken and has no disk is none: it is
// replaced by a new one.
func (r *run) loggedIn(ctx context.Context, h command.Host) (own string, in bool, err error) {
	facts, err := r.Initiator.Survey(ctx, h)
	if err != nil {
		return "", false, err
	}
	for _, s := range facts.Sessions {
		if s.IQN != r.vol.Target.IQN {
			continue
		}
		in = in || s.Working()
		for _, u := range s.Units {
			in = in || u.Name != ""
		}
	}
	return facts.Initiator, in, nil
}

// revoke has the array let nobody in any more, after the hosts have logged
// out.
func (r *run) revoke(ctx context.Context, _ *facts) error {
	r.tell(Event{Text: "having array " + r.vol.Array + " let nobody in"})
	return r.takeRight(ctx, "", r.places()...)
}

// revokeFrom has the array let one host in no more, which has logged out.
func (r *run) revokeFrom(ctx context.Context, host string) error {
	r.tell(Event{Text: "having array " + r.vol.Array + " let host " + host + " in no more"})
	h, err := r.on(ctx, host)
	if err != nil {
		return err
	}
	own, _, err := r.loggedIn(ctx, h)
	if err != nil {
		return err
	}
	name, err := onevolume.ParseIQN(own)
	if err != nil {
		return err
	}
	return r.takeRight(ctx, name, host)
}

// takeRight takes an initiator's right away, or everybody's. An array may show
// the session of a host that died for a while: one that the hosts do not have
// is waited for, and never cut.
func (r *run) takeRight(ctx context.Context, initiator onevolume.IQN, hosts ...string) error {
	err := r.Access.Revoke(ctx, r.op.Ref(), initiator)
	if code := onevolume.CodeOf(err); code != onevolume.Held && code != onevolume.Action { // which it becomes on the way to a client
		return err
	}
	for _, host := range hosts {
		h, lookErr := r.on(ctx, host)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		if _, in, lookErr := r.loggedIn(ctx, h); lookErr != nil || in {
			return errors.Join(err, lookErr)
		}
	}
	return onevolume.Errorf(onevolume.Busy, "%w; host %s has no such session", err, hosts[0]).WithHint("%s", onevolume.HintOf(err))
}

// accessAhead are the steps by which both hosts are let in while a VM moves:
// the first before the host that it goes to is logged in, the other one after
// the host that it came from is logged out.
func (r *run) accessAhead() (grant, revoke step) {
	grant = step{Name: stepGrant, Do: func(ctx context.Context, f *facts) error {
		f.Host = r.op.Destination
		if r.stays() && r.onRecord() {
			return nil
		}
		h, err := r.on(ctx, f.Host)
		if err != nil {
			return err
		}
		return r.grant(ctx, h)
	}, Undo: func(ctx context.Context, _ *facts) error {
		if r.stays() && r.onRecord() {
			return nil
		}
		return r.revokeFrom(ctx, r.op.Destination)
	}}
	revoke = step{Name: stepRevoke, Do: func(ctx context.Context, _ *facts) error {
		if r.stays() {
			return nil
		}
		return r.revokeFrom(ctx, r.op.VM.Host)
	}}
	return grant, revoke
}
