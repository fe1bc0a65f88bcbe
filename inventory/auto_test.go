package inventory_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/provision"
)

// makers are arrays made of memory, which work at once.
type makers struct {
	*bench
	arrays map[string]array.Array
	spaces []onevolume.Space
	types  []onevolume.VolumeType
	tasks  int
}

func (m *makers) NewOnArray(name string) (string, onevolume.Target, error) {
	id := array.NewID()
	return string(id), m.arrays[name].Target(id), nil
}

func (m *makers) MayCreate(who onevolume.Caller, name string) bool {
	for _, s := range m.spaces {
		if s.Array == name {
			return s.Users || who.IsAdmin()
		}
	}
	return false
}

func (m *makers) Types() []onevolume.VolumeType { return m.types }

func (m *makers) Spaces(context.Context) ([]onevolume.Space, error) { return m.spaces, nil }

func (m *makers) Task(ctx context.Context, who onevolume.Caller, r onevolume.TaskRequest) (onevolume.Operation, error) {
	m.tasks++
	r.Owner, r.Lease = fmt.Sprint("daemon request ", m.tasks), time.Minute
	op, _, err := m.db.BeginTask(ctx, who, r)
	if err != nil {
		return op, err
	}
	e := provision.Engine{Ledger: m.db, Arrays: m.arrays, Lease: time.Minute, Now: time.Now}
	return op, e.Run(ctx, op)
}

// withArrays gives the bench arrays a, with more free space, and b, both of
// which make volumes for everybody who finds none.
func withArrays(t *testing.T) (*bench, *makers) {
	b := newBench(t)
	m := &makers{bench: b, arrays: map[string]array.Array{}}
	for i, name := range []string{"b", "a"} {
		m.arrays[name] = arraytest.NewMemory(array.Capabilities{Granule: onevolume.MiB, MinSize: onevolume.MiB, MaxLabel: 8, PageSize: 10, Zeroed: true}, 128*onevolume.MiB)
		m.spaces = append(m.spaces, onevolume.Space{Array: name, Total: onevolume.GiB, Free: onevolume.Size(i+1) * 100 * onevolume.MiB,
			Limit: onevolume.GiB, Time: time.Now(), AutoCreate: true, Users: true})
	}
	b.Makers = m
	return b, m
}

func bySize(size onevolume.Size, owner onevolume.Caller) onevolume.Request {
	return onevolume.Request{Kind: onevolume.Attach, VM: onevolume.VM{ID: 17, Host: "host01", Owner: owner.Owner}, Pick: onevolume.Pick{Size: size}, Owner: "test", Lease: time.Minute}
}

func TestVolumesByThemselves(t *testing.T) {
	b, m := withArrays(t)
	had := b.given(alice, "")
	first, v, err := b.Ledger(alice).Reserve(t.Context(), bySize(64*onevolume.MiB, alice))
	if err != nil || v.ID != had || m.tasks != 0 {
		t.Fatalf("one was free, and it is volume %d after %d tasks: %v", v.ID, m.tasks, err)
	}
	r := bySize(64*onevolume.MiB+1, alice)
	again := r
	r.Owner, again.Owner = "another", "another"
	op, v, err := b.Ledger(alice).Reserve(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if v.Array != "a" || v.Size != 65*onevolume.MiB || v.State != onevolume.Attaching || v.Owner.UID != alice.UID || v.Home.UID != alice.UID ||
		!strings.HasPrefix(v.Name, "auto-") || op.Volume != v.ID || op.ID == first.ID {
		t.Errorf("%+v", v)
	}
	if op2, _, err := b.Ledger(alice).Reserve(t.Context(), again); err != nil || op2.ID != op.ID || m.tasks != 1 {
		t.Errorf("the same request again: operation %d after %d tasks: %v", op2.ID, m.tasks, err)
	}
	// Whoever works for somebody else's VM has it made within that one's quota.
	_, v, err = b.Ledger(root).Reserve(t.Context(), bySize(32*onevolume.MiB, bob))
	if err != nil || v.Owner.UID != bob.UID || v.Home.UID != root.UID {
		t.Errorf("%+v: %v", v, err)
	}
	// An array that is full sends to the next.
	_, v, err = b.Ledger(alice).Reserve(t.Context(), bySize(100*onevolume.MiB, alice))
	if err != nil || v.Array != "b" {
		t.Errorf("%+v: %v", v, err)
	}
	_, _, err = b.Ledger(alice).Reserve(t.Context(), bySize(900*onevolume.MiB, alice))
	b.wants(err, onevolume.NoneFits, "No array makes one", "Array a (free: 200M)")
}

func TestNoVolumesByThemselves(t *testing.T) {
	b, m := withArrays(t)
	r := bySize(onevolume.MiB, alice)
	r.DryRun = true
	_, v, err := b.Ledger(alice).Reserve(t.Context(), r)
	if err != nil || v.ID != onevolume.NoVolume || v.Array != "a" || v.Target.IQN == "" || !strings.Contains(v.Reason, "Array a (free: 200M): taken") ||
		!strings.Contains(v.Reason, "Array b (free: 100M): it would be the next") || m.tasks != 0 {
		t.Errorf("%+v after %d tasks: %v", v, m.tasks, err)
	}
	err = b.db.SetLimits(t.Context(), onevolume.QuotaOf{Kind: onevolume.UserQuota, ID: alice.UID}, func(l *onevolume.Limits) error {
		l.SizeMB = 0
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.DryRun = false
	_, _, err = b.Ledger(alice).Reserve(t.Context(), r)
	b.wants(err, onevolume.Forbidden, "quota")
	r.Pick.Exact = true
	_, _, err = b.Ledger(bob).Reserve(t.Context(), r)
	b.wants(err, onevolume.NoneFits, "exact size")
	r.Pick.Exact, r.Kind, r.Pick.Volume = false, onevolume.Attach, "nosuch"
	_, _, err = b.Ledger(root).Reserve(t.Context(), r)
	b.wants(err, onevolume.NotFound)
	for i := range m.spaces {
		m.spaces[i].AutoCreate = false
	}
	_, _, err = b.Ledger(bob).Reserve(t.Context(), bySize(onevolume.MiB, bob))
	b.wants(err, onevolume.NoneFits, "No free volume", "auto_create")
	if list, err := b.db.Volumes(t.Context(), onevolume.Filter{Viewer: root, Flag: -2, FirstID: -1, LastID: -1}); err != nil || len(list) > 0 {
		t.Errorf("left are %+v, %v", list, err)
	}
}
