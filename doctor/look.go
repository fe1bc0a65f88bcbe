package doctor

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"onevolume"
	"onevolume/hypervisor"
	"onevolume/iscsi"
)

// world is the inventory and its hosts as they were for one comparison.
type world struct {
	*Doctor
	scope    Scope
	now      time.Time
	volumes  []onevolume.Volume // in scope
	known    map[onevolume.VolumeID]onevolume.Volume
	targets  map[onevolume.IQN][]onevolume.Volume // in the inventory, in scope or not
	restless map[onevolume.VolumeID]bool          // changed meanwhile, or held by an operation
	running  []onevolume.Operation                // that have not ended
	fences   []onevolume.FenceRecord              // of hosts that are not clean
	owned    map[int]bool                         // those of them that began or changed hands meanwhile
	hosts    []*host
	silent   map[string]error
	same     map[string]string             // names of a machine that was looked at under another
	domains  map[onevolume.VolumeID]string // deploy ids that were asked for
	seen     map[onevolume.VolumeID][]sighting
}

// host is one that answered.
type host struct {
	name    string
	driver  hypervisor.Driver
	iscsi   iscsi.HostFacts
	domains []hypervisor.Domain
}

// stock is the inventory at one moment.
type stock struct {
	volumes map[onevolume.VolumeID]onevolume.Volume
	running map[int]onevolume.Operation
	fences  []onevolume.FenceRecord
}

func (d *Doctor) stock(ctx context.Context) (stock, error) {
	s := stock{volumes: map[onevolume.VolumeID]onevolume.Volume{}, running: map[int]onevolume.Operation{}}
	list, err := d.Inventory.Volumes(ctx)
	if err != nil {
		return s, err
	}
	for _, v := range list {
		v.Target.CHAP = onevolume.CHAP{} // nobody logs in here
		s.volumes[v.ID] = v
	}
	running, err := d.Inventory.Running(ctx)
	for _, op := range running {
		s.running[op.ID] = op
	}
	if err == nil {
		s.fences, err = d.Inventory.Fences(ctx)
	}
	return s, err
}

// hosts are those where the inventory has something now.
func (s stock) hosts() map[string]bool {
	used := map[string]bool{}
	for _, v := range s.volumes {
		used[v.Attachment.Host] = true
	}
	for _, op := range s.running {
		used[op.VM.Host] = true
	}
	return used
}

// look reads the inventory, the hosts, and the inventory again.
func (d *Doctor) look(ctx context.Context, s Scope) (*world, error) {
	before, err := d.stock(ctx)
	if err != nil {
		return nil, err
	}
	if s.Volume != onevolume.NoVolume {
		if _, err := d.Inventory.Volume(ctx, s.Volume); err != nil {
			return nil, err
		}
	}
	places, err := d.places(ctx, s, before)
	if err != nil {
		return nil, err
	}
	w := &world{Doctor: d, scope: s, silent: map[string]error{}, same: map[string]string{}, domains: map[onevolume.VolumeID]string{}}
	w.visit(ctx, places, before.hosts())
	after, err := d.stock(ctx)
	if err != nil {
		return nil, err
	}
	w.now, w.fences = d.Now(), after.fences
	w.compare(before, after)
	w.sight(ctx)
	return w, nil
}

// places are the hosts in scope: those of the cloud, and those where the
// inventory has something. What is no hypervisor of ours is left out.
func (d *Doctor) places(ctx context.Context, s Scope, now stock) ([]Place, error) {
	list, err := d.Places(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]Place{}
	add := func(p Place) {
		if _, known := byName[p.Host]; !known && p.Host != "" && (s.Host == "" || p.Host == s.Host) {
			byName[p.Host] = p
		}
	}
	for _, op := range now.running {
		add(Place{Host: op.VM.Host, Hypervisor: op.VM.Hypervisor})
	}
	for _, p := range list {
		if !p.Past {
			add(p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now.volumes)) {
		add(Place{Host: now.volumes[id].Attachment.Host})
	}
	for _, p := range list {
		add(p)
	}
	if s.Host != "" && len(byName) == 0 {
		add(Place{Host: s.Host})
	}
	out := make([]Place, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		out = append(out, byName[name])
	}
	return out, nil
}

// visit asks all places, a few at a time.
func (w *world) visit(ctx context.Context, places []Place, used map[string]bool) {
	var (
		mu    sync.Mutex
		group sync.WaitGroup
		slots = make(chan struct{}, w.Limits.filled().AtOnce)
	)
	for _, p := range places {
		driver, err := w.Driver(onevolume.VM{Host: p.Host, Hypervisor: cmp.Or(p.Hypervisor, usual)})
		if err != nil {
			continue // another hypervisor
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			h := &host{name: p.Host, driver: driver}
			err := w.ask(ctx, h)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && p.Past && w.scope.Host == "":
				return
			case err != nil:
				w.silent[h.name] = err
				return
			}
			w.hosts = append(w.hosts, h)
		})
	}
	group.Wait()
	// Of several names of a machine, that which the inventory uses is kept.
	slices.SortFunc(w.hosts, func(a, b *host) int {
		return cmp.Or(rank(a.name, used)-rank(b.name, used), cmp.Compare(a.name, b.name))
	})
	// A machine that the cloud knows by two names is one.
	boots := map[string]string{}
	w.hosts = slices.DeleteFunc(w.hosts, func(h *host) bool {
		first, twice := boots[h.iscsi.Boot]
		if twice && h.iscsi.Boot != "" {
			w.same[h.name] = first
			return true
		}
		boots[h.iscsi.Boot] = h.name
		return false
	})
	slices.SortFunc(w.hosts, func(a, b *host) int { return cmp.Compare(a.name, b.name) })
}

// rank is small for the best name of a machine.
func rank(name string, used map[string]bool) int {
	switch _, err := netip.ParseAddr(name); {
	case used[name]:
		return 0
	case err != nil:
		return 1
	}
	return 2
}

// usual is the hypervisor of a host of which nobody says what it runs.
const usual = "kvm"

// ask fills in what a host has, in one connection.
func (w *world) ask(ctx context.Context, h *host) error {
	ctx, cancel := context.WithTimeout(ctx, w.Limits.filled().Host)
	defer cancel()
	conn, err := w.Hosts.Dial(ctx, h.name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // nothing was changed
	if h.iscsi, err = w.Initiator.Survey(ctx, conn); err != nil {
		return err
	}
	h.domains, err = h.driver.Domains(ctx, conn)
	return err
}

// compare keeps what was the same before and after.
func (w *world) compare(before, after stock) {
	w.known, w.restless = map[onevolume.VolumeID]onevolume.Volume{}, map[onevolume.VolumeID]bool{}
	w.targets = map[onevolume.IQN][]onevolume.Volume{}
	for _, id := range slices.Sorted(maps.Keys(after.volumes)) {
		v := after.volumes[id]
		w.known[id] = v
		w.targets[v.Target.IQN] = append(w.targets[v.Target.IQN], v)
		if old, ok := before.volumes[id]; !ok || old.Version != v.Version || v.State.Moving() {
			w.restless[id] = true
		}
		if w.scope.has(v) {
			w.volumes = append(w.volumes, v)
		}
	}
	for _, list := range []map[int]onevolume.Operation{before.running, after.running} {
		for _, op := range list {
			w.restless[op.Volume] = true
		}
	}
	w.owned = map[int]bool{}
	for _, id := range slices.Sorted(maps.Keys(after.running)) {
		op := after.running[id]
		old, ok := before.running[id]
		w.running, w.owned[id] = append(w.running, op), !ok || old.Generation != op.Generation
	}
}

// host gives the host of that name, or of another name of the same machine;
// nil when it was not looked at or did not answer.
func (w *world) host(name string) *host {
	if first, ok := w.same[name]; ok {
		name = first
	}
	for _, h := range w.hosts {
		if h.name == name {
			return h
		}
	}
	return nil
}

// steady says whether no volume of the target was touched meanwhile.
func (w *world) steady(iqn onevolume.IQN) bool {
	return !slices.ContainsFunc(w.targets[iqn], func(v onevolume.Volume) bool { return w.restless[v.ID] })
}
