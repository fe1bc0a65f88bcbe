//go:build lab

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"onevolume/lab"
)

// typed runs onevolume at a terminal (script of util-linux makes one) and
// types an answer.
func (c *cloud) typed(answer string, args ...string) (string, int) {
	c.t.Helper()
	words := append([]string{bin("onevolume"), "--config", c.conf}, args...)
	cmd := exec.CommandContext(c.t.Context(), "script", "-q", "-e", "-c", strings.Join(words, " "), "/dev/null")
	cmd.Env = append(c.env, "ONE_AUTH="+filepath.Join(c.dir, "oneadmin.auth"), "TERM=xterm")
	cmd.Stdin = strings.NewReader(answer)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

func TestDetachAsksAtTheTerminal(t *testing.T) {
	c := start(t)
	c.must("create", "--name", "größe", "--iqn", lab.IQNPrefix+"open1", "--lun", "1", "--portal", lab.Portal, "--size", "64")
	c.must("attach", "17", "--volume", "größe")
	out, code := c.typed("no\n", "detach", "17", "0")
	for _, want := range []string{"VM 17 will lose volume 0 (größe, 64M)", "Unmount it", "OVERWRITTEN WITH ZEROES", "(yes/no)", "Nothing was changed."} {
		if !strings.Contains(out, want) {
			t.Errorf("nothing of %q in\n%s", want, out)
		}
	}
	if code != 255 {
		t.Errorf("exit status %d after no, want 255", code)
	}
	c.state("0", "ATTACHED")
	c.pattern(17, "onevolume-0", "still-here")

	out, code = c.typed("yes\n", "detach", "17", "0")
	t.Log(out)
	if code != 0 || !strings.Contains(out, "is detached from VM 17") || !strings.Contains(out, "100%") {
		t.Errorf("after yes: exit status %d, and no bar that ends at 100%% in\n%s", code, out)
	}
	if !c.zero("open1", 1) {
		t.Error("the volume is not zero")
	}
	c.untouched("0")
}
