package xmlrpc_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"onevolume"
)

func request(v string) onevolume.Request {
	return onevolume.Request{Kind: onevolume.Attach, Owner: "test ]]> \"ü\"", Lease: time.Minute, Pick: onevolume.Pick{Volume: v},
		VM: onevolume.VM{ID: 17, Name: "web <1>", Host: "host01", Hypervisor: "kvm", DeployID: "one-17", Owner: alice.Owner}}
}

// A client is a ledger, as the inventory is.
func TestLedger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(asRoot)
	ctx := t.Context()
	id := w.given("disk")
	r := request("disk")
	dry := r
	dry.DryRun = true
	if op, v, err := c.Reserve(ctx, dry); err != nil || v.ID != id || op.ID != 0 {
		t.Errorf("dry run: %+v, %v, %v", op, v.ID, err)
	}
	op, v, err := c.Reserve(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if v.Target.CHAP.Secret != "the-first-secret" || v.State != onevolume.Attaching || op.VM != r.VM || op.Owner != r.Owner || op.By.UID != 0 {
		t.Errorf("operation %+v of volume %+v", op, v)
	}
	entries := []onevolume.Entry{{Step: "connect", Event: onevolume.StepStarted, Time: time.Now().Truncate(time.Millisecond), Detail: "]]> \x1b[31mred"}}
	identity := onevolume.Identity{Serial: "S ]]>", WWID: "naa.1"}
	if err := c.Record(ctx, op.Ref(), entries, onevolume.Note{Host: "host01", Source: "/dev/x", Identity: identity}); err != nil {
		t.Fatal(err)
	}
	w.wants(c.Record(ctx, onevolume.OperationRef{ID: op.ID, Generation: 9}, nil, onevolume.Note{}), onevolume.Stale)
	w.wants(c.Record(ctx, op.Ref(), nil, onevolume.Note{Identity: onevolume.Identity{Serial: "other"}}), onevolume.Action)
	e := onevolume.Ending{Status: onevolume.Done, State: onevolume.Attached, Note: onevolume.Note{Device: "sdiv"}}
	if err := c.Finish(ctx, op.Ref(), e); err != nil {
		t.Fatal(err)
	}
	got, journal, err := c.Operation(ctx, op.ID)
	if err != nil || got.Status != onevolume.Done || len(journal) != 1 || journal[0].Detail != "]]> \uFFFD[31mred" || !journal[0].Time.Equal(entries[0].Time) {
		t.Errorf("%+v, %+v, %v", got, journal, err)
	}
	if v, err := c.Info(ctx, id); err != nil || v.State != onevolume.Attached || v.Identity != identity || v.Attachment.Device != "sdiv" || v.Operation != op.ID {
		t.Errorf("%+v, %v", v, err)
	}
	// The other way to end.
	r.Kind, r.Leave, r.Pick.Volume = onevolume.Detach, onevolume.LeaveData, "0"
	if op, _, err = c.Reserve(ctx, r); err != nil {
		t.Fatal(err)
	}
	if err := c.Finish(ctx, op.Ref(), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Attached, Error: "no"}); err != nil {
		t.Error(err)
	}
	w.wants(c.Finish(ctx, op.Ref(), onevolume.Ending{Status: onevolume.Parked, State: onevolume.Failed}), onevolume.Stale)
}

// Who may call these methods decides what is true of a volume.
func TestLedgerIsForAdministrators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.given("disk")
	url := w.serve()
	op, _, err := w.dial(url, asRoot, nil).Reserve(t.Context(), request("disk"))
	if err != nil {
		t.Fatal(err)
	}
	c := w.dial(url, asAlice, nil)
	_, _, err = c.Reserve(t.Context(), request("disk"))
	w.wants(err, onevolume.Forbidden)
	w.wants(c.Record(t.Context(), op.Ref(), nil, onevolume.Note{State: onevolume.Attached}), onevolume.Forbidden, "Not authorized to perform ADMIN VOLUME")
	for _, status := range []onevolume.Status{onevolume.Done, onevolume.Undone, onevolume.Parked} {
		w.wants(c.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: status, State: onevolume.Failed}), onevolume.Forbidden)
	}
	if _, _, err := c.Operation(t.Context(), op.ID); err != nil {
		t.Errorf("the owner of the volume may see its operation: %v", err)
	}
	_, _, err = w.dial(url, asBob, nil).Operation(t.Context(), op.ID)
	w.wants(err, onevolume.Forbidden)
	if v, err := w.db.Volume(t.Context(), id); err != nil || v.State != onevolume.Attaching {
		t.Errorf("%s, %v", v.State, err)
	}
	// confirm does not park, and release does not confirm.
	ending := "&lt;ENDING&gt;&lt;STATUS&gt;%&lt;/STATUS&gt;&lt;VOLUME_STATUS&gt;ERROR&lt;/VOLUME_STATUS&gt;&lt;/ENDING&gt;"
	for method, status := range map[string]string{"one.volume.confirm": "PARKED", "one.volume.release": "DONE"} {
		got := w.raw(call(method, str(asRoot), num(op.ID), num(op.Generation), str(strings.Replace(ending, "%", status, 1))))
		if !strings.Contains(got, "cannot end so") {
			t.Errorf("%s as %s: %s", method, status, got)
		}
	}
}

// Answers that are lost are asked for again, and requests that got nowhere
// made again; the inventory takes no word twice.
func TestLedgerSurvivesABadLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.given("disk")
		line := &direct{h: w.api, answer: 1}
		c := w.dial("http://daemon:1/RPC2", asRoot, line)
		op, v, err := c.Reserve(t.Context(), request("disk"))
		if err != nil || v.ID != id || op.ID != 1 {
			t.Fatal(op, v.ID, err)
		}
		line.answer, line.ask = 1, 2
		entry := onevolume.Entry{Step: "connect", Event: onevolume.StepStarted, Time: time.Now()}
		if err := c.Record(t.Context(), op.Ref(), []onevolume.Entry{entry}, onevolume.Note{}); err != nil {
			t.Fatal(err)
		}
		line.answer = 3
		if err := c.Finish(t.Context(), op.Ref(), onevolume.Ending{Status: onevolume.Undone, State: onevolume.Available, Error: "no"}); err != nil {
			t.Fatal(err)
		}
		if got, journal, err := c.Operation(t.Context(), op.ID); err != nil || got.Status != onevolume.Undone || len(journal) != 1 {
			t.Errorf("%+v, %+v, %v", got, journal, err)
		}
		// It gives up in the end, and says that a daemon is needed.
		line.ask, line.calls = 99, 0
		start := time.Now()
		err = c.Record(t.Context(), op.Ref(), nil, onevolume.Note{})
		w.wants(err, onevolume.Unreachable)
		if took := time.Since(start); line.calls < 2 || took > time.Minute || onevolume.HintOf(err) == "" {
			t.Errorf("%d calls in %s: %v", line.calls, took, err)
		}
		line.ask, line.answer, line.calls = 0, 99, 0
		_, err = c.Allocate(t.Context(), template("other"))
		w.wants(err, onevolume.Unknown)
		if line.calls != 1 {
			t.Errorf("a call that may have been done was made %d times", line.calls)
		}
	})
}

// Python's own client, which many scripts use, gets on with the server.
func TestPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is not installed")
		}
		t.Skip("python3 is not installed")
	}
	w := newWorld(t)
	w.given("disk")
	const script = `
import sys, xmlrpc.client
import xml.etree.ElementTree as tree
s = xmlrpc.client.ServerProxy(sys.argv[1])
assert "one.volume.info" in s.system.listMethods()
ok, text, code = s.one.volume.info("alice:pw", 0)[:3]
assert ok and code == 0, text
v = tree.fromstring(text)
assert v.tag == "VOLUME" and v.find("NAME").text == "disk" and v.find("CHAP/SECRET") is None, text
assert s.one.volume.update("alice:pw", 0, 'COLOUR = "ü ]]> <&>"', 1) == [True, 0, 0]
assert tree.fromstring(s.one.volume.info("alice:pw", 0)[1]).find("TEMPLATE/COLOUR").text == "ü ]]> <&>"
pool = tree.fromstring(s.one.volumepool.info("alice:pw", -2, -1, -1)[1])
assert [v.find("ID").text for v in pool.findall("VOLUME")] == ["0"]
bad = s.one.volume.info("alice:wrong", 0)
assert bad[0] is False and bad[2] == 256 and len(bad) == 5, bad
gone = s.one.volume.info("alice:pw", 77)
assert gone[2:4] == [1024, 77], gone
try:
    s.one.volume.info("alice:pw", "zero")
    assert False
except xmlrpc.client.Fault as f:
    assert f.faultCode == -501, f
multi = xmlrpc.client.MultiCall(s)
multi.one.volume.rename("alice:pw", 0, "new")
multi.one.volume.info("bob:pw", 0)
first, second = multi()
assert first == [True, 0, 0] and second[2] == 512, (first, second)
print("fine")
`
	out, err := exec.CommandContext(t.Context(), python, "-c", script, w.serve()).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "fine" {
		t.Errorf("%v\n%s", err, out)
	}
}
