package openfiler_test

import (
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	_ "modernc.org/sqlite"

	"onevolume"
	"onevolume/openfiler/openfilertest"
)

const (
	somebody = "iqn.1993-08.org.debian:01:x"
	disk10   = openfilertest.Sizes + "/dev/vg0/disk10"
	settings = openfilertest.Settings
	exported = openfilertest.Volume
)

// registered is a world whose three units are volumes 0, 1 and 2.
func registered(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.want(0, "disk1 LUN 0: registered as volume 0 (Web café _ shop), 68719476736 bytes",
		"disk1 LUN 1: registered as volume 1 (Logs), 10770972672 bytes", "disk10 LUN 0: registered as volume 2 (disk10), 5497558138880 bytes")
	return w
}

func TestPush(t *testing.T) {
	w := registered(t)
	v := w.volume(1)
	if v.Target.IQN != prefix+"disk1" || v.Target.LUN != 1 || v.Size != 10770972672 || v.Array != "store1" || v.State != onevolume.Available ||
		v.Identity != (onevolume.Identity{Serial: "b7RtYq-22Zc-Aw0n"}) || onevolume.JoinPortals(v.Target.Portals) != "10.0.0.5:3260,10.0.1.5:3260" ||
		v.Target.CHAP != (onevolume.CHAP{User: "cloud", Secret: "correct-horse-1"}) {
		t.Errorf("volume 1 is %+v", v)
	}
	if v := w.volume(2); v.Target.IQN != prefix+"disk10" || v.Target.CHAP.User != "" {
		t.Errorf("volume 2 is %+v", v)
	}
	before := w.deeds()
	w.want(0) // again: nothing is left to do
	if after := w.deeds(); len(after) != len(before) {
		t.Errorf("a run that changes nothing left %+v", after[:len(after)-len(before)])
	}
}

func (w *world) deeds() []onevolume.Deed {
	w.Helper()
	// The test itself has looked at secrets, which leaves a line.
	list, err := w.client.History(w.Context(), onevolume.History{Volume: -1, VM: -1, UID: -1})
	if err != nil {
		w.Fatal(err)
	}
	return list
}

func TestPushUpdates(t *testing.T) {
	w := registered(t)
	w.array.Write(disk10, "5497591693312\n")
	w.array.Edit(settings, "correct-horse-1", "correct-horse-2") // secrets are not told by the daemon, so nothing is said of them
	w.want(0, "disk10 LUN 0: volume 2: updated SIZE")
	if v := w.volume(2); v.Size != 5497591693312 {
		t.Errorf("size %d", v.Size)
	}
	if v := w.volume(0); v.Target.CHAP.Secret != "correct-horse-2" {
		t.Errorf("secret %q", v.Target.CHAP.Secret)
	}
	w.array.Edit(settings, `<IncomingUser username="cloud" password="correct-horse-2"/>`, "")
	w.want(0, "disk1 LUN 0: volume 0: updated CHAP_USER", "disk1 LUN 1: volume 1: updated CHAP_USER")
	if v := w.volume(0); v.Target.CHAP != (onevolume.CHAP{}) {
		t.Errorf("CHAP is %v", v.Target.CHAP)
	}
}

func TestPushDeletesWhatIsFreeAlone(t *testing.T) {
	w := registered(t)
	w.declare(1, onevolume.Retained)
	w.declare(2, onevolume.Attached)
	w.array.Write(disk10, "1073741824\n")
	w.want(1, "disk10 LUN 0: REPORTED: volume 2 is ATTACHED, and differs in SIZE; that is corrected once it is free")
	w.array.Unmap(openfilertest.LogsLine, openfilertest.LogsLun)
	w.want(1, "disk10 LUN 0: REPORTED: volume 2…", "disk1 LUN 1: REPORTED: gone, and volume 1 (Logs) is RETAINED: it stays in the inventory")
	w.array.Unmap(openfilertest.Disk1Line, openfilertest.Disk1Lun)
	w.array.Unmap(openfilertest.Disk10Line, openfilertest.Disk10Lun)
	w.want(1, "disk10 LUN 0: REPORTED: gone, and volume 2 (disk10) is ATTACHED in VM 0: it stays in the inventory",
		"disk1 LUN 1: REPORTED: gone…", "disk1 LUN 0: gone; volume 0 (Web café _ shop) is deleted")
	w.gone(0)
	if v := w.volume(2); v.State != onevolume.Attached || v.Size != 5497558138880 {
		t.Errorf("volume 2 is %+v", v)
	}
}

func TestPushAnotherUnitInItsPlace(t *testing.T) {
	w := registered(t)
	w.declare(0, onevolume.Attached)
	w.array.Edit(settings, `ScsiSN="X2d1kP-8fSa-Lm4c"`, `ScsiSN="AAAAAA-8fSa-Lm4c"`)
	w.array.Edit(settings, `ScsiSN="Zp90aa-QwEr-tY5u"`, `ScsiSN="BBBBBB-QwEr-tY5u"`)
	w.want(1, "disk1 LUN 0: REPORTED: another logical unit stands in the place of volume 0: its serial number is AAAAAA-8fSa-Lm4c, recorded is X2d1kP-8fSa-Lm4c; volume 0 is ATTACHED",
		"disk10 LUN 0: another logical unit stands in the place of volume 2: its serial number is BBBBBB-QwEr-tY5u, recorded is Zp90aa-QwEr-tY5u; deleted; registered as volume 3 (disk10), 5497558138880 bytes")
	w.gone(2)
}

func TestPushRetainedAndSmaller(t *testing.T) {
	w := registered(t)
	w.declare(2, onevolume.Retained)
	w.array.Write(disk10, "999292928000\n")
	w.want(1, "disk10 LUN 0: REPORTED: volume 2 holds its owner's data, and was made smaller: 999292928000 bytes instead of 5497558138880")
	w.array.Write(disk10, "5497591693312\n")
	w.want(0, "disk10 LUN 0: volume 2: updated SIZE")
}

func TestPushDoesNotRegister(t *testing.T) {
	w := newWorld(t)
	w.array.LogIn("disk10", somebody)
	w.array.Edit(exported, openfilertest.LogsLine, "")
	w.array.Edit(exported, "tid:1 ", "tid:9 name:"+prefix+"hand\n\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg1/hand\ntid:1 ")
	w.array.Remove(openfilertest.Sizes + "/dev/vg0/disk1")
	w.want(1, "disk1 LUN 0: REPORTED: not registered: the size of /dev/vg0/disk1 is not known: blockdev: cannot open /dev/vg0/disk1: No such file or directory",
		"disk1 LUN 1: REPORTED: not registered: it is configured and not exported…",
		"disk10 LUN 0: REPORTED: not registered: "+somebody+" is logged in to it: somebody uses it",
		"hand LUN 0: REPORTED: exported by hand…")
	w.configure("targets = " + prefix + "DISK1")
	w.want(1, "disk1 LUN 0: REPORTED…", "disk1 LUN 1: REPORTED…")
}

func TestPushDeviceMappedTwice(t *testing.T) {
	w := newWorld(t)
	w.array.Edit(exported, "path:/dev/vg0/disk10", "path:/dev/vg0/disk1")
	w.array.Edit(settings, `Path="/dev/vg0/disk10"`, `Path="/dev/vg0/disk1"`)
	w.want(1, "disk1 LUN 0: REPORTED: not registered: /dev/vg0/disk1 is mapped 2 times…", "disk1 LUN 1: registered as volume 0 (Logs)…",
		"disk10 LUN 0: REPORTED: not registered: /dev/vg0/disk1 is mapped 2 times…")
}

func TestPushRefusals(t *testing.T) {
	w := newWorld(t)
	w.array.Edit(settings, "correct-horse-1", "short")
	w.array.Edit(openfilertest.Names, `"Logs"`, `"Web caf&eacute; &amp; shop"`)
	w.array.Edit(exported, "name:"+prefix+"disk10", "name:"+prefix+"disk_10")
	w.array.Edit(settings, prefix+"disk10", prefix+"disk_10")
	w.want(1, "disk1 LUN 0: REPORTED: [one.volume.allocate] CHAP_SECRET has 5 bytes…", "disk1 LUN 1: REPORTED: [one.volume.allocate] CHAP_SECRET…",
		"disk_10 LUN 0: REPORTED: [one.volume.allocate] IQN…")
	// A quote and a backslash in a secret, and a name that is taken.
	w.array.Edit(settings, `password="short"`, `password="cor&quot;rect\horse"`)
	w.want(1, "disk1 LUN 0: registered as volume 0 (Web café _ shop)…", "disk1 LUN 1: registered as volume 1 (logs)…", "disk_10…")
	if v := w.volume(0); v.Target.CHAP.Secret != `cor"rect\horse` {
		t.Errorf("secret %q", v.Target.CHAP.Secret)
	}
}

func TestPushNotOurs(t *testing.T) {
	w := newWorld(t)
	if _, err := w.client.Allocate(t.Context(), `NAME="mine" IQN="`+prefix+`disk10" PORTALS="10.0.0.9" SIZE="1G"`); err != nil {
		t.Fatal(err)
	}
	w.want(1, "disk1 LUN 0: registered…", "disk1 LUN 1: registered…", "disk10 LUN 0: REPORTED: volume 0 was registered by hand and is left alone")
}

// The service is restarted, or a file is being written: nothing is concluded.
func TestPushConcludesNothing(t *testing.T) {
	w := registered(t)
	fails := func(want string) {
		t.Helper()
		out, status := w.runs()
		if status != 2 || !strings.HasPrefix(out, "nothing more was done: ") || !strings.Contains(out, want) {
			t.Errorf("status %d: %s; want %q", status, out, want)
		}
	}
	whole := w.array.Read(settings)
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - len("</iet>\n")} {
		w.array.Write(settings, whole[:n])
		fails("iscsi_settings.xml")
	}
	w.array.Write(settings, "<iet><targets/></iet>")
	w.array.Write(exported, "")
	fails("this machine has no logical unit at all")
	w.array.Write(settings, whole)
	for _, text := range []string{"tid:1 nam", "\tlun:0 path:/x", "tid:1 name:x\n\tlun:0 lun:1\n", "tid:1 name:x\n\tlun:x path:/y\n", "?"} {
		w.array.Write(exported, text)
		fails("is not understood")
	}
	w.array.Remove(exported)
	fails("the service iscsi-target does not run")
	for id := range onevolume.VolumeID(3) {
		if v := w.volume(id); v.State != onevolume.Available {
			t.Errorf("volume %d is %s", id, v.State)
		}
	}
}

func TestPushXML(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"<iet>", "<iet></IET>", "<iet/><iet/>", "<iet a=b/>", "<iet>&nosuch;</iet>", "<iet>& </iet>", "<iet><![CDATA[</iet>", "<!-- <iet/>", "<a\xff/>", "x<iet/>",
		"<!DOCTYPE iet><iet/>", "<iet><targets/><targets/></iet>", `<iet><targets><target Name="x"><lun Path="/y"/></target></targets></iet>`} {
		w.array.Write(settings, bad)
		if out, status := w.runs(); status != 2 || strings.Contains(out, "Warning") || strings.Contains(out, "Notice") {
			t.Errorf("%q: status %d: %s", bad, status, out)
		}
	}
	w.array.Write(settings, "<?xml version='1.0' encoding='ISO-8859-1'?><!-- \xe9 -->\n<iet a='\"'>\xe9 &#233;&#x1F600;&apos;&lt; <![CDATA[<]]><targets></targets\n></iet>\n<!-- end -->\n")
	w.array.Write(exported, "")
	w.want(0)
}

func TestPushCannotReachTheDaemon(t *testing.T) {
	w := newWorld(t)
	fails := func(want string) {
		t.Helper()
		out, status := w.runs()
		if status != 2 || !strings.Contains(out, want) || strings.Contains(out, "a-login-token") || strings.Contains(out, "Warning") {
			t.Errorf("status %d: %s; want %q", status, out, want)
		}
	}
	good := w.url
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + l.Addr().String() + "/RPC2"
	l.Close()
	w.configure()
	fails("does not answer")
	var answer atomic.Value
	answer.Store("")
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, _ := rw.(http.Hijacker).Hijack()
		defer conn.Close()
		fmt.Fprint(conn, answer.Load())
	}))
	defer s.Close()
	w.url = s.URL + "/RPC2"
	w.configure()
	for text, want := range map[string]string{
		"":                                 "broke off",
		"HTTP/1.0 200 OK\r\n":              "broke off",
		"HTTP/1.0 502 Bad Gateway\r\n\r\n": "HTTP status 502",
		"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n<methodResponse>":                   "broke off",
		"HTTP/1.0 200 OK\r\n\r\n<html></html>":                                            "none of onevolumed's",
		"HTTP/1.0 200 OK\r\n\r\n<methodResponse><fault><value/></fault></methodResponse>": "none of onevolumed's",
		"HTTP/1.0 200 OK\r\n\r\n<methodResponse>":                                         "not a whole XML document",
		"HTTP/1.0 200 OK\r\n\r\n" + ok("&lt;VOLUME_POOL&gt;"):                             "VOLUME_POOL is not a whole XML document",
		"HTTP/1.0 200 OK\r\n\r\n" + ok("&lt;VM_POOL/&gt;"):                                "did not answer with a VOLUME_POOL",
	} {
		answer.Store(text)
		fails(want)
	}
	w.url = "gopher://x"
	w.configure()
	fails("is not http://HOST")
	w.url = good
	w.configure("session = oneadmin:wrong")
	fails("User couldn't be authenticated")
}

func ok(text string) string {
	return "<methodResponse><params><param><value><array><data><value><boolean>1</boolean></value><value><string>" + text +
		"</string></value><value><i4>0</i4></value></data></array></value></param></params></methodResponse>"
}

func TestPushConfiguration(t *testing.T) {
	w := newWorld(t)
	fails := func(want string) {
		t.Helper()
		if out, status := w.runs(); status != 2 || !strings.Contains(out, want) || strings.Contains(out, "a-login-token") {
			t.Errorf("status %d: %s; want %q", status, out, want)
		}
	}
	if err := os.Chmod(w.conf, 0o640); err != nil {
		t.Fatal(err)
	}
	fails("mode 600")
	if err := os.Chmod(w.conf, 0o600); err != nil {
		t.Fatal(err)
	}
	w.configure("pasword = x")
	fails("line 7: not one of endpoint")
	w.configure("array =")
	fails("array is missing")
	w.conf += ".none"
	fails("does not exist")
	if out, status := w.runs("--verbose"); status != 2 || !strings.Contains(out, "usage:") {
		t.Errorf("status %d: %s", status, out)
	}
}

// With --log what is new goes to syslog, and what was said is remembered.
func TestPushLog(t *testing.T) {
	w := newWorld(t)
	if out, status := w.runs("--log"); out != "" || status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	last, err := os.ReadFile(w.conf + ".last")
	if err != nil || strings.Count(string(last), "registered as volume") != 3 {
		t.Errorf("the last run is %q, %v", last, err)
	}
}

// What onevolume made on the machine is neither registered nor missed.
func TestPushLeavesAloneWhatWeMade(t *testing.T) {
	w := registered(t)
	const name = "ov-0123456789abcdef0123456789abcdef"
	w.made(2)
	w.array.Edit(settings, "ScsiSN=\"Zp90aa-QwEr-tY5u\"", "ScsiSN=\"another\"")
	w.array.Write(disk10, "1073741824\n")
	w.want(0)
	w.array.Unmap(openfilertest.Disk10Line, strings.Replace(openfilertest.Disk10Lun, "ScsiSN=\"Zp90aa-QwEr-tY5u\"", "ScsiSN=\"another\"", 1))
	w.want(0) // in no VM, so not exported
	if v := w.volume(2); v.State != onevolume.Available || v.Size != 5497558138880 {
		t.Errorf("volume 2 is %+v", v)
	}
	w.array.Write(exported, w.array.Read(exported)+"tid:9 name:"+prefix+"x:"+name+"\n\tlun:0 state:0 iotype:blockio iomode:wt path:/dev/vg0/"+name+"\n")
	w.want(0) // it is not in the inventory any more
}

// made has the volume be one that was made on an array.
func (w *world) made(id onevolume.VolumeID) {
	w.Helper()
	db, err := sql.Open("sqlite", w.db)
	if err != nil {
		w.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(w.Context(), "UPDATE one_volume SET array_id = 'x', version = version + 1 WHERE oid = ?", int(id)); err != nil {
		w.Fatal(err)
	}
}
