package workflow_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"onevolume"
	"onevolume/blockdev"
	"onevolume/command"
	"onevolume/iscsi/iscsitest"
)

// handle is a command on a host. Before and after each, what must hold of
// hosts is asked while nothing else happens on any.
func (s *storm) handle(m *machine, cmd command.Cmd) (command.Result, error) {
	s.world.Lock()
	defer s.world.Unlock()
	overwrites := cmd.Name == blockdev.NameWipe || cmd.Name == blockdev.NameFormat
	if overwrites {
		s.guard(m, cmd)
		s.mayOverwrite(m, cmd)
	}
	before := s.plugged()
	res, mine := m.virt.Handle(cmd)
	if !mine {
		res, err := m.iscsi.Handle(cmd)
		if u := s.at(m, cmd, overwrites); u != nil {
			s.wrote[u] = u.Content
		}
		return res, err
	}
	after := s.plugged()
	for id, in := range before {
		if len(after[id]) == 0 && !strings.Contains(cmd.String(), in[0].source) {
			s.late[id] = true // whoever asked for it may be gone
		}
	}
	for id, in := range after {
		delete(s.late, id)
		if len(in) > 1 {
			s.Errorf("seed %d: after %s volume %d is in several places: %v", s.seed, cmd, id, in)
		}
	}
	return res, nil
}

// gone says whether a volume's guest let go of it when nobody waited.
func (s *storm) gone(id onevolume.VolumeID) bool {
	if s == nil {
		return false
	}
	s.world.Lock()
	defer s.world.Unlock()
	return s.late[id]
}

// at is the unit that a command overwrites.
func (s *storm) at(m *machine, cmd command.Cmd, overwrites bool) *iscsitest.Unit {
	if !overwrites {
		return nil
	}
	return m.iscsi.UnitAt(cmd.Args[0])
}

// mayOverwrite asks that what is overwritten is a volume that a detach was
// asked to wipe, or one that was blank before an attach that is taken back.
func (s *storm) mayOverwrite(m *machine, cmd command.Cmd) {
	u := m.iscsi.UnitAt(cmd.Args[0])
	if u == nil {
		return // the script will see that for itself
	}
	for _, id := range s.volumesOf(u) {
		v, err := s.db.Volume(s.Context(), id)
		if err != nil {
			s.Errorf("seed %d: %s of volume %d: %v", s.seed, cmd.Name, id, err)
			return
		}
		op, err := s.db.Operation(s.Context(), v.Operation)
		detached := v.State == onevolume.Wiping && op.Kind == onevolume.Detach && op.Leave != onevolume.LeaveData
		takenBack := v.State == onevolume.Attaching && op.Kind == onevolume.Attach && op.Prior == onevolume.Available
		if err != nil || !detached && !takenBack || op.Status != onevolume.Running {
			s.Errorf("seed %d: %s of volume %d, which is %s, by %+v (%v)", s.seed, cmd.Name, id, v.State, op, err)
		}
	}
}

func (s *storm) volumesOf(u *iscsitest.Unit) (ids []onevolume.VolumeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, unit := range s.units {
		if unit == u {
			ids = append(ids, id)
		}
	}
	return ids
}

// sample asks for what must hold of the inventory at every moment.
func (s *storm) sample(rng *rand.Rand) {
	s.net.Forget()
	holds := map[onevolume.VolumeID]int{}
	for _, op := range s.running() {
		if other, two := holds[op.Volume]; two {
			s.Errorf("seed %d: operations %d and %d run on volume %d", s.seed, other, op.ID, op.Volume)
		}
		holds[op.Volume] = op.ID
	}
	list, err := s.db.Volumes(s.Context(), onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
	if err != nil {
		s.Error(err)
	}
	places := map[string]onevolume.VolumeID{}
	for _, v := range list {
		if v.State != onevolume.Attached || s.gone(v.ID) {
			continue // whose guest let go of it late frees its name
		}
		at := fmt.Sprintf("%s of VM %d", v.Attachment.Device, v.Attachment.VM)
		if other, two := places[at]; two {
			s.Errorf("seed %d: volumes %d and %d are %s", s.seed, other, v.ID, at)
		}
		places[at] = v.ID
	}
	for range 20 {
		s.content(list[rng.IntN(len(list))])
	}
}

// content asks that a volume that nobody holds has the content it should.
func (s *storm) content(before onevolume.Volume) {
	s.mu.Lock()
	u := s.units[before.ID]
	s.mu.Unlock()
	if u == nil || !before.State.Free() {
		return
	}
	s.world.Lock()
	content, wrote := u.Content, s.wrote[u]
	s.world.Unlock()
	after, err := s.db.Volume(s.Context(), before.ID)
	if err != nil || after.Version != before.Version || after.Operation != before.Operation {
		return // somebody took it, or deleted it
	}
	if before.State == onevolume.Available && strings.Contains(content, "data") {
		s.Errorf("seed %d: volume %d is AVAILABLE and holds %q", s.seed, before.ID, content)
	}
	if content != wrote {
		s.Errorf("seed %d: volume %d is %s and holds %q; last written was %q", s.seed, before.ID, before.State, content, wrote)
	}
}

// rest waits until nothing runs, and asks that all is in order. Then whatever
// is parked is resumed, all volumes are detached, and nothing may be left.
// pause lets others work.
func (s *storm) rest(pause func()) {
	s.Helper()
	s.quiet("after the storm", pause)
	s.inventory()
	for round := 0; ; round++ {
		left := s.unattached(round, pause)
		s.quiet("while all is detached", pause)
		if left == 0 {
			break
		}
		if round > 20 {
			s.Fatalf("seed %d: %d volumes cannot be detached", s.seed, left)
		}
	}
	for _, m := range s.hosts {
		if left := m.iscsi.Left(); len(left) > 0 {
			s.Errorf("seed %d: %s has %q in the end", s.seed, m.name, left)
		}
		for _, name := range m.vms {
			if d, _ := m.virt.Domain(name); len(d.Disks) > 0 {
				s.Errorf("seed %d: domain %s has %v in the end", s.seed, name, d.Disks)
			}
		}
	}
}

// quiet waits until no operation runs, and asks that all is in order.
func (s *storm) quiet(when string, pause func()) {
	s.Helper()
	for start := time.Now(); len(s.running()) > 0; pause() {
		if time.Since(start) > 20*s.limits.Lease {
			s.Fatalf("seed %d: %s operations still run: %+v", s.seed, when, s.running())
		}
	}
	s.invariants(fmt.Sprintf("seed %d: %s", s.seed, when), true, true)
}

// unattached begins to detach whatever is in a VM and to carry on what is
// parked, and gives the number.
func (s *storm) unattached(round int, pause func()) (n int) {
	s.Helper()
	ctx, srv := s.Context(), s.serving()
	list, err := s.db.Volumes(ctx, onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1})
	if err != nil {
		s.Fatal(err)
	}
	var asked sync.WaitGroup
	var waiting atomic.Int64
	for _, v := range list {
		parked := v.State == onevolume.Failed && round%2 == 0 && s.operation(v.ID).Status == onevolume.Parked
		if !parked && v.Attachment.VM == onevolume.NoVM {
			continue
		}
		n++
		waiting.Add(1)
		asked.Go(func() {
			defer waiting.Add(-1)
			s.turn(ctx, "administrator", fmt.Sprint("volume ", v.ID))
			var err error
			if parked {
				err = srv.Resume(ctx, root, v.Operation)
			} else {
				_, err = srv.Detach(ctx, root, "session", v.Attachment.VM, v.ID, onevolume.LeaveZeroes, false)
			}
			if err != nil {
				s.Errorf("seed %d: volume %d, %s: %v", s.seed, v.ID, v.State, err)
			}
		})
	}
	for waiting.Load() > 0 {
		pause() // where turns are given, this gives them
	}
	asked.Wait()
	return n
}

// inventory reads all operations there were: on each volume one came after
// the other, and began where that one ended.
func (s *storm) inventory() {
	s.Helper()
	last := map[onevolume.VolumeID]onevolume.Operation{}
	for id := 1; ; id++ {
		op, err := s.db.Operation(s.Context(), id)
		if onevolume.CodeOf(err) == onevolume.NotFound {
			s.counts.set("operations", id-1)
			return
		}
		if err != nil {
			s.Fatal(err)
		}
		s.counts.add(fmt.Sprintf("%s: %s", op.Status, op.Kind))
		if op.Generation > 1 {
			s.counts.add("taken over: " + string(op.Kind))
		}
		if before, ok := last[op.Volume]; ok && before.Ended.After(op.Started) {
			s.Errorf("seed %d: volume %d was given to operation %d at %s, while operation %d had it until %s",
				s.seed, op.Volume, op.ID, op.Started, before.ID, before.Ended)
		}
		last[op.Volume] = op
	}
}
