//go:build crashpoint

package assemble

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The time of the day is moved, and intervals stay what they are.
func TestMovedClock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	t.Setenv("ONEVOLUME_CLOCK", file)
	m := newMeddler()
	first := m.now()
	for text, moved := range map[string]time.Duration{"1h": time.Hour, "-1h\n": -time.Hour, "0s": 0} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := m.now()
		if d := got.Round(0).Sub(first.Round(0)) - moved; d < 0 || d > time.Second {
			t.Errorf("%s: the time of the day is off by %s", text, d)
		}
		if d := got.Sub(first); d < 0 || d > time.Second {
			t.Errorf("%s: %s went by", text, d)
		}
	}
}
