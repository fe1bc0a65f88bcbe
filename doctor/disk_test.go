package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"onevolume"
	"onevolume/doctor"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
)

// A disk by hand of a volume that is free: the record follows, and nothing of
// the guest changes.
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.plug(v, "host01", "one-17")
	w.units[v.ID].Content = "the guest's data"
	f := w.finds(onevolume.StrayDisk)[0]
	w.says(f, "sdx", "one-17", "which is free", "onevolume recover --status attached --vm 17 --host host01")
	if !f.Harmless || f.VM != 17 {
		t.Errorf("%+v", f)
	}
	w.fix(f)
	if got := w.read(v.ID); got.State != onevolume.Attached || got.Attachment.VM != 17 || got.Attachment.Host != "host01" || got.Attachment.Device != "sdx" {
		t.Errorf("%+v", got)
	}
	w.finds()
	w.detach(w.read(v.ID), "host01")
	w.empty("host01")
}

// The wrong device is not recorded as the volume.
func TestAdoptProves(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.plug(v, "host01", "one-17")
	f := w.finds(onevolume.StrayDisk)[0]
	w.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.Units[1].Identity.Serial = "OTHER" })
	w.iscsi["host01"].Rescan()
	w.finds(onevolume.OtherIdentity, onevolume.StrayDisk)
	if _, err := w.Fix(t.Context(), doctor.All(), f); onevolume.CodeOf(err) != onevolume.Mismatch {
		t.Errorf("%v", err)
	}
	if got := w.read(v.ID); got.State != onevolume.Available {
		t.Errorf("%+v", got)
	}
}

func TestStrayOfNobody(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.virt["host01"].AddDomain(hypervisortest.Domain{Name: "byhand"})
	w.plug(v, "host01", "byhand")
	if f := w.finds(onevolume.StrayDisk)[0]; f.Fixable || !doctor.Dangerous(f) {
		t.Errorf("%+v", f)
	}
	// By the serial number alone nothing is taken for the volume.
	w.pull("host01", "byhand")
	w.plug(v, "host01", "byhand", func(k *hypervisor.Disk) { k.Source = "/var/tmp/disk.img" })
	list := w.finds(onevolume.StrayDisk)
	w.says(list[0], "is no device of the volume")
	if list[0].Fixable {
		t.Errorf("%+v", list[0])
	}
}

func TestDescribedOnly(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.virt["host01"].AddDomain(hypervisortest.Domain{Name: "one-40", State: "shut off"})
	w.virt["host01"].Edit("one-40", func(d *hypervisortest.Domain) {
		d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: path(v), Target: "sdx", Bus: "scsi"}})
	})
	f := w.finds(onevolume.StrayDisk)[0]
	w.says(f, "not running")
	if f.Fixable || f.VM != 40 {
		t.Errorf("%+v", f)
	}
}

// The domain on record keeps the disk, the other loses it, on another host or
// on the same.
func TestTwoDomains(t *testing.T) {
	for _, host := range []string{"host01", "host02"} {
		w := newWorld(t)
		v := w.attach(w.volume(1, 1), "host01")
		domain := "one-18"
		if host == "host01" {
			domain = "one-30"
			w.virt["host01"].AddDomain(hypervisortest.Domain{Name: domain})
		}
		w.plug(v, host, domain)
		f := w.finds(onevolume.TwoDomains)[0]
		w.says(f, domain, "one-17", "on record is VM 17", "detach-disk")
		if f.Harmless || !f.Fixable || f.Host != host {
			t.Errorf("%+v", f)
		}
		w.fix(f)
		w.finds()
		if d, _ := w.virt["host01"].Domain("one-17"); len(d.Disks) != 1 {
			t.Error("the guest on record lost its disk")
		}
		if w.units[v.ID].Content != "the guest's data" {
			t.Error("its data is lost")
		}
		w.empty("host02")
		w.detach(w.read(v.ID), "host01")
		w.empty("host01")
	}
}

// Which of two is right cannot be told of a volume that is free, nor when the
// same VM runs twice.
func TestTwoDomainsUndecided(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.plug(v, "host01", "one-17")
	w.plug(v, "host02", "one-18")
	if f := w.finds(onevolume.TwoDomains)[0]; f.Fixable {
		t.Errorf("%+v", f)
	}
	w.pull("host02", "one-18")
	w.fix(w.finds(onevolume.StrayDisk, onevolume.IdleSession)[0])
	w.virt["host02"].AddDomain(hypervisortest.Domain{Name: "one-17", UUID: "00000000-0000-4000-8000-000000000017"})
	w.plug(v, "host02", "one-17")
	f := w.finds(onevolume.TwoDomains)[0]
	w.says(f, "the same VM runs twice")
	if f.Fixable {
		t.Errorf("%+v", f)
	}
	// One half of a live migration touches nothing.
	w.virt["host02"].Edit("one-17", func(d *hypervisortest.Domain) { d.State = "paused (migrating)" })
	for _, f := range w.examine() {
		if f.Trouble == onevolume.TwoDomains {
			t.Error(f.Cause)
		}
	}
}

// In a domain that should not have it, while the one that should has none.
func TestStrayElsewhere(t *testing.T) {
	w := newWorld(t)
	v := w.attach(w.volume(1, 1), "host01")
	w.pull("host01", "one-17")
	w.plug(v, "host02", "one-18")
	f := w.finds(onevolume.StrayDisk)[0]
	if f.Harmless || !f.Fixable {
		t.Errorf("%+v", f)
	}
	w.fix(f)
	w.empty("host02")
	w.fix(w.finds(onevolume.NoDisk)[0])
	w.finds()
}

func TestMoved(t *testing.T) {
	w := newWorld(t)
	v := w.attach(w.volume(1, 1), "host01")
	w.virt["host01"].RemoveDomain("one-17")
	w.virt["host02"].AddDomain(hypervisortest.Domain{Name: "one-17", UUID: "00000000-0000-4000-8000-000000000017"})
	w.plug(v, "host02", "one-17")
	f := w.finds(onevolume.StrayDisk)[0]
	w.says(f, "has moved")
	w.fix(f)
	if got := w.read(v.ID).Attachment; got.Host != "host02" || got.VM != 17 {
		t.Errorf("%+v", got)
	}
	w.fix(w.finds(onevolume.IdleSession)[0])
	w.empty("host01")
	w.finds()
}

func TestNoDisk(t *testing.T) {
	w := newWorld(t)
	v := w.attach(w.volume(1, 1), "host01")
	w.pull("host01", "one-17")
	f := w.finds(onevolume.NoDisk)[0]
	w.says(f, "no disk of domain one-17", "attach-device")
	if f.Harmless {
		t.Error("harmless")
	}
	w.fix(f)
	w.finds()
	// The host was booted: neither disk nor session.
	w.pull("host01", "one-17")
	w.iscsi["host01"].Reboot()
	f = w.finds(onevolume.NoDisk)[0]
	w.says(f, "host host01 has no device", "--login")
	w.fix(f)
	w.finds()
	if w.units[v.ID].Content != "the guest's data" {
		t.Error("its data is lost")
	}
}

// Logged out under the guest: the disk in the domain is dead. With
// credentials, for the host logs in before the disk is taken out.
func TestNoSession(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	chap := onevolume.CHAP{User: "user", Secret: "secret123456"}
	w.array.Change(v.Target.IQN, func(t *iscsitest.Target) { t.CHAP = chap })
	if err := w.db.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Target.CHAP = chap; return nil }); err != nil {
		t.Fatal(err)
	}
	v = w.attach(v, "host01")
	w.iscsi["host01"].Logout(v.Target.IQN)
	// A guest that does not let go keeps what it has, and it still shows.
	w.virt["host01"].Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.Refuses })
	if _, err := w.Fix(t.Context(), doctor.All(), w.finds(onevolume.NoSession)[0]); onevolume.CodeOf(err) != onevolume.Held {
		t.Errorf("%v", err)
	}
	w.virt["host01"].Edit("one-17", func(d *hypervisortest.Domain) { d.Guest = hypervisortest.LetsGo; d.Disks = nil })
	w.plug(v, "host01", "one-17", func(k *hypervisor.Disk) { k.Target = "sdiv" })
	w.iscsi["host01"].Logout(v.Target.IQN)
	f := w.finds(onevolume.NoSession)[0]
	w.says(f, "leads nowhere", "detach-disk", "attach-device", "--login")
	if f.Harmless || !f.Fixable {
		t.Errorf("%+v", f)
	}
	w.fix(f)
	w.finds()
	// A session that is lost comes back by itself, or when its target does.
	w.iscsi["host01"].Lose(v.Target.IQN, "FAILED")
	f = w.finds(onevolume.NoSession)[0]
	w.says(f, "FAILED", "10.0.0.1:3260")
	if f.Fixable {
		t.Errorf("%+v", f)
	}
	w.iscsi["host01"].Lose(v.Target.IQN, "LOGGED_IN")
	w.finds()
}

func TestPoweredOff(t *testing.T) {
	w := newWorld(t)
	w.attach(w.volume(1, 1), "host01")
	w.virt["host01"].RemoveDomain("one-17")
	f := w.finds(onevolume.NoDisk)[0]
	w.says(f, "no domain on any host", "the attachment is kept")
	if f.Fixable || doctor.Dangerous(f) {
		t.Errorf("%+v", f)
	}
}

func TestIdentity(t *testing.T) {
	for what, change := range map[string]func(*iscsitest.Unit){
		"serial number": func(u *iscsitest.Unit) { u.Identity.Serial = "OTHER" },
		"WWID":          func(u *iscsitest.Unit) { u.Identity.WWID = "naa.600bad" },
		"size":          func(u *iscsitest.Unit) { u.Size *= 2 },
	} {
		w := newWorld(t)
		v := w.attach(w.volume(1, 1), "host01")
		w.array.Change(v.Target.IQN, func(t *iscsitest.Target) { change(t.Units[1]) })
		w.iscsi["host01"].Rescan()
		f := w.finds(onevolume.OtherIdentity)[0]
		w.says(f, "its "+what+" is", "recorded is", "onevolume recover --status error")
		if f.Harmless {
			t.Error("harmless")
		}
		w.fix(f)
		got := w.read(v.ID)
		if got.State != onevolume.Failed || got.Attachment != v.Attachment || got.Reason == "" {
			t.Errorf("%+v", got)
		}
		if d, _ := w.virt["host01"].Domain("one-17"); len(d.Disks) != 1 {
			t.Error("the guest was touched")
		}
		w.finds()
	}
}

func TestNoOwner(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	op, _, err := w.db.Reserve(t.Context(), root, onevolume.Request{Kind: onevolume.Attach, VM: vmOn("host01"),
		Pick: onevolume.Pick{Volume: v.Name}, Owner: "a client", Lease: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	w.finds()
	w.late = 10 * time.Second
	f := w.finds(onevolume.NoOwner)[0]
	w.says(f, "a client", "onevolume explain")
	if f.Operation != op.ID || !f.Fixable {
		t.Errorf("%+v", f)
	}
	if _, err := w.Fix(t.Context(), doctor.All(), f); onevolume.CodeOf(err) != onevolume.Busy {
		t.Errorf("nobody takes it over: %v", err)
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		_, _ = w.db.TakeOver(context.WithoutCancel(t.Context()), op.Ref(), "onevolumed", time.Minute, op.Lease)
	}()
	w.fix(f)
	w.late = 0
	w.finds()
}

// Whatever changes between looking and touching, nothing is done that was not
// agreed to.
func TestChangedMeanwhile(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.iscsi["host01"].Login(v.Target)
	f := w.finds(onevolume.IdleSession)[0]
	// The volume is attached there by now.
	w.attach(v, "host01")
	before := w.state()
	if r, err := w.Fix(t.Context(), doctor.All(), f); r != doctor.Gone || err != nil {
		t.Errorf("%q, %v", r, err)
	}
	w.detach(w.read(v.ID), "host01")
	// It is reserved while the hosts are asked.
	w.iscsi["host01"].Login(v.Target)
	f = w.finds(onevolume.IdleSession)[0]
	w.mu.Lock()
	w.between = func() {
		_, _, err := w.db.Reserve(context.WithoutCancel(t.Context()), root, onevolume.Request{Kind: onevolume.Attach, VM: vmOn("host02"),
			Pick: onevolume.Pick{Volume: v.Name}, Owner: "a client", Lease: time.Minute})
		if err != nil {
			t.Error(err)
		}
	}
	w.mu.Unlock()
	left := w.iscsi["host01"].Left()
	if r, err := w.Fix(t.Context(), doctor.All(), f); onevolume.CodeOf(err) != onevolume.Busy || r == doctor.Fixed {
		t.Errorf("%q, %v", r, err)
	}
	if now := w.iscsi["host01"].Left(); !slices.Equal(now, left) {
		t.Errorf("%q, was %q", now, left)
	}
	_ = before
}

// The plan has changed: another disk than the one shown.
func TestOtherPlan(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.plug(v, "host01", "one-17")
	f := w.finds(onevolume.StrayDisk)[0]
	w.virt["host01"].Edit("one-17", func(d *hypervisortest.Domain) { d.Disks[0].Target = "sdy" })
	if r, err := w.Fix(t.Context(), doctor.All(), f); onevolume.CodeOf(err) != onevolume.Action || r == doctor.Fixed {
		t.Errorf("%q, %v", r, err)
	}
	if got := w.read(v.ID); got.State != onevolume.Available {
		t.Errorf("%+v", got)
	}
}

func TestScope(t *testing.T) {
	w := newWorld(t)
	u, v := w.volume(1, 1), w.volume(2, 1)
	w.iscsi["host01"].Login(u.Target)
	w.iscsi["host02"].Login(v.Target)
	for want, s := range map[string]doctor.Scope{
		"host01 0":  {Host: "host01", Volume: onevolume.NoVolume},
		"host02 1":  {Array: "array2", Volume: onevolume.NoVolume},
		"host01 0 ": {Volume: u.ID},
	} {
		c, err := w.Examine(t.Context(), s)
		if err != nil || len(c.Findings) != 1 || fmt.Sprint(c.Findings[0].Host, " ", c.Findings[0].Volume) != want[:8] {
			t.Errorf("%+v: %v, %v", s, c, err)
		}
	}
	if _, err := w.Examine(t.Context(), doctor.Scope{Volume: 99}); onevolume.CodeOf(err) != onevolume.NotFound {
		t.Errorf("%v", err)
	}
}

// While volumes come and go, nothing is reported.
func TestNoFalseAlarm(t *testing.T) {
	w := newWorld(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var volumes []onevolume.Volume
	for i := range 8 {
		volumes = append(volumes, w.volume(i/3, onevolume.LUN(i%3+1)))
	}
	var left atomic.Int64
	left.Store(100)
	var group sync.WaitGroup
	for i := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		group.Go(func() {
			for left.Add(-1) >= 0 {
				v := volumes[rnd.IntN(len(volumes))]
				host := []string{"host01", "host02"}[rnd.IntN(2)]
				err := w.run(t.Context(), onevolume.Request{Kind: onevolume.Attach, VM: vmOn(host), Pick: onevolume.Pick{Volume: v.Name}})
				if err == nil && rnd.IntN(4) > 0 {
					err = w.run(t.Context(), onevolume.Request{Kind: onevolume.Detach, VM: vmOn(host), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}})
				} else if onevolume.CodeOf(err) == onevolume.Action { // it is attached
					now, rerr := w.db.Volume(t.Context(), v.ID)
					if rerr == nil && now.State == onevolume.Attached {
						err = w.run(t.Context(), onevolume.Request{Kind: onevolume.Detach, VM: vmOn(now.Attachment.Host), Pick: onevolume.Pick{Volume: fmt.Sprint(int(v.ID))}})
					}
				}
				if code := onevolume.CodeOf(err); err != nil && code != onevolume.Action && code != onevolume.Busy && !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	defer group.Wait()
	looks := 0
	for ; left.Load() > 0; looks++ {
		w.finds()
	}
	group.Wait()
	w.finds()
	t.Logf("examined %d times meanwhile", looks)
}
