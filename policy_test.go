package onevolume_test

import (
	"testing"

	"onevolume"
)

func TestPolicy(t *testing.T) {
	for word, want := range map[string]onevolume.Policy{"": onevolume.PolicyKeep, "keep": onevolume.PolicyKeep, "release": onevolume.PolicyRelease,
		"delete": onevolume.PolicyDelete, "DELETE": onevolume.PolicyKeep, "x": onevolume.PolicyKeep} {
		v := onevolume.Volume{Attributes: map[string]string{onevolume.PolicyKey: word}}
		if got := v.Policy(); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
		v.Lock.Level = onevolume.LockManage
		if got := v.Policy(); got != onevolume.PolicyKeep {
			t.Errorf("locked, %q is %s", word, got)
		}
	}
	if got := (&onevolume.Volume{}).Policy(); got != onevolume.PolicyKeep {
		t.Errorf("nothing is %s", got)
	}
}
