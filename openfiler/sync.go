package openfiler

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"onevolume"
	"onevolume/command"
	"onevolume/template"
)

// Inventory is what a sync does with volumes, as an administrator.
type Inventory interface {
	// Volumes lists all volumes with their CHAP secrets.
	Volumes(ctx context.Context) ([]onevolume.Volume, error)
	// Allocate and Update are one.volume.allocate and one.volume.update,
	// which appends. The note is for the audit.
	Allocate(ctx context.Context, note, template string) (onevolume.VolumeID, error)
	Update(ctx context.Context, id onevolume.VolumeID, note, template string) error
	// Fail sets a volume to ERROR if it still is in the given state. Code:
	// Action (it is in another).
	Fail(ctx context.Context, id onevolume.VolumeID, was onevolume.State, note, reason string) error
}

// Syncer brings the inventory to what one array says. It may be used from
// several goroutines: one sync runs after the other.
type Syncer struct {
	Array     Array
	Hosts     command.Dialer
	Inventory Inventory

	mu sync.Mutex
}

// Sync reads the array and then the inventory, and does what follows, one
// volume after the other. It may be repeated, and goes on where another was
// cut off. What could not be done for one volume is reported, and the rest is
// done all the same. Codes: those of Array.Read; Refused also when the array
// has nothing at all and the inventory several volumes of it.
func (s *Syncer) Sync(ctx context.Context) (onevolume.Synced, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	done := onevolume.Synced{Array: s.Array.Name}
	// The inventory last: what was attached meanwhile is known.
	state, err := s.Array.Read(ctx, s.Hosts)
	if err != nil {
		return done, err
	}
	volumes, err := s.Inventory.Volumes(ctx)
	if err != nil {
		return done, err
	}
	steps, err := s.Array.plan(state, volumes)
	if err != nil {
		return done, err
	}
	done.Units = len(state.Units)
	for _, v := range volumes {
		if s.Array.watches(v) {
			done.Volumes++
		}
	}
	for _, st := range steps {
		if ctx.Err() != nil {
			return done, s.Array.errorf(onevolume.Unknown, "stopped after %d of %d changes: %w", len(done.Changes), len(steps), ctx.Err()).
				WithHint("sync it again: it goes on from there")
		}
		done.Changes = append(done.Changes, s.do(ctx, st))
	}
	return done, nil
}

// do carries a step out, and says what came of it.
func (s *Syncer) do(ctx context.Context, st step) onevolume.SyncChange {
	var err error
	switch st.What {
	case onevolume.SyncRegistered:
		err = s.register(ctx, &st)
	case onevolume.SyncUpdated:
		err = s.Inventory.Update(ctx, st.Volume, s.note(st), text(st.set))
	case onevolume.SyncFailed:
		err = s.Inventory.Fail(ctx, st.Volume, st.volume.State, s.note(st), st.Text)
	case onevolume.SyncReported:
	}
	if err != nil {
		st.Text = fmt.Sprintf("could not be %s: %v", st.What, err)
		if hint := onevolume.HintOf(err); hint != "" {
			st.Text += ". " + hint
		}
		st.What = onevolume.SyncReported
	}
	return st.SyncChange
}

// note is the step in the audit.
func (s *Syncer) note(st step) string {
	return fmt.Sprintf("array %s: %s LUN %d %s: %s", s.Array.Name, st.Target, st.LUN, st.What, st.Text)
}

// register makes a volume. Its name is the description in the web pages, or
// the logical volume's; when that is taken, the two, and then the array's
// before them.
func (s *Syncer) register(ctx context.Context, st *step) error {
	var err error
	for _, name := range names(st.unit, s.Array.Name) {
		st.set["NAME"] = name
		var id onevolume.VolumeID
		if id, err = s.Inventory.Allocate(ctx, s.note(*st), text(st.set)); err == nil {
			st.Volume, st.Name = id, name
			return nil
		}
		if onevolume.CodeOf(err) != onevolume.Allocate || !strings.Contains(err.Error(), "NAME is already taken") {
			return err
		}
	}
	return err
}

// names are those to try for a new volume.
func names(u Unit, array string) []string {
	lv := strings.TrimPrefix(u.Path, "/dev/")
	short, long := path.Base(lv), strings.ReplaceAll(lv, "/", "-")
	var list []string
	for _, name := range []string{u.Name, short, long, array + "-" + long, fmt.Sprintf("%s-%s-%d", array, long, u.LUN)} {
		if name = clean(name); onevolume.CheckName(name) == nil && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// clean leaves the characters of OpenNebula's names in.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune("&|:\\\";/'#{}$<>", r) {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	return strings.TrimSpace(name)
}

// text is attributes as a template, in the order of their names.
func text(set map[string]string) string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var t template.Template
	for _, k := range keys {
		t = t.With(k, set[k])
	}
	return t.String()
}
