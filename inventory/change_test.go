package inventory_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"onevolume"
)

func TestUpdate(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, chap+"A = 1\nB = 2")
	for _, c := range []struct {
		text string
		mode onevolume.UpdateMode
		want map[string]string
	}{
		{"B = 3\nC = \"a ]]> \\\"b\\\"\"", onevolume.Append, map[string]string{"A": "1", "B": "3", "C": `a ]]> "b"`}},
		{"D = 4", onevolume.Replace, map[string]string{"D": "4"}},
		{"", onevolume.Append, map[string]string{"D": "4"}},
		{"", onevolume.Replace, map[string]string{}},
	} {
		if err := b.Update(t.Context(), alice, id, c.text, c.mode); err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		v := b.read(id)
		if len(v.Attributes) != len(c.want) || !maps.Equal(v.Attributes, c.want) && len(c.want) > 0 {
			t.Errorf("%q: attributes %v, want %v", c.text, v.Attributes, c.want)
		}
		if v.Size != 64*onevolume.MiB || v.Target.CHAP.Secret != secret || len(v.Target.Portals) != 1 {
			t.Errorf("%q changed more: %+v", c.text, v)
		}
	}
	for _, fixed := range []string{"NAME = x", "IQN = x", "LUN = 1", "name = x"} {
		b.wants(b.Update(t.Context(), root, id, fixed, onevolume.Append), onevolume.Invalid, "cannot be changed")
	}
	b.wants(b.Update(t.Context(), root, id, "A = [ B = 1 ]", onevolume.Append), onevolume.Invalid, "vector")
}

// What a volume is changes for administrators alone, and only while it is in
// no VM and in no operation.
func TestReshape(t *testing.T) {
	b := newBench(t)
	reshape := []string{"SIZE = 128", "PORTALS = \"10.0.0.9\"", "ARRAY = of2", "UNIT_SERIAL = S2", "WWID = naa.2",
		"CHAP_USER = w", "CHAP_SECRET = another-secret-x", "CHAP_USER_IN = w", "CHAP_SECRET_IN = another-secret-x"}
	id := b.given(alice, chap)
	for _, text := range reshape {
		b.wants(b.Update(t.Context(), alice, id, text, onevolume.Append), onevolume.Forbidden, "ADMIN VOLUME")
		if err := b.Update(t.Context(), root, id, text, onevolume.Append); err != nil && text != "CHAP_SECRET_IN = another-secret-x" {
			t.Errorf("%q: %v", text, err)
		}
	}
	v := b.read(id)
	if v.Size != 128*onevolume.MiB || onevolume.JoinPortals(v.Target.Portals) != "10.0.0.9:3260" || v.Array != "of2" ||
		v.Identity != (onevolume.Identity{Serial: "S2", WWID: "naa.2"}) || v.Target.CHAP.User != "w" || v.Target.CHAP.SecretIn != secretIn {
		t.Errorf("volume %+v", v)
	}
	if err := b.Update(t.Context(), root, id, "UNIT_SERIAL = \"\"\nWWID = \"\"", onevolume.Append); err != nil || b.read(id).Identity.Known() {
		t.Errorf("forgetting the identity: %v", err)
	}
	for state, may := range map[onevolume.State]bool{
		onevolume.Available: true, onevolume.Retained: true, onevolume.Failed: true, onevolume.Attached: false,
	} {
		id := b.given(root, "")
		if state != onevolume.Available {
			b.bring(id, state)
		}
		err := b.Update(t.Context(), root, id, "SIZE = 256", onevolume.Append)
		if may != (err == nil) || err != nil && onevolume.CodeOf(err) != onevolume.Action {
			t.Errorf("%s: %v", state, err)
		}
		if err := b.Update(t.Context(), root, id, "COLOUR = red", onevolume.Append); err != nil {
			t.Errorf("%s: one's own attributes: %v", state, err)
		}
	}
	moving := b.given(root, "")
	b.reserve(moving)
	b.wants(b.Update(t.Context(), root, moving, "SIZE = 256", onevolume.Append), onevolume.Action, "ATTACHING")
}

// reserve opens an operation on the volume.
func (b *bench) reserve(id onevolume.VolumeID) onevolume.Operation {
	b.Helper()
	op, _, err := b.Ledger(root).Reserve(b.Context(), onevolume.Request{Kind: onevolume.Attach, Owner: "test", Lease: time.Minute,
		VM: onevolume.VM{ID: 17, Host: "host01", Owner: alice.Owner}, Pick: onevolume.Pick{Volume: b.read(id).Name}})
	if err != nil {
		b.Fatal(err)
	}
	return op
}

// bring has an operation end with the volume in the state.
func (b *bench) bring(id onevolume.VolumeID, state onevolume.State) onevolume.Operation {
	b.Helper()
	op := b.reserve(id)
	e := onevolume.Ending{Status: onevolume.Done, State: state}
	if state == onevolume.Retained {
		in := onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}
		if err := b.Ledger(root).Finish(b.Context(), op.Ref(), in); err != nil {
			b.Fatal(err)
		}
		var err error
		op, _, err = b.Ledger(root).Reserve(b.Context(), onevolume.Request{Kind: onevolume.Detach, Owner: "test", Lease: time.Minute,
			VM: op.VM, Pick: onevolume.Pick{Volume: b.read(id).Name}, Leave: onevolume.LeaveData})
		if err != nil {
			b.Fatal(err)
		}
	}
	if state == onevolume.Failed {
		e.Status, e.Error = onevolume.Parked, "it broke"
	}
	if err := b.Ledger(root).Finish(b.Context(), op.Ref(), e); err != nil {
		b.Fatal(err)
	}
	return op
}

func TestRename(t *testing.T) {
	b := newBench(t)
	one, two := b.given(alice, ""), b.given(alice, "")
	if err := b.Rename(t.Context(), alice, one, "größe 1"); err != nil || b.read(one).Name != "größe 1" {
		t.Error(b.read(one).Name, err)
	}
	for _, bad := range []string{"", "17", "a;b", " a", "größe 1"} {
		b.wants(b.Rename(t.Context(), alice, two, bad), onevolume.Action)
	}
	if err := b.Rename(t.Context(), alice, one, "größe 1"); err != nil {
		t.Errorf("its own name again: %v", err)
	}
}

func TestChmod(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		who  onevolume.Caller
		from onevolume.Permissions
		bits [9]int
		want onevolume.Permissions // the same as from when it is refused
	}{
		{alice, 0o600, [9]int{-1, -1, -1, 1, -1, -1, 1, -1, -1}, 0o644},
		{alice, 0o666, [9]int{-1, -1, -1, 0, 0, -1, 0, 0, -1}, 0o600},
		{alice, 0o600, [9]int{-1, -1, 1, -1, -1, -1, -1, -1, -1}, 0o600}, // an admin bit needs ADMIN
		{alice, 0o700, [9]int{-1, -1, -1, -1, -1, 1, -1, -1, -1}, 0o710},
		{alice, 0o600, [9]int{1, 1, 0, 0, 0, 0, 0, 0, 0}, 0o600}, // admin bits as they are
		{root, 0o600, [9]int{1, 1, 1, 1, 1, 1, 1, 1, 1}, 0o777},
		{root, 0o777, [9]int{}, 0},
	} {
		id := b.given(alice, "")
		if err := b.db.Update(t.Context(), id, func(v *onevolume.Volume) error { v.Permissions = c.from; return nil }); err != nil {
			t.Fatal(err)
		}
		err := b.Chmod(t.Context(), c.who, id, c.bits)
		if got := b.read(id).Permissions; got != c.want {
			t.Errorf("%s by %v gives %s, want %s (%v)", c.from, c.bits, got, c.want, err)
		}
		if err != nil {
			b.wants(err, onevolume.Forbidden, "ADMIN VOLUME")
		}
	}
}

func TestChmodWithoutOthers(t *testing.T) {
	b := newBench(t)
	b.NoOthers = true
	id := b.given(alice, "")
	if err := b.Chmod(t.Context(), root, id, [9]int{1, 1, 0, 0, 0, 0, 1, 0, 0}); err != nil {
		t.Fatalf("by an administrator: %v", err)
	}
	// What is so already may stay, and may be taken back.
	if err := b.Chmod(t.Context(), alice, id, [9]int{1, 1, 0, 1, 0, 0, 1, 0, 0}); err != nil {
		t.Errorf("for the group: %v", err)
	}
	b.wants(b.Chmod(t.Context(), alice, id, [9]int{1, 1, 0, 0, 0, 0, 1, 1, 0}), onevolume.Forbidden, "Management of 'other' permissions is disabled")
	if err := b.Chmod(t.Context(), alice, id, [9]int{1, 1, 0, 0, 0, 0, 0, 0, 0}); err != nil {
		t.Errorf("back: %v", err)
	}
	b.wants(b.Chmod(t.Context(), alice, id, [9]int{-1, -1, -1, -1, -1, -1, 1, -1, -1}), onevolume.Forbidden)
	if got := b.read(id).Permissions; got != 0o600 {
		t.Errorf("permissions %s afterwards", got)
	}
}

func TestDelete(t *testing.T) {
	b := newBench(t)
	free := b.given(alice, "")
	if err := b.Delete(t.Context(), alice, free); err != nil {
		t.Error(err)
	}
	_, err := b.Info(t.Context(), root, free, false)
	b.wants(err, onevolume.NotFound)
	attached, moving := b.given(root, ""), b.given(root, "")
	b.bring(attached, onevolume.Attached)
	b.reserve(moving)
	for _, id := range []onevolume.VolumeID{attached, moving} {
		b.wants(b.Delete(t.Context(), root, id), onevolume.Action)
	}
}

func TestPool(t *testing.T) {
	b := newBench(t)
	hers, his, roots := b.given(alice, ""), b.given(bob, ""), b.given(root, "")
	if err := b.Chmod(t.Context(), root, roots, [9]int{-1, -1, -1, -1, -1, -1, 1, -1, -1}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who               onevolume.Caller
		flag, first, last int
		states            []onevolume.State
		want              []onevolume.VolumeID
	}{
		{root, -2, -1, -1, nil, []onevolume.VolumeID{roots, his, hers}},
		{alice, -2, -1, -1, nil, []onevolume.VolumeID{roots, hers}},
		{alice, -3, -1, -1, nil, []onevolume.VolumeID{hers}},
		{alice, -1, -1, -1, nil, []onevolume.VolumeID{hers}},
		{alice, -4, -1, -1, nil, []onevolume.VolumeID{hers}},
		{bob, 5, -1, -1, nil, nil},
		{root, 5, -1, -1, nil, []onevolume.VolumeID{hers}},
		{root, -2, 1, 1, nil, []onevolume.VolumeID{his}},
		{root, -2, 1, -1, nil, []onevolume.VolumeID{roots, his}},
		{root, -2, 0, -2, nil, []onevolume.VolumeID{roots, his}},
		{root, -2, 2, -2, nil, []onevolume.VolumeID{hers}},
		{root, -2, -1, -1, []onevolume.State{onevolume.Attached}, nil},
	} {
		f, err := onevolume.PoolFilter(c.flag, c.first, c.last)
		if err != nil {
			t.Fatal(err)
		}
		f.States = c.states
		list, err := b.Pool(t.Context(), c.who, f)
		var got []onevolume.VolumeID
		for _, v := range list {
			got = append(got, v.ID)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s, flag %d, %d to %d, %v: %v, want %v (%v)", c.who.User, c.flag, c.first, c.last, c.states, got, c.want, err)
		}
	}
	_, err := onevolume.PoolFilter(-5, -1, -1)
	b.wants(err, onevolume.Invalid)
}

// An operation is shown to who began it, to who may use its volume, and to
// administrators.
func TestOperation(t *testing.T) {
	b := newBench(t)
	id := b.given(alice, "")
	op := b.bring(id, onevolume.Attached)
	for _, c := range []struct {
		who onevolume.Caller
		may bool
	}{{root, true}, {admin, true}, {alice, true}, {bob, false}} {
		got, _, err := b.Operation(t.Context(), c.who, op.ID)
		if c.may != (err == nil) || c.may && got.ID != op.ID || !c.may && got.ID != 0 {
			t.Errorf("%s: %+v, %v", c.who.User, got, err)
		}
		if err != nil {
			b.wants(err, onevolume.Forbidden)
		}
	}
	_, _, err := b.Operation(t.Context(), root, 99)
	b.wants(err, onevolume.NotFound)
}

func TestReserveRefusesWhatNoWorkflowAsks(t *testing.T) {
	b := newBench(t)
	b.given(root, "")
	good := onevolume.Request{Kind: onevolume.Attach, Owner: "test", Lease: time.Minute,
		VM: onevolume.VM{ID: 17, Host: "host01"}, Pick: onevolume.Pick{Size: onevolume.MiB}}
	for name, change := range map[string]func(r *onevolume.Request){
		"kind":   func(r *onevolume.Request) { r.Kind = "steal" },
		"vm":     func(r *onevolume.Request) { r.VM.ID = -1 },
		"host":   func(r *onevolume.Request) { r.VM.Host = "" },
		"detach": func(r *onevolume.Request) { r.Kind = onevolume.Detach },
		"pick":   func(r *onevolume.Request) { r.Pick = onevolume.Pick{} },
		"owner":  func(r *onevolume.Request) { r.Owner = "" },
		"short":  func(r *onevolume.Request) { r.Lease = time.Millisecond },
		"long":   func(r *onevolume.Request) { r.Lease = time.Hour },
		"leave":  func(r *onevolume.Request) { r.Leave = "btrfs" },
	} {
		r := good
		change(&r)
		if _, _, err := b.Ledger(root).Reserve(t.Context(), r); onevolume.CodeOf(err) != onevolume.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, _, err := b.Ledger(bob).Reserve(t.Context(), good)
	b.wants(err, onevolume.NoneFits) // bob may use none
	if _, _, err := b.Ledger(root).Reserve(t.Context(), good); err != nil {
		t.Error(err)
	}
}
