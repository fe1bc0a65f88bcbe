package ssh

import (
	"bytes"
	"strings"
	"testing"
)

// cut feeds a cutter in pieces and gives what came out.
func cut(t testing.TB, c *cutter, input []byte, piece int) []frame {
	t.Helper()
	var frames []frame
	for len(input) > 0 {
		n := min(max(piece, 1), len(input))
		if err := c.write(append([]byte(nil), input[:n]...), func(f frame) { frames = append(frames, f) }); err != nil {
			t.Fatal(err)
		}
		input = input[n:]
	}
	return frames
}

func FuzzCutter(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("MAR"), 1)
	f.Add([]byte("MARKE MARK"), []byte("\n\x00\xff"), 3)
	f.Add([]byte(""), []byte("MMARKER"), 7)
	f.Add([]byte("\n\n"), []byte("MARKERMARKER"), 1000)
	f.Fuzz(func(t *testing.T, one, two []byte, piece int) {
		const mark = "MARKER"
		one = bytes.ReplaceAll(one, []byte(mark), nil)
		two = bytes.ReplaceAll(two, []byte(mark), nil)
		// An end of data that begins the marker may join with it to one
		// that begins earlier; real ones are random.
		if bytes.Contains(append(append([]byte(nil), one...), mark[:len(mark)-1]...), []byte(mark)) ||
			bytes.Contains(append(append([]byte(nil), two...), mark[:len(mark)-1]...), []byte(mark)) {
			return
		}
		input := []byte(string(one) + mark + " 1 0\n" + string(two) + mark + " 2\nrest")
		var lines []string
		c := &cutter{mark: []byte(mark), limit: 1 << 20, line: func(l string) { lines = append(lines, l) }}
		frames := cut(t, c, input, piece)
		if len(frames) != 2 || !bytes.Equal(frames[0].data, one) || !bytes.Equal(frames[1].data, two) {
			t.Fatalf("%q and %q became %+v", one, two, frames)
		}
		if strings.Join(frames[0].words, ",") != "1,0" || strings.Join(frames[1].words, ",") != "2" {
			t.Errorf("%+v", frames)
		}
		var want []string
		for _, data := range [][]byte{one, two} {
			for l := range bytes.Lines(data) {
				want = append(want, strings.TrimSuffix(string(l), "\n"))
			}
		}
		if strings.Join(lines, "|") != strings.Join(want, "|") {
			t.Errorf("lines %q, not %q", lines, want)
		}
	})
}

func TestCutterLimits(t *testing.T) {
	c := &cutter{mark: []byte("MARKER"), limit: 10}
	frames := cut(t, c, []byte(strings.Repeat("x", 100)+"MARKER 1\n"+strings.Repeat("y", 10)+"MARKER 2\n"), 7)
	if len(frames) != 2 || !frames[0].over || string(frames[0].data) != "xxxxxxxxxx" || frames[1].over || len(frames[1].data) != 10 {
		t.Errorf("%+v", frames)
	}
	err := c.write([]byte("MARKER"+strings.Repeat("z", maxTrailer+1)), func(frame) {})
	if err == nil {
		t.Error("a trailer without an end")
	}
	var lines []int
	c = &cutter{mark: []byte("MARKER"), limit: 10, line: func(l string) { lines = append(lines, len(l)) }}
	cut(t, c, []byte(strings.Repeat("x", maxLine+5)+"\nMARKER 1\n"), 1<<16)
	if len(lines) != 2 || lines[0]+lines[1] != maxLine+5 {
		t.Error(lines)
	}
}
