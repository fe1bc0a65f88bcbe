package provision_test

import (
	"sync"
	"testing"
	"time"

	"onevolume"
	"onevolume/array"
	"onevolume/provision"
)

const host1, host2 onevolume.IQN = "iqn.2026-11.test:host01", "iqn.2026-11.test:host02"

// attaching is a volume that was made, and an operation that attaches it.
func attaching(t *testing.T) (*world, *provision.Access, onevolume.Volume, onevolume.Operation) {
	w := newWorld(t)
	v := w.volume(w.must(create("disk", onevolume.MiB, -1, "")).Volume)
	a := &provision.Access{Engine: w.engine(&process{}), Volume: w.db.Volume, Operation: w.db.Operation}
	op, _, err := w.db.Reserve(t.Context(), root, onevolume.Request{Kind: onevolume.Attach, Pick: onevolume.Pick{Volume: "disk"},
		VM: onevolume.VM{ID: 17, Host: "host01"}, Owner: "client", Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return w, a, v, op
}

// user is the CHAP user of the only one who is let in.
func (w *world) user(v onevolume.Volume) string {
	w.Helper()
	list, err := w.array.Exports(w.Context(), array.ID(v.ArrayID))
	if err != nil || len(list) != 1 {
		w.Fatalf("let in are %+v, %v", list, err)
	}
	return list[0].Target.CHAP.User
}

// TestGrantOfAnOldOwner: who was replaced can neither let in nor take away.
func TestGrantOfAnOldOwner(t *testing.T) {
	w, a, v, op := attaching(t)
	first, err := a.Grant(t.Context(), op.Ref(), host1)
	if err != nil || first.CHAP.Secret == "" || first.Identity.Serial != v.ArrayID || w.volume(v.ID).Identity != first.Identity {
		t.Fatalf("%+v, %v; on record is %+v", first, err, w.volume(v.ID).Identity)
	}
	w.now = w.now.Add(2 * lease)
	mine, err := w.db.TakeOver(t.Context(), op.Ref(), "daemon", lease, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Grant(t.Context(), op.Ref(), host1); onevolume.CodeOf(err) != onevolume.Stale {
		t.Errorf("granted again: %v", err)
	}
	if err := a.Revoke(t.Context(), op.Ref(), ""); onevolume.CodeOf(err) != onevolume.Stale {
		t.Errorf("revoked: %v", err)
	}
	if got := w.user(v); got != first.CHAP.User {
		t.Errorf("the credentials are of %s, not of %s", got, first.CHAP.User)
	}
	// The new owner's host takes the place of the old one's.
	second, err := a.Grant(t.Context(), mine.Ref(), host2)
	if err != nil || second.CHAP == first.CHAP || w.user(v) != second.CHAP.User {
		t.Errorf("%+v, %v", second, err)
	}
	for range 2 {
		if err := a.Revoke(t.Context(), mine.Ref(), ""); err != nil {
			t.Error(err)
		}
	}
	if exports, _ := w.array.LetIn(array.ID(v.ArrayID)); len(exports) > 0 {
		t.Errorf("let in are %v", exports)
	}
}

// TestGrantLost has each request to the array get lost. Repeated, the call
// leaves one export, with the credentials that it gives.
func TestGrantLost(t *testing.T) {
	w, a, v, op := attaching(t)
	for _, took := range []bool{false, true} {
		for n, came := 1, true; came; n++ {
			hit := w.array.Lose(n, took)
			_, err := a.Grant(t.Context(), op.Ref(), host1)
			if came = hit(); came != (err != nil) {
				t.Errorf("request %d lost (%t): %v", n, took, err)
			}
			if got, err := a.Grant(t.Context(), op.Ref(), host1); err != nil || w.user(v) != got.CHAP.User {
				t.Errorf("request %d lost (%t), and again: %v", n, took, err)
			}
			if n > 20 {
				t.Fatal("there is no end of requests")
			}
		}
	}
}

// TestGrantsSideBySide: each volume has its turn, so that of two calls one is
// the last as a whole.
func TestGrantsSideBySide(t *testing.T) {
	w, a, v, op := attaching(t)
	users := make([]string, 8)
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			got, err := a.Grant(t.Context(), op.Ref(), []onevolume.IQN{host1, host2}[i%2])
			if err != nil {
				t.Error(err)
			}
			users[i] = got.CHAP.User
		})
	}
	all.Wait()
	last := w.user(v)
	seen := map[string]bool{}
	for _, u := range users {
		seen[u] = true
	}
	if len(seen) != len(users) || !seen[last] {
		t.Errorf("users %v, and %s is let in", users, last)
	}
}
