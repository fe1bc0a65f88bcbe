package lio

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"onevolume"
	"onevolume/array"
	"onevolume/array/arraytest"
	"onevolume/array/linux"
	"onevolume/array/linux/linuxtest"
	"onevolume/command"
	"onevolume/command/commandtest"
)

const prefix = "iqn.2026-11.org.example.array1"

func portals(t testing.TB, s string) []onevolume.Portal {
	t.Helper()
	list, err := onevolume.ParsePortals(s)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// rig is an array on a machine of memory.
type rig struct {
	*fake
	net   *commandtest.Net
	array *linux.Machine
	lossy *arraytest.Lossy
}

func newRig(t *testing.T, pool string) *rig {
	t.Helper()
	r := &rig{fake: newFake(t, linuxtest.NewVG(t, "vg0", pool, 2<<30)), net: commandtest.NewNet(t)}
	r.net.Add("array1", r.handle)
	r.lossy = arraytest.NewLossy(r.net)
	m, err := New(linux.Options{Host: "array1", Dialer: r.lossy, PageSize: 3, Overprovision: 1}, linux.LVM{VG: "vg0", Pool: pool},
		Options{IQN: prefix, Portals: portals(t, "10.77.0.1,[fd00::1]")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r.array = m
	return r
}

func (r *rig) fixture() arraytest.Fixture {
	f := arraytest.Fixture{
		Array:      r.array,
		Initiators: [2]onevolume.IQN{"iqn.2026-11.org.example:host01", "iqn.2026-11.org.example:host02"},
		Login:      r.login,
		Squat: func(id array.ID) (func() bool, func()) {
			r.vg.Add(id.Name(), "", 8<<20)
			return func() bool { return r.vg.Has(id.Name()) }, func() { r.vg.Del(id.Name()) }
		},
		Lose:    r.lossy.Lose,
		Restart: r.boot,
		State:   r.state,
	}
	if r.vg.Pool != "" { // of thick volumes nothing is said
		f.Write = func(id array.ID, data []byte) { r.vg.Write(id.Name(), data) }
		f.Read = func(id array.ID, n int) []byte { return r.vg.Read(id.Name(), n) }
	}
	return f
}

func TestSuite(t *testing.T) {
	for name, pool := range map[string]string{"thin": "pool", "thick": ""} {
		t.Run(name, func(t *testing.T) {
			arraytest.Run(t, func(t *testing.T) arraytest.Fixture { return newRig(t, pool).fixture() })
		})
	}
}

func (r *rig) volume(t *testing.T) array.Volume {
	t.Helper()
	v, err := r.array.Create(t.Context(), array.Request{ID: array.NewID(), Size: 16 << 20, Label: "web data"})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func grant(id array.ID) array.Grant {
	return array.Grant{Initiator: "iqn.2026-11.org.example:host01", CHAP: array.NewCHAP(id)}
}

// The commands, to the letter.
func TestCommands(t *testing.T) {
	r := newRig(t, "pool")
	id, shot, copied := array.ID("01234567-89ab-cdef-0123-456789abcdef"), array.ID("11234567-89ab-cdef-0123-456789abcdef"), array.ID("21234567-89ab-cdef-0123-456789abcdef")
	g := grant(id)
	for _, do := range []func() error{
		func() error {
			_, err := r.array.Create(t.Context(), array.Request{ID: id, Size: 10 << 20, Label: "web & data"})
			return err
		},
		func() error { _, err := r.array.Snapshot(t.Context(), shot, id); return err },
		func() error {
			_, err := r.array.FromSnapshot(t.Context(), array.Request{ID: copied, Size: 16 << 20}, shot)
			return err
		},
		func() error { _, err := r.array.Export(t.Context(), id, g); return err },
		func() error { return r.array.Unexport(t.Context(), id, g.Initiator, true) },
		func() error { _, err := r.array.Revert(t.Context(), id, shot); return err },
		func() error { return r.array.DeleteSnapshot(t.Context(), shot) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	name := "ov-0123456789abcdef0123456789abcdef"
	common := "/sys/kernel/config/target " + name + " " + prefix + ":" + name
	save := "/etc/rtslib-fb-target/saveconfig.json"
	want := []string{
		"sudo -n lvcreate -y -T -V 12582912b -n " + name + " vg0/pool --addtag 'onevolume.volume=" + string(id) + "' --addtag 'onevolume.label=web#20#26#20data'",
		"sudo -n lvcreate -y -n ov-1123456789abcdef0123456789abcdef -k y --snapshot vg0/" + name + " --addtag 'onevolume.snapshot=" + string(shot) + "' --addtag 'onevolume.of=" + string(id) + "'",
		"sudo -n lvcreate -y -n ov-2123456789abcdef0123456789abcdef -k n --snapshot vg0/ov-1123456789abcdef0123456789abcdef --addtag 'onevolume.volume=" + string(copied) + "' --addtag 'onevolume.from=" + string(shot) + "'",
		"sudo -n lvextend -L 16777216b vg0/ov-2123456789abcdef0123456789abcdef",
		"sh lio-export " + common + " /dev/vg0/" + name + " " + string(id) + " " + string(g.Initiator) + " 10.77.0.1:3260 '[fd00::1]:3260'",
		"sh lio-write " + save + " none",
		"sh lio-unexport " + common + " " + string(g.Initiator) + " force",
		"sh lio-write " + save + " ",
		"sudo -n lvcreate -y -n " + name + "-revert -k n --snapshot vg0/ov-1123456789abcdef0123456789abcdef --addtag 'onevolume.label=web#20#26#20data'" +
			" --addtag 'onevolume.revert=" + string(id) + "' --addtag 'onevolume.to=" + string(shot) + "'",
		"sudo -n lvremove -f vg0/" + name,
		"sudo -n lvrename vg0 " + name + "-revert " + name,
		"sudo -n lvchange --addtag 'onevolume.volume=" + string(id) + "' --deltag 'onevolume.revert=" + string(id) + "' --deltag 'onevolume.to=" + string(shot) + "' vg0/" + name,
		"sudo -n lvremove -f vg0/ov-1123456789abcdef0123456789abcdef",
	}
	var got []string
	for _, c := range r.net.Calls() {
		if !c.Cmd.ReadOnly {
			got = append(got, c.Cmd.String())
			if len(c.Locks) != 1 {
				t.Errorf("%s: under the locks %v", c.Cmd, c.Locks)
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d commands:\n%s", len(got), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%s\nwant\n%s", got[i], want[i])
		}
		if strings.Contains(got[i], g.CHAP.Secret) {
			t.Errorf("the secret is in %s", got[i])
		}
	}
}

// What others have in the file that is restored at boot stays as it is.
func TestSaveKeepsOthers(t *testing.T) {
	recorded, err := os.ReadFile("testdata/saveconfig.json")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, "pool")
	r.file = string(recorded)
	v := r.volume(t)
	g := grant(v.ID)
	e, err := r.array.Export(t.Context(), v.ID, g)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.file, g.CHAP.Secret) {
		t.Error("the export is not in the file")
	}
	saved := r.file
	if _, err := r.array.Export(t.Context(), v.ID, g); err != nil || r.file != saved {
		t.Errorf("the same again changed the file, or failed: %v", err)
	}
	// Somebody saves at the same time: what he wrote stays too.
	r.foreign = strings.Replace(saved, `"optimal_sectors": 4294967288`, `"optimal_sectors": 4294967289`, 1)
	if err := r.array.Unexport(t.Context(), v.ID, e.Initiator, false); err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := errors.Join(json.Unmarshal([]byte(strings.Replace(string(recorded), "4294967288", "4294967289", 1)), &want), json.Unmarshal([]byte(r.file), &got)); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if string(a) != string(b) {
		t.Errorf("the file is\n%s\nwant\n%s", b, a)
	}
	// One that cannot be read is not written over.
	r.file = saved[:len(saved)/2]
	_, err = r.array.Export(t.Context(), v.ID, g)
	if !array.Is(err, array.Refused) || onevolume.HintOf(err) == "" || r.file != saved[:len(saved)/2] {
		t.Error(err)
	}
	if err := r.array.Unexport(t.Context(), v.ID, e.Initiator, false); !array.Is(err, array.Refused) {
		t.Error(err)
	}
}

// An entry that targetcli has saved anew, with all it knows, is still ours.
func TestSaveAfterTargetcli(t *testing.T) {
	r := newRig(t, "pool")
	v := r.volume(t)
	g := grant(v.ID)
	if _, err := r.array.Export(t.Context(), v.ID, g); err != nil {
		t.Fatal(err)
	}
	r.file = strings.Replace(r.file, `"emulate_tpu": 1`, `"emulate_tpu": 1, "queue_depth": 128, "model": "x"`, 1)
	r.file = strings.Replace(r.file, `"plugin": "block"`, `"plugin": "block", "alua_tpgs": [{"name": "default_tg_pt_gp"}]`, 1)
	second := grant(v.ID)
	second.Initiator = "iqn.2026-11.org.example:host02"
	if _, err := r.array.Export(t.Context(), v.ID, second); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(r.file, `"plugin"`); n != 1 || !strings.Contains(r.file, g.CHAP.Secret) || !strings.Contains(r.file, second.CHAP.Secret) {
		t.Errorf("%d entries:\n%s", n, r.file)
	}
}

func TestErrors(t *testing.T) {
	r := newRig(t, "pool")
	v := r.volume(t)
	ask := array.Request{ID: array.NewID(), Size: 16 << 20}
	r.vg.Fill(96.88, "")
	for _, do := range []func() error{
		func() error { _, err := r.array.Create(t.Context(), ask); return err },
		func() error { _, err := r.array.Extend(t.Context(), v.ID, 32<<20); return err },
		func() error { _, err := r.array.Snapshot(t.Context(), array.NewID(), v.ID); return err },
	} {
		if err := do(); !array.Is(err, array.NoSpace) || !strings.Contains(err.Error(), "96.88 % full") {
			t.Error(err)
		}
	}
	r.vg.Fill(100, "out_of_data")
	s, err := r.array.Stats(t.Context())
	if err != nil || s.Trouble == "" || s.Model != "LIO on LVM-thin" {
		t.Errorf("%+v %v", s, err)
	}
	r.vg.Fill(10, "")
	s, _ = r.array.Stats(t.Context())
	if used, ok := s.Used.Get(); !ok || used != 2<<30/10 || s.Trouble != "" {
		t.Errorf("%+v", s)
	}

	// A backstore of somebody else's has the device.
	r.kernel["iqn.x"] = &live{name: "theirs", device: "/dev/vg0/" + v.Name}
	_, err = r.array.Export(t.Context(), v.ID, grant(v.ID))
	if e, ok := errors.AsType[*array.Error](err); !ok || e.Kind != array.Busy || e.By.Other != "/dev/vg0/"+v.Name {
		t.Error(err)
	}
	// And LVM says so when it is to be removed.
	r.kernel["iqn.x"].name = v.Name
	if err := r.array.Delete(t.Context(), v.ID); !array.Is(err, array.Busy) || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
	delete(r.kernel, "iqn.x")

	for kind, want := range map[command.Kind]array.Kind{
		command.KindKeyRefused: array.Auth, command.KindHostKeyChanged: array.Auth, command.KindHostKeyUnknown: array.Auth,
		command.KindNoRoute: array.Transient, command.KindTimeout: array.Transient, command.KindConfig: array.Refused,
	} {
		r.net.Down("array1", kind)
		if _, err := r.array.Create(t.Context(), ask); !array.Is(err, want) {
			t.Errorf("%s: %v (%s)", kind, err, array.KindOf(err))
		}
		r.net.Down("array1", "")
	}
	// A connection that broke while it was idle is made anew.
	if _, err := r.array.Lookup(t.Context(), v.ID); err != nil {
		t.Fatal(err)
	}
	r.net.Down("array1", command.KindNoRoute)
	r.net.Down("array1", "")
	if _, err := r.array.Lookup(t.Context(), v.ID); err != nil {
		t.Error(err)
	}
}

// A thick snapshot that an administrator made would go with its origin.
func TestThickSnapshotOfOthers(t *testing.T) {
	r := newRig(t, "")
	v := r.volume(t)
	r.vg.Add("csnap", v.Name, 4<<20)
	if err := r.array.Delete(t.Context(), v.ID); !array.Is(err, array.Busy) || !strings.Contains(err.Error(), "csnap") || !r.vg.Has("csnap") {
		t.Error(err)
	}
	r.vg.Del("csnap")
	if err := r.array.Delete(t.Context(), v.ID); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	good := portals(t, "10.0.0.1")
	for _, o := range []Options{
		{}, {IQN: prefix}, {IQN: "disk", Portals: good}, {IQN: "iqn.2026-11.org.Example", Portals: good},
		{IQN: "iqn.2026-11.org.example:" + strings.Repeat("x", 170), Portals: good}, {IQN: "naa.6001405000000000", Portals: good},
	} {
		if _, err := New(linux.Options{}, linux.LVM{}, o); !array.Is(err, array.Invalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestParse(t *testing.T) {
	rep, err := parse("backstore 1 /dev/vg0/x\ntarget 1\nlun 0 x\nportal 10.0.0.1:3260\nacl iqn.b u NULL\nacl iqn.a v w\nsession iqn.a\naddress iqn.a ::ffff:10.0.0.2\nsession iqn.a\nend\n")
	if err != nil || len(rep.acls) != 2 || rep.acls[0] != (acl{"iqn.a", "v", "w"}) || rep.acls[1] != (acl{"iqn.b", "u", ""}) ||
		len(rep.sessions) != 2 || rep.sessions[0] != (array.Session{Initiator: "iqn.a", Address: "10.0.0.2"}) || rep.sessions[1].Address != "" {
		t.Errorf("%+v %v", rep, err)
	}
	for _, s := range []string{"", "target 1\n", "what\nend\n", "acl a\nend\n", "session\nend\n"} {
		if rep, err := parse(s); err == nil {
			t.Errorf("%q gave %+v", s, rep)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("acl iqn.a v w\nsession iqn.a\naddress iqn.a 10.0.0.2\nend\n")
	f.Fuzz(func(t *testing.T, s string) {
		rep, err := parse(s)
		if err != nil {
			return
		}
		if n := strings.Count("\n"+s, "\nacl "); n != len(rep.acls) {
			t.Errorf("%q: %d of %d", s, len(rep.acls), n)
		}
	})
}

// Whatever is in the file, editing it loses nothing that is not ours.
func FuzzEdit(f *testing.F) {
	f.Add(`{"storage_objects": [{"name": "x", "n": 18446744073709551615}], "targets": [{"wwn": "iqn.x"}]}`)
	f.Add("")
	f.Add("null")
	id := array.ID("01234567-89ab-cdef-0123-456789abcdef")
	g := &target{Options{IQN: prefix}}
	f.Fuzz(func(t *testing.T, s string) {
		u := linux.Unit{ID: id, Name: id.Name(), Device: "/dev/x"}
		first, err := g.edit([]byte(s), id, func(s *saved) { s.grant(g, u, grant(id)) })
		if err != nil {
			return
		}
		back, err := g.edit(first, id, func(s *saved) { s.revoke(grant(id).Initiator) })
		if err != nil {
			t.Fatalf("%q became %q: %v", s, first, err)
		}
		if strings.Contains(string(back), id.Name()) && !strings.Contains(s, id.Name()) {
			t.Errorf("%q stayed in %q", id.Name(), back)
		}
	})
}

// A revert that died is finished by whatever changes the volume next, and what
// it left behind goes with the volume.
func TestRevertHalfWay(t *testing.T) {
	const copied, removed, renamed = 3, 4, 6 // of its requests
	for name, then := range map[string]func(t *testing.T, r *rig, id array.ID){
		"export": func(t *testing.T, r *rig, id array.ID) {
			e, err := r.array.Export(t.Context(), id, grant(id))
			if err != nil || r.kernel[string(e.Target.IQN)].device != "/dev/vg0/"+id.Name() {
				t.Error(err)
			}
			if err := r.array.Unexport(t.Context(), id, e.Initiator, false); err != nil {
				t.Error(err)
			}
		},
		"snapshot": func(t *testing.T, r *rig, id array.ID) {
			shot := array.NewID()
			if _, err := r.array.Snapshot(t.Context(), shot, id); err != nil {
				t.Error(err)
			}
			if err := r.array.DeleteSnapshot(t.Context(), shot); err != nil {
				t.Error(err)
			}
		},
		"nothing": func(*testing.T, *rig, array.ID) {},
	} {
		for _, died := range []int{copied, removed, renamed} {
			r := newRig(t, "pool")
			before := r.state()
			v := r.volume(t)
			first, second := array.NewID(), array.NewID()
			for _, shot := range []array.ID{first, second} {
				r.vg.Write(v.Name, []byte(map[array.ID]string{first: "a", second: "b"}[shot]))
				if _, err := r.array.Snapshot(t.Context(), shot, v.ID); err != nil {
					t.Fatal(err)
				}
			}
			came := r.lossy.Lose(died, true)
			if _, err := r.array.Revert(t.Context(), v.ID, first); !array.Is(err, array.Unknown) || !came() {
				t.Fatalf("%s, died at %d: %v", name, died, err)
			}
			if got, err := r.array.Lookup(t.Context(), v.ID); err != nil || got.Size != v.Size || got.Label != v.Label {
				t.Errorf("%s, died at %d: %+v %v", name, died, got, err)
			}
			then(t, r, v.ID)
			want := byte('a')
			if died == copied { // and the volume is there
				want = 'b'
			}
			if u, err := r.array.Lookup(t.Context(), v.ID); err != nil || r.vg.Read(u.Name, 1)[0] != want {
				t.Errorf("%s, died at %d: %q %v", name, died, r.vg.Read(u.Name, 1), err)
			}
			// To the other snapshot: what was made of the first is of no use.
			if name == "export" {
				if _, err := r.array.Revert(t.Context(), v.ID, second); err != nil || r.vg.Read(v.Name, 1)[0] != 'b' {
					t.Errorf("died at %d: %q %v", died, r.vg.Read(v.Name, 1), err)
				}
			}
			for _, shot := range []array.ID{first, second} {
				if err := r.array.DeleteSnapshot(t.Context(), shot); err != nil {
					t.Error(err)
				}
			}
			if err := r.array.Delete(t.Context(), v.ID); err != nil {
				t.Error(err)
			}
			if after := r.state(); after != before {
				t.Errorf("%s, died at %d: left behind:\n%s", name, died, after)
			}
		}
	}
}
