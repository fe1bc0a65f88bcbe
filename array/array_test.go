package array

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"onevolume"
)

func TestID(t *testing.T) {
	seen := map[ID]bool{}
	for range 1000 {
		id := NewID()
		if err := id.Check(); err != nil || seen[id] || id[14] != '4' || !strings.ContainsRune("89ab", rune(id[19])) {
			t.Fatalf("%s: %v, seen %t", id, err, seen[id])
		}
		seen[id] = true
		if back, ok := IDOfName(id.Name()); !ok || back != id {
			t.Errorf("%s became %s", id, back)
		}
		for _, s := range []string{string(id), id.Hex(), strings.ToUpper(string(id))} {
			if got, err := ParseID(s); err != nil || got != id {
				t.Errorf("%q gave %q, %v", s, got, err)
			}
		}
	}
	for _, s := range []string{"", "x", strings.Repeat("0", 31), strings.Repeat("g", 32), "0123456789abcdef0123456789abcdef ", "01234567-89ab-cdef0123-456789abcdef0", strings.Repeat("-", 36)} {
		if id, err := ParseID(s); !Is(err, Invalid) {
			t.Errorf("%q gave %q, %v", s, id, err)
		}
	}
	for _, s := range []ID{"", "0123456789abcdef0123456789abcdef", "01234567-89AB-cdef-0123-456789abcdef"} {
		if err := s.Check(); !Is(err, Invalid) {
			t.Errorf("%q: %v", string(s), err)
		}
	}
	for _, s := range []string{"", "ov-", "ov-0123456789abcdef0123456789abcdeg", "ov-0123456789ABCDEF0123456789abcdef", "pool", "ov-01234567-89ab-cdef-0123-456789abcdef"} {
		if id, ok := IDOfName(s); ok {
			t.Errorf("%q is taken for %s", s, id)
		}
	}
}

func TestRound(t *testing.T) {
	c := Capabilities{Granule: 4 << 20, MinSize: 8 << 20, MaxSize: 1 << 40}
	for in, want := range map[onevolume.Size]onevolume.Size{1: 8 << 20, 8 << 20: 8 << 20, 8<<20 + 1: 12 << 20, 1 << 40: 1 << 40} {
		if got, err := c.Round(in); err != nil || got != want {
			t.Errorf("%d became %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []onevolume.Size{0, -1, 1<<40 + 1, 1<<63 - 1} {
		if got, err := c.Round(in); !Is(err, Invalid) {
			t.Errorf("%d became %d, %v", in, got, err)
		}
	}
	if got, err := (Capabilities{Granule: 512}).Round(1<<63 - 1); !Is(err, Invalid) {
		t.Errorf("%d, %v", got, err)
	}
}

func TestLabel(t *testing.T) {
	c := Capabilities{MaxLabel: 5}
	for in, want := range map[string]string{"": "", "abcde": "abcde", "abcdef": "abcde", "abcdé": "abcd", "日本語": "日"} {
		if got := c.CutLabel(in); got != want || c.CheckLabel(got) != nil {
			t.Errorf("%q became %q", in, got)
		}
	}
	for _, s := range []string{"abcdef", "a\nb", "\xff", "\x7f"} {
		if err := c.CheckLabel(s); !Is(err, Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if got := (Capabilities{}).CutLabel("abc"); got != "" {
		t.Errorf("an array without labels gets %q", got)
	}
}

func TestFigure(t *testing.T) {
	var none Figure
	if n, ok := none.Get(); ok || n != 0 || none.String() != "?" {
		t.Error(n, ok, none)
	}
	if n, ok := Known(0).Get(); !ok || n != 0 || Known(0).String() == "?" || Known(0) == none {
		t.Error("zero is unknown")
	}
}

func TestCHAP(t *testing.T) {
	id := NewID()
	seen := map[string]bool{}
	for range 200 {
		c := NewCHAP(id)
		if len(c.Secret) != 16 || seen[c.Secret] || seen[c.User] {
			t.Fatal("a secret that is short, or not new")
		}
		seen[c.Secret], seen[c.User] = true, true
		if err := CheckGrant(Grant{"iqn.2026-11.org.example:h", c}); err != nil {
			t.Fatal(err)
		}
	}
	good := onevolume.CHAP{User: "u", Secret: "secret123456", UserIn: "t", SecretIn: "secret654321"}
	for name, spoil := range map[string]func(g *Grant){
		"no initiator":   func(g *Grant) { g.Initiator = "" },
		"upper case":     func(g *Grant) { g.Initiator = "iqn.2026-11.org.example:H" },
		"no user":        func(g *Grant) { g.CHAP.User = "" },
		"no secret":      func(g *Grant) { g.CHAP.Secret = "" },
		"short secret":   func(g *Grant) { g.CHAP.Secret = "secret12345" },
		"long secret":    func(g *Grant) { g.CHAP.Secret = strings.Repeat("x", 256) },
		"newline":        func(g *Grant) { g.CHAP.Secret += "\nx" },
		"quote":          func(g *Grant) { g.CHAP.User = `a"` },
		"half a pair":    func(g *Grant) { g.CHAP.SecretIn = "" },
		"the same twice": func(g *Grant) { g.CHAP.SecretIn = g.CHAP.Secret },
	} {
		g := Grant{"iqn.2026-11.org.example:h", good}
		if err := CheckGrant(g); err != nil {
			t.Fatal(err)
		}
		spoil(&g)
		err := CheckGrant(g)
		if !Is(err, Invalid) || strings.Contains(err.Error(), "secret1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for kind := range kinds {
		err := fmt.Errorf("create: %w", Errorf(Kind(kind), "no").WithHint("do this"))
		if KindOf(err) != Kind(kind) || !Is(err, Kind(kind)) || onevolume.CodeOf(err) != kinds[kind].code || onevolume.HintOf(err) != "do this" {
			t.Errorf("%s: %s, %s, %q", Kind(kind), KindOf(err), onevolume.CodeOf(err), onevolume.HintOf(err))
		}
		if kinds[kind].word == "" {
			t.Errorf("kind %d has no word", kind)
		}
	}
	if err := errors.New("x"); Is(err, Refused) || KindOf(err) != Refused || Is(nil, Refused) {
		t.Error("an error of somebody else's is taken for an array's")
	}
	err := InUse("volume v", Holders{
		Sessions: []onevolume.IQN{"iqn.1"}, Exports: []onevolume.IQN{"iqn.2", "iqn.3"}, Snapshots: []ID{"s"}, Clones: []ID{"c"}, Other: "a mount",
	})
	want := "volume v is in use: sessions of iqn.1; exports to iqn.2, iqn.3; snapshots s; volumes made from it c; a mount"
	if err.Error() != want || !err.By.Any() || (Holders{}).Any() {
		t.Error(err)
	}
	cause := errors.New("cause")
	if !errors.Is(Errorf(Refused, "x: %w", cause), cause) || !errors.Is(Errorf(Refused, "x: %w, %w", errors.New("y"), cause), cause) {
		t.Error("a cause is lost")
	}
	words := []string{ExtendQuiet.String(), NeedsOrigin.String(), CHAPPerTarget.String(), Extend(9).String(), Kind(99).String()}
	if !slices.Equal(words, []string{"quiet", "origin", "target", "9?", "Kind(99)"}) {
		t.Error(words)
	}
}
