package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"onevolume"
	"onevolume/xmlrpc/wire"
)

func TestListFooter(t *testing.T) {
	w := newWorld(t)
	w.volume()
	if s := w.ok("list"); s.err != "" {
		t.Errorf("without a checkup: %q", s.err)
	}
	w.health.Store(&onevolume.Checkup{Time: time.Now(), Hosts: 1, Findings: []onevolume.Finding{
		{Trouble: onevolume.IdleSession, Host: "host01", Volume: onevolume.NoVolume, VM: onevolume.NoVM},
		{Trouble: onevolume.StaleLink, Host: "host01", Volume: onevolume.NoVolume, VM: onevolume.NoVM}}})
	s := w.ok("list")
	s.has(w, "stderr", s.err, "2 differences between the inventory and its hosts (checked ", "See: onevolume doctor\n")
	if strings.Contains(s.out, "differences") || !strings.Contains(s.out, "disk1") {
		t.Errorf("stdout: %s", s.out)
	}
	for _, format := range []string{"-x", "-j", "--csv"} {
		if s := w.ok("list", format); s.err != "" || !strings.Contains(s.out, "disk1") {
			t.Errorf("%s: %q, %q", format, s.out, s.err)
		}
	}
	w.as = "alice"
	s = w.ok("list")
	s.has(w, "stderr", s.err, "2 differences", "An administrator sees them")
}

// A daemon that takes its time over its health costs the list next to nothing.
func TestListDoesNotWait(t *testing.T) {
	w := newWorld(t)
	w.volume()
	w.health.slow = make(chan struct{})
	defer close(w.health.slow)
	start := time.Now()
	s := w.ok("list")
	if took := time.Since(start); took > 3*time.Second || s.err != "" || !strings.Contains(s.out, "disk1") {
		t.Errorf("it took %s: %q, %q", took, s.out, s.err)
	}
}

// The footer fails and the list is whole: an older daemon does not know the
// method.
func TestListWithoutHealth(t *testing.T) {
	w := newWorld(t)
	w.volume()
	target, err := url.Parse(strings.TrimSuffix(w.url, wire.Path))
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan bool, 1)
	old := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "one.volume.health") {
			asked <- true
			http.Error(rw, "no such thing", http.StatusNotFound)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		httputil.NewSingleHostReverseProxy(target).ServeHTTP(rw, r)
	}))
	defer old.Close()
	w.url = old.URL + wire.Path
	if s := w.ok("list"); s.err != "" || !strings.Contains(s.out, "disk1") {
		t.Errorf("%q, %q", s.out, s.err)
	}
	if len(asked) != 1 {
		t.Error("nobody asked for the footer")
	}
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	w.park()
	for args, want := range map[string]string{
		"show ": "disk1\t64M ERROR", "delete ": "disk1\t64M ERROR", "explain ": "disk1\t64M ERROR", "history ": "disk1\t64M ERROR",
		"attach 17 --volume ": "disk1\t64M ERROR", "attach ": "17\tweb", "attach w": "web\tVM 17", "detach 17 ": "disk1\t64M ERROR", "detach web ": "disk1\t64M ERROR", "detach 18 ": ":4",
		"chown 0 ": "alice", "chown 0 alice ": "users", "chgrp 0,1 ": "users", "create ": ":0", "delete 7,0": "7,0\tdisk1 64M ERROR", "recover --status ": "retained",
		"resume ": "1\tof volume 0 (disk1)", "abort ": "1\tof volume 0 (disk1)", "detach ": "17\tweb", "show disk1 ": ":4",
	} {
		s := w.ok(append([]string{"__complete"}, strings.Split(args, " ")...)...)
		if !strings.Contains("\n"+s.out, "\n"+want+"\n") {
			t.Errorf("%s: no %q in %q", args, want, s.out)
		}
	}
	if s := w.ok("__complete", "show", "disk1", ""); strings.Contains(s.out, "ERROR") {
		t.Errorf("a second volume is suggested: %s", s.out)
	}
}
