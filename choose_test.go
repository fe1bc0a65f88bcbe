package onevolume_test

import (
	"strings"
	"testing"
	"time"

	"onevolume"
)

func TestChoose(t *testing.T) {
	root, alice := onevolume.Caller{Groups: []int{0}}, onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100}, Groups: []int{100}}
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	good := func(name string, free onevolume.Size) onevolume.Space {
		return onevolume.Space{Array: name, Total: 100 * onevolume.GiB, Free: free, Limit: 200 * onevolume.GiB, Time: at, AutoCreate: true, Users: true}
	}
	but := func(s onevolume.Space, f func(*onevolume.Space)) onevolume.Space {
		f(&s)
		return s
	}
	ten := onevolume.Pick{Size: 10 * onevolume.GiB}
	for name, c := range map[string]struct {
		who  onevolume.Caller
		list []onevolume.Space
		pick onevolume.Pick
		want string // those that may be tried
		text string
	}{
		"none":           {root, nil, ten, "", ""},
		"most free":      {alice, []onevolume.Space{good("a", 20*onevolume.GiB), good("b", 30*onevolume.GiB)}, ten, "b a", "Array b (free: 30G): taken, as the one with most free space. Array a (free: 20G): it would be the next."},
		"equally free":   {alice, []onevolume.Space{good("b", onevolume.GiB), good("a", onevolume.GiB)}, ten, "a b", ""},
		"the one named":  {root, []onevolume.Space{good("a", onevolume.GiB), good("b", 2*onevolume.GiB)}, onevolume.Pick{Size: 1, Array: "a"}, "a", "another array was asked for"},
		"not by itself":  {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.AutoCreate = false })}, ten, "", "does not say auto_create"},
		"not for users":  {alice, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Users = false })}, ten, "", "oneadmin's group alone"},
		"for the admin":  {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Users = false })}, ten, "a", "taken."},
		"an exact size":  {root, []onevolume.Space{good("a", onevolume.GiB)}, onevolume.Pick{Size: 1, Exact: true}, "", "exact size"},
		"silent":         {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Error = "no answer" })}, ten, "", "did not answer"},
		"never heard of": {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Time = time.Time{} })}, ten, "", "did not answer"},
		"the reserve":    {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Trouble = "the pool is 97 % full" })}, ten, "", "97 % full"},
		"unknown free":   {root, []onevolume.Space{good("a", onevolume.UnknownSize)}, ten, "", "(free: unknown): its free space is unknown."},
		"unknown limit":  {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Limit = onevolume.UnknownSize })}, ten, "", "is unknown"},
		"promised all":   {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Provisioned = 195 * onevolume.GiB })}, ten, "", "only 5G more"},
		"just enough":    {root, []onevolume.Space{but(good("a", onevolume.GiB), func(s *onevolume.Space) { s.Provisioned = 190 * onevolume.GiB })}, ten, "a", ""},
	} {
		list := onevolume.Choose(c.who, c.list, c.pick)
		var got []string
		for i, x := range list {
			if x.Why == "" {
				if got = append(got, x.Array); len(got) != i+1 {
					t.Errorf("%s: %s comes behind one that is out of the question", name, x.Array)
				}
			}
		}
		if text := onevolume.Explain(list); strings.Join(got, " ") != c.want || !strings.Contains(text, c.text) || len(list) != len(c.list) {
			t.Errorf("%s: got %q: %s", name, got, text)
		}
	}
}

func TestChooseFor(t *testing.T) {
	alice := onevolume.Caller{Owner: onevolume.Owner{UID: 5, GID: 100}, Groups: []int{100}}
	space := func(name string, free onevolume.Size, has ...string) onevolume.Space {
		return onevolume.Space{Array: name, Total: 100 * onevolume.GiB, Free: free, Limit: 200 * onevolume.GiB, Time: time.Unix(1, 0), Users: true, Has: has}
	}
	list := []onevolume.Space{space("a", 3*onevolume.GiB, "thin", "snapshots"), space("b", 2*onevolume.GiB, "snapshots"), space("c", onevolume.GiB, "snapshots")}
	list = append(list, onevolume.Space{Array: "d", Free: onevolume.UnknownSize, Users: true}) // never heard of
	kind := &onevolume.VolumeType{Name: "gold", Arrays: []string{"b", "c", "d"}, Needs: []string{"snapshots"}}
	got := onevolume.Explain(onevolume.ChooseFor(alice, list, onevolume.GiB, "", kind))
	if want := "Array b (free: 2G): taken, as the one with most free space. Array c (free: 1G): it would be the next. " +
		"Array a (free: 3G): type gold is not made there. Array d (free: unknown): it did not answer last."; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	got = onevolume.Explain(onevolume.ChooseFor(alice, list, onevolume.GiB, "c", kind))
	if !strings.HasPrefix(got, "Array c (free: 1G): taken. Array a (free: 3G): another array was asked for.") {
		t.Error(got)
	}
}

func TestIOTune(t *testing.T) {
	for text, ok := range map[string]bool{
		"total_bytes_sec=5": true, "READ_IOPS_SEC=5": true, "read_iops_sec=5 total_bytes_sec=1": true, "total_iops_sec=5 total_iops_sec_max=5": true,
		"read_bytes_sec=0": true, "read_bytes_sec=-1": false, "read_bytes_sec=x": false, "total_iops_sec=1 write_iops_sec=1": false,
		"total_bytes_sec_max=5": false, "total_bytes_sec=6 total_bytes_sec_max=5": false, "total_bytes_sec_max=6 total_bytes_sec=1 read_bytes_sec_max=1": false,
	} {
		limits := map[string]string{}
		for _, pair := range strings.Fields(text) {
			name, n, _ := strings.Cut(pair, "=")
			limits[name] = n
		}
		if _, err := onevolume.ParseIOTune(limits); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
