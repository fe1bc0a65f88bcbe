package cli_test

import (
	"context"
	"testing"

	"onevolume"
)

// synced is what the daemon has done about one array.
type synced struct{ onevolume.Synced }

func (s synced) SyncArray(context.Context, string) (onevolume.Synced, error) { return s.Synced, nil }

func TestArraySync(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.api.Arrays = synced{onevolume.Synced{Array: "store1", Units: 2, Volumes: 1, Changes: []onevolume.SyncChange{
		{What: onevolume.SyncRegistered, Volume: 1, Name: "logs", Target: "iqn.2026-11.org.example:a", LUN: 1, Text: "/dev/vg1/logs, 10G"}}}}
	s := w.ok("array", "sync", "store1")
	s.has(w, "stdout", s.out, "Registered volume 1 (logs): iqn.2026-11.org.example:a LUN 1: /dev/vg1/logs, 10G\n",
		"Array store1 has 2 logical units; the inventory had 1 volume of it.\n")

	w.api.Arrays = synced{onevolume.Synced{Array: "store1", Changes: []onevolume.SyncChange{
		{What: onevolume.SyncReported, Volume: onevolume.NoVolume, Target: "iqn.2026-11.org.example:b", Text: "not registered:\nbecause"}}}}
	s = w.types("array", "sync", "store1")
	if s.status != 1 {
		t.Errorf("status %d when somebody must look, want 1", s.status)
	}
	s.has(w, "stdout", s.out, "Reported: iqn.2026-11.org.example:b LUN 0: not registered: because\n", "0 volumes of it. 1 to look at.\n")
	w.fails([]string{"requires one parameter"}, "array", "sync")
}
