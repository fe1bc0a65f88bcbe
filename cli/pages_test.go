package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"onevolume"
)

// growing is a daemon in which volumes are registered and deleted while
// somebody reads its pool.
type growing struct {
	Daemon
	ids    []onevolume.VolumeID // the newest first
	change func(g *growing)
}

func (g *growing) page(first, last int) []onevolume.VolumeID {
	page := g.ids[min(first, len(g.ids)):min(first-last, len(g.ids))]
	page = slices.Clone(page)
	g.change(g)
	return page
}

func (g *growing) Pool(_ context.Context, _, first, last int) ([]onevolume.Volume, error) {
	var list []onevolume.Volume
	for _, id := range g.page(first, last) {
		list = append(list, onevolume.Volume{ID: id})
	}
	return list, nil
}

func (g *growing) PoolXML(_ context.Context, _, first, last int) (string, error) {
	var b strings.Builder
	for _, id := range g.page(first, last) {
		fmt.Fprintf(&b, "<VOLUME><ID>%d</ID></VOLUME>", id)
	}
	return "<VOLUME_POOL>" + b.String() + "</VOLUME_POOL>", nil
}

// Whatever is registered between two pages, each volume that was there before
// is shown, once, the newest first.
func TestPages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		there := rapid.IntRange(0, 40).Draw(t, "there")
		first, size := rapid.IntRange(1, 9).Draw(t, "first"), rapid.IntRange(2, 9).Draw(t, "size")
		daemon := func() *growing {
			g := &growing{change: func(g *growing) {
				for range rapid.IntRange(0, 1).Draw(t, "registered") {
					g.ids = slices.Insert(g.ids, 0, onevolume.VolumeID(len(g.ids)))
				}
			}}
			for id := range there {
				g.ids = slices.Insert(g.ids, 0, onevolume.VolumeID(id))
			}
			return g
		}
		var got []onevolume.VolumeID
		for list, err := range (&Session{Daemon: daemon()}).pages(t.Context(), -2, first, size) {
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range list {
				got = append(got, v.ID)
			}
		}
		if len(got) != there || !slices.IsSortedFunc(got, func(a, b onevolume.VolumeID) int { return int(b - a) }) || len(slices.Compact(got)) != there {
			t.Fatalf("%v of %d volumes", got, there)
		}
		pool, err := (&Session{Daemon: daemon()}).pool(t.Context(), -2, size)
		if err != nil || len(pool.Children) != there {
			t.Fatalf("%v, %d elements of %d volumes", err, len(pool.Children), there)
		}
	})
}

func TestPagesFail(t *testing.T) {
	t.Parallel()
	for list, err := range (&Session{Daemon: failing{}}).pages(t.Context(), -2, 2, 2) {
		if err == nil || list != nil {
			t.Errorf("%v, %v", list, err)
		}
	}
	if _, err := (&Session{Daemon: failing{}}).pool(t.Context(), -2, 2); err == nil {
		t.Error("no error")
	}
}

type failing struct{ Daemon }

func (failing) Pool(context.Context, int, int, int) ([]onevolume.Volume, error) {
	return nil, onevolume.Errorf(onevolume.Unreachable, "gone")
}

func (failing) PoolXML(context.Context, int, int, int) (string, error) { return "<VOLUME_POOL>", nil }

func TestOctet(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"640": "110100000", "777": "111111111", "000": "000000000", "u=rw,g=r": "110100000", "u=rwx,o=x": "111000001", "g=": "000000000", "o=rr": "000000100",
		"64": "", "6400": "", "888": "", "u": "", "a=r": "", "u=rw g=r": "", "": "", "-1": "", "u=rwz": "",
	} {
		bits, err := octet(s)
		if got := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(bits)), ""), "[]"); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %s %v, want %q", s, got, err, want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"list --expand name=0.4": "list --expand=name=0.4", "list --expand": "list --expand", "list --expand --csv": "list --expand --csv",
		"list --expand=a b": "list --expand=a b", "x -- --expand y": "x -- --expand y",
	} {
		if got := strings.Join(spread(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
