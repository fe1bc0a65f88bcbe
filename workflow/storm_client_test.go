package workflow_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"onevolume"
	"onevolume/iscsi/iscsitest"
)

// client is one of those who do things at random: a program that is started,
// works for a while and dies, again and again.
func (s *storm) client(n int) {
	rng := rand.New(rand.NewPCG(s.seed, uint64(n)))
	for life := 1; !s.ended.Load(); life++ {
		p := s.process(fmt.Sprintf("client %02d.%d", n, life))
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			p.with(1+rng.IntN(60), dies)
		case 4, 5:
			p.crash = crash{1 + rng.IntN(20), rng.IntN(2) == 0}
		case 6:
			p.with(1+rng.IntN(40), notDone)
		case 7:
			p.with(1+rng.IntN(40), lost)
		case 8:
			p.with(1+rng.IntN(60), broken)
		}
		for do := 0; do < 20 && !p.gone() && !s.ended.Load(); do++ {
			s.act(p, rng)
			time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond)
		}
		if p.gone() {
			s.counts.add("killed: client")
		}
		p.hangUp()
	}
}

// act does one thing.
func (s *storm) act(p *process, rng *rand.Rand) {
	vm := s.guests[rng.IntN(len(s.guests))]
	l := s.luns[rng.IntN(len(s.luns))]
	switch n := rng.IntN(100); {
	case n < 25:
		p.ask(rng, onevolume.Request{Kind: onevolume.Attach, VM: vm, Pick: onevolume.Pick{Size: 32 * onevolume.MiB}})
	case n < 85:
		s.look(p, rng, l, vm)
	default:
		s.guestWrites(p, rng)
	}
}

// look picks a volume and does what can be done with it as it is.
func (s *storm) look(p *process, rng *rand.Rand, l *lun, vm onevolume.VM) {
	ctx := s.Context()
	s.data.RLock()
	id := l.id
	s.data.RUnlock()
	if id == onevolume.NoVolume {
		s.register(p, l)
		return
	}
	p.turn(ctx, fmt.Sprint("volume ", id))
	v, err := s.service.Info(ctx, root, id, false)
	if err != nil {
		return // deleted meanwhile
	}
	switch n := rng.IntN(20); {
	case n == 0:
		p.turn(ctx, fmt.Sprint("rename ", id))
		s.result("rename", s.service.Rename(ctx, root, id, fmt.Sprintf("name%d", rng.IntN(50))))
	case n == 1:
		s.remove(p, l, id)
	case v.State.Moving() && n > 2:
		// Somebody is at it; mostly one waits then.
	case v.State == onevolume.Failed:
		s.mend(p, rng, v)
	case v.State == onevolume.Attached || v.Attachment.VM != onevolume.NoVM:
		leaves := []onevolume.Leave{onevolume.LeaveZeroes, onevolume.LeaveZeroes, onevolume.LeaveData, onevolume.LeaveExt4, onevolume.LeaveXFS}
		if n != 2 { // else it is asked of a VM that may not have it
			vm = s.vms[v.Attachment.VM]
		}
		p.ask(rng, onevolume.Request{Kind: onevolume.Detach, VM: vm, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))}, Leave: leaves[rng.IntN(len(leaves))]})
	default:
		p.ask(rng, onevolume.Request{Kind: onevolume.Attach, VM: vm, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))}})
	}
}

// ask has an operation run, by the process itself or by the server.
func (p *process) ask(rng *rand.Rand, r onevolume.Request) {
	s, ctx := p.c.storm, p.c.Context()
	if rng.IntN(2) == 0 {
		_, err := p.run(ctx, r)
		s.result(string(r.Kind), err)
		return
	}
	p.turn(ctx, "ask the server")
	srv := s.serving()
	var err error
	if r.Kind == onevolume.Attach {
		_, err = srv.Attach(ctx, root, "session", r.VM.ID, r.Pick)
	} else {
		var id int
		_, _ = fmt.Sscan(r.Pick.Volume, &id)
		_, err = srv.Detach(ctx, root, "session", r.VM.ID, onevolume.VolumeID(id), r.Leave, false)
	}
	s.result("have the server "+string(r.Kind), err)
}

func (s *storm) result(what string, err error) {
	if err == nil {
		s.counts.add("ok: " + what)
		return
	}
	s.counts.add(fmt.Sprintf("not: %s (%s)", what, onevolume.CodeOf(err)))
}

// mend does about a volume in ERROR what an administrator might.
func (s *storm) mend(p *process, rng *rand.Rand, v onevolume.Volume) {
	ctx := s.Context()
	p.turn(ctx, "mend")
	switch rng.IntN(4) {
	case 0:
		s.result("resume", s.serving().Resume(ctx, root, v.Operation))
	case 1:
		s.result("abort", s.serving().Abort(ctx, root, v.Operation))
	case 2:
		if vm, ok := s.vms[v.Attachment.VM]; ok {
			p.ask(rng, detachRequest(vm, v, onevolume.LeaveZeroes))
		}
	}
}

// remove deletes a volume, whatever state it may be in by now.
func (s *storm) remove(p *process, l *lun, id onevolume.VolumeID) {
	p.turn(s.Context(), fmt.Sprint("delete ", id))
	s.data.Lock()
	defer s.data.Unlock()
	err := s.service.Delete(s.Context(), root, id)
	s.result("delete", err)
	if err == nil && l.id == id {
		l.id = onevolume.NoVolume
		s.mu.Lock()
		delete(s.units, id)
		s.mu.Unlock()
	}
}

// register makes a volume of a logical unit again, which the array has blanked.
func (s *storm) register(p *process, l *lun) {
	p.turn(s.Context(), fmt.Sprint("register ", l.target.IQN))
	s.data.Lock()
	defer s.data.Unlock()
	if l.id != onevolume.NoVolume {
		return // somebody else did
	}
	s.world.Lock()
	s.array.Change(l.target.IQN, func(*iscsitest.Target) { l.unit.Content = "" })
	s.wrote[l.unit] = ""
	s.world.Unlock()
	text := fmt.Sprintf("NAME = \"again%d\"\nIQN = \"%s\"\nLUN = %d\nPORTALS = \"10.0.0.1,10.0.0.2\"\nSIZE = 64",
		slices.Index(s.luns, l), l.target.IQN, l.target.LUN)
	id, err := s.service.Allocate(s.Context(), root, text)
	s.result("register", err)
	if err != nil {
		s.Errorf("seed %d: registering %s LUN %d: %v", s.seed, l.target.IQN, l.target.LUN, err)
		return
	}
	l.id = id
	s.mu.Lock()
	s.units[id] = l.unit
	s.mu.Unlock()
}

// guestWrites has a guest write to one of its disks.
func (s *storm) guestWrites(p *process, rng *rand.Rand) {
	vm := s.guests[rng.IntN(len(s.guests))]
	p.turn(s.Context(), "a guest writes")
	s.world.Lock()
	defer s.world.Unlock()
	m := s.machine(vm.Host)
	d, _ := m.virt.Domain(vm.DeployID)
	if len(d.Disks) == 0 {
		return
	}
	u := m.iscsi.UnitAt(d.Disks[rng.IntN(len(d.Disks))].Source)
	if u == nil {
		s.Errorf("seed %d: a disk of %s leads nowhere: %+v", s.seed, vm.DeployID, d.Disks)
		return
	}
	u.Content = fmt.Sprintf("data %d of %s", rng.IntN(1000), vm.DeployID)
	s.wrote[u] = u.Content
	s.counts.add("ok: guest writes")
}
