package inventory

import (
	"context"
	"strings"

	"onevolume"
)

// What administrators do about volumes whose state is not what is true, and
// what is kept of everybody's doings.

func adminsOnly(who onevolume.Caller, hint string) error {
	if who.IsAdmin() {
		return nil
	}
	return onevolume.Errorf(onevolume.Forbidden, "User [%d] : Not authorized to perform ADMIN VOLUME.", who.UID).WithHint("%s", hint)
}

// Running lists the operations that have not ended, to administrators.
func (s *Service) Running(ctx context.Context, who onevolume.Caller) ([]onevolume.Operation, error) {
	if err := adminsOnly(who, "only oneadmin's group sees everybody's operations"); err != nil {
		return nil, err
	}
	return s.Store.Running(ctx)
}

// Recover writes an administrator's word on a volume into the inventory. It
// touches no host. Codes: Forbidden, NotFound, Invalid, Busy (an operation
// runs on the volume).
func (s *Service) Recover(ctx context.Context, who onevolume.Caller, id onevolume.VolumeID, r onevolume.Recovery) error {
	if err := adminsOnly(who, "only oneadmin's group says what is true of a volume"); err != nil {
		return err
	}
	bad := func(format string, args ...any) *onevolume.Error {
		return onevolume.Errorf(onevolume.Invalid, format, args...)
	}
	r.Reason = strings.TrimSpace(r.Reason)
	switch r.State {
	case onevolume.Available, onevolume.Retained:
		r.Attachment = onevolume.Attachment{VM: onevolume.NoVM}
	case onevolume.Attached:
		if r.Attachment.VM < 0 {
			return bad("ATTACHED needs the VM that the volume is in")
		}
	case onevolume.Failed:
		if r.Reason == "" {
			return bad("ERROR needs a reason: whoever finds the volume so must know what to do")
		}
	default:
		return bad("a volume cannot be recovered to %q", r.State).WithHint("available, retained, attached and error can be said")
	}
	for name, text := range map[string]string{"HOST": r.Attachment.Host, "DEVICE": r.Attachment.Device,
		"SOURCE": r.Attachment.Source, "SERIAL": r.Attachment.Serial} {
		if err := checkText(name, text); err != nil {
			return err
		}
	}
	v, err := s.get(ctx, who, id, onevolume.Admin)
	if err != nil {
		return err
	}
	if r.State == onevolume.Attached {
		if r.Attachment, err = completed(r.Attachment, &v); err != nil {
			return err
		}
	}
	return s.Store.Recover(ctx, id, r)
}

// completed is an attachment as it is to be recorded. Of a volume that is on
// record in that VM already, what is not given stays.
func completed(a onevolume.Attachment, v *onevolume.Volume) (onevolume.Attachment, error) {
	if a == (onevolume.Attachment{VM: v.Attachment.VM}) && v.Attachment.Host != "" {
		return v.Attachment, nil
	}
	if a.Host == "" {
		return a, onevolume.Errorf(onevolume.Invalid, "ATTACHED needs the host of VM %d", a.VM).WithHint("say --host")
	}
	if a.Serial == "" {
		a.Serial = onevolume.Serial(v.ID)
	}
	return a, nil
}

// maxDeeds bounds one answer; History.Before asks for what came earlier.
const maxDeeds = 1000

// History lists deeds, the newest first: their own to callers, those on
// volumes that they may MANAGE, and all to administrators.
func (s *Service) History(ctx context.Context, who onevolume.Caller, h onevolume.History) ([]onevolume.Deed, error) {
	h.Viewer = who
	if h.Limit <= 0 || h.Limit > maxDeeds {
		h.Limit = maxDeeds
	}
	return s.Store.History(ctx, h)
}

// Audit keeps a deed that no change of the inventory keeps: a refusal. What
// an operation is about is added to it.
func (s *Service) Audit(ctx context.Context, d onevolume.Deed) error {
	if d.Operation > 0 && d.Volume == onevolume.NoVolume {
		if op, err := s.Store.Operation(ctx, d.Operation); err == nil {
			d.Volume, d.VM = op.Volume, op.VM.ID
		}
	}
	return s.Store.Audit(ctx, d)
}

// Hold is why no volume may be attached now; empty when they may.
func (s *Service) Hold(ctx context.Context) (reason string, err error) { return s.Store.Hold(ctx) }

// Lift ends the hold, by an administrator's word.
func (s *Service) Lift(ctx context.Context, who onevolume.Caller) error {
	if err := adminsOnly(who, "only oneadmin's group lifts the hold, once onevolume doctor has found everything well"); err != nil {
		return err
	}
	return s.Store.Lift(ctx)
}
