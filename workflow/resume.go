package workflow

import (
	"context"
	"errors"

	"onevolume"
	"onevolume/command"
	"onevolume/saga"
)

// Resume carries on an operation whose owner died, or that an administrator
// has reopened. The caller has taken it over: op has the caller's generation.
// Unless op.Way says which way to go, what is true on the host decides, not
// what the journal says: an attach whose disk is in the guest is completed,
// any other is undone; a detach, a migration, a fence and a resize are carried on, a
// release is given up. An error with the code Unknown
// says that it must be tried again later; everything else is final.
func (e *Engine) Resume(ctx context.Context, op onevolume.Operation, vol onevolume.Volume, journal []onevolume.Entry) (Outcome, error) {
	driver, err := e.Driver(op.VM)
	r := e.newRun(driver)
	defer r.close()
	r.op, r.vol, r.resumed = op, vol, true
	if err != nil {
		return r.end(ctx, &saga.Stuck{Step: "resume", Cause: err})
	}
	return r.underLease(ctx, func(ctx context.Context) error {
		story, err := r.read(journal)
		if err != nil {
			return &saga.Stuck{Step: "resume", Cause: err}
		}
		r.committed = story.Committed
		forward, err := r.goOn(ctx, story)
		if err != nil {
			return &saga.Stuck{Step: "resume", Cause: err}
		}
		if story, err = r.read(journal); err != nil { // with the steps as they are now
			return &saga.Stuck{Step: "resume", Cause: err}
		}
		r.facts = story.State
		steps, err := r.steps()
		g := r.saga(steps)
		switch {
		case err != nil:
			return &saga.Stuck{Step: "resume", Cause: err}
		case forward:
			return g.Forward(ctx, &story, &r.facts)
		case r.plugged:
			story.Reached = len(steps) - 1
		}
		cause := errors.New("its owner died before the disk was in the guest")
		if op.Kind == onevolume.Release {
			cause = errors.New("its owner died before the host was logged out")
		}
		if op.Kind == onevolume.Migrate {
			cause = errors.New("the VM had not moved")
		}
		if op.Way == onevolume.Back {
			cause = errors.New("an administrator had it taken back")
		}
		return g.Back(ctx, &story, cause)
	})
}

// read makes a story of the journal.
func (r *run) read(journal []onevolume.Entry) (saga.Story[facts], error) {
	for _, e := range journal {
		switch {
		case e.Step == stepForce:
			r.force = true
		case e.Step == stepPlug:
			r.begun = e.Event != onevolume.UndoFinished
			r.undone = e.Event == onevolume.UndoStarted || e.Event == onevolume.UndoFailed
			r.done = r.begun && (r.done || e.Event == onevolume.StepSucceeded)
		case e.Step == stepWipe && r.op.Kind == onevolume.Attach && e.Event != onevolume.UndoFinished:
			r.soiled = true
		}
	}
	steps, err := r.steps()
	if err != nil {
		return saga.Story[facts]{}, err
	}
	return r.saga(steps).Read(journal)
}

// goOn looks at the host and says whether the run goes on or back. Its error
// says that this cannot be told, or cannot be.
func (r *run) goOn(ctx context.Context, story saga.Story[facts]) (bool, error) {
	if r.op.Kind == onevolume.Detach {
		if r.op.Way == onevolume.Back {
			return false, r.mayKeep(ctx)
		}
		return true, nil
	}
	if r.op.Kind == onevolume.Fence {
		return r.op.Way != onevolume.Back, nil
	}
	if r.op.Kind == onevolume.Migrate {
		return r.goesOn(ctx)
	}
	if r.op.Kind == onevolume.Grow {
		return r.growsOn(ctx)
	}
	if r.op.Kind == onevolume.Release {
		// What was done of it harms nobody, and the VM may run by now: whoever
		// wants it still asks again.
		return r.op.Way == onevolume.Forward, nil
	}
	h, err := r.on(ctx, r.op.VM.Host)
	if err != nil {
		return false, err
	}
	dom, err := r.driver.Domain(ctx, h, r.op.VM)
	if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
		return false, err
	}
	source := story.State.Disk.Source
	if !r.driver.Can().Serial {
		source = r.source(source)
	}
	_, r.plugged = dom.Find(onevolume.Serial(r.vol.ID), source)
	r.keep = r.plugged && r.op.Kind == onevolume.Replug
	switch {
	case !r.plugged:
		r.soil(r.done || r.undone || r.begun && (r.op.Way == onevolume.Back || !dom.Running))
		return r.op.Way == onevolume.Forward, nil // a domain that is not there, its first step tells
	case r.op.Way == onevolume.Back:
		r.soil(true)
		return false, nil
	}
	err = r.prove(ctx, h)
	if err == nil {
		return true, nil
	}
	// When it cannot be proven now, the guest keeps its disk; when it is the
	// wrong device, it does not, unless it had it before.
	if transient(&saga.Stuck{Cause: err}) {
		return false, err
	}
	if !r.keep {
		r.tell(Event{Text: "the disk is taken out again: " + err.Error()})
	}
	r.soil(onevolume.CodeOf(err) != onevolume.Mismatch)
	return false, nil
}

// soil notes that a guest may have written to the volume that an attach gave
// it. One that was blank is wiped before it may be anybody else's.
func (r *run) soil(written bool) {
	r.soiled = r.soiled || written && r.wasBlank()
}

// wasBlank says whether the run gives a guest a volume with nothing on it.
func (r *run) wasBlank() bool {
	return r.op.Kind == onevolume.Attach && r.op.Prior == onevolume.Available
}

// prove looks at the device of a disk that the guest has. Connecting again
// could make the kernel forget it, so it is only looked at.
func (r *run) prove(ctx context.Context, h command.Host) error {
	dev, err := r.Initiator.Prove(ctx, h, r.vol.Target, r.want())
	if err == nil {
		r.proven = &dev
	}
	return err
}

// mayKeep says why a detach cannot be taken back, if so: the guest has let go
// of the disk.
func (r *run) mayKeep(ctx context.Context) error {
	there := false
	if !r.committed {
		var err error
		if there, err = r.inGuest(ctx); err != nil {
			return err
		}
	}
	if there {
		return nil
	}
	return onevolume.Errorf(onevolume.Action, "VM %s has let go of volume %d: the detach cannot be taken back any more", r.vmName(), r.vol.ID).
		WithHint("carry it on: onevolume resume %d", r.op.ID)
}
