package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"onevolume"
)

// The flags of onevolume.Filter that are no user's id, as oned's
// (RequestManagerPoolInfoFilter).
const (
	flagPrimaryGroup  = -4
	flagMine          = -3
	flagAll           = -2
	flagMineAndGroups = -1
)

// where collects the conditions of a query.
type where struct {
	conditions []string
	args       []any
	// ways are conditions of which one is enough, for queries by pageOf alone.
	// Each is found in an index, the newest first.
	ways []where
}

func (w *where) and(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// marks are n placeholders.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// ints are arguments for as many marks.
func ints(list []int) []any {
	args := make([]any, len(list))
	for i, n := range list {
		args[i] = n
	}
	return args
}

// usable keeps the volumes that the caller may USE.
func (w *where) usable(who onevolume.Caller) { w.allowed(who, onevolume.Use) }

// allowed keeps the volumes on which the caller has a right: the SQL of
// Caller.May, and a test holds the two together.
func (w *where) allowed(who onevolume.Caller, right onevolume.Right) {
	if who.IsAdmin() {
		return
	}
	owner, group, others := int(right)<<6, int(right)<<3, int(right)
	condition := "((uid = ? AND (permissions & ?) <> 0) OR (permissions & ?) <> 0"
	args := []any{who.UID, owner, others}
	if len(who.Groups) > 0 {
		condition += " OR (gid IN (" + marks(len(who.Groups)) + ") AND (permissions & ?) <> 0)"
		args = append(append(args, ints(who.Groups)...), group)
	}
	w.and(condition+")", args...)
}

// visible keeps the volumes that a pool call shows to the caller, as oned has
// it: all of their own, whatever the owner's bits, and those of others that
// they may USE.
func (w *where) visible(who onevolume.Caller) {
	if who.IsAdmin() {
		return
	}
	const group, others = int(onevolume.Use) << 3, int(onevolume.Use)
	condition, args := "(uid = ? OR (permissions & ?) <> 0", []any{who.UID, others}
	if len(who.Groups) > 0 {
		condition += " OR (gid IN (" + marks(len(who.Groups)) + ") AND (permissions & ?) <> 0)"
		args = append(append(args, ints(who.Groups)...), group)
	}
	w.and(condition+")", args...)
}

// mostGroups bounds how many groups have a way each.
const mostGroups = 64

// waysToVisible is visible where nothing else makes the volumes few.
func (w *where) waysToVisible(who onevolume.Caller) {
	if who.IsAdmin() || len(who.Groups) > mostGroups {
		w.visible(who)
		return
	}
	way := func(condition string, args ...any) { w.ways = append(w.ways, where{[]string{condition}, args, nil}) }
	way("uid = ?", who.UID)
	way("others_use = 1")
	for _, gid := range who.Groups {
		way("gid = ? AND group_use = 1", gid)
	}
}

// pageOf is the query for so many volumes from an offset on, the newest first.
// With ways it takes as many by each of them, of which those are among.
func (w *where) pageOf(columns string, limit, offset int) (query string, args []any) {
	const newest = " ORDER BY oid DESC LIMIT ?"
	if len(w.ways) == 0 {
		return "SELECT " + columns + " FROM one_volume" + w.String() + newest + " OFFSET ?", append(slices.Clone(w.args), limit, offset)
	}
	enough := math.MaxInt
	if limit < enough-offset {
		enough = limit + offset
	}
	var ids []string
	for i, way := range w.ways {
		all := where{slices.Concat(way.conditions, w.conditions), nil, nil}
		ids = append(ids, fmt.Sprintf("SELECT w%d.oid FROM (SELECT oid FROM one_volume%s%s) AS w%d", i, all.String(), newest, i))
		args = append(append(append(args, way.args...), w.args...), enough)
	}
	return "SELECT " + columns + " FROM one_volume WHERE oid IN (SELECT u.oid FROM (" + strings.Join(ids, " UNION ") + newest + " OFFSET ?) AS u) ORDER BY oid DESC",
		append(args, limit, offset)
}

// flagged applies oned's filter flag.
func (w *where) flagged(flag int, who onevolume.Caller) error {
	switch {
	case flag == flagAll:
	case flag == flagPrimaryGroup:
		w.and("gid = ?", who.GID)
	case flag == flagMine:
		w.and("uid = ?", who.UID)
	case flag == flagMineAndGroups && len(who.Groups) == 0:
		w.and("uid = ?", who.UID)
	case flag == flagMineAndGroups:
		w.and("(uid = ? OR gid IN ("+marks(len(who.Groups))+"))", append([]any{who.UID}, ints(who.Groups)...)...)
	case flag >= 0:
		w.and("uid = ?", flag)
	default:
		return onevolume.Errorf(onevolume.Invalid, "Incorrect filter_flag")
	}
	return nil
}

// Volumes lists the volumes that f asks for and its viewer owns or may USE,
// newest first.
func (s *Store) Volumes(ctx context.Context, f onevolume.Filter) ([]onevolume.Volume, error) {
	var w where
	if err := w.flagged(f.Flag, f.Viewer); err != nil {
		return nil, err
	}
	if f.Flag == flagAll && len(f.States) == 0 && f.Name == "" && len(f.VMs) == 0 {
		w.waysToVisible(f.Viewer)
	} else {
		w.visible(f.Viewer)
	}
	if f.FirstID >= 0 {
		w.and("oid >= ?", f.FirstID)
	}
	if f.LastID >= 0 {
		w.and("oid <= ?", f.LastID)
	}
	if len(f.States) > 0 {
		args := make([]any, len(f.States))
		for i, state := range f.States {
			args[i] = string(state)
		}
		w.and("status IN ("+marks(len(args))+")", args...)
	}
	if f.Name != "" {
		w.and("name = ?", f.Name)
	}
	if len(f.VMs) > 0 {
		args := make([]any, len(f.VMs))
		for i, vm := range f.VMs {
			args[i] = int(vm)
		}
		w.and("vm_id IN ("+marks(len(args))+")", args...)
	}
	var list []onevolume.Volume
	err := s.persist(ctx, "listing volumes", func() error {
		found, err := s.filtered(ctx, w, f)
		list = make([]onevolume.Volume, len(found))
		for i := range found {
			list[i] = found[i].Volume
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// mostPage is the largest page that may be known, so that none drives all
// others out.
const mostPage = cachedVolumes / 4

// filtered reads the volumes of a list, all or a page of it.
func (s *Store) filtered(ctx context.Context, w where, f onevolume.Filter) ([]row, error) {
	limit, offset := f.Limit, max(f.Offset, 0)
	if limit > 0 && limit <= mostPage {
		return s.page(ctx, w, limit, offset)
	}
	if limit <= 0 {
		limit = math.MaxInt // both databases want one
	}
	query, args := w.pageOf(volumeColumns, limit, offset)
	return s.list(ctx, s.read, query, args...)
}

// Lookup gives the ids of the volumes with this name that the viewer may USE,
// the viewer's own first: a name is unique for each owner only.
func (s *Store) Lookup(ctx context.Context, name string, viewer onevolume.Caller) (ids []onevolume.VolumeID, err error) {
	err = s.persist(ctx, fmt.Sprintf("looking for volume %q", name), func() error {
		found, err := s.named(ctx, s.read, name, &viewer)
		ids = nil
		for _, r := range found {
			ids = append(ids, r.ID)
		}
		return err
	})
	return ids, err
}

// named reads the volumes with this name; with a viewer only those that the
// viewer may USE, the viewer's own first.
func (s *Store) named(ctx context.Context, q querier, name string, viewer *onevolume.Caller) ([]row, error) {
	var w where
	w.and("name = ?", name)
	order := " ORDER BY oid"
	if viewer != nil {
		w.usable(*viewer)
		order = " ORDER BY CASE WHEN uid = ? THEN 0 ELSE 1 END, oid"
		w.args = append(w.args, viewer.UID)
	}
	return s.list(ctx, q, "SELECT "+volumeColumns+" FROM one_volume"+w.String()+order, w.args...)
}
