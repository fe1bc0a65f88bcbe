package xmlrpc

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"onevolume"
)

// schemas are what packaging/xsd has for each root element.
var schemas = map[string]string{
	"VOLUME": "volume", "VOLUME_POOL": "volume_pool", "OPERATION": "operation", "OPERATION_POOL": "operation_pool",
	"RESERVATION": "reservation", "ACCESS": "access", "DEED_POOL": "deed_pool", "CHECKUP": "checkup", "RECOVERY": "recovery", "REQUEST": "request",
	"RECORD": "record", "ENDING": "ending", "USER": "volume_quota_user", "DEFAULT_USER_QUOTAS": "volume_quota_user",
	"SYNC": "sync", "ARRAY_POOL": "array_pool",
	"GROUP": "volume_quota_group", "DEFAULT_GROUP_QUOTAS": "volume_quota_group",
}

// documents are of every kind, with texts that documents have trouble with.
func documents() *rapid.Generator[[]any] {
	return rapid.Custom(func(t *rapid.T) []any {
		v := volume(t)
		pool := poolDocument{XMLName: xml.Name{Local: "VOLUME_POOL"}}
		for range rapid.IntRange(0, 2).Draw(t, "volumes") {
			one := volume(t)
			d := volumeToXML(&one, false)
			if rapid.Bool().Draw(t, "extended") {
				d.Newest = &newestDocument{7, "attach", "PARKED", 17, 1, 2, cdata{hostile().Draw(t, "error")}}
			}
			pool.Volumes = append(pool.Volumes, d)
		}
		op := onevolume.Operation{ID: number().Draw(t, "id"), Kind: rapid.SampledFrom([]onevolume.Kind{onevolume.Attach, onevolume.Detach, onevolume.Replug, onevolume.Release}).Draw(t, "kind"),
			Volume: v.ID, VM: vm(t), Leave: rapid.SampledFrom([]onevolume.Leave{onevolume.LeaveZeroes, onevolume.LeaveExt4, onevolume.LeaveXFS, onevolume.LeaveData}).Draw(t, "leave"),
			Status: onevolume.Parked, Prior: onevolume.Retained, Way: onevolume.Back, By: owner(t), Owner: hostile().Draw(t, "owner"), Lease: moment(t, "lease"),
			Error: hostile().Draw(t, "error")}
		journal := several(t, "journal", entry)
		r := onevolume.Request{Kind: onevolume.Attach, VM: vm(t), Owner: hostile().Draw(t, "owner"), Pick: onevolume.Pick{Volume: hostile().Draw(t, "pick"), Array: hostile().Draw(t, "array")},
			Lease: time.Minute, DryRun: rapid.Bool().Draw(t, "dry")}
		kind := rapid.SampledFrom([]onevolume.QuotaKind{onevolume.UserQuota, onevolume.GroupQuota, onevolume.DefaultUserQuota, onevolume.DefaultGroupQuota}).Draw(t, "quota")
		health := onevolume.Health{Hold: hostile().Draw(t, "hold"), Checkup: onevolume.Checkup{Time: moment(t, "ended"), Findings: several(t, "findings", finding)}}
		one := volumeToXML(&v, rapid.Bool().Draw(t, "secrets"))
		one.Snapshots = several(t, "snapshots", func(t *rapid.T) snapshotDocument {
			return snapshotDocument{Name: cdata{hostile().Draw(t, "name")}, UID: 3}
		})
		return []any{one, pool, operationToXML(op, journal),
			operationPoolDocument{XMLName: xml.Name{Local: "OPERATION_POOL"}, Operations: []operationDocument{operationToXML(op, nil)}},
			reservationDocument{XMLName: xml.Name{Local: "RESERVATION"}, Operation: operationToXML(op, nil), Volume: volumeToXML(&v, true)},
			accessToXML(onevolume.Access{CHAP: onevolume.CHAP{User: hostile().Draw(t, "user"), Secret: hostile().Draw(t, "secret")}, Identity: v.Identity}),
			deedsToXML(several(t, "deeds", deed)), healthToXML(health),
			recoveryToXML(onevolume.Recovery{State: onevolume.Attached, Reason: hostile().Draw(t, "reason"), Attachment: onevolume.Attachment{Host: word().Draw(t, "host")}}),
			requestToXML(r), recordDocument{Entries: entriesToXML(journal), Note: noteToXML(note(t))},
			endingDocument{XMLName: xml.Name{Local: "ENDING"}, Status: "DONE", State: "ATTACHED", Error: cdata{op.Error}, Note: noteToXML(note(t))},
			syncDocument{XMLName: xml.Name{Local: "SYNC"}, Array: cdata{hostile().Draw(t, "array")}, Changes: several(t, "changes", func(t *rapid.T) syncChangeDocument {
				return syncChangeDocument{word().Draw(t, "what"), -1, cdata{hostile().Draw(t, "name")}, cdata{hostile().Draw(t, "iqn")}, 3, cdata{hostile().Draw(t, "text")}}
			})},
			arrayPoolDocument{XMLName: xml.Name{Local: "ARRAY_POOL"}, Arrays: several(t, "arrays", func(t *rapid.T) spaceDocument {
				return spaceToXML(onevolume.Space{Array: hostile().Draw(t, "array"), Error: hostile().Draw(t, "error"), Total: onevolume.UnknownSize, Time: moment(t, "time"), Findings: []string{hostile().Draw(t, "finding")}}, true)
			})},
			quotaToXML(onevolume.Quota{Of: onevolume.QuotaOf{Kind: kind, ID: 5}, Limits: onevolume.NoLimits(), Defaults: onevolume.NoLimits()})}
	})
}

// Every document that is sent is as its schema says.
func TestDocumentsKeepToTheirSchemas(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("xmllint")
	if err != nil {
		t.Fatal(err, ": scripts/deps installs it")
	}
	dir, files := t.TempDir(), map[string][]string{}
	for seed := range 60 {
		for i, d := range documents().Example(seed) {
			text, err := marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			root := strings.FieldsFunc(text, func(r rune) bool { return r == '<' || r == '>' })[0]
			path := filepath.Join(dir, fmt.Sprintf("%s-%d-%d.xml", root, seed, i))
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			files[root] = append(files[root], path)
		}
	}
	if got, want := slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(schemas)); !slices.Equal(got, want) {
		t.Errorf("documents of %q, want %q", got, want)
	}
	for root, paths := range files {
		args := append([]string{"--noout", "--nonet", "--schema", "../packaging/xsd/" + schemas[root] + ".xsd"}, paths...)
		out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		if err != nil {
			lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(l string) bool { return strings.HasSuffix(l, " validates") })
			t.Errorf("%s: %v\n%s", root, err, strings.Join(lines[:min(len(lines), 6)], "\n"))
		}
	}
}

// A schema that takes anything would prove nothing.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	v := volume0()
	good, err := marshal(volumeToXML(&v, false))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		old, new string
		bad      bool
	}{
		"as it is": {"", "", false}, "order": {"<ID>0</ID><UID>0</UID>", "<UID>0</UID><ID>0</ID>", true}, "a status": {"AVAILABLE", "FREE", true},
		"a lock": {"<PERMISSIONS>", "<LOCK><LOCKED>4</LOCKED><OWNER>0</OWNER><TIME>1</TIME><REQ_ID>-1</REQ_ID></LOCK><PERMISSIONS>", true},
		"more":   {"</VOLUME>", "<MORE/></VOLUME>", true}, "a number": {"<SIZE>1</SIZE>", "<SIZE>1M</SIZE>", true},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if c.bad && text == good {
			t.Fatalf("%s: nothing was changed in %s", name, good)
		}
		path := filepath.Join(t.TempDir(), "volume.xml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "xmllint", "--noout", "--nonet", "--schema", "../packaging/xsd/volume.xsd", path).CombinedOutput()
		if (err != nil) != c.bad {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func volume0() onevolume.Volume {
	portals, _ := onevolume.ParsePortals("10.0.0.1")
	return onevolume.Volume{Name: "disk", Size: onevolume.MiB, State: onevolume.Available, Target: onevolume.Target{IQN: "iqn.2026-11.test:a", Portals: portals},
		Attachment: onevolume.Attachment{VM: onevolume.NoVM}}
}
