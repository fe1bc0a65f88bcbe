package openfiler_test

import (
	"fmt"
	"strings"
	"testing"

	"onevolume"
	"onevolume/openfiler/openfilertest"
)

const (
	somebody = "iqn.1993-08.org.debian:01:x"
	disk10   = openfilertest.Sizes + "/dev/vg0/disk10"
	settings = openfilertest.Settings
	volume   = openfilertest.Volume
)

// registered is a world whose three units are volumes 0, 1 and 2.
func registered(t *testing.T) *world {
	w := newWorld(t)
	w.want(
		`registered 0 "Web café _ shop" disk1 0: /dev/vg0/disk1, 64G`,
		`registered 1 "Logs" disk1 1: /dev/vg1/logs, 10G`,
		`registered 2 "disk10" disk10 0: /dev/vg0/disk10, 5T`)
	return w
}

func TestRegister(t *testing.T) {
	w := newWorld(t)
	// & stands in no name of OpenNebula's.
	w.want(`registered 0 "Web café _ shop" disk1 0: /dev/vg0/disk1, 64G`,
		`registered 1 "Logs" disk1 1: /dev/vg1/logs, 10G`, `registered 2 "disk10" disk10 0: /dev/vg0/disk10, 5T`)
	v := w.volume(1)
	if v.Target.IQN != prefix+"disk1" || v.Target.LUN != 1 || v.Size != 10770972672 || v.Array != "store1" || v.State != onevolume.Available ||
		v.Identity != (onevolume.Identity{Serial: "b7RtYq-22Zc-Aw0n"}) || onevolume.JoinPortals(v.Target.Portals) != "10.0.0.5:3260,10.0.1.5:3260" ||
		v.Target.CHAP != (onevolume.CHAP{User: "cloud", Secret: "correct-horse-1"}) || v.Owner.UID != 0 || v.Permissions != 0o640 {
		t.Errorf("volume 1 is %+v, CHAP %q", v, v.Target.CHAP.Secret)
	}
	if v := w.volume(2); v.Target.CHAP != (onevolume.CHAP{}) || v.Target.IQN != prefix+"disk10" {
		t.Errorf("volume 2 is %+v", v)
	}
	w.want() // again: nothing is left to do
	deeds, err := w.db.History(t.Context(), onevolume.History{Viewer: onevolume.Caller{Groups: []int{0}}, Volume: -1, VM: -1, UID: -1})
	if err != nil || len(deeds) != 3 || deeds[0].Action != "sync" || deeds[0].From != "onevolumed@test" {
		t.Errorf("the history has %+v, %v", deeds, err)
	}
	if strings.Contains(fmt.Sprintf("%#v", deeds), "correct-horse") {
		t.Error("the history has a secret")
	}
}

func TestNotRegistered(t *testing.T) {
	w := newWorld(t)
	w.array.LogIn("disk10", somebody)
	w.array.Edit(volume, openfilertest.LogsLine, "")
	w.array.Edit(volume, "tid:1 ", "tid:9 name:"+prefix+"hand\n\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg1/hand\ntid:1 ")
	w.array.Remove("/size/dev/vg0/disk1")
	w.want(`reported -1 "" disk1 0: not registered: the size of /dev/vg0/disk1 is not known: blockdev: cannot open /dev/vg0/disk1: No such file or directory`,
		`reported -1 "" disk1 1: not registered: it is configured and not exported…`,
		`reported -1 "" disk10 0: not registered: iqn.1993-08.org.debian:01:x is logged in to it…`,
		`reported -1 "" hand 0: not registered: it was exported by hand…`)
	w.Array.Targets = prefix + "DISK1"
	w.want(`reported -1 "" disk1 0: not…`, `reported -1 "" disk1 1: not…`)
}

func TestDeviceMappedTwice(t *testing.T) {
	w := newWorld(t)
	w.array.Edit(volume, "path:/dev/vg0/disk10", "path:/dev/vg0/disk1")
	w.array.Edit(settings, `Path="/dev/vg0/disk10"`, `Path="/dev/vg0/disk1"`)
	w.want(`reported -1 "" disk1 0: not registered: /dev/vg0/disk1 is mapped 2 times…`, `registered 0 "Logs"…`,
		`reported -1 "" disk10 0: not registered: /dev/vg0/disk1 is mapped 2 times…`)
}

func TestRefusedByTheInventory(t *testing.T) {
	w := newWorld(t)
	w.array.Edit(settings, "correct-horse-1", "short")
	w.array.Edit(volume, "name:"+prefix+"disk10", "name:"+prefix+"disk_10")
	w.array.Edit(settings, prefix+"disk10", prefix+"disk_10")
	w.want(`reported -1 "" disk1 0: could not be registered: CHAP_SECRET has 5 bytes…`,
		`reported -1 "" disk1 1: could not be registered: CHAP_SECRET has 5 bytes…`,
		`reported -1 "" disk_10 0: could not be registered: IQN…`)
}

func TestNameIsTaken(t *testing.T) {
	w := newWorld(t)
	w.array.Edit(openfilertest.Names, `"Logs"`, `"Web caf&eacute; &amp; shop"`)
	w.want(`registered 0 "Web café _ shop" disk1 0…`, `registered 1 "logs" disk1 1…`, `registered 2 "disk10"…`)
}

func TestUpdate(t *testing.T) {
	w := registered(t)
	w.array.Write(disk10, "5497591693312\n")
	w.array.Edit(settings, "correct-horse-1", "correct-horse-2")
	w.want(`updated 0 "Web café _ shop" disk1 0: its CHAP users or secrets are others`, `updated 1 "Logs" disk1 1: its CHAP users or secrets are others`,
		`updated 2 "disk10" disk10 0: its size is 5T (5497591693312 bytes) and was 5T (5497558138880 bytes)`)
	if v := w.volume(2); v.Size != 5497591693312 {
		t.Errorf("size %d", v.Size)
	}
	if v := w.volume(0); v.Target.CHAP.Secret != "correct-horse-2" {
		t.Errorf("secret %q", v.Target.CHAP.Secret)
	}
	w.Array.Portals = w.Array.Portals[:1]
	w.want(`updated 0…`, `updated 1…`, `updated 2 "disk10" disk10 0: its portals are…`)
	w.want()
}

// What is in use is only reported, whatever the array says.
func TestInUse(t *testing.T) {
	w := registered(t)
	w.attach(2)
	w.array.LogIn("disk10", somebody)
	w.array.Write(disk10, "1073741824\n")
	w.want(`reported 2 "disk10" disk10 0: differs, and is ATTACHED: its size is 1G (1073741824 bytes)…`)
	w.array.Unmap(openfilertest.Disk10Line, openfilertest.Disk10Lun)
	w.want(`reported 2 "disk10" disk10 0: gone from the array and ATTACHED in VM 17: its target has no logical unit any more, or is gone`)
	if v := w.volume(2); v.State != onevolume.Attached || v.Size != 5497558138880 {
		t.Errorf("volume 2 is %+v", v)
	}
}

// A target whose LUN 0 is in a VM has a session, which is no reason to leave
// its other units alone.
func TestSessionOfOurs(t *testing.T) {
	w := registered(t)
	w.attach(0)
	w.array.LogIn("disk1", somebody)
	w.array.Write("/size/dev/vg1/logs", "2147483648\n")
	w.want(`updated 1 "Logs" disk1 1: its size is 2G (2147483648 bytes)…`)
	w.recover(0, onevolume.Available)
	w.array.Write("/size/dev/vg1/logs", "1073741824\n")
	w.want(`reported 1 "Logs" disk1 1: differs, and iqn.1993-08.org.debian:01:x is logged in to it…`)
}

func TestVanishes(t *testing.T) {
	w := registered(t)
	w.recover(1, onevolume.Retained)
	w.array.Unmap(openfilertest.Disk1Line, openfilertest.Disk1Lun)
	w.array.Unmap(openfilertest.LogsLine, openfilertest.LogsLun)
	w.want(`failed 1 "Logs" disk1 1: Not on array store1: its target has no logical unit any more, or is gone. It was RETAINED…`,
		`failed 0 "Web café _ shop" disk1 0: Not on array store1: …`)
	for id := range onevolume.VolumeID(2) {
		if v := w.volume(id); v.State != onevolume.Failed || !strings.HasPrefix(v.Reason, "Not on array store1: ") {
			t.Errorf("volume %d is %s: %s", id, v.State, v.Reason)
		}
	}
	if v := w.volume(2); v.State != onevolume.Available {
		t.Errorf("volume 2, whose IQN only begins like the other's, is %s", v.State)
	}
	w.want() // it has been said

	w.array.Edit(volume, "tid:2 name:"+prefix+"disk1\n", "tid:2 name:"+prefix+"disk1\n"+openfilertest.LogsLine)
	w.array.Edit(settings, "<IncomingUser username=\"cloud\" password=\"correct-horse-1\"/>\n", "<IncomingUser username=\"cloud\" password=\"correct-horse-1\"/>\n"+openfilertest.LogsLun)
	w.want(`reported 1 "Logs" disk1 1: it is there again…`)
	w.recover(1, onevolume.Retained)
	w.want()
}

func TestAnotherUnitInItsPlace(t *testing.T) {
	w := registered(t)
	w.attach(0)
	w.array.Edit(settings, `ScsiSN="X2d1kP-8fSa-Lm4c"`, `ScsiSN="AAAAAA-8fSa-Lm4c"`)
	w.array.Edit(settings, `ScsiSN="Zp90aa-QwEr-tY5u"`, `ScsiSN="BBBBBB-QwEr-tY5u"`)
	w.want(`reported 0 "Web café _ shop" disk1 0: another logical unit stands there now: its serial number is "AAAAAA-8fSa-Lm4c", recorded is "X2d1kP-8fSa-Lm4c"; it is ATTACHED`,
		`failed 2 "disk10" disk10 0: Not on array store1: another logical unit…`)
}

func TestSmallerWithData(t *testing.T) {
	w := registered(t)
	w.recover(2, onevolume.Retained)
	w.array.Write(disk10, "1073741824\n")
	w.want(`reported 2 "disk10" disk10 0: the array has made it smaller, and it holds its owner's data…`)
}

func TestNotOurs(t *testing.T) {
	w := newWorld(t)
	text := `NAME="mine" IQN="` + prefix + `disk10" PORTALS="10.0.0.9" SIZE="1G"`
	if _, err := w.Inventory.Allocate(t.Context(), "by hand", text); err != nil {
		t.Fatal(err)
	}
	w.want(`registered 1…`, `registered 2…`, `reported 0 "mine" disk10 0: registered by hand, and left alone…`)
	if err := w.Inventory.Update(t.Context(), 0, "", `ARRAY="store1"`); err != nil {
		t.Fatal(err)
	}
	w.want(`updated 0 "mine" disk10 0: its size is 5T (5497558138880 bytes) and was 1G (1073741824 bytes); its portals are 10.0.0.5:3260,10.0.1.5:3260 and were 10.0.0.9:3260; its serial number is "Zp90aa-QwEr-tY5u" and was not known`)
}

// The service is restarted, or a file is being written: nothing is concluded.
func TestNothingIsConcluded(t *testing.T) {
	w := registered(t)
	fails := func(want string) {
		t.Helper()
		done, err := w.Sync(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || len(done.Changes) > 0 {
			t.Errorf("error %v, changes %v; want %q", err, done.Changes, want)
		}
		for id := range onevolume.VolumeID(3) {
			if v := w.volume(id); v.State != onevolume.Available {
				t.Errorf("volume %d is %s", id, v.State)
			}
		}
	}
	whole := w.array.Read(settings)
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - len("</iet>\n")} {
		w.array.Write(settings, whole[:n])
		fails("iscsi_settings.xml")
	}
	w.array.Write(settings, "<iet><targets/></iet>")
	w.array.Write(volume, "")
	fails("it has no logical unit at all")
	w.array.Write(settings, whole)
	w.array.Write(volume, "tid:1 nam")
	fails("volume, line 1")
	w.array.Write(volume, "")
	w.want(`reported 0 "Web café _ shop" disk1 0: configured and not exported…`, `reported 1…`, `reported 2…`)
	w.array.Remove(volume)
	fails("its target service does not run")
	w.array.Remove(settings)
	fails("there is no /opt/openfiler/etc/iscsi/targets/iscsi_settings.xml")
}

func TestNoAnswer(t *testing.T) {
	w := registered(t)
	w.Array.Host = "nobody.invalid"
	if _, err := w.Sync(t.Context()); onevolume.CodeOf(err) != onevolume.Unreachable || !strings.Contains(err.Error(), "array store1") {
		t.Errorf("error %v", err)
	}
}

// What onevolume made on the array is neither registered, nor changed, nor
// missed, however the array and the inventory look at one moment.
func TestMadeByUs(t *testing.T) {
	w := registered(t)
	const name = "ov-0123456789abcdef0123456789abcdef"
	w.made(2, "disk10")
	w.array.Edit(settings, "Zp90aa-QwEr-tY5u\" ScsiSN=\"Zp90aa-QwEr-tY5u", "another\" ScsiSN=\"another")
	w.want() // exported, with another serial number
	w.array.Unmap(openfilertest.Disk10Line, strings.ReplaceAll(openfilertest.Disk10Lun, "Zp90aa-QwEr-tY5u", "another"))
	w.want() // in no VM, so not exported
	if v := w.volume(2); v.State != onevolume.Available || v.Identity.Serial != "Zp90aa-QwEr-tY5u" {
		t.Errorf("volume 2 is %+v", v)
	}
	for _, c := range []struct{ target, device string }{{name, name}, {name, "disk1"}, {"disk1", name}} {
		before := w.array.Read(volume)
		w.array.Write(volume, before+"tid:9 name:iqn.2026-11.org.example:"+c.target+"\n\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg0/"+c.device+"\n")
		switch made := c.target == c.device; {
		case made:
			w.want() // it is not in the inventory any more
		default:
			w.want(`reported -1 "" iqn.2026-11.org.example:` + c.target + ` 0: not registered: it was exported by hand…`)
		}
		w.array.Write(volume, before)
	}
}

// An array on which all is ours is not one that has lost all.
func TestAllMadeByUs(t *testing.T) {
	w := registered(t)
	for id := range onevolume.VolumeID(3) {
		w.made(id, fmt.Sprint("lv", id))
	}
	w.array.Write(settings, "<iet><targets/></iet>")
	w.array.Write(volume, "")
	w.want()
}
