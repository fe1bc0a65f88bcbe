package xmlrpc

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"onevolume"
)

// hostile is text that documents have trouble with.
func hostile() *rapid.Generator[string] {
	part := rapid.SampledFrom([]string{"]]>", "<![CDATA[", "]]", ">", "<", "&", "&amp;", `"`, "'", "\n", "\t", " ", "é", "größe", "日本", "😀",
		"</ERROR>", "<!--", "%", "\\", "a", "0", "{\"x\":1}"})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "") + rapid.StringMatching(`[ -~äöü]{0,12}`).Draw(t, "text")
	})
}

// word is text as names of hosts and steps have it.
func word() *rapid.Generator[string] { return rapid.StringMatching(`[a-zA-Z0-9._/:-]{0,20}`) }

func number() *rapid.Generator[int] { return rapid.IntRange(0, 1<<31-1) }

// moment is a time to the millisecond, or none.
func moment(t *rapid.T, label string) time.Time {
	return fromMillis(rapid.Int64Range(0, 1<<42).Draw(t, label))
}

func owner(t *rapid.T) onevolume.Owner {
	return onevolume.Owner{UID: number().Draw(t, "uid"), GID: number().Draw(t, "gid"), User: hostile().Draw(t, "user"), Group: hostile().Draw(t, "group")}
}

func vm(t *rapid.T) onevolume.VM {
	return onevolume.VM{ID: onevolume.VMID(number().Draw(t, "vm")), Name: hostile().Draw(t, "vm name"), Host: word().Draw(t, "host"),
		Hypervisor: word().Draw(t, "mad"), DeployID: hostile().Draw(t, "deploy id"), Owner: owner(t)}
}

func note(t *rapid.T) onevolume.Note {
	return onevolume.Note{State: rapid.SampledFrom(onevolume.States()).Draw(t, "state"), Host: word().Draw(t, "host"), Device: word().Draw(t, "device"),
		Source: hostile().Draw(t, "source"), Serial: word().Draw(t, "serial"),
		Identity: onevolume.Identity{Serial: hostile().Draw(t, "unit serial"), WWID: hostile().Draw(t, "wwid")}}
}

func entry(t *rapid.T) onevolume.Entry {
	return onevolume.Entry{Seq: number().Draw(t, "seq"), Step: word().Draw(t, "step"), Event: onevolume.StepFailed, Time: moment(t, "time"),
		Detail: hostile().Draw(t, "detail"), Generation: number().Draw(t, "generation"), Owner: hostile().Draw(t, "owner"),
		Commands: several(t, "commands", hostCommand)}
}

// several is a list of up to three; none is nil, as the documents have it.
func several[T any](t *rapid.T, label string, one func(*rapid.T) T) []T {
	var list []T
	for range rapid.IntRange(0, 3).Draw(t, label) {
		list = append(list, one(t))
	}
	return list
}

func hostCommand(t *rapid.T) onevolume.Command {
	return onevolume.Command{Host: word().Draw(t, "host"), Text: hostile().Draw(t, "command"), Started: moment(t, "command started"),
		Took: time.Duration(number().Draw(t, "took")) * time.Microsecond, Code: rapid.IntRange(-1, 255).Draw(t, "code"),
		Stderr: hostile().Draw(t, "stderr"), Error: hostile().Draw(t, "why not")}
}

func deed(t *rapid.T) onevolume.Deed {
	return onevolume.Deed{ID: number().Draw(t, "deed"), Time: moment(t, "done at"), Volume: onevolume.VolumeID(rapid.IntRange(-1, 99).Draw(t, "of volume")),
		VM: onevolume.VMID(rapid.IntRange(-1, 99).Draw(t, "of VM")), Operation: number().Draw(t, "operation"), Result: hostile().Draw(t, "result"),
		Ask: onevolume.Ask{By: owner(t), From: hostile().Draw(t, "from"), Action: word().Draw(t, "action"), Text: hostile().Draw(t, "request")}}
}

func finding(t *rapid.T) onevolume.Finding {
	return onevolume.Finding{Trouble: onevolume.IdleSession, Host: word().Draw(t, "host"), Volume: onevolume.VolumeID(rapid.IntRange(-1, 99).Draw(t, "of volume")),
		VM: onevolume.NoVM, Operation: number().Draw(t, "operation"), Cause: hostile().Draw(t, "cause"), Risk: hostile().Draw(t, "risk"),
		Repair: several(t, "repair", func(t *rapid.T) string { return hostile().Draw(t, "line") }), Fixable: rapid.Bool().Draw(t, "fixable"), Harmless: rapid.Bool().Draw(t, "harmless")}
}

func volume(t *rapid.T) onevolume.Volume {
	v := onevolume.Volume{
		ID: onevolume.VolumeID(number().Draw(t, "id")), Name: hostile().Draw(t, "name"), Size: onevolume.Size(rapid.Int64Min(0).Draw(t, "size")),
		Target: onevolume.Target{IQN: onevolume.IQN(word().Draw(t, "iqn")), LUN: onevolume.LUN(number().Draw(t, "lun")),
			CHAP: onevolume.CHAP{User: hostile().Draw(t, "user"), UserIn: hostile().Draw(t, "user in"), Secret: hostile().Draw(t, "secret"), SecretIn: hostile().Draw(t, "secret in")}},
		Identity: onevolume.Identity{Serial: hostile().Draw(t, "serial"), WWID: hostile().Draw(t, "wwid")}, Array: hostile().Draw(t, "array"),
		State: rapid.SampledFrom(onevolume.States()).Draw(t, "state"), Reason: hostile().Draw(t, "reason"), Owner: owner(t),
		Permissions: onevolume.Permissions(rapid.IntRange(0, 0o777).Draw(t, "permissions")),
		Attachment: onevolume.Attachment{VM: onevolume.VMID(rapid.IntRange(-1, 99).Draw(t, "vm")), Host: word().Draw(t, "host"), Device: word().Draw(t, "device"),
			Source: hostile().Draw(t, "source"), Serial: word().Draw(t, "disk serial")},
		Operation: number().Draw(t, "operation"), Version: number().Draw(t, "version"),
		Registered: time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "registered"), 0), Modified: time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "modified"), 0),
	}
	v.Disabled = rapid.Bool().Draw(t, "disabled")
	if level := onevolume.LockLevel(rapid.IntRange(0, 3).Draw(t, "lock")); level != onevolume.NoLock {
		v.Lock = onevolume.Lock{Level: level, UID: number().Draw(t, "locked by"), Time: time.Unix(rapid.Int64Range(0, 1<<40).Draw(t, "locked at"), 0)}
	}
	v.Home.UID, v.Home.GID = number().Draw(t, "home uid"), number().Draw(t, "home gid")
	for range rapid.IntRange(1, 3).Draw(t, "portals") {
		ip := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.ByteRange(1, 200), 4, 4).Draw(t, "address")))
		p, err := onevolume.ParsePortal(netip.AddrPortFrom(ip, uint16(rapid.IntRange(1, 65535).Draw(t, "port"))).String())
		if err == nil && !strings.Contains(onevolume.JoinPortals(v.Target.Portals), p.String()) {
			v.Target.Portals = append(v.Target.Portals, p)
		}
	}
	if len(v.Target.Portals) == 0 {
		v.Target.Portals, _ = onevolume.ParsePortals("10.0.0.1")
	}
	if attributes := rapid.MapOfN(rapid.StringMatching(`[A-Z_][A-Z0-9_]{0,8}`), hostile(), 0, 4).Draw(t, "attributes"); len(attributes) > 0 {
		v.Attributes = attributes
	}
	return v
}

// there prints the document, sends it through the protocol's own writing and
// reading, and reads it into back.
func there(t *rapid.T, document, back any) {
	text, err := marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := unmarshal(text, back); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func same[T any](t *rapid.T, what string, got, want T) {
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want))
	}
}

func TestDocumentsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := volume(t)
		var d volumeDocument
		there(t, volumeToXML(&v, true), &d)
		got, err := d.volume()
		if err != nil {
			t.Fatal(err)
		}
		if got.Target.CHAP.Secret != v.Target.CHAP.Secret || got.Target.CHAP.SecretIn != v.Target.CHAP.SecretIn {
			t.Error("the secrets are others")
		}
		same(t, "volume", got, v)
		there(t, volumeToXML(&v, false), &d)

		r := onevolume.Request{Kind: onevolume.Attach, VM: vm(t), Leave: onevolume.LeaveXFS, Owner: hostile().Draw(t, "owner"),
			Pick:  onevolume.Pick{Volume: hostile().Draw(t, "pick"), Size: onevolume.Size(rapid.Int64Min(0).Draw(t, "size")), Exact: true, Array: hostile().Draw(t, "array")},
			Lease: time.Duration(number().Draw(t, "lease")) * time.Millisecond, DryRun: rapid.Bool().Draw(t, "dry")}
		var rd requestDocument
		there(t, requestToXML(r), &rd)
		same(t, "request", rd.request(), r)

		op := onevolume.Operation{ID: number().Draw(t, "id"), Kind: onevolume.Detach, Volume: v.ID, VM: r.VM, Leave: onevolume.LeaveData, Status: onevolume.Parked,
			Prior: onevolume.Retained, Way: onevolume.Back, By: owner(t), Owner: r.Owner, Generation: number().Draw(t, "generation"), Lease: moment(t, "lease ends"),
			Started: moment(t, "started"), Ended: moment(t, "ended"), Error: hostile().Draw(t, "error")}
		journal := []onevolume.Entry{entry(t), entry(t)}
		var od operationDocument
		there(t, operationToXML(op, journal), &od)
		gotOp, gotJournal := od.operation()
		same(t, "operation", gotOp, op)
		same(t, "journal", gotJournal, journal)

		n := note(t)
		var rec recordDocument
		there(t, recordDocument{Entries: entriesToXML(journal), Note: noteToXML(n)}, &rec)
		same(t, "record", entries(rec.Entries), journal)
		same(t, "note", rec.Note.note(), n)

		var end endingDocument
		there(t, endingDocument{XMLName: xml.Name{Local: "ENDING"}, Status: "DONE", State: "ATTACHED", Error: cdata{op.Error}, Note: noteToXML(n)}, &end)
		same(t, "ending", end.Error.Text, op.Error)
	})
}

func TestDocumentsOfCareRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		deeds := append(several(t, "deeds", deed), deed(t))
		var pool deedPoolDocument
		there(t, deedsToXML(deeds), &pool)
		same(t, "deeds", pool.deeds(), deeds)

		r := onevolume.Recovery{State: onevolume.Attached, Reason: hostile().Draw(t, "reason"), Attachment: onevolume.Attachment{VM: onevolume.NoVM,
			Host: word().Draw(t, "host"), Device: word().Draw(t, "device"), Source: hostile().Draw(t, "source"), Serial: word().Draw(t, "serial")}}
		var rd recoveryDocument
		there(t, recoveryToXML(r), &rd)
		same(t, "recovery", rd.recovery(), r)

		h := onevolume.Health{Differences: number().Draw(t, "differences"), Hold: hostile().Draw(t, "hold"),
			Checkup: onevolume.Checkup{Time: moment(t, "ended"), Hosts: 3, Volumes: 4, Findings: several(t, "findings", finding)}}
		var cd checkupDocument
		there(t, healthToXML(h), &cd)
		same(t, "health", cd.health(), h)
	})
}

// What XML cannot hold is replaced, and the document can be read and sent.
func TestDocumentsWithWhatXMLCannotHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dirty := string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"))
		text, err := marshal(recordDocument{Entries: []entryDocument{{Step: dirty, Detail: cdata{dirty}}}, Note: noteDocument{Host: dirty, Source: cdata{dirty}}})
		if err != nil {
			t.Fatal(err)
		}
		var d recordDocument
		if err := unmarshal(text, &d); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		for i, r := range text {
			if r < ' ' && r != '\t' && r != '\n' && r != '\r' || !utf8.ValidString(text) {
				t.Fatalf("byte %d of %q cannot be sent", i, text)
			}
		}
	})
}

// A portal that cannot be read makes a volume unreadable, with its id.
func TestVolumeThatCannotBeRead(t *testing.T) {
	d := volumeDocument{ID: 7, Portals: "nowhere"}
	if _, err := d.volume(); err == nil || !strings.Contains(err.Error(), "VOLUME 7") {
		t.Errorf("%v", err)
	}
	if err := unmarshal("<OTHER/>", &volumeDocument{}); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("another document: %v", err)
	}
	if err := unmarshal("", &volumeDocument{}); onevolume.CodeOf(err) != onevolume.Invalid {
		t.Errorf("no document: %v", err)
	}
}

// Every code has its number on the wire, and comes back as its kind.
func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		err     error
		message string
		number  int
		object  int
	}{
		{onevolume.Missing("volume", 7), "Error getting volume [7].", 0x0400, 7},
		{onevolume.Errorf(onevolume.Busy, "later"), "later", 0x0800, -1},
		{onevolume.Errorf(onevolume.Stale, "gone.").WithHint("stop"), "gone. Stop.", 0x8000, -1},
		{fmt.Errorf("deep down: %w", onevolume.Errorf(onevolume.Held, "held")), "deep down: held", 0x0800, -1},
		{onevolume.Errorf(onevolume.Unauthenticated, "bad password for x"), "User couldn't be authenticated, aborting call.", 0x0100, -1},
		{fmt.Errorf("no such table: secrets"), "Internal error, see the log of onevolumed.", 0x2000, -1},
	} {
		if message, number, object := describe(c.err); message != c.message || number != c.number || object != c.object {
			t.Errorf("%v: %q, %#x, %d", c.err, message, number, object)
		}
	}
}
