package workflow

import (
	"context"
	"slices"
	"strings"
	"time"

	"onevolume"
	"onevolume/command"
	"onevolume/hypervisor"
	"onevolume/iscsi"
	"onevolume/saga"
)

const stepMove = "move"

// A VM that shall be over with moving and is on both hosts, or on one that
// does not answer, is looked at so often, for so long; then whoever sweeps
// comes back to it.
const (
	lookPause = 2 * time.Second
	lookTime  = time.Minute
)

// migrateSteps get the volume ready where the VM goes to, wait until it is
// there, and leave the host that it came from. A VM that stays gets the other
// host cleaned, and no other way back touches the host where it runs. Both
// hosts may have the device meanwhile: only one of them has a guest that runs.
func (r *run) migrateSteps() []step {
	steps := []step{
		{Name: stepDomain, Do: r.mayMove},
		{Name: stepConnect, Do: r.connectAhead, Undo: r.cleanAhead},
		{Name: stepMove, Do: r.moved, NoReturn: true},
		{Name: stepRelease, Do: func(ctx context.Context, f *facts) error {
			if r.stays() {
				return nil
			}
			return r.logOut(ctx, r.op.VM.Host)
		}},
	}
	if r.made() {
		grant, revoke := r.accessAhead()
		steps = append(slices.Insert(steps, 1, grant), revoke)
	}
	return steps
}

// stays says that the VM is restored on the host where it was saved.
func (r *run) stays() bool { return r.op.Destination == r.op.VM.Host }

// onRecord says that a host has the volume on record. The saved VM of one that
// is on none, since its host was fenced, comes from where it goes to.
func (r *run) onRecord() bool { return r.vol.Attachment.Host != "" }

// whereabouts are where a VM has a domain with the volume. The host that it
// comes from is looked at first: a domain leaves that when it is whole on the
// other, so one that is on neither is on neither.
type whereabouts struct {
	from, to               hypervisor.Domain
	fromDisk, toDisk       hypervisor.Disk
	fromThere, toThere     bool // a domain is there
	fromHasDisk, toHasDisk bool // it has the disk
}

// arrived says that the VM is where it was to go to, with its disk, and
// nowhere else.
func (w whereabouts) arrived(stays bool) bool {
	return w.toThere && w.to.Running && w.toHasDisk && (stays || !w.fromThere)
}

// where looks at both hosts, and takes no lock for that.
func (r *run) where(ctx context.Context) (w whereabouts, err error) {
	locked := r.unlocked
	r.unlocked = true
	defer func() { r.unlocked = locked }()
	if w.from, w.fromDisk, w.fromThere, w.fromHasDisk, err = r.domainOn(ctx, r.op.VM.Host); err != nil {
		return w, err
	}
	if r.stays() {
		w.to, w.toDisk, w.toThere, w.toHasDisk = w.from, w.fromDisk, w.fromThere, w.fromHasDisk
		return w, nil
	}
	w.to, w.toDisk, w.toThere, w.toHasDisk, err = r.domainOn(ctx, r.op.Destination)
	return w, err
}

func (r *run) domainOn(ctx context.Context, host string) (dom hypervisor.Domain, disk hypervisor.Disk, there, has bool, err error) {
	h, err := r.on(ctx, host)
	if err != nil {
		return dom, disk, false, false, err
	}
	dom, err = r.driver.Domain(ctx, h, r.op.VM)
	if onevolume.CodeOf(err) == onevolume.NotFound {
		return dom, disk, false, false, nil
	}
	if err != nil {
		return dom, disk, false, false, hostError(err)
	}
	disk, has = dom.Find(onevolume.Serial(r.vol.ID), r.vol.Attachment.Source)
	return dom, disk, true, has, nil
}

// mayMove asks that the VM has the disk where it runs. One that is saved runs
// nowhere.
func (r *run) mayMove(ctx context.Context, f *facts) error {
	f.Host = r.op.VM.Host
	r.tell(Event{Text: "looking where VM " + r.vmName() + " is"})
	w, err := r.where(ctx)
	if err != nil {
		return err
	}
	if w.fromThere && !w.fromHasDisk && !w.toHasDisk {
		return onevolume.Errorf(onevolume.Action, "domain %s on host %s does not have volume %d, which is on record there", w.from.Name, r.op.VM.Host, r.vol.ID).
			WithHint("it is plugged again by itself: wait until onevolume doctor finds nothing, then move the VM")
	}
	return nil
}

// connectAhead logs the host in that the VM goes to and proves the device
// there, by the path that the VM's definition names.
func (r *run) connectAhead(ctx context.Context, f *facts) error {
	host := r.op.Destination
	f.Host = host
	w, err := r.where(ctx)
	if err != nil {
		return err
	}
	path := r.vol.Attachment.Source
	if w.fromHasDisk {
		path = w.fromDisk.Source
	}
	target := r.vol.Target
	for _, p := range target.Portals {
		// The path names a portal, and another would make another path.
		one := target
		one.Portals = []onevolume.Portal{p}
		if r.Initiator.Path(one) == path {
			target = one
			break
		}
	}
	r.tell(Event{Text: "logging host " + host + " in to " + string(target.IQN)})
	h, err := r.on(ctx, host)
	if err != nil {
		return err
	}
	var dev iscsi.Device
	if w.toHasDisk {
		// To connect anew could make the kernel forget a device in use.
		dev, err = r.Initiator.Prove(ctx, h, r.vol.Target, r.want())
	} else if err = r.otherNames(ctx, h); err == nil {
		dev, err = r.Initiator.Connect(ctx, h, target, r.want())
	}
	if err != nil {
		return err
	}
	if !dev.Fresh {
		if err := r.unused(ctx, h, w.to.Name, dev); err != nil {
			return err
		}
	}
	if dev.Path != path {
		return onevolume.Errorf(onevolume.Refused, "volume %d is %s on host %s, and VM %s knows it as %s", r.vol.ID, dev.Path, host, r.vmName(), path).
			WithHint("host %s reaches the target by another portal: see that it reaches the one in the VM's path, and log it out of the other", host)
	}
	r.note.Identity = dev.Identity
	return nil
}

// otherNames asks that the two hosts say different names to the array: to it
// they would be one host, and it ends the session of the one when the other
// logs in, while the guest writes.
func (r *run) otherNames(ctx context.Context, to command.Host) error {
	if r.stays() {
		return nil
	}
	locked := r.unlocked
	r.unlocked = true
	from, err := r.on(ctx, r.op.VM.Host)
	r.unlocked = locked
	if err != nil {
		return err
	}
	var names [2]string
	for i, h := range []command.Host{from, to} {
		own, err := r.Initiator.Survey(ctx, h)
		if err != nil {
			return err
		}
		names[i] = own.Initiator
	}
	return differ(r.op.VM.Host, r.op.Destination, names[0], names[1])
}

func differ(from, to, nameFrom, nameTo string) error {
	if nameFrom != nameTo || nameFrom == "" {
		return nil
	}
	return onevolume.Errorf(onevolume.Refused, "the hosts %s and %s have the same iSCSI initiator name %s: to an array they are one", from, to, nameTo).
		WithHint("give one of them a name of its own: onevolume doctor --host %s --fix", to)
}

// cleanAhead logs the host out again that the VM did not go to. One that has
// the VM's domain keeps the disk, whatever else is believed.
func (r *run) cleanAhead(ctx context.Context, f *facts) error {
	if r.stays() && r.onRecord() {
		return nil // the saved VM needs it there
	}
	w, err := r.where(ctx)
	if err != nil {
		return err
	}
	if w.toThere && w.toHasDisk {
		return onevolume.Errorf(onevolume.Unknown, "domain %s is on host %s with volume %d (it is %s)", w.to.Name, r.op.Destination, r.vol.ID, w.to.State)
	}
	f.Host = r.op.Destination
	return r.logOut(ctx, r.op.Destination)
}

// moved waits until the VM has moved, which its domain proves, or is over with
// that and stayed. It holds no lock and no connection meanwhile.
func (r *run) moved(ctx context.Context, f *facts) error {
	var since time.Time
	for {
		r.hangUp()
		over := true
		if r.Wait != nil {
			var err error
			if over, err = r.Wait(ctx, r.op); err != nil {
				return &saga.Left{Err: err}
			}
		}
		w, err := r.where(ctx)
		switch {
		case err == nil && w.arrived(r.stays()) && (over || !strings.HasPrefix(w.to.State, "paused")):
			f.Host, f.Disk = r.op.Destination, w.toDisk
			r.note.Host, r.note.Device, r.note.Source = r.op.Destination, w.toDisk.Target, w.toDisk.Source
			return nil
		case ctx.Err() != nil:
			return &saga.Left{Err: ctx.Err()}
		case !over:
			continue
		case err == nil && !w.toHasDisk:
			return r.stayed(w)
		}
		// It is on both hosts, or somebody does not answer: nobody guesses.
		if since.IsZero() {
			since = r.Now()
		}
		if r.Now().Sub(since) > lookTime {
			if err == nil {
				err = onevolume.Errorf(onevolume.Busy, "VM %s has a domain on host %s (%s) and on host %s (%s)", r.vmName(),
					r.op.VM.Host, w.from.State, r.op.Destination, w.to.State)
			}
			return &saga.Left{Err: err}
		}
		select {
		case <-time.After(lookPause):
		case <-ctx.Done():
		}
	}
}

// stayed is the error of a VM that did not go where it was to go.
func (r *run) stayed(w whereabouts) error {
	switch {
	case w.fromHasDisk:
		return onevolume.Errorf(onevolume.Action, "VM %s did not move to host %s: it is on host %s still", r.vmName(), r.op.Destination, r.op.VM.Host).
			WithHint("host %s is logged out again; OpenNebula's log of the VM says why it did not move", r.op.Destination)
	case w.toThere:
		return onevolume.Errorf(onevolume.Action, "domain %s on host %s does not have volume %d: it was started anew", w.to.Name, r.op.Destination, r.vol.ID).
			WithHint("the volume follows its VM by itself, see onevolume show %d", r.vol.ID)
	}
	return onevolume.Errorf(onevolume.Action, "VM %s has a domain neither on host %s nor on host %s", r.vmName(), r.op.VM.Host, r.op.Destination).
		WithHint("its volume stays on record on host %s, and follows the VM when it runs again", r.op.VM.Host)
}

// goesOn says which way a migration goes that another took over: to its end,
// unless an administrator has it taken back and the VM has not moved.
func (r *run) goesOn(ctx context.Context) (bool, error) {
	if r.op.Way != onevolume.Back {
		return true, nil
	}
	w, err := r.where(ctx)
	return r.committed || w.toThere, err
}

// hangUp gives all connections back, and the locks with them.
func (r *run) hangUp() {
	r.close()
	clear(r.hosts)
}
