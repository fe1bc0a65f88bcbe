package assemble

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"onevolume"
	"onevolume/config"
	"onevolume/daemon"
	"onevolume/daemon/follower"
	"onevolume/follow"
	"onevolume/opennebula"
	"onevolume/opennebula/events"
	"onevolume/store"
)

// newFollower follows VMs with the daemon's own session at oned, which is
// looked for when it is needed: the file may come later, and change.
func newFollower(conf config.Config, db *store.Store, service shown, loops *daemon.Daemon, one *opennebula.Client, log *zap.Logger) *follower.Follower {
	session := func() (string, error) { return opennebula.SystemEnvironment().Session("", "") }
	cloud := followed{one, session}
	f := &follower.Follower{Cloud: cloud, Inventory: followedVolumes{db, service}, Operator: loops, Waker: loops, Cleaner: loops, Log: log,
		Every: conf.Operations.Follow, Again: conf.Operations.Sweep}
	loops.Settled, loops.Seen, loops.Follow = cloud.settled, cloud.Seen, f.Hear
	return f
}

// followed is oned as the follower asks it.
type followed struct {
	client  *opennebula.Client
	session func() (string, error)
}

func (c followed) as() (*opennebula.Client, error) {
	token, err := c.session()
	if err != nil {
		return nil, err
	}
	return c.client.As(token), nil
}

func (c followed) VMs(ctx context.Context, ids []onevolume.VMID) (map[onevolume.VMID]follower.VM, error) {
	one, err := c.as()
	if err != nil {
		return nil, err
	}
	found, err := one.VMsInfo(ctx, ids)
	if err != nil {
		return nil, err
	}
	vms := make(map[onevolume.VMID]follower.VM, len(found))
	for id, vm := range found {
		state, lcm := opennebula.State(vm.StateRaw).String(), opennebula.LCMState(vm.LCMStateRaw).String()
		h, _ := vm.History()
		vms[id] = follower.VM{VM: vm.Domain(), Stage: follow.Of(state, lcm), Boot: fmt.Sprintf("%d %d %s", h.SEQ, h.RSTime, vm.DeployID)}
	}
	return vms, nil
}

// settled says whether a VM is on no way to another state. One that nobody
// knows any more is on none.
func (c followed) settled(ctx context.Context, id onevolume.VMID) (bool, error) {
	vms, err := c.VMs(ctx, []onevolume.VMID{id})
	if err != nil {
		return false, err
	}
	vm, known := vms[id]
	return !known || vm.Stage != follow.UnderWay, nil
}

func (c followed) Seen(ctx context.Context) (map[string]bool, error) {
	one, err := c.as()
	if err != nil {
		return nil, err
	}
	hosts, err := one.HostPoolInfo(ctx)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		seen[h.Name] = !h.Lost()
	}
	return seen, nil
}

// followedVolumes is the inventory as the follower needs it.
type followedVolumes struct {
	*store.Store
	service shown
}

func (v followedVolumes) Delete(ctx context.Context, id onevolume.VolumeID) error {
	return v.service.Delete(ctx, administrator(), id)
}

// told passes on what is heard of the cloud, from oned's publisher or from its
// hooks, to the follower and to what waits for its VM.
type told struct {
	follower *follower.Follower
	loops    *daemon.Daemon
}

func (t told) HearVM(vm onevolume.VMID) {
	t.follower.Hear(vm)
	t.loops.Hear(vm)
}

// HearHost has all VMs looked at: a host was lost, or is back.
func (t told) HearHost(int) { t.follower.LookAtAll() }

// newSubscriber listens to oned's events for the follower, and for what waits
// for its VM; nil for none.
func newSubscriber(conf config.Config, f *follower.Follower, loops *daemon.Daemon, log *zap.Logger) *events.Subscriber {
	if conf.Events == "" || conf.Operations.Follow <= 0 {
		return nil
	}
	told := told{f, loops}
	return &events.Subscriber{
		Address: conf.Events,
		Hear: func(e events.Event) {
			if e.Object == events.VM {
				told.HearVM(onevolume.VMID(e.ID))
				return
			}
			told.HearHost(e.ID)
		},
		Up: func() {
			log.Info("listening to oned's events", zap.String("address", conf.Events))
			f.LookAtAll()
		},
		Down: func(err error) {
			log.Warn("oned's events are not heard; VMs are followed by asking oned now and then", zap.String("address", conf.Events),
				zap.Duration("every", conf.Operations.Follow), zap.Error(err))
		},
	}
}
