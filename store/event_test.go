package store_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/store"
)

// changes reads all events after one, and checks that there is no gap.
func changes(t *testing.T, s *store.Store, after int) []onevolume.Change {
	t.Helper()
	list, newest, err := s.Changes(t.Context(), after, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range list {
		if c.ID != after+1+i || c.Time.IsZero() {
			t.Errorf("event %d at %v is %+v", i, after, c)
		}
	}
	if newest != after+len(list) {
		t.Errorf("the newest is %d after %d and %d more", newest, after, len(list))
	}
	return list
}

// told are events in short.
func told(list []onevolume.Change) (words []string) {
	for _, c := range list {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%d %s %d %s %s %s", c.Volume, c.Word(), c.VM, c.Host, c.Kind, c.Status)))
	}
	return words
}

// Another process reads each change that this one commits, and none that it
// does not.
func TestChanges(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		other := w.again(t)
		if list, newest, err := other.Changes(t.Context(), 0, 10); err != nil || len(list) != 0 || newest != 0 {
			t.Fatal(list, newest, err)
		}
		id := w.allocate(t, volume(1, gib))
		op, _ := w.reserve(t, alice, attach(17, gib))
		w.record(t, op, []onevolume.Entry{entry(w, "connect", onevolume.StepStarted, "")}, onevolume.Note{Host: "n1"})
		w.record(t, op, nil, onevolume.Note{}) // a lease that is renewed is no news
		w.clock.advance(time.Hour)
		op, err := w.TakeOver(t.Context(), op.Ref(), "another", time.Minute, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached})
		w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}) // the same word again
		if err := w.Explain(t.Context(), id, "why"); err != nil {
			t.Fatal(err)
		}
		// Neither a refusal nor a death before the commit.
		if err := w.Delete(t.Context(), id, nil); err == nil {
			t.Error("a volume in a VM was deleted")
		}
		failed := w.Update(t.Context(), id, func(v *onevolume.Volume) error {
			v.State = onevolume.Available
			return nil
		})
		wantCode(t, failed, onevolume.Action, "")
		op, _ = w.reserve(t, alice, onevolume.Request{Kind: onevolume.Detach, VM: onevolume.VM{ID: 17, Host: "n1"}, Pick: onevolume.Pick{Volume: fmt.Sprint(int(id))}, Owner: "o", Lease: time.Minute})
		w.record(t, op, nil, onevolume.Note{State: onevolume.Wiping})
		w.finish(t, op, onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "broken"})
		if err := w.Recover(t.Context(), id, onevolume.Recovery{State: onevolume.Available}); err != nil {
			t.Fatal(err)
		}
		if err := w.Delete(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		list := changes(t, other, 0)
		want := []string{
			"0 AVAILABLE -1", "0 ATTACHING 17  attach RUNNING", "0 ATTACHING 17 n1 attach RUNNING", "0 ATTACHING 17 n1 attach RUNNING",
			"0 ATTACHED 17 n1 attach DONE", "0 ATTACHED 17 n1 attach DONE", "0 DETACHING 17 n1 detach RUNNING", "0 WIPING 17 n1 detach RUNNING",
			"0 ERROR 17 n1 detach PARKED", "0 AVAILABLE -1  detach DONE", "0 DELETED -1  detach DONE",
		}
		if got := told(list); !reflect.DeepEqual(got, want) {
			t.Errorf("told\n%q, want\n%q", got, want)
		}
		if list[5].Reason != "why" || list[8].Reason != "broken" || list[1].By != alice.UID {
			t.Errorf("%+v\n%+v\n%+v", list[1], list[5], list[8])
		}
		if some, _, err := other.Changes(t.Context(), 3, 2); err != nil || !reflect.DeepEqual(some, list[3:5]) {
			t.Errorf("two after the third are %+v, %v", some, err)
		}
	})
}

// The newest are kept, the others go.
func TestChangesAreBounded(t *testing.T) {
	w := open(t, sqliteOptions(t))
	id := w.allocate(t, volume(1, gib))
	exec(t, raw(t, w.options), "UPDATE one_volume_control SET value = 40000 WHERE name = 'event'")
	for i := range 500 {
		if err := w.Explain(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(t.Context(), id, func(v *onevolume.Volume) error { v.Reason = fmt.Sprint(i); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	list, newest, err := w.Changes(t.Context(), 0, 1000)
	if err != nil || newest != 40499 || len(list) != 500 || list[0].ID != 40000 {
		t.Errorf("%d events, %v, newest %d", len(list), err, newest)
	}
}
