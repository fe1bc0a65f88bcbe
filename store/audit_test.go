package store_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onevolume"
)

// asks gives the context of a caller's ask.
func asks(t tester, who onevolume.Caller, action, text string) context.Context {
	return onevolume.WithAsk(t.Context(), onevolume.Ask{By: who.Owner, From: "10.0.0.9", Action: action, Text: text})
}

// all is a history without conditions.
func all(who onevolume.Caller) onevolume.History {
	return onevolume.History{Viewer: who, Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1}
}

func (w *world) history(t tester, h onevolume.History) []onevolume.Deed {
	t.Helper()
	deeds, err := w.History(t.Context(), h)
	if err != nil {
		t.Fatalf("History(%+v): %v", h, err)
	}
	return deeds
}

// line is a deed in short: id, who, action, volume, VM, operation, result.
func line(d onevolume.Deed) string {
	return fmt.Sprintf("%d %s %s %q v%d vm%d op%d %s", d.ID, d.By.User, d.Action, d.Text, d.Volume, d.VM, d.Operation, d.Result)
}

func lines(deeds []onevolume.Deed) (list []string) {
	for _, d := range deeds {
		list = append(list, line(d))
	}
	return list
}

// A volume's life, as the audit tells it.
func TestAuditTellsALife(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		ctx := asks(t, root, "create", "disk0.x")
		if _, err := w.Allocate(ctx, volume(0, gib)); err != nil {
			t.Fatal(err)
		}
		w.allocate(t, volume(1, 2*gib)) // nobody asked
		if err := w.Update(asks(t, root, "chmod", "644"), 0, func(v *onevolume.Volume) error { v.Permissions = 0o600; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(asks(t, root, "chmod", "600"), 0, func(*onevolume.Volume) error { return nil }); err != nil {
			t.Fatal(err) // changes nothing
		}
		if _, _, err := w.Reserve(asks(t, alice, "attach", "no room"), alice, attach(17, 9*gib)); err == nil {
			t.Fatal("a volume that is not there")
		}
		ctx = asks(t, root, "attach", "17 0")
		op, _, err := w.Reserve(ctx, root, attachNamed(17, "0"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.Reserve(ctx, root, attachNamed(17, "0")); err != nil {
			t.Fatal(err) // its answer was lost
		}
		w.clock.advance(time.Hour)
		op, err = w.TakeOver(t.Context(), op.Ref(), "daemon", time.Minute, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		e := onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed, Error: "no host"}
		w.finish(t, op, e)
		w.finish(t, op, e)
		if op, err = w.Reopen(asks(t, root, "abort", "1"), 1, onevolume.Back, "daemon", time.Minute); err != nil {
			t.Fatal(err)
		}
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available, Error: "aborted"})
		w.attached(t, root, attachNamed(18, "0"))
		if err := w.Recover(asks(t, root, "recover", "available"), 0, onevolume.Recovery{State: onevolume.Available}); err != nil {
			t.Fatal(err)
		}
		if err := w.Delete(asks(t, root, "delete", ""), 0, nil); err != nil {
			t.Fatal(err)
		}
		if err := w.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{By: bob.Owner, Action: "attach", Text: "17"},
			Volume: onevolume.NoVolume, VM: 17, Result: "No free volume."}); err != nil {
			t.Fatal(err)
		}
		got := w.history(t, all(root))
		slices.Reverse(got)
		want := []string{
			`1 oneadmin create "disk0.x" v0 vm-1 op0 ok`,
			`2 oneadmin chmod "644" v0 vm-1 op0 ok`,
			`3 oneadmin attach "17 0" v0 vm17 op1 begun`,
			`4 oneadmin take over "from test@host/17" v0 vm17 op1 ok`,
			`5 oneadmin attach "" v0 vm17 op1 parked: no host`,
			`6 oneadmin abort "1" v0 vm17 op1 ok`,
			`7 oneadmin attach "" v0 vm17 op1 undone: aborted`,
			`8 oneadmin attach "" v0 vm18 op2 done`,
			`9 oneadmin recover "available" v0 vm18 op2 ok`,
			`10 oneadmin delete "" v0 vm-1 op0 ok`,
			`11 bob attach "17" v-1 vm17 op0 No free volume.`,
		}
		if !slices.Equal(lines(got), want) {
			t.Errorf("history\n got %s\nwant %s", strings.Join(lines(got), "\n     "), strings.Join(want, "\n     "))
		}
		if d := got[3]; d.From != "daemon" || !d.Time.Equal(w.clock.Now()) || d.By != root.Owner {
			t.Errorf("the takeover's deed is %+v", d)
		}
		if d := got[0]; d.From != "10.0.0.9" || !d.Time.Equal(newClock().now) {
			t.Errorf("the first deed is %+v", d)
		}
	})
}

// What a viewer may not see, and what a filter leaves out, is not there.
func TestHistoryFilters(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		for i, permissions := range []onevolume.Permissions{0o600, 0o620, 0o602, 0o400, 0o644} {
			v := volume(i, gib)
			v.Owner, v.Permissions = alice.Owner, permissions
			w.allocate(t, v)
		}
		for i, who := range []onevolume.Caller{root, alice, bob, root, root, root, root} {
			d := onevolume.Deed{Ask: onevolume.Ask{By: who.Owner, Action: "x"}, Volume: onevolume.VolumeID(i), VM: onevolume.VMID(i % 2)}
			if i == 6 {
				d.Volume = onevolume.NoVolume
			}
			if err := w.Audit(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
		friend := onevolume.Caller{Owner: onevolume.Owner{UID: 7, GID: 100}, Groups: []int{100}}
		for _, c := range []struct {
			name string
			who  onevolume.Caller
			h    func(h *onevolume.History)
			want []int
		}{
			{"administrator", root, nil, []int{7, 6, 5, 4, 3, 2, 1}},
			{"owner", alice, nil, []int{5, 3, 2, 1}}, // 4 is not even hers to manage
			{"group", friend, nil, []int{3, 2}},
			{"asker", bob, nil, []int{3}},
			{"volume", root, func(h *onevolume.History) { h.Volume = 3 }, []int{4}},
			{"VM", root, func(h *onevolume.History) { h.VM = 1 }, []int{6, 4, 2}},
			{"user", root, func(h *onevolume.History) { h.UID = 2 }, []int{2}},
			{"oneadmin", alice, func(h *onevolume.History) { h.UID = 0 }, []int{5, 1}},
			{"page", root, func(h *onevolume.History) { h.Before, h.Limit = 6, 2 }, []int{5, 4}},
			{"none", bob, func(h *onevolume.History) { h.Volume = 0 }, []int{}},
		} {
			h := all(c.who)
			if c.h != nil {
				c.h(&h)
			}
			got := []int{}
			for _, d := range w.history(t, h) {
				got = append(got, d.ID)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s sees %v, want %v", c.name, got, c.want)
			}
		}
	})
}

// What SQL calls manageable is what Caller.May allows.
func TestHistoryShowsWhatMayBeManaged(t *testing.T) {
	w := open(t, sqliteOptions(t))
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 4)
		v := volume(n, gib)
		n++
		v.Owner = onevolume.Owner{UID: small.Draw(t, "uid"), GID: small.Draw(t, "gid")}
		v.Permissions = onevolume.Permissions(rapid.IntRange(0, 0o777).Draw(t, "permissions"))
		v.ID = w.allocate(t, v)
		if err := w.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{By: onevolume.Owner{UID: 99}}, Volume: v.ID}); err != nil {
			t.Fatal(err)
		}
		who := onevolume.Caller{Owner: onevolume.Owner{UID: small.Draw(t, "viewer"), GID: small.Draw(t, "group")}}
		who.Groups = rapid.SliceOfNDistinct(small, 0, 4, rapid.ID).Draw(t, "groups")
		h := all(who)
		h.Volume = v.ID
		if seen := len(w.history(t, h)) == 1; seen != who.May(onevolume.Manage, &v) {
			t.Fatalf("%+v sees the deed on %+v: %v", who, v, seen)
		}
	})
}

// A line of the audit must not be what an operation fails of.
func TestAuditTakesAnything(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, root, attachNamed(17, "0"))
		w.finish(t, op, onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available, Error: strings.Repeat("ü", 100_000)})
		long := strings.Repeat("語", 20_000) + "\xff\x00"
		err := w.Audit(t.Context(), onevolume.Deed{Ask: onevolume.Ask{By: onevolume.Owner{User: long, Group: long}, From: long, Action: long, Text: long}, Result: "\xfe"})
		if err != nil {
			t.Fatal(err)
		}
		deeds := w.history(t, all(root))
		if len(deeds) != 2 || len(deeds[1].Result) < 30_000 || deeds[0].Result != "\uFFFD" || len([]rune(deeds[0].Action)) != 32 {
			t.Errorf("%d deeds, the first with a result of %d bytes, the second %.100q", len(deeds), len(deeds[1].Result), line(deeds[0]))
		}
	})
}

func TestAuditAtOnce(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		const n = 20
		stores := []interface {
			Audit(context.Context, onevolume.Deed) error
		}{w.Store, w.again(t)}
		var wait sync.WaitGroup
		for i := range n {
			wait.Go(func() {
				if err := stores[i%2].Audit(t.Context(), onevolume.Deed{Volume: onevolume.VolumeID(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		deeds := w.history(t, all(root))
		seen := map[onevolume.VolumeID]bool{}
		for i, d := range deeds {
			seen[d.Volume] = true
			if d.ID != n-i {
				t.Errorf("deed %d has the id %d", n-i, d.ID)
			}
		}
		if len(deeds) != n || len(seen) != n {
			t.Errorf("%d deeds on %d volumes, want %d", len(deeds), len(seen), n)
		}
	})
}

func TestJournalKeepsCommands(t *testing.T) {
	backends(t, func(t *testing.T, w *world) {
		w.fill(t, gib)
		op, _ := w.reserve(t, alice, attach(17, gib))
		many := make([]onevolume.Command, 130)
		for i := range many {
			many[i] = onevolume.Command{Host: "n1", Text: fmt.Sprint("true ", i), Started: w.clock.Now(), Took: time.Duration(i) * time.Microsecond}
		}
		odd := onevolume.Command{Host: "n1", Text: "iscsiadm -m node", Started: w.clock.Now(), Took: 1500 * time.Microsecond, Code: 21,
			Stderr: "no records\n\xff", Error: "connection lost"}
		first := []onevolume.Entry{entry(w, "login", onevolume.StepStarted, "")}
		second := []onevolume.Entry{entry(w, "login", onevolume.StepSucceeded, ""), entry(w, "plug", onevolume.StepStarted, ""), entry(w, "plug", onevolume.StepFailed, "x")}
		second[0].Commands, second[2].Commands = many, []onevolume.Command{odd}
		w.record(t, op, first, onevolume.Note{})
		for range 2 { // the answer was lost
			w.record(t, op, second, onevolume.Note{})
		}
		journal, err := w.Journal(t.Context(), op.ID)
		if err != nil || len(journal) != 4 {
			t.Fatalf("%d entries, %v", len(journal), err)
		}
		odd.Stderr = "no records\n\uFFFD"
		for i, want := range [][]onevolume.Command{nil, many, nil, {odd}} {
			if !reflect.DeepEqual(journal[i].Commands, want) {
				t.Errorf("entry %d has the commands\n%+v, want\n%+v", i+1, journal[i].Commands, want)
			}
		}
	})
}
