package assemble

import (
	"context"
	"fmt"
	"time"

	"onevolume"
	"onevolume/config"
	"onevolume/doctor"
	"onevolume/iscsi"
	"onevolume/opennebula"
	"onevolume/store"
	"onevolume/workflow"
	"onevolume/xmlrpc"
)

// physician makes a doctor that reaches hosts as the engine does.
func physician(c config.Config, e workflow.Engine) *doctor.Doctor {
	return &doctor.Doctor{
		Hosts: e.Hosts, Driver: e.Driver, Now: e.Now,
		Initiator: initiator(c),
		Limits:    doctor.Limits{Lock: c.Operations.Lock, Unplug: c.Operations.Unplug, Term: max(c.Operations.Lease, 2*c.Operations.Sweep)},
	}
}

// initiator is the initiator of hosts as configured.
func initiator(c config.Config) *iscsi.Initiator {
	return iscsi.New(iscsi.Options{LoginTimeout: c.Hosts.ISCSI.Login, ReplacementTimeout: c.Hosts.ISCSI.Replacement})
}

// resident is the doctor in the daemon. It knows the hosts that the inventory
// has ever named, and puts no disk into a guest: that is for administrators.
func resident(c config.Config, e workflow.Engine, db *store.Store) *doctor.Doctor {
	d := physician(c, e)
	d.Inventory = local{db}
	d.Places = func(ctx context.Context) ([]doctor.Place, error) {
		names, err := db.Hosts(ctx)
		places := make([]doctor.Place, len(names))
		for i, name := range names {
			places[i] = doctor.Place{Host: name, Past: true}
		}
		return places, err
	}
	d.Replug = func(context.Context, onevolume.Volume) error {
		return onevolume.Errorf(onevolume.Action, "onevolumed plugs nothing by itself").WithHint("onevolume doctor --fix")
	}
	return d
}

// local is the inventory's database with an administrator's eyes.
type local struct{ *store.Store }

func (l local) Volumes(ctx context.Context) ([]onevolume.Volume, error) {
	return l.Store.Volumes(ctx, onevolume.Filter{Viewer: administrator(), Flag: -2, FirstID: -1, LastID: -1})
}

func (l local) Credentials(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	return l.Volume(ctx, id)
}

func administrator() onevolume.Caller {
	return onevolume.Caller{Owner: onevolume.Owner{User: "oneadmin", Group: "oneadmin"}, Groups: []int{0}}
}

// visiting is the doctor in a client: it works with the caller's own rights,
// asks oned which hosts there are, and plugs by operations like attach.
func visiting(c config.Config, e *workflow.Engine, daemon *xmlrpc.Client, cloud *opennebula.Client, owner string) *doctor.Doctor {
	d := physician(c, *e)
	d.Inventory = remote{daemon}
	d.Places = func(ctx context.Context) ([]doctor.Place, error) {
		hosts, err := cloud.HostPoolInfo(ctx)
		if err != nil {
			return nil, err
		}
		var places []doctor.Place
		for _, h := range hosts {
			if !h.Offline() {
				places = append(places, doctor.Place{Host: h.Name, Hypervisor: h.VMMad})
			}
		}
		return places, nil
	}
	runs := 0
	d.Replug = func(ctx context.Context, v onevolume.Volume) error {
		vm, err := cloud.VM(ctx, v.Attachment.VM, onevolume.Replug)
		if err != nil {
			return err
		}
		runs++ // the same owner again would be taken for the same call
		job, err := e.Begin(ctx, onevolume.Request{Kind: onevolume.Replug, VM: vm, Owner: fmt.Sprintf("%s repair %d", owner, runs),
			Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}})
		if err != nil {
			return err
		}
		_, err = job.Run(ctx)
		return err
	}
	return d
}

// remote is the inventory behind the daemon.
type remote struct{ *xmlrpc.Client }

func (r remote) Volumes(ctx context.Context) ([]onevolume.Volume, error) {
	const all, unbounded = -2, -1
	return r.Pool(ctx, all, unbounded, unbounded)
}

func (r remote) Volume(ctx context.Context, id onevolume.VolumeID) (onevolume.Volume, error) {
	return r.Info(ctx, id)
}

func (r remote) Operation(ctx context.Context, id int) (onevolume.Operation, error) {
	op, _, err := r.Client.Operation(ctx, id)
	return op, err
}

// firstCheckup is how long after its start the daemon compares for the first
// time: operations that a dead owner left go first.
func firstCheckup(every time.Duration) time.Duration { return min(10*time.Second, every) }
