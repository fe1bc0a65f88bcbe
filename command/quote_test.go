package command

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// words are what shells stumble over.
var words = []string{
	"", "a", "a b", "'", `"`, "''", `'\''`, "\n", "a\nb\n", "\r", "\t", "$(id)", "`id`", "${IFS}", "$HOME", "\\", `\n`,
	"-n", "--", "-", "~", "~root", "a~", "=", "a=b", "PATH=/", "*", "?", "[a-z]", "{a,b}", "!", "!!", "#", "a#b", ";", "&", "|", "<", ">", "(", ")",
	"ä", "日本", "\xff", "\x81\x88", "\x01", "\x7f", "\x1b[0m", "é'é", "iqn.2024-01.lab:vol1", "10.77.0.1:3260,1", "/dev/disk/by-path/x", "@", "%s", "+", "^",
}

// echo has a real shell read the text and gives its words back.
func echo(t *testing.T, text string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader("printf '%s\\0' x " + text + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("sh: %v; %q", err, text)
	}
	fields := strings.Split(string(bytes.TrimSuffix(out, []byte{0})), "\x00")
	return fields[1:]
}

func TestQuote(t *testing.T) {
	got := echo(t, Join(words))
	if len(got) != len(words) {
		t.Fatalf("%d words became %d", len(words), len(got))
	}
	for i, w := range words {
		if got[i] != w {
			t.Errorf("%q became %q", w, got[i])
		}
	}
	if q := Quote("a-b_C9./:,@%+"); q != "a-b_C9./:,@%+" {
		t.Errorf("quoted without need: %s", q)
	}
}

func FuzzQuote(f *testing.F) {
	for i, w := range words {
		f.Add(w, words[len(words)-1-i])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := echo(t, Join([]string{a, b}))
		strip := func(s string) string { return strings.ReplaceAll(s, "\x00", "") }
		if len(got) != 2 || got[0] != strip(a) || got[1] != strip(b) {
			t.Errorf("%q and %q became %q", a, b, got)
		}
	})
}
