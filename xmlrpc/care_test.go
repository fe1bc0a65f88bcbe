package xmlrpc_test

import (
	"slices"
	"testing"
	"time"

	"onevolume"
)

// checkup is what the daemon's comparison found.
type checkup onevolume.Checkup

func (c checkup) Checkup() onevolume.Checkup { return onevolume.Checkup(c) }

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url := w.serve()
	for _, session := range []string{asRoot, asAlice} {
		h, err := w.dial(url, session, nil).Health(t.Context())
		if err != nil || !h.Checkup.Time.IsZero() || h.Differences != 0 || h.Hold != "" {
			t.Errorf("when nothing compares: %+v, %v", h, err)
		}
	}
	now := time.Now().Truncate(time.Millisecond)
	finding := onevolume.Finding{Trouble: onevolume.StrayDisk, Host: "host01", Volume: 3, VM: 17, Cause: "a ]]> cause", Repair: []string{"virsh x", "onevolume y"}, Fixable: true}
	w.Health = checkup{Time: now, Hosts: 2, Volumes: 9, Findings: []onevolume.Finding{finding, finding}}
	h, err := w.dial(url, asRoot, nil).Health(t.Context())
	if err != nil || !h.Checkup.Time.Equal(now) || h.Checkup.Hosts != 2 || h.Checkup.Volumes != 9 || h.Differences != 2 || len(h.Checkup.Findings) != 2 {
		t.Fatalf("%+v, %v", h, err)
	}
	if got := h.Checkup.Findings[1]; got.Cause != finding.Cause || got.VM != 17 || !got.Fixable || got.Harmless || !slices.Equal(got.Repair, finding.Repair) {
		t.Errorf("%+v", got)
	}
	// What is wrong on hosts is for those who look after them.
	h, err = w.dial(url, asAlice, nil).Health(t.Context())
	if err != nil || h.Differences != 2 || len(h.Checkup.Findings) != 0 || h.Checkup.Hosts != 2 {
		t.Errorf("%+v, %v", h, err)
	}
	_, err = w.dial(url, "who:knows", nil).Health(t.Context())
	w.wants(err, onevolume.Unauthenticated)
}

func TestRunning(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	url := s.serve()
	if list, err := s.dial(url, asRoot, nil).Running(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	op := s.reserve("free")
	list, err := s.dial(url, asRoot, nil).Running(t.Context())
	if err != nil || len(list) != 1 || list[0].ID != op.ID || list[0].Volume != s.free || list[0].VM != op.VM {
		t.Errorf("%+v, %v", list, err)
	}
	_, err = s.dial(url, asAlice, nil).Running(t.Context())
	s.wants(err, onevolume.Forbidden)
}

func TestSettle(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	url := s.serve()
	c := s.dial(url, asRoot, nil)
	if id, err := c.Resume(t.Context(), s.parked.ID); err != nil || id != s.failed || s.op.did != "resume 2" || s.op.who.UID != 0 {
		t.Errorf("%d, %v: %s", id, err, s.op.did)
	}
	if id, err := c.Abort(t.Context(), s.parked.ID); err != nil || id != s.failed || s.op.did != "abort 2" {
		t.Errorf("%d, %v: %s", id, err, s.op.did)
	}
	s.op.did = ""
	_, err := c.Abort(t.Context(), 99)
	s.wants(err, onevolume.NotFound, "Error getting operation [99].")
	for _, session := range []string{asAlice, asBob} {
		c := s.dial(url, session, nil)
		_, err := c.Resume(t.Context(), s.parked.ID)
		s.wants(err, onevolume.Forbidden, "Not authorized to perform ADMIN VOLUME")
		_, err = c.Abort(t.Context(), 99) // nor does anybody learn what there is
		s.wants(err, onevolume.Forbidden)
	}
	if s.op.did != "" {
		t.Errorf("the operator was asked to %s", s.op.did)
	}
}

func TestRecoverAndHistory(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	url := s.serve()
	c := s.dial(url, asRoot, nil)
	at := onevolume.Attachment{VM: 18, Host: "host02", Device: "sdiu", Source: "/dev/x", Serial: "onevolume-9"}
	if err := c.Recover(t.Context(), s.failed, onevolume.Recovery{State: onevolume.Attached, Attachment: at, Reason: "seen"}); err != nil {
		t.Fatal(err)
	}
	if v, err := s.db.Volume(t.Context(), s.failed); err != nil || v.State != onevolume.Attached || v.Attachment != at || v.Reason != "seen" {
		t.Errorf("%+v, %v", v, err)
	}
	all := onevolume.History{Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1}
	list, err := c.History(t.Context(), all)
	if err != nil || len(list) == 0 || list[0].Action != "recover" || list[0].VM != 18 || list[0].Volume != s.failed {
		t.Fatalf("%+v, %v", list, err)
	}
	for name, h := range map[string]onevolume.History{
		"volume": {Volume: s.failed, VM: onevolume.NoVM, UID: -1}, "vm": {Volume: onevolume.NoVolume, VM: 18, UID: -1},
		"limit": {Volume: onevolume.NoVolume, VM: onevolume.NoVM, UID: -1, Limit: 1},
	} {
		got, err := c.History(t.Context(), h)
		if err != nil || len(got) == 0 || got[0].ID != list[0].ID || name != "volume" && len(got) != 1 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	all.Before = list[0].ID
	if got, err := c.History(t.Context(), all); err != nil || len(got) != len(list)-1 || got[0].ID != list[1].ID {
		t.Errorf("before: %+v, %v", got, err)
	}
	// Everything but the session may be left out.
	answer, err := c.Wire.Call(t.Context(), "one.volume.history", asRoot)
	if err != nil || len(answer.(string)) < 50 {
		t.Errorf("%v, %v", answer, err)
	}
	if err := c.Lift(t.Context()); err != nil { // of no hold
		t.Error(err)
	}
	if got, err := s.dial(url, asBob, nil).History(t.Context(), onevolume.History{Volume: s.failed, VM: onevolume.NoVM, UID: -1}); err != nil || len(got) != 0 {
		t.Errorf("bob sees %+v, %v", got, err)
	}
}
