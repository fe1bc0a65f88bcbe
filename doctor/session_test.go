package doctor_test

import (
	"testing"

	"onevolume"
	"onevolume/doctor"
	"onevolume/hypervisor"
	"onevolume/hypervisor/hypervisortest"
	"onevolume/iscsi/iscsitest"
)

func TestClean(t *testing.T) {
	w := newWorld(t)
	w.finds()
	v := w.volume(1, 1)
	w.volume(1, 2)
	w.finds()
	w.attach(v, "host01")
	w.finds()
	w.detach(v, "host01")
	w.finds()
}

func TestIdleSession(t *testing.T) {
	w := newWorld(t)
	v, u := w.volume(1, 1), w.volume(1, 2)
	w.iscsi["host02"].Login(v.Target)
	f := w.finds(onevolume.IdleSession)[0]
	w.says(f, "host02", "iqn.2026-11.test:1", "session 1", "which is free", "ssh host02 sudo blockdev --flushbufs /dev/sda",
		"sudo iscsiadm -m session -r 1 -u", "sudo iscsiadm -m node -T iqn.2026-11.test:1 -p 10.0.0.1:3260 -o delete")
	if !f.Harmless {
		t.Error("not harmless")
	}
	w.fix(f)
	w.empty("host01", "host02")
	// The volume is in use elsewhere: an administrator decides.
	w.attach(u, "host01")
	w.iscsi["host02"].Login(v.Target)
	if f = w.finds(onevolume.IdleSession)[0]; f.Harmless || !f.Fixable || f.Host != "host02" {
		t.Errorf("%+v", f)
	}
	w.fix(f)
	w.empty("host02")
	w.finds()
}

// A session without any disk, at a portal that the volume no longer has.
func TestIdleSessionElsewhere(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.iscsi["host01"].Login(v.Target)
	w.iscsi["host01"].Forget(v.Target)
	portals, _ := onevolume.ParsePortals("10.0.0.9")
	if err := w.db.Update(t.Context(), v.ID, func(v *onevolume.Volume) error { v.Target.Portals = portals; return nil }); err != nil {
		t.Fatal(err)
	}
	w.fix(w.finds(onevolume.IdleSession)[0])
	w.empty("host01")
}

// What the host itself has in use is neither logged out nor removed.
func TestIdleSessionHeld(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.iscsi["host01"].Login(v.Target)
	free := w.finds(onevolume.IdleSession)[0]
	w.iscsi["host01"].Change(func(s *iscsitest.State) {
		s.Holders = map[string][]string{"sda": {"36 25 8:0 / /mnt rw - ext4 /dev/sda rw"}}
	})
	before := w.state()
	f := w.finds(onevolume.IdleSession)[0]
	w.says(f, "mounted on /mnt")
	for _, f := range []onevolume.Finding{f, free} {
		if r, err := w.Fix(t.Context(), doctor.All(), f); err == nil || r == doctor.Fixed {
			t.Errorf("%q, %v", r, err)
		}
	}
	if after := w.state(); after != before {
		t.Errorf("%s\nwas\n%s", after, before)
	}
}

func TestOrphanDevice(t *testing.T) {
	w := newWorld(t)
	v, u := w.volume(1, 1), w.volume(1, 2)
	w.attach(v, "host01")
	w.iscsi["host01"].Scan(u.Target)
	list := w.finds(onevolume.OrphanDevice)
	w.says(list[0], "disk1.2", "which others use")
	if list[0].Volume != u.ID || !list[0].Harmless {
		t.Errorf("%+v", list[0])
	}
	w.fix(list[0])
	w.detach(w.read(v.ID), "host01")
	w.empty("host01")
}

// Sessions, records and disks of targets that are in no inventory are nobody's
// business here, and neither is a foreign unit on a target of ours.
func TestStrangers(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	foreign, lun2 := w.stranger(9, 1), w.stranger(1, 2)
	w.iscsi["host01"].Login(foreign)
	w.iscsi["host02"].Record(foreign.IQN, foreign.Portals[0], "automatic")
	w.virt["host01"].Edit("one-17", func(d *hypervisortest.Domain) {
		d.Disks = append(d.Disks, hypervisortest.Disk{Disk: hypervisor.Disk{Source: "/dev/foreign", Target: "sda", Bus: "scsi", Serial: "onevolume-99"}})
	})
	w.iscsi["host01"].Change(func(s *iscsitest.State) {
		s.Stale = map[string]string{"/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2026-11.test:9-lun-7": "link"}
	})
	w.finds()
	// Theirs on a target of ours: only our disk goes, and the record is not
	// set to manual without being asked.
	w.iscsi["host02"].Login(lun2)
	w.iscsi["host02"].Record(v.Target.IQN, v.Target.Portals[0], "automatic")
	list := w.finds(onevolume.AutomaticRecord, onevolume.OrphanDevice)
	if list[0].Harmless {
		t.Error("a record that somebody else may need at boot is changed without being asked")
	}
	w.fix(list[1])
	if w.iscsi["host02"].UnitAt(path(v)) != nil {
		t.Error("our disk is still there")
	}
	if len(w.iscsi["host02"].Left()) != 4 {
		t.Errorf("their session or disk is gone: %q", w.iscsi["host02"].Left())
	}
}

func TestRecords(t *testing.T) {
	w := newWorld(t)
	v := w.attach(w.volume(1, 1), "host01")
	w.iscsi["host01"].Record(v.Target.IQN, v.Target.Portals[0], "automatic")
	w.iscsi["host02"].Record(v.Target.IQN, v.Target.Portals[0], "manual")
	list := w.finds(onevolume.AutomaticRecord, onevolume.OrphanRecord)
	w.says(list[0], "automatic", "-n node.startup -v manual")
	w.says(list[1], "host02", "-o delete")
	for _, f := range list {
		if !f.Harmless {
			t.Errorf("%+v", f)
		}
		w.fix(f)
	}
	w.empty("host02")
	w.iscsi["host02"].Record(v.Target.IQN, v.Target.Portals[0], "onboot")
	f := w.finds(onevolume.AutomaticRecord)[0]
	w.says(f, "onboot", "nothing there uses it")
	w.fix(f)
	w.empty("host02")
	w.finds()
}

func TestStaleLink(t *testing.T) {
	w := newWorld(t)
	v := w.volume(1, 1)
	w.iscsi["host02"].Change(func(s *iscsitest.State) { s.Stale = map[string]string{path(v): "link", path(v) + "-part1": "file"} })
	list := w.finds(onevolume.StaleLink, onevolume.StaleLink)
	if !list[0].Harmless || list[1].Fixable {
		t.Errorf("%+v", list)
	}
	w.says(list[0], "sudo find "+path(v)+" -maxdepth 0")
	w.says(list[1], "is a file", "ls -l")
	w.fix(list[0])
	w.finds(onevolume.StaleLink)
}

func TestSameInitiator(t *testing.T) {
	w := newWorld(t)
	same := func(s *iscsitest.State) { s.Initiator = "iqn.1993-08.org.debian:01:abc" }
	w.iscsi["host01"].Change(same)
	w.iscsi["host02"].Change(same)
	v := w.attach(w.volume(1, 1), "host02")
	f := w.finds(onevolume.SameInitiator)[0]
	w.says(f, "host01, host02", "sudo iscsiadm -k 0", "InitiatorName=iqn.1993-08.org.debian:01:")
	if f.Host != "host01" || f.Harmless {
		t.Errorf("%+v", f)
	}
	w.fix(f)
	w.finds()
	// With sessions on both nothing can be done at once.
	w.iscsi["host01"].Change(same)
	u := w.attach(w.volume(2, 1), "host01")
	f = w.finds(onevolume.SameInitiator)[0]
	w.says(f, "move the VMs")
	if f.Fixable {
		t.Errorf("%+v", f)
	}
	w.detach(u, "host01")
	w.detach(v, "host02")
}

// A host of which the cloud knows two names is one.
func TestTwoNames(t *testing.T) {
	w := newWorld(t)
	w.iscsi["host02"].Change(func(s *iscsitest.State) { s.Machine, s.Initiator = "host01", "iqn.2026-11.test:host01" })
	w.finds()
	// The name that the inventory uses is kept, and nothing is judged by the
	// other one alone.
	v := w.attach(w.volume(1, 1), "host02")
	w.finds()
	w.pull("host02", "one-18")
	if f := w.finds(onevolume.NoDisk)[0]; f.Host != "host02" {
		t.Errorf("%+v", f)
	}
	w.iscsi["host01"].Login(v.Target)
	c, err := w.Examine(t.Context(), doctor.Scope{Host: "host01", Volume: onevolume.NoVolume})
	if err != nil || len(c.Findings) != 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestHostSilent(t *testing.T) {
	w := newWorld(t)
	w.attach(w.volume(1, 1), "host02")
	w.net.Down("host02", "timeout")
	f := w.finds(onevolume.HostSilent)[0]
	w.says(f, "host02", "ssh host02 true")
	if f.Fixable || !doctor.Dangerous(f) {
		t.Errorf("%+v", f)
	}
	w.net.Down("host02", "")
	w.finds()
}

func TestHostThatRefuses(t *testing.T) {
	w := newWorld(t)
	w.iscsi["host01"].Change(func(s *iscsitest.State) { s.NoSudo = true })
	w.says(w.finds(onevolume.HostSilent)[0], "host01", "sudo")
	w.iscsi["host01"].Change(func(s *iscsitest.State) { s.NoSudo = false })
	w.virt["host01"].Down("error: failed to connect to the hypervisor\n")
	w.says(w.finds(onevolume.HostSilent)[0], "host01", "libvirtd")
}
