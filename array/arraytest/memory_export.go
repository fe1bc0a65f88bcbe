package arraytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"onevolume"
	"onevolume/array"
)

// target is how a volume is reached.
func (t *thing) target() onevolume.Target {
	return onevolume.Target{
		IQN:     onevolume.IQN("iqn.2026-11.org.example.memory:" + t.name),
		LUN:     1,
		Portals: []onevolume.Portal{{AddrPort: netip.MustParseAddrPort("192.0.2.1:3260")}},
	}
}

// Target as in array.Exporter.
func (m *Memory) Target(id array.ID) onevolume.Target { return (&thing{name: id.Name()}).target() }

func (t *thing) export(initiator onevolume.IQN) array.Export {
	return array.Export{Initiator: initiator, Target: t.target(), Identity: onevolume.Identity{Serial: string(t.id)}}
}

// Export as in array.Exporter. It takes two requests: the second makes what
// the first did survive a restart.
func (m *Memory) Export(ctx context.Context, id array.ID, g array.Grant) (e array.Export, err error) {
	if err := array.CheckGrant(g); err != nil {
		return e, err
	}
	if g.CHAP.UserIn != "" && !m.caps.MutualCHAP {
		return e, array.Errorf(array.Unsupported, "the array does not prove itself")
	}
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err != nil {
			return err
		}
		t.exports[g.Initiator] = g.CHAP
		return nil
	})
	if err != nil {
		return e, err
	}
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err != nil {
			return err
		}
		t.saved = maps.Clone(t.exports)
		e = t.export(g.Initiator)
		e.Target.CHAP = g.CHAP
		return nil
	})
	return e, err
}

// Unexport as in array.Exporter.
func (m *Memory) Unexport(ctx context.Context, id array.ID, initiator onevolume.IQN, force bool) error {
	err := m.request(ctx, func() error {
		t := m.get(id, false)
		if t == nil {
			return nil
		}
		if t.sessions[initiator] > 0 && !force {
			return array.InUse("volume "+string(id), array.Holders{Sessions: []onevolume.IQN{initiator}})
		}
		delete(t.sessions, initiator)
		delete(t.exports, initiator)
		return nil
	})
	if err != nil {
		return err
	}
	return m.request(ctx, func() error {
		if t := m.get(id, false); t != nil {
			t.saved = maps.Clone(t.exports)
		}
		return nil
	})
}

// Exports as in array.Exporter.
func (m *Memory) Exports(ctx context.Context, id array.ID) (list []array.Export, err error) {
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err != nil {
			return err
		}
		for _, initiator := range slices.Sorted(maps.Keys(t.exports)) {
			e := t.export(initiator)
			e.Target.CHAP.User = t.exports[initiator].User
			list = append(list, e)
		}
		return nil
	})
	return list, err
}

// Sessions as in array.Exporter.
func (m *Memory) Sessions(ctx context.Context, id array.ID) (list []array.Session, err error) {
	err = m.request(ctx, func() error {
		t, err := m.volume(id)
		if err != nil {
			return err
		}
		for _, initiator := range slices.Sorted(maps.Keys(t.sessions)) {
			list = append(list, array.Session{Initiator: initiator})
		}
		return nil
	})
	return list, err
}

// Login logs the export's initiator in with its credentials.
func (m *Memory) Login(e array.Export) (logout func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.ordered() {
		if t.target().IQN != e.Target.IQN {
			continue
		}
		chap, ok := t.exports[e.Initiator]
		if !ok || chap != e.Target.CHAP {
			return nil, errors.New("authorization failure")
		}
		t.sessions[e.Initiator]++
		return func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if t.sessions[e.Initiator]--; t.sessions[e.Initiator] <= 0 {
				delete(t.sessions, e.Initiator)
			}
		}, nil
	}
	return nil, errors.New("target not found")
}

// LetIn gives whom a volume is exported to and who is logged in, by name. It
// looks without a request.
func (m *Memory) LetIn(id array.ID) (exports, sessions []onevolume.IQN) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.get(id, false); t != nil {
		return slices.Sorted(maps.Keys(t.exports)), slices.Sorted(maps.Keys(t.sessions))
	}
	return nil, nil
}

// Restart ends all sessions, and what was not made to survive.
func (m *Memory) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range m.things {
		t.exports = maps.Clone(t.saved)
		t.sessions = map[onevolume.IQN]int{}
	}
}

// Squat puts something of somebody else's in the place of the ID's name.
func (m *Memory) Squat(id array.ID) (still func() bool, remove func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &thing{name: id.Name(), size: m.caps.Granule}
	m.things[t.name] = t
	still = func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.things[t.name] == t
	}
	return still, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.things, t.name)
	}
}

// Write writes to the beginning of a volume; Read reads there.
func (m *Memory) Write(id array.ID, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.things[id.Name()].data = slices.Clone(data)
}

// Read gives the first n bytes of a volume.
func (m *Memory) Read(id array.ID, n int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	data := make([]byte, n)
	copy(data, m.things[id.Name()].data)
	return data
}

// State lists everything that is on the array.
func (m *Memory) State() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.things)) {
		t := m.things[name]
		fmt.Fprintf(&b, "%s %q %d %d exports %d sessions\n", name, t.id, t.size, len(t.exports), len(t.sessions))
	}
	return b.String()
}

// Fixture makes a fixture of the array for Run.
func (m *Memory) Fixture() Fixture {
	return Fixture{
		Array:      m,
		Initiators: [2]onevolume.IQN{"iqn.2026-11.org.example:host01", "iqn.2026-11.org.example:host02"},
		Login:      m.Login,
		Write:      m.Write,
		Read:       m.Read,
		Squat:      m.Squat,
		Lose:       m.Lose,
		Restart:    m.Restart,
		State:      m.State,
	}
}
