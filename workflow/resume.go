package workflow

import (
	"context"
	"errors"

	"onevolume"
	"onevolume/saga"
)

// Resume carries on an operation whose owner died. The caller has taken it
// over: op has the caller's generation. What is true on the host decides, not
// what the journal says: an attach whose disk is in the guest is completed,
// any other is undone; a detach is carried on. An error with the code
// Unknown says that it must be tried again later; everything else is final.
func (e *Engine) Resume(ctx context.Context, op onevolume.Operation, vol onevolume.Volume, journal []onevolume.Entry) (Outcome, error) {
	driver, err := e.Driver(op.VM)
	r := e.newRun(driver)
	defer r.close()
	r.op, r.vol, r.resumed = op, vol, true
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "resume", Cause: err})
	}
	steps := r.attachSteps
	if op.Kind == onevolume.Detach {
		steps = r.detachSteps
	}
	g := r.saga(steps())
	story, err := g.Read(journal)
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "resume", Cause: err})
	}
	r.committed = story.Committed
	return r.underLease(ctx, func(ctx context.Context) error {
		forward, err := r.goOn(ctx, story)
		if err != nil {
			return &saga.Stuck{Step: "resume", Cause: err}
		}
		r.facts = story.State
		if forward {
			return g.Forward(ctx, &story, &r.facts)
		}
		return g.Back(ctx, &story, errors.New("its owner died before the disk was in the guest"))
	})
}

// goOn looks at the host and says whether the run goes on or back. Its error
// says that this cannot be told.
func (r *run) goOn(ctx context.Context, story saga.Story[facts]) (bool, error) {
	switch {
	case r.op.Kind == onevolume.Detach:
		return true, nil
	case story.Undoing:
		return false, nil
	}
	h, err := r.on(ctx, r.op.VM.Host)
	if err != nil {
		return false, err
	}
	dom, err := r.driver.Domain(ctx, h, r.op.VM)
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if _, plugged := dom.Find(onevolume.Serial(r.vol.ID), story.State.Disk.Source); !plugged {
		return false, nil
	}
	// Connecting again could make the kernel forget a device that a guest
	// has, so it is only looked at. When that cannot be done now, the guest
	// keeps its disk; when it is the wrong device, it does not.
	dev, err := r.Initiator.Prove(ctx, h, r.vol.Target, r.want())
	if err == nil {
		r.proven = &dev
		return true, nil
	}
	if transient(&saga.Stuck{Cause: err}) {
		return false, err
	}
	r.tell(Event{Text: "the disk is taken out again: " + err.Error()})
	return false, nil
}
