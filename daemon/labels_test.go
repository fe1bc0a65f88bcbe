package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
	"onevolume/daemon/labels"
)

const compare = 10 * time.Minute

// board is what VMs show. It answers as oned does: with trouble, late, or
// without having that VM.
type board struct {
	mu     sync.Mutex
	shown  map[onevolume.VMID]string
	gone   map[onevolume.VMID]bool
	down   bool
	locked bool
	slow   time.Duration
	calls  int
	writes int
}

func (b *board) Show(ctx context.Context, vm onevolume.VMID, volumes []onevolume.Volume) error {
	b.mu.Lock()
	b.calls++
	slow := b.slow
	b.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return onevolume.Errorf(onevolume.Unreachable, "oned: %w", ctx.Err())
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.down:
		return onevolume.Errorf(onevolume.Unreachable, "oned does not answer")
	case b.gone[vm]:
		return onevolume.Missing("virtual machine", int(vm))
	case b.locked:
		return onevolume.Errorf(onevolume.Forbidden, "User [0] : VM is locked. [%d].", vm)
	}
	var words []string
	for _, v := range volumes {
		words = append(words, fmt.Sprintf("%d %s %s %s", v.ID, v.Name, v.State, v.Attachment.Device))
	}
	if text := strings.Join(words, ", "); text != b.shown[vm] {
		b.shown[vm] = text
		b.writes++
	}
	return nil
}

func (b *board) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// show starts labels on the world's inventory.
func (w *world) show() (*labels.Labels, *board) {
	b := &board{shown: map[onevolume.VMID]string{}, gone: map[onevolume.VMID]bool{}}
	l := &labels.Labels{Inventory: w.db, Cloud: b, Log: w.Log, Retry: sweep, Every: compare}
	inner := w.Ledger
	w.Ledger = func(who onevolume.Caller) onevolume.Ledger { return l.Ledger(inner(who)) }
	return l, b
}

// wantShown asks for what the VM shows; time stands still meanwhile.
func (w *world) wantShown(b *board, id onevolume.VMID, text string) {
	w.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown[id] != text {
		w.Errorf("VM %d shows %q, want %q", id, b.shown[id], text)
	}
}

// wantNoted asks which VMs are noted as showing something, or have a volume.
func (w *world) wantNoted(ids ...onevolume.VMID) {
	w.Helper()
	list, err := w.db.Labelled(w.Context())
	if err != nil || !slices.Equal(list, ids) {
		w.Errorf("VMs %v are noted, %v; want %v", list, err, ids)
	}
}

func (w *world) attachAlice(v onevolume.Volume) {
	w.Helper()
	_, err := w.Attach(w.Context(), alice, "alice:token", vm.ID, onevolume.Pick{Volume: fmt.Sprint(int(v.ID))})
	if err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
	w.wants(v.ID, onevolume.Attached, onevolume.Done)
}

func (w *world) detachAlice(v onevolume.Volume) {
	w.Helper()
	if _, err := w.Detach(w.Context(), alice, "alice:token", vm.ID, v.ID, onevolume.LeaveData, false); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
	w.wants(v.ID, onevolume.Retained, onevolume.Done)
}

func TestLabelsFollowAttachAndDetach(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		l, b := w.show()
		l.Start()
		defer l.Stop(w.Context())
		w.Start()
		defer w.halt()
		one, two := w.volume(), w.unit("other", "iqn.2026-11.test:other")
		w.attachAlice(one)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")
		w.attachAlice(two)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv, 1 other ATTACHED sdiu")
		w.wantNoted(vm.ID)
		w.detachAlice(one)
		w.wantShown(b, vm.ID, "1 other ATTACHED sdiu")
		err := w.db.Update(w.Context(), two.ID, func(v *onevolume.Volume) error { v.Name = "renamed"; return nil })
		if err != nil {
			w.Fatal(err)
		}
		l.Changed(two.ID)
		w.wantShown(b, vm.ID, "1 renamed ATTACHED sdiu")
		w.detachAlice(two)
		w.wantShown(b, vm.ID, "")
		w.wantNoted()
		if b.writes != 5 {
			w.Errorf("%d writes, want 5", b.writes)
		}
		// What is over costs nothing more, and no other VM is touched.
		calls := b.calls
		time.Sleep(3 * compare)
		synctest.Wait()
		if b.calls != calls || len(b.shown) != 1 {
			w.Errorf("%d calls more, VMs %v", b.calls-calls, b.shown)
		}
	})
}

// A client that runs the workflow itself ends its operations through the
// daemon too.
func TestLabelsFollowClients(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		l, b := w.show()
		l.Start()
		defer l.Stop(w.Context())
		v := w.volume()
		op := w.orphan(v)
		w.wantShown(b, vm.ID, "") // nothing to see yet
		e := onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Device: "sdiv"}}
		if err := w.Ledger(alice).Finish(w.Context(), op.Ref(), e); err != nil {
			w.Fatal(err)
		}
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")
		// An administrator's word counts as well.
		if err := w.db.Recover(w.Context(), v.ID, onevolume.Recovery{State: onevolume.Available}); err != nil {
			w.Fatal(err)
		}
		l.Changed(v.ID)
		w.wantShown(b, vm.ID, "")
	})
}

// An oned that is down or slow keeps nobody waiting, and once it answers the
// VMs show what is so by then, also after a restart.
func TestLabelsWaitForOned(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		l, b := w.show()
		l.Start()
		w.Start()
		defer w.halt()
		v := w.volume()
		b.set(func() { b.down = true })
		w.attachAlice(v) // does not fail, and takes no time
		w.wantShown(b, vm.ID, "")
		time.Sleep(3 * compare)
		synctest.Wait()
		if most := int(3*compare/sweep) + 10; b.calls > most {
			w.Errorf("%d calls of an oned that is down, want at most %d", b.calls, most)
		}
		if n := w.log.FilterMessageSnippet("do not show").Len(); n != 1 {
			w.Errorf("the log says so %d times", n)
		}
		b.set(func() { b.down = false })
		time.Sleep(sweep)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")

		b.set(func() { b.down = true })
		w.detachAlice(v)
		l.Stop(w.Context())
		w.wantNoted(vm.ID)
		b.set(func() { b.down = false })
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv") // what it showed when we went
		l.Start()
		w.wantShown(b, vm.ID, "")
		w.wantNoted()

		b.set(func() { b.slow = time.Hour })
		begun := time.Now()
		w.attachAlice(v)
		if took := time.Since(begun); took > time.Second {
			w.Errorf("an attach took %s beside a slow oned", took)
		}
		time.Sleep(time.Minute)
		b.set(func() { b.slow = 0 })
		time.Sleep(time.Minute)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")
		l.Stop(w.Context())
	})
}

// A VM that cannot be written to is left alone after a few tries, until
// everything is compared again; one that is gone is forgotten.
func TestLabelsOfOneVMGiveUp(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		l, b := w.show()
		l.Start()
		defer l.Stop(w.Context())
		w.Start()
		defer w.halt()
		v := w.volume()
		synctest.Wait()
		b.set(func() { b.locked = true })
		w.attachAlice(v)
		time.Sleep(compare - time.Second)
		synctest.Wait()
		if b.calls != 5 {
			w.Errorf("%d calls for a locked VM, want 5", b.calls)
		}
		b.set(func() { b.locked = false })
		time.Sleep(sweep)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")

		w.detachAlice(v)
		b.set(func() { b.gone[vm.ID] = true })
		w.attachAlice(v)
		w.wantNoted(vm.ID) // it has a volume
		w.detachAlice(v)
		w.wantNoted()
	})
}

// Somebody who edits the template is put right by the comparison of
// everything.
func TestLabelsAreComparedFromTimeToTime(t *testing.T) {
	bubble(t, func(_ *testing.T, w *world) {
		l, b := w.show()
		l.Start()
		defer l.Stop(w.Context())
		w.Start()
		defer w.halt()
		w.attachAlice(w.volume())
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")
		b.set(func() { b.shown[vm.ID] = "" })
		time.Sleep(compare)
		w.wantShown(b, vm.ID, "0 disk ATTACHED sdiv")
	})
}
