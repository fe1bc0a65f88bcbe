//go:build lab

package linux_test

import (
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/lab"
)

func (r *rig) volume(size onevolume.Size) array.Volume {
	r.t.Helper()
	v, err := r.array.Create(r.t.Context(), array.Request{ID: array.NewID(), Size: size, Label: "web data"})
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r *rig) export(id array.ID, n int) array.Export {
	r.t.Helper()
	e, err := r.array.Export(r.t.Context(), id, array.Grant{Initiator: initiators[n], CHAP: array.NewCHAP(id)})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *rig) mustLogin(e array.Export) func() {
	r.t.Helper()
	logout, err := r.login(e)
	if err != nil {
		r.t.Fatal(err)
	}
	return logout
}

func (r *rig) remove(id array.ID) {
	r.t.Helper()
	for _, initiator := range initiators {
		if err := r.array.Unexport(r.t.Context(), id, initiator, true); err != nil {
			r.t.Error(err)
		}
	}
	if err := r.array.Delete(r.t.Context(), id); err != nil {
		r.t.Error(err)
	}
}

// fails asks for an error of the kind whose text or hint has the words.
func fails(t *testing.T, kind array.Kind, words string, err error) {
	t.Helper()
	if !array.Is(err, kind) {
		t.Errorf("%v (%s), want an error that is %q", err, array.KindOf(err), kind)
		return
	}
	if all := err.Error() + "\n" + onevolume.HintOf(err); !strings.Contains(all, words) {
		t.Errorf("%s says nothing of %q", all, words)
	}
}

// weak makes a volume group on a loop device of 64 MiB, and another device. It
// prints both.
const weak = `cd /run/lab && truncate -s 64M weak1 weak2 && a=$(losetup -f --show weak1) && b=$(losetup -f --show weak2) &&
vgcreate -q weak $a >/dev/null && echo $a $b`

func (r *rig) weak() (first, second string) {
	r.t.Helper()
	f := strings.Fields(r.on(weak))
	r.t.Cleanup(func() {
		r.Exec(lab.ArrayHost, "blockdev --setrw "+f[0]+"; vgreduce -q -y --removemissing --force weak; vgremove -q -y -f weak; losetup -d "+
			f[0]+" "+f[1]+"; rm -f /run/lab/weak*")
	})
	return f[0], f[1]
}

func TestLabThinPoolFull(t *testing.T) {
	l := open(t)
	r := newLIO(t, l, setting{vg: "weak", pool: "pool", overprovision: 4})
	first, _ := r.weak()
	r.on("lvcreate -q -T -L 32M weak/pool %s && lvchange -q --errorwhenfull y weak/pool", first)
	ctx := t.Context()
	v := r.volume(64 << 20)
	_, err := r.array.Create(ctx, array.Request{ID: array.NewID(), Size: 68 << 20})
	fails(t, array.NoSpace, "of at most 128M ", err) // LVM would do it, and warn

	if res := r.Exec(lab.ArrayHost, "dd if=/dev/zero of="+r.device(v.ID)+" bs=1M count=40 oflag=direct"); res.Code == 0 {
		t.Fatal("40 MiB went into a pool of 32")
	}
	s, err := r.array.Stats(ctx)
	if free, ok := s.Free.Get(); err != nil || !ok || free != 0 || s.Trouble == "" {
		t.Errorf("%+v %v", s, err)
	}
	id := array.NewID()
	_, err = r.array.Create(ctx, array.Request{ID: id, Size: 4 << 20})
	fails(t, array.NoSpace, "weak/pool", err)
	_, err = r.array.Snapshot(ctx, id, v.ID)
	fails(t, array.NoSpace, "weak/pool", err)
	_, err = r.array.Clone(ctx, array.Request{ID: id, Size: v.Size}, v.ID)
	fails(t, array.NoSpace, "weak/pool", err)
	_, err = r.array.Extend(ctx, v.ID, 72<<20)
	fails(t, array.NoSpace, "weak/pool", err)
	// What makes room goes.
	r.export(v.ID, 0)
	r.remove(v.ID)
	if s, err = r.array.Stats(ctx); err != nil || s.Trouble != "" {
		t.Errorf("after that: %+v %v", s, err)
	}
	r.remove(r.volume(16 << 20).ID)
}

func TestLabBrokenVolumeGroup(t *testing.T) {
	l := open(t)
	r := newLIO(t, l, setting{vg: "weak", pool: "pool", overprovision: 4})
	ctx := t.Context()
	_, err := r.array.Create(ctx, array.Request{ID: array.NewID(), Size: 4 << 20})
	fails(t, array.Refused, "has the volume group weak", err)

	first, second := r.weak()
	_, err = r.array.Stats(ctx)
	fails(t, array.Refused, "no thin pool pool", err)
	r.on("lvcreate -q -T -L 32M weak/pool %s", first)
	v := r.volume(8 << 20)

	r.on("blockdev --setro %s", first)
	before := r.on("lvs -a -o lv_name,lv_size,lv_attr weak")
	refused := func(what string) {
		t.Helper()
		id := array.NewID()
		_, err := r.array.Create(ctx, array.Request{ID: id, Size: 4 << 20})
		fails(t, array.Refused, "weak", err)
		_, err = r.array.Snapshot(ctx, id, v.ID)
		fails(t, array.Refused, "weak", err)
		_, err = r.array.Extend(ctx, v.ID, 12<<20)
		fails(t, array.Refused, "weak", err)
		if got, err := r.array.Lookup(ctx, v.ID); err != nil || got.Size != v.Size {
			t.Errorf("%s: %+v %v", what, got, err)
		}
		if after := r.on("lvs -a -o lv_name,lv_size,lv_attr weak"); after != before {
			t.Errorf("%s: before:\n%s\nafter:\n%s", what, before, after)
		}
	}
	fails(t, array.Refused, "weak", r.array.Delete(ctx, v.ID))
	refused("read-only")
	// LVM takes volumes away also when a disk is missing that they are not on.
	r.on("blockdev --setrw %s && vgextend -q weak %s && losetup -d %s", first, second, second)
	before = r.on("lvs -a -o lv_name,lv_size,lv_attr weak")
	refused("a disk is missing")
	r.remove(v.ID)
}

func TestLabSudo(t *testing.T) {
	l := open(t)
	r := newLIO(t, l, setting{user: "plain"})
	_, err := r.array.Create(t.Context(), array.Request{ID: array.NewID(), Size: 4 << 20})
	fails(t, array.Auth, "sudo -n", err)

	for name, r := range map[string]*rig{"lio": newLIO(t, l, setting{user: "oneadmin"}), "tgt": newTgt(t, l, setting{user: "oneadmin"})} {
		v := r.volume(4 << 20)
		r.mustLogin(r.export(v.ID, 0))()
		if err := r.array.Unexport(t.Context(), v.ID, initiators[0], false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.array.Delete(t.Context(), v.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What somebody made by hand is neither taken over nor removed.
func TestLabNotOurs(t *testing.T) {
	l := open(t)
	r := newLIO(t, l, setting{})
	v, theirs := r.volume(4<<20), r.volume(4<<20)
	name := v.ID.Name()
	so := "/sys/kernel/config/target/core/iblock_7/" + name
	r.on("mkdir -p %s && echo udev_path=%s >%s/control && echo %s >%s/udev_path && echo 1 >%s/enable",
		so, r.device(theirs.ID), so, r.device(theirs.ID), so, so)
	_, err := r.array.Export(t.Context(), v.ID, array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(v.ID)})
	fails(t, array.Exists, r.device(theirs.ID), err)
	_, err = r.array.Export(t.Context(), theirs.ID, array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(theirs.ID)})
	fails(t, array.Busy, r.device(theirs.ID), err)
	err = r.array.Delete(t.Context(), theirs.ID)
	fails(t, array.Busy, "in use", err)
	r.on("test -d %s && rmdir %s %s", so, so, so[:strings.LastIndex(so, "/")])
	r.remove(v.ID)
	r.remove(theirs.ID)

	r = newTgt(t, l, setting{})
	v, theirs = r.volume(4<<20), r.volume(4<<20)
	r.on("tgtadm --lld iscsi --op new --mode target --tid 9 -T iqn.2026-11.lab.onevolume.tgt:%s && "+
		"tgtadm --lld iscsi --op new --mode logicalunit --tid 9 --lun 1 -b %s", v.ID.Name(), r.device(theirs.ID))
	_, err = r.array.Export(t.Context(), v.ID, array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(v.ID)})
	fails(t, array.Exists, r.device(theirs.ID), err)
	r.on("tgtadm --lld iscsi --op delete --mode target --tid 9")
	r.remove(v.ID)
	r.remove(theirs.ID)
}

// An initiator that died without a word holds its volume until somebody who
// knows it says so.
func TestLabDeadHost(t *testing.T) {
	l := open(t)
	for name, r := range map[string]*rig{"lio": newLIO(t, l, setting{}), "tgt": newTgt(t, l, setting{})} {
		v := r.volume(4 << 20)
		e := r.export(v.ID, 0)
		r.mustLogin(e)
		r.Command("node", "kill", lab.Initiator)
		list, err := r.array.Sessions(t.Context(), v.ID)
		if err != nil || len(list) != 1 || list[0].Initiator != e.Initiator || list[0].Address != "10.77.0.15" {
			t.Errorf("%s: %+v %v", name, list, err)
		}
		fails(t, array.Busy, string(e.Initiator), r.array.Unexport(t.Context(), v.ID, e.Initiator, false))
		fails(t, array.Busy, string(e.Initiator), r.array.Delete(t.Context(), v.ID))
		r.remove(v.ID)
		r.Command("node", "start", lab.Initiator)
	}
}

// The initiator sees the unit that the export announced, and its new size.
func TestLabIdentityAndGrowth(t *testing.T) {
	l := open(t)
	for name, r := range map[string]*rig{
		"lio": newLIO(t, l, setting{}), "lio, thick": newLIO(t, l, setting{vg: "thick"}), "tgt": newTgt(t, l, setting{}),
	} {
		v := r.volume(16 << 20)
		e := r.export(v.ID, 0)
		logout := r.mustLogin(e)
		out := r.Must(r.Exec(lab.Initiator, `set -- /sys/class/iscsi_session/session*/device/target*/*/block/*
disk=${1##*/}; cd /sys/block/$disk && cat device/wwid; tail -c +5 device/vpd_pg80; echo; cat size; echo $disk`))
		f := strings.Split(strings.TrimSpace(out), "\n")
		if len(f) != 4 {
			t.Fatalf("%s: %q", name, out)
		}
		if strings.Trim(f[1], " \x00") != e.Identity.Serial || e.Identity.WWID != "" && f[0] != e.Identity.WWID || f[2] != "32768" {
			t.Errorf("%s: the disk says %q, the export %+v", name, f, e.Identity)
		}
		if _, err := r.array.Extend(t.Context(), v.ID, 24<<20); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.Must(r.Exec(lab.Initiator, "iscsiadm -m session -R >/dev/null && cat /sys/block/"+f[3]+"/size")); got != "49152\n" {
			t.Errorf("%s: the initiator sees %s sectors", name, got)
		}
		logout()
		r.remove(v.ID)
	}
}

// The power fails at the array after each request of an export, whose answer
// is lost with it: the same export again comes to its end.
func TestLabPowerCutWithinExport(t *testing.T) {
	l := open(t)
	for name, r := range map[string]*rig{"lio": newLIO(t, l, setting{}), "tgt": newTgt(t, l, setting{})} {
		requests := []int{1, 2}
		if name == "tgt" {
			requests = []int{3, 6}
		}
		for _, n := range requests {
			v := r.volume(8 << 20)
			g := array.Grant{Initiator: initiators[0], CHAP: array.NewCHAP(v.ID)}
			came := r.lossy.Lose(n, true)
			_, err := r.array.Export(t.Context(), v.ID, g)
			if !came() {
				t.Fatalf("%s: there is no request %d", name, n)
			}
			fails(t, array.Unknown, "", err)
			r.powerCut()
			e, err := r.array.Export(t.Context(), v.ID, g)
			if err != nil {
				t.Fatalf("%s, cut after request %d: %v", name, n, err)
			}
			r.mustLogin(e)()
			if err := r.array.Unexport(t.Context(), v.ID, initiators[0], false); err != nil {
				t.Error(err)
			}
			r.remove(v.ID)
		}
	}
}
