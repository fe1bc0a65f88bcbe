package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLockName(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		"", "-", "a", "A", "a-", "a.b", "a-b", "a:b", "iqn.2024-01.lab:vol1", "iqn.2024-01.lab:vol1 ", "iqn-2024-01-lab-vol1",
		"日本", strings.Repeat("x", 500), strings.Repeat("x", 501), "../../etc/passwd", "a\x00b",
	} {
		name := LockName(text)
		if !ValidLockName(name) || len(name) > 100 {
			t.Errorf("%q gave %q", text, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("%q and %q share %s", text, other, name)
		}
		seen[name] = text
	}
	if got, want := LockName("iqn.2024-01.lab:vol1"), "iqn-2024-01-lab-vol1-"; !strings.HasPrefix(got, want) {
		t.Errorf("%s is not readable", got)
	}
}

func FuzzLockName(f *testing.F) {
	f.Add("iqn.2024-01.lab:vol1", "iqn.2024-01.lab:vol2")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !ValidLockName(LockName(a)) || (LockName(a) == LockName(b)) != (a == b) {
			t.Errorf("%q %q: %s %s", a, b, LockName(a), LockName(b))
		}
	})
}

func TestSecret(t *testing.T) {
	c := Cmd{Argv: []string{"tee", "/x"}, Stdin: Secret("geheim12")}
	text, err := json.Marshal(c.Stdin)
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %s", c, c, c, c.Stdin, c.Stdin, c.Stdin, text)
	if strings.Contains(all, "geheim") || strings.Contains(all, "67656865696d") || strings.Contains(all, "103") {
		t.Error(all)
	}
	if s := fmt.Sprint(Secret(nil)); s != "" {
		t.Errorf("nothing is shown as %q", s)
	}
}

func TestCheck(t *testing.T) {
	c := Cmd{Argv: []string{"tee", "a b"}, Sudo: true, Stdin: Secret("user=x\nnode.password = geheim12\n")}
	r := Result{Code: 3, Stderr: []byte("bad line: node.password = geheim12\n")}
	err := Check("h", c, r, nil)
	if want := "host h: sudo -n tee 'a b': exit status 3: bad line: ********"; err == nil || err.Error() != want {
		t.Errorf("%v, not %s", err, want)
	}
	if err := Check("h", c, r, nil, 2, 3); err != nil {
		t.Error(err)
	}
	if err := Check("h", c, Result{}, nil); err != nil {
		t.Error(err)
	}
	own := errors.New("own")
	if err := Check("h", c, Result{Code: -1}, own, 0); !errors.Is(err, own) {
		t.Error(err)
	}
	long := Result{Code: 1, Stderr: []byte(strings.Repeat("x", 5000) + "\xffend\n")}
	if s := Check("h", Cmd{Argv: []string{"a"}}, long, nil).Error(); len(s) > 2200 || !strings.HasSuffix(s, "?end") {
		t.Error(len(s))
	}
}

// The texts were recorded with sudo 1.9.13 on a host; those of 1.8, and "may
// not run sudo", are from sudo's sources.
func TestSudoRefused(t *testing.T) {
	files, err := filepath.Glob("testdata/sudo-refused*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if !SudoRefused(Result{Code: 1, Stderr: body}) {
			t.Errorf("%s is not taken for a refusal: %s", f, body)
		}
		if SudoRefused(Result{Code: 0, Stderr: body}) || SudoRefused(Result{Code: 1, Stdout: body}) {
			t.Errorf("%s: exit 0, or on stdout", f)
		}
	}
	for _, s := range []string{"", "sudo: lvs: command not found\n", "iscsiadm: No records found\n", "x: a password is required\n"} {
		if SudoRefused(Result{Code: 1, Stderr: []byte(s)}) {
			t.Errorf("%q is taken for a refusal", s)
		}
	}
}
