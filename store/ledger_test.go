package store_test

import (
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
)

func entry(w *world, step string, event onevolume.Event, detail string) onevolume.Entry {
	return onevolume.Entry{Step: step, Event: event, Time: w.clock.Now(), Detail: detail}
}

func TestRecord(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		w.clock.advance(30 * time.Second)
		first := []onevolume.Entry{entry(w, "login", onevolume.StepStarted, ""), entry(w, "login", onevolume.StepSucceeded, `{"Host":"n1"}`)}
		note := onevolume.Note{Host: "n1", Device: "sdz", Source: "/dev/disk/by-path/x", Serial: "onevolume-0",
			Identity: onevolume.Identity{Serial: "abc"}}
		w.record(t, op, first, note)
		w.record(t, op, []onevolume.Entry{{Step: "plug", Event: onevolume.StepStarted}},
			onevolume.Note{Identity: onevolume.Identity{Serial: "abc", WWID: "naa.6"}})

		journal, err := w.Journal(t.Context(), op.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := append(slices.Clone(first), entry(w, "plug", onevolume.StepStarted, ""))
		for i := range want {
			want[i].Seq, want[i].Generation, want[i].Owner = i+1, 1, op.Owner
		}
		if !reflect.DeepEqual(journal, want) {
			t.Errorf("journal\n got %+v\nwant %+v", journal, want)
		}
		v := w.volume(t, 0)
		if a := (onevolume.Attachment{VM: 17, Host: "n1", Device: "sdz", Source: "/dev/disk/by-path/x", Serial: "onevolume-0"}); v.Attachment != a {
			t.Errorf("attachment %+v, want %+v", v.Attachment, a)
		}
		if i := (onevolume.Identity{Serial: "abc", WWID: "naa.6"}); v.Identity != i {
			t.Errorf("identity %+v, want %+v", v.Identity, i)
		}
		if op, _ := w.Operation(t.Context(), op.ID); !op.Lease.Equal(w.clock.Now().Add(time.Minute)) {
			t.Errorf("the lease ends at %s, not a minute from now", op.Lease)
		}
		_, err = w.Journal(t.Context(), 99)
		wantCode(t, err, onevolume.NotFound, "Error getting operation [99].")
	})
}

func TestRecordAgainAfterALostAnswer(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		e := []onevolume.Entry{entry(w, "login", onevolume.StepStarted, ""), entry(w, "login", onevolume.StepFailed, "x")}
		for range 3 {
			w.record(t, op, e, onevolume.Note{Host: "n1"})
		}
		// The step's next try is no repetition: its time differs.
		w.clock.advance(time.Millisecond)
		w.record(t, op, []onevolume.Entry{entry(w, "login", onevolume.StepStarted, ""), entry(w, "login", onevolume.StepFailed, "x")}, onevolume.Note{})
		w.record(t, op, nil, onevolume.Note{})
		if journal, _ := w.Journal(t.Context(), op.ID); len(journal) != 4 {
			t.Errorf("the journal has %d entries, want 4: %+v", len(journal), journal)
		}
	})
}

func TestRecordRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		v := volume(0, gib)
		v.Identity = onevolume.Identity{Serial: "abc", WWID: "naa.6"}
		w.allocate(t, v)
		op, _ := w.reserve(t, alice, attach(17, gib))
		e := []onevolume.Entry{entry(w, "prove", onevolume.StepStarted, "")}
		for _, c := range []struct {
			name string
			ref  onevolume.OperationRef
			note onevolume.Note
			code onevolume.Code
			text string
		}{
			{"generation", onevolume.OperationRef{ID: 1, Generation: 2}, onevolume.Note{}, onevolume.Stale, ""},
			{"operation", onevolume.OperationRef{ID: 2, Generation: 1}, onevolume.Note{}, onevolume.NotFound, "Error getting operation [2]."},
			{"serial", op.Ref(), onevolume.Note{Host: "n1", Identity: onevolume.Identity{Serial: "xyz"}}, onevolume.Mismatch,
				`Volume 0 has the unit serial number "abc" on record, but the device says "xyz".`},
			{"WWID", op.Ref(), onevolume.Note{Identity: onevolume.Identity{Serial: "abc", WWID: "naa.7"}}, onevolume.Mismatch, ""},
			{"transition", op.Ref(), onevolume.Note{State: onevolume.Wiping}, onevolume.Action, "Volume 0 cannot go from ATTACHING to WIPING."},
			{"free before the end", op.Ref(), onevolume.Note{State: onevolume.Available}, onevolume.Action, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				wantCode(t, w.Record(t.Context(), c.ref, e, c.note), c.code, c.text)
			})
		}
		if journal, _ := w.Journal(t.Context(), op.ID); len(journal) != 0 {
			t.Errorf("refused entries are in the journal: %+v", journal)
		}
		if v := w.volume(t, 0); v.Attachment.Host != "" {
			t.Error("a refused note was written")
		}
	})
}

// Every event is refused that cannot follow the one before it of its step,
// within one call and across them, and with it the whole call.
func TestRecordRefusesIllegalEvents(t *testing.T) {
	all := []onevolume.Event{onevolume.StepStarted, onevolume.StepSucceeded, onevolume.StepFailed,
		onevolume.UndoStarted, onevolume.UndoFinished, onevolume.UndoFailed, "TELEPORTED", ""}
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		entries, legal := 0, 0
		for i, before := range append([]onevolume.Event{""}, all[:6]...) {
			for j, next := range all {
				// A step of its own for each pair, brought to the event before.
				step := string(rune('a'+i)) + string(rune('a'+j))
				way := map[onevolume.Event][]onevolume.Event{
					"": nil, onevolume.StepStarted: {onevolume.StepStarted},
					onevolume.StepSucceeded: {onevolume.StepStarted, onevolume.StepSucceeded}, onevolume.StepFailed: {onevolume.StepStarted, onevolume.StepFailed},
					onevolume.UndoStarted: {onevolume.UndoStarted}, onevolume.UndoFinished: {onevolume.UndoStarted, onevolume.UndoFinished},
					onevolume.UndoFailed: {onevolume.UndoStarted, onevolume.UndoFailed},
				}[before]
				var list []onevolume.Entry
				for _, e := range way {
					list = append(list, entry(w, step, e, ""))
				}
				if j%2 == 0 && len(list) > 0 { // half of them in calls of their own
					w.record(t, op, list, onevolume.Note{})
					entries, list = entries+len(list), nil
				}
				list = append(list, entry(w, "other"+step, onevolume.StepStarted, ""), entry(w, step, next, ""))
				w.clock.advance(time.Millisecond)
				err := w.Record(t.Context(), op.Ref(), list, onevolume.Note{})
				if !next.MayFollow(before) {
					wantCode(t, err, onevolume.Invalid, "")
					continue
				}
				if err != nil {
					t.Errorf("%q after %q: %v", next, before, err)
				}
				entries, legal = entries+len(list), legal+1
			}
		}
		journal, err := w.Journal(t.Context(), op.ID)
		if err != nil || len(journal) != entries || legal != 18 {
			t.Errorf("%d entries, want %d; %d pairs are legal; %v", len(journal), entries, legal, err)
		}
	})
}

// endings take a volume of alice's, attached by size, through a second
// operation.
func TestFinish(t *testing.T) {
	for _, c := range []struct {
		name  string
		state onevolume.State // noted before the end
		end   onevolume.Ending
		want  onevolume.Volume // the fields that are compared below
	}{
		{"wiped", onevolume.Wiping, onevolume.Ending{Status: onevolume.Done, State: onevolume.Available, Error: "x"},
			onevolume.Volume{State: onevolume.Available, Owner: root.Owner, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}},
		{"retained", "", onevolume.Ending{Status: onevolume.Done, State: onevolume.Retained},
			onevolume.Volume{State: onevolume.Retained, Owner: alice.Owner, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}},
		{"undone", "", onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached, Error: "the guest held it"},
			onevolume.Volume{State: onevolume.Attached, Owner: alice.Owner, Reason: "the guest held it",
				Attachment: onevolume.Attachment{VM: 17, Host: "n1", Device: "sdz"}}},
		{"parked", onevolume.Wiping, onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "no answer",
			Note: onevolume.Note{Device: "sdy", Identity: onevolume.Identity{Serial: "another"}}},
			onevolume.Volume{State: onevolume.Failed, Owner: alice.Owner, Reason: "no answer",
				Attachment: onevolume.Attachment{VM: 17, Host: "n1", Device: "sdy"}}},
		{"wiped in one word", "", onevolume.Ending{Status: onevolume.Done, State: onevolume.Available, Note: onevolume.Note{State: onevolume.Wiping}},
			onevolume.Volume{State: onevolume.Available, Owner: root.Owner, Attachment: onevolume.Attachment{VM: onevolume.NoVM}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			backends(t, func(t *testing.T, w *world) {
				w.fill(t, gib)
				op, _ := w.reserve(t, alice, attach(17, gib))
				w.finish(t, op, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached,
					Note: onevolume.Note{Host: "n1", Device: "sdz", Identity: onevolume.Identity{Serial: "abc"}}})
				op, _ = w.reserve(t, alice, detach(17, "0"))
				w.record(t, op, nil, onevolume.Note{State: c.state})
				w.clock.advance(time.Second)
				w.finish(t, op, c.end)
				v := w.volume(t, 0)
				if v.State != c.want.State || v.Owner != c.want.Owner || v.Reason != c.want.Reason || v.Attachment != c.want.Attachment {
					t.Errorf("volume\n got %+v\nwant %+v", v, c.want)
				}
				if v.Identity.Serial != "abc" || v.Name != "disk0.x" {
					t.Errorf("identity %+v, name %q", v.Identity, v.Name)
				}
				got, err := w.Operation(t.Context(), op.ID)
				if err != nil || got.Status != c.end.Status || got.Error != c.end.Error || !got.Ended.Equal(w.clock.Now()) {
					t.Errorf("operation %+v, %v", got, err)
				}
				// The answer was lost: the same word again is fine, another is not.
				w.finish(t, op, c.end)
				other := onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}
				if c.end.Status == onevolume.Done {
					other.Status = onevolume.Undone
				}
				wantCode(t, w.Finish(t.Context(), op.Ref(), other), onevolume.Stale, "")
				wantCode(t, w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}), onevolume.Stale, "")
				if again := w.volume(t, 0); again.Version != v.Version {
					t.Error("a repeated ending wrote the volume")
				}
			})
		})
	}
}

func TestFinishRefuses(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		stale := op.Ref()
		stale.Generation++
		for _, c := range []struct {
			ref  onevolume.OperationRef
			end  onevolume.Ending
			code onevolume.Code
		}{
			{stale, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}, onevolume.Stale},
			{op.Ref(), onevolume.Ending{Status: onevolume.Running, State: onevolume.Attached}, onevolume.Invalid},
			{op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Wiping}, onevolume.Invalid},
			{op.Ref(), onevolume.Ending{Status: onevolume.Done}, onevolume.Invalid},
			{op.Ref(), onevolume.Ending{Status: onevolume.Parked, State: onevolume.Available}, onevolume.Invalid},
			{op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{State: onevolume.Wiping}}, onevolume.Action},
			{onevolume.OperationRef{ID: 9, Generation: 1}, onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}, onevolume.NotFound},
		} {
			wantCode(t, w.Finish(t.Context(), c.ref, c.end), c.code, "")
		}
		if got, _ := w.Operation(t.Context(), op.ID); got.Status != onevolume.Running {
			t.Errorf("the operation is %s", got.Status)
		}
	})
}

func TestDetachFromError(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		w.finish(t, op, onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "host died"})
		op, v := w.reserve(t, root, detach(17, "0"))
		if op.Prior != onevolume.Failed || v.Reason != "host died" {
			t.Errorf("prior %s, reason %q", op.Prior, v.Reason)
		}
	})
}

func TestTakeOver(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		w.clock.advance(30 * time.Second)
		w.reserve(t, alice, attach(18, gib))
		_, err := w.TakeOver(t.Context(), op.Ref(), "daemon", time.Hour, time.Time{})
		wantCode(t, err, onevolume.Busy, "Operation 1 is held by test@host/17 until 2026-11-20T12:01:00Z.")
		w.clock.advance(31 * time.Second)
		dead, err := w.Expired(t.Context(), w.clock.Now())
		if err != nil || len(dead) != 1 || dead[0].ID != op.ID {
			t.Fatalf("expired %+v, %v, want operation %d", dead, err, op.ID)
		}
		var winners atomic.Int32
		var taken onevolume.Operation
		var all sync.WaitGroup
		for _, name := range []string{"daemon1", "daemon2", "daemon3", "daemon4"} {
			all.Go(func() {
				got, err := w.TakeOver(t.Context(), op.Ref(), name, time.Hour, time.Time{})
				if err != nil {
					if onevolume.CodeOf(err) != onevolume.Stale {
						t.Error(err)
					}
					return
				}
				winners.Add(1)
				taken = got
			})
		}
		all.Wait()
		if winners.Load() != 1 || taken.Generation != 2 || !taken.Lease.Equal(w.clock.Now().Add(time.Hour)) {
			t.Fatalf("%d took over, the last as %+v", winners.Load(), taken)
		}
		// The winner may ask again; its predecessor is refused whatever it does.
		if again, err := w.TakeOver(t.Context(), op.Ref(), taken.Owner, time.Hour, time.Time{}); err != nil || again != taken {
			t.Errorf("again: %+v, %v", again, err)
		}
		wantCode(t, w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}), onevolume.Stale, "")
		wantCode(t, w.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached}), onevolume.Stale, "")
		w.clock.advance(time.Minute)
		w.record(t, taken, []onevolume.Entry{entry(w, "login", onevolume.UndoStarted, "")}, onevolume.Note{})
		if got, _ := w.Operation(t.Context(), op.ID); !got.Lease.Equal(w.clock.Now().Add(time.Hour)) {
			t.Error("a renewal does not use the new owner's lease")
		}
		w.finish(t, taken, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available})
		_, err = w.TakeOver(t.Context(), taken.Ref(), "daemon9", time.Hour, time.Time{})
		wantCode(t, err, onevolume.Stale, "Operation 1 has ended: it is UNDONE.")
		_, err = w.TakeOver(t.Context(), onevolume.OperationRef{ID: 9}, "daemon", time.Hour, time.Time{})
		wantCode(t, err, onevolume.NotFound, "")
	})
}

// Two goroutines of one owner, the one that works and the one that renews.
func TestRecordAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		var all sync.WaitGroup
		all.Go(func() {
			for range 20 {
				w.clock.advance(time.Millisecond)
				if err := w.Record(t.Context(), op.Ref(), []onevolume.Entry{entry(w, "wipe", onevolume.StepStarted, "")}, onevolume.Note{}); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 20 {
				if err := w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}); err != nil {
					t.Error(err)
				}
			}
		})
		all.Wait()
		if journal, _ := w.Journal(t.Context(), op.ID); len(journal) != 20 {
			t.Errorf("%d entries, want 20", len(journal))
		}
	})
}

// A successor that knows the owner to be dead does not wait for the lease.
func TestTakeOverFromTheDead(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		_, err := w.TakeOver(t.Context(), op.Ref(), "daemon", time.Hour, time.Time{})
		wantCode(t, err, onevolume.Busy, "")
		// Its last word came in just before.
		w.clock.advance(time.Second)
		w.record(t, op, nil, onevolume.Note{})
		_, err = w.TakeOver(t.Context(), op.Ref(), "daemon", time.Hour, op.Lease)
		wantCode(t, err, onevolume.Busy, "")
		if op, err = w.Operation(t.Context(), op.ID); err != nil {
			t.Fatal(err)
		}
		taken, err := w.TakeOver(t.Context(), op.Ref(), "daemon", time.Hour, op.Lease)
		if err != nil || taken.Generation != op.Generation+1 {
			t.Errorf("got %+v, %v", taken, err)
		}
		wantCode(t, w.Record(t.Context(), op.Ref(), nil, onevolume.Note{}), onevolume.Stale, "")
	})
}
