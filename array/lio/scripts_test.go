package lio

import (
	"os"
	"path/filepath"
	"testing"

	"onevolume/array"
	"onevolume/array/linux"
	"onevolume/command"
	"onevolume/command/local"
)

// run runs a script in a real shell of this machine.
func run(t *testing.T, c command.Cmd) command.Result {
	t.Helper()
	h, err := (&local.Dialer{LockDirs: []string{t.TempDir()}}).Dial(t.Context(), "here")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	r, err := h.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The file is replaced at once, only when it is as it was read, and readable
// by root alone.
func TestFileScripts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saveconfig.json")
	read := linux.Script(NameRead, readScript, true, file)
	write := func(sum, text string) command.Result {
		c := linux.Script(NameWrite, writeScript, false, file, sum)
		c.Stdin = command.Secret(text)
		return run(t, c)
	}
	if r := run(t, read); r.Code != 0 || string(r.Stdout) != "none\n" {
		t.Errorf("%d %q %q", r.Code, r.Stdout, r.Stderr)
	}
	if r := write("none", "{\"a\": 'b $c'}\n"); r.Code != 0 {
		t.Fatalf("%d %q", r.Code, r.Stderr)
	}
	text, err := os.ReadFile(file)
	info, err2 := os.Stat(file)
	if err != nil || err2 != nil || string(text) != "{\"a\": 'b $c'}\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q %v %v", text, info, err)
	}
	if r := run(t, read); string(r.Stdout) != sum(string(text))+"\n"+string(text) {
		t.Errorf("%q", r.Stdout)
	}
	if r := write("none", "x"); r.Code != exitNotAsWas {
		t.Errorf("written over what somebody else wrote: %d %q", r.Code, r.Stderr)
	}
	if r := write(sum(string(text)), "y"); r.Code != 0 {
		t.Errorf("%d %q", r.Code, r.Stderr)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if r := run(t, linux.Script(NameRead, readScript, true, "/nonexistent/x/saveconfig.json")); r.Code == 0 {
		t.Error("a directory that is not there is taken for an empty file")
	}
}

// What the kernel shows (info was recorded on Linux 6.1, and session.txt on
// 7.2), read by the real script.
func TestLookScript(t *testing.T) {
	id := array.ID("01234567-89ab-cdef-0123-456789abcdef")
	g := &target{Options{IQN: prefix, Root: t.TempDir()}}
	look := func() report {
		t.Helper()
		r := run(t, linux.Script(NameLook, lookScript, true, g.args(id)...))
		rep, err := parse(string(r.Stdout))
		if err != nil || r.Code != 0 || len(r.Stderr) != 0 {
			t.Fatalf("%v: %d %q %q", err, r.Code, r.Stdout, r.Stderr)
		}
		return rep
	}
	if rep := look(); len(rep.acls)+len(rep.sessions) != 0 {
		t.Errorf("%+v of nothing", rep)
	}
	so := filepath.Join(g.opt.Root, "core/iblock_3", id.Name())
	tpg := filepath.Join(g.opt.Root, "iscsi", string(g.iqn(id)), "tpgt_1")
	one, two := tpg+"/acls/iqn.1993-08.org.debian:01:aaa", tpg+"/acls/iqn.1993-08.org.debian:01:bbb"
	for file, text := range map[string]string{
		so + "/udev_path": "/dev/vg0/" + id.Name() + "\n", so + "/enable": "1\n", tpg + "/enable": "1\n",
		tpg + "/np/10.0.0.1:3260/iser": "0\n", tpg + "/lun/lun_0/alua_tg_pt_gp": "",
		one + "/auth/userid": "u1", one + "/auth/userid_mutual": "NULL",
		two + "/auth/userid": "u2", two + "/auth/userid_mutual": "array",
		one + "/info": "InitiatorName: iqn.1993-08.org.debian:01:aaa\nInitiatorAlias: \n" +
			"LIO Session ID: 4   ISID: 0x80 3f 91 12 00 00  TSIH: 6  SessionType: Normal\nSession State: TARG_SESS_STATE_LOGGED_IN\n" +
			"CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN\n   Address 127.0.0.1 TCP  StatSN: 0x96fbc0fe\n",
		two + "/info": "No active iSCSI Session for Initiator Endpoint: iqn.1993-08.org.debian:01:bbb\n",
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(so, tpg+"/lun/lun_0/"+id.Name()); err != nil {
		t.Fatal(err)
	}
	rep := look()
	if len(rep.acls) != 2 || rep.acls[0] != (acl{"iqn.1993-08.org.debian:01:aaa", "u1", ""}) || rep.acls[1] != (acl{"iqn.1993-08.org.debian:01:bbb", "u2", "array"}) ||
		len(rep.sessions) != 1 || rep.sessions[0] != (array.Session{Initiator: "iqn.1993-08.org.debian:01:aaa", Address: "127.0.0.1"}) {
		t.Errorf("%+v", rep)
	}
	recorded, err := os.ReadFile("testdata/session.txt")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(one+"/info", recorded, 0o600); err != nil {
		t.Fatal(err)
	}
	if rep := look(); len(rep.sessions) != 1 || rep.sessions[0].Address != "10.77.0.15" {
		t.Errorf("%+v", rep.sessions)
	}
	// Who is logged in is not thrown out.
	r := run(t, linux.Script(NameUnexport, unexportScript, false, g.args(id, "iqn.1993-08.org.debian:01:aaa", "")...))
	if _, err := os.Stat(one); r.Code != exitSession || err != nil {
		t.Errorf("%d %q %v", r.Code, r.Stderr, err)
	}
}
