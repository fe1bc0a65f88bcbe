package cli

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Folding loses nothing but blanks where it breaks, and no line is too long.
func TestFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-zäß/.:-]{0,30}`), 0, 12).Draw(t, "words"), rapid.SampledFrom([]string{" ", "  ", "\n", "\t"}).Draw(t, "between"))
		width := rapid.IntRange(0, 40).Draw(t, "width")
		if width == 1 {
			width = 2
		}
		lines := fold(text, width)
		for _, l := range lines {
			if width > 0 && len([]rune(l)) > width {
				t.Errorf("%q has %d characters, want at most %d", l, len([]rune(l)), width)
			}
		}
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if got := squeeze(strings.Join(lines, "")); got != squeeze(text) {
			t.Errorf("%q became %q", text, lines)
		}
	})
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 0: "0.0 ms", 1234 * time.Microsecond: "1.2 ms", 34 * time.Millisecond: "34 ms",
		1160 * time.Millisecond: "1.16 s", 99 * time.Second: "99.00 s", 100 * time.Second: "1 min 40 s",
		3599*time.Second + 600*time.Millisecond: "1 h 00 min", 26*time.Hour + 5*time.Minute: "26 h 05 min",
	} {
		if got := span(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}

// What others wrote cannot move a reader's cursor, or hide what follows.
func TestPlain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text") + rapid.SampledFrom([]string{"\x1b[2J", "\u009b31m", "\u202e", "\r", "\x00", "\x7f", "\u2028"}).Draw(t, "trick")
		for _, bad := range []string{"\x1b", "\u009b", "\u202e", "\r", "\x00", "\x7f", "\u2028"} {
			if strings.Contains(plain(s), bad) || strings.Contains(oneLine(s), bad) || strings.Contains(oneLine(s), "\n") {
				t.Fatalf("%q holds %q", plain(s), bad)
			}
		}
	})
	if plain("größe\n\tx") != "größe\n\tx" || oneLine(" a\n\t b ") != "a b" {
		t.Error("what is plain was changed")
	}
}

func TestOwner(t *testing.T) {
	for s, want := range map[string]string{
		"onevolume@front user oneadmin pid 41 since 1764066800":            "onevolume@front user oneadmin pid 41",
		"onevolumed@front user oneadmin pid 42 since 1764066800 request 3": "onevolumed@front user oneadmin pid 42 request 3",
		"me": "me", "": "",
	} {
		if got := owner(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
