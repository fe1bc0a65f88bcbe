package workflow

import (
	"cmp"
	"context"
	"slices"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

// The names of steps are in journals: whoever takes an operation over finds
// its steps by them.
const (
	stepDomain  = "domain"
	stepGrant   = "grant"
	stepConnect = "connect"
	stepPlug    = "plug"
	stepForce   = "force"
	stepUnplug  = "unplug"
	stepProve   = "prove"
	stepWipe    = "wipe"
	stepRelease = "release"
	stepRevoke  = "revoke"
	stepFence   = "fence"
)

// attachSteps looks the domain up, lets the host in where the volume was made
// on an array, connects it to the target and plugs the proven device in. The domain comes first, so that nothing stands
// between the proof of the device and its plugging. A replug that finds the
// disk in its guest proves it, and does nothing to it.
func (r *run) attachSteps() []step {
	var (
		dom hypervisor.Domain
		dev iscsi.Device
		// These say that connect or plug failed and, as they promise, left
		// things as they were: then there is nothing to take back, unless
		// an earlier owner of the operation did the step before us.
		nothing, unplugged bool
		tried              bool // plug, by us
	)
	steps := []step{
		{Name: stepDomain, Do: func(ctx context.Context, f *facts) (err error) {
			f.Host = r.op.VM.Host
			defer r.leaveVMOn(&err, f.Host)
			if _, err = r.tune(); err != nil {
				return err
			}
			if dom, err = r.runningDomain(ctx); err != nil || r.op.Kind != onevolume.Replug {
				return err
			}
			return r.alreadyThere(ctx, dom)
		}},
		{Name: stepConnect, Do: func(ctx context.Context, f *facts) (err error) {
			defer r.leaveVMOn(&err, f.Host)
			except := dom.Name
			if r.fresh() && !r.driver.Can().Serial {
				except = "" // a disk of the domain that is there already would pass for ours
			}
			dev, err = r.connect(ctx, f.Host, except)
			nothing = err != nil && !dev.Fresh && !cutOff(err) && !r.resumed
			return err
		}, Undo: func(ctx context.Context, f *facts) error {
			if nothing || r.keep {
				return nil
			}
			return r.takeBackConnect(ctx, dev)
		}},
		{Name: stepPlug, Do: func(ctx context.Context, f *facts) error {
			defer r.leaveVM(f.Host)
			tried = true
			err := r.plug(ctx, f, dom, dev)
			code := onevolume.CodeOf(err)
			unplugged = err != nil && !cutOff(err) && code != onevolume.Unknown && code != onevolume.Busy && !r.resumed
			return err
		}, Undo: func(ctx context.Context, f *facts) error {
			if unplugged || r.keep {
				return nil
			}
			// The serial number is ours alone; the path may be another's disk.
			source := ""
			if !r.driver.Can().Serial {
				source = r.source(cmp.Or(dev.Path, f.Disk.Source))
			}
			h, err := r.onVM(ctx, r.op.VM.Host)
			defer r.leaveVM(r.op.VM.Host)
			if err != nil {
				return err
			}
			if err := r.unplug(ctx, h, source); err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
				return err
			}
			// A guest may have had it meanwhile, also one that has ended.
			if r.wasBlank() && (tried || r.proven != nil) && !r.soiled { // else there is a step for that
				return r.blank(ctx, f)
			}
			return nil
		}},
	}
	if r.made() {
		steps = slices.Insert(steps, 1, r.grantStep())
	}
	if r.soiled {
		steps = slices.Insert(steps, len(steps)-1, step{Name: stepWipe, Undo: r.blank})
	}
	return steps
}

// blank takes back what a guest may have written to a volume that was
// blank. One that cannot be written to is as it was.
func (r *run) blank(ctx context.Context, f *facts) error {
	f.Host = r.op.VM.Host
	h, err := r.on(ctx, f.Host)
	if err != nil {
		return err
	}
	dev, err := r.reconnect(ctx, h)
	if err != nil || dev.ReadOnly {
		return err
	}
	return r.wipe(ctx, f, dev)
}

// leaveVMOn gives the lock on the VM back when a step between looking at the
// domain and plugging into it failed.
func (r *run) leaveVMOn(err *error, host string) {
	if *err != nil {
		r.leaveVM(host)
	}
}

// runningDomain looks the VM's domain up and asks that it runs. From then on
// until the disk is plugged, nobody else changes the domain.
func (r *run) runningDomain(ctx context.Context) (hypervisor.Domain, error) {
	r.tell(Event{Text: "looking for the domain of VM " + r.vmName()})
	h, err := r.onVM(ctx, r.op.VM.Host)
	if err != nil {
		return hypervisor.Domain{}, err
	}
	dom, err := r.driver.Domain(ctx, h, r.op.VM)
	if err != nil {
		return dom, err
	}
	if !dom.Running {
		return dom, onevolume.Errorf(onevolume.Action, "domain %s on host %s is not running (%s)", dom.Name, h.Name(), dom.State).
			WithHint("start the VM, then attach again")
	}
	return dom, nil
}

// alreadyThere looks whether the domain to plug into has the disk, and asks
// that no other has it where the volume was before: a VM that moved may have
// left a domain behind that still writes.
func (r *run) alreadyThere(ctx context.Context, dom hypervisor.Domain) error {
	serial, source := onevolume.Serial(r.vol.ID), r.vol.Attachment.Source
	for _, host := range r.places() {
		h, err := r.on(ctx, host)
		if err != nil {
			return err
		}
		if host == r.op.VM.Host {
			if _, r.keep = dom.Find(serial, source); r.keep && r.proven == nil {
				if err := r.prove(ctx, h); err != nil {
					return err
				}
			}
			continue
		}
		old, err := r.driver.Domain(ctx, h, r.op.VM)
		if err != nil && onevolume.CodeOf(err) != onevolume.NotFound {
			return err
		}
		if _, there := old.Find(serial, source); there {
			return onevolume.Errorf(onevolume.Held, "volume %d is a disk of domain %s on host %s, and VM %s is on host %s now",
				r.vol.ID, old.Name, host, r.vmName(), r.op.VM.Host).
				WithHint("two domains must never have one disk: see that the one on host %s ends, then try again", host)
		}
	}
	return nil
}

// connect makes the volume's device appear on the host and proves it. What
// was there before we came may be in use by others, so they are asked.
func (r *run) connect(ctx context.Context, host, except string) (iscsi.Device, error) {
	r.tell(Event{Text: "logging host " + host + " in to " + string(r.vol.Target.IQN)})
	h, err := r.on(ctx, host)
	if err != nil {
		return iscsi.Device{}, err
	}
	var dev iscsi.Device
	if r.proven != nil {
		dev = *r.proven
	} else if dev, err = r.Initiator.Connect(ctx, h, r.vol.Target, r.want()); err != nil {
		return dev, err
	}
	if !dev.Fresh {
		if err := r.unused(ctx, h, except, dev); err != nil {
			return dev, err
		}
	}
	r.note.Host, r.note.Source, r.note.Identity = host, dev.Path, dev.Identity
	return dev, nil
}

// want is what the volume's device must be.
func (r *run) want() iscsi.Want { return iscsi.Want{Size: r.vol.Size, Identity: r.vol.Identity} }

// unused asks that no domain of the host but the given one has the device.
func (r *run) unused(ctx context.Context, h command.Host, except string, dev iscsi.Device) error {
	users, err := r.driver.Users(ctx, h, except, []string{dev.Path, "/dev/" + dev.Name})
	if err != nil {
		return err
	}
	if len(users) > 0 {
		return onevolume.Errorf(onevolume.Held, "volume %d on host %s is a disk of %v already", r.vol.ID, h.Name(), users).
			WithHint("nothing was changed; find out who plugged it, and take it out of %s first", users[0])
	}
	return nil
}

// plug makes the device a disk of the domain.
func (r *run) plug(ctx context.Context, f *facts, dom hypervisor.Domain, dev iscsi.Device) error {
	r.tell(Event{Text: "plugging it into " + dom.Name})
	h, err := r.onVM(ctx, f.Host)
	if err != nil {
		return err
	}
	tune, err := r.tune()
	if err != nil {
		return err
	}
	f.Disk, err = r.driver.Plug(ctx, h, dom, hypervisor.Disk{
		Source: dev.Path, Serial: onevolume.Serial(r.vol.ID), ReadOnly: dev.ReadOnly, Tune: tune,
	})
	if err != nil {
		return err
	}
	r.note.Device, r.note.Serial = f.Disk.Target, f.Disk.Serial
	return nil
}

// tune are the volume's limits. Code: Action where the hypervisor keeps none:
// a limit that is on record and not in force would be a lie.
func (r *run) tune() (onevolume.IOTune, error) {
	tune, err := r.vol.IOTune()
	if err == nil && tune != (onevolume.IOTune{}) && !r.driver.Can().IOTune {
		err = onevolume.Errorf(onevolume.Action, "volume %d has limits (%s), and the hypervisor driver %s keeps none", r.vol.ID, tune, r.driver.Name()).
			WithHint("attach another volume, or have an administrator take the limits off: onevolume update %d with each of them 0", r.vol.ID)
	}
	return tune, err
}

// unplug takes the disk out of the domain and waits until the guest lets go.
// One that is to be forced is asked once all the same: what it lets go of in
// order, it loses nothing of.
func (r *run) unplug(ctx context.Context, h command.Host, source string) error {
	d := hypervisor.Disk{Serial: onevolume.Serial(r.vol.ID), Source: source}
	if !r.force {
		return r.driver.Unplug(ctx, h, r.op.VM, d, r.Limits.Unplug)
	}
	f, err := forcer(r.driver)
	if err != nil {
		return err
	}
	if err = r.driver.Unplug(ctx, h, r.op.VM, d, 0); onevolume.CodeOf(err) == onevolume.Held {
		r.tell(Event{Text: "the guest has not let go, and is made to"})
		err = f.ForceUnplug(ctx, h, r.op.VM, d, r.Limits.Unplug)
	}
	return err
}

// forcer is the driver as one that can take a disk from a guest.
func forcer(d hypervisor.Driver) (hypervisor.Forcer, error) {
	f, can := d.(hypervisor.Forcer)
	if !can {
		return nil, onevolume.Errorf(onevolume.Invalid, "the hypervisor driver %s has no way to take a disk from a guest by force", d.Name()).
			WithHint("detach without it")
	}
	return f, nil
}

// source is what the volume's disk is known by where disks carry no serial
// number: what this run saw, or an earlier owner noted before it plugged.
func (r *run) source(seen string) string { return cmp.Or(seen, r.vol.Attachment.Source) }

// fresh says that nobody before this run can have plugged the volume for its
// operation.
func (r *run) fresh() bool { return r.op.Kind == onevolume.Attach && !r.resumed }

// takeBackConnect logs the host out again. When it is not certain that the
// device is there through us alone, whoever may use it is asked for; a device
// in use is not ours to remove.
func (r *run) takeBackConnect(ctx context.Context, dev iscsi.Device) error {
	host := r.op.VM.Host
	h, err := r.on(ctx, host)
	if err != nil {
		return err
	}
	if !dev.Fresh {
		err = r.release(ctx, h)
	} else {
		// Nobody has written to it, so it goes also when the target went
		// away and nothing can be flushed.
		err = r.Initiator.ReleaseForced(ctx, h, r.vol.Target)
	}
	if onevolume.CodeOf(err) == onevolume.Held {
		r.tell(Event{Text: "left on host " + host + ": " + err.Error()})
		return nil
	}
	return err
}

// release takes the device off the host and logs it out of the target, after
// asking that no domain has the device as a disk.
func (r *run) release(ctx context.Context, h command.Host) error {
	found, err := r.Initiator.Find(ctx, h, r.vol.Target)
	if err != nil {
		return err
	}
	for _, dev := range found {
		if err := r.unused(ctx, h, "", dev); err != nil {
			return err
		}
	}
	return r.Initiator.Release(ctx, h, r.vol.Target)
}
