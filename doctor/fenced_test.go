package doctor_test

import (
	"fmt"
	"testing"

	"onevolume"
	"onevolume/doctor"
)

// A host that was fenced is told of until it is clean.
func TestFencedHost(t *testing.T) {
	w := newWorld(t)
	v := w.attach(w.volume(1, 1), "host01")
	told := func(s doctor.Scope) (n int) {
		t.Helper()
		c, err := w.Examine(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range c.Findings {
			if f.Trouble != onevolume.HostFenced {
				continue
			}
			n++
			if f.Host != "host01" || f.Volume != v.ID || f.VM != 17 || f.Fixable || len(f.Repair) == 0 {
				t.Errorf("%+v", f)
			}
		}
		return n
	}
	if n := told(doctor.All()); n != 0 {
		t.Errorf("%d are told before", n)
	}
	if err := w.run(t.Context(), onevolume.Request{Kind: onevolume.Fence, VM: vmOn("host01"), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}}); err != nil {
		t.Fatal(err)
	}
	here, there := doctor.All(), doctor.All()
	here.Host, there.Host = "host01", "host02"
	if all, one, other := told(doctor.All()), told(here), told(there); all != 1 || one != 1 || other != 0 {
		t.Errorf("told are %d, of the host %d, of another %d", all, one, other)
	}
	list, err := w.db.Fences(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := w.db.Clean(t.Context(), list[0]); err != nil {
		t.Fatal(err)
	}
	if n := told(doctor.All()); n != 0 {
		t.Errorf("%d are told of a host that is clean", n)
	}
}
