package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"onevolume/cli"
)

// The page has every command and every option, and groff finds nothing wrong
// with it.
func TestPage(t *testing.T) {
	folder := t.TempDir()
	if err := write(folder); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "onevolume.1")
	cmd := exec.Command("groff", "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=78n", path)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil || errs.Len() > 0 {
		t.Fatalf("groff: %v\n%s", err, &errs)
	}
	text := strings.Join(strings.Fields(strings.NewReplacer("−", "-", "‐", "-").Replace(string(out))), " ")
	root := (&cli.App{}).Command()
	if len(root.Commands()) < 20 {
		t.Errorf("%d commands", len(root.Commands()))
	}
	all := root.Commands()
	for i := 0; i < len(all); i++ {
		c := all[i]
		if c.Hidden {
			continue
		}
		all = append(all, c.Commands()...)
		if !strings.Contains(text, title(c)+" "+c.Short+".") {
			t.Errorf("nothing of %q", title(c))
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && !strings.Contains(text, "--"+f.Name) {
				t.Errorf("nothing of --%s of %s", f.Name, c.Name())
			}
		})
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if n := len([]rune(line)); n > 120 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
}

func TestEscaped(t *testing.T) {
	for s, want := range map[string]string{`.x`: `\&.x`, `'x`: `\&'x`, `a\b`: `a\eb`, "--x": `\-\-x`} {
		if got := escaped(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}
